"""A model's weights under torch.nn's names, and back: dicts of NumPy arrays, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.bundle.schema import ADAPTIVE_DIVISOR, CELLS, FORMAT, GATES, PROJECTED, layer_widths, zoneout_shares
from rnnkit.errors import ArgumentError, DataError

_LAYERS = {"lstm": "LSTM", "gru_after": "GRU", "elman_tanh": "RNN", "elman_relu": "RNN"}
_CELL_OF_GATES = {4: "lstm", 3: "gru_after", 1: "elman_tanh"}  # what torch.nn means by so many, unless a cell is named
# What public models call their parts; the recurrent layers are known by their weights.
_KNOWN = {
    "embedding": ("embedding", "encoder", "embeddings", "embed", "emb", "word_embeddings", "token_embedding"),
    "projection": ("projection", "proj"),
    "head": ("head", "decoder", "fc", "linear", "out", "output", "lm_head"),
}
PARTS = ("recurrent", *_KNOWN)


def to_state_dict(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The `state_dict` of a module whose attributes are those of `torch_modules(config)`.

    Raises: ArgumentError for a cell or an option that torch.nn has not.
    """
    torch_modules(config)
    out = dict(tensors)
    if config["model"].get("tied"):
        out["head.weight"] = tensors["embedding.weight"]
    return out


def torch_modules(config: Mapping[str, Any]) -> dict[str, str]:
    """What the module is made of: a torch.nn expression for each attribute.

    Raises: ArgumentError for a cell or an option that torch.nn has not, and for a classifier or tagger.
    """
    if config["kind"] not in ("language_model", "window_mlp"):
        raise ArgumentError(
            f"a state_dict is written of language models, not of kind {config['kind']}; export it with --to bundle"
        )
    model = config["model"]
    V, E, H = model["vocab_size"], model["embedding_size"], model["hidden_size"]
    out = {"embedding": f"torch.nn.Embedding({V}, {E})"} if E else {}
    if config["kind"] == "window_mlp":
        width = (model["order"] - 1) * E
        out["hidden"] = f"torch.nn.Linear({width}, {H})"
        features = H + (width if model["direct"] else 0)
    else:
        cell = model["cell"]
        if cell not in _LAYERS:
            raise ArgumentError(f"torch.nn has no {cell}; export it with --to onnx, or train with one of {[*_LAYERS]}")
        H, *others = sorted(set(layer_widths(model)))
        lacking = {"layers of different widths": others, "residual connections": model.get("residual"),
                   "trainable initial state": model.get("trainable_state"),
                   "zoneout": zoneout_shares(model), "layer normalisation": model.get("layer_norm")}  # fmt: skip
        for what in (what for what, is_there in lacking.items() if is_there):
            remedy = "serve the bundle with rnnkit" if model.get("layer_norm") else "export it with --to onnx"
            raise ArgumentError(f"torch.nn has no {what}; {remedy}, or train without")
        options = f", num_layers={model['num_layers']}" + ("" if model["bias"] else ", bias=False")
        options += ", nonlinearity='relu'" if cell == "elman_relu" else ""
        features = model.get("proj_size") or H
        options += f", proj_size={features}" if features != H else ""
        out["recurrent"] = f"torch.nn.{_LAYERS[cell]}({E or V}, {H}{options})"
        if model["tied"] and features != E:
            out["projection"] = f"torch.nn.Linear({features}, {E}, bias=False)"
            features = E
    if model["softmax"] == "adaptive":
        sizes = f"{features}, {V}, {list(model['cutoffs'])}, div_value={float(ADAPTIVE_DIVISOR)}"
        out["head"] = f"torch.nn.AdaptiveLogSoftmaxWithLoss({sizes})"
    else:
        out["head"] = f"torch.nn.Linear({features}, {V})"
    return out


