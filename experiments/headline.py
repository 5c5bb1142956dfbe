#!/usr/bin/env python3
"""The paper's headline figures, from measured work on this machine.

    experiments/headline.py PROGRAM [-o results/headline.md] [--quick]

Runs PROGRAM (alchemist-sim) over traces that it writes itself and prints tables in Markdown. Every figure is a median over
interleaved repeats of what the program measured; nothing is computed here but ratios of its figures. Python's standard
library suffices.
"""

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def write_trace(path, requests, length, share, gap):
    """Requests of `length` tokens each, `share` of them prompt; feedback comes soon."""
    prompt = max(1, round(share * length))
    with open(path, "w") as file:
        for number in range(requests):
            line = dict(id=f"r{number}", arrival=number * gap, prompt_tokens=prompt,
                        output_tokens=length - prompt + 1, feedback=dict(delay=0.05))
            file.write(json.dumps(line) + "\n")
    return path


class Runner:
    def __init__(self, program, folder, repeats, backend):
        self.program, self.folder, self.repeats, self.backend = program, folder, repeats, backend
        os.makedirs(folder, exist_ok=True)

    def command(self, trace, arms, settings, repeats=None):
        settings = dict(settings, backend=self.backend)
        sets = [part for item in settings.items() for part in ("--set", "%s=%s" % item)]
        return [self.program, "run", trace, "--scenario", os.path.join(HERE, "headline.yaml"), "--arms", ",".join(arms),
                "--repeats", str(repeats or self.repeats), "--json", "--quiet", "-o",
                os.path.join(self.folder, "headline.h5"), *sets]

    def run(self, name, requests, length, share, arms, settings, gap=2.0, repeats=None):
        trace = write_trace(os.path.join(self.folder, name + ".jsonl"), requests, length, share, gap)
        print("running", name, file=sys.stderr)
        result = subprocess.run(self.command(trace, arms, settings, repeats), stdout=subprocess.PIPE)
        if result.returncode != 0:
            sys.exit(f"{name}: the program ended with {result.returncode}")
        return json.loads(result.stdout)

    def fits(self, length, share, arm, settings):
        """Whether an arm can train a sample of `length` tokens: 75 says that a simulated resource is too small."""
        trace = write_trace(os.path.join(self.folder, "fits.jsonl"), 1, length, share, 1.0)
        result = subprocess.run(self.command(trace, [arm], settings, 1), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if result.returncode not in (0, 75):
            sys.exit(result.stderr.decode())
        return json.loads(result.stdout) if result.returncode == 0 else None


def compared(result, baseline, candidate, kind="comparisons"):
    """A comparison; one without figures where nothing is paired because no clock ran."""
    found = (c for c in result[kind] if (c["baseline"], c["candidate"]) == (baseline, candidate))
    return next(found, None) or collections.defaultdict(lambda: None)


def figure(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def spread(comparison, name, digits=2):
    low, high = comparison[name + "_min"], comparison[name + "_max"]
    return f"{figure(comparison[name], digits)} ({figure(low, digits)} - {figure(high, digits)})"


def per_token(arm, *phases):
    return sum(arm[phase + "_seconds"] or 0 for phase in phases) / arm["trained_tokens"]


def table(title, header, rows):
    lines = [title, "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def lengths(runner, quick):
    """Redundant share and speed-up over tuning modes and lengths, p = 0.9."""
    rows, best = [], (0, "")
    for tuning in ("lora", "full"):
        for length in (256,) if quick else (256, 512, 1024):
            arms = ["keep-all", "selective", "checkpoint", "reuse"]
            result = runner.run(f"{tuning}-{length}", 8, length, 0.9, arms, {"training.tuning": tuning})
            base, reuse = result["arms"]["keep-all"], result["arms"]["reuse"]
            whole = base["busy_seconds"] / base["trained_tokens"]
            redundant = (per_token(base, "forward") - per_token(reuse, "forward")) / whole
            row = [tuning, str(length), figure(100 * base["forward_share"], 1), figure(100 * redundant, 1)]
            for baseline in ("keep-all", "selective", "checkpoint"):
                speed = compared(result, baseline, "reuse")
                row += [spread(speed, "training_speedup"), figure(compared(result, baseline, "reuse", "paired")["training_speedup"])]
                best = max(best, (speed["training_speedup"], f"{tuning}, {length} tokens, against {baseline}"))
            rows.append(row)
    header = ["tuning", "tokens", "forward, % of busy time", "redundant, %", "against keep-all", "paired",
              "against selective", "paired", "against full checkpointing", "paired"]
    return table("Redundant share and speed-up of training, p = 0.9", header, rows) + (
        f"\nThe largest speed-up seen is {best[0]:.2f}: {best[1]}.\n")


def shares(runner, quick):
    """Measured speed-up against the ideal over p."""
    rows = []
    for share in (0.5, 0.9) if quick else (0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
        result = runner.run(f"p-{share}", 8, 512, share, ["keep-all", "reuse"], {"training.tuning": "lora"})
        live, paired = compared(result, "keep-all", "reuse"), compared(result, "keep-all", "reuse", "paired")
        arm = result["arms"]["reuse"]
        most = paired if paired["training_speedup"] else live
        off = most["training_speedup"] / most["training_speedup_bound"] - 1
        rows.append([figure(share), figure(live["reused_token_fraction"], 3), spread(live, "training_speedup"),
                     figure(live["training_speedup_bound"]), figure(paired["training_speedup"]),
                     figure(paired["training_speedup_bound"]), figure(100 * off, 1),
                     figure(1000 * (arm["stall_seconds"] or 0), 1), figure(arm["busy_seconds"], 2)])
    header = ["p wanted", "p", "speed-up", "T / (T - F + F_u)", "paired speed-up", "paired bound", "off by, %",
              "reload stall, ms", "busy, s"]
    return table("Speed-up against the ideal, LoRA, 512 tokens, nothing checkpointed", header, rows)


def memory(runner, quick):
    """Training memory and latency under load. Every repeat is a run of its own, of which latencies are compared with those of
    serving alone in the same run: what the machine does for minutes then takes no part in the difference."""
    arms = ["serve-only", "keep-all", "selective", "checkpoint", "offload", "reuse", "reuse-checkpoint"]
    repeats = 1 if quick or runner.backend != "measured" else 5
    rows = []
    for tuning in ("lora", "full"):
        # Every second run goes in the opposite order: what comes first in a run shall not always be the same arm.
        orders = [arms if number % 2 == 0 else arms[::-1] for number in range(repeats)]
        runs = [runner.run(f"memory-{tuning}", 24, 512, 0.9, order, {"training.tuning": tuning}, gap=0.3, repeats=1)["arms"]
                for order in orders]

        def middle(figure_of):
            return statistics.median(figure_of(run) for run in runs)

        def latency(name, metric, digits):
            changes = [1000 * (run[name][metric] - run["serve-only"][metric]) for run in runs]
            between = f" ({min(changes):.{digits}f} - {max(changes):.{digits}f})" if repeats > 1 else ""
            return [figure(1000 * middle(lambda run: run[name][metric]), digits),
                    f"{statistics.median(changes):.{digits}f}" + between]

        for name in arms[1:]:
            peak = middle(lambda run: run[name]["training_peak_bytes"])
            rows.append([tuning, name, figure(peak / 2**20, 1),
                         figure(peak / middle(lambda run: run["keep-all"]["training_peak_bytes"])),
                         figure(middle(lambda run: run[name]["host_peak_bytes"] or 0) / 2**20, 0),
                         figure(middle(lambda run: run[name]["tokens_per_busy_second"]), 0)]
                        + latency(name, "ttft_p50", 1) + latency(name, "ttft_p90", 1) + latency(name, "itl_p99", 2))
    header = ["tuning", "arm", "training memory, MiB", "of keep-all", "host, MiB", "tokens / busy s", "TTFT p50, ms",
              "less serve-only", "TTFT p90, ms", "less serve-only", "ITL p99, ms", "less serve-only"]
    return table("Training memory, and latency against serving alone, 512 tokens, p = 0.9", header, rows)


def devices(runner, quick):
    """What a device trains in a second: a backlog of feedback, on the server's device or on one of the trainer's own."""
    rows = []
    colocated = ["keep-all", "selective", "checkpoint"]
    arms = ["serve-only"] + colocated + ["separate-" + name for name in colocated] + ["reuse"]
    for tuning in ("lora", "full"):
        result = runner.run(f"devices-{tuning}", 12 if quick else 24, 512, 0.9, arms, {"training.tuning": tuning}, gap=0.02)
        reuse = result["arms"]["reuse"]["tokens_per_device_second"]
        for name in arms[1:]:
            arm = result["arms"][name]
            rows.append([tuning, name, "2" if name.startswith("separate") else "1",
                         figure(arm["tokens_per_busy_second"], 0), figure(arm["tokens_per_wall_second"], 0),
                         figure(arm["tokens_per_device_second"], 0),
                         figure(reuse / arm["tokens_per_device_second"]), figure(arm["training_peak_bytes"] / 2**20, 1),
                         figure(1000 * arm["ttft_p90"], 0)])
    header = ["tuning", "arm", "devices", "tokens / busy s", "tokens / wall s", "tokens / device s", "reuse's to it",
              "training memory, MiB", "TTFT p90, ms"]
    return table("Throughput by device: requests faster than they can be trained on, 512 tokens, p = 0.9", header, rows)


def largest(runner, quick):
    """The most tokens that the program lets each arm train on at once within one device memory."""
    arms = ["keep-all", "selective", "checkpoint", "offload", "reuse", "reuse-checkpoint"]
    samples, length = 24 if quick else 48, 128
    settings = {"device.memory": "160MiB", "training.tuning": "lora", "training.micro_batch_tokens": 1000000,
                "training.update_every": samples, "recording.prefetch_layers": 0}
    result = runner.run("largest", samples, length, 0.9, arms, settings, gap=0.5, repeats=1)
    most = {name: result["arms"][name]["largest_micro_batch_tokens"] for name in arms}
    rows = []
    for name in arms:
        arm = result["arms"][name]
        rows.append([name, ("≥ " if most[name] >= samples * length else "") + figure(most[name], 0),
                     figure(most[name] / most["keep-all"]), figure(arm["device_peak_bytes"] / 2**20, 1),
                     figure((arm["host_peak_bytes"] or 0) / 2**20, 0), figure(arm["reused_token_fraction"], 3),
                     figure(arm["tokens_per_busy_second"], 0)])
    header = ["arm", "tokens", "of keep-all", "device peak, MiB", "host, MiB", "p", "tokens / busy s"]
    return table(f"Most tokens trained on at once within 160 MiB, samples of {length}, LoRA, p = 0.9", header, rows)


def longest(runner, quick):
    """The largest sample that each arm trains within one device memory, found by running."""
    rows = []
    settings = {"device.memory": "160MiB", "training.tuning": "lora", "training.micro_batch_tokens": 16,
                "recording.prefetch_layers": 0}
    most = {}
    for arm in ("keep-all", "selective", "checkpoint", "offload", "reuse", "reuse-checkpoint"):
        low, high, kept = 16, 2048, None
        while high - low > (256 if quick else 16):
            middle = (low + high) // 2
            result = runner.fits(middle, 0.9, arm, settings)
            if result:
                low, kept = middle, result
            else:
                high = middle
        most[arm] = low
        figures = kept["arms"][arm] if kept else {}
        rows.append([arm, str(low), figure(low / most["keep-all"]),
                     figure((figures.get("device_peak_bytes") or 0) / 2**20, 1),
                     figure(figures.get("reused_token_fraction"), 3), figure(figures.get("tokens_per_busy_second"), 0)])
    header = ["arm", "tokens", "of keep-all", "device peak, MiB", "p", "tokens / busy s"]
    return table("Longest sample trained within 160 MiB (to 16 tokens), LoRA, p = 0.9", header, rows)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("program")
    options.add_argument("-o", "--output", default="results/headline.md")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="few points: does it work?")
    options.add_argument("--backend", default="measured", help="a profile prices the same work where the machine is busy")
    options.add_argument("--only", default="lengths,shares,memory,devices,largest,longest")
    arguments = options.parse_args()
    repeats = 1 if arguments.quick else arguments.repeats
    runner = Runner(arguments.program, os.path.dirname(arguments.output) or ".", repeats, arguments.backend)
    parts = dict(lengths=lengths, shares=shares, memory=memory, devices=devices, largest=largest, longest=longest)
    texts = []
    for name in arguments.only.split(","):
        texts.append(parts[name](runner, arguments.quick))
        print(texts[-1], flush=True)
    with open(arguments.output + ".partial", "w") as file:
        file.write("\n".join(texts))
    os.replace(arguments.output + ".partial", arguments.output)


if __name__ == "__main__":
    main()
