#!/usr/bin/env python3
"""Ten thousand modelled points: how long they take, and what their merge takes in time and memory.

    python3 Tests/Sweeps/many.py [--full]
"""
import argparse
import pathlib
import resource
import subprocess
import tempfile
import time

from sweeping import command, demand, experiment, records, run

GRID = """\
scenario: {model: llama-3-8b, backend: a100-80g, training.staleness: any}
trace:
  generate: {requests: 4, content: counts, scale: 0.3, max_context: 1024, feedback_rate: 1}
axes:
  trace.rate: {from: 1, to: 10, steps: 10}
  training.update_every: {from: 1, to: 10, step: 1}
  training.micro_batch_tokens: {from: 512, to: 5120, step: 512}
  seeds: 10
arms: [serve-only, recompute, reuse]
results: RESULTS
"""


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--full", action="store_true", help="keep every point's results file, some 10 GB")
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="alchemist-many-") as folder:
        folder = pathlib.Path(folder)
        grid = experiment(folder, GRID, "full" if options.full else "summary")
        output = folder / "out"
        start = time.monotonic()
        run(*command(grid, output), timeout=3600)
        points = len(records(output))
        elapsed = time.monotonic() - start
        print(f"{points} points in {elapsed:.1f} s, {points / elapsed:.0f} points/s")
        demand(points == 10_000, f"{points} points, not 10000")
        start = time.monotonic()
        subprocess.run(command(grid, output, "--merge"), check=True, stdin=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        size = (output / "merged.h5").stat().st_size
        # Children's highest, in KiB: sweeps and workers are smaller than merges.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(f"merged in {seconds:.2f} s, at most {peak / 1e6:.0f} MB of memory, into {size / 1e6:.1f} MB")
        demand(peak < 500e6, f"{peak / 1e6:.0f} MB of memory, not below 500")
        demand(seconds < 10, f"{seconds:.1f} s, not below 10")


if __name__ == "__main__":
    main()
