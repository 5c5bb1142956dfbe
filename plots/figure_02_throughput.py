#!/usr/bin/env python3
"""Training throughput against the length of samples: every baseline, reuse, and the bound of what reuse could bring."""
import numpy as np
import style
from grid import Grid, over_seeds
from matplotlib.ticker import FixedLocator, NullLocator
from style import plt

LABELS = {"recompute": "recompute, selective checkpointing", "recompute-none": "recompute, no checkpointing",
          "recompute-full": "recompute, full checkpointing", "separate": "separate device, selective", "reuse": "reuse"}


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    lengths = grid.axis("length", int)
    figure, (rates, ratios) = plt.subplots(1, 2, figsize=(7.2, 3.3))
    for arm, label in LABELS.items():
        values = grid.arm("tokens_per_busy_second", arm)
        style.line(rates, lengths, *over_seeds(values / 1000), **style.arm(arm), label=label)
        if arm != "reuse":
            ratio, half = over_seeds(grid.arm("tokens_per_busy_second", "reuse") / values)
            style.line(ratios, lengths, ratio, half, **style.arm(arm), label=f"against {label}")
    bound = grid.compared("training_speedup_bound", "reuse", "recompute")
    ideal, _ = over_seeds(bound * grid.arm("tokens_per_busy_second", "recompute") / 1000)
    rates.plot(lengths, ideal, color="black", linewidth=0.9, linestyle=(0, (1, 1)), label="bound of reuse")
    ratios.plot(lengths, over_seeds(bound)[0], color="black", linewidth=0.9, linestyle=(0, (1, 1)),
                label="bound, against selective")
    ratios.axhline(1.72, color="#777777", linewidth=0.8)
    ratios.text(lengths[0], 1.73, "the paper's best: 1.72", fontsize=7.5, va="bottom")
    rates.set(xlabel="longest sample (tokens)", ylabel="training throughput\n(1000 tokens per busy second)",
              ylim=(0, 1.6 * np.nanmax(ideal)))
    ratios.set(xlabel="longest sample (tokens)", ylabel="throughput of reuse / baseline", ylim=(0.95, 2.7))
    for axes in (rates, ratios):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(lengths))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(length) for length in lengths])
    rates.legend(fontsize=6.5, loc="upper left", ncols=1)
    ratios.legend(fontsize=6.5, loc="upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
