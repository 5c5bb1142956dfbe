#!/usr/bin/env python3
"""Device memory against the tokens that are trained on at once, and how many fit into 72 of 80 GiB."""
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

LIMIT = 72  # GiB: nine tenths of 80, as the program uses an accelerator's memory.
LABELS = {"recompute-none": "recompute, no checkpoints", "recompute": "recompute, selective",
          "recompute-full": "recompute, full checkpoints", "reuse": "reuse", "reuse-lean": "reuse, lean records"}


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    sizes = grid.axis("training_micro_batch_tokens")
    figure, (course, bars) = plt.subplots(1, 2, figsize=(7.2, 3.3), width_ratios=[1.4, 1])
    fits = []
    for arm, label in LABELS.items():
        mean, half = over_seeds(grid.arm("device_peak_bytes", arm) / 2**30)
        style.line(course, sizes, mean, half, **style.arm(arm), label=label)
        fitting = sizes[mean <= LIMIT]
        fits.append(fitting.max() if len(fitting) else 0)
    course.axhline(LIMIT, color="black", linewidth=0.9, linestyle=(0, (1, 1)))
    course.text(sizes[0], LIMIT * 1.04, f"{LIMIT} GiB", fontsize=8)
    course.set_xscale("log", base=2)
    course.set_yscale("log", base=2)
    course.set(xlabel="tokens of a micro-batch", ylabel="device memory, peak (GiB)")
    course.set_xticks([2048, 8192, 32768, 98304], ["2048", "8192", "32768", "98304"])
    course.set_yticks([16, 32, 64, 128, 256, 512], ["16", "32", "64", "128", "256", "512"])
    course.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0.0, 0.88))
    places = np.arange(len(LABELS))[::-1]
    bars.barh(places, np.array(fits) / 1024, color=[style.ARMS[arm][0] for arm in LABELS], height=0.6)
    for place, fit in zip(places, fits):
        more = "more than " if fit == sizes[-1] else ""
        bars.text(fit / 1024 + 1, place, f"{more}{fit}" if not more else f"≥ {fit}", va="center", fontsize=7.5)
    bars.set_yticks(places, [label.replace(", ", ",\n") for label in LABELS.values()], fontsize=7.5)
    bars.set(xlabel=f"largest micro-batch tried that\nfits {LIMIT} GiB (1024 tokens)", xlim=(0, max(fits) / 1024 * 1.35))
    bars.grid(axis="y", visible=False)
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
