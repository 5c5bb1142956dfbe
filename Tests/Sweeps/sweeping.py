"""What the checks of sweeps share: the program, experiments, and folders of their own."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("ALCHEMIST_SIM", str(ROOT / ".build/release/alchemist-sim"))

# 4 x 4 x 3 points, some left out, priced on an accelerator: a quarter of a second each at most.
GRID = """\
scenario: {model: llama-3-8b, backend: a100-80g, training.staleness: any}
trace:
  generate: {requests: 24, content: counts, scale: 1, max_context: 4096, feedback_rate: 0.8}
axes:
  trace.rate: {from: 1, to: 8, factor: 2}
  training.update_every: [1, 2, 4, 8]
  seeds: 3
constraints:
  - trace.rate <= 4 or training.update_every >= 2
arms: [serve-only, recompute, reuse]
results: RESULTS
"""


def experiment(folder, text=GRID, results="full"):
    path = pathlib.Path(folder) / "grid.yaml"
    path.write_text(text.replace("RESULTS", results))
    return path


def command(path, output, *options):
    return [PROGRAM, "sweep", str(path), "-o", str(output), "--quiet", *map(str, options)]


def run(*words, expect=0, timeout=600):
    """Runs a command to its end; its exit code must be the expected one."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if expect is not None and done.returncode != expect:
        sys.exit(f"{' '.join(map(str, words))}\nended with {done.returncode}, not {expect}:\n{done.stdout}{done.stderr}")
    return done


def records(output):
    """The records of whole points: name, and what tells one writing from another."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (pathlib.Path(output) / "points").glob("*.point")}


def demand(holds, message):
    if not holds:
        sys.exit(f"FAILED: {message}")
