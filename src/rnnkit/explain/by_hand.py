"""worked: a tiny language model by hand: every number of forward pass, loss, backward pass, one update and sampling.

The numbers come from the equations in `rnnkit.nn.spec` in float64, and from autograd at each of their steps; the tests
hold every one of them to the layers and the run half that train and serve real models.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rnnkit.errors import ArgumentError
from rnnkit.explain.tracing import WORDS
from rnnkit.models.generator import Generator, GeneratorConfig

MOST_LETTERS = 40
_MOST_UPDATES = 3000
_LEARNED = 0.1  # nats per letter, at which training ends
_IS_BIAS = ("bias_ih", "bias_hh")


@dataclass(frozen=True)
class Row:
    """One quantity. name: as it is written.  equation: how it comes about.  value: an array, a number, or text."""

    name: str
    equation: str
    value: Any


@dataclass(frozen=True)
class Block:
    """A step of the calculation."""

    title: str
    rows: list[Row]

    def __getitem__(self, name: str) -> Any:
        """The value of a row. Raises: KeyError."""
        return {row.name: row.value for row in self.rows}[name]


@dataclass(frozen=True)
class Worked:
    """The whole calculation.

    Attributes:
        letters: the vocabulary, in order of appearance.  equations: of the cell, as its file states them.
        model: with the first weights; after: with those after one update; learned: after `num_updates` of them.
        forward: a block for each step; backward: likewise, the last step first.
    """

    text: str
    letters: str
    cell: str
    lr: float
    equations: str
    model: Generator
    after: Generator
    learned: Generator
    num_updates: int
    weights: Block
    forward: list[Block]
    loss: Block
    backward: list[Block]
    gradient: Block
    update: Block
    sampling: list[Block]

    def blocks(self) -> Iterator[Block]:
        """All of them, in the order of the calculation."""
        yield self.weights
        yield from self.forward
        yield self.loss
        yield from self.backward
        yield self.gradient
        yield self.update
        yield from self.sampling


def worked(
    text: str = "hello", *, cell: str = "elman_tanh", hidden_size: int = 3, lr: float = 0.1, seed: int = 0
) -> Worked:
    """Work through a network that reads `text[:-1]` letter by letter and is to say the letter that follows each.

    One-hot letters, one layer, a softmax; L is the sum over the steps, an update is W − lr · ∂L/∂W. The first weights
    have two decimals, so that all of it can be done again by hand.

    Args:   cell: of `rnnkit.nn.spec.CELLS`.  hidden_size: H.  lr: of the updates.  seed: of the first weights.
    Raises: ArgumentError for a text of fewer than 2 or more than 40 letters, or of one letter alone; ConfigError for a
            cell that does not exist.
    """
    letters = "".join(dict.fromkeys(text))
    if not 2 <= len(text) <= MOST_LETTERS or len(letters) < 2:
        raise ArgumentError(
            f"the text {text[:50]!r} has {len(text)} letters, {len(letters)} different ones; a worked example takes "
            f"2 to {MOST_LETTERS}, not all the same: hello, for example"
        )
    model = _first_model(len(letters), cell=cell, hidden_size=hidden_size, seed=seed)
    ids = torch.tensor([[letters.index(letter)] for letter in text])
    run = _Run(model, ids)
    gradients = run.gradients(run.losses.sum())
    updated = {name: value.detach().double() - lr * gradients[name] for name, value in model.named_parameters()}
    after = _with_weights(model, updated)
    learned, num_updates = _learned(after, ids, lr)
    nats = _Run(learned, ids).losses.mean().item()
    named = [Row(_short(name), "drawn, two decimals", _array(value)) for name, value in model.named_parameters()]
    changes = [
        Row(_short(name), f"{_short(name)} − {lr:g} · ∂L/∂{_short(name)}", _array(w)) for name, w in updated.items()
    ]
    changes.append(Row("L", "the loss with these weights", _Run(after, ids).losses.sum().item()))
    return Worked(
        text,
        letters,
        cell,
        lr,
        equations_of(run.track.cell),
        model,
        after,
        learned,
        num_updates,
        weights=Block("The weights", named),
        forward=[_forward(run, text, letters, t) for t in range(len(text) - 1)],
        loss=Block("The loss", [Row("L", "L_1 + … + L_T", run.losses.sum().item())]),
        backward=[_backward(run, text, t) for t in reversed(range(len(text) - 1))],
        gradient=Block(
            "The gradient",
            [Row(f"∂L/∂{_short(n)}", "the sum of what the steps add", _array(g)) for n, g in gradients.items()],
        ),
        update=Block("One update", changes),
        sampling=[
            _sampling(after, text, letters, "Sampling after one update"),
            _sampling(learned, text, letters, f"Sampling after {num_updates:,} updates, at {nats:.3f} nats per letter"),
        ],
    )


def equations_of(cell: Any) -> str:
    """The equations of a cell, out of the file that states them."""
    kept = []
    text = sys.modules[cell.step.__module__].__doc__ or ""
    for paragraph in re.findall(r"(?:^    \S.*\n)+", text, re.MULTILINE):
        lines = [(line[4:].rstrip(), re.search(r"\((\w+)\)$", line.rstrip())) for line in paragraph.splitlines()]
        marks = [mark[1] for _, mark in lines if mark]
        if not marks or cell.name in marks:
            own = f"({cell.name})"
            kept += [line.removesuffix(own).rstrip() for line, mark in lines if mark is None or mark[0] == own]
    return "\n".join(kept)


class _Run:
    """A model over a text, with the graph of all of it.

    Attributes: losses [T]; scores [T, V], what the softmax reads; track: the layer's states and weights, step by step.
    """

    def __init__(self, model: Generator, ids: Tensor) -> None:
        watching, watched = model.watched()
        self._watching, self._layers = cast(Any, watching), watched.layers
        self.hidden, _ = self._watching(ids[:-1])
        self.scores = torch.nn.functional.linear(self.hidden, self.head.weight, self.head.bias)[:, 0]
        self.losses = -self.scores.log_softmax(-1).gather(1, ids[1:])[:, 0]
        (self.track,) = watched.tracks

    @property
    def head(self) -> Any:
        return self._watching.head

    def gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """∂loss/∂W of every weight, by the model's own names."""
        named = {f"recurrent.{name}": value for name, value in self._layers.named_parameters()}
        named |= {f"head.{name}": value for name, value in self.head.named_parameters()}
        found = torch.autograd.grad(loss, [*named.values()], retain_graph=True)
        return dict(zip(named, found, strict=True))


