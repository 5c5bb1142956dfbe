"""Golden values of a small transformer's loss, logits and gradients, from PyTorch in float64.

    python3 Tests/EngineTests/Goldens/make_goldens.py Tests/EngineTests/Goldens/transformer.golden

Needs numpy and torch. Reads nothing: parameters come from the engine's own random streams, implemented here again.
The file: a magic line, the command line, one line of JSON that describes the cases, then little-endian float32 values.
"""

import json
import math
import sys

import numpy
import torch

MASK = (1 << 64) - 1


def mix(z):
    z = ((z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9))
    z = ((z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB))
    return z ^ (z >> numpy.uint64(31))


def normals(seed, name, count):
    """The engine's NormalStream: SplitMix64 by counter, Box-Muller."""
    code = 0xCBF29CE484222325
    for byte in name.encode():
        code = ((code ^ byte) * 0x100000001B3) & MASK
    with numpy.errstate(over="ignore"):
        key = mix(numpy.array([seed ^ code], dtype=numpy.uint64))
        counters = numpy.arange(2 * ((count + 1) // 2), dtype=numpy.uint64)
        bits = mix(key + (counters + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15)) >> numpy.uint64(11)
    first = (bits[0::2].astype(numpy.float64) + 1) * 2.0**-53
    second = bits[1::2].astype(numpy.float64) * 2.0**-53
    radius = numpy.sqrt(-2 * numpy.log(first))
    angle = 2 * math.pi * second
    pairs = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], axis=1)
    return pairs.reshape(-1)[:count]


def parameter(seed, name, shape):
    """As `TestModels.swift` fills them: nothing at its initial value, so that every term shows."""
    if name.endswith("norm"):
        mean, deviation = 1.0, 0.1
    elif name.endswith("bias"):
        mean, deviation = 0.0, 0.1
    elif name.endswith(".A"):
        mean, deviation = 0.0, 0.3
    else:
        mean, deviation = 0.0, 0.2
    values = mean + deviation * normals(seed, name, int(numpy.prod(shape)))
    values = values.astype(numpy.float32).astype(numpy.float64)
    return torch.tensor(values.reshape(shape), dtype=torch.float64)


def weight_shapes(c):
    q, k, h, i = c["heads"] * c["headSize"], c["kvHeads"] * c["headSize"], c["hidden"], c["intermediate"]
    shapes = {"embedding": (c["vocabulary"], h)}
    for n in range(c["layers"]):
        p = f"layers.{n}."
        shapes[p + "attention_norm"] = (h,)
        shapes[p + "qkv"] = (q + 2 * k, h)
        if c["qkvBias"]:
            shapes[p + "qkv_bias"] = (q + 2 * k,)
        shapes[p + "o"] = (h, q)
        shapes[p + "mlp_norm"] = (h,)
        shapes[p + "gate_up"] = (2 * i, h)
        shapes[p + "down"] = (h, i)
    shapes["final_norm"] = (h,)
    if not c["tiedHead"]:
        shapes["head"] = (c["vocabulary"], h)
    return shapes


def adapter_shapes(c, rank, targets):
    q, k, h, i = c["heads"] * c["headSize"], c["kvHeads"] * c["headSize"], c["hidden"], c["intermediate"]
    groups = [
        ("qkv", h, [("q", q), ("k", k), ("v", k)]),
        ("o", q, [("o", h)]),
        ("gate_up", h, [("gate", i), ("up", i)]),
        ("down", i, [("down", h)]),
    ]
    shapes = {}
    for n in range(c["layers"]):
        for name, width, members in groups:
            chosen = [m for m in members if m[0] in targets]
            if chosen:
                shapes[f"layers.{n}.{name}.A"] = (rank * len(chosen), width)
                for member, out in chosen:
                    shapes[f"layers.{n}.{member}.B"] = (out, rank)
    return shapes


def rms(x, gain, epsilon):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * gain


