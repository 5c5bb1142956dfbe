"""The look that all pictures share: colours that colour-blind readers can tell apart, PDF and PNG.

Pictures draw what the program computed; they compute no science.
"""
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Okabe and Ito's palette (2008), without its black and its yellow, which is too light for lines.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"]
LINES = ["-", "--", "-.", ":"]

plt.rcParams.update({
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
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


def save(figure, stem):
    """Writes STEM.pdf and STEM.png, the same bytes for the same picture."""
    pathlib.Path(stem).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(f"{stem}.pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    figure.savefig(f"{stem}.png", metadata={"Software": None})
    plt.close(figure)
    print(f"{stem}.pdf, {stem}.png")
