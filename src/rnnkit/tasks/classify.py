"""The classification task: labelled sequences, an acceptor that learns to tell them apart, and what it must beat."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from rnnkit import baselines, data, text
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.bundle import labels as labels_file
from rnnkit.errors import ConfigError, DataError
from rnnkit.metrics import best_thresholds, fit_temperature, score_of
from rnnkit.models.acceptor import Acceptor, AcceptorConfig
from rnnkit.runtime.reader import WORDS
from rnnkit.tasks.classify_config import OF_FRAMES, OF_TOKENS, ClassifyConfig, ClassifyTokenizerConfig
from rnnkit.tasks.classify_ngrams import NgramTerm
from rnnkit.tasks.classify_score import LAYERS
from rnnkit.tasks.classify_start import LanguageModelStart
from rnnkit.tasks.classify_table import bag_order, judge
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.whole import WholeSequencesTask, fields_of_words
from rnnkit.text import Tokenizer
from rnnkit.text.ngrams import NgramNumbers
from rnnkit.text.word import END_OF_LINE, UNKNOWN

_EVALUATED_ROWS = 64
_OF_TOKENS = ("embedding_size", "embedding_dropout", "word_dropout", "ngrams")


class Part:
    """Sequences of one part as arrays, and their labels as numbers: [N], or which of several each has, [N, C]."""

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
        self.has_several = train.has_several
        """Whether a sequence may have several labels, or none."""
        self.input_size = train.input_size
        """The dimensions of a frame; 0 for texts."""
        self.tokenizer = tokenizer
        self.words: text.WordReader | None = None
        """In place of a tokeniser, where it is also read how words are spelled."""
        if self.input_size:
            _refuse_choices_of_text(config)
        elif tokenizer is None and config.tokenizer.characters:
            self.words = _words_of(train, config.tokenizer)
        elif tokenizer is None:
            self.tokenizer = data.tokenizer_of(
                train, **config.tokenizer.model_dump(exclude={"characters", "max_characters"})
            )
        _check_loss(config, has_several=self.has_several)
        self.baselines = self._baselines()
        self.train, self.valid, self.test = (self._part(examples) for examples in (train, valid, test))

    def _read(self, config: ClassifyConfig, examples: data.Examples | None) -> tuple[data.Examples, ...]:
        """Those to train on, to choose weights by, and for the table."""
        settings = config.data
        names = ("label_column", "text_column", "encoding", "multi_label", "label_separator")
        columns: Any = {key: getattr(settings, key) for key in names}
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
        if len(examples) and examples.has_several != self.has_several:
            raise DataError(
                f"{examples.places[0]}: {'several labels' if examples.has_several else 'one label'}, trained is on "
                f"{'several' if self.has_several else 'one'}; give what was trained on, or cut both with --multi-label"
            )
        return Part(examples, [self._encoded(sequence) for sequence in examples.inputs], self.labels)

    def _encoded(self, sequence: Any) -> np.ndarray:
        if self.words is not None:
            return self.words.encode(self.words.cut(sequence))
        return sequence if self.tokenizer is None else self.tokenizer.encode(sequence)

    @property
    def vocab_size(self) -> int:
        """The number of ids of tokens; 0 for series."""
        tokens = self.words or self.tokenizer
        return 0 if tokens is None else tokens.vocab_size

    @property
    def has_ends(self) -> bool:
        """Whether a text's ends are tokens of n-grams: where tokens are so small that many texts are one word."""
        return self.tokenizer is not None and self.tokenizer.kind in ("char", "byte")

    @property
    def spelled_words(self) -> list[str | None] | None:
        """What the ids of tokens stand for where these are words: None for one that is no word of the texts."""
        if self.words is not None:
            return [None, *self.words.words]
        if not isinstance(self.tokenizer, text.WordTokenizer):
            return None
        words = [None if word in (END_OF_LINE, UNKNOWN) else word for word in self.tokenizer.words]
        return [*words, *[None] * len(self.tokenizer.special_tokens)]

    def _baselines(self) -> tuple[str, ...]:
        readable = OF_FRAMES if self.input_size else OF_TOKENS
        if self.has_several:  # a nearest neighbour says no probability of each label
            readable = tuple(kind for kind in readable if kind != "1nn-dtw")
        chosen = self._config.baselines.kinds or readable
        if wrong := [kind for kind in chosen if kind not in readable]:
            what = "series of numbers" if self.input_size else "texts"
            what += " of several labels" if self.has_several else ""
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


