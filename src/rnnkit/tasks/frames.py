"""The task on frames: recordings with a label for every frame, a transducer that learns them, and what it must beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rnnkit import baselines, data
from rnnkit.errors import DataError
from rnnkit.models.transducer import Transducer, TransducerConfig
from rnnkit.tasks.frames_config import FramesConfig
from rnnkit.tasks.frames_score import LabelledBy, frame_rows
from rnnkit.tasks.tag import TaggedSentences, TaggingTask, parts_of


class Recordings(TaggedSentences):
    """The recordings of a run: training, validation (to choose weights by) and test (for the table).

    Cut into windows before any is held out. Labels come from the training part alone.
    Raises: DataError naming file, row and remedy.

    Args: tagged: to train on in place of the sources; none of them is held out, and there is no test part.
    """

    task = "frames"
    _config: FramesConfig  # type: ignore[assignment]

    def __init__(self, config: FramesConfig, tagged: data.Framed | None = None) -> None:
        super().__init__(config, tagged)  # type: ignore[arg-type]

    def _read(self, given: Any) -> tuple[data.Framed, ...]:
        settings = self._config.data

        def read(sources: list[str]) -> data.Framed:
            found = data.read_framed(sources, label_column=settings.label_column, encoding=settings.encoding)
            return found.cut(settings.window_frames)

        assert settings.sources is not None  # the configuration has seen to it
        train = read(settings.sources) if given is None else given.cut(settings.window_frames)
        parts = parts_of(settings, train, read, with_test=given is None)
        for part in parts:
            if len(part) and part.input_size != train.input_size:
                raise DataError(
                    f"{part.place(0)}: frames of {part.input_size} numbers, trained is on frames of "
                    f"{train.input_size}; give what was trained on"
                )
        return parts

    def _reader(self, train: data.Tagged) -> Callable[[Any], np.ndarray]:
        return lambda frames: frames

    @property
    def baselines(self) -> tuple[str, ...]:
        return self._config.baselines.kinds

    def require_baselines(self) -> None:
        if {*self.baselines} - {"majority"}:
            baselines.require_scikit_learn()

    def fit_baseline(self, kind: Any) -> baselines.FrameMlp:
        context = self._config.baselines.context
        after = context // 2 if self._config.model.bidirectional else 0
        train = self.train.tagged
        return baselines.FrameMlp.fit(kind, train.sentences, train.tags, before=context - after, after=after)

    def judged(self, name: str, system: Any, own: dict[str, Any]) -> LabelledBy:
        recordings = self.test.tagged.sentences
        return LabelledBy(name, system.predict(recordings), own, system.log_probs(recordings))

    def rows(self, systems: Any) -> list[dict[str, Any]]:
        return frame_rows(systems, self.test.tagged.tags, labels=self.labels)

    def identity(self) -> dict[str, Any]:
        names = {"train": "training frames", "valid": "validation frames", "test": "test frames"}
        return {names[part]: of_part.tagged.fingerprint for part, of_part in self.parts().items()}


class FramesTask(TaggingTask):
    """Train a recurrent transducer on the labelled recordings of a configuration."""

    loss_unit = "frame"
    config: FramesConfig  # type: ignore[assignment]

    def _read(self, config: Any, tagged: Any) -> Recordings:
        return Recordings(config, tagged)

    def build_model(self) -> Transducer:
        train = self.sentences.train.sequences
        fields = {**self.config.model.model_dump(), "input_size": train[0].shape[1]}
        model = Transducer(TransducerConfig(num_labels=len(self.sentences.labels), **fields))
        assert model.scale is not None
        model.scale.fit(np.concatenate(train))
        return model

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """As a tagger's; `error`, by which the best weights are chosen, is 1 − accuracy, which grows while nats do."""
        figures = super().evaluate(model, max_tokens=max_tokens)
        return {**figures, "error": 1 - figures["accuracy"]}

    @property
    def _fits_outside(self) -> bool:
        return False

    def _files(self) -> dict[str, bytes]:
        return {}
