"""Tiny checkpoints in Hugging Face's layout, PEFT adapters on two of them, and golden logits from float64.

    python3 Tests/EngineTests/Checkpoints/make_checkpoints.py Tests/EngineTests/Checkpoints
    python3 Tests/EngineTests/Checkpoints/make_checkpoints.py --check FOLDER

The first form makes every folder beside this script anew, byte for byte with the same versions. The second loads
folders of the same names that another program wrote, strictly, and holds their logits against the committed ones;
`ALCHEMIST_CHECKPOINTS=FOLDER swift test -c release --filter writeForCheck` lets the engine write them.

Made with Python 3.11, torch 2.15.0, transformers 5.24.0, peft 0.21.2, safetensors 0.8.0 and numpy 2.4.6. Nothing is
downloaded: models are made from their configuration, and every parameter is drawn from numpy's PCG64 by the seed below.

`logits.golden` holds a magic line, the command line, one line of JSON that describes the cases, then little-endian
float32 values [tokens, vocabulary] of each. They are computed in float64 from the weights as saved, with RMSNorm and
rotary angles in float64, too, where transformers itself goes through float32.
"""

import json
import pathlib
import shutil
import sys

import numpy
import peft
import safetensors
import torch
import transformers
from safetensors.torch import load_file

SEED = 20240611
LENGTH = 40
HERE = pathlib.Path(__file__).resolve().parent
COMMAND = "python3 Tests/EngineTests/Checkpoints/make_checkpoints.py Tests/EngineTests/Checkpoints"

LLAMA3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=64)

# Folder: configuration class, its fields, type of the saved weights.
MODELS = {
    "llama": (
        transformers.LlamaConfig,
        dict(hidden_size=32, intermediate_size=40, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False), "float32"),
    "llama3": (
        transformers.LlamaConfig,
        dict(hidden_size=32, intermediate_size=48, num_attention_heads=2, num_key_value_heads=1,
             max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=LLAMA3),
        "bfloat16"),
    "mistral": (
        transformers.MistralConfig,
        dict(hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
             max_position_embeddings=256, sliding_window=64, rms_norm_eps=1e-5, tie_word_embeddings=False), "float16"),
    "qwen2": (
        transformers.Qwen2Config,
        dict(hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=True,
             rope_parameters=dict(rope_type="default", rope_theta=1000000.0)), "bfloat16"),
    "smollm": (
        transformers.LlamaConfig,
        dict(hidden_size=36, intermediate_size=44, num_attention_heads=3, num_key_value_heads=1,
             max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True,
             rope_parameters=dict(rope_type="linear", rope_theta=100000.0, factor=2.0)), "float32"),
}

# Folder: base model, fields of the LoRA configuration.
ADAPTERS = {
    "llama-adapter": (
        "llama", dict(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"])),
    "smollm-adapter": ("smollm", dict(r=4, lora_alpha=5, target_modules="all-linear", use_rslora=True)),
}


def fill(model, name):
    """Draws every parameter, in order of name, so that none stays at its initial value."""
    generator = numpy.random.Generator(numpy.random.PCG64([SEED, *name.encode()]))
    for key, parameter in sorted(model.named_parameters()):
        values = generator.standard_normal(tuple(parameter.shape))
        if "norm" in key:
            values = 1 + 0.1 * values
        elif key.endswith("bias"):
            values = 0.3 * values
        else:
            values = 0.2 * values
        parameter.data.copy_(torch.tensor(values, dtype=torch.float64))


def fill_adapter(model, name):
    generator = numpy.random.Generator(numpy.random.PCG64([SEED, *name.encode()]))
    for key, parameter in sorted(model.named_parameters()):
        if "lora_" in key:
            parameter.data.copy_(torch.tensor(0.2 * generator.standard_normal(tuple(parameter.shape))))


def rewrite(path, change):
    """Writes a JSON file again, changed, its keys in order."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def old_layout(config):
    """As transformers wrote it before version 5."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = dict(type=rope["rope_type"], factor=rope["factor"])
    config["torch_dtype"] = config.pop("dtype")


def make_model(folder, name):
    kind, fields, dtype = MODELS[name]
    config = kind(num_hidden_layers=2, vocab_size=64, **fields)
    model = transformers.AutoModelForCausalLM.from_config(config)
    fill(model, name)
    model.to(getattr(torch, dtype))
    # The mistral fixture is cut into shards.
    model.save_pretrained(folder, max_shard_size="16KB" if name == "mistral" else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    rewrite(folder / "config.json", old_layout if name == "smollm" else lambda config: None)


def make_adapter(folder, name):
    base, fields = ADAPTERS[name]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder.parent / base)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **fields))
    fill_adapter(model, name)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)

    def tidy(config):
        # A set's order is chance, and the base was read from this machine's folders.
        config["base_model_name_or_path"] = base
        modules = fields["target_modules"]
        config["target_modules"] = modules if isinstance(modules, str) else sorted(modules)

    rewrite(folder / "adapter_config.json", tidy)