def _words_of(train: data.Examples, chosen: ClassifyTokenizerConfig) -> text.WordReader:
    """Words as a word tokeniser cuts them, with their spelling; a line's end is no word."""
    plain = text.WordReader([], split_punctuation=chosen.split_punctuation)
    return text.WordReader.build(
        map(plain.cut, train.inputs),
        min_count=chosen.min_count,
        vocab_size=chosen.vocab_size,
        lowercase=False,
        max_characters=chosen.max_characters,
        split_punctuation=chosen.split_punctuation,
    )


def _refuse_choices_of_text(config: ClassifyConfig) -> None:
    """Raises: ConfigError for what is chosen about tokens where there are none."""
    names = {"tokenizer": ClassifyTokenizerConfig.model_fields, "model": _OF_TOKENS}
    for section, fields in names.items():
        chosen = getattr(config, section)
        for name in fields:
            if getattr(chosen, name) != type(chosen).model_fields[name].default:
                raise ConfigError(f"{section}.{name} has no effect on series of numbers: leave it out")
    if config.transfer.from_run or config.transfer.pretrain:
        raise ConfigError("a language model is no start for series of numbers: leave from_run and pretrain out")
    if config.baselines.ngram_order is not None:
        raise ConfigError("baselines.ngram_order has no effect on series of numbers: leave it out")


def _check_loss(config: ClassifyConfig, *, has_several: bool) -> None:
    """Raises: ConfigError for what is chosen about several labels where there is one, or the other way round."""
    loss = config.loss
    if has_several and loss.class_weights != "none":
        raise ConfigError(
            f"loss.class_weights is {loss.class_weights!r}, which weighs a sequence by its one label; leave it out, "
            "thresholds do the work where there are several"
        )
    if not has_several and loss.thresholds != type(loss).model_fields["thresholds"].default:
        raise ConfigError("loss.thresholds has no effect where every sequence has one label: leave it out")


