#!/usr/bin/env python3
"""Memory of training over one step, and its peak, by what is kept where."""
import h5py
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

# Groups of owners, from the bottom of the bars, and what they are called.
OWNERS = [
    (("adapters", "gradients", "optimizer", "publish_buffer"), "adapters, gradients, optimizer"),
    (("train_workspace",), "workspace"),
    (("train_activations",), "activations"),
    (("staged",), "records reloaded"),
    (("recorded", "recorded_kv"), "records"),
]
LABELS = {"recompute-none": "recompute,\nno checkpoints", "recompute": "recompute,\nselective",
          "recompute-full": "recompute,\nfull checkpoints", "reuse-kept": "reuse,\nnever offloaded",
          "reuse-hedged": "reuse,\nhedged", "reuse": "reuse,\noffloaded at once", "reuse-lean": "reuse,\nlean records"}
OVER_TIME = {"recompute-none": style.COLOURS[1], "recompute": style.COLOURS[3], "recompute-full": style.COLOURS[4],
             "reuse": style.COLOURS[0], "reuse-lean": style.COLOURS[2]}


def a_step(run, arm):
    """Training memory (GiB) over the longest step of an arm's first repeat, in seconds from its start."""
    with h5py.File(run) as file:
        log = file[f"arms/{arm}/repeat_000"]
        step = np.argmax(log["training/end"][()] - log["training/start"][()])
        start, end = log["training/start"][step], log["training/end"][step]
        series = log["memory/device/series"]
        times = series["start"][()]
        width = log["memory/device/bucket_width"][()]
        levels = sum(series[owner][()] for owners, _ in OWNERS for owner in owners)
    inside = (times + width >= start) & (times <= end)
    return (times[inside] - start) / 1e9, levels[inside] / 2**30


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    figure, (course, bars) = plt.subplots(1, 2, figsize=(7.2, 3.6), width_ratios=[1, 1.25])
    for arm, colour in OVER_TIME.items():
        times, levels = a_step(grid.run(0), arm)
        course.plot(times, levels, color=colour, drawstyle="steps-post", linewidth=1.1,
                    label=LABELS[arm].replace("\n", " "))
    course.set(xlabel="time in the step (s)", ylabel="training memory (GiB)", ylim=(0, 44))
    course.legend(fontsize=6.5, loc="upper left")
    peaks = {arm: over_seeds(grid.arm("training_peak_bytes", arm) / 2**30) for arm in LABELS}
    left = np.zeros(len(LABELS))
    places = np.arange(len(LABELS))[::-1]
    for index, (owners, name) in enumerate(OWNERS):
        # Peaks of owners come at their own moments; the diamond is the peak of the sum.
        sizes = np.array([sum(np.nanmean(grid.arm(f"device_peak_bytes_{owner}", arm)) for owner in owners) / 2**30
                          for arm in LABELS])
        bars.barh(places, sizes, left=left, height=0.62, label=name, color=style.COLOURS[index],
                  edgecolor="white", linewidth=0.4)
        left += sizes
    bars.errorbar([peaks[arm][0] for arm in LABELS], places, xerr=[np.nan_to_num(peaks[arm][1]) for arm in LABELS],
                  fmt="D", color="black", markersize=4, linewidth=0.8, label="peak of the sum")
    bars.set_yticks(places, LABELS.values(), fontsize=7.5)
    bars.set(xlabel="highest level on the device (GiB)", xlim=(0, None))
    bars.grid(axis="y", visible=False)
    bars.legend(fontsize=6.5, loc="upper right")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
