#!/usr/bin/env python3
"""Runs an experiment of a figure: every point of its grid, then one file with the figures of all.

    .venv-plots/bin/python experiments/figures/run_points.py experiments/figures/01_redundant_share.yaml \
        -o results/figures/01_redundant_share.h5 [--seeds 2] [--jobs 2]

An experiment has a `scenario`, a `trace` (a path, or `generate` with the options of `trace generate`), `axes` (fields of
the scenario, or of the trace as `trace.NAME`; several together as `NAME: {zip: {field: [...], ...}, labels: [...]}`; `seeds`)
and `arms`. `separately: true` runs every arm by itself, so that one that does not fit its memory leaves the others.

The file has an array for each figure of the arms, over `arm` and the axes, and below `/comparison` over `comparison` and the
axes, and the same below `/paired` where work was measured; the axes are datasets of their names. Where a point failed for want of simulated memory, values are NaN. The points'
own results files stay in the folder NAME.points beside it, and are used again as long as nothing that decides them changes.
"""
import argparse
import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import yaml

PROGRAM = pathlib.Path(".build/release/alchemist-sim")
# The exit code of a simulated resource that is too small.
EXHAUSTED = 75


def flatten(tree, prefix=""):
    """Nested fields as `a.b.c`: value."""
    flat = {}
    for key, value in (tree or {}).items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, name + ".") if isinstance(value, dict) else {name: value})
    return flat


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


class Axis:
    """One dimension: at each place, values of some fields, and what the place is called."""

    def __init__(self, key, value):
        self.name = key.replace(".", "_")
        if isinstance(value, dict):
            fields, columns = list(value["zip"]), list(value["zip"].values())
            self.places = [dict(zip(fields, row)) for row in zip(*columns)]
            self.labels = value.get("labels") or [text(place[fields[0]]) for place in self.places]
        else:
            self.places = [{key: entry} for entry in value]
            self.labels = value
        if len(self.labels) != len(self.places):
            raise SystemExit(f"axis {key}: {len(self.labels)} labels for {len(self.places)} places")


class Experiment:
    def __init__(self, path, seeds):
        self.path, self.text = path, path.read_text()
        content = yaml.safe_load(self.text)
        unknown = set(content) - {"scenario", "trace", "axes", "arms", "separately"}
        if unknown:
            raise SystemExit(f"{path}: unknown keys {', '.join(sorted(unknown))}")
        self.scenario = content.get("scenario") or {}
        self.trace = content["trace"]
        axes = dict(content.get("axes") or {})
        self.seeds = axes.pop("seeds", [1])[:seeds]
        self.axes = [Axis(key, value) for key, value in axes.items()] + [Axis("seed", self.seeds)]
        self.arms = content.get("arms")
        self.separately = content.get("separately", False)

    def points(self):
        for place in itertools.product(*(range(len(axis.places)) for axis in self.axes)):
            changes = {}
            for axis, index in zip(self.axes, place):
                changes.update(axis.places[index])
            yield place, changes


def call(arguments, log):
    done = subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True)
    log.append(done.stderr)
    return done.returncode


def make_trace(experiment, changes, folder):
    """The path of a point's trace, made if need be."""
    if isinstance(experiment.trace, str):
        return experiment.trace
    options = dict(experiment.trace["generate"], seed=changes["seed"])
    options.update({key[6:]: value for key, value in changes.items() if key.startswith("trace.")})
    words = [word for key, value in options.items() for word in ("--" + key.replace("_", "-"), text(value))]
    path = folder / f"trace-{hashlib.sha256(json.dumps(words).encode()).hexdigest()[:12]}.jsonl"
    if not path.exists():
        log = []
        if call(["trace", "generate", *words, "-o", str(path)], log):
            raise SystemExit(f"{experiment.path}: {log[-1]}")
    return str(path)


