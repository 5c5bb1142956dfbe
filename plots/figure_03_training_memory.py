#!/usr/bin/env python3
"""Memory of training over one step, that in which recomputing takes most, and its peak, by what is kept where."""
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
OVER_TIME = ["recompute-none", "recompute", "recompute-full", "reuse", "reuse-lean"]


BASELINE = "recompute"


def training_memory(run, arm):
    """Training memory over an arm's first repeat: starts of buckets, their width, highest levels in them; and the steps."""
    with h5py.File(run) as file:
        log = file[f"arms/{arm}/repeat_000"]
        series = log["memory/device/series"]
        levels = sum(series[owner][()] for owners, _ in OWNERS for owner in owners)
        return (series["start"][()], log["memory/device/bucket_width"][()], levels,
                list(zip(log["training/start"][()], log["training/end"][()])))


def within(run, arm, step):
    """The memory (GiB) in a step, in seconds from the step's start."""
    times, width, levels, steps = training_memory(run, arm)
    start, end = steps[step]
    inside = (times + width > start) & (times < end)
    return (times[inside] - start) / 1e9, levels[inside] / 2**30


def peak_step(run, arm):
    """The step in which memory is highest; of equally high ones, the first."""
    return int(np.argmax([within(run, arm, step)[1].max() for step in range(len(training_memory(run, arm)[3]))]))


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    figure, (course, bars) = plt.subplots(1, 2, figsize=(7.2, 3.6), width_ratios=[1, 1.25])
    step = peak_step(grid.run(0), BASELINE)
    for arm in OVER_TIME:
        colour, line, _ = style.ARMS[arm]
        course.plot(*within(grid.run(0), arm, step), color=colour, linestyle=line, drawstyle="steps-post", linewidth=1.2,
                    label=LABELS[arm].replace("\n", " "))
    course.set(title=f"step {step + 1}, in which {LABELS[BASELINE]} peaks".replace("\n", " "),
               xlabel="time since the step's start (s)", ylabel="training memory (GiB)")
    course.set_ylim(0, 1.45 * course.get_ylim()[1])
    course.legend(fontsize=6.5, loc="upper right")
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
    bars.set(title="highest of the whole run", xlabel="highest level on the device (GiB)", xlim=(0, None))
    for axes in (course, bars):
        axes.title.set_fontsize(8.5)
    bars.grid(axis="y", visible=False)
    bars.legend(fontsize=6.5, loc="upper right")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
