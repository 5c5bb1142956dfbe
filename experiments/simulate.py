"""Runs the simulator and reads its figures: what the experiments' scripts have in common. Standard library only."""

import json
import pathlib
import re
import subprocess
import sys

HOME = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = HOME / ".build/release/alchemist-sim"
RESULTS = HOME / "results"


def program(*arguments):
    """The program's standard output; its complaint ends the script."""
    run = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr.strip() or f"{PROGRAM} ended with {run.returncode}")
    return run.stdout


def generate(name, *options):
    """Makes a trace and returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    program("trace", "generate", *options, "-o", path)
    return path


def arms(scenario):
    """Names of a scenario's arms, in its order: the keys one level below `arms`."""
    text = scenario.read_text().partition("\narms:\n")[2]
    return re.findall(r"^  ([\w-]+):", text, re.MULTILINE)


def run(trace, scenario, name, arms=()):
    """Metrics by arm: of all of the scenario's, or of those chosen."""
    chosen = ["--arms", ",".join(arms)] if arms else []
    text = program("run", trace, "--scenario", scenario, *chosen, "--quiet", "--json", "-o", RESULTS / f"{name}.h5")
    return json.loads(text)["arms"]


def table(title, rows):
    """A table in Markdown."""
    lines = [title, ["---"] * len(title), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def seconds(value):
    if value is None:
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def change(value, reference):
    """By how much a value differs from another, in percent."""
    return f"{(value / reference - 1) * 100:+.1f} %"


def count(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.1f} k" if value >= 1e4 else f"{value:.0f}"


def gigabytes(value):
    return f"{value / 1e9:.1f} GB" if value else "-"
