#!/usr/bin/env python3
"""Runs experiments/headline-a100.yaml over p, link, checkpointing, load and more, and prints tables in Markdown.

Every figure is one that `alchemist-sim run --json` prints; nothing is computed here but ratios of two of them. Modelled
durations: the tables are the same on every machine.

    python3 experiments/headline-a100.py .build/release/alchemist-sim > results/headline-a100.md

Names of tables after the program choose among them: speed_up, offloading, largest, latency, limits.
"""
import json
import os
import subprocess
import sys

PROGRAM = sys.argv[1]
FOLDER = "results/headline-a100"
SCENARIO = "experiments/headline-a100.yaml"


def trace(p=0.9, rate=1.0, feedback=0.7, longest=8192):
    """A trace of 600 requests of ShareGPT's lengths, one turn each, whose prompts are the share p of all tokens."""
    path = f"{FOLDER}/p{p}-rate{rate}-feedback{feedback}-longest{longest}.jsonl"
    if not os.path.exists(path):
        command = [PROGRAM, "trace", "generate", "--requests", "600", "--max-context", str(longest), "--lengths", "sharegpt-multi", "--turns", "1",
                   "--target-p", str(p), "--content", "counts", "--rate", str(rate), "--feedback-rate", str(feedback),
                   "--seed", "9", "-o", path]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def run(path, arms="recompute,reuse", **settings):
    """The JSON of a run; None where a simulated resource is too small (exit code 75)."""
    command = [PROGRAM, "run", path, "--scenario", SCENARIO, "--arms", arms, "--json", "-q", "-o", f"{FOLDER}/run.h5"]
    for name, value in settings.items():
        command += ["--set", f"{name.replace('__', '.')}={value}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode == 75:
        return None
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def arm(result, name, metric):
    """A metric of an arm, or None."""
    return result["arms"][name][metric]


def compared(result, metric, baseline="recompute", candidate="reuse"):
    """A metric of a comparison, or None."""
    for entry in result["comparisons"]:
        if entry["baseline"] == baseline and entry["candidate"] == candidate:
            return entry[metric]
    raise KeyError(baseline)


def number(figure, digits=2):
    return "-" if figure is None else f"{figure:.{digits}f}"


def gib(figure):
    return "-" if figure is None else f"{figure / 2**30:.1f}"


def table(title, header, rows):
    print(f"### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def speed_up():
    """Speed-up and training memory of reuse against recomputing with the same checkpointing."""
    links = ["3GB/s", "6GB/s", "12GB/s", "26GB/s", "52GB/s"]
    speed, memory = [], []
    for checkpointing in ["none", "selective", "full"]:
        for p in [0.3, 0.5, 0.7, 0.9]:
            path = trace(p)
            speeds, ratio, reused, bound = [], None, None, None
            for link in links:
                result = run(path, training__checkpointing=checkpointing, device__link_bandwidth=link)
                speeds.append(number(compared(result, "training_speedup")))
                if link == "26GB/s":
                    ratio = compared(result, "training_peak_memory_ratio")
                    reused = compared(result, "reused_token_fraction")
                    bound = compared(result, "training_speedup_bound")
                    memory.append([checkpointing, f"{p}", gib(arm(result, "recompute", "training_peak_bytes")),
                                   gib(arm(result, "reuse", "training_peak_bytes")), number(ratio),
                                   gib(arm(result, "reuse", "host_peak_bytes")),
                                   number(100 * arm(result, "recompute", "forward_share"), 1) + " %"])
            speed.append([checkpointing, f"{p}", number(100 * reused, 0) + " %"] + speeds + [number(bound)])
    table("Training speed-up in busy time, over the host link", ["checkpointing", "p", "reused"] + links
          + ["bound, 26GB/s"], speed)
    table("Training memory at 26 GB/s, GiB", ["checkpointing", "p", "recompute", "reuse", "ratio", "reuse's host peak",
                                             "recompute's forward share"], memory)


def offloading():
    """Trainers that recompute and send their own activations to the host, beside those that keep them and reuse."""
    path = trace(0.9)
    rows = []
    for link in ["3GB/s", "6GB/s", "12GB/s", "26GB/s", "52GB/s"]:
        for checkpointing in ["none", "selective", "full"]:
            result = run(path, arms="recompute,offload,reuse", training__checkpointing=checkpointing,
                         device__link_bandwidth=link)
            rows.append([link, checkpointing]
                        + [gib(arm(result, name, "training_peak_bytes")) for name in ["recompute", "offload", "reuse"]]
                        + [gib(arm(result, name, "host_peak_bytes")) for name in ["offload", "reuse"]]
                        + [number(arm(result, name, "tokens_per_busy_second"), 0)
                           for name in ["recompute", "offload", "reuse"]]
                        + [number(arm(result, name, "stall_seconds"), 1) for name in ["offload", "reuse"]])
    table("Trainers that offload their own activations, p = 0.9",
          ["link", "checkpointing", "training memory, GiB: recompute", "offload", "reuse", "host: offload", "reuse",
           "tokens / busy s: recompute", "offload", "reuse", "stall, s: offload", "reuse"], rows)


def largest():
    """The largest micro-batch that the program lets each arm train on one device."""
    rows = []
    path = trace(0.9, longest=2048)
    for checkpointing in ["none", "selective", "full"]:
        result = run(path, training__checkpointing=checkpointing, training__update_every=400, training__sharing="idle",
                     training__micro_batch_tokens=10_000_000, device__host_memory="4TiB")
        most = {name: arm(result, name, "largest_micro_batch_tokens") for name in ["recompute", "reuse"]}
        rows.append([checkpointing] + [number(most[name], 0) for name in most] + [number(most["reuse"] / most["recompute"])]
                    + [gib(arm(result, name, "device_peak_bytes")) for name in most])
    table("Most tokens trained on at once on one A100, p = 0.9, prompts to 2,048",
          ["checkpointing", "recompute", "reuse", "ratio", "device's peak, GiB: recompute", "reuse"], rows)


def latency():
    """Latency and training against load; and what a device-second trains."""
    latencies, devices = [], []
    for rate in [0.5, 1, 2, 3, 4, 6]:
        result = run(trace(0.7, rate, feedback=1.0), arms="serve-only,recompute,reuse,separate")
        row = [f"{rate}"]
        for metric, scale in [("ttft_p90", 1e3), ("itl_p99", 1e3)]:
            row += [number(scale * arm(result, name, metric), 0) for name in ["serve-only", "recompute", "reuse"]]
        row.append(number(compared(result, "training_speedup")))
        latencies.append(row)
        devices.append([f"{rate}"] + [number(arm(result, name, "tokens_per_wall_second"), 0)
                                      for name in ["recompute", "reuse", "separate"]]
                       + [number(arm(result, name, "tokens_per_device_second"), 0)
                          for name in ["recompute", "reuse", "separate"]]
                       + [number(100 * arm(result, "reuse", "reused_token_fraction"), 0) + " %"])
    table("Latency against load, p = 0.7, all requests with feedback (ms)",
          ["requests/s", "TTFT p90 serve-only", "recompute", "reuse", "ITL p99 serve-only", "recompute", "reuse",
           "speed-up"], latencies)
    table("Trained tokens per second of the same runs", ["requests/s", "recompute", "reuse", "separate",
                                                        "recompute, per device", "reuse, per device",
                                                        "separate, per device", "reused"], devices)


def limits():
    """Where reuse does not pay."""
    cases = [
        ("as above, p = 0.9", 0.9, 1, {}), ("p = 0.1", 0.1, 1, {}), ("records of the current weights only", 0.9, 1, {
            "training__staleness": "exact"}),
        ("the same, 4 requests/s", 0.9, 4, {"training__staleness": "exact"}),
        ("link of 1 GB/s", 0.9, 1, {"device__link_bandwidth": "1GB/s"}),
        ("link of 1 GB/s, records of layer inputs", 0.9, 1, {
            "device__link_bandwidth": "1GB/s", "recording__plan": "boundary"}),
        ("records of layer inputs", 0.9, 1, {"recording__plan": "boundary"}),
        ("records without gate and up", 0.9, 1, {"recording__plan": "lean"}),
        ("host memory of 32 GiB", 0.9, 1, {"device__host_memory": "32GiB"}),
        ("records stay on the device", 0.9, 1, {"recording__offload": "none"}),
        ("idle time only, 2 requests/s", 0.9, 2, {"training__sharing": "idle"}),
    ]
    rows = []
    for text, p, rate, settings in cases:
        result = run(trace(p, rate), arms="serve-only,recompute,reuse", **settings)
        if result is None:
            rows.append([text] + ["too little memory"] * 5)
            continue
        rows.append([
            text, number(100 * compared(result, "reused_token_fraction"), 0) + " %",
            number(compared(result, "training_speedup")), number(compared(result, "training_peak_memory_ratio")),
            number(compared(result, "ttft_p90_ratio")), number(arm(result, "reuse", "stall_seconds"), 1)])
    table("Where reuse pays less, or not at all", ["setting", "reused", "speed-up", "training memory ratio",
                                                  "TTFT p90 ratio", "reload stall, s"], rows)


os.makedirs(FOLDER, exist_ok=True)
parts = {part.__name__: part for part in [speed_up, offloading, largest, latency, limits]}
for name in sys.argv[2:] or parts:
    parts[name]()
