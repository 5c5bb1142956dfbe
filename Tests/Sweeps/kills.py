#!/usr/bin/env python3
"""Kills a sweep, one of its workers or, beside Slurm, slurmd, at random moments and with SIGKILL; resumes it each time; and
demands that nothing whole is run again, neither what was whole at the kill nor what became whole after it, and that the sweep
which ends well leaves the merged file of one that nobody disturbed.

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


def changed(before, now):
    """What was whole and has gone or been written anew."""
    return [name for name, mark in before.items() if now.get(name) != mark]


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
        # Only while tasks run does it matter.
        if not workers(folder):
            return False
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
        run(*command(grid, folder / "undisturbed"))
        reference = (folder / "undisturbed/merged.h5").read_bytes()
        points = len(records(folder / "undisturbed"))
        way = Slurm(grid) if "SLURM_CONF" in os.environ else Local(grid)
        # The way itself, undisturbed, tells between which moments a kill may fall.
        start = time.monotonic()
        demand(way.start(folder / "timed").wait(timeout=600) == 0, "an undisturbed sweep failed")
        duration = time.monotonic() - start
        print(f"an undisturbed sweep takes {duration:.1f} s", flush=True)
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
                    time.sleep(random.uniform(0.02, 0.95) * duration)
                    target = random.choice(way.targets)
                    # What is whole right before the kill must stay; what becomes whole meanwhile is seen below.
                    at_kill = records(output)
                    again = changed(before, at_kill)
                    demand(not again, f"{len(again)} whole points were run again or lost before a kill: {again[:3]}")
                    before = at_kill
                    if way.strike(target, sweep, output):
                        done += 1
                        struck[target] = struck.get(target, 0) + 1
                way.settle(sweep, output)
                now = records(output)
                again = changed(before, now)
                demand(not again, f"{len(again)} whole points were run again or lost: {again[:3]}")
                before = now
                if len(now) == points and sweep.returncode == 0:
                    break
            # The sweep that came to its end has merged, without being asked to.
            demand((output / "merged.h5").exists(), f"round {round_}: no merged file")
            demand((output / "merged.h5").read_bytes() == reference, f"round {round_}: another merged file")
            listed = run(PROGRAM, "sweep", grid, "-o", output, "--list").stdout
            demand(listed.count("\twhole\t") == points, "the list does not show all points whole")
            print(f"round {round_}: {attempts} starts, {done} kills so far", flush=True)
        text = ", ".join(f"{count} of {name}" for name, count in sorted(struck.items()))
        print(f"{done} kills ({text}), {round_} sweeps of {points} points: nothing whole was run again, merged files the same")


if __name__ == "__main__":
    main()
