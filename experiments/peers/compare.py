#!/usr/bin/env python3
"""Times the same work in PyTorch and in this engine, in turn, and prints how much faster the engine is.

Every round runs a case in PyTorch in 32-bit floats, in this engine, and in PyTorch in bfloat16, each as a process of its
own, so that a drift of the machine's speed falls on all alike. Ratios are medians over the rounds. The last column says
which share of the limit (a 2048-cubed product's rate; for decoding, the rate of a plain read) PyTorch in 32-bit floats
reaches by itself: where that is above a half, nobody can be twice as fast on this machine with the same arithmetic.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent.parent / ".build" / "release" / "alchemist-bench"
CASES = ["prefill 1x256", "prefill 1x1024", "prefill 8x128", "decode 1x512", "decode 16x512", "decode 64x512",
         "lora 1x256", "lora 1x1024", "lora 4x256", "full 1x256", "full 1x1024", "full 4x256"]


def torch_rate(case, model, dtype):
    """Tokens per second, the best of a process's runs."""
    command = [sys.executable, HERE / "torch_peer.py", "--case", case, "--model", model, "--dtype", dtype, "--runs", "3"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["tokens"] / min(result["seconds"]), result["torch"]


def own_rate(case, model):
    """Tokens per second, median of three, and the fraction of the limit."""
    kind, shape = case.split()
    name = f"{kind}{' step' if kind in ('lora', 'full') else ''} {model} {shape}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        subprocess.run(
            [BENCH, "--models", model, "--filter", name, "--rounds", "3", "--json", path], check=True,
            capture_output=True)
        figure = next(f for f in json.loads(path.read_text()) if f["name"] == name)
    return figure["value"], figure["limit_fraction"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", help="KIND BATCHxLENGTH; may be given again")
    parser.add_argument("--json", help="where the figures go")
    options = parser.parse_args()
    if not BENCH.exists():
        sys.exit(f"compare: {BENCH} is missing; build it with: swift build -c release --product alchemist-bench")
    rows = []
    print(f"{'tokens/s':18}{'engine':>10}{'of limit':>10}{'torch fp32':>12}{'torch bf16':>12}"
          f"{'x fp32':>8}{'x bf16':>8}{'fp32 of limit':>15}", flush=True)
    version = ""
    for case in options.case or CASES:
        fp32, bf16, own, fractions = [], [], [], []
        for _ in range(options.rounds):
            rate, version = torch_rate(case, options.model, "fp32")
            fp32.append(rate)
            rate, fraction = own_rate(case, options.model)
            own.append(rate)
            fractions.append(fraction)
            bf16.append(torch_rate(case, options.model, "bf16")[0])
        row = dict(
            case=case, engine=statistics.median(own), limit_fraction=statistics.median(fractions),
            torch_fp32=statistics.median(fp32), torch_bf16=statistics.median(bf16),
            over_fp32=statistics.median(a / b for a, b in zip(own, fp32)),
            over_bf16=statistics.median(a / b for a, b in zip(own, bf16)),
            torch_fp32_limit_fraction=statistics.median(f * b / a for f, a, b in zip(fractions, own, fp32)))
        rows.append(row)
        print(f"{case:18}{row['engine']:10.1f}{row['limit_fraction']:10.3f}{row['torch_fp32']:12.1f}"
              f"{row['torch_bf16']:12.1f}{row['over_fp32']:8.2f}{row['over_bf16']:8.2f}"
              f"{row['torch_fp32_limit_fraction']:15.3f}", flush=True)
    print(f"{options.model}, PyTorch {version}, {options.rounds} rounds")
    if options.json:
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
