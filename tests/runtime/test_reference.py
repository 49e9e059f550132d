"""The runtime against the equations, written out in NumPy float64."""

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.bundle.schema import CELLS


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_step(cell, x, state, w, u, b, c, peepholes, projection):
    """One step: x [B, I], state (h, …) -> (h, …)."""
    h = state[0]
    if cell == "min_gru":
        z, n = np.split(x @ w.T + b, 2, axis=1)
        return (sigmoid(-z) * n + sigmoid(z) * h,)
    if cell == "min_lstm":
        i, f, g = np.split(x @ w.T + b, 3, axis=1)
        share = sigmoid(f) / (sigmoid(i) + sigmoid(f))
        return (share * h + (1 - share) * g,)
    if cell == "lstm_coupled":
        i, g, o = np.split(x @ w.T + b + h @ u.T + c, 3, axis=1)
        memory = sigmoid(-i) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(memory), memory
    if cell == "lstm_peephole":
        i, f, g, o = np.split(x @ w.T + b + h @ u.T + c, 4, axis=1)
        p_i, p_f, p_o = np.split(peepholes, 3)
        memory = sigmoid(f + p_f * state[1]) * state[1] + sigmoid(i + p_i * state[1]) * np.tanh(g)
        return sigmoid(o + p_o * memory) * np.tanh(memory), memory
    if cell.startswith("elman"):
        pre = x @ w.T + b + h @ u.T + c
        return (np.tanh(pre) if cell == "elman_tanh" else np.maximum(pre, 0),)
    if cell == "lstm":
        i, f, g, o = np.split(x @ w.T + b + h @ u.T + c, 4, axis=1)
        memory = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        m = sigmoid(o) * np.tanh(memory)
        return m if projection is None else m @ projection.T, memory
    (wr, wz, wn), (ur, uz, un) = np.split(w, 3), np.split(u, 3)
    (br, bz, bn), (cr, cz, cn) = np.split(b, 3), np.split(c, 3)
    r, z = sigmoid(x @ wr.T + br + h @ ur.T + cr), sigmoid(x @ wz.T + bz + h @ uz.T + cz)
    if cell == "gru_before":
        n = np.tanh(x @ wn.T + bn + (r * h) @ un.T + cn)
    else:
        n = np.tanh(x @ wn.T + bn + r * (h @ un.T + cn))
    return ((1 - z) * n + z * h,)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def head(model, t, x):
    if model["softmax"] == "adaptive":
        ends = [*model["cutoffs"], model["vocab_size"]]
        choice = log_softmax(x @ t["head.head.weight"].T)
        parts = [choice[..., : ends[0]]]
        for i in range(len(ends) - 1):
            inner = log_softmax(x @ t[f"head.tail.{i}.0.weight"].T @ t[f"head.tail.{i}.1.weight"].T)
            parts.append(inner + choice[..., ends[0] + i, None])
        return np.concatenate(parts, -1)
    if model.get("tied"):
        x = x @ t["projection.weight"].T if "projection.weight" in t else x
        return log_softmax(x @ t["embedding.weight"].T + t["head.bias"])
    return log_softmax(x @ t["head.weight"].T + t["head.bias"])


