"""Models of a few kilobytes for tests of bundle and runtime: random distinct weights, no torch."""

import hashlib
import json
from pathlib import Path

import numpy as np

from rnnkit import text
from rnnkit.bundle import labels
from rnnkit.bundle.schema import check_config

TEXT = "the quick brown fox\njumps over the lazy dog\n"


def config(kind="language_model", **model):
    """A whole `config.json`; `model` overrides the sizes."""
    if kind == "window_mlp":
        sizes = {"vocab_size": 29, "begin_id": 0, "order": 4, "embedding_size": 3, "hidden_size": 7, "direct": True}
        sizes |= {"softmax": "full", "cutoffs": []}
    else:
        sizes = {"vocab_size": 29, "embedding_size": 0, "cell": "lstm", "hidden_size": 5, "num_layers": 1}
        sizes |= {"bias": True, "tied": False, "softmax": "full", "cutoffs": []}
    return {"format": 1, "kind": kind, "model": sizes | model, "precision": "fp32"}


def tensors(config, seed=0):
    """Random float32 arrays of what a configuration demands."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape, scale=0.5).astype(np.float32) for name, shape in check_config(config).items()}


def tokenizer(kind="char"):
    return text.build(kind, [TEXT])


def parts(tokenizer_kind="char", *, seed=0, **model):
    """(config, tensors, tokenizer) of a language model that belong together."""
    tokens = tokenizer(tokenizer_kind)
    settings = config(vocab_size=tokens.vocab_size, **model)
    return settings, tensors(settings, seed), tokens


def files(tokens):
    return {"tokenizer.json": tokens.to_json().encode()}


LABELS = ["x", "y", "z"]
TAGS = ["O", "B-x", "I-x"]


def classifier(*, seed=0, **model):
    """(config, tensors, tokenizer or None) of a classifier of `LABELS`."""
    tokens = None if model.get("input_size") else tokenizer()
    sizes = {"num_labels": len(LABELS), "vocab_size": tokens.vocab_size if tokens else 0, "input_size": 0}
    sizes |= {"embedding_size": 6, "cell": "lstm", "hidden_size": 8, "num_layers": 1, "bias": True}
    sizes |= {"bidirectional": True, "readout": ["last"]}
    settings = {"format": 1, "kind": "acceptor", "model": sizes | model, "precision": "fp32"}
    arrays = tensors(settings, seed)
    if "scale.deviation" in arrays:
        arrays["scale.deviation"] = np.abs(arrays["scale.deviation"]) + np.float32(0.1)
    return settings, arrays, tokens


def tagger(*, seed=0, **model):
    """(config, tensors, words) of a tagger of words, with their spelling and scores between its `TAGS`."""
    words = text.WordReader.build([TEXT.split()], max_characters=4)
    sizes = {"num_labels": len(TAGS), "vocab_size": words.vocab_size, "input_size": 0, "embedding_size": 6}
    sizes |= {"num_characters": words.num_characters, "character_embedding_size": 3, "character_hidden_size": 4}
    sizes |= {"cell": "lstm", "hidden_size": 8, "num_layers": 1, "bias": True, "bidirectional": True}
    sizes |= {"crf": True, "scheme": "bio"}
    settings = {"format": 1, "kind": "transducer", "model": sizes | model, "precision": "fp32"}
    return settings, tensors(settings, seed), words


def tagger_files(words):
    """What a tagger's bundle has beside its weights and configuration."""
    return {"words.json": words.to_json().encode(), "labels.json": labels.to_bytes(TAGS)}


def forge(folder: Path, contents: dict[str, bytes], *, manifest=None):
    """Write a folder whose digests are right, whatever its contents say; `manifest` edits the manifest's object."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {n: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in contents.items()}
    value = {"files": listed, "format": 1}
    if manifest is not None:
        manifest(value)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    canonical = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_bytes(canonical.encode("utf-8", "surrogatepass"))