def run_point(experiment, changes, folder, program):
    """Runs one point; returns its results files, none for arms that their memory does not hold."""
    trace = make_trace(experiment, changes, folder)
    scenario = dict(experiment.scenario, seed=changes["seed"])
    if experiment.arms is not None:
        scenario["arms"] = experiment.arms
    settings = [f"{key}={text(value)}" for key, value in changes.items()
                if not key.startswith("trace.") and key != "seed"]
    names = list(experiment.arms) if experiment.separately else [None]
    files = []
    for arm in names:
        identity = json.dumps([scenario, settings, arm, program, hashlib.sha256(open(trace, "rb").read()).hexdigest()])
        stem = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
        results, exhausted = stem.with_suffix(".h5"), stem.with_suffix(".exhausted")
        if not results.exists() and not exhausted.exists():
            file = stem.with_suffix(".yaml")
            file.write_text(yaml.safe_dump(scenario))
            words = [word for setting in settings for word in ("--set", setting)]
            words += ["--arms", arm] if arm else []
            log = []
            code = call(["run", trace, "--quiet", "--scenario", str(file), *words, "-o", str(results)], log)
            if code == EXHAUSTED:
                results.unlink(missing_ok=True)
                exhausted.write_text(log[-1])
            elif code:
                raise SystemExit(f"{experiment.path}: {changes}: {log[-1]}")
        files.append(results if results.exists() else None)
    return files


def merge(experiment, found, target):
    """One file of all points' figures."""
    shape = tuple(len(axis.places) for axis in experiment.axes)
    layers = {"": {}, "comparison": {}, "paired": {}}
    units = {}

    def put(layer, member, metric, place, value, unit):
        grid = layers[layer].setdefault(metric, {}).setdefault(member, np.full(shape, np.nan))
        grid[place] = value
        units[metric] = unit

    for place, files in found.items():
        for path in filter(None, files):
            with h5py.File(path) as file:
                for arm, group in file["arms"].items():
                    for metric, column in group["summary"].items():
                        put("", arm, metric, place, column[()], column.attrs["units"])
                for layer in ("comparison", "paired"):
                    compared = file[layer]
                    for row in range(len(compared["baseline"]) if "baseline" in compared else 0):
                        member = f"{compared['candidate'].asstr()[row]} against {compared['baseline'].asstr()[row]}"
                        for metric, column in compared.items():
                            if column.dtype.kind == "f":
                                put(layer, member, metric, place, column[row], column.attrs["units"])
    temporary = target.with_name(f".{target.name}.partial-{os.getpid()}")
    with h5py.File(temporary, "w") as file:
        file.attrs["experiment"] = experiment.text
        file.attrs["tool"] = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout.strip()
        for layer, metrics in layers.items():
            group = file.require_group(layer) if layer else file
            members = sorted({member for grids in metrics.values() for member in grids})
            if not members:
                continue
            group[layer or "arm"] = np.array(members, dtype=h5py.string_dtype())
            for metric, grids in metrics.items():
                none = np.full(shape, np.nan)
                group[metric] = np.stack([grids.get(member, none) for member in members])
                group[metric].attrs["units"] = units[metric]
                group[metric].attrs["axes"] = [layer or "arm"] + [axis.name for axis in experiment.axes]
        for axis in experiment.axes:
            isText = any(isinstance(label, (str, bool)) for label in axis.labels)
            file[axis.name] = (np.array([text(label) for label in axis.labels], dtype=h5py.string_dtype())
                               if isText else np.array(axis.labels))
        places = np.full(shape, "", dtype=object)
        for place, files in found.items():
            places[place] = ",".join(path.name for path in files if path)
        file["points"] = places.astype(h5py.string_dtype())
    os.replace(temporary, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=None, help="how many of the experiment's seeds (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    experiment = Experiment(arguments.experiment, arguments.seeds)
    folder = arguments.output.with_suffix(".points")
    folder.mkdir(parents=True, exist_ok=True)
    program = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()
    # What is measured runs alone; what is priced runs side by side.
    measured = experiment.scenario.get("backend", "measured") == "measured"
    points = list(experiment.points())
    if measured:
        found = {place: run_point(experiment, changes, folder, program) for place, changes in points}
    else:
        # Traces first: several points may share one.
        for _, changes in points:
            make_trace(experiment, changes, folder)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            jobs = {place: pool.submit(run_point, experiment, changes, folder, program) for place, changes in points}
            found = {place: job.result() for place, job in jobs.items()}
    # Points of earlier programs and settings go.
    used = {path.with_suffix("").name for files in found.values() for path in files if path}
    for path in folder.iterdir():
        if path.suffix in (".h5", ".yaml") and path.stem not in used:
            path.unlink()
    merge(experiment, found, arguments.output)
    print(f"{arguments.output}: {len(points)} points")


if __name__ == "__main__":
    sys.exit(main())
