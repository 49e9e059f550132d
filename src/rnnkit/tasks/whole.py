"""What tasks on whole sequences have in common: their three parts, and what the training loop asks of each alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from rnnkit.errors import ConfigError
from rnnkit.tasks.task import Epoch, Peer, TrainingReport
from rnnkit.text import WordReader


def fields_of_words(words: WordReader, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `ReaderConfig` that follow from a vocabulary: of what is not read the chosen sizes are 0."""
    read = {"character_embedding_size": words.characters, "character_hidden_size": words.characters}
    read |= {"feature_embedding_size": words.features}
    return {
        "vocab_size": words.vocab_size,
        "unk_id": words.unk_id,
        "num_characters": words.num_characters,
        "num_features": words.num_features,
        "features_per_word": len(words.features),
        **{name: chosen[name] if what else 0 for name, what in read.items() if name in chosen},
    }


class Parts(Protocol):
    """The sequences of a run: training, validation (to choose weights by) and test (for the table)."""

    def parts(self) -> dict[str, Any]:
        """`train`, `valid` and `test`, each with a length."""
        ...

    def identity(self) -> dict[str, Any]:
        """What made them, and digests of what they are, for checkpoints. Where they lie does not count."""
        ...


class WholeSequencesTask:
    """A task whose batches are rows of whole sequences; a kind of task adds model, batches, evaluation and `_judge`.

    Args: config: with a section `model`.  sequences: as `Parts`.
    """

    sections: ClassVar[tuple[str, ...]] = ("model",)
    """Those of the configuration that a resumed run must agree on."""

    loss_unit: ClassVar[str | None] = None
    loss: str = "nats"
    """Both as of `Epoch`."""

    def __init__(self, config: Any, sequences: Parts) -> None:
        self.config, self._of_run = config, sequences
        shape = config.model
        self.name = ("bi-" if shape.bidirectional else "") + shape.cell.replace("_", "-")

    @property
    def epoch(self) -> Epoch:
        return Epoch(
            tokens=len(self._of_run.parts()["train"]),
            characters_per_token=1.0,
            unit="seq",
            loss_unit=self.loss_unit,
            is_whole=True,
            loss=self.loss,
        )

    def identity(self) -> dict[str, Any]:
        sections = {name: getattr(self.config, name).model_dump(mode="json") for name in self.sections}
        chosen = {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}
        return {**chosen, **self._of_run.identity()}

    def penalty(self, hidden: Tensor, lengths: Tensor, *, ar: float, tar: float) -> Tensor:
        """Refused: these penalties are of streams. Raises: ConfigError."""
        raise ConfigError(f"ar={ar:g} and tar={tar:g} are penalties of a language model; leave them out")

    def sample(self, model: torch.nn.Module, *, seed: int) -> str | None:
        return None

    def peers(self) -> Mapping[str, Peer]:
        """The model from further seeds; the baselines are fitted, in `finish`."""
        seeds = getattr(self.config.baselines, "seeds", 1)  # there are tasks that train once
        count = seeds if len(self._of_run.parts()["test"]) else 1
        again: Any = self  # whole once a kind of task has added the rest
        return {f"seed-{later}": Peer(again, later_seed=later) for later in range(1, count)}

    def finish(
        self,
        run_dir: Path,
        *,
        report: TrainingReport,
        peers: Sequence[tuple[str, TrainingReport]],
        note: Callable[[str], None],
    ) -> dict[str, Any]:
        """The saved model and all baselines on the test sequences; writes `metrics.json` and `baselines/`.

        Without a test part there is nothing to judge on: no figure is given, and nothing is written.
        """
        parts = self._of_run.parts()
        if not len(parts["test"]):
            return {}
        train, test = len(parts["train"]), len(parts["test"])
        note(f"fitting the baselines on {train:,} sequences, and judging every row of the table on {test:,}")
        return self._judge(run_dir, report, peers)

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        """The table of the saved model and its baselines; writes it."""
        raise NotImplementedError
