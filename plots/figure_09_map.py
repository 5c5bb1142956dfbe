#!/usr/bin/env python3
"""Where reuse pays: training speed-up over the prompts' share and the host link's bandwidth, for each accelerator."""
import numpy as np
import style
from grid import Grid, hardware_figure, over_seeds
from matplotlib.colors import TwoSlopeNorm
from style import plt


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    backends, shares, links = grid.axis("backend"), grid.axis("trace_target_p"), grid.axis("link", float)
    speedup, _ = over_seeds(grid.compared("training_speedup", "reuse", "recompute"))
    norm = TwoSlopeNorm(vmin=min(0.4, np.nanmin(speedup)), vcenter=1, vmax=max(1.6, np.nanmax(speedup)))
    figure, panels = plt.subplots(1, len(backends), figsize=(7.4, 2.9), sharey=True)
    for place, (axes, backend, values) in enumerate(zip(panels, backends, speedup)):
        own = hardware_figure(grid.run(place, 0, 0, 0), "host_link") / 1e9
        image = axes.imshow(values, origin="lower", aspect="auto", cmap="PuOr", norm=norm)
        axes.set_xticks(range(len(links)), [f"{link:g}" for link in links])
        axes.set_yticks(range(len(shares)), [f"{share:g}" for share in shares])
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            red, green, blue, _ = image.cmap(norm(value)) if np.isfinite(value) else (1, 1, 1, 1)
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
            axes.text(column, row, "-" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", fontsize=6.5,
                      color="white" if dark else "black", fontweight="bold" if value >= 1.05 else "normal")
        axes.set(title=f"{backend}\n(its own link: {own:g} GB/s)", xlabel="host link (GB/s, each way)")
        axes.title.set_fontsize(8.5)
        axes.grid(visible=False)
    panels[0].set_ylabel("prompts' share of tokens, p")
    figure.colorbar(image, ax=panels, label="training speed-up of reuse", shrink=0.9)
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
