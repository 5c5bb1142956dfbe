#!/usr/bin/env python3
"""Kills a sweep, one of its workers or, beside Slurm, slurmd, at random moments and with SIGKILL; resumes it each time; and
demands that nothing whole is run again and that the merged file is that of a sweep nobody disturbed.

    python3 Tests/Sweeps/kills.py --kills 50 [--seed 1]
    .ci/slurm python3 Tests/Sweeps/kills.py --kills 50
"""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time

from sweeping import PROGRAM, command, demand, experiment, records, run


def workers(folder):
    """Processes of this program that run points of a folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = entry.joinpath("cmdline").read_bytes().split(b"\0")
            status = entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if status != "Z" and str(folder).encode() in words and b"--points-file" in words:
            found.append(int(entry.name))
    return found


def kill(process):
    try:
        os.kill(process, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


class Local:
    targets = ["sweep", "worker"]

    def __init__(self, grid):
        self.grid = grid

    def start(self, folder):
        return subprocess.Popen(
            command(self.grid, folder, "--jobs", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL)

    def strike(self, target, sweep, folder):
        if target == "sweep":
            return sweep.poll() is None and kill(sweep.pid)
        alive = workers(folder)
        return bool(alive) and kill(random.choice(alive))

    def settle(self, sweep, folder):
        sweep.wait(timeout=120)
        # Workers of a sweep that was killed notice it and end.
        for _ in range(300):
            if not workers(folder):
                return
            time.sleep(0.1)
        demand(False, "workers outlive their sweep")


class Slurm(Local):
    targets = ["sweep", "worker", "slurmd"]

    def start(self, folder):
        return subprocess.Popen(
            command(self.grid, folder, "--slurm", "--points-per-task", 6, "--time", 5, "--wait"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def strike(self, target, sweep, folder):
        if target != "slurmd":
            return super().strike(target, sweep, folder)
        place = pathlib.Path(os.environ["SLURM_FOLDER"])
        hit = kill(int(place.joinpath("slurmd.pid").read_text()))
        time.sleep(random.uniform(0, 1.5))
        subprocess.run([place / "start-slurmd"], check=True, timeout=30)
        return hit

    def settle(self, sweep, folder):
        sweep.wait(timeout=300)
        for _ in range(600):
            left = subprocess.run(
                ["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, timeout=60)
            if left.returncode == 0 and not left.stdout.strip():
                return
            time.sleep(0.5)
        demand(False, "jobs do not end")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=None)
    options = options.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    random.seed(seed)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="alchemist-kills-") as folder:
        folder = pathlib.Path(folder)
        grid = experiment(folder)
        start = time.monotonic()
        run(*command(grid, folder / "undisturbed"))
        duration = time.monotonic() - start
        reference = (folder / "undisturbed/merged.h5").read_bytes()
        points = len(records(folder / "undisturbed"))
        way = Slurm(grid) if "SLURM_CONF" in os.environ else Local(grid)
        done, round_, struck = 0, 0, {}
        while done < options.kills:
            round_ += 1
            output = folder / f"round-{round_}"
            before = {}
            attempts = 0
            while True:
                attempts += 1
                demand(attempts < 60, "a sweep does not come to its end")
                sweep = way.start(output)
                if done < options.kills:
                    time.sleep(random.uniform(0.02, 0.8) * max(duration, 0.5))
                    target = random.choice(way.targets)
                    if way.strike(target, sweep, output):
                        done += 1
                        struck[target] = struck.get(target, 0) + 1
                way.settle(sweep, output)
                now = records(output) if (output / "points").exists() else {}
                again = [name for name, mark in before.items() if now.get(name) != mark]
                demand(not again, f"{len(again)} whole points were run again or lost: {again[:3]}")
                before = now
                if len(now) == points and sweep.returncode == 0:
                    break
            # The merge of a sweep that was killed at the very end may be missing; asked for, it is what it should be.
            run(*command(grid, output, "--merge"))
            demand((output / "merged.h5").read_bytes() == reference, f"round {round_}: another merged file")
            listed = run(PROGRAM, "sweep", grid, "-o", output, "--list").stdout
            demand(listed.count("\twhole\t") == points, "the list does not show all points whole")
            print(f"round {round_}: {attempts} starts, {done} kills so far", flush=True)
        text = ", ".join(f"{count} of {name}" for name, count in sorted(struck.items()))
        print(f"{done} kills ({text}), {round_} sweeps of {points} points: nothing whole was run again, merged files the same")


if __name__ == "__main__":
    main()
