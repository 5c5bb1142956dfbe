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
    """TTFT in seconds and gaps in milliseconds of an arm's first repeat."""
    with h5py.File(run) as file:
        log = file[f"arms/{arm}/repeat_000"]
        requests = log["requests"]
        done = requests["finish"][()] >= 0
        first = (requests["first_token"][()] - requests["effective_arrival"][()])[done] / 1e9
        return np.sort(first), np.sort(log["itl/gap"][()] / 1e6)


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    rates = grid.axis("trace_rate")
    run = grid.run(list(rates).index(LOAD), 0)
    figure, panels = plt.subplots(2, 2, figsize=(7.2, 5.0))
    for arm, label in LABELS.items():
        look = style.arm(arm)
        if arm in ("serve-only", "recording"):
            # Training in idle time alone changes so little that the other curves lie on these.
            look.update(linewidth=4, alpha=0.35, linestyle="-", markersize=8)
        for axes, values in zip(panels[0], latencies(run, arm)):
            shown = {key: look[key] for key in ("color", "linestyle", "linewidth", "alpha") if key in look}
            axes.plot(values, np.arange(1, len(values) + 1) / len(values), **shown, label=label)
        for axes, metric, scale in ((panels[1][0], "ttft_p99", 1), (panels[1][1], "itl_p99", 1000)):
            style.line(axes, rates, *over_seeds(grid.arm(metric, arm) * scale), **look, label=label)
    panels[0][0].set(xlabel=f"TTFT at {LOAD} requests/s (s)", ylabel="share up to", ylim=(0, 1), xscale="log")
    panels[0][1].set(xlabel=f"ITL at {LOAD} requests/s (ms)", ylabel="share up to", ylim=(0, 1), xscale="log")
    panels[1][0].set(xlabel="load (requests/s)", ylabel="TTFT p99 (s)", yscale="log")
    panels[1][1].set(xlabel="load (requests/s)", ylabel="ITL p99 (ms)", ylim=(0, None))
    style.plain_ticks(panels[0][0].xaxis, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])
    style.plain_ticks(panels[0][1].xaxis, [10, 15, 20, 30, 40, 50])
    style.plain_ticks(panels[1][0].yaxis, [0.1, 0.2, 0.4, 0.6, 1, 2, 4, 8])
    panels[1][1].set_ylim(0, 1.12 * panels[1][1].get_ylim()[1])
    panels[0][0].legend(fontsize=7.5, loc="upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
