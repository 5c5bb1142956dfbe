#!/usr/bin/env python3
"""Runs every command of README.md's blocks for the console, in a scratch folder, as they stand there.

    python3 Tests/Runs/readme.py [--skip make ...] [--list]

The folder has what a user finds in a checkout, and in the place of what the user brings (a log from elsewhere, a checkpoint,
an adapter) small files of the same form. Commands of `make` run in the checkout itself; `make test` is left out, as this may
be a part of it.
"""
import argparse
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".build/release/alchemist-sim"
LEFT_OUT = {"make test": "it is what runs the tests"}


def commands(text):
    """Every command of the blocks for the console, without comments."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(re.sub(r"\s+#.*$", "", line[2:]).strip())
    return found


def make_adapter(model, folder):
    """An adapter of rank 2 for the queries of a checkpoint, as PEFT writes one."""
    config = json.loads((model / "config.json").read_text())
    hidden = config["hidden_size"]
    width = config["num_attention_heads"] * config.get("head_dim", hidden // config["num_attention_heads"])
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for layer in range(config["num_hidden_layers"]):
        for letter, shape in (("A", [2, hidden]), ("B", [width, 2])):
            values = [0.01 * math.sin(place + layer) for place in range(shape[0] * shape[1])]
            end = len(data) + 4 * len(values)
            name = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{letter}.weight"
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), end]}
            data += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(header).encode()
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none", "lora_dropout": 0.0}))


def bring(folder):
    """What the commands take for granted."""
    for name in ["traces", "experiments"]:
        shutil.copytree(ROOT / name, folder / name)
    subprocess.run([PROGRAM, "pretrain", "micro", "--steps", "2", "--quiet", "-o", folder / "SmolLM2-135M"], check=True,
                   stdout=subprocess.DEVNULL)
    make_adapter(folder / "SmolLM2-135M", folder / "my-adapter")
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for second in range(40):
        rows.append(f"2023-11-16 18:01:{second:02d}.1234567,{200 + 7 * second},{1 + second % 9}")
    (folder / "AzureLLMInferenceTrace_conv.csv").write_text("\n".join(rows) + "\n")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--skip", nargs="+", default=[], help="leave out commands that begin with one of these")
    options.add_argument("--list", action="store_true")
    options = options.parse_args()
    listed = commands((ROOT / "README.md").read_text())
    if options.list:
        print("\n".join(listed))
        return 0
    environment = dict(os.environ, PATH=f"{ROOT / '.build/release'}:{os.environ['PATH']}")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="alchemist-readme-") as folder:
        folder = pathlib.Path(folder)
        bring(folder)
        for command in listed:
            reason = LEFT_OUT.get(command) or next(("as asked" for word in options.skip if command.startswith(word)), None)
            if reason:
                print(f"left out, {reason}: {command}", flush=True)
                continue
            start = time.monotonic()
            result = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], cwd=ROOT if command.startswith("make ") else folder,
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            print(f"{'well' if result.returncode == 0 else 'FAILED'}, {time.monotonic() - start:.0f} s: {command}", flush=True)
            if result.returncode != 0:
                failed += 1
                print(result.stdout.decode(errors="replace")[-2000:], flush=True)
    print(f"{len(listed)} commands, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
