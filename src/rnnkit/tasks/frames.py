"""The task on frames: recordings with labels or numbers for every frame, a transducer, and what it must beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit import baselines, data
from rnnkit.baselines.bag import log_odds
from rnnkit.data.framed import check_order, frames_of
from rnnkit.errors import DataError
from rnnkit.metrics.frames import TargetKind
from rnnkit.models.transducer import Transducer, TransducerConfig
from rnnkit.runtime import FrameByFrame
from rnnkit.state import State
from rnnkit.tasks import frames_details, tag_table
from rnnkit.tasks.frames_config import FramesConfig
from rnnkit.tasks.frames_score import PEER, LabelledBy, rows_of, said_by
from rnnkit.tasks.tag import EVALUATED_ROWS, Part, TaggedSentences, TaggingTask, parts_of
from rnnkit.tasks.tag_score import TaggedBy
from rnnkit.tasks.tag_table import judge
from rnnkit.tasks.task import Peer, TrainingReport


class Recordings(TaggedSentences):
    """The recordings of a run: training, validation (to choose weights by) and test (for the table).

    What a frame has, one label, several or numbers, is told by the training files unless it is chosen. They are cut
    into windows before any is held out. Labels come from the training part alone.
    Raises: DataError naming file, row and remedy.

    Args: tagged: to train on in place of the sources; none of them is held out, and there is no test part.
    """

    task = "frames"
    targets: TargetKind
    """What a frame has."""
    _config: FramesConfig  # type: ignore[assignment]

    def __init__(self, config: FramesConfig, tagged: data.Framed | None = None) -> None:
        super().__init__(config, tagged)  # type: ignore[arg-type]

    def _read(self, given: Any) -> tuple[data.Framed, ...]:
        settings = self._config.data
        names = ("label_column", "target_columns", "feature_columns", "next_frame", "window_frames", "encoding")
        chosen: Any = {name: getattr(settings, name) for name in (*names, "frame_size", "grey")}

        def read(sources: list[str], targets: Any) -> data.Framed:
            return data.read_framed(sources, targets=targets, **chosen)

        assert settings.sources is not None  # the configuration has seen to it
        train = read(settings.sources, settings.targets) if given is None else self._given(given)
        self.targets = train.kind
        parts = parts_of(settings, train, lambda sources: read(sources, train.kind), with_test=given is None)
        for part in parts:
            if len(part) and len(part.names) != len(train.names):
                raise DataError(
                    f"{part.place(0)}: {len(part.names)} {part.kind} for each frame, trained is on {len(train.names)}; "
                    "give what was trained on"
                )
            if len(part) and part.frame_shape != train.frame_shape:
                raise DataError(
                    f"{part.place(0)}: {frames_of(part.frame_shape)}, trained is on "
                    f"{frames_of(train.frame_shape)}; give what was trained on"
                )
            if len(part):
                check_order(part, train.columns)
        return parts

    def _given(self, framed: data.Framed) -> data.Framed:
        settings = self._config.data
        framed = framed.cut(settings.window_frames)
        return framed.next_frames() if settings.next_frame else framed

    def _labels(self, train: data.Framed) -> list[str]:
        return super()._labels(train) if train.kind == "label" else list(train.names)

    def _part(self, tagged: data.Framed, sequences: list[np.ndarray]) -> Part:
        return super()._part(tagged, sequences) if tagged.kind == "label" else Part(tagged, sequences, tagged.tags)  # type: ignore[arg-type]

    def _reader(self, train: data.Tagged) -> Callable[[Any], np.ndarray]:
        return lambda frames: frames

    @property
    def is_next(self) -> bool:
        """Whether every frame is said from those before it."""
        return self._config.data.next_frame

    @property
    def baselines(self) -> tuple[str, ...]:
        return tuple(kind for kind in self._config.baseline_kinds(self.targets) if kind != PEER)

    def require_baselines(self) -> None:
        if {*self.baselines} & {"frame-mlp", "window-mlp"}:
            baselines.require_scikit_learn()

    def fit_baseline(self, kind: Any) -> baselines.FrameMlp:
        context = self._config.baselines.context
        after = context // 2 if self._config.model.bidirectional else 0
        train: Any = self.train.tagged
        if len(train.frame_shape) > 1:  # the commonest label is that of any frames
            nothing = [np.zeros((len(one), 1), np.float32) for one in train.sentences]
            return baselines.FrameMlp.fit(kind, nothing, train.tags, before=0, after=0)
        window = {"before": context - after, "after": after}
        of: Any = {"targets": self.targets, "names": self.labels}
        return baselines.FrameMlp.fit(kind, train.sentences, train.tags, **window, **of)

    def judged(self, name: str, system: Any, own: dict[str, Any]) -> LabelledBy:
        return said_by(name, system, own, framed=self.test.tagged)  # type: ignore[arg-type]

    @property
    def deviation(self) -> np.ndarray | None:
        """[K] of numbers in training; what never changes counts in its own unit."""
        if self.targets != "numbers":
            return None
        deviation = np.concatenate(self.train.targets).std(0, dtype=np.float64)
        return np.where(deviation > 0, deviation, 1.0)

    def rows(self, systems: Any) -> list[dict[str, Any]]:
        of: Any = {"labels": self.labels, "deviation": self.deviation, "is_next": self.is_next}
        return rows_of(systems, self.test.tagged, **of)  # type: ignore[arg-type]

    def report(self, model: Any, system: Any) -> dict[str, Any]:
        test: Any = self.test.tagged
        if self.targets == "label":
            facts = tag_table.details(model, system.tags, test, known=None, of_spans=False)
        else:
            facts = frames_details.details(system, test, labels=self.labels, deviation=self.deviation)
        columns = list(test.columns)
        return {"labels": self.labels, "columns": columns, "targets": self.targets, "scheme": None, "report": facts}

    def identity(self) -> dict[str, Any]:
        names = {"train": "training frames", "valid": "validation frames", "test": "test frames"}
        return {names[part]: of_part.tagged.fingerprint for part, of_part in self.parts().items()}


class FramesTask(TaggingTask):
    """Train a recurrent transducer on the recordings of a configuration."""

    loss_unit = "frame"
    config: FramesConfig  # type: ignore[assignment]
    sentences: Recordings

    def __init__(self, config: FramesConfig, tagged: data.Framed | None = None) -> None:
        super().__init__(config, tagged)  # type: ignore[arg-type]
        if self.sentences.targets == "numbers":
            self.loss = "deviations²"
        _ = self.sentences.baselines  # refuses those that do not fit, before the training

    def _read(self, config: Any, tagged: Any) -> Recordings:
        return Recordings(config, tagged)

    def build_model(self) -> Transducer:
        """The model; of several labels its outputs start from how often each is there in training."""
        train, framed, targets = self.sentences.train, self.sentences.train.tagged, self.sentences.targets
        assert isinstance(framed, data.Framed)
        fields = {**self.config.model.model_dump(), "input_size": framed.input_size, "targets": targets}
        of_pictures = len(framed.frame_shape) > 1
        fields |= {"frame_shape": framed.frame_shape} if of_pictures else {"cnn_channels": ()}
        model = self._make(TransducerConfig(num_labels=len(self.sentences.labels), **fields))
        assert model.scale is not None
        if of_pictures:
            model.scale.fit_bytes(train.sequences)
        elif targets != "labels" or not self.sentences.is_next:  # labels that are read are 0 or 1, and stay so
            model.scale.fit(np.concatenate(train.sequences))
        if model.target_scale is not None:
            model.target_scale.fit(np.concatenate(train.targets))
        if targets == "labels":
            wanted = np.concatenate(train.targets)
            with torch.no_grad():
                model.head.bias.copy_(torch.from_numpy(log_odds(wanted)))
        return model

    def _make(self, config: TransducerConfig) -> Transducer:
        return Transducer(config)

    def peers(self) -> Mapping[str, Peer]:
        """Of videos also the same network on single frames, trained as the run is but from another seed."""
        of_seeds = super().peers()
        if PEER not in self.config.baseline_kinds(self.sentences.targets) or not len(self.sentences.test):
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
        """As a tagger's; `error`, by which the best weights are chosen, is 1 − accuracy, which grows while nats do.

        Of several labels nats per frame, summed over them, and micro F1; of numbers the mean of their squared errors in
        deviations: the best weights are chosen by these.
        """
        if self.sentences.targets != "label":
            return self._evaluate_several(model, max_tokens)
        figures = super().evaluate(model, max_tokens=max_tokens)
        return {**figures, "error": 1 - figures["accuracy"]}

    def _evaluate_several(self, model: Any, max_tokens: int) -> dict[str, float]:
        valid = self.sentences.valid
        order = sorted(range(min(len(valid), max_tokens)), key=lambda row: len(valid.sequences[row]))
        lost, count, sums = 0.0, 0, np.zeros(2)
        for first in range(0, len(order), EVALUATED_ROWS):
            rows = order[first : first + EVALUATED_ROWS]
            batch = next(
                data.Batches(
                    [valid.sequences[row] for row in rows],
                    [valid.targets[row] for row in rows],
                    batch_size=len(rows),
                    seed=0,
                )
            )
            targets = torch.from_numpy(batch.targets)
            features, _ = model(torch.from_numpy(batch.inputs), lengths=torch.from_numpy(batch.lengths))
            lost += float(model.loss(features, targets).double().sum())
            count += int(batch.lengths.sum())
            if model.target_scale is None:
                said, there = model.log_prob(features) > np.log(0.5), targets == 1
                said &= ~targets.isnan()
                sums += [2 * float((said & there).sum()), float(said.sum() + there.sum())]
        figures = {"nll": lost / count}
        return figures if model.target_scale is not None else {**figures, "f1": float(sums[0] / max(sums[1], 1))}

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
