"""Parity of a whole Generator: losses and gradients against the written-out loop of `parity` and a plain softmax."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from parity import PARTS, Case, reference_run, relative_error
from torch import Tensor

from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.state import State


def check_generator(config: GeneratorConfig, *, steps: int = 6, batch: int = 3) -> None:
    """Compare a Generator's losses and gradients with the loop above and a written-out softmax in float64."""
    for upstream in ("weights", "mean", "random"):
        _check_generator(config, steps=steps, batch=batch, upstream=upstream)


def _check_generator(config: GeneratorConfig, *, steps: int, batch: int, upstream: str) -> None:
    torch.manual_seed(0)
    model = Generator(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    widths, V, E = config.hidden_sizes, config.vocab_size, config.embedding_size
    ids, targets = torch.randint(V, (2, steps, batch))
    weights = torch.rand(steps, batch).masked_fill(torch.rand(steps, batch) < 0.3, 0.0)
    state = State([{p: torch.randn(batch, H) for p in PARTS[config.cell]} for H in widths])
    d_state = {(n, p): torch.randn(batch, H) for n, H in enumerate(widths) for p in PARTS[config.cell]}
    if config.trainable_state:
        state = None
    d_losses = {"weights": weights, "mean": weights / 7, "random": torch.randn(steps, batch)}[upstream]
    hidden, final = model(ids, state)
    losses = model.loss(hidden, targets, weights)
    total = (losses * d_losses).sum() + sum((final.layers[n][p] * g).sum() for (n, p), g in d_state.items())
    total.backward()

    wanted = {n: p.detach().double().requires_grad_() for n, p in model.named_parameters()}
    values = {n.removeprefix("recurrent."): p for n, p in wanted.items()}
    for layer, parts in enumerate(state.layers if state is not None else ()):
        values |= {f"{part}0_l{layer}": value.double() for part, value in parts.items()}
    case = Case(config.cell, T=steps, B=batch, I=E or V, H=widths[0], num_layers=config.num_layers, widths=widths)
    case = dataclasses.replace(case, bias=config.bias, ids=True, vocabulary=V if E else 0, residual=config.residual)
    case = dataclasses.replace(case, initial=not config.trainable_state, trainable_state=config.trainable_state)
    values |= {"ids": ids} | ({"table": wanted["embedding.weight"]} if E else {})
    out, finals = reference_run(case, values)
    if "projection.weight" in wanted:
        out = out @ wanted["projection.weight"].T
    log_p = reference_log_prob(config, out, wanted)
    want_losses = torch.where(weights != 0, -log_p.gather(-1, targets[..., None])[..., 0], 0)
    total = (want_losses * d_losses.double()).sum()
    total = total + sum((finals[n][PARTS[config.cell].index(p)] * g.double()).sum() for (n, p), g in d_state.items())
    total.backward()

    lines = []
    pairs = {"losses": (losses.detach(), want_losses.detach(), 2e-6)}
    pairs["log_prob"] = (model.log_prob(hidden).detach(), log_p.detach(), 2e-6)
    for name, parameter in model.named_parameters():
        got = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradient = wanted[name].grad
        pairs[name] = (got, torch.zeros_like(wanted[name]) if gradient is None else gradient, 5e-6)
    for name, (got, want, tolerance) in pairs.items():
        if not (error := relative_error(got, want)) <= tolerance:
            lines.append(f"{config}: {name} is off by {error:.2e} > {tolerance:.0e}")
    assert not lines, "\n".join(lines)


def reference_log_prob(config: GeneratorConfig, h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """Log-probabilities of all words, written out."""
    if config.softmax == "full":
        scores = h @ p["embedding.weight" if config.tied else "head.weight"].T + p["head.bias"]
        return scores - scores.logsumexp(-1, keepdim=True)
    bounds = [*config.cutoffs, config.vocab_size]
    scores = h @ p["head.head.weight"].T
    head = scores - scores.logsumexp(-1, keepdim=True)
    blocks = [head[..., : bounds[0]]]
    for i in range(len(config.cutoffs)):
        inner = h @ p[f"head.tail.{i}.0.weight"].T @ p[f"head.tail.{i}.1.weight"].T
        blocks.append(head[..., bounds[0] + i, None] + inner - inner.logsumexp(-1, keepdim=True))
    return torch.cat(blocks, dim=-1)


def generator_suite() -> list[GeneratorConfig]:
    """Generators that together use every parameter and every path from ids to loss."""
    shape: dict[str, Any] = {"vocab_size": 11, "hidden_size": 9}
    return [
        GeneratorConfig(**shape, embedding_size=5, tied=True, num_layers=2, dropout=0.5, output_dropout=0.5),
        GeneratorConfig(
            **shape, embedding_size=9, tied=True, word_dropout=0.5, embedding_dropout=0.5, input_dropout=0.5
        ),
        GeneratorConfig(**shape, cell="gru_before"),
        GeneratorConfig(**shape, num_layers=3, residual=True, output_dropout=0.5, weight_dropout=0.5),
        GeneratorConfig(**shape | {"hidden_size": (9, 4)}, embedding_size=5, tied=True, trainable_state=True),
        GeneratorConfig(**shape, cell="gru_after", embedding_size=5, bias=False),
        GeneratorConfig(**shape | {"hidden_size": 16}, cell="elman_tanh", softmax="adaptive", cutoffs=(3, 6)),
    ]
