#!/usr/bin/env python3
"""Several answers to a prompt: training on it once, reusing what serving recorded of it, or both."""
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

ARMS = {"shared-prompt": ("prompt trained on once", style.COLOURS[1]), "reuse": ("reuse", style.COLOURS[0]),
        "both": ("both", style.COLOURS[2])}


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    sizes = grid.axis("trace_group_size")
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.2))
    # Samples per busy second: arms differ in how many tokens a sample takes, which is the point.
    per_sample = {arm: grid.arm("training_samples", arm) / grid.arm("busy_seconds", arm) for arm in ["recompute", *ARMS]}
    memory = {arm: grid.arm("training_peak_bytes", arm) for arm in per_sample}
    for axes, figures, title in ((panels[0], per_sample, "samples per busy second /\nrecompute's"),
                                 (panels[1], memory, "training memory, peak /\nrecompute's")):
        places = np.arange(len(sizes))
        for index, (arm, (label, colour)) in enumerate(ARMS.items()):
            mean, half = over_seeds(figures[arm] / figures["recompute"])
            axes.bar(places + 0.26 * (index - 1), mean, 0.24, yerr=np.nan_to_num(half), color=colour, label=label,
                     error_kw={"linewidth": 0.8})
            for place, value in zip(places, mean):
                axes.text(place + 0.26 * (index - 1), value + 0.03, f"{value:.2f}", ha="center", fontsize=6.5,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_xticks(places, [str(size) for size in sizes])
        axes.set(xlabel="answers to a prompt", ylabel=title, ylim=(0, 1.3 * axes.get_ylim()[1]))
        axes.grid(axis="x", visible=False)
    panels[0].legend(fontsize=7.5, loc="upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
