"""Golden values of objectives over a small transformer: loss and gradients, from PyTorch in float64.

    python3 Tests/EngineTests/Goldens/make_objective_goldens.py Tests/EngineTests/Goldens/objectives.golden

The model, its parameters and the file's form are those of make_goldens.py, beside this file. A case has completions of one
prompt or of several, each a sequence of its own whose response carries weight, and one of two objectives:

- dpo: the mean over pairs of -log sigmoid(beta ((c - r) - (c' - r'))), with c and r the log-probabilities of the chosen and
  of the rejected response, and c', r' those of the reference: the model without adapters, or in full tuning weights of
  another seed (Rafailov et al., arXiv 2305.18290).
- group: the sum of each completion's negative log-probability times its weight, which may be negative.
"""

import json
import sys

import torch

from make_goldens import adapter_shapes, logits_of, parameter, weight_shapes


def score(case, weights, adapters, sequence):
    """The sequence's log-probability, each token's times its weight."""
    logits = logits_of(case["config"], weights, adapters, case.get("lora"), sequence["tokens"])
    each = -torch.nn.functional.cross_entropy(logits, torch.tensor(sequence["targets"]), reduction="none")
    return (each * torch.tensor(sequence["weights"], dtype=torch.float64)).sum()


def run(case):
    c, lora, objective = case["config"], case.get("lora"), case["objective"]
    weights = {n: parameter(case["seed"], n, s) for n, s in weight_shapes(c).items()}
    adapters = {}
    if lora:
        shapes = adapter_shapes(c, lora["rank"], lora["targets"])
        adapters = {n: parameter(case["seed"], n, s) for n, s in shapes.items()}
    trained = adapters if lora else weights
    for value in trained.values():
        value.requires_grad_(True)
    scores = [score(case, weights, adapters, s) for s in case["sequences"]]
    if objective["kind"] == "group":
        loss = -sum(scores)
    else:
        base = weights
        if not lora:
            base = {n: parameter(objective["referenceSeed"], n, s) for n, s in weight_shapes(c).items()}
        with torch.no_grad():
            reference = [score(case, base, {}, s) for s in case["sequences"]]
        losses = []
        for chosen, rejected in objective["pairs"]:
            margin = scores[chosen] - scores[rejected] - (reference[chosen] - reference[rejected])
            losses.append(-torch.nn.functional.logsigmoid(objective["beta"] * margin))
        loss = sum(losses) / len(losses)
    loss.backward()
    case["loss"] = loss.item()
    case["tensors"] = [[n, v.numel()] for n, v in trained.items()]
    return [v.grad for v in trained.values()]


def completions(vocabulary, salt, prompt, responses):
    """Sequences of one prompt with several responses; weight `w` on each token of a response."""
    for number, (length, w) in enumerate(responses):
        text = [(7 * n * n + 3 * n + 11 * salt) % vocabulary for n in range(prompt)]
        text += [(5 * n * n + 13 * n + 7 * salt + 17 * number + 1) % vocabulary for n in range(length)]
        weights = [0.0 if n < prompt - 1 else w for n in range(prompt + length - 1)]
        yield dict(tokens=text[:-1], targets=text[1:], weights=weights, prompt=prompt)


def cases():
    config = dict(
        name="golden", layers=2, hidden=20, heads=4, kvHeads=2, headSize=6, intermediate=28, vocabulary=40,
        maxContext=32, ropeTheta=10000.0, rmsEpsilon=1e-5, tiedHead=True, qkvBias=False)
    lora = dict(rank=3, alpha=5.0, targets=["q", "k", "v", "o", "gate", "up", "down"])
    pairs = [*completions(40, 1, 9, [(4, 1.0), (6, 1.0)]), *completions(40, 2, 5, [(3, 1.0), (2, 1.0)])]
    group = list(completions(40, 3, 11, [(3, 0.125), (7, -0.0625), (1, 0.25), (5, -0.03125)]))
    dpo = dict(kind="dpo", beta=0.1, pairs=[[0, 1], [3, 2]], referenceSeed=77)
    for title, sequences, objective in (("dpo", pairs, dpo), ("group", group, dict(kind="group"))):
        yield dict(title=title + ", full", seed=200, config=config, sequences=sequences, objective=objective)
        yield dict(
            title=title + ", LoRA", seed=201, config=config, sequences=sequences, objective=objective, lora=lora)


def main():
    described, blobs = [], []
    for case in cases():
        blobs += [t.numpy().astype("<f4").tobytes() for t in run(case)]
        described.append(case)
    with open(sys.argv[1], "wb") as file:
        file.write(b"ALCHEMIST-GOLDEN 1\n")
        file.write(__doc__.split("\n")[2].strip().encode() + b"\n")
        file.write(json.dumps(described, sort_keys=True).encode() + b"\n")
        file.write(b"".join(blobs))


if __name__ == "__main__":
    main()
