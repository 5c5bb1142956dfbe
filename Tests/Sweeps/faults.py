#!/usr/bin/env python3
"""A full disk, a read-only one, a folder that vanishes: each is a clear error, leaves finished points as they are, and the
same command goes on when it is mended. Mounts small file systems of memory, and so needs root.

    python3 Tests/Sweeps/faults.py
"""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from sweeping import PROGRAM, command, demand, experiment, records, run


@contextlib.contextmanager
def disk(place, size):
    place.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=False)


def remount(place, options):
    run("mount", "-o", f"remount,{options}", place)


class Check:
    def __init__(self, grid, reference, points):
        self.grid, self.reference, self.points = grid, reference, points

    def fails(self, name, output, *words, process=None):
        """The sweep ends with the code of input and output, and with one clear line."""
        done = process or run(*command(self.grid, output), expect=None)
        line = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
        print(f"{name}: exit code {done.returncode}: {line}")
        demand(done.returncode == 74, f"{name}: {done.returncode} is not 74\n{done.stderr}")
        demand(any(word in line for word in words), f"{name}: no word of {words}")

    def goes_on(self, name, output, before):
        run(*command(self.grid, output))
        now = records(output)
        demand(all(now.get(point) == mark for point, mark in before.items()), f"{name}: finished points were run again")
        demand(len(now) == self.points, f"{name}: {len(now)} of {self.points} points")
        demand((output / "merged.h5").read_bytes() == self.reference, f"{name}: another merged file")
        left = [str(p) for p in output.rglob(".*partial*")]
        demand(not left, f"{name}: left behind {left}")
        print(f"{name}: went on from {len(before)} points; the merged file is that of an undisturbed sweep")


def whole(grid, output):
    listed = run(PROGRAM, "sweep", grid, "-o", output, "--list").stdout
    return listed.count("\twhole\t")


def main():
    if os.geteuid() != 0:
        sys.exit("faults: mounting file systems needs root; run this as root")
    with tempfile.TemporaryDirectory(prefix="alchemist-faults-") as folder:
        folder = pathlib.Path(folder)
        grid = experiment(folder)
        run(*command(grid, folder / "undisturbed"))
        points = len(records(folder / "undisturbed"))
        check = Check(grid, (folder / "undisturbed/merged.h5").read_bytes(), points)

        place = folder / "disk"
        with disk(place, "12m"):
            output = place / "out"
            check.fails("full disk", output, "space left")
            before = records(output)
            demand(0 < len(before) < points, f"full disk: {len(before)} of {points} points were whole")
            demand(whole(grid, output) == len(before), "full disk: the list shows other points than there are")
            remount(place, "size=400m")
            check.goes_on("full disk", output, before)

        with disk(place, "400m"):
            output = place / "out"
            first = [line.split("\t")[0] for line in run(PROGRAM, "sweep", grid, "--list").stdout.splitlines()[:5]]
            run(*command(grid, output, "--point", *first))
            before = records(output)
            demand(len(before) == 5, f"read-only: {len(before)} points before")
            remount(place, "ro")
            check.fails("read-only folder", output, "Read-only")
            demand(records(output) == before, "read-only: finished points have changed")
            remount(place, "rw")
            check.goes_on("read-only folder", output, before)

        # The folder goes away while the sweep runs.
        with disk(place, "400m"):
            output, away = place / "out", place / "away"
            sweep = subprocess.Popen(
                command(grid, output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                text=True)
            deadline = time.monotonic() + 120
            while len(list(output.glob("points/*.point"))) < 6:
                demand(time.monotonic() < deadline and sweep.poll() is None, "vanished folder: no points to begin with")
                time.sleep(0.01)
            output.rename(away)
            printed, errors = sweep.communicate(timeout=120)
            check.fails(
                "vanished folder", output, "gone", "any more", "No such file",
                process=subprocess.CompletedProcess(sweep.args, sweep.returncode, printed, errors))
            demand(not output.exists(), "the vanished folder was made anew")
            away.rename(output)
            before = records(output)
            demand(0 < len(before) < points, f"vanished folder: {len(before)} of {points} points were whole")
            check.goes_on("vanished folder", output, before)


if __name__ == "__main__":
    main()
