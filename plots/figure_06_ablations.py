#!/usr/bin/env python3
"""One technique changed at a time: speed, memory, latency and host memory of each."""
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

# Without a prefix cache, against a server and a trainer without one.
PLAIN = {"reuse": "reuse (prompts, all tensors,\noffloaded at once)", "record-all": "answers recorded, too",
         "lean": "lean records", "boundary": "layers' inputs alone", "no-offload": "never offloaded",
         "hedged": "offloaded, hedged", "headroom": "offloaded for headroom", "exact-records": "no stale records"}
# With one, against a server and a trainer with one.
CACHED = {"cache-shared": "cache: K, V and records shared", "cache-shared-all": "the same, answers recorded",
          "cache-again": "cache: K and V made again\nwhere there is no record"}
PANELS = [("tokens_per_busy_second", "training\nspeed-up", "recompute"),
          ("training_peak_bytes", "training memory /\nrecompute's", "recompute"),
          ("ttft_p90", "TTFT p90 /\nserving alone's", "serve-only")]


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    names = [*PLAIN, *CACHED]
    figure, panels = plt.subplots(1, 4, figsize=(7.4, 4.2), sharey=True)
    places = np.array([-index - 0.6 * (arm in CACHED) for index, arm in enumerate(names)])
    for axes, (metric, title, baseline) in zip(panels, PANELS):
        values = [over_seeds(grid.arm(metric, arm) / grid.arm(metric, baseline + ("-cache" if arm in CACHED else "")))
                  for arm in names]
        bars(axes, places, names, values, title)
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    bars(panels[3], places, names, [over_seeds(grid.arm("host_peak_bytes", arm) / 2**30) for arm in names],
         "host memory,\npeak (GiB)", decimals=0)
    panels[0].set_yticks(places, [*PLAIN.values(), *CACHED.values()], fontsize=7.5)
    style.save(figure, arguments.output)


def bars(axes, places, names, values, title, decimals=2):
    means = np.array([mean for mean, _ in values])
    halves = np.nan_to_num([half for _, half in values])
    look = {"reuse": (style.COLOURS[0], ""), **{arm: (style.COLOURS[2], "///") for arm in CACHED}}
    colours, hatches = zip(*(look.get(arm, (style.COLOURS[5], "")) for arm in names))
    axes.barh(places, means, xerr=halves, height=0.6, color=colours, hatch=hatches, edgecolor="white", linewidth=0,
              error_kw={"linewidth": 0.8})
    top = np.nanmax(means + halves)
    for place, mean, half in zip(places, means, halves):
        axes.text(mean + half + 0.03 * top, place, f"{mean:.{decimals}f}", va="center", fontsize=7,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    axes.set(xlabel=title, xlim=(0, 1.32 * top))
    axes.grid(axis="y", visible=False)


if __name__ == "__main__":
    main()
