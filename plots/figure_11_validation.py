#!/usr/bin/env python3
"""The model of a machine against the machine: durations of quanta, and figures end to end."""
import glob

import h5py
import numpy as np
import style
from style import plt

KINDS = {"decoding": (style.COLOURS[0], "-"), "prefilling": (style.COLOURS[1], "--"), "training": (style.COLOURS[3], "-.")}
FIGURES = {"TTFT p50 and p90": (("ttft_p50", "ttft_p90"), style.COLOURS[1], "o"),
           "TPOT p50 and p90": (("tpot_p50", "tpot_p90"), style.COLOURS[0], "s"),
           "e2e p50 and p90": (("e2e_p50", "e2e_p90"), style.COLOURS[2], "^"),
           "forward, loss, backward, optimizer": (("forward_seconds", "loss_seconds", "backward_seconds",
                                                   "optimizer_seconds"), style.COLOURS[3], "D")}
SUFFIX = "-modelled"


def main():
    arguments = style.arguments(__doc__)
    files = sorted(glob.glob(arguments.grid + "/validate-*.h5"))
    ratios = {kind: [] for kind in KINDS}
    pairs = {name: [] for name in FIGURES}
    for path in files:
        with h5py.File(path) as file:
            for arm, group in file["arms"].items():
                if arm.endswith(SUFFIX):
                    continue
                for name, repeat in group.items():
                    if not name.startswith("repeat"):
                        continue
                    log = {key: repeat["iterations"][key][()] for key in ("kind", "prefill_tokens", "predicted", "duration")}
                    serves, prefills = log["kind"] == 0, log["prefill_tokens"] > 0
                    ratio = log["predicted"] / log["duration"]
                    for kind, chosen in zip(KINDS, (serves & ~prefills, serves & prefills, ~serves)):
                        ratios[kind].append(ratio[chosen])
                modelled = file["arms"][arm + SUFFIX]["summary"]
                for name, (metrics, _, _) in FIGURES.items():
                    for metric in metrics:
                        pair = group["summary"][metric][()], modelled[metric][()]
                        if np.all(np.isfinite(pair)) and min(pair) > 0:
                            pairs[name].append(pair)
    figure, (quanta, ends) = plt.subplots(1, 2, figsize=(7.2, 3.4))
    quanta.axvspan(0.9, 1.1, ymax=1 / 1.32, color="#dddddd", linewidth=0, zorder=0)
    for kind, (colour, line) in KINDS.items():
        values = np.sort(np.concatenate(ratios[kind]))
        middle = np.median(np.abs(values - 1))
        quanta.plot(values, np.arange(1, len(values) + 1) / len(values), color=colour, linestyle=line,
                    label=f"{kind}: median error {100 * middle:.0f} %")
    quanta.set(xlabel="modelled / measured duration of a quantum", ylabel="share of quanta up to", xscale="log", xlim=(0.4, 2.5),
               ylim=(0, 1.32))
    quanta.set_yticks([0, 0.25, 0.5, 0.75, 1])
    style.plain_ticks(quanta.xaxis, [0.5, 0.7, 1, 1.4, 2])
    quanta.legend(fontsize=7.5, loc="upper left")
    everything = np.array([pair for found in pairs.values() for pair in found])
    low, high = everything.min() / 1.5, everything.max() * 1.5
    line = np.array([low, high])
    ends.plot(line, line, color="black", linewidth=0.8)
    ends.fill_between(line, 0.9 * line, 1.1 * line, color="#dddddd", linewidth=0, zorder=0, label="within 10 %")
    for name, (_, colour, marker) in FIGURES.items():
        found = np.array(pairs[name])
        ends.plot(found[:, 0], found[:, 1], linestyle="", marker=marker, color=colour, markersize=4, label=name)
    ends.set(xlabel="measured (s)", ylabel="modelled (s)", xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    ends.legend(fontsize=7, loc="upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
