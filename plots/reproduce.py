#!/usr/bin/env python3
"""Holds the paper's claims against what was measured here and what is modelled: a table with intervals and verdicts.

    .venv-plots/bin/python plots/reproduce.py results/reproduce -o docs/reproduction.md

Every figure comes from the program's own files; this script takes means over seeds, and says of each claim whether it holds.
"""
import argparse
import pathlib

import numpy as np
from grid import Grid, over_seeds

HOLDS, PARTLY, NOT = "holds", "holds in part", "does not hold"


class Figure:
    """Mean over seeds and half its 95 % interval."""

    def __init__(self, values, form, scale=1):
        mean, half = over_seeds(np.asarray(values) * scale)
        self.mean, self.half, self.seeds = float(mean), float(half), int(np.isfinite(values).sum())
        self.form = form

    def __str__(self):
        interval = f" ± {self.half:{self.form[0].lstrip('+')}}" if np.isfinite(self.half) else ""
        return f"{self.mean:{self.form[0]}}{interval}{self.form[1]}"


FACTOR, PERCENT, CHANGE = (".3f", "x"), (".1f", " %"), ("+.1f", " %")


def tokens_that_fit(grid, arm, limits):
    """Tokens of the micro-batch at which an arm's memory reaches each seed's limit, linear between the sizes tried."""
    sizes = grid.axis("training_micro_batch_tokens")
    peaks = grid.arm("device_peak_bytes", arm)
    for seed, limit in enumerate(limits):
        # Beyond the sizes tried nothing is known, and `interp` would answer with the last of them.
        if not peaks[0, seed] <= limit <= peaks[-1, seed] or np.any(np.diff(peaks[:, seed]) < 0):
            raise SystemExit(f"{grid.folder.parent.name}: the sizes tried do not span {limit / 2**30:.2f} GiB with {arm}, "
                             f"seed {seed}: peaks of {peaks[0, seed] / 2**30:.2f} to {peaks[-1, seed] / 2**30:.2f} GiB")
    return np.array([np.interp(limit, peaks[:, seed], sizes) for seed, limit in enumerate(limits)])


class Claims:
    def __init__(self, folder):
        self.cpu, self.gpu = Grid(folder / "cpu/merged.h5"), Grid(folder / "gpu/merged.h5")
        self.cpu_tokens, self.gpu_tokens = Grid(folder / "cpu_tokens/merged.h5"), Grid(folder / "gpu_tokens/merged.h5")
        # Places in the grid of the accelerator.
        self.chat, self.long = 0, 1
        self.full, self.lean = 0, 1

    def rows(self):
        return [self.redundant(), self.throughput(), self.throughput_checkpointed(), self.memory(), self.tokens(),
                self.first_token(), self.token_gap()]

    def of_gpu(self, metric, baseline, place=None, plan=None):
        values = self.gpu.compared(metric, "reuse", baseline)
        return values[self.long if place is None else place, self.full if plan is None else plan]

    def measured_speedup(self, baseline):
        """Paired over one table of costs, and live."""
        return (Figure(self.cpu.compared("training_speedup", "reuse", baseline, layer), FACTOR)
                for layer in ("paired", "comparison"))

    def redundant(self):
        cpu = Figure(1 - 1 / self.cpu.compared("training_speedup_bound", "reuse", "recompute"), PERCENT, 100)
        best, chat = (Figure(1 - 1 / self.of_gpu("training_speedup_bound", "recompute", place), PERCENT, 100)
                      for place in (self.long, self.chat))
        inside = [30 <= figure.mean <= 42 for figure in (cpu, best)]
        return ("share of training time that computes again what serving had computed", "30 % to 42 %", cpu,
                f"{best} (conversations: {chat})", "LoRA, selective checkpointing; p = 0.9, conversations 0.8",
                HOLDS if all(inside) else PARTLY if any(inside) else NOT,
                "the share is that of the forward pass times p: full tuning, whose forward pass is a third of the work or "
                "less, stays below 30 % at any p (figure 1)")

    def throughput(self):
        cpu, live = self.measured_speedup("separate")
        best, chat = (Figure(self.of_gpu("training_speedup", "separate", place), FACTOR) for place in (self.long, self.chat))
        bound = Figure(self.of_gpu("training_speedup_bound", "separate"), FACTOR)
        return ("training throughput against a separate training device, by the trainer's busy time", "up to 1.72x", cpu,
                f"{best} (conversations: {chat})", "as above; baseline with selective checkpointing",
                HOLDS if max(cpu.mean, best.mean) >= 1.72 else PARTLY if min(cpu.mean, best.mean) > 1.1 else NOT,
                f"1.72x would need 42 % of the time to be redundant; here the bound is {bound}, as skipping every recorded "
                "token's forward pass could bring. Per second of wall time the two do not compare: a separate trainer never "
                f"waits for the server, and has a device more. The CPU's figure is paired, over one table of costs; live it is {live}, "
                "as the machine's own speed changes from arm to arm")

    def throughput_checkpointed(self):
        best, chat = (Figure(self.of_gpu("training_speedup", "recompute-full", place), FACTOR)
                      for place in (self.long, self.chat))
        cpu, live = self.measured_speedup("recompute-full")
        return ("the same against a baseline with full checkpointing", "up to 1.72x", cpu,
                f"{best} (conversations: {chat})", "as above; the baseline runs every layer forward twice",
                HOLDS if min(cpu.mean, best.mean) >= 1.72 else PARTLY if max(cpu.mean, best.mean) > 1.1 else NOT,
                "the paper does not say what its baseline recomputes; this one is the usual choice where memory is short. "
                f"Live, the CPU's figure is {live}")

    def memory(self):
        cpu = Figure(1 - self.cpu.compared("training_peak_memory_ratio", "reuse", "recompute"), PERCENT, 100)
        lean, full, chat = (Figure(1 - self.of_gpu("training_peak_memory_ratio", "recompute", *place), PERCENT, 100)
                            for place in ((self.long, self.lean), (self.long, self.full), (self.chat, self.lean)))
        return ("memory during training lower by", "up to 47 %", cpu,
                f"{full} (lean records: {lean}; conversations, lean: {chat})", "records offloaded as soon as they exist",
                HOLDS if min(cpu.mean, max(full.mean, lean.mean)) >= 44.65 else PARTLY if max(cpu.mean, lean.mean) > 10 else NOT,
                "it holds while the link keeps up with prefill: records that wait for it stay on the device. Against full "
                "checkpointing, which keeps layers' inputs alone, reuse needs more and not less (figure 3)")

    def tokens(self):
        # The machine's memory is large for its model, so its limit is what recomputing needs for 4096 tokens.
        sizes = list(self.cpu_tokens.axis("training_micro_batch_tokens"))
        limits = self.cpu_tokens.arm("device_peak_bytes", "recompute")[sizes.index(4096)]
        cpu = Figure(tokens_that_fit(self.cpu_tokens, "reuse", limits)
                     / tokens_that_fit(self.cpu_tokens, "recompute", limits), FACTOR)
        limits = [72 * 2**30] * len(self.gpu_tokens.axis("seed"))
        gpu = Figure(tokens_that_fit(self.gpu_tokens, "reuse", limits)
                     / tokens_that_fit(self.gpu_tokens, "recompute", limits), FACTOR)
        return ("tokens that can be trained on at once", "up to 2x", cpu, gpu,
                "p = 0.9; in 72 GiB, and in what recomputing takes for 4096 tokens on the CPU, whose books are exact and whose time "
                "is priced here",
                HOLDS if min(cpu.mean, gpu.mean) >= 1.9 else PARTLY if min(cpu.mean, gpu.mean) > 1.1 else NOT,
                "only the tokens without records are kept whole; the program itself promises that micro-batches fit even "
                "without records, so it would not take so many (figure 4)")

    def latency(self, metric, name):
        cpu = Figure(self.cpu.compared(metric, "reuse", "recompute", "paired") - 1, CHANGE, 100)
        places = {(place, plan): Figure(self.of_gpu(metric, "recompute", place, plan) - 1, CHANGE, 100)
                  for place in (self.long, self.chat) for plan in (self.full, self.lean)}
        worst = max(places.values(), key=lambda figure: figure.mean)
        best = places[(self.chat, self.lean)]
        limit = 5
        all_ = [cpu, *places.values()]
        verdict = HOLDS if all(figure.mean <= limit for figure in all_) else \
            PARTLY if any(figure.mean <= limit for figure in all_) else NOT
        return (f"serving latency, {name} against serving alone", "negligible impact", cpu,
                f"{places[(self.long, self.full)]} (conversations: {places[(self.chat, self.full)]}, lean records there: "
                f"{best})", f"training in idle time; 'negligible' taken as at most {limit} %", verdict,
                f"an iteration writes its records before the next one begins: the worst case here is {worst}, and lean "
                "records write less than half. The CPU's figure is paired, over one table of costs, as live ones differ by "
                "more than the effect")

    def first_token(self):
        return self.latency("ttft_p90_ratio", "TTFT p90")

    def token_gap(self):
        return self.latency("itl_p99_ratio", "ITL p99")


