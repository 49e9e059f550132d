"""A task small enough that a run takes milliseconds: next-token prediction over a cyclic text, in plain torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.state import State
from rnnkit.tasks.task import Epoch, Peer, TrainingReport

VOCAB = 5


class TinyModel(torch.nn.Module):
    """Embedding, tanh recurrence, dropout, softmax, with the interface of `rnnkit.models.generator.Generator`."""

    def __init__(self, hidden_size: int = 6, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = torch.nn.Embedding(VOCAB, hidden_size)
        self.recurrent = torch.nn.Linear(hidden_size, hidden_size)
        self.head = torch.nn.Linear(hidden_size, VOCAB)
        self.dropout = torch.nn.Dropout(dropout)

    def initial_state(self, batch: int = 1) -> State:
        return State([{"h": torch.zeros(batch, self.hidden_size, dtype=self.head.weight.dtype)}])

    def forward(self, ids: Tensor, state: State | None, *, lengths: Tensor) -> tuple[Tensor, State]:
        h = (state or self.initial_state(ids.shape[1])).layers[0]["h"]
        outputs = []
        for t, x in enumerate(self.embedding(ids)):
            is_on = (t < lengths)[:, None]
            h = torch.where(is_on, torch.tanh(x + self.recurrent(h)), h)
            outputs.append(torch.where(is_on, h, 0.0))
        return self.dropout(torch.stack(outputs)), State([{"h": h}])

    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        logits = self.head(hidden).flatten(0, 1)
        losses = torch.nn.functional.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)
        return torch.where(weights != 0, losses, 0.0)


@dataclass(frozen=True)
class TinyWindow:
    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    reset: np.ndarray


class TinyStreams:
    """B cursors over an endless text; every fifth window begins a document."""

    def __init__(self, text: np.ndarray, *, batch_size: int, window: int, stride: int) -> None:
        self.text, self.batch_size, self.window, self.stride = text, batch_size, window, stride
        self.count = 0

    def __iter__(self) -> Iterator[TinyWindow]:
        return self

    def __next__(self) -> TinyWindow:
        starts = self.count * self.stride + np.arange(self.batch_size) * 17
        index = (starts + np.arange(self.window + 1)[:, None]) % len(self.text)
        tokens = self.text[index]
        weights = np.ones((self.window, self.batch_size), np.float32)
        reset = np.full(self.batch_size, self.count % 5 == 0)
        if not reset[0]:
            weights[: self.window - self.stride] = 0
        self.count += 1
        lengths = np.full(self.batch_size, self.window)
        return TinyWindow(tokens[:-1], tokens[1:], lengths, weights, reset)

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


class TinyTask:
    name = "tiny"

    def __init__(
        self, *, dropout: float = 0.0, broken: Sequence[int] = (), peers: dict[str, Peer] | None = None
    ) -> None:
        """`broken`: forward calls (counted from 0) whose loss is NaN."""
        self.dropout, self.broken, self._peers = dropout, set(broken), peers or {}
        self.text = np.tile(np.random.default_rng(0).integers(0, VOCAB, 40), 10)
        self.epoch = Epoch(tokens=len(self.text), characters_per_token=1.0)
        self.evaluations: list[float] = []
        self.nlls: Iterator[float] | None = None  # in place of real evaluations

    def identity(self) -> dict[str, Any]:
        return {"model.dropout": self.dropout}

    def build_model(self) -> torch.nn.Module:
        model = TinyModel(dropout=self.dropout)
        if self.broken:
            calls, loss = iter(range(10**9)), model.loss
            model.loss = lambda *args: loss(*args) * (math.nan if next(calls) in self.broken else 1.0)  # type: ignore
        return model

    def streams(self, *, batch_size: int, window: int, stride: int) -> TinyStreams:
        return TinyStreams(self.text, batch_size=batch_size, window=window, stride=stride)

    def penalty(self, hidden: Tensor, lengths: Tensor, *, ar: float, tar: float) -> Tensor:
        return ar * hidden.square().mean() + tar * hidden.diff(dim=0).square().mean()

    def evaluate(self, model: Any, *, max_tokens: int) -> dict[str, float]:
        tokens = torch.from_numpy(self.text[: max_tokens + 1])[:, None]
        hidden, _ = model(tokens[:-1], None, lengths=torch.tensor([len(tokens) - 1]))
        weights = torch.ones_like(tokens[1:], dtype=torch.float32)
        nll = float(TinyModel.loss(model, hidden, tokens[1:], weights).mean())
        if self.nlls is not None:
            nll = next(self.nlls)
        self.evaluations.append(nll)
        return {"nll": nll}

    def sample(self, model: Any, *, seed: int) -> str | None:
        return f"a sample with seed {seed}"

    def save(self, model: Any, run_dir: Path) -> None:
        weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
        (run_dir / "model.json").write_text(json.dumps(weights), encoding="utf-8")

    def peers(self) -> dict[str, Peer]:
        return self._peers

    def finish(
        self, run_dir: Path, *, report: TrainingReport, peers: Sequence[Any], note: Callable[[str], None]
    ) -> dict[str, Any]:
        note("judging")
        return {"steps": report.steps, "peers": [name for name, _ in peers]}
