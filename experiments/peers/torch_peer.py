#!/usr/bin/env python3
"""The same model, shapes, tokens, logits positions and steps as `alchemist-bench`, in PyTorch on the CPU.

One case a process: builds the model, runs the case a few times, prints one JSON object with the seconds of each run.
`compare.py` calls it in turn with this project's own benchmark.

The model is written for speed within plain PyTorch: fused q/k/v and gate/up products, scaled_dot_product_attention with
grouped queries, functional RMSNorm, the fused AdamW, and logits only where they are wanted.
"""
import argparse
import json
import math
import os
import time

import torch
import torch.nn.functional as F
from torch import nn

# Sizes of the presets that are compared, as in Sources/Engine/Transformer/ModelConfig.swift.
PRESETS = {
    "mini": dict(layers=8, hidden=384, heads=6, kv=2, size=64, inter=1024, vocab=2048, theta=10_000.0),
    "smollm2-135m": dict(layers=30, hidden=576, heads=9, kv=3, size=64, inter=1536, vocab=49_152, theta=100_000.0),
}


class Adapted(nn.Module):
    """y = x W^T, and with a rank also (alpha / rank) (x A^T) B^T for each of the projections fused in W."""

    def __init__(self, inputs, outputs, rank):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(sum(outputs), inputs) * 0.02, requires_grad=rank == 0)
        self.outputs = outputs
        self.rank = rank
        if rank:
            self.a = nn.Parameter(torch.randn(rank * len(outputs), inputs) / math.sqrt(inputs))
            self.b = nn.ParameterList(nn.Parameter(torch.zeros(o, rank)) for o in outputs)

    def forward(self, x):
        y = F.linear(x, self.weight)
        if not self.rank:
            return y
        inner = F.linear(x, self.a).split(self.rank, dim=-1)
        return y + 2.0 * torch.cat([F.linear(i, b) for i, b in zip(inner, self.b)], dim=-1)


class Layer(nn.Module):
    def __init__(self, c, rank):
        super().__init__()
        self.c = c
        q, k = c["heads"] * c["size"], c["kv"] * c["size"]
        trains = rank == 0
        self.norm1 = nn.Parameter(torch.ones(c["hidden"]), requires_grad=trains)
        self.norm2 = nn.Parameter(torch.ones(c["hidden"]), requires_grad=trains)
        self.qkv = Adapted(c["hidden"], [q, k, k], rank)
        self.o = Adapted(q, [c["hidden"]], rank)
        self.gate_up = Adapted(c["hidden"], [c["inter"], c["inter"]], rank)
        self.down = Adapted(c["inter"], [c["hidden"]], rank)

    def attend(self, q, k, v, cache):
        if cache is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        keys, values, end = cache
        keys[:, :, end : end + 1] = k
        values[:, :, end : end + 1] = v
        return F.scaled_dot_product_attention(
            q, keys[:, :, : end + 1], values[:, :, : end + 1], enable_gqa=True)

    def forward(self, x, cos, sin, cache=None):
        c = self.c
        batch, length, hidden = x.shape
        q, k, v = self.qkv(F.rms_norm(x, (hidden,), self.norm1, 1e-5)).split(
            [c["heads"] * c["size"], c["kv"] * c["size"], c["kv"] * c["size"]], dim=-1)
        q, k, v = (t.view(batch, length, -1, c["size"]).transpose(1, 2) for t in (q, k, v))
        q, k = (t * cos + torch.cat((-t[..., c["size"] // 2 :], t[..., : c["size"] // 2]), -1) * sin for t in (q, k))
        o = self.attend(q, k, v, cache)
        x = x + self.o(o.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(F.rms_norm(x, (hidden,), self.norm2, 1e-5)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, c, rank):
        super().__init__()
        self.c = c
        self.embedding = nn.Parameter(torch.randn(c["vocab"], c["hidden"]) * 0.02, requires_grad=rank == 0)
        self.layers = nn.ModuleList(Layer(c, rank) for _ in range(c["layers"]))
        self.norm = nn.Parameter(torch.ones(c["hidden"]), requires_grad=rank == 0)
        angles = torch.outer(
            torch.arange(4096, dtype=torch.float64),
            c["theta"] ** (-torch.arange(0, c["size"], 2, dtype=torch.float64) / c["size"]))
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin().float())

    def forward(self, tokens, start=0, caches=None, wanted=slice(None)):
        x = F.embedding(tokens, self.embedding)
        end = start + tokens.shape[1]
        cos, sin = self.cos[start:end].to(x.dtype), self.sin[start:end].to(x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, cos, sin, None if caches is None else (*caches[index], start))
        x = F.rms_norm(x[:, wanted], (x.shape[-1],), self.norm, 1e-5)
        return F.linear(x, self.embedding)


def text(count, vocab):
    """The tokens of the benchmark."""
    return [(7919 * i + 13) % vocab for i in range(count)]


def prefill(model, batch, length):
    tokens = torch.tensor([text(length, model.c["vocab"])] * batch)

    def run():
        with torch.inference_mode():
            model(tokens, wanted=slice(length - 1, None))

    return run


def decode(model, batch, context):
    c = model.c
    shape = (batch, c["kv"], context + 1, c["size"])
    dtype = model.embedding.dtype
    caches = [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in model.layers]
    tokens = torch.full((batch, 1), 3)

    def run():
        with torch.inference_mode():
            model(tokens, start=context, caches=caches)

    return run


def step(model, batch, length):
    """A training step with the loss on the last tenth of the tokens, AdamW included."""
    line = text(length + 1, model.c["vocab"])
    tokens = torch.tensor([line[:-1]] * batch)
    loss_tokens = length // 10
    targets = torch.tensor([line[1:]] * batch)[:, -loss_tokens:]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.0, fused=True)

    def run():
        logits = model(tokens, wanted=slice(length - loss_tokens, None))
        F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True, help="KIND BATCHxLENGTH, as in 'lora 1x1024'; KIND: prefill, decode, lora, full")
    parser.add_argument("--model", default="smollm2-135m", choices=PRESETS)
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kind, shape = options.case.split()
    batch, length = map(int, shape.split("x"))
    model = Model(PRESETS[options.model], rank=16 if kind == "lora" else 0)
    if options.dtype == "bf16":
        model = model.to(torch.bfloat16)
    if options.compile:
        model.compile()
    run = {"prefill": prefill, "decode": decode, "lora": step, "full": step}[kind](model, batch, length)
    run()
    seconds = []
    for _ in range(options.runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    tokens = batch if kind == "decode" else batch * length
    print(json.dumps(dict(case=options.case, dtype=options.dtype, tokens=tokens, seconds=seconds, torch=torch.__version__)))


if __name__ == "__main__":
    main()
