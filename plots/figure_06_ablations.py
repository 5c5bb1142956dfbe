#!/usr/bin/env python3
"""One technique changed at a time: speed, memory, latency and host memory of each."""
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

LABELS = {"reuse": "reuse (prompts, all tensors,\noffloaded at once)", "record-all": "answers recorded, too",
          "lean": "lean records", "boundary": "layers' inputs alone", "no-offload": "never offloaded",
          "hedged": "offloaded, hedged", "headroom": "offloaded for headroom", "prefix-cache": "with prefix cache",
          "exact-records": "no stale records"}
PANELS = [("training_speedup", "training\nspeed-up", "recompute", 1),
          ("training_peak_memory_ratio", "training memory /\nrecompute's", "recompute", 1),
          ("ttft_p90_ratio", "TTFT p90 /\nserving alone's", "recompute", 1)]


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    figure, panels = plt.subplots(1, 4, figsize=(7.4, 3.4), sharey=True)
    places = np.arange(len(LABELS))[::-1]
    for axes, (metric, title, baseline, mark) in zip(panels, PANELS):
        values = [over_seeds(grid.compared(metric, arm, baseline)) for arm in LABELS]
        bars(axes, places, values, title)
        axes.axvline(mark, color="black", linewidth=0.8, linestyle=":")
    bars(panels[3], places, [over_seeds(grid.arm("host_peak_bytes", arm) / 2**30) for arm in LABELS],
         "host memory,\npeak (GiB)", decimals=0)
    panels[0].set_yticks(places, LABELS.values(), fontsize=7.5)
    style.save(figure, arguments.output)


def bars(axes, places, values, title, decimals=2):
    means = np.array([mean for mean, _ in values])
    halves = np.nan_to_num([half for _, half in values])
    axes.barh(places, means, xerr=halves, height=0.6, color=[style.COLOURS[0]] + [style.COLOURS[5]] * (len(places) - 1),
              error_kw={"linewidth": 0.8})
    top = np.nanmax(means + halves)
    for place, mean, half in zip(places, means, halves):
        axes.text(mean + half + 0.03 * top, place, f"{mean:.{decimals}f}", va="center", fontsize=7,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    axes.set(xlabel=title, xlim=(0, 1.32 * top))
    axes.grid(axis="y", visible=False)


if __name__ == "__main__":
    main()
