#!/usr/bin/env python3
"""Holds the paper's claims against what was measured here and what is modelled: a table with intervals and verdicts.

    .venv-plots/bin/python plots/reproduce.py results/reproduce -o docs/reproduction.md

Every figure comes from the program's own files; this script takes means over seeds, and says of each claim whether it holds
by one rule for all claims of its kind.
"""
import argparse
import os
import pathlib
import re
from dataclasses import dataclass

import numpy as np
from grid import Grid, over_seeds

HOLDS, PARTLY, NOT = "holds", "holds in part", "does not hold"
FACTOR, PERCENT, CHANGE = (".2f", "x"), (".1f", " %"), ("+.1f", " %")

# Where figures come from: the columns of the table.
LIVE, PAIRED, LONG, LONG_LEAN, CHAT, CHAT_LEAN = COLUMNS = (
    "CPU, live", "CPU, over one table of costs", "A100, long prompts, full records", "A100, long prompts, lean records",
    "A100, conversations, full records", "A100, conversations, lean records")
# Places in the grid of the accelerator: workload, plan.
PLACES = {LONG: (1, 0), LONG_LEAN: (1, 1), CHAT: (0, 0), CHAT_LEAN: (0, 1)}


class Figure:
    """Mean over seeds and half its 95 % interval."""

    def __init__(self, values, form):
        mean, half = over_seeds(np.asarray(values))
        self.mean, self.half = float(mean), float(half) if np.isfinite(half) else 0.0
        self.form = form

    @property
    def low(self):
        return self.mean - self.half

    @property
    def high(self):
        return self.mean + self.half

    def __str__(self):
        interval = f" ± {self.half:{self.form[0].lstrip('+')}}" if self.half else ""
        return f"{self.mean:{self.form[0]}}{interval}{self.form[1]}"


def up_to(claim, nothing):
    """Of a claim of a best case: some interval reaches it; in part if some lies wholly above a tenth of the effect."""
    def verdict(figures):
        if any(figure.high >= claim for figure in figures):
            return HOLDS
        return PARTLY if any(figure.low > nothing + (claim - nothing) / 10 for figure in figures) else NOT
    return verdict


def within(low, high):
    """Of a claim of a range: every interval meets it; in part if some does."""
    def verdict(figures):
        inside = [figure.high >= low and figure.low <= high for figure in figures]
        return HOLDS if all(inside) else PARTLY if any(inside) else NOT
    return verdict


def at_most(limit):
    """Of a claim that something never hurts: every interval ends below the limit; in part if some does."""
    def verdict(figures):
        below = [figure.high <= limit for figure in figures]
        return HOLDS if all(below) else PARTLY if any(below) else NOT
    return verdict


@dataclass
class Row:
    claim: str
    paper: str
    figures: dict
    verdict: str
    reason: str


def tokens_that_fit(grid, arm):
    """Tokens of the largest micro-batch that the program let an arm train on its device, by seed."""
    largest = grid.arm("largest_micro_batch_tokens", arm)
    step = grid.arm("trained_tokens", arm) / grid.arm("training_steps", arm)
    if np.any(largest > 0.9 * step):
        raise SystemExit(f"{grid.folder.parent.name}: {arm} trains whole steps at once: nothing is known of what its device holds")
    return largest


