#!/usr/bin/env python3
"""Draws what `alchemist-sim trace stats --json` prints: lengths, arrivals and turns of one trace or several.

    alchemist-sim trace stats my.jsonl --json > my.json
    .venv-plots/bin/python plots/trace_stats.py my.json [other.json ...] -o results/my

writes results/my.pdf and results/my.png.
"""
import argparse
import json
import pathlib

import style
from style import plt


def curve(axes, spread, label, look):
    axes.plot(spread["percentiles"], [p / 100 for p in range(101)], **look, label=label)


def draw(traces):
    figure, ((prompts, outputs), (arrivals, turns)) = plt.subplots(2, 2, figsize=(7.2, 5.0))
    for index, trace in enumerate(traces):
        name = pathlib.Path(trace["source"]).name
        look = {key: value for key, value in style.series(index).items() if key in ("color", "linestyle", "linewidth")}
        curve(prompts, trace["prompt_tokens"], f"{name}, p = {trace['p']:.3f}", look)
        curve(outputs, trace["output_tokens"], name, look)
        curve(turns, trace["turns"], name, look)
        series, span = trace["arrivals"], trace["span"]
        if series:
            width = span / len(series)
            cv = f", CV {trace['gap_cv']:.2f}" if trace.get("gap_cv") is not None else ""
            arrivals.stairs([count / width for count in series], [i * width for i in range(len(series) + 1)],
                            label=name + cv, **look)
    reference = next((t["against"] for t in traces if t.get("against")), None)
    if reference:
        for axes, key in ((prompts, "prompt_quantiles"), (outputs, "output_quantiles")):
            axes.plot(reference[key], reference["levels"], color="black", linewidth=0.8, label=reference["fit"])
    for axes, what in ((prompts, "prompt (tokens)"), (outputs, "output (tokens)"), (turns, "turns of a conversation")):
        axes.set(xlabel=what, ylabel="share up to", ylim=(0, 1))
    for axes in (prompts, outputs):
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xlim(left=0)
    arrivals.set(xlabel="time (s)", ylabel="requests/s", ylim=(0, None))
    for axes in (prompts, outputs, arrivals):
        axes.legend(fontsize=7)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stats", nargs="+", help="what trace stats --json printed")
    parser.add_argument("-o", "--output", required=True, help="where the picture goes, without an ending")
    arguments = parser.parse_args()
    style.save(draw([json.loads(pathlib.Path(path).read_text()) for path in arguments.stats]), arguments.output)


if __name__ == "__main__":
    main()
