#!/usr/bin/env python3
"""A burst of requests on a tight device: memory by owner, the queue, and records dropped and reloaded."""
import h5py
import numpy as np
import style
from grid import Grid
from style import plt

OWNERS = [(("weights", "serving_workspace", "adapters", "gradients", "optimizer", "publish_buffer"), "weights and states", style.GREY),
          (("kv",), "KV of requests", style.COLOURS[5]),
          (("train_activations", "train_workspace"), "training activations", style.COLOURS[2]),
          (("staged",), "records reloaded", style.COLOURS[4]),
          (("recorded", "recorded_kv"), "records on the device", style.COLOURS[1])]
# Reasons for which a record is lost that a larger device, link or host would have kept.
DROPPED = ["device_full", "link", "host_full", "evicted"]


def binned(times, values, edges):
    return np.histogram(times / 1e9, bins=edges, weights=values)[0] / np.diff(edges)


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    with h5py.File(grid.run(0)) as file:
        log = file["arms/reuse/repeat_000"]
        series = {name: column[()] for name, column in log["memory/device/series"].items()}
        capacity = log["memory/device/capacity"][()] / 2**30
        iterations = {name: log["iterations"][name][()] for name in ("kind", "start", "waiting", "prefill_tokens")}
        lost = {name: log["lost_records"][name][()] for name in ("start", *DROPPED)}
        transfers = {name: log["transfers"][name][()] for name in ("direction", "end", "bytes")}
        arrivals = log["requests/effective_arrival"][()]
    end = arrivals.max() / 1e9 + 20
    figure, panels = plt.subplots(4, 1, figsize=(7.2, 6.4), sharex=True, height_ratios=[2, 1, 1, 1])
    times, step = series["start"] / 1e9, max(1, len(series["start"]) // 900)
    thin = lambda values: np.array([values[i:i + step].max() for i in range(0, len(values), step)])
    layers = [thin(sum(series[owner] for owner in owners)) / 2**30 for owners, _, _ in OWNERS]
    panels[0].stackplot(times[::step], layers, labels=[name for _, name, _ in OWNERS], linewidth=0,
                        colors=[colour for _, _, colour in OWNERS])
    panels[0].axhline(capacity, color="black", linewidth=0.9, linestyle=(0, (1, 1)))
    panels[0].set(ylabel="device memory\n(GiB)", ylim=(0, 1.42 * capacity))
    panels[0].legend(fontsize=7, ncols=3, loc="upper left")
    panels[0].text(end, capacity * 1.015, "what may be used", fontsize=7, ha="right", va="bottom")
    edges = np.arange(0, end + 2, 2.0)
    panels[1].stairs(binned(arrivals[arrivals >= 0], np.ones((arrivals >= 0).sum()), edges), edges, color=style.GREY)
    panels[1].set(ylabel="arrivals\n(requests/s)", ylim=(0, None))
    serving = iterations["kind"] == 0
    panels[2].plot(iterations["start"][serving] / 1e9, iterations["waiting"][serving], color=style.COLOURS[3], linewidth=0.9,
                   drawstyle="steps-post")
    panels[2].set(ylabel="waiting\n(requests)", ylim=(0, None))
    dropped = sum(lost[reason] for reason in DROPPED)
    panels[3].stairs(binned(lost["start"], dropped / 1e9, edges), edges, color=style.COLOURS[3], fill=True, alpha=0.45,
                     label="lost, or not made, for want of room")
    for code, name, colour, line in ((0, "offloaded", style.COLOURS[0], "-"), (1, "reloaded", style.COLOURS[2], "--")):
        chosen = transfers["direction"] == code
        panels[3].stairs(binned(transfers["end"][chosen], transfers["bytes"][chosen] / 1e9, edges), edges, color=colour,
                         linestyle=line, label=name)
    panels[3].set(ylabel="records\n(GB/s)", xlabel="virtual time (s)", xlim=(0, end), ylim=(0, None))
    panels[3].set_ylim(0, 1.45 * panels[3].get_ylim()[1])
    panels[3].legend(fontsize=7, ncols=3, loc="upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
