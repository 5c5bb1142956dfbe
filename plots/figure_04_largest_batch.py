#!/usr/bin/env python3
"""Device memory against the tokens of the largest micro-batch, up to what the program lets through on 72 of 80 GiB."""
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
    figure, (course, bars) = plt.subplots(1, 2, figsize=(7.2, 3.3), width_ratios=[1.4, 1])
    fits = []
    for arm, label in LABELS.items():
        tokens, spread = over_seeds(grid.arm("largest_micro_batch_tokens", arm))
        mean, half = over_seeds(grid.arm("device_peak_bytes", arm) / 2**30)
        style.line(course, tokens, mean, half, **style.arm(arm), label=label)
        # The last limit is none: there the device decides.
        step = over_seeds(grid.arm("trained_tokens", arm) / grid.arm("training_steps", arm))[0][-1]
        fits.append((tokens[-1], spread[-1], tokens[-1] > 0.9 * step))
    course.axhline(LIMIT, color="black", linewidth=0.9, linestyle=(0, (1, 1)))
    course.text(2048, LIMIT * 1.04, f"{LIMIT} GiB", fontsize=8)
    course.set_xscale("log", base=2)
    course.set_yscale("log", base=2)
    course.set(xlabel="tokens of the largest micro-batch", ylabel="device memory, peak (GiB)")
    course.set_xticks([2048, 8192, 32768, 131072], ["2048", "8192", "32768", "131072"])
    course.set_yticks([16, 32, 64], ["16", "32", "64"])
    course.set_ylim(16, 84)
    course.legend(fontsize=6.5, loc="lower right")
    places = np.arange(len(LABELS))[::-1]
    bars.barh(places, [fit / 1024 for fit, _, _ in fits], color=[style.ARMS[arm][0] for arm in LABELS], height=0.6)
    for place, (fit, spread, is_all) in zip(places, fits):
        half = "" if np.isnan(spread) else f" ± {spread:.0f}"
        bars.text(fit / 1024 + 1, place, f"{'≥ ' if is_all else ''}{fit:.0f}{half}", va="center", fontsize=7.5)
    bars.set_yticks(places, [label.replace(", ", ",\n") for label in LABELS.values()], fontsize=7.5)
    bars.set(xlabel=f"largest micro-batch that the program\ntrains in {LIMIT} GiB (1024 tokens)",
             xlim=(0, max(fit for fit, _, _ in fits) / 1024 * 1.5))
    bars.grid(axis="y", visible=False)
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
