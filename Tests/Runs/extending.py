#!/usr/bin/env python3
"""Applies the change that docs/extending.md shows to a copy of the sources, builds the program and runs it with what is new.

    python3 Tests/Runs/extending.py [--copy FOLDER]
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--copy", type=pathlib.Path, help="where the copy is made, and kept")
    options = options.parse_args()
    copy = options.copy or pathlib.Path(tempfile.mkdtemp(prefix="alchemist-extending-"))
    try:
        for name in ["Package.swift", "Package.resolved", "Sources", "Tests", "traces"]:
            source, target = ROOT / name, copy / name
            if source.is_dir():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target)
            else:
                copy.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        change = re.search(r"^```diff\n(.*?)^```", (ROOT / "docs/extending.md").read_text(), re.M | re.S).group(1)
        subprocess.run(["patch", "-p1", "--no-backup-if-mismatch"], cwd=copy, input=change, text=True, check=True)
        subprocess.run(["swift", "build", "-c", "release", "--product", "alchemist-sim"], cwd=copy, check=True)
        subprocess.run(
            [copy / ".build/release/alchemist-sim", "run", "traces/assistants.jsonl", "--set", "serving.admission=shortest",
             "--set", "backend=a100-80g", "--set", "model=llama-3-8b", "--arms", "serve-only,reuse", "--quiet"],
            cwd=copy, check=True)
    finally:
        if not options.copy:
            shutil.rmtree(copy, ignore_errors=True)
    print("the change of docs/extending.md builds and runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
