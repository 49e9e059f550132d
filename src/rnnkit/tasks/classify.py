"""The classification task: labelled sequences, an acceptor that learns to tell them apart, and what it must beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnkit import baselines, data
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.bundle import labels as labels_file
from rnnkit.errors import ConfigError, DataError
from rnnkit.models.acceptor import Acceptor, AcceptorConfig
from rnnkit.tasks.classify_config import OF_FRAMES, OF_TOKENS, ClassifyConfig, ClassifyTokenizerConfig
from rnnkit.tasks.classify_start import LanguageModelStart
from rnnkit.tasks.classify_table import judge
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.whole import WholeSequencesTask
from rnnkit.text import Tokenizer

_EVALUATED_ROWS = 64
_DROPS_TOKENS = ("embedding_dropout", "word_dropout")


class Part:
    """Sequences of one part as arrays, and their labels as numbers."""

    def __init__(self, examples: data.Examples, sequences: list[np.ndarray], labels: Sequence[str]) -> None:
        self.examples, self.sequences = examples, sequences
        self.targets = data.label_ids(examples, labels)

    def __len__(self) -> int:
        return len(self.sequences)


class LabelledSequences:
    """The sequences of a run: training, validation (to choose weights by) and test (for the table).

    Labels and vocabulary come from the training part alone. Raises: DataError naming file, line, column and remedy.

    Args: examples: to train on in place of the sources; none of them is held out, and there is no test part.
        tokenizer: in place of one that is built.
    """

    def __init__(
        self, config: ClassifyConfig, examples: data.Examples | None = None, *, tokenizer: Tokenizer | None = None
    ) -> None:
        train, valid, test = self._read(config, examples)
        self._config = config
        self.labels = data.known_labels(train)
        self.input_size = train.input_size
        """The dimensions of a frame; 0 for texts."""
        self.tokenizer = tokenizer
        if self.input_size:
            _refuse_choices_of_text(config)
        elif tokenizer is None:
            self.tokenizer = data.tokenizer_of(train, **config.tokenizer.model_dump())
        self.baselines = self._baselines()
        self.train, self.valid, self.test = (self._part(examples) for examples in (train, valid, test))

    def _read(self, config: ClassifyConfig, examples: data.Examples | None) -> tuple[data.Examples, ...]:
        """Those to train on, to choose weights by, and for the table."""
        settings = config.data
        columns: Any = {key: getattr(settings, key) for key in ("label_column", "text_column", "encoding")}
        assert settings.sources is not None  # the configuration has seen to it
        train = data.read_examples(settings.sources, **columns) if examples is None else examples
        if examples is not None:
            test = examples[np.zeros(0, int)]
        elif settings.test_sources is not None:
            test = data.read_examples(settings.test_sources, **columns)
        else:
            train, test = data.split_examples(train, settings.held_out, seed=settings.split_seed)
        if settings.valid_sources is not None:
            valid = data.read_examples(settings.valid_sources, **columns)
        else:
            train, valid = data.split_examples(train, settings.valid_share, seed=settings.split_seed)
        return train, valid, test

    def _part(self, examples: data.Examples) -> Part:
        if len(examples) and examples.input_size != self.input_size:
            shown = [f"frames of {size}" if size else "text" for size in (examples.input_size, self.input_size)]
            raise DataError(f"{examples.places[0]}: {shown[0]}, trained is on {shown[1]}; give what was trained on")
        encode = (lambda frames: frames) if self.tokenizer is None else self.tokenizer.encode
        return Part(examples, [encode(sequence) for sequence in examples.inputs], self.labels)

    def _baselines(self) -> tuple[str, ...]:
        readable = OF_FRAMES if self.input_size else OF_TOKENS
        chosen = self._config.baselines.kinds or readable
        if wrong := [kind for kind in chosen if kind not in readable]:
            what = "series of numbers" if self.input_size else "texts"
            raise ConfigError(f"the baseline {wrong[0]} does not read {what}; choose from {', '.join(readable)}")
        return chosen

    def parts(self) -> dict[str, Part]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def identity(self) -> dict[str, Any]:
        """What made them, and digests of what they are, for checkpoints. Where they lie does not count."""
        names = {"train": "training sequences", "valid": "validation sequences", "test": "test sequences"}
        tokenizer = self._config.tokenizer.model_dump(mode="json")
        return {
            **{f"tokenizer.{key}": value for key, value in tokenizer.items()},
            **{names[part]: sequences.examples.fingerprint for part, sequences in self.parts().items()},
        }


def _refuse_choices_of_text(config: ClassifyConfig) -> None:
    """Raises: ConfigError for what is chosen about tokens where there are none."""
    names = {"tokenizer": ClassifyTokenizerConfig.model_fields, "model": ("embedding_size", *_DROPS_TOKENS)}
    for section, fields in names.items():
        chosen = getattr(config, section)
        for name in fields:
            if getattr(chosen, name) != type(chosen).model_fields[name].default:
                raise ConfigError(f"{section}.{name} has no effect on series of numbers: leave it out")
    if config.transfer.from_run or config.transfer.pretrain:
        raise ConfigError("a language model is no start for series of numbers: leave from_run and pretrain out")
    if config.baselines.ngram_order is not None:
        raise ConfigError("baselines.ngram_order has no effect on series of numbers: leave it out")


class ClassificationTask(WholeSequencesTask):
    """Train a recurrent acceptor on the labelled sequences of a configuration."""

    sections = ("model", "loss")
    config: ClassifyConfig

    def __init__(self, config: ClassifyConfig, examples: data.Examples | None = None) -> None:
        """Args: examples: as of `LabelledSequences`."""
        self.start = self._start(config)
        config = config if self.start is None else self.start.config
        self.sequences = self._read(config, examples)
        super().__init__(config, self.sequences)
        if len(self.sequences.test) and {"naive-bayes", "logistic-regression"} & {*self.sequences.baselines}:
            baselines.require_scikit_learn()  # before the training, not after it

    def _start(self, config: ClassifyConfig) -> LanguageModelStart | None:
        """What the configuration asks for. Raises: ConfigError, BundleError."""
        if config.transfer.pretrain is not None:
            raise ConfigError(
                "transfer.pretrain is a step of its own, before this one: train with rnnkit.Classifier.train or rnnkit "
                "train classify, and leave it out of a dry run"
            )
        return None if config.transfer.from_run is None else LanguageModelStart(config)

    def _read(self, config: ClassifyConfig, examples: data.Examples | None) -> LabelledSequences:
        return LabelledSequences(config, examples, tokenizer=None if self.start is None else self.start.tokenizer)

    def identity(self) -> dict[str, Any]:
        if self.start is None:
            return super().identity()
        learns = {f"transfer.{key}": getattr(self.start.transfer, key) for key in ("unfreeze_every", "rate_decay")}
        return {**learns, **super().identity(), "language model": self.start.bundle.digest}

    def build_model(self) -> Acceptor:
        tokenizer = self.sequences.tokenizer
        fields = self.config.model.model_dump()
        if tokenizer is not None:
            fields |= {"vocab_size": tokenizer.vocab_size, "unk_id": tokenizer.unk_id}
        else:
            fields |= {"input_size": self.sequences.input_size, "embedding_size": 0, "word_dropout": 0.0}
        model = Acceptor(AcceptorConfig(num_labels=len(self.sequences.labels), **fields))
        if model.scale is not None:
            model.scale.fit(np.concatenate(self.sequences.train.sequences))
        if self.start is not None:
            self.start.copy_to(model)
        return model

    def streams(self, *, batch_size: int, window: int, stride: int) -> data.Batches:
        """Batches of whole sequences; their order follows from the seed that torch's generator was given."""
        train = self.sequences.train
        weights = None
        if self.config.loss.class_weights == "balanced":
            counts = np.bincount(train.targets, minlength=len(self.sequences.labels))
            weights = (len(train) / (len(counts) * counts))[train.targets]
        return data.Batches(
            train.sequences, train.targets, batch_size=batch_size, seed=torch.initial_seed(), weights=weights
        )

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """Mean loss and accuracy on the validation sequences, at most `max_tokens` of them, in both in nats."""
        valid = self.sequences.valid
        count = min(len(valid), max_tokens)
        order = sorted(range(count), key=lambda row: len(valid.sequences[row]))
        total, hits = 0.0, 0
        for first in range(0, count, _EVALUATED_ROWS):
            rows = order[first : first + _EVALUATED_ROWS]
            inputs, lengths = data.padded([valid.sequences[row] for row in rows])
            features, _ = model(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))
            log_probs, targets = model.log_prob(features)[0], torch.from_numpy(valid.targets[rows])  # type: ignore
            total -= float(log_probs.gather(1, targets[:, None]).double().sum())
            hits += int((log_probs.argmax(1) == targets).sum())
        return {"nll": total / count, "accuracy": hits / count}

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration, tokeniser and labels as the bundle that the run half loads."""
        config, tensors = model.export()  # type: ignore[operator]
        files = {labels_file.NAME: labels_file.to_bytes(self.sequences.labels)}
        files |= evaluation.of_sequences(self.sequences.test.sequences, self.sequences.test.targets)
        if self.sequences.tokenizer is not None:
            files["tokenizer.json"] = self.sequences.tokenizer.to_json().encode()
        write_bundle(run_dir, config=config, tensors=tensors, files=files)

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        return judge(run_dir, name=self.name, config=self.config, sequences=self.sequences, report=report, others=peers)
