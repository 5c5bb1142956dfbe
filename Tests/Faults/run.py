#!/usr/bin/env python3
"""Makes every fault of `catalogue.py` in a copy of the sources, runs the tests that are to catch it, and demands that they
fail: with it, and not without it.

    python3 Tests/Faults/run.py [--copy FOLDER] [--only NAME ...] [--table FILE]
    python3 Tests/Faults/run.py --apart --only NAME

The sources are copied into a temporary folder (or `--copy`, which is kept and built upon next time); nothing is changed
where this script lies. All faults are made at once, each as a switch, `Fault.isOn(7) ? faulty : right`, which the
environment variable ALCHEMIST_FAULT turns on: one build serves them all. With `--apart` each fault is instead
written into the sources as it stands, built, tested and reverted, which takes minutes each.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from catalogue import FAULTS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PARTS = ["Package.swift", "Package.resolved", "Sources", "Tests", "docs", "traces", "experiments", "README.md", "Makefile"]
SWITCH = """/// Turns a hand-made fault on; see Tests/Faults.
internal import Glibc

enum Fault {
    static let number: Int = getenv("ALCHEMIST_FAULT").flatMap { Int(String(cString: $0)) } ?? -1
    static func isOn(_ fault: Int) -> Bool { number == fault }
}
"""


class Wrong(Exception):
    pass


def edit(fault, text, faulty):
    """Where a fault changes a text, and into what: a start, an end and a replacement."""
    before, rest = fault.place.split("⟦")
    right, after = rest.split("⟧")
    anchor = before + right + after
    if text.count(anchor) != 1:
        raise Wrong(f"{fault.name}: its place occurs {text.count(anchor)} times in {fault.file}, expected once")
    start = text.index(anchor) + len(before)
    return start, start + len(right), faulty(right)


def switched(number, fault):
    def made(right):
        if fault.statement:
            return f"if Fault.isOn({number}) {{ {fault.faulty} }} else {{ {right} }}"
        return f"(Fault.isOn({number}) ? ({fault.faulty}) : ({right}))"
    return made


def changed(text, edits):
    edits = sorted(edits)
    for (_, end, _), (start, _, _) in zip(edits, edits[1:]):
        if end > start:
            raise Wrong("two faults change the same place")
    for start, end, replacement in reversed(edits):
        text = text[:start] + replacement + text[end:]
    return text


def copy_sources(copy):
    """Brings the copy to the state of this checkout. Files that are the same keep their times, so that only what differs is
    built again."""
    copy.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for part in PARTS:
        source = ROOT / part
        files = [source] if source.is_file() else [f for f in source.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
        for file in files:
            wanted.add(file.relative_to(ROOT))
    for name in wanted:
        write(copy / name, (ROOT / name).read_bytes())
    for part in ["Sources", "Tests"]:
        for file in (copy / part).rglob("*.swift"):
            if file.relative_to(copy) not in wanted and file.name != "FaultSwitch.swift":
                file.unlink()


def write(path, content):
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def make_switches(copy):
    by_file = {}
    for number, fault in enumerate(FAULTS):
        by_file.setdefault(fault.file, []).append((number, fault))
    for name, faults in by_file.items():
        text = (ROOT / name).read_text()
        edits = [edit(fault, text, switched(number, fault)) for number, fault in faults]
        write(copy / name, changed(text, edits).encode())
    for target in sorted({fault.file.split("/")[1] for fault in FAULTS}):
        write(copy / "Sources" / target / "FaultSwitch.swift", SWITCH.encode())


def build(copy):
    start = time.monotonic()
    subprocess.run(
        ["swift", "build", "-c", "release", "--ignore-lock", "--build-tests"], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    print(f"built in {time.monotonic() - start:.0f} s", flush=True)


def test(copy, tests, number=None, limit=600):
    """Runs some tests; how it ended, and the first test that failed."""
    environment = dict(os.environ)
    environment.pop("ALCHEMIST_FAULT", None)
    # Whoever unwinds a process that trapped reads all of its symbols first, for minutes.
    environment["SWIFT_BACKTRACE"] = "enable=no"
    if number is not None:
        environment["ALCHEMIST_FAULT"] = str(number)
    try:
        run = subprocess.run(
            ["swift", "test", "-c", "release", "--ignore-lock", "--skip-build", "--disable-xctest", "--filter", tests], cwd=copy,
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit)
    except subprocess.TimeoutExpired:
        return "hangs", "", 0
    text = run.stdout.decode(errors="replace")
    count = re.search(r"Test run with (\d+) test", text)
    names = dict.fromkeys(
        re.findall(r"^. Test (?:case passing .* to )?(.+?)(?:\(.*?\))? recorded an issue", text, re.M))
    if run.returncode == 0:
        return "passes", "", int(count.group(1)) if count else 0
    if names:
        return "fails", next(iter(names)).strip('"'), 0
    trap = re.search(r"Fatal error: (.+)", text)
    if trap or re.search(r"signal|crash|^. Test run started", text, re.M):
        return "traps", trap.group(1).strip() if trap else "", 0
    raise Wrong(f"`swift test --filter {tests}` ended with {run.returncode} and without a failed test:\n{text[-2000:]}")


def run_switched(copy, chosen):
    make_switches(copy)
    build(copy)
    filters = sorted({fault.tests for _, fault in chosen})
    result, name, count = test(copy, "|".join(filters), limit=3600)
    if result != "passes" or count == 0:
        raise Wrong(f"without a fault the tests must pass: {result} {name}, {count} tests")
    print(f"without a fault: {count} tests pass", flush=True)
    for tests in filters:
        result, _, count = test(copy, tests)
        if result != "passes" or count == 0:
            raise Wrong(f"the filter {tests} finds {count} tests: {result}")
    for number, fault in chosen:
        yield fault, test(copy, fault.tests, number)


def run_apart(copy, chosen):
    for _, fault in chosen:
        path = copy / fault.file
        right = (ROOT / fault.file).read_text()
        build(copy)
        result, name, count = test(copy, fault.tests)
        if result != "passes" or count == 0:
            raise Wrong(f"without {fault.name} its tests must pass: {result} {name}, {count} tests")
        path.write_text(changed(right, [edit(fault, right, lambda _: fault.faulty)]))
        try:
            build(copy)
            yield fault, test(copy, fault.tests)
        finally:
            path.write_text(right)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--copy", type=pathlib.Path, help="where the copy is made, and kept")
    options.add_argument("--only", nargs="+", default=None, help="names of faults")
    options.add_argument("--apart", action="store_true", help="one build for each fault")
    options.add_argument("--check", action="store_true", help="only look for every fault's place")
    options.add_argument("--table", type=pathlib.Path, help="write a table in Markdown")
    options = options.parse_args()
    known = {fault.name for fault in FAULTS}
    if len(known) != len(FAULTS):
        raise Wrong("two faults have one name")
    unknown = set(options.only or []) - known
    if unknown:
        raise Wrong(f"there is no fault {', '.join(sorted(unknown))}")
    chosen = [(number, fault) for number, fault in enumerate(FAULTS) if not options.only or fault.name in options.only]
    for _, fault in chosen:
        edit(fault, (ROOT / fault.file).read_text(), lambda right: right)
    if options.check:
        print(f"{len(chosen)} faults have their places")
        return 0
    copy = options.copy or pathlib.Path(tempfile.mkdtemp(prefix="alchemist-faults-"))
    caught, rows = 0, []
    try:
        copy_sources(copy)
        for fault, (result, what, _) in (run_apart if options.apart else run_switched)(copy, chosen):
            found = result in ("fails", "traps", "hangs")
            caught += found
            print(f"{'caught ' if found else 'MISSED '} {fault.name}: {result} {what}", flush=True)
            by = {"fails": f"`{what}`", "traps": "the process ends", "hangs": "the time limit"}.get(result, "nothing")
            tests = fault.tests.replace("|", "\\|")
            rows.append(f"| `{fault.name}` | {fault.says} | `{tests}` | {by} |\n")
    finally:
        if not options.copy:
            shutil.rmtree(copy, ignore_errors=True)
    if options.table:
        options.table.write_text("| fault | what it does | tests | caught by |\n|---|---|---|---|\n" + "".join(rows))
    print(f"{caught} of {len(chosen)} faults are caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Wrong as problem:
        sys.exit(f"faults: {problem}")
