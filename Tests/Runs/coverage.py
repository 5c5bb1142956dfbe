#!/usr/bin/env python3
"""Builds everything with counters, runs all tests and says how many lines of Sources they run, folder by folder.

    python3 Tests/Runs/coverage.py [--least 85] [--filter TESTS]

Tests run the built program, too, which counts like the tests' own process. One that is killed or ends in a trap leaves no
counts, so the figure is a lower bound.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build-coverage"


def tool(name):
    """LLVM's tools lie beside the compiler."""
    swift = pathlib.Path(shutil.which("swift")).resolve()
    return str(swift.parent / name)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--least", type=float, default=0, help="fail below so many percent")
    options.add_argument("--filter", default=None, help="only these tests")
    options = options.parse_args()
    flags = ["-c", "release", "--scratch-path", str(BUILD)]
    compiler = ["-Xswiftc", "-profile-generate", "-Xswiftc", "-profile-coverage-mapping"]
    subprocess.run(["swift", "build", *flags, *compiler, "--build-tests"], cwd=ROOT, check=True)
    subprocess.run(["swift", "build", *flags, *compiler, "--product", "alchemist-sim"], cwd=ROOT, check=True)
    binaries = BUILD / "release"
    with tempfile.TemporaryDirectory(prefix="alchemist-coverage-") as folder:
        # Sweeps start many processes: eight files are shared among them.
        environment = dict(os.environ, LLVM_PROFILE_FILE=f"{folder}/%8m.profraw")
        tests = ["swift", "test", *flags, "--skip-build", "--disable-xctest"]
        tests = tests + (["--filter", options.filter] if options.filter else [])
        result = subprocess.run(tests, cwd=ROOT, env=environment)
        raw = [str(path) for path in pathlib.Path(folder).glob("*.profraw")]
        if not raw:
            sys.exit("coverage: the tests left no counts")
        merged = f"{folder}/all.profdata"
        subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "--failure-mode=all", *raw, "-o", merged], check=True)
        bundle = next(binaries.glob("*.xctest"))
        export = subprocess.run(
            [tool("llvm-cov"), "export", "-summary-only", f"-instr-profile={merged}", str(bundle), "-object",
             str(binaries / "alchemist-sim")], check=True, capture_output=True, text=True)
    sums = {}
    for file in json.loads(export.stdout)["data"][0]["files"]:
        path = pathlib.Path(file["filename"])
        if not path.is_relative_to(ROOT / "Sources"):
            continue
        parts = path.relative_to(ROOT / "Sources").parts
        lines = file["summary"]["lines"]
        for name in ("/".join(parts[:2]) if len(parts) > 2 else parts[0], "all of Sources"):
            count, covered = sums.get(name, (0, 0))
            sums[name] = (count + lines["count"], covered + lines["covered"])
    for name, (count, covered) in sorted(sums.items()):
        print(f"{100 * covered / count:6.1f} %  {covered:6} of {count:6} lines  {name}")
    if result.returncode != 0:
        sys.exit("coverage: some tests failed")
    count, covered = sums["all of Sources"]
    share = 100 * covered / count
    return 0 if share >= options.least else f"coverage: {share:.1f} % of the lines are run, at least {options.least} % wanted"


if __name__ == "__main__":
    sys.exit(main())
