#!/usr/bin/env python3
"""The same grid with one job, with two, by worker commands as another scheduler would start them, and through Slurm if one
is at hand: the merged files must be the same bytes.

    .ci/slurm python3 Tests/Sweeps/same_everywhere.py
"""
import os
import pathlib
import subprocess
import tempfile
import time

from sweeping import PROGRAM, command, demand, experiment, records, run


def main():
    with tempfile.TemporaryDirectory(prefix="alchemist-sweep-") as folder:
        folder = pathlib.Path(folder)
        grid = experiment(folder)
        merged = {}
        for name, jobs in [("1 job", 1), ("2 jobs", 2)]:
            output = folder / f"jobs-{jobs}"
            start = time.monotonic()
            run(*command(grid, output, "--jobs", jobs))
            merged[name] = output
            print(f"{name}: {time.monotonic() - start:.1f} s")
        points = len(records(merged["1 job"]))
        demand(points >= 40, f"{points} points, fewer than 40")

        output = folder / "xargs"
        ids = run(PROGRAM, "sweep", grid, "-o", output, "--list").stdout
        ids = "".join(line.split("\t")[0] + "\n" for line in ids.splitlines())
        start = time.monotonic()
        subprocess.run(
            ["xargs", "-P2", "-n8", *command(grid, output, "--point")], input=ids, text=True, check=True,
            stdout=subprocess.DEVNULL, timeout=600)
        run(*command(grid, output, "--merge"))
        merged["xargs"] = output
        print(f"xargs, two at a time: {time.monotonic() - start:.1f} s")

        output = folder / "points-file"
        listed = folder / "points.txt"
        listed.write_text(run(PROGRAM, "sweep", grid, "-o", output, "--list").stdout)
        start = time.monotonic()
        workers = [
            subprocess.Popen(
                command(grid, output, "--points-file", listed, "--chunk", f"{index}/3"), stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL)
            for index in range(3)]
        codes = [worker.wait(timeout=600) for worker in workers]
        demand(codes == [0, 0, 0], f"workers with a points file ended with {codes}")
        run(*command(grid, output, "--merge"))
        merged["points file"] = output
        print(f"a points file in three chunks: {time.monotonic() - start:.1f} s")

        if "SLURM_CONF" in os.environ:
            output = folder / "slurm"
            start = time.monotonic()
            options = ["--slurm", "--points-per-task", 6, "--time", 10]
            done = run(*command(grid, output, *options), timeout=400)
            print(done.stdout.strip())
            # While its jobs are there, a second submission is refused, and one that waits follows them.
            again = run(*command(grid, output, *options), expect=74)
            demand("not over yet" in again.stderr, f"a second submission ended otherwise: {again.stderr}")
            done = run(*command(grid, output, *options, "--wait"), timeout=400)
            demand("following job" in done.stdout, f"nothing was followed: {done.stdout}")
            merged["Slurm"] = output
            print(f"Slurm: {time.monotonic() - start:.1f} s")
            before = records(output)
            done = run(*command(grid, output, "--slurm", "--wait"))
            demand("submitted" not in done.stdout and records(output) == before, "whole points were submitted again")
        else:
            print("no SLURM_CONF: Slurm is left out; .ci/slurm runs this beside one")

        reference = (merged["1 job"] / "merged.h5").read_bytes()
        for name, output in merged.items():
            demand(len(records(output)) == points, f"{name} has {len(records(output))} of {points} points")
            demand((output / "merged.h5").read_bytes() == reference, f"{name} has another merged file than 1 job")
        print(f"{points} points, {len(merged)} ways, one merged file of {len(reference)} bytes")


if __name__ == "__main__":
    main()
