#!/usr/bin/env python3
"""What stale records do to gradients and to learning.

    experiments/staleness.py PROGRAM CHECKPOINT [-o results/staleness.md] [--seeds 5]

Runs PROGRAM (alchemist-sim) on CHECKPOINT with `experiments/staleness.yaml` over a trace whose feedback comes after so many
updates that records are of every age wanted, and prints tables in Markdown: mean over seeds with the half-width of the 95 %
confidence interval by Student's t. Needs h5py (`make plots`).
"""

import argparse
import concurrent.futures
import json
import os
import random
import statistics
import subprocess
import sys

import h5py

HERE = os.path.dirname(os.path.abspath(__file__))
AGES = [0, 1, 2, 4, 8, 16, 32]
# Feedback does not come at exactly these: ages of up to half more and a quarter less are counted to the nearest.
BINS = {0: (0, 0), 1: (1, 1), 2: (2, 2), 4: (3, 5), 8: (6, 11), 16: (12, 23), 32: (24, 47)}
ARMS = ["exact", "bounded", "any"]
# Quantiles of Student's t at 97.5 %, by degrees of freedom.
STUDENT = [None, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]
RATES = {"lora": ["1e-3", "4e-3"], "full": ["1e-4", "4e-4"]}
GAP = 0.25


def write_trace(path, requests, prompt, output, seed):
    """Requests whose feedback takes as long as so many updates, of two samples each; the ages take turns at random."""
    random_stream = random.Random(seed)
    with open(path, "w") as file:
        for number in range(requests):
            age = random_stream.choice(AGES)
            line = dict(id=f"r{number}", arrival=number * GAP, prompt_tokens=prompt, output_tokens=output,
                        feedback=dict(delay=(2 * age + 0.5) * GAP))
            file.write(json.dumps(line) + "\n")
    return path


def interval(values):
    """Mean and half of its 95 % confidence interval; None where there is no figure."""
    values = [v for v in values if v is not None]
    if not values:
        return None, None
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    half = STUDENT[min(len(values), len(STUDENT)) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return mean, half


def shown(values, digits=3):
    mean, half = interval(values)
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None else "")


def table(title, header, rows):
    lines = [title, "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


class Run:
    """The figures of one run that the tables are made of."""

    def __init__(self, path):
        with h5py.File(path) as file:
            audits = file["arms/any/repeat_000/sample_audits"]
            columns = {name: audits[name][:] for name in ("age", "layer", "error", "cosine")}
            self.rows = list(zip(*columns.values()))
            self.layers = int(columns["layer"].max()) + 1
            self.summary = {
                arm: {name: float(file[f"arms/{arm}/summary/{name}"][()]) for name in (
                    "heldout_loss_base_first", "heldout_loss_base_last", "heldout_loss_shifted_first",
                    "heldout_loss_shifted_last", "record_hit_rate", "reused_token_fraction", "record_age_mean",
                    "training_steps", "tokens_per_busy_second")} for arm in ARMS}

    def mean(self, column, age, layer):
        values = [row[column] for row in self.rows if BINS[age][0] <= row[0] <= BINS[age][1] and row[1] == layer]
        return float(statistics.fmean(values)) if values else None

    def count(self, age):
        return sum(1 for row in self.rows if BINS[age][0] <= row[0] <= BINS[age][1] and row[1] == -1)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("program")
    options.add_argument("checkpoint")
    options.add_argument("-o", "--output", default="results/staleness.md")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--requests", type=int, default=96)
    options.add_argument("--prompt", type=int, default=96)
    options.add_argument("--response", type=int, default=25)
    options.add_argument("--jobs", type=int, default=2, help="runs at the same time; nothing depends on their speed")
    options.add_argument("--keep", action="store_true", help="take the results files that are there")
    arguments = options.parse_args()
    folder = os.path.join(os.path.dirname(arguments.output) or ".", "staleness")
    os.makedirs(folder, exist_ok=True)
    text = []
    finals = []
    def path(tuning, rate, seed):
        return os.path.join(folder, f"{tuning}-{rate}-{seed}")

    def run(setting):
        tuning, rate, seed = setting
        name = path(*setting)
        if arguments.keep and os.path.exists(name + ".h5"):
            return
        trace = write_trace(name + ".jsonl", arguments.requests, arguments.prompt, arguments.response, seed)
        print("running", name, file=sys.stderr)
        subprocess.run(
            [arguments.program, "run", trace, "--scenario", os.path.join(HERE, "staleness.yaml"), "--seed", str(seed),
             "--set", "model=" + arguments.checkpoint, "--set", "training.tuning=" + tuning,
             "--set", "training.learning_rate=" + rate, "--quiet", "--json", "-o", name + ".h5"],
            check=True, stdout=subprocess.DEVNULL)

    settings = [(tuning, rate, seed) for seed in range(arguments.seeds) for tuning in RATES for rate in RATES[tuning]]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(run, settings))
    for tuning, rates in RATES.items():
        for rate in rates:
            runs = [Run(path(tuning, rate, seed) + ".h5") for seed in range(arguments.seeds)]
            layers = runs[0].layers
            chosen = sorted({0, layers // 2, layers - 1})
            ages = [age for age in AGES if any(run.count(age) for run in runs)]
            rows = [[str(age) if BINS[age][0] == BINS[age][1] else f"{age} ({BINS[age][0]} - {BINS[age][1]})", str(sum(run.count(age) for run in runs)), shown([run.mean(2, age, -1) for run in runs]),
                     shown([run.mean(3, age, -1) for run in runs], 4)]
                    + [shown([run.mean(2, age, layer) for run in runs]) for layer in chosen]
                    + [shown([run.mean(3, age, layer) for run in runs], 4) for layer in chosen] for age in ages]
            header = ["age, updates", "samples", "error", "cosine"] + [f"error, layer {n}" for n in chosen] + [
                f"cosine, layer {n}" for n in chosen]
            text.append(table(f"Gradient error and cosine by age: {tuning}, learning rate {rate}", header, rows))
            for arm in ARMS:
                def values(metric):
                    return [None if run.summary[arm][metric] != run.summary[arm][metric] else run.summary[arm][metric]
                            for run in runs]
                apart = [run.summary[arm]["heldout_loss_shifted_last"]
                         - run.summary["exact"]["heldout_loss_shifted_last"] for run in runs]
                finals.append([tuning, rate, arm, shown(values("heldout_loss_shifted_first")),
                               shown(values("heldout_loss_shifted_last")), shown(apart, 4) if arm != "exact" else "-",
                               shown(values("heldout_loss_base_first")), shown(values("heldout_loss_base_last")),
                               shown(values("record_hit_rate")), shown(values("reused_token_fraction")),
                               shown(values("record_age_mean"), 1)])
    header = ["tuning", "rate", "arm", "loss on B before", "after", "less exact's", "loss on A before", "after",
              "hit rate", "p", "mean age"]
    text.append(table("Held-out loss after the last step, in nats, and hit rate", header, finals))
    with open(arguments.output + ".partial", "w") as file:
        file.write("\n".join(text))
    os.replace(arguments.output + ".partial", arguments.output)
    print("\n".join(text))


if __name__ == "__main__":
    main()
