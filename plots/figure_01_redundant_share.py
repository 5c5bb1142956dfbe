#!/usr/bin/env python3
"""The share of training time that recomputes what serving had computed, against the prompts' share of the tokens."""
import style
from grid import Grid, over_seeds
from style import plt


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    machines, tunings, shares = grid.axis("machine"), grid.axis("training_tuning"), grid.axis("trace_target_p")
    # The bound says how much faster training would be without the redundant part: the part is 1 - 1 / bound.
    redundant, half = over_seeds(100 * (1 - 1 / grid.compared("training_speedup_bound", "reuse", "recompute")))
    figure, panels = plt.subplots(1, len(machines), figsize=(7.2, 3.2), sharey=True)
    for panel, (axes, machine) in enumerate(zip(panels, machines)):
        axes.axhspan(30, 42, color="#dddddd", zorder=0, linewidth=0)
        for mode, tuning in enumerate(tunings):
            colour, name = style.COLOURS[[0, 3][mode]], {"lora": "LoRA", "full": "full tuning"}[tuning]
            style.line(axes, shares, redundant[panel, mode], half[panel, mode], color=colour, marker="os"[mode],
                       markersize=4, label=name)
        axes.set(title=machine, xlabel="prompts' share of trained tokens, p", ylim=(0, 48))
    panels[0].text(shares[0], 40.5, "the paper: 30 % to 42 %", fontsize=8, va="top")
    panels[0].set_ylabel("training time that computes\nagain what serving had (%)")
    panels[1].legend(fontsize=7.5, loc="lower right")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
