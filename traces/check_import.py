#!/usr/bin/env python3
"""Counts a source and the trace imported from it independently of the importer, with Python's standard library alone.

    python3 traces/check_import.py SOURCE TRACE

Rows, sums, percentiles of prompts and outputs, arrivals and blocks must agree; prints what was compared and exits with 1 if
anything differs. Knows Azure's, Vidur's, BurstGPT's, Mooncake's and LLMServingSim's files.
"""
import csv
import datetime
import gzip
import json
import os
import sys

COLUMNS = [  # prompt, output, time, its unit in seconds
    ("ContextTokens", "GeneratedTokens", "TIMESTAMP", "date"),
    ("Request tokens", "Response tokens", "Timestamp", 1),
    ("num_prefill_tokens", "num_decode_tokens", "arrived_at", 1),
    ("input_length", "output_length", "timestamp", 1e-3),
    ("input_toks", "output_toks", "arrival_time_ns", 1e-9),
    ("input_toks", "output_toks", "arrival_time", 1),
]


def opened(path):
    return gzip.open(path, "rt") if path.endswith(".gz") else open(path)


def rows_of(path):
    with opened(path) as file:
        if path.removesuffix(".gz").endswith(".csv"):
            yield from csv.DictReader(file)
        else:
            yield from (json.loads(line) for line in file if line.strip())


def seconds(value, unit):
    if unit != "date":
        return float(value) * unit
    # Seven digits of a second are more than datetime knows.
    whole, _, fraction = value.split("+")[0].partition(".")
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + (fraction or "0"))


def percentile(values, share):
    rank = share * (len(values) - 1)
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return values[below] + (rank - below) * (values[above] - values[below])


def figures(requests):
    result = {"requests": len(requests)}
    for name, index in (("prompt", 0), ("output", 1)):
        values = sorted(r[index] for r in requests)
        result[f"{name} sum"] = sum(values)
        for share in (0.5, 0.9, 0.99):
            result[f"{name} p{share * 100:g}"] = round(percentile(values, share), 6)
    times = [r[2] for r in requests if r[2] is not None]
    if times:
        result["span"] = round(times[-1] - times[0], 3)
    result["blocks"] = sum(len(r[3] or []) for r in requests)
    result["block names"] = sum(sum(r[3] or []) for r in requests)
    return result


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    source, trace = sys.argv[1:]
    for path in (source, trace):
        if not os.path.isfile(path):
            sys.exit(f"{path}: found no file")
    rows = list(rows_of(source))
    if not rows:
        sys.exit(f"{source}: found no rows, expected at least one to compare")
    known = [c for c in COLUMNS if c[0] in rows[0] and (c[2] in rows[0] or c[2] == "arrived_at")]
    if not known:
        sys.exit(f"{source}:1: found the columns {', '.join(map(str, rows[0]))}, expected those of Azure's, Vidur's, BurstGPT's, "
                 "Mooncake's or LLMServingSim's files")
    prompt, output, time, unit = known[0]
    read = [(int(float(r[prompt])), int(float(r[output])), seconds(r[time], unit) if time in r else None, r.get("hash_ids"))
            for r in rows]
    has_times = read[0][2] is not None
    kept = [r for r in read if r[0] > 0 and r[1] > 0]
    if not kept:
        sys.exit(f"{source}: found {len(rows)} rows, none of them with prompt and output tokens, expected at least one")
    expected = figures(kept)
    imported = list(rows_of(trace))
    if not imported:
        sys.exit(f"{trace}: found no requests, expected those of {source}")
    found = figures([(r["prompt_tokens"], r["output_tokens"], r["arrival"] if has_times else None,
                      r.get("prefix", {}).get("blocks")) for r in imported])
    differences = 0
    for name, value in expected.items():
        same = abs(found.get(name, float("nan")) - value) <= (1e-3 if name == "span" else 0)
        differences += not same
        print(f"{name:14} {value:>16} {found.get(name):>16} {'' if same else 'DIFFERS'}")
    print(f"{len(rows) - expected['requests']} rows without tokens, {differences} differences")
    return differences > 0


if __name__ == "__main__":
    sys.exit(main())
