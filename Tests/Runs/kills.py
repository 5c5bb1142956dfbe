#!/usr/bin/env python3
"""Kills runs with SIGKILL at random moments, from their start to beyond their end, and demands that their results file is
afterwards either the one that was there before or the new one, to the last value; and that the next run succeeds.

    python3 Tests/Runs/kills.py --kills 200 [--seed 1]
"""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ.get("ALCHEMIST_SIM", str(pathlib.Path(__file__).resolve().parents[2] / ".build/release/alchemist-sim"))


def demand(holds, text):
    if not holds:
        sys.exit(f"kills: {text}")


def run(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    demand(result.returncode == 0, f"{arguments[0]} ended with {result.returncode}: {result.stderr}")


def contents(results, folder):
    """Every value of a results file but where and when it was made, by its place in an export."""
    target = folder / "export"
    run("export", results, "--csv", target)
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in sorted(target.rglob("*")) if path.is_file() and path.name != "provenance.csv"
    }


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=None)
    options = options.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    random.seed(seed)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="alchemist-kills-") as folder:
        folder = pathlib.Path(folder)
        trace, results = folder / "trace.jsonl", folder / "results.h5"
        run("trace", "generate", "--requests", 1500, "--content", "counts", "--rate", 4, "--feedback-rate", 0.3,
            "--max-context", 4096, "--seed", 3, "-o", trace)
        scenario = ["--set", "backend=a100-80g", "--set", "model=llama-3-8b", "--quiet"]
        # Two runs that differ, so that an old file can be told from a new one.
        command = lambda number: ["run", trace, *scenario, "--seed", number, "-o", results]
        expected = []
        for number in (1, 2):
            start = time.monotonic()
            run(*command(number))
            duration = time.monotonic() - start
            expected.append(contents(results, folder))
        demand(expected[0] != expected[1], "two seeds give the same results")
        print(f"an undisturbed run takes {duration:.2f} s", flush=True)
        present, struck, late, replaced = 1, 0, 0, 0
        while struck < options.kills:
            number = 1 - present
            process = subprocess.Popen(
                [PROGRAM, *map(str, command(number + 1))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL)
            # Every second one falls about where the file is written.
            share = random.uniform(0, 1.1) if struck % 2 == 0 else random.uniform(0.8, 1.05)
            time.sleep(share * duration)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                struck += 1
            else:
                late += 1
            process.wait(timeout=60)
            found = contents(results, folder)
            demand(found in expected, f"kill {struck}: the results are neither the old ones nor the new ones")
            if found == expected[number]:
                replaced += 1
                present = number
            else:
                demand(process.returncode != 0, f"kill {struck}: a run that ended well has left the old results")
        remains = [name for name in os.listdir(folder) if name not in ("trace.jsonl", "results.h5", "export")]
        demand(all(name.startswith(".results.h5.partial-") for name in remains), f"unknown remains: {remains}")
        run(*command(2 - present))
        demand(contents(results, folder) == expected[1 - present], "the run after the kills gives other results")
        print(f"{struck} kills, {late} runs that had ended before theirs: {replaced} files were new, the others the old ones, "
              f"none damaged; {len(remains)} temporary files were left, named as such")


if __name__ == "__main__":
    main()