def _forward(run: _Run, text: str, letters: str, t: int) -> Block:
    track, weights = run.track, run.track.weights[t]
    letter, target = text[t], text[t + 1]
    one_hot = np.eye(len(letters))[letters.index(letter)]
    rows = [Row("x", f"one-hot of {letter!r} among {letters!r}", one_hot)]
    rows.append(
        Row(
            "W x + b",
            "a column of weight_ih, and bias_ih",
            _array(weights["weight_ih"]) @ one_hot + _array(weights["bias_ih"]),
        )
    )
    if track.cell.name not in ("gru_before",) and "weight_hh" in weights:  # gru_before multiplies r ∘ h too
        product = _array(weights["weight_hh"]) @ _array(track.before(t)[0][0]) + _array(weights["bias_hh"])
        rows.append(Row("U h + b_h", "with h of the step before, at first 0", product))
    values = track.values(t)
    rows += [Row(name, WORDS[name], _array(value[0])) for name, value in values.items()]
    rows += [
        Row("s", "V h + d, with head.weight and head.bias", _array(run.scores[t])),
        Row("p", "softmax(s) = exp(s) / Σ exp(s)", _array(run.scores[t].softmax(-1))),
        Row("L", f"−ln p({target!r})", run.losses[t].item()),
    ]
    return Block(f"Forward, step {t + 1}: reads {letter!r}, is to say {target!r}", rows)


