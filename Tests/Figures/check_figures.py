#!/usr/bin/env python3
"""Runs every script of a figure on files that the program writes, of experiments made as small as they can be.

    Tests/Figures/check_figures.py PROGRAM [-o results/figures-tiny]

Each experiment of `experiments/figures` is run with two seeds and few requests, and its script draws what came of it. That must
leave a PDF and a PNG; every panel must have a name on each axis, its own or that of the panels beside or below it, and no text
may reach beyond the paper. What the pictures show means nothing. Any problem is printed and ends the check with 1.
"""
import argparse
import json
import pathlib
import re
import runpy
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plots"))
import style  # noqa: E402

# Enough for a step of training in every arm: 8 samples, but of figures 4 and 8.
REQUESTS = {"04_largest_batch": 24, "05_latency": 40, "07_burst": 60, "08_staleness": 12}


def run(*command):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"check_figures: {' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def data(program, name, folder):
    """Runs a small form of an experiment; returns what its script takes."""
    text = (ROOT / f"experiments/figures/{name}.yaml").read_text()
    text = re.sub(r"^  seeds: \[1, .*$", "  seeds: [1, 2]", text, flags=re.M)
    # So few requests do not reach every share.
    text = re.sub(r"trace.target_p: \[.*\]", "trace.target_p: [0.7, 0.85]", text)
    text = text.replace("results/figures/base", str(folder / "base"))
    folder.joinpath(name).mkdir(parents=True, exist_ok=True)
    experiment = folder / name / "experiment.yaml"
    experiment.write_text(text)
    requests = f"trace.requests={REQUESTS.get(name, 16)}"
    run(program, "sweep", experiment, "-o", folder / name, "--quiet", "--set", requests)
    return folder / name / "merged.h5"


def validation(program, folder):
    """What figure 11 takes: the machine beside a profile of another, because measuring this one takes too long."""
    folder.mkdir(parents=True, exist_ok=True)
    trace = folder / "trace.jsonl"
    run(program, "trace", "generate", "--requests", 6, "--turns", 1, "--scale", 0.1, "--rate", 4, "--feedback-rate", 1, "-o", trace)
    run(program, "validate", "experiments/figures/validation.yaml", trace, "--loads", "0.5", "--quiet", "-o", folder,
        "--profile", "experiments/profiles/epyc-2-cores.yaml")
    return folder


def problems_of(figure):
    """What a reader would miss."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    found = []
    # The axes of a colour bar have a name on their long side alone.
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    for number, axes in enumerate(panels):
        spec = axes.get_subplotspec()
        row = [other for other in panels if other.get_subplotspec().rowspan == spec.rowspan]
        column = [other for other in panels if other.get_subplotspec().colspan == spec.colspan]
        if not any(other.get_xlabel() for other in column):
            found.append(f"panel {number + 1} has no name on its x axis")
        names = any(other.get_ylabel() for other in row)
        # Bars have their names where others have numbers.
        words = any(re.match("[a-zA-Z]", label.get_text()) for other in row for label in other.get_yticklabels())
        if not names and not words:
            found.append(f"panel {number + 1} has no name on its y axis")
    width, height = figure.canvas.get_width_height()
    # Labels of ticks beyond an axis are there, but not drawn.
    ticks = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
             for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()] for label in (tick.label1, tick.label2)}
    for text in figure.findobj(style.matplotlib.text.Text):
        if text in ticks or not text.get_visible() or not text.get_text().strip():
            continue
        box = text.get_window_extent(renderer)
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            found.append(f"{text.get_text()!r} reaches beyond the paper")
    return found


def draw(script, arguments, stem):
    """Runs a script as its user would; returns what is wrong with its picture."""
    found = []
    save = style.save

    def inspect(figure, where):
        found.extend(problems_of(figure))
        save(figure, where)

    for form in ("pdf", "png"):
        pathlib.Path(f"{stem}.{form}").unlink(missing_ok=True)
    given, sys.argv = sys.argv, [str(script), *map(str, arguments), "-o", str(stem)]
    style.save = inspect
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        style.save, sys.argv = save, given
    for form, start in (("pdf", b"%PDF"), ("png", b"\x89PNG")):
        if not pathlib.Path(f"{stem}.{form}").read_bytes().startswith(start):
            found.append(f"{stem}.{form} is none")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="alchemist-sim")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("results/figures-tiny"))
    arguments = parser.parse_args()
    program, folder = arguments.program, arguments.output
    run(program, "pretrain", "experiments/staleness-model.yaml", "--steps", 2, "--quiet", "-o", folder / "base")
    problems = []
    scripts = sorted((ROOT / "plots").glob("figure_*.py"))
    for script in scripts:
        start = time.monotonic()
        name = script.stem.removeprefix("figure_")
        given = validation(program, folder / name) if name == "11_validation" else data(program, name, folder)
        found = draw(script, [given], folder / name)
        problems += [f"{script.name}: {what}" for what in found]
        print(f"check_figures: {name}, {time.monotonic() - start:.1f} s", flush=True)
    stats = folder / "stats.json"
    stats.write_text(json.dumps(json.loads(run(program, "trace", "stats", "traces/sample.jsonl", "--json"))))
    problems += [f"trace_stats.py: {what}" for what in draw(ROOT / "plots/trace_stats.py", [stats], folder / "trace")]
    for problem in problems:
        print(f"check_figures: {problem}", file=sys.stderr)
    if len(scripts) != 12:
        print(f"check_figures: {len(scripts)} scripts of figures, not 12", file=sys.stderr)
    return 1 if problems or len(scripts) != 12 else 0


if __name__ == "__main__":
    sys.exit(main())