def in_float64(model):
    """Lets RMSNorm and rotary angles stay in float64."""

    def norm(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def angles(rope, width):
        exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
        frequency = rope["rope_theta"] ** -exponents
        if rope["rope_type"] == "linear":
            frequency = frequency / rope["factor"]
        if rope["rope_type"] == "llama3":
            low, high = rope["low_freq_factor"], rope["high_freq_factor"]
            turns = rope["original_max_position_embeddings"] * frequency / (2 * numpy.pi)
            kept = ((turns - low) / (high - low)).clamp(0, 1)
            frequency = frequency * (kept + (1 - kept) / rope["factor"])
        return frequency

    model = model.double().eval()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = norm.__get__(module)
        if type(module).__name__.endswith("RotaryEmbedding"):
            config = module.config
            frequency = angles(config.rope_parameters, getattr(config, "head_dim", None) or
                               config.hidden_size // config.num_attention_heads)
            own = module.inv_freq.double()
            assert torch.allclose(own, frequency, rtol=1e-6, atol=0), (own, frequency)

            def forward(self, x, position_ids, frequency=frequency):
                turned = position_ids[..., None].double() * frequency
                both = torch.cat((turned, turned), dim=-1)
                return both.cos(), both.sin()

            module.forward = forward.__get__(module)
    return model


def tokens(name, vocabulary):
    salt = sum(name.encode())
    return [(7 * n * n + 3 * n + salt) % vocabulary for n in range(LENGTH)]


def load_strictly(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="sdpa")
    problems = {key: value for key, value in info.items() if value}
    assert not problems, f"{folder}: {problems}"
    return model


def load_adapter_strictly(model, folder):
    model = peft.PeftModel.from_pretrained(model, folder)
    saved, own = load_file(folder / "adapter_model.safetensors"), peft.get_peft_model_state_dict(model)
    assert saved.keys() == own.keys(), f"{folder}: {saved.keys() ^ own.keys()}"
    for key, value in saved.items():
        assert torch.equal(value.double(), own[key].double()), f"{folder}: {key}"
    return model


def logits_of(model, ids):
    with torch.no_grad():
        plain = model(torch.tensor([ids])).logits[0].double()
        exact = in_float64(model)(torch.tensor([ids])).logits[0]
    if next(model.parameters()).dtype == torch.float32:
        assert torch.dist(plain, exact) < 1e-5 * exact.norm(), "transformers itself says something else"
    assert exact.dtype == torch.float64
    return exact.numpy()


def cases(root):
    """The folders below `root`, with the tokens and logits of each."""
    for name in MODELS:
        if (root / name).exists():
            model = load_strictly(root / name)
            ids = tokens(name, model.config.vocab_size)
            yield name, None, ids, logits_of(model, ids)
    for name, (base, _) in ADAPTERS.items():
        if (root / name).exists():
            model = load_adapter_strictly(load_strictly(root / base), root / name)
            ids = tokens(name, model.config.vocab_size)
            yield name, base, ids, logits_of(model, ids)


def make(root):
    for name in [*MODELS, *ADAPTERS]:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in MODELS:
        make_model(root / name, name)
    for name in ADAPTERS:
        make_adapter(root / name, name)
    described, blobs = [], []
    for name, base, ids, logits in cases(root):
        described.append(dict(folder=name, base=base, tokens=ids, count=logits.size))
        blobs.append(logits.astype("<f4").tobytes())
    versions = {module.__name__: str(module.__version__) for module in (torch, transformers, peft, safetensors, numpy)}
    with open(root / "logits.golden", "wb") as file:
        file.write(b"ALCHEMIST-GOLDEN 1\n" + COMMAND.encode() + b"\n")
        file.write(json.dumps(dict(cases=described, versions=versions), sort_keys=True).encode() + b"\n")
        file.write(b"".join(blobs))


def golden():
    with open(HERE / "logits.golden", "rb") as file:
        assert file.readline() == b"ALCHEMIST-GOLDEN 1\n"
        file.readline()
        described = json.loads(file.readline())["cases"]
        return {
            case["folder"]: numpy.frombuffer(file.read(4 * case["count"]), dtype="<f4").astype(numpy.float64)
            for case in described}


def check(root):
    expected = golden()
    found = 0
    for name, _, _, logits in cases(root):
        error = numpy.linalg.norm(logits.reshape(-1) - expected[name]) / numpy.linalg.norm(expected[name])
        print(f"{name}: relative L2 error {error:.2e}")
        assert error < 1e-6, name
        found += 1
    assert found, f"no folder of a known name below {root}"


def main():
    torch.set_num_threads(1)
    if sys.argv[1] == "--check":
        check(pathlib.Path(sys.argv[2]))
    else:
        make(pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
