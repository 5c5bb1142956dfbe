#!/usr/bin/env python3
"""What is kept of each recorded token against the time that training takes, at two bandwidths of the host link."""
import numpy as np
import style
from grid import Grid, over_seeds
from style import plt

LABELS = {"boundary": "layers' inputs", "half-lean": "half lean", "lean": "lean", "quarter-full": "1/4 all",
          "half-full": "1/2 all", "three-quarters-full": "3/4 all", "full": "all tensors"}


def main():
    arguments = style.arguments(__doc__)
    grid = Grid(arguments.grid)
    links = grid.axis("link", float)
    figure, panels = plt.subplots(1, len(links), figsize=(7.2, 3.3))
    for place, (axes, link) in enumerate(zip(panels, links)):
        plain, _ = over_seeds(1e6 / grid.arm("tokens_per_busy_second", "recompute")[place])
        bytes_, times, halves = [], [], []
        for arm in LABELS:
            kept = grid.arm("transfer_bytes_to_host", arm)[place] / grid.arm("recorded_tokens", arm)[place] / 2**20
            bytes_.append(over_seeds(kept)[0])
            mean, half = over_seeds(1e6 / grid.arm("tokens_per_busy_second", arm)[place])
            times.append(mean)
            halves.append(half)
        times = np.array(times)
        planned = grid.arm("transfer_bytes_to_host", "planned")[place] / grid.arm("recorded_tokens", "planned")[place]
        axes.plot(over_seeds(planned / 2**20)[0], over_seeds(1e6 / grid.arm("tokens_per_busy_second", "planned")[place])[0],
                  "o", markersize=11, markerfacecolor="none", markeredgecolor=style.COLOURS[2], markeredgewidth=1.6,
                  zorder=4, label="the planner's choice")
        axes.axhline(plain, color=style.COLOURS[3], label="recompute")
        axes.errorbar(bytes_, times, yerr=np.nan_to_num(halves), fmt="o-", color=style.COLOURS[0], markersize=4,
                      linewidth=1, label="reuse, by what is kept")
        best = int(np.argmin(times))
        axes.plot(bytes_[best], times[best], "*", color="black", markersize=12, zorder=3, label="fastest of the fixed plans")
        for index, (arm, label) in enumerate(LABELS.items()):
            # Beside the line, on the side that it leaves free.
            rises = times[min(index + 1, len(times) - 1)] > times[max(index - 1, 0)] * 1.05
            offset, side = ((-7, 2), "right") if rises else ((6, 4), "left")
            if link < 10 and index < 3:
                offset, side = (0, -16 - 11 * (index % 2)), "center"
            if link > 10 and index == len(LABELS) - 1:
                offset, side = (0, -18), "center"
            axes.annotate(label, (bytes_[index], times[index]), textcoords="offset points", xytext=offset, ha=side,
                          fontsize=7)
        low, high = min(times.min(), plain), max(times.max(), plain)
        axes.set(title=f"host link {link:g} GB/s", xlabel="kept of each recorded token (MiB)",
                 ylabel="busy time per trained token (µs)", xlim=(0, 1.12 * max(bytes_)),
                 ylim=(low - 0.3 * (high - low), high + 0.6 * (high - low)))
        axes.legend(fontsize=7, loc="upper right" if link > 10 else "upper left")
    style.save(figure, arguments.output)


if __name__ == "__main__":
    main()
