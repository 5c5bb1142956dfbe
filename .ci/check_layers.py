#!/usr/bin/env python3
"""Checks that references between the rooms of the project point down.

Targets are held apart by the package manifest. Inside `Engine` and `Simulator` the folders have an order of their own,
which this script checks by the types that each folder declares and the types that it names. It also checks that BLAS,
HDF5 and clocks are only seen where they belong.
"""
import pathlib
import re
import sys

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "Sources"

# What each folder of a target may name, besides itself.
ALLOWED = {
    "Engine": {
        "Kernels": set(),
        "Transformer": {"Kernels"},
        "Checkpoints": {"Kernels", "Transformer"},
    },
    "Simulator": {
        "Core": set(),
        "Workload": {"Core"},
        "Memory": {"Core"},
        "Execution": {"Core", "Workload", "Memory"},
        "Serving": {"Core", "Workload", "Memory", "Execution"},
        "Training": {"Core", "Workload", "Memory", "Execution"},
        "Modelled": {"Core", "Workload", "Memory", "Execution"},
        "Loop": {"Core", "Workload", "Memory", "Execution", "Serving", "Training"},
    },
}

# Text that only some folders may contain.
CONFINED = [
    (r"\bimport COpenBLAS\b", ["Engine/Kernels"]),
    (r"\bimport CHDF5\b", ["Results/HDF5"]),
    (r"\bimport CZlib\b", ["Simulator/Workload/Reading"]),
    (r"\bclock_gettime\b|\bContinuousClock\b|\bDate\(\)", ["Bench", "MeasuredBackend", "alchemist-sim"]),
]

DECLARATION = re.compile(r"^\s*(?:(?:public|package|internal|private|fileprivate|final|indirect)\s+)*"
                         r"(?:struct|class|enum|protocol|actor|typealias)\s+([A-Z]\w*)", re.M)


def code_of(path):
    """The text of a Swift file without comments and string literals."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


def check_order(target, allowed, problems):
    """Checks the references between a target's folders; returns how many types they declare."""
    home = {}
    for folder in sorted(p for p in (SOURCES / target).iterdir() if p.is_dir()):
        if folder.name not in allowed:
            problems.append(f"{target}/{folder.name}: a folder without a place in the order")
        for path in folder.rglob("*.swift"):
            # Only types declared at the left margin can be named from elsewhere without their parent.
            for match in re.finditer(r"^(?:(?:public|package|internal|final|indirect)\s+)*"
                                     r"(?:struct|class|enum|protocol|typealias)\s+([A-Z]\w*)", code_of(path), re.M):
                home[match.group(1)] = folder.name
    for path in sorted((SOURCES / target).rglob("*.swift")):
        folder = path.relative_to(SOURCES / target).parts[0]
        code = code_of(path)
        # A type nested in this file hides one of the same name elsewhere.
        own = set(DECLARATION.findall(code))
        named = set(re.findall(r"(?<![.\w])([A-Z]\w*)", code)) - own
        for name in sorted(named):
            place = home.get(name, folder)
            if place != folder and place not in allowed.get(folder, set()):
                problems.append(f"{path.relative_to(SOURCES)}: {folder} names {name} of {place}, which lies above it")
    return len(home)


def main():
    problems = []
    types = sum(check_order(target, allowed, problems) for target, allowed in ALLOWED.items())
    for path in sorted(SOURCES.rglob("*.swift")):
        code = code_of(path)
        place = str(path.relative_to(SOURCES))
        for pattern, folders in CONFINED:
            if re.search(pattern, code) and not any(place.startswith(folder + "/") for folder in folders):
                problems.append(f"{place}: {pattern} belongs only in {', '.join(folders)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"layers: {types} types, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
