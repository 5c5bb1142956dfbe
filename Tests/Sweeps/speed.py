#!/usr/bin/env python3
"""What a second job brings on modelled points: throughput with two jobs over that with one, on a machine that has nothing
else to do; the median of five rounds must be 1.8 or more. A machine's speed drifts within minutes, and a round that
always measures one job first would measure the drift, too: rounds begin with one job and with two in turn.

    python3 Tests/Sweeps/speed.py
"""
import pathlib
import statistics
import tempfile
import time

from sweeping import command, demand, experiment, records, run

LEAST = 1.8


def main():
    with tempfile.TemporaryDirectory(prefix="alchemist-speed-") as folder:
        folder = pathlib.Path(folder)
        grid = experiment(folder)
        ratios = []
        for round_ in range(5):
            times = {}
            for jobs in (1, 2) if round_ % 2 == 0 else (2, 1):
                output = folder / f"{round_}-{jobs}"
                start = time.monotonic()
                run(*command(grid, output, "--jobs", jobs))
                times[jobs] = time.monotonic() - start
            points = len(records(output))
            ratios.append(times[1] / times[2])
            print(f"{points} points: 1 job {points / times[1]:.1f} points/s, 2 jobs {points / times[2]:.1f} points/s, "
                  f"{ratios[-1]:.2f}x", flush=True)
        median = statistics.median(ratios)
        print(f"median {median:.2f}x")
        demand(median >= LEAST, f"two jobs have {median:.2f} times the throughput of one, expected at least {LEAST}")


if __name__ == "__main__":
    main()
