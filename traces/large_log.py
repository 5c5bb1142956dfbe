#!/usr/bin/env python3
"""Writes a large log in the manner of a data set, to time `alchemist-sim trace import` with.

    python3 traces/large_log.py --format mooncake --megabytes 1000 -o results/large.jsonl

Lengths, blocks and times are drawn from a seed; the same options give the same file.
"""
import argparse
import json
import pathlib
import random


def mooncake(draw, number):
    prompt = min(int(draw.lognormvariate(9.0, 1.3)) + 1, 190_000)
    first = draw.randrange(number + 1) * 40
    blocks = list(range(first, first + (prompt + 511) // 512))
    return json.dumps({"timestamp": 250 * number, "input_length": prompt,
                       "output_length": min(int(draw.lognormvariate(4.2, 1.4)) + 1, 900), "hash_ids": blocks})


def bailian(draw, number):
    prompt = min(int(draw.lognormvariate(6.2, 1.2)) + 1, 30_000)
    blocks = [draw.getrandbits(40) for _ in range((prompt + 15) // 16)]
    return json.dumps({"chat_id": number, "parent_chat_id": -1, "timestamp": 0.25 * number, "input_length": prompt,
                       "output_length": min(int(draw.lognormvariate(5.2, 1.0)) + 1, 4000), "type": "text", "turn": 1,
                       "hash_ids": blocks})


def llmservingsim(draw, number):
    return json.dumps({"request_id": f"bench-{number}", "input_toks": min(int(draw.lognormvariate(7.0, 1.0)) + 1, 8000),
                       "output_toks": min(int(draw.lognormvariate(5.5, 0.8)) + 1, 1000),
                       "arrival_time": 1777142838.25 + number / 4, "queued_ts": 479748.340626232 + number / 4,
                       "first_token_ts": 479748.510151426 + number / 4})


def words(draw, count):
    return " ".join(draw.choice(WORDS) for _ in range(count))


def sharegpt(draw, number):
    messages = [{"from": ("human", "gpt")[turn % 2], "value": words(draw, draw.randrange(20, 200))}
                for turn in range(2 * draw.randrange(1, 6))]
    return json.dumps({"id": str(number), "conversations": messages})


def vllm(draw, number):
    return json.dumps({"prompt": words(draw, draw.randrange(20, 400)), "output_tokens": draw.randrange(1, 800)})


FORMATS = {f.__name__: f for f in (mooncake, bailian, llmservingsim, sharegpt, vllm)}
WORDS = ["the", "of", "a server", "learns", "from", "its", "users", "while", "requests\n", "\u00e9tude", "\"quoted\"", "tokens"]
# Rows drawn anew before earlier ones come once more, at later times: a gigabyte takes half a minute.
DISTINCT = 20_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--format", choices=FORMATS, default="mooncake")
    parser.add_argument("--megabytes", type=float, default=1000, help="of a million bytes each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    row = FORMATS[arguments.format]
    target = arguments.megabytes * 1e6
    pathlib.Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    rows, written, number = [], 0, 0
    with open(arguments.output, "w") as file:
        while written < target:
            if number < DISTINCT:
                rows.append(row(draw, number))
                line = rows[-1]
            else:
                line = later(arguments.format, rows[number % DISTINCT], number)
            file.write(line + "\n")
            written += len(line) + 1
            number += 1
    print(f"{arguments.output}: {number} rows, {written} bytes")


def later(name, line, number):
    """The same row at the time of another number."""
    if name == "mooncake":
        head, _, rest = line.partition(", ")
        return f'{{"timestamp": {250 * number}, {rest}'
    if name == "bailian":
        before, _, rest = line.partition('"timestamp": ')
        return f'{before}"timestamp": {0.25 * number}, {rest.partition(", ")[2]}'
    if name == "llmservingsim":
        before, _, rest = line.partition('"arrival_time": ')
        return f'{before}"arrival_time": {1777142838.25 + number / 4}, {rest.partition(", ")[2]}'
    return line


if __name__ == "__main__":
    main()