class ClassificationTask(WholeSequencesTask):
    """Train a recurrent acceptor on the labelled sequences of a configuration."""

    sections = ("model", "loss")
    config: ClassifyConfig

    def __init__(self, config: ClassifyConfig, examples: data.Examples | None = None) -> None:
        """Args: examples: as of `LabelledSequences`."""
        self.start = LanguageModelStart.of(config)
        config = config if self.start is None else self.start.config
        self.sequences = self._read(config, examples)
        self._temperatures: dict[Path, float] = {}  # of every run folder that was calibrated
        super().__init__(config, self.sequences)
        self.name += "+ngrams" if config.model.ngrams else ""
        has_bag = len(self.sequences.test) and {"naive-bayes", "logistic-regression"} & {*self.sequences.baselines}
        orders = [bag_order(config, self.sequences)] * bool(has_bag) + [config.model.ngrams] * bool(config.model.ngrams)
        if orders:  # before the training, not after it
            baselines.require_scikit_learn()
            NgramNumbers(max(orders), self.sequences.vocab_size)

    def _read(self, config: ClassifyConfig, examples: data.Examples | None) -> LabelledSequences:
        return LabelledSequences(config, examples, tokenizer=None if self.start is None else self.start.tokenizer)

    @functools.cached_property
    def _ngrams(self) -> NgramTerm | None:
        """Fitted once, for all seeds."""
        return NgramTerm(self.sequences, order) if (order := self.config.model.ngrams) else None

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), **({} if self.start is None else self.start.identity())}

    def build_model(self) -> Acceptor:
        tokenizer, words = self.sequences.tokenizer, self.sequences.words
        fields = self.config.model.model_dump(exclude={"ngrams"})
        sizes = {name: fields.pop(name) for name in ("character_embedding_size", "character_hidden_size")}
        if words is not None:
            fields |= fields_of_words(words, sizes)
        elif tokenizer is not None:
            fields |= {"vocab_size": tokenizer.vocab_size, "unk_id": tokenizer.unk_id}
        else:
            fields |= {"input_size": self.sequences.input_size, "embedding_size": 0, "word_dropout": 0.0}
        fields |= {"num_labels": len(self.sequences.labels), "multi_label": self.sequences.has_several}
        model = Acceptor(AcceptorConfig(**fields))
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
        """Mean loss and accuracy on the validation sequences, at most `max_tokens` of them; the loss in nats.

        Of several labels a sequence is right if all of them are, each from a probability of 0.5 on.
        """
        logits, targets = self._logits(model, most=max_tokens)
        log_probs = F.logsigmoid(logits) if self.sequences.has_several else logits.log_softmax(1)
        score = score_of(log_probs.numpy(), targets)
        return {"nll": score.nats, "accuracy": score.accuracy}

    def _logits(self, model: Any, *, most: int | None = None) -> tuple[torch.Tensor, np.ndarray]:
        """The model's logits [N, C] of the validation sequences, at most so many, and their targets."""
        valid = self.sequences.valid
        count = len(valid) if most is None else min(len(valid), most)
        order = sorted(range(count), key=lambda row: len(valid.sequences[row]))
        found = torch.empty(count, len(self.sequences.labels))
        for first in range(0, count, _EVALUATED_ROWS):
            rows = order[first : first + _EVALUATED_ROWS]
            inputs, lengths = data.padded([valid.sequences[row] for row in rows])
            features, _ = model(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))
            found[rows] = model.logits(features)[0]
        return found, valid.targets[:count]

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration, tokeniser and labels as the bundle that the run half loads.

        A temperature is no part of it: what the logits are made of is divided by it. Nor is the share of n-grams.
        """
        config, tensors = model.export()  # type: ignore[operator]
        loss, has_several = self.config.loss, self.sequences.has_several
        files, logits, targets = self._files(), np.zeros(0), self.sequences.valid.targets
        if self._ngrams or loss.calibrate or (has_several and loss.thresholds != "half"):
            with torch.no_grad():
                logits = self._logits(model)[0].numpy()
        if self._ngrams is not None:
            named = self._named(logits)
            write_bundle(run_dir / "baselines" / LAYERS, config=config, tensors=tensors, files=files | named)
            config, tensors, more, logits = self._ngrams.joined(config, tensors, logits)
            files |= more
        if loss.calibrate:
            temperature = self._temperatures[run_dir] = fit_temperature(logits, targets)
            tensors |= {name: tensors[name] / np.float32(temperature) for name in ("head.weight", "head.bias")}
            logits = logits / temperature
        write_bundle(run_dir, config=config, tensors=tensors, files=files | self._named(logits))

    def _named(self, logits: np.ndarray) -> dict[str, bytes]:
        """The file of labels, and of several the thresholds that fit logits [N, C] of the validation part."""
        thresholds, chosen = None, self.config.loss.thresholds
        if self.sequences.has_several and chosen != "half":
            log_probs, targets = -np.logaddexp(0.0, -logits), self.sequences.valid.targets
            thresholds = best_thresholds(log_probs, targets, shared=chosen == "shared").tolist()
        return {labels_file.NAME: labels_file.to_bytes(self.sequences.labels, thresholds)}

    def _files(self) -> dict[str, bytes]:
        """Those of the bundle beside the labels'."""
        files = evaluation.of_sequences(self.sequences.test.sequences, self.sequences.test.targets)
        if self.sequences.words is not None:
            files[WORDS] = self.sequences.words.to_json().encode()
        if self.sequences.tokenizer is not None:
            files["tokenizer.json"] = self.sequences.tokenizer.to_json().encode()
        return files

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        return judge(
            run_dir,
            name=self.name,
            config=self.config,
            sequences=self.sequences,
            report=report,
            others=peers,
            temperature=self._temperatures.get(run_dir),
            ngrams=self._ngrams,
        )
