"""The look that all pictures share: colours that colour-blind readers can tell apart, PDF and PNG.

Pictures draw what the program computed; they compute no science.
"""
import pathlib

import matplotlib
import matplotlib.ticker

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# The hues of Okabe and Ito's palette (2008), without black and yellow, and darker: each has a contrast of at least 3 to 1
# with white paper (WCAG 2.2, 1.4.11), and any two differ for readers who see few colours.
COLOURS = ["#005A94", "#C78500", "#008560", "#A83A00", "#C0609C", "#3B9AD9"]
GREY = "#6E6E6E"
LINES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]

plt.rcParams.update({
    # Beyond six series colours come again, with other lines: 24 are told apart.
    "axes.prop_cycle": matplotlib.cycler(linestyle=LINES) * matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "font.size": 9,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    # Text stays text, in fonts that journals take.
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "svg.hashsalt": "alchemist-sim",
})


# What arms look like in every picture.
ARMS = {
    "serve-only": (GREY, "-", "o"),
    "recording": (COLOURS[5], "--", "v"),
    "recompute": (COLOURS[3], "-", "s"),
    "recompute-none": (COLOURS[1], "-.", "^"),
    "recompute-full": (COLOURS[4], ":", "v"),
    "separate": (COLOURS[5], "--", "D"),
    "reuse": (COLOURS[0], "-", "o"),
    "reuse-lean": (COLOURS[2], "--", "P"),
}


def arm(name, **more):
    """Keywords of a line for an arm."""
    colour, line, marker = ARMS[name]
    return {"color": colour, "linestyle": line, "marker": marker, "markersize": 4, "linewidth": 1.4, **more}


def series(index):
    """Keywords of the line of a series by its number: no two of 42 look the same, nor any two of six in grey."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[(index + index // 6) % len(LINES)],
            "marker": MARKERS[index % len(MARKERS)], "markersize": 4, "linewidth": 1.4}


def line(axes, x, mean, half, **look):
    """A line with its confidence interval as a band; none where there is none."""
    axes.plot(x, mean, **look)
    axes.fill_between(x, mean - half, mean + half, color=look.get("color"), alpha=0.18, linewidth=0)


def plain_ticks(axis, places):
    """Labels a logarithmic axis at these places, with plain numbers."""
    axis.set_major_locator(matplotlib.ticker.FixedLocator(places))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def arguments(description):
    """What every script of a figure takes: the grid's file, and where the picture goes."""
    import argparse
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("grid", help="the merged file of the experiment's sweep")
    parser.add_argument("-o", "--output", required=True, help="where the picture goes, without an ending")
    return parser.parse_args()


def save(figure, stem):
    """Writes STEM.pdf and STEM.png, the same bytes for the same picture."""
    pathlib.Path(stem).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(f"{stem}.pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    figure.savefig(f"{stem}.png", metadata={"Software": None})
    plt.close(figure)
    print(f"{stem}.pdf, {stem}.png")
