"""The share of trained tokens that reuse skips, with and without a prefix cache, sharing the records of tokens that it
finds or prefilling these again: `make prefix-cache`."""

import argparse
import pathlib

from simulate import arms, count, generate, run, seconds, table

SCENARIO = pathlib.Path(__file__).resolve().parent / "prefix_cache.yaml"
WORK = [
    "--lengths", "sharegpt-multi", "--max-context", "4096", "--prefix-tokens", "512", "--prefix-groups", "4",
    "--content", "counts", "--think-time", "10", "--feedback-rate", "0.3", "--feedback-delay", "20", "--seed", "5",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1.5)
    options = parser.parse_args()
    metrics = run(
        generate("prefix-cache", "--requests", options.requests, "--rate", options.rate, *WORK), SCENARIO, "prefix-cache")
    print(f"{options.requests} requests, {options.rate} a second.\n")
    rows = []
    for arm in arms(SCENARIO):
        m = metrics[arm]
        rows.append([
            arm, f"{m['reused_token_fraction'] * 100:.1f} %", f"{(m['prefix_cache_hit_rate'] or 0) * 100:.1f} %",
            seconds(m["ttft_p50"]), seconds(m["ttft_p99"]), seconds(m["itl_p99"]), f"{m['tokens_per_busy_second']:.0f}",
            count(m["recorded_tokens"]), count(m["linked_tokens"]), count(m["lost_tokens_unlinked"]),
            f"{m['transfer_bytes_to_host'] / 2**30:.0f} GiB",
        ])
    print(table(
        ["arm", "p", "hit rate", "TTFT p50", "TTFT p99", "ITL p99", "tokens/busy s", "recorded", "linked", "unlinked",
         "to the host"], rows))


if __name__ == "__main__":
    main()
