"""The task on frames: recordings with a label for every frame, a transducer that learns them, and what it must beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit import baselines, data
from rnnkit.data.framed import frames_of
from rnnkit.errors import DataError
from rnnkit.models.transducer import Transducer, TransducerConfig
from rnnkit.runtime import FrameByFrame
from rnnkit.state import State
from rnnkit.tasks.frames_config import FramesConfig
from rnnkit.tasks.frames_score import PEER, LabelledBy, frame_rows
from rnnkit.tasks.tag import TaggedSentences, TaggingTask, parts_of
from rnnkit.tasks.tag_score import TaggedBy
from rnnkit.tasks.tag_table import judge
from rnnkit.tasks.task import Peer, TrainingReport


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
            of_videos = {"frame_size": settings.frame_size, "grey": settings.grey}
            how: Any = {"label_column": settings.label_column, "encoding": settings.encoding, **of_videos}
            found = data.read_framed(sources, **how)
            return found.cut(settings.window_frames)

        assert settings.sources is not None  # the configuration has seen to it
        train = read(settings.sources) if given is None else given.cut(settings.window_frames)
        parts = parts_of(settings, train, read, with_test=given is None)
        for part in parts:
            if len(part) and part.frame_shape != train.frame_shape:
                raise DataError(
                    f"{part.place(0)}: {frames_of(part.frame_shape)}, trained is on "
                    f"{frames_of(train.frame_shape)}; give what was trained on"
                )
        return parts

    def _reader(self, train: data.Tagged) -> Callable[[Any], np.ndarray]:
        return lambda frames: frames

    @property
    def baselines(self) -> tuple[str, ...]:
        return tuple(kind for kind in self._config.baseline_kinds if kind != PEER)

    def require_baselines(self) -> None:
        if {*self.baselines} - {"majority"}:
            baselines.require_scikit_learn()

    def fit_baseline(self, kind: Any) -> baselines.FrameMlp:
        context = self._config.baselines.context
        after = context // 2 if self._config.model.bidirectional else 0
        train = self.train.tagged
        assert isinstance(train, data.Framed)
        if len(train.frame_shape) > 1:  # the commonest label is that of any frames
            nothing = [np.zeros((len(one), 1), np.float32) for one in train.sentences]
            return baselines.FrameMlp.fit(kind, nothing, train.tags, before=0, after=0)
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
        train, framed = self.sentences.train.sequences, self.sentences.train.tagged
        assert isinstance(framed, data.Framed)
        fields = {**self.config.model.model_dump(), "input_size": framed.input_size}
        of_pictures = len(framed.frame_shape) > 1
        fields |= {"frame_shape": framed.frame_shape} if of_pictures else {"cnn_channels": ()}
        model = self._make(TransducerConfig(num_labels=len(self.sentences.labels), **fields))
        assert model.scale is not None
        if of_pictures:
            model.scale.fit_bytes(train)
        else:
            model.scale.fit(np.concatenate(train))
        return model

    def _make(self, config: TransducerConfig) -> Transducer:
        return Transducer(config)

    def peers(self) -> Mapping[str, Peer]:
        """Of videos also the same network on single frames, trained as the run is but from another seed."""
        of_seeds = super().peers()
        if PEER not in self.config.baseline_kinds or not len(self.sentences.test):
            return of_seeds
        return {**of_seeds, PEER: Peer(FrameByFrameTask(self), later_seed=1)}

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        others = [(name, of_seed) for name, of_seed in peers if name != PEER]
        trained = [self._judged_peer(run_dir / "baselines" / name, of) for name, of in peers if name == PEER]
        of_run: Any = {"name": self.name, "config": self.config, "sentences": self.sentences, "report": report}
        return judge(run_dir, **of_run, others=others, trained=trained)

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """As a tagger's; `error`, by which the best weights are chosen, is 1 − accuracy, which grows while nats do."""
        figures = super().evaluate(model, max_tokens=max_tokens)
        return {**figures, "error": 1 - figures["accuracy"]}

    @property
    def _fits_outside(self) -> bool:
        return False

    def _files(self) -> dict[str, bytes]:
        return {}

    def _judged_peer(self, folder: Path, report: TrainingReport) -> TaggedBy:
        peer = FrameByFrame.load(folder)
        own = {
            "bytes": (folder / "model.safetensors").stat().st_size,
            "num_parameters": peer.num_parameters,
            "train_seconds": report.seconds,
        }
        return self.sentences.judged(folder.name, peer, own)


class FrameByFrameTask(FramesTask):
    """Train the neural peer on recordings that are already there."""

    def __init__(self, of_run: FramesTask) -> None:
        self.sentences, self.config, self._of_run = of_run.sentences, of_run.config, of_run.sentences
        self.with_crf, self.name = of_run.with_crf, PEER

    def _make(self, config: TransducerConfig) -> Transducer:
        return _FrameByFrame(dataclasses.replace(config, crf=False))  # whose transitions would know the frame before

    def peers(self) -> Mapping[str, Peer]:
        return {}


class _FrameByFrame(Transducer):
    """A Transducer that reads every frame as a sequence of its own; its bundle is an ordinary one."""

    def forward(self, inputs: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        features, after = super().forward(inputs.flatten(0, 1)[None])
        return features[0].unflatten(0, inputs.shape[:2]), after
