#!/usr/bin/env python3
"""The training speed-up of reuse as a calibration predicts it, against what is measured, over p and ways of tuning.

    experiments/predicted-speedup.py PROGRAM [-o results/predicted-speedup.md] [--rounds 3]

A round calibrates PROGRAM (alchemist-sim) for each way of tuning, and then measures and models recomputing and reuse at each
share p of recorded tokens, twice each and in both orders. Writes a table in Markdown after every round, and prints the last:
medians over rounds, each with its lowest and highest. Python's standard library suffices.
"""

import argparse
import os
import statistics
import subprocess
import sys

from headline import write_trace

SCENARIO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "predicted-speedup.yaml")
SHARES = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
TUNINGS = ["lora", "full"]


def predicted(program, trace, profile, tuning, load, folder):
    """The speed-up measured, and how far the predicted one lies from it."""
    command = [program, "validate", SCENARIO, trace, "--profile", profile, "--set", "training.tuning=" + tuning, "--loads",
               str(load), "--repeats", "2", "--quiet", "-o", folder]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    row = next((line for line in printed.splitlines() if line.startswith("| reuse / recompute |")), None)
    if row is None:
        sys.exit(f"{' '.join(command)}: tells no speed-up")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    return float(cells[2]), float(cells[4].split()[0])


def table(found):
    lines = ["| tuning | p | speed-up measured | predicted, off by |", "|---|---|---|---|"]
    for (tuning, share), figures in sorted(found.items(), reverse=True, key=lambda item: (item[0][0], -item[0][1])):
        measured, errors = zip(*figures)
        lines.append(f"| {tuning} | {share} | {spread(measured, 2)} | {spread(errors, 1, ' %')} |")
    return "\n".join(lines) + "\n"


def spread(values, digits, unit=""):
    return f"{statistics.median(values):.{digits}f}{unit} ({min(values):.{digits}f} .. {max(values):.{digits}f})"


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("program")
    options.add_argument("-o", "--output", default="results/predicted-speedup.md")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--requests", type=int, default=16)
    options.add_argument("--length", type=int, default=512)
    options.add_argument("--load", type=float, default=0.5)
    arguments = options.parse_args()
    folder = os.path.join(os.path.dirname(arguments.output) or ".", "predicted-speedup")
    os.makedirs(folder, exist_ok=True)
    found = {}
    for number in range(arguments.rounds):
        for tuning in TUNINGS:
            profile = os.path.join(folder, tuning + ".yaml")
            print(f"round {number}: calibrating {tuning}", file=sys.stderr)
            subprocess.run([arguments.program, "calibrate", "--scenario", SCENARIO, "--set", "training.tuning=" + tuning,
                            "--quiet", "-o", profile], check=True, stdout=subprocess.DEVNULL)
            for share in SHARES:
                trace = write_trace(os.path.join(folder, "trace.jsonl"), arguments.requests, arguments.length, share, gap=1.0)
                figures = predicted(arguments.program, trace, profile, tuning, arguments.load, folder)
                found.setdefault((tuning, share), []).append(figures)
        text = table(found)
        with open(arguments.output, "w") as file:
            file.write(text)
    print(text)


if __name__ == "__main__":
    main()
