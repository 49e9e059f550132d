"""What the training loop asks of a task; nothing else of a task is known to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Epoch:
    """The size of one pass over the training data, and what it is made of.

    Attributes:
        tokens:   what has a loss: tokens; or whole sequences, where `is_whole`.
        characters_per_token, unit: for display: how many of which unit each of them is.
        loss_unit: what a loss is of; None: of the unit.
        loss: what a loss is in.
        batches: of a task whose batches hold as many rows as fit: how many they are. What has a loss is then counted.
        is_whole: a row of a batch is a whole sequence with one loss, which starts from the initial state and hands none
            on; else it is a window of a stream, for truncated BPTT.
    """

    tokens: int
    characters_per_token: float
    unit: str = "char"
    loss_unit: str | None = None
    is_whole: bool = False
    loss: str = "nats"
    batches: int | None = None

    def tokens_per_step(self, batch_size: int, stride: int) -> float:
        """What an update learns from, on average."""
        return batch_size * stride if self.batches is None else self.tokens / self.batches


@dataclass(frozen=True)
class TrainingReport:
    """What training a model took, for the table.

    Attributes:
        seconds:      wall-clock seconds of training, with its evaluations and checkpoints, over all resumed parts.
        steps, tokens: updates made and tokens learned from.
        skipped:      updates dropped because loss or gradient were not finite.
        best_step:    the step whose weights were kept.
        curve:        one entry per evaluation: step, seconds, tokens, loss, nll, lr.
        training:     the TrainConfig as a dict.
        ended_by:     "budget" or "patience".
        restarts:     how often it began anew; the figures above but for `seconds` are of the start that is kept.
    """

    seconds: float
    steps: int
    tokens: int
    skipped: int
    best_step: int
    curve: list[dict[str, Any]]
    training: dict[str, Any]
    ended_by: str
    restarts: int = 0

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Peer:
    """What trains after the model: a neural baseline with a task of its own, or the model again from another seed.

    Attributes:
        training:   the choices in which a baseline's training differs from the default.
        shares:     further choices that a baseline's training takes over from the run's.
        later_seed: of a repetition, how much its seed lies behind the run's; it is trained as the run is.
    """

    task: Trainable
    training: Mapping[str, Any] = field(default_factory=dict)
    shares: tuple[str, ...] = ()
    later_seed: int = 0


class Trainable(Protocol):
    """Data, model and loss, behind the few calls that a training run makes."""

    name: str

    @property
    def epoch(self) -> Epoch: ...

    def identity(self) -> dict[str, Any]:
        """JSON-able: what a resumed run must agree on with its checkpoint.

        By dotted key what can be chosen, and after that, by a name without a dot ("training text"), digests of content.
        """
        ...

    def build_model(self) -> nn.Module:
        """A fresh model, its weights drawn from torch's generator."""
        ...

    def streams(self, *, batch_size: int, window: int, stride: int) -> Any:
        """An iterator over the windows of one epoch, then of the next; with `state_dict` and `load_state_dict`.

        Of whole sequences (`Epoch.is_whole`) over batches of `batch_size`; window and stride are then 1.
        """
        ...

    def penalty(self, hidden: Tensor, lengths: Tensor, *, ar: float, tar: float) -> Tensor:
        """What is added to the mean loss of a window."""
        ...

    def evaluate(self, model: nn.Module, *, max_tokens: int) -> dict[str, float]:
        """Judge the model on held-out data: `nll` in nats per token, by which the best checkpoint is chosen.

        Another figure to choose it by, the smaller the better, is `error`.
        """
        ...

    def sample(self, model: nn.Module, *, seed: int) -> str | None:
        """A sample to look at during training, or None."""
        ...

    def save(self, model: nn.Module, run_dir: Path) -> None:
        """Write the trained model as a bundle to `run_dir`."""
        ...


class Task(Trainable, Protocol):
    """What is trained, beside what it must beat."""

    def peers(self) -> Mapping[str, Peer]:
        """Neural baselines to train under the same budget, by name."""
        ...

    def finish(
        self,
        run_dir: Path,
        *,
        report: TrainingReport,
        peers: Sequence[tuple[str, TrainingReport]],
        note: Callable[[str], None],
    ) -> dict:
        """Judge the saved model beside its baselines and write `metrics.json`; returns its content.

        Args: note: tells whoever watches what is under way, before anything that takes long.
        """
        ...