def reference(config, tensors, ids):
    model, t = config["model"], {name: array.astype(np.float64) for name, array in tensors.items()}
    x = t["embedding.weight"][ids] if "embedding.weight" in t else np.eye(model["vocab_size"])[ids]
    if config["kind"] == "window_mlp":
        steps, batch, size = x.shape
        before = np.broadcast_to(t["embedding.weight"][model["begin_id"]], (model["order"] - 2, batch, size))
        padded = np.concatenate([before, x])
        x = np.concatenate([padded[i : i + steps] for i in range(model["order"] - 1)], -1)
        hidden = np.tanh(x @ t["hidden.weight"].T + t["hidden.bias"])
        return head(model, t, np.concatenate([hidden, x], -1) if model["direct"] else hidden)
    widths = np.broadcast_to(model["hidden_size"], model["num_layers"])
    for layer, width in enumerate(widths):
        w, u, *more = (t.get(f"recurrent.weight_{name}_l{layer}") for name in ("ih", "hh", "peephole", "hr"))
        b, c = (t.get(f"recurrent.bias_{name}_l{layer}", np.zeros(len(w))) for name in ("ih", "hh"))
        sizes = {"h": model.get("proj_size") or width, "c": width}
        first = [t.get(f"recurrent.initial_{part}_l{layer}", np.zeros(size)) for part, size in sizes.items()]
        state, outputs, below = tuple(np.tile(part, (ids.shape[1], 1)) for part in first), [], x
        for row in x:
            new = cell_step(model["cell"], row, state, w, u, b, c, *more)
            shares = np.broadcast_to(model.get("zoneout", 0.0), len(new))
            state = tuple(z * old + (1 - z) * n for z, old, n in zip(shares, state, new, strict=False))
            outputs.append(state[0])
        x = np.stack(outputs) + (below if layer and model.get("residual") else 0)
    return head(model, t, x)


@pytest.mark.parametrize("cell", [*CELLS, "lstm_projected"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"embedding_size": 7, "num_layers": 2},
        {"embedding_size": 4, "tied": True, "bias": False},
        {"embedding_size": 16, "tied": True, "hidden_size": 16, "num_layers": 3},
        {"softmax": "adaptive", "cutoffs": [3, 12]},
        {"hidden_size": [6, 17, 4], "num_layers": 3, "trainable_state": True},
        {"num_layers": 3, "residual": True},
        {"num_layers": 2, "zoneout": 0.3},
    ],
    ids=lambda shape: " ".join(f"{name}={value}" for name, value in shape.items()) or "one-hot",
)
def test_a_language_model_computes_its_equations(cell, shape):
    named = (
        {"cell": "lstm", "proj_size": 16 if "cutoffs" in shape else 3} if cell == "lstm_projected" else {"cell": cell}
    )
    config, tensors, tokens = tiny.parts(**(named | {"hidden_size": 17} | shape))
    tensors = {name: array * np.float32(0.3) for name, array in tensors.items()}  # no chaos, which no arithmetic meets
    ids = np.random.default_rng(2).integers(0, tokens.vocab_size, (40, 3))
    want = reference(config, tensors, ids)
    got, _ = runtime.LanguageModel.from_parts(config, tensors, tokens)(ids)
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-6


@pytest.mark.parametrize("shape", [{}, {"direct": False}, {"order": 2}, {"softmax": "adaptive", "cutoffs": [3, 12]}])
def test_a_window_mlp_computes_its_equations(shape):
    config = tiny.config("window_mlp", **shape)
    tensors = tiny.tensors(config)
    ids = np.random.default_rng(2).integers(0, 29, (40, 3))
    want = reference(config, tensors, ids)
    got, _ = runtime.WindowMLP.from_parts(config, tensors)(ids)
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-6


def test_embedded_rows_and_the_folded_table_give_the_same_bits(monkeypatch):
    parts = tiny.parts(embedding_size=6, num_layers=2)
    ids = np.random.default_rng(2).integers(0, parts[2].vocab_size, (40, 3))
    folded = runtime.LanguageModel.from_parts(*parts)
    monkeypatch.setattr("rnnkit.runtime.stack._FOLD_BYTES", 0)
    embedded = runtime.LanguageModel.from_parts(*parts)
    assert folded._stack.table is None
    assert embedded._stack.table is not None
    for want, got in zip(folded(ids), embedded(ids), strict=True):
        assert (want == got) if not isinstance(want, np.ndarray) else (want == got).all()
    log_probs, _ = folded.step(ids[0])
    np.testing.assert_array_equal(log_probs, embedded.step(ids[0])[0])