def rotate(x, c):
    """Rotary embedding, rotate-half convention; x is [tokens, heads, headSize]."""
    half = c["headSize"] // 2
    frequency = c["ropeTheta"] ** (-torch.arange(half, dtype=torch.float64) * 2 / c["headSize"])
    angle = torch.arange(x.shape[0], dtype=torch.float64)[:, None] * frequency
    cos, sin = torch.cos(angle)[:, None, :], torch.sin(angle)[:, None, :]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def logits_of(c, w, a, lora, tokens):
    q, k, i, d = c["heads"] * c["headSize"], c["kvHeads"] * c["headSize"], c["intermediate"], c["headSize"]
    n = len(tokens)

    def linear(x, name, prefix, members):
        y = x @ w[prefix + name].T
        chosen = [m for m in members if prefix + m[0] + ".B" in a]
        if chosen:
            inner = x @ a[prefix + name + ".A"].T
            for index, (member, start, _) in enumerate(chosen):
                r = lora["rank"]
                part = inner[:, index * r : (index + 1) * r] @ a[prefix + member + ".B"].T
                pad = (start, y.shape[1] - start - part.shape[1])
                y = y + lora["alpha"] / r * torch.nn.functional.pad(part, pad)
        return y

    x = w["embedding"][torch.tensor(tokens)]
    for layer in range(c["layers"]):
        p = f"layers.{layer}."
        y = linear(
            rms(x, w[p + "attention_norm"], c["rmsEpsilon"]), "qkv", p,
            [("q", 0, q), ("k", q, k), ("v", q + k, k)])
        if c["qkvBias"]:
            y = y + w[p + "qkv_bias"]
        queries = rotate(y[:, :q].reshape(n, -1, d), c)
        keys = rotate(y[:, q : q + k].reshape(n, -1, d), c)
        values = y[:, q + k :].reshape(n, -1, d)
        group = c["heads"] // c["kvHeads"]
        keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
        scores = torch.einsum("qhd,khd->hqk", queries, keys) / math.sqrt(d)
        scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))
        output = torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1), values).reshape(n, -1)
        x = x + linear(output, "o", p, [("o", 0, c["hidden"])])
        y = linear(rms(x, w[p + "mlp_norm"], c["rmsEpsilon"]), "gate_up", p, [("gate", 0, i), ("up", i, i)])
        activated = torch.nn.functional.silu(y[:, :i]) * y[:, i:]
        x = x + linear(activated, "down", p, [("down", 0, c["hidden"])])
    head = w["embedding"] if c["tiedHead"] else w["head"]
    return rms(x, w["final_norm"], c["rmsEpsilon"]) @ head.T


def run(case):
    c, lora = case["config"], case.get("lora")
    weights = {n: parameter(case["seed"], n, s) for n, s in weight_shapes(c).items()}
    adapters = {}
    if lora:
        shapes = adapter_shapes(c, lora["rank"], lora["targets"])
        adapters = {n: parameter(case["seed"], n, s) for n, s in shapes.items()}
    trained = adapters if lora else weights
    for value in trained.values():
        value.requires_grad_(True)
    loss = torch.zeros((), dtype=torch.float64)
    first = None
    for sequence in case["sequences"]:
        logits = logits_of(c, weights, adapters, lora, sequence["tokens"])
        first = logits if first is None else first
        each = torch.nn.functional.cross_entropy(logits, torch.tensor(sequence["targets"]), reduction="none")
        loss = loss + (each * torch.tensor(sequence["weights"], dtype=torch.float64)).sum()
    loss.backward()
    case["loss"] = loss.item()
    case["tensors"] = [["logits", first.numel()]] + [[n, v.numel()] for n, v in trained.items()]
    return [first.detach()] + [v.grad for v in trained.values()]


def cases():
    base = dict(
        name="golden", layers=2, hidden=20, heads=4, kvHeads=2, headSize=6, intermediate=28, vocabulary=40,
        maxContext=32, ropeTheta=10000.0, rmsEpsilon=1e-5, tiedHead=True, qkvBias=False)
    everything = ["q", "k", "v", "o", "gate", "up", "down"]
    table = [
        ("full, tied, grouped queries, all tokens", {}, None, 0),
        ("full, untied, one query head per KV head, completion", dict(tiedHead=False, kvHeads=4), None, 5),
        ("full, tied, bias, completion", dict(qkvBias=True), None, 3),
        ("LoRA on everything, tied, grouped queries, completion", {}, dict(rank=3, alpha=5.0, targets=everything), 5),
        ("LoRA on q, v, down, untied, bias, all tokens", dict(tiedHead=False, qkvBias=True),
         dict(rank=2, alpha=4.0, targets=["q", "v", "down"]), 0),
        ("LoRA on o and up, one query head per KV head, completion", dict(kvHeads=4),
         dict(rank=4, alpha=4.0, targets=["o", "up"]), 3),
    ]
    for index, (title, changes, lora, prompt) in enumerate(table):
        sequences = []
        for length, salt in ((11, 1), (6, 2)):
            text = [(7 * n * n + 3 * n + 11 * salt + index) % base["vocabulary"] for n in range(length + 1)]
            weights = [0.0 if n < prompt - 1 else 0.0625 * (1 + n % 3) for n in range(length)]
            sequences.append(dict(tokens=text[:-1], targets=text[1:], weights=weights))
        case = dict(title=title, seed=100 + index, config={**base, **changes}, sequences=sequences)
        if lora:
            case["lora"] = lora
        yield case


def main():
    described, blobs = [], []
    for case in cases():
        blobs += [t.numpy().astype("<f4").tobytes() for t in run(case)]
        described.append(case)
    with open(sys.argv[1], "wb") as file:
        file.write(b"ALCHEMIST-GOLDEN 1\n")
        file.write(b"python3 Tests/EngineTests/Goldens/make_goldens.py Tests/EngineTests/Goldens/transformer.golden\n")
        file.write(json.dumps(described, sort_keys=True).encode() + b"\n")
        file.write(b"".join(blobs))


if __name__ == "__main__":
    main()