def text(rows, cpu_seeds, gpu_seeds):
    lines = [
        "# The paper's claims, and what is found here", "",
        "Made by `make reproduce-full`, over five seeds (`make reproduce` takes two), as [figures.md](figures.md) tells. The paper is "
        "Alchemist ([arXiv 2503.01066](https://arxiv.org/abs/2503.01066)). **Its models, accelerators, objective and batch "
        "sizes are not known to us, so every setting is ours**: the mechanism is held against the figures, not one run "
        "against another.", "",
        "*Measured*: a model of 14 million parameters on the CPU that ran this. *Modelled*: Llama-3-8B on an A100 of 80 GB, "
        f"priced ([hardware.md](hardware.md)). Means over {cpu_seeds} seeds (measured) and {gpu_seeds} (modelled) of trace, "
        "weights and feedback, with the 95 % "
        "interval of the mean (Student's t). `experiments/reproduce` has the settings, [metrics.md](metrics.md) the "
        "definitions.", "",
        "| claim | paper | measured CPU | modelled GPU | setting | verdict |", "|---|---|---|---|---|---|"]
    for claim, paper, cpu, gpu, setting, verdict, _ in rows:
        lines.append(f"| {claim} | {paper} | {cpu} | {gpu} | {setting} | **{verdict}** |")
    lines += ["", "## Why", ""]
    for claim, _, _, _, _, verdict, reason in rows:
        lines.append(f"- **{claim[0].upper() + claim[1:]}** ({verdict}): {reason}.")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="the folders of the sweeps cpu, gpu, cpu_tokens and gpu_tokens")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    claims = Claims(arguments.folder)
    rows = claims.rows()
    page = text(rows, len(claims.cpu.axis("seed")), len(claims.gpu.axis("seed")))
    temporary = arguments.output.with_name(f".{arguments.output.name}.partial")
    temporary.write_text(page)
    temporary.replace(arguments.output)
    for claim, paper, cpu, gpu, _, verdict, _ in rows:
        print(f"{claim}\n    paper {paper}; measured CPU {cpu}; modelled GPU {gpu}: {verdict}")
    print(f"\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