def _backward(run: _Run, text: str, t: int) -> Block:
    track, total = run.track, run.losses.sum()
    state, weights = track.states[t], track.weights[t]
    (d_scores, *d_state) = torch.autograd.grad(total, [run.scores, *state], retain_graph=True)
    d_weights = torch.autograd.grad(total, [*weights.values()], retain_graph=True)
    above = _array(run.head.weight).T @ _array(d_scores[t])
    d_hidden = _array(d_state[0][0])
    rows = [
        Row("∂L/∂s", f"p − one-hot of {text[t + 1]!r}", _array(d_scores[t])),
        Row("∂L/∂h, by this step's loss", "Vᵀ ∂L/∂s", above),
        Row("∂L/∂h, by later steps", "what comes back through the step after, of the last one 0", d_hidden - above),
        Row("∂L/∂h", "the sum of both", d_hidden),
    ]
    rows += [
        Row(f"∂L/∂{part}", "through h, and from the step after", _array(value[0]))
        for part, value in zip(track.cell.parts[1:], d_state[1:], strict=True)
    ]
    by_name = dict(zip(weights, d_weights, strict=True))
    rows.append(Row("δ", "∂L/∂(W x + b), through the cell's nonlinearities", _array(by_name["bias_ih"])))
    for name, value in by_name.items():
        if name not in _IS_BIAS:
            how = {"weight_ih": "δ xᵀ", "weight_hh": "δ hᵀ, with h of the step before"}.get(name, "")
            how = how if track.cell.name not in ("gru_before", "gru_after") or name == "weight_ih" else "by r, z and n"
            rows.append(Row(f"adds to ∂L/∂{name}", how, _array(value)))
    rows.append(Row("adds to ∂L/∂head.weight", "∂L/∂s hᵀ", np.outer(_array(d_scores[t]), _array(state[0][0]))))
    return Block(f"Backward, step {t + 1}", rows)


def _sampling(model: Generator, text: str, letters: str, title: str) -> Block:
    """The likeliest letter is fed back, as many times as there are letters to say."""
    rows, letter = [Row("start", "the first letter", text[0])], text[0]
    said, state = text[0], None
    with torch.no_grad():
        for t in range(1, len(text)):
            hidden, state = model(torch.tensor([[letters.index(letter)]]), state)
            shares = model.log_prob(hidden)[0, 0].exp()
            rows.append(Row(f"p {t}", f"after {letter!r}", _array(shares)))
            letter = letters[int(shares.argmax())]
            said += letter
            rows.append(Row(f"says {t}", "the likeliest letter, which is read next", letter))
    rows.append(Row("text", "all letters in turn", said))
    return Block(title, rows)


def _first_model(vocab_size: int, *, cell: str, hidden_size: int, seed: int) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Generator(GeneratorConfig(vocab_size, cell=cell, hidden_size=hidden_size))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_((parameter * 100).round() / 100)
    return model.eval()


def _with_weights(model: Generator, values: dict[str, Tensor]) -> Generator:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(values[name])
    return other


def _learned(model: Generator, ids: Tensor, lr: float) -> tuple[Generator, int]:
    """Further updates until the text is known, and how many there were with the first one."""
    other = copy.deepcopy(model)
    for number in range(1, _MOST_UPDATES):
        losses = other.loss(other(ids[:-1])[0], ids[1:])
        if float(losses.detach().mean()) < _LEARNED:
            return other, number
        parameters = [*other.parameters()]
        gradients = torch.autograd.grad(losses.sum(), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= lr * gradient
    return other, _MOST_UPDATES


def _short(name: str) -> str:
    """ "recurrent.weight_hh_l0" is the only layer's weight_hh."""
    return name.removeprefix("recurrent.").removesuffix("_l0")


def _array(value: Tensor) -> np.ndarray:
    return value.detach().double().numpy()
