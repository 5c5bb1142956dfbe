#!/usr/bin/env python3
"""Runs experiments/precision.yaml on a real model and prints a table in Markdown.

Every figure is one that `alchemist-sim run --json` prints, or a ratio of two of them.

    python3 experiments/precision.py .build/release/alchemist-sim > results/precision.md
"""
import json
import os
import subprocess
import sys

PROGRAM = sys.argv[1]
FOLDER = "results/precision"


def main():
    os.makedirs(FOLDER, exist_ok=True)
    trace = f"{FOLDER}/trace.jsonl"
    subprocess.run([PROGRAM, "trace", "generate", "--requests", "40", "--target-p", "0.88", "--rate", "3", "--scale",
                    "0.16", "--feedback-rate", "1", "--seed", "1", "-o", trace], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([PROGRAM, "run", trace, "--scenario", "experiments/precision.yaml", "--json", "-q", "-o",
                           f"{FOLDER}/run.h5"], check=True, stdout=subprocess.PIPE, text=True)
    arms = json.loads(done.stdout)["arms"]
    print("| tuning | precision | bytes per token | to the host | training memory | precision error, median | highest "
          "| cosine | rounding error | tokens/busy s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for tuning in ("lora", "full"):
        for precision in ("fp32", "bf16", "int8"):
            arm = arms[f"{tuning}-{precision}"]
            print(f"| {tuning} | {precision} | {arm['transfer_bytes_to_host'] / arm['recorded_tokens'] / 1024:.1f} KiB "
                  f"| {arm['transfer_bytes_to_host'] / 2**20:.0f} MiB "
                  f"| {arm['training_peak_bytes'] / 2**20:.1f} MiB "
                  f"| {arm['gradient_precision_error']:.2g} | {arm['gradient_precision_error_worst']:.2g} "
                  f"| {arm['gradient_precision_cosine']:.6f} | {arm['gradient_rounding_error']:.2g} "
                  f"| {arm['tokens_per_busy_second']:.0f} |")


if __name__ == "__main__":
    main()