class Claims:
    def __init__(self, folder):
        self.cpu, self.gpu = Grid(folder / "cpu/merged.h5"), Grid(folder / "gpu/merged.h5")
        self.cpu_tokens, self.gpu_tokens = Grid(folder / "cpu_tokens/merged.h5"), Grid(folder / "gpu_tokens/merged.h5")

    def rows(self):
        return [self.redundant(), self.throughput(), self.checkpointed(), self.wall(), self.exact(),
                self.memory("recompute"), self.memory("recompute-full"), self.tokens("recompute"),
                self.tokens("recompute-full"),
                self.latency("ttft_p90_ratio", "TTFT p90"), self.latency("itl_p99_ratio", "ITL p99")]

    def compared(self, metric, baseline, form, change=lambda value: value, candidate="reuse"):
        """The metric in every column."""
        layers = {LIVE: "comparison", PAIRED: "paired"}
        figures = {column: Figure(change(self.cpu.compared(metric, candidate, baseline, layer)), form)
                   for column, layer in layers.items()}
        values = self.gpu.compared(metric, candidate, baseline)
        return figures | {column: Figure(change(values[place]), form) for column, place in PLACES.items()}

    @staticmethod
    def steady(figures):
        """All but the live ones, which the machine's own drift from arm to arm is part of."""
        return [figure for column, figure in figures.items() if column != LIVE]

    def row(self, claim, paper, figures, rule, reason):
        return Row(claim, paper, figures, rule(self.steady(figures)), reason)

    def redundant(self):
        figures = self.compared("training_speedup_bound", "recompute", PERCENT, lambda bound: 100 * (1 - 1 / bound))
        return self.row(
            "share of training time that computes again what serving had computed (selective checkpointing)", "30 % to 42 %",
            figures, within(30, 42),
            "the share is that of the forward pass times p. Lean records leave part of each layer to be computed again. Full "
            "tuning, whose forward pass is a third of the work or less, stays below 30 % at any p (figure 1)")

    def throughput(self):
        figures = self.compared("training_speedup", "separate", FACTOR)
        bound = self.compared("training_speedup_bound", "separate", FACTOR)[LONG]
        return self.row(
            "training throughput against a training device of its own with selective checkpointing, by busy time",
            "up to 1.72x", figures, up_to(1.72, 1),
            f"1.72x would need 42 % of the time to be redundant; the most that skipping every recorded token's forward pass "
            f"could bring is {bound} on long prompts. Live figures of the CPU have its own changes of speed in them: one arm "
            "runs after the other")

    def checkpointed(self):
        return self.row(
            "the same against full checkpointing", "up to 1.72x", self.compared("training_speedup", "recompute-full", FACTOR),
            up_to(1.72, 1),
            "the paper does not say what its baseline recomputes; this one runs every layer forward twice, the usual choice "
            "where memory is short")

    def wall(self):
        return self.row(
            "the same per second of wall time, against training on the same device", "up to 1.72x",
            self.compared("training_speedup_wall", "recompute", FACTOR), up_to(1.72, 1),
            "at this load every arm trains on all feedback as it comes, and waits for more: what reuse saves is idle time, until "
            "feedback comes faster than it can be trained on")

    def exact(self):
        return self.row(
            "training throughput with records of the current weights only, selective checkpointing", "up to 1.72x",
            self.compared("training_speedup", "recompute", FACTOR, candidate="reuse-exact"), up_to(1.72, 1),
            "all other rows take records of any age, whose gradients are not those of the current weights "
            "([staleness.md](staleness.md)). Feedback mostly comes after the weights have moved on, so that few records are exact. "
            "The paper's abstract does not say which it means")

    def memory(self, baseline):
        figures = self.compared(
            "training_peak_memory_ratio", baseline, PERCENT, lambda ratio: 100 * (1 - ratio))
        name = {"recompute": "selective checkpointing", "recompute-full": "full checkpointing"}[baseline]
        reason = {
            "recompute": "records leave for the host while the link keeps up with prefill; those that wait for it stay on the "
                         "device",
            "recompute-full": "below nothing is more memory. Full checkpointing keeps layers' inputs alone, and is slow (above): "
                              "no baseline of the A100 is both as slow and as large as the two claims together need",
        }[baseline]
        return self.row(f"memory during training lower than with {name} by", "up to 47 %", figures, up_to(47, 0), reason)

    def tokens(self, baseline):
        figures = {
            column: Figure(tokens_that_fit(grid, "reuse") / tokens_that_fit(grid, baseline), FACTOR)
            for column, grid in [(LIVE, self.cpu_tokens), (LONG, self.gpu_tokens)]}
        name = {"recompute": "selective checkpointing", "recompute-full": "full checkpointing"}[baseline]
        return self.row(
            f"tokens whose training fits at once, against {name}", "up to 2x", figures, up_to(2, 1),
            "the largest micro-batch that the program let each train on one device: 72 of 80 GiB (A100), and 512 MiB "
            "(CPU, where the work is computed). Only tokens without records are kept whole, which "
            "at p = 0.9 are a tenth: that is why it can be far more than twice" if baseline == "recompute" else
            "full checkpointing keeps less of each token than the reloaded records of two layers and the tokens without records. "
            "Reuse that checkpoints its own tokens, too, is about even with it (hardware.md)")

    def latency(self, metric, name):
        figures = self.compared(metric, "recompute", CHANGE, lambda ratio: 100 * (ratio - 1))
        return self.row(
            f"serving latency, {name} against serving alone", "negligible impact", figures, at_most(5),
            "training in idle time, at one request in 2 to 4 s (A100) and 2/s (CPU). An iteration writes its records before the "
            "next one begins; lean records write less than half")