def from_state_dict(
    arrays: Mapping[str, np.ndarray], *, cell: str | None = None, names: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A language model's configuration and tensors from a `state_dict` of torch.nn layers.

    The recurrent layers are found by their weights, the other parts by what public models call them; a head without a
    bias gets zeros, and one that is the embedding's table itself makes the model tied.

    Args:
        arrays: float32, by name.
        cell: None: by the number of gates: lstm, gru_after or elman_tanh.
        names: where a part (`recurrent`, `embedding`, `projection`, `head`) has another name: theirs by ours.
    Returns: both, as `LanguageModel.from_parts` checks and takes them.
    Raises:  DataError for arrays that are no such model, naming them; ArgumentError for a cell or part that is none.
    """
    names = dict(names or {})
    for part in names:
        if part not in PARTS:
            raise ArgumentError(f"there is no part {part!r}; name one of {', '.join(PARTS)}")
    if cell is not None and cell not in GATES:
        raise ArgumentError(f"there is no cell {cell!r}; name one of {', '.join(GATES)}")
    prefixes = _prefixes(arrays, names)
    tensors: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        part = _longest(prefixes, name)
        if part is None:
            near = ", ".join(f"{ours} = {theirs or 'the top'}" for ours, theirs in prefixes.items())
            owner = name.rpartition(".")[0]
            raise DataError(f"{name} {list(array.shape)} belongs to no part ({near}); name it, as in head={owner}")
        if not array.ndim:
            raise DataError(f"{name} is a single number, no weight of a language model; leave it out")
        tensors[f"{part}{name[len(prefixes[part]) :] if prefixes[part] else '.' + name}"] = array
    return _with_config(tensors, cell)


def _prefixes(arrays: Mapping[str, np.ndarray], names: dict[str, str]) -> dict[str, str]:
    """Their name of every part that is there: what stands before `.weight` and the like."""
    found = dict(names)
    if "recurrent" not in found:
        places = sorted({name.removesuffix("weight_ih_l0") for name in arrays if name.endswith("weight_ih_l0")})
        if len(places) != 1:
            where = f"at {', '.join(places)}" if places else "not there"
            raise DataError(
                f"recurrent layers are {where}: the weight_ih_l0 of one torch.nn.LSTM, GRU or RNN is wanted among"
                f" {_shown(arrays)}; name it, as in recurrent=rnn"
            )
        found["recurrent"] = places[0].removesuffix(".")
    adaptive = next((name for name in arrays if re.search(r"(^|\.)tail\.0\.0\.weight$", name)), None)
    if adaptive is not None:
        found.setdefault("head", adaptive.removesuffix("tail.0.0.weight").removesuffix("."))
    for part, known in _KNOWN.items():
        owners = {name.rpartition(".")[0] for name in arrays if not _inside(name, found.values())}
        matches = [owner for word in known for owner in sorted(owners) if owner.rpartition(".")[2] == word]
        if part not in found and matches:
            found[part] = matches[0]
    return found


def _inside(name: str, prefixes: Any) -> bool:
    return any(not prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _longest(prefixes: Mapping[str, str], name: str) -> str | None:
    """The part whose prefix `name` has; of several, the one that says most."""
    fitting = [part for part, prefix in prefixes.items() if _inside(name, [prefix])]
    return max(fitting, key=lambda part: len(prefixes[part]), default=None)


def _with_config(tensors: dict[str, np.ndarray], cell: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    for name in tensors:
        if name.endswith("_reverse"):
            raise DataError(f"{name}: layers that run backwards are no language model here")
    first, hidden, narrow = (tensors.get(f"recurrent.{kind}_l0") for kind in ("weight_ih", "weight_hh", "weight_hr"))
    if narrow is not None and (narrow.ndim != 2 or cell not in (None, *PROJECTED)):
        raise DataError(f"recurrent.weight_hr_l0 {list(narrow.shape)} projects the h of an LSTM, not of {cell}")
    needs_hidden = cell is None or "weight_hh" in CELLS[cell].parameters
    if first is None or first.ndim != 2 or (needs_hidden and (hidden is None or hidden.ndim != 2)):
        raise DataError(f"the recurrent layers lack weight_ih_l0 or weight_hh_l0 among {_shown(tensors)}")
    H = first.shape[0] // GATES[cell or "lstm"] if hidden is None else hidden.shape[1]
    H = H if narrow is None else narrow.shape[1]
    gates = first.shape[0] / max(H, 1)
    cell = _CELL_OF_GATES.get(int(gates), "none") if cell is None else cell
    if GATES.get(cell) != gates:
        known = ", ".join(f"{name} {count}" for name, count in GATES.items())
        raise DataError(f"recurrent.weight_ih_l0 has {first.shape[0]} rows for a hidden size of {H}: {gates:g} gates, "
                        f"and not those of a cell ({known})")  # fmt: skip
    table, scores = tensors.get("embedding.weight"), tensors.get("head.weight")
    if scores is None and "head.bias" not in tensors and "head.head.weight" not in tensors:
        raise DataError(f"there is no head that scores tokens among {_shown(tensors)}")
    V = first.shape[1] if table is None else table.shape[0]
    is_adaptive = "head.head.weight" in tensors
    is_tied = not is_adaptive and table is not None and (scores is None or np.array_equal(scores, table))
    if is_tied:
        tensors.pop("head.weight", None)
    if not is_adaptive:
        tensors.setdefault("head.bias", np.zeros(V, np.float32))
    layers = [name for name in tensors if re.fullmatch(r"recurrent\.weight_ih_l\d+", name)]
    model = {
        "vocab_size": V,
        "embedding_size": 0 if table is None else table.shape[1],
        "cell": cell,
        "hidden_size": H,
        **({} if narrow is None else {"proj_size": len(narrow)}),
        "num_layers": len(layers),
        "bias": "recurrent.bias_ih_l0" in tensors,
        "tied": is_tied,
        "softmax": "adaptive" if is_adaptive else "full",
        "cutoffs": _cutoffs(tensors) if is_adaptive else [],
    }
    return {"format": FORMAT, "kind": "language_model", "model": model, "precision": "fp32"}, tensors


def _cutoffs(tensors: Mapping[str, np.ndarray]) -> list[int]:
    """Where the clusters of an adaptive softmax end, all but the last."""
    num_tails = sum(re.fullmatch(r"head\.tail\.\d+\.1\.weight", name) is not None for name in tensors)
    sizes = [len(tensors.get(f"head.tail.{index}.1.weight", ())) for index in range(num_tails)]
    first = len(tensors["head.head.weight"]) - num_tails
    return [first + sum(sizes[:index]) for index in range(num_tails)]


def _shown(arrays: Mapping[str, np.ndarray]) -> str:
    names = sorted(arrays)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
