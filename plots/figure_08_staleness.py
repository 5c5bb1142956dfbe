#!/usr/bin/env python3
"""What stale records cost: the gradient's error against the age of records, and learning with and without them."""
import h5py
import numpy as np
import style
from grid import Grid
from style import plt

ARMS = {"recompute": ("recompute", style.COLOURS[3], "-"), "bounded-4": ("records up to 4 versions old", style.COLOURS[2], "--"),
        "any": ("records of any age", style.COLOURS[0], "-.")}


def steps(grid, place, arm):
    """The training steps of an arm, all seeds: columns by name, one array for each seed."""
    runs = []
    for seed in range(len(grid.axis("seed"))):
        with h5py.File(grid.run(place, seed)) as file:
            log = file[f"arms/{arm}/repeat_000/training"]
            runs.append({name: log[name][()] for name in ("mean_age", "loss", "tokens", "gradient_staleness_error",
                                                          "gradient_staleness_cosine", "reused_tokens")})
    return runs


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    tunings = grid.axis("training_tuning")
    figure, panels = plt.subplots(2, 3, figsize=(7.6, 4.8))
    for row, tuning in zip(range(len(tunings)), tunings):
        errors, cosines, learning = panels[row]
        for arm, (label, colour, line) in ARMS.items():
            for seed, run in enumerate(steps(grid, row, arm)):
                audited = np.isfinite(run["gradient_staleness_error"]) & (run["reused_tokens"] > 0)
                if arm != "recompute":
                    marker = {"color": colour, "marker": "o" if arm == "any" else "s", "markersize": 3.5, "linestyle": ""}
                    # A record of this very version has an error of rounding alone, 1e-6 or so.
                    errors.plot(run["mean_age"][audited], np.maximum(run["gradient_staleness_error"][audited], 1e-3), **marker)
                    cosines.plot(run["mean_age"][audited], run["gradient_staleness_cosine"][audited], **marker)
                window = min(5, len(run["loss"]))
                smooth = np.convolve(run["loss"], np.ones(window) / window, "valid")
                learning.plot(np.cumsum(run["tokens"])[window - 1:] / 1000, smooth, color=colour, linestyle=line,
                              linewidth=1.3, label=label if seed == 0 else None)
        name = {"lora": "LoRA", "full": "full tuning"}[tuning]
        errors.set(title=name, ylabel="gradient error\n(worst tensor, relative)", yscale="log")
        cosines.set(title=name, ylabel="cosine with the\nrecomputed gradient", ylim=(min(-0.05, cosines.get_ylim()[0]), 1.05))
        learning.set(title=name, ylabel=f"loss (nats),\nmean of {window} steps")
        style.plain_ticks(errors.yaxis, [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100])
    for axes, label in zip(panels[-1], ("mean age of records\n(versions of the weights)",) * 2 + ("trained tokens (1000)",)):
        axes.set_xlabel(label)
    handles, labels = panels[0][2].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=3, loc="outside lower center")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
