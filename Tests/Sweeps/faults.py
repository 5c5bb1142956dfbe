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
import threading
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
        with disk(place, "20m"):
            output = place / "out"
            check.fails("full disk", output, "space left")
            before = records(output)
            demand(0 < len(before) < points, f"full disk: {len(before)} of {points} points were whole")
            demand(whole(grid, output) == len(before), "full disk: the list shows other points than there are")
            remount(place, "size=400m")
            check.goes_on("full disk", output, before)

        with disk(place, "400m"):
            output = place / "out"
            run(*command(grid, output, "--points-file", "-"), expect=0)
            first = [line.split("\t")[0] for line in run(PROGRAM, "sweep", grid, "--list").stdout.splitlines()[:5]]
            run(*command(grid, output, "--point", *first))
            before = records(output)
            demand(len(before) == 5, f"read-only: {len(before)} points before")
            remount(place, "ro")
            check.fails("read-only folder", output, "Read-only")
            demand(records(output) == before, "read-only: finished points have changed")
            remount(place, "rw")
            check.goes_on("read-only folder", output, before)

        # The disk turns read-only while the sweep runs; then the folder goes away while it runs.
        for name, harm, mend, words in [
            ("disk turned read-only", lambda p: remount(p, "ro"), lambda p: remount(p, "rw"), ["Read-only"]),
            ("vanished folder", lambda p: (p / "out").rename(p / "away"), lambda p: (p / "away").rename(p / "out"),
             ["gone", "any more", "No such file"]),
        ]:
            with disk(place, "400m"):
                output = place / "out"
                sweep = subprocess.Popen(
                    command(grid, output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                    text=True)
                deadline = time.monotonic() + 60
                while len(list(output.glob("points/*.point"))) < 6 and time.monotonic() < deadline:
                    time.sleep(0.01)
                while True:
                    try:
                        harm(place)
                        break
                    except SystemExit:
                        # A disk with a file open for writing does not turn read-only at once.
                        demand(time.monotonic() < deadline and sweep.poll() is None, f"{name}: could not be brought about")
                _, errors = sweep.communicate(timeout=60)
                sweep.stderr = None
                done = subprocess.CompletedProcess(sweep.args, sweep.returncode, "", errors)
                check.fails(name, output, *words, process=done)
                demand(not output.exists() or name != "vanished folder", "the vanished folder was made anew")
                mend(place)
                before = records(output)
                demand(0 < len(before) < points, f"{name}: {len(before)} of {points} points were whole")
                check.goes_on(name, output, before)


if __name__ == "__main__":
    main()
