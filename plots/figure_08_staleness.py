#!/usr/bin/env python3
"""What stale records cost: the error of samples' gradients against the age of their records, and learning from them."""
import h5py
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

ARMS = {"exact": ("only records of the current weights", style.COLOURS[3], "-", "s"),
        "bounded": ("records up to 4 updates old", style.COLOURS[2], "--", "^"),
        "any": ("records of any age", style.COLOURS[0], "-.", "o")}
NAMES = {"lora": "LoRA", "full": "full tuning"}
# Ages that are counted together, each bin half as wide as its middle; age 0 differs by rounding alone, 1e-6 or so.
BINS = [(1, 1), (2, 2), (3, 5), (6, 11), (12, 23), (24, 47)]


def audits(run):
    """Age in updates of the oldest part of each audited sample's records, and the error of its whole gradient."""
    with h5py.File(run) as file:
        table = file["arms/any/repeat_000/sample_audits"]
        whole = table["layer"][()] == -1
        return table["age"][()][whole], table["error"][()][whole]


def median(values):
    """The median, and the ends of its 95 % interval by order statistics: no assumption on how values spread, but that they
    are independent. None of fewer than six values."""
    values, count = np.sort(values), len(values)
    chances = np.cumsum([np.exp(_log_choose(count, k) - count * np.log(2)) for k in range(count + 1)])
    below = int(np.searchsorted(chances, 0.025, side="right"))
    ends = (values[below - 1], values[count - below]) if below > 0 else (np.nan, np.nan)
    return np.median(values), *ends


def _log_choose(n, k):
    return np.sum(np.log(np.arange(n - k + 1, n + 1))) - np.sum(np.log(np.arange(1, k + 1)))


def learning(run, arm):
    """Tokens trained on and held-out loss on the language that is learned, version by version."""
    with h5py.File(run) as file:
        curve = file[f"arms/{arm}/repeat_000/learning_curve"]
        return curve["trained_tokens"][()], curve["loss_shifted"][()]


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    tunings, seeds = grid.axis("tuning"), range(len(grid.axis("seed")))
    figure, panels = plt.subplots(len(tunings), 3, figsize=(7.6, 2.5 * len(tunings)), squeeze=False)
    for row, (tuning, (errors, losses, differences)) in enumerate(zip(tunings, panels)):
        ages, found = map(np.concatenate, zip(*(audits(grid.run(row, seed)) for seed in seeds)))
        shown = ages > 0
        errors.plot(ages[shown], found[shown], ".", color=style.GREY, markersize=2.5, alpha=0.6, label="a sample")
        bins = [(low, high) for low, high in BINS if np.any((ages >= low) & (ages <= high))]
        middles = np.array([np.sqrt(low * high) for low, high in bins])
        medians, lower, upper = np.array(
            [median(found[(ages >= low) & (ages <= high)]) for low, high in bins]).reshape(-1, 3).T
        reach = np.nan_to_num([medians - lower, upper - medians])
        errors.errorbar(middles, medians, reach, fmt="o-", color=style.COLOURS[0], markersize=4, linewidth=1.3, capsize=2,
                        label="median")
        curves = {arm: [learning(grid.run(row, seed), arm) for seed in seeds] for arm in ARMS}
        # Runs end together but for a few samples at the end.
        points = min(len(loss) for runs in curves.values() for _, loss in runs)
        exact = np.array([loss[:points] for _, loss in curves["exact"]]).T
        for arm, (label, colour, line, marker) in ARMS.items():
            look = {"color": colour, "linestyle": line, "linewidth": 1.3, "marker": marker, "markersize": 3}
            tokens = np.mean([tokens[:points] for tokens, _ in curves[arm]], axis=0) / 1000
            loss = np.array([loss[:points] for _, loss in curves[arm]]).T
            losses.plot(tokens, over_seeds(loss)[0], **look, label=label)
            if arm != "exact":
                style.line(differences, tokens, *over_seeds(loss - exact), **look)
        differences.axhline(0, color=style.COLOURS[3], linewidth=1)
        name = NAMES[tuning]
        errors.set(title=name, ylabel="gradient error (relative)", xscale="log", yscale="log")
        losses.set(title=name, ylabel="held-out loss (nats)")
        differences.set(title=name, ylabel="loss less that of\nexact records (nats)")
        style.plain_ticks(errors.xaxis, [1, 2, 4, 8, 16, 32])
        style.plain_ticks(errors.yaxis, [0.01, 0.03, 0.1, 0.3, 1])
        errors.legend(fontsize=7, loc="lower right")
    for axes, label in zip(panels[-1], ("age of records (updates)", "trained tokens (1000)", "trained tokens (1000)")):
        axes.set_xlabel(label)
    handles, labels = panels[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=3, loc="outside lower center")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
