#!/usr/bin/env python3
"""Runs modelled work of growing length and demands that memory does not grow with time served: what a run keeps for each
request, and no more.

    python3 Tests/Runs/soak.py [--requests 200000]
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PROGRAM = os.environ.get("ALCHEMIST_SIM", str(pathlib.Path(__file__).resolve().parents[2] / ".build/release/alchemist-sim"))
# What a request may add: its place in the trace, its row of the log, and the rows of its iterations until the log of
# iterations is full, in bytes.
LIMIT = 3000
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def memory(trace, folder):
    result = subprocess.run(
        [PROGRAM, "run", trace, "--arms", "reuse", "--set", "backend=a100-80g", "--set", "model=llama-3-8b", "--set",
         "serving.token_budget=512", "--set", "recording.host_eviction=oldest", "--quiet", "-o", folder / "r.h5"],
        capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"soak: the run ended with {result.returncode}: {result.stderr}")
    value, unit = re.search(r"took [\d.]+ s and ([\d.]+) (KiB|MiB|GiB) of memory", result.stdout).groups()
    return float(value) * UNITS[unit]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=200_000)
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="alchemist-soak-") as folder:
        folder = pathlib.Path(folder)
        found = []
        for requests in (options.requests // 10, options.requests):
            trace = folder / f"{requests}.jsonl"
            subprocess.run(
                [PROGRAM, "trace", "generate", "--requests", str(requests), "--lengths", "sharegpt-first", "--content",
                 "counts", "--turns", "1", "--rate", "3", "--feedback-rate", "0.2", "--seed", "1", "-o", trace],
                check=True, stdout=subprocess.DEVNULL)
            found.append((requests, memory(trace, folder)))
            print(f"{requests} requests: {found[-1][1] / (1 << 20):.0f} MiB", flush=True)
        (few, small), (many, large) = found
        each = (large - small) / (many - few)
        print(f"each further request takes {each:.0f} bytes, at most {LIMIT} are allowed")
        return 0 if each <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
