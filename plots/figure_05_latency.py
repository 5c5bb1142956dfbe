#!/usr/bin/env python3
"""Latency with recording and training beside serving: distributions at one load, 99th percentiles over loads."""
import h5py
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

LABELS = {"serve-only": "serving alone", "recording": "recording", "recompute": "training, recomputing",
          "reuse": "training, reusing"}
LOAD = 3  # Requests per second of the distributions.


def latencies(run, arm):
    """TTFT in seconds and gaps in milliseconds of the finished requests that the figures of serving are drawn from, all
    repeats: without the warm-up."""
    firsts, gaps = [], []
    with h5py.File(run) as file:
        for name, log in file[f"arms/{arm}"].items():
            if not name.startswith("repeat"):
                continue
            requests = log["requests"]
            counted = (requests["in_window"][()] == 1) & (requests["finish"][()] >= 0)
            firsts.append((requests["first_token"][()] - requests["effective_arrival"][()])[counted] / 1e9)
            gaps.append(log["itl/gap"][()][counted[log["itl/request"][()]]] / 1e6)
    return np.concatenate(firsts), np.concatenate(gaps)


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    rates, seeds = grid.axis("trace_rate"), grid.axis("seed")
    place = list(rates).index(LOAD)
    figure, panels = plt.subplots(3, 2, figsize=(7.2, 6.8))
    for arm, label in LABELS.items():
        look = style.arm(arm)
        if arm in ("serve-only", "recording"):
            # Training in idle time alone changes so little that the other curves lie on these.
            look.update(linewidth=4, alpha=0.45, linestyle="-", markersize=8)
        pooled = zip(*(latencies(grid.run(place, seed), arm) for seed in range(len(seeds))))
        for axes, values in zip(panels[0], map(np.sort, map(np.concatenate, pooled))):
            shown = {key: look[key] for key in ("color", "linestyle", "linewidth", "alpha") if key in look}
            axes.plot(values, np.arange(1, len(values) + 1) / len(values), **shown, label=label)
        for column, metric, scale in ((0, "ttft_p99", 1), (1, "itl_p99", 1000)):
            values = grid.arm(metric, arm)
            # Seeds change the trace, for all arms alike: most of an interval is theirs, and little of that of a ratio.
            for axes, seeded in ((panels[1][column], values * scale),
                                 (panels[2][column], 100 * (values / grid.arm(metric, "serve-only") - 1))):
                mean, half = over_seeds(seeded)
                # Intervals side by side, or one would hide the others.
                aside = 0.05 * (list(LABELS).index(arm) - 1.5)
                axes.errorbar(rates + aside, mean, np.nan_to_num(half), color=look["color"], linestyle="", linewidth=0.9,
                              capsize=2, zorder=1)
                axes.plot(rates + aside, mean, **look, label=label)
    panels[0][0].set(xlabel=f"TTFT at {LOAD} requests/s (s)", ylabel="share of requests up to", ylim=(0, 1), xscale="log")
    panels[0][1].set(xlabel=f"ITL at {LOAD} requests/s (ms)", ylabel="share of gaps up to", ylim=(0, 1), xscale="log")
    panels[1][0].set(xlabel="load (requests/s)", ylabel="TTFT p99 (s)", yscale="log")
    panels[1][1].set(xlabel="load (requests/s)", ylabel="ITL p99 (ms)", ylim=(0, None))
    for axes, name in zip(panels[2], ("TTFT", "ITL")):
        axes.set(xlabel="load (requests/s)", ylabel=f"{name} p99 against\nserving alone (%)")
    style.plain_ticks(panels[0][0].xaxis, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])
    style.plain_ticks(panels[0][1].xaxis, [10, 15, 20, 30, 40, 50])
    style.plain_ticks(panels[1][0].yaxis, [0.1, 0.2, 0.4, 0.6, 1, 2, 4, 8])
    panels[1][1].set_ylim(0, 1.12 * panels[1][1].get_ylim()[1])
    panels[0][0].legend(fontsize=7.5, loc="upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