def text(rows, cpu_seeds, gpu_seeds, command):
    lines = [
        "# The paper's claims, and what is found here", "",
        f"Made by `{command}`. The paper is "
        "Alchemist ([arXiv 2503.01066](https://arxiv.org/abs/2503.01066)). **Its models, accelerators, objective and batch "
        "sizes are not known to us, so every setting is ours**: the mechanism is held against the figures, not one run "
        "against another.", "",
        "- *CPU*: a model of 14 million parameters with LoRA on prompts of up to 1024 tokens, p = 0.9, on the machine that made "
        "this: *live*, as the clock said, and *over one table of costs*: what both arms did, priced by the median of what each shape of "
        "work was measured to take ([metrics.md](metrics.md#paired-comparison)).",
        "- *A100*: Llama-3-8B with LoRA on 80 GB, priced ([hardware.md](hardware.md)), on long prompts (p = 0.9) and on "
        "conversations in ShareGPT's lengths (p = 0.8). *Full* records keep all that the backward pass needs, *lean* ones leave "
        "out the widest, which are computed again.", "",
        "**Records of any age are used (`staleness: any`) in all rows but one**, and are offloaded as soon as they exist. Means over "
        f"{cpu_seeds} seeds (CPU) and {gpu_seeds} (A100) of trace, weights and feedback, with the 95 % interval of the mean "
        "(Student's t). `experiments/reproduce` has the settings.", "",
        "| claim | paper | " + " | ".join(COLUMNS) + " | verdict |", "|---|---|" + "---|" * len(COLUMNS) + "---|"]
    for row in rows:
        cells = [str(row.figures.get(column, "-")) for column in COLUMNS]
        lines.append(f"| {row.claim} | {row.paper} | {' | '.join(cells)} | **{row.verdict}** |")
    lines += [
        "", "Verdicts are over all columns but the live one. A claim of *up to* something holds if the interval of some column "
        "reaches it, and in part if some interval lies wholly above a tenth of the claimed effect; a range holds if every "
        "interval meets it, and in part if some does; *negligible* is taken as at most 5 %, and holds if every interval ends below that. A row's verdict is its own: "
        "**no single column has all of them**, as the columns and the two baselines show.",
        "", "## Why", ""]
    for row in rows:
        lines.append(f"- **{row.claim[0].upper() + row.claim[1:]}** ({row.verdict}): {row.reason}.")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="the folders of the sweeps cpu, gpu, cpu_tokens and gpu_tokens")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--command", default="make reproduce-full", help="what the page says that it was made by")
    arguments = parser.parse_args()
    claims = Claims(arguments.folder)
    rows = claims.rows()
    # Links are those of a page in docs.
    docs = os.path.relpath(pathlib.Path(__file__).parent.parent / "docs", arguments.output.parent)
    page = text(rows, len(claims.cpu.axis("seed")), len(claims.gpu.axis("seed")), arguments.command)
    temporary = arguments.output.with_name(f".{arguments.output.name}.partial")
    temporary.write_text(page if docs == "." else re.sub(r"\]\((?=\w+\.md)", f"]({docs}/", page))
    temporary.replace(arguments.output)
    for row in rows:
        print(f"{row.claim}: {row.verdict}\n    paper: {row.paper}")
        for column, figure in row.figures.items():
            print(f"    {column}: {figure}")
    print(f"\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
