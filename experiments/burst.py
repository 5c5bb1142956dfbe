"""What recording and training cost a server under bursts, on a device with little to spare: `make burst`.

The load is the mean rate of arrivals over the capacity: the rate at which the arm that only serves finishes requests
when all of them are there at the start. The same requests arrive in the same pattern of calms and bursts at every load;
only the pattern's time is stretched.
"""

import argparse
import pathlib

from simulate import arms, change, count, generate, gigabytes, run, seconds, table

EXPERIMENTS = pathlib.Path(__file__).resolve().parent
# In mean gaps between two requests: a calm, and a burst; and the rate in a burst over that in a calm.
CALM, BURST, FACTOR = 60, 12, 4


class Setting:
    """A scenario with the kind of requests that it is for, and the objectives that its server has."""

    def __init__(self, name, lengths, objectives):
        self.name = name
        self.scenario = EXPERIMENTS / f"{name}.yaml"
        self.work = [*lengths, "--max-context", "2048", "--content", "counts", "--feedback-rate", "0.3", "--seed", "5"]
        self.objectives = objectives


SETTINGS = [
    # Compute is what binds: long prompts, short answers.
    Setting("burst", ["--lengths", "azure-code"], {"ttft_p99": 8.0, "itl_p99": 0.055}),
    # The KV cache is what binds: answers as long as prompts.
    Setting("pressure", ["--lengths", "sharegpt-multi", "--turns", "1"], {"ttft_p99": 8.0, "itl_p99": 0.055}),
]


class Loads:
    """Metrics by load and arm, each run once."""

    def __init__(self, setting, requests):
        self.setting = setting
        self.requests = requests
        trace = generate(f"{setting.name}-at-once", "--requests", requests, "--rate", 1e6, *setting.work)
        self.capacity = self.run(trace, ["serve-only"])["serve-only"]["request_throughput"]
        self.known = {}

    def run(self, trace, names):
        return run(trace, self.setting.scenario, self.setting.name, arms=names)

    def trace(self, load):
        rate = load * self.capacity
        return generate(
            self.setting.name, "--requests", self.requests, "--arrivals", "bursts", "--rate", rate, "--burst-factor", FACTOR,
            "--calm-time", CALM / rate, "--burst-time", BURST / rate, *self.setting.work)

    def at(self, load, names):
        missing = [arm for arm in names if (load, arm) not in self.known]
        if missing:
            for arm, metrics in self.run(self.trace(load), missing).items():
                self.known[load, arm] = metrics
        return {arm: self.known[load, arm] for arm in names}

    def holds(self, load, arm):
        metrics = self.at(load, [arm])[arm]
        return all(metrics[name] <= most for name, most in self.setting.objectives.items())

    def highest(self, arm, steps):
        """The highest load at which the objectives hold, by bisection, and the half-width of what is left."""
        low, high = 0.0, 1.28
        for _ in range(steps):
            middle = (low + high) / 2
            low, high = (middle, high) if self.holds(middle, arm) else (low, middle)
        return low, (high - low) / 2


TITLE = [
    "arm", "TTFT p50", "TTFT p99", "ITL p99", "preemptions", "prefilled again", "swapped", "serving stall", "reload stall",
    "dropped tokens", "reused", "tokens/busy s", "tokens/s",
]


def rows(metrics):
    serve = metrics["serve-only"]
    for arm, m in metrics.items():
        trains = m["tokens_per_busy_second"] is not None
        yield [
            arm,
            *(f"{seconds(m[name])} ({change(m[name], serve[name])})" for name in ("ttft_p50", "ttft_p99", "itl_p99")),
            f"{m['preemptions']:.0f}",
            count(m["recomputed_tokens"]),
            gigabytes(m["swapped_bytes"]),
            # Of the whole server, and of requests that memory was not given to.
            seconds(m["serving_stall_seconds"] + m["admission_stall_seconds"]) if trains else "-",
            seconds(m["stall_seconds"]) if trains else "-",
            count(m["dropped_tokens"]) if trains else "-",
            f"{m['reused_token_fraction'] * 100:.0f} %" if trains else "-",
            f"{m['tokens_per_busy_second']:.0f}" if trains else "-",
            f"{m['tokens_per_wall_second']:.0f}" if trains else "-",
        ]


def study(setting, options):
    loads = Loads(setting, options.requests)
    names = arms(setting.scenario)
    print(
        f"{setting.scenario.name}: serve-only finishes {loads.capacity:.2f} requests/s when all are there at the start; "
        f"{options.requests} requests at each load.\n")
    for load in map(float, options.loads.split(",")):
        print(f"Load {load}, {load * loads.capacity:.2f} requests/s:\n")
        print(table(TITLE, rows(loads.at(load, names))), flush=True)
        print()
    if options.steps == 0:
        return
    wanted = " and ".join(f"{name} <= {seconds(most)}" for name, most in setting.objectives.items())
    print(f"Highest load at which {wanted} hold, by bisection:\n")
    found = {arm: loads.highest(arm, options.steps) for arm in names}
    serve = found["serve-only"][0]
    print(table(
        ["arm", "load", "against serve-only"],
        [[arm, f"{load:.3f} ± {half:.3f}", change(load, serve)] for arm, (load, half) in found.items()]))
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--loads", default="0.3,0.5,0.7,0.9")
    parser.add_argument("--steps", type=int, default=9, help="of the bisection for the highest load; 0 leaves it out")
    options = parser.parse_args()
    for setting in SETTINGS:
        study(setting, options)


if __name__ == "__main__":
    main()
