"""The tagging task: sentences with a tag for every word, a transducer that learns them, and what it must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnkit import baselines, data, text
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.bundle import labels as labels_file
from rnnkit.data.tagged import TaggedT
from rnnkit.errors import ConfigError
from rnnkit.metrics.chain import Chain, held_to
from rnnkit.metrics.spans import Scheme
from rnnkit.metrics.tagging import TaggingScore
from rnnkit.models.transducer import NO_TARGET, Transducer, TransducerConfig
from rnnkit.runtime.reader import WORDS
from rnnkit.tasks import tag_decision
from rnnkit.tasks.sections import SequencesConfig
from rnnkit.tasks.tag_config import TagConfig
from rnnkit.tasks.tag_score import TaggedBy, tagging_rows
from rnnkit.tasks.tag_start import TaggerStart
from rnnkit.tasks.tag_table import details, judge
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.whole import WholeSequencesTask, fields_of_words

EVALUATED_ROWS = 64


class Part:
    """Sentences of one part as arrays, and their tags as numbers."""

    def __init__(self, tagged: data.Tagged, sequences: list[np.ndarray], targets: list[np.ndarray]) -> None:
        self.tagged, self.sequences, self.targets = tagged, sequences, targets

    def __len__(self) -> int:
        return len(self.sequences)


class TaggedSentences:
    """The sentences of a run: training, validation (to choose weights by) and test (for the table).

    Labels and vocabulary come from the training part alone. Raises: DataError naming file, line, column and remedy.

    Args: tagged: to train on in place of the sources; none of them is held out, and there is no test part.
        start: whose words these are then.
    """

    task = "tag"
    scheme: Scheme | None = None
    """What tags mark spans by; None: they are plain ones."""

    def __init__(
        self, config: TagConfig, tagged: data.Tagged | None = None, *, start: TaggerStart | None = None
    ) -> None:
        self._config, self._start = config, start
        train, valid, test = self._read(tagged)
        self.labels = self._labels(train)
        encode = self._reader(train)
        self.train, self.valid, self.test = (
            self._part(part, [encode(sentence) for sentence in part.sentences]) for part in (train, valid, test)
        )

    def _labels(self, train: Any) -> list[str]:
        return data.known_tags(train, self.scheme)

    def _part(self, tagged: Any, sequences: list[np.ndarray]) -> Part:
        return Part(tagged, sequences, data.tag_ids(tagged, self.labels))

    def _read(self, given: data.Tagged | None) -> tuple[data.Tagged, ...]:
        settings = self._config.data
        columns: Any = {key: getattr(settings, key) for key in ("word_column", "tag_column", "encoding")}

        def read(sources: list[str]) -> data.Tagged:
            return data.read_tagged(sources, **columns)

        assert settings.sources is not None  # the configuration has seen to it
        train = read(settings.sources) if given is None else given
        scheme = data.scheme_of(train, settings.scheme)
        parts = parts_of(settings, train, read, with_test=given is None)
        if scheme is None:
            return parts
        self.scheme = settings.scheme_to
        how: Any = {"to": settings.scheme_to, "repair": settings.repair}
        return tuple(data.in_scheme(part, scheme, **how) for part in parts)

    def _reader(self, train: data.Tagged) -> Callable[[Any], np.ndarray]:
        """What makes arrays of sentences, learned from the training part."""
        chosen = self._config.words
        self.words = text.WordReader.build(
            train.sentences,
            min_count=chosen.min_count,
            lowercase=chosen.lowercase,
            with_characters=chosen.characters,
            features=chosen.features,
            max_characters=chosen.max_characters,
        )
        if self._start is not None:
            self.words = self._start.words(self.words)
        return self.words.encode

    @property
    def baselines(self) -> tuple[str, ...]:
        of_all = ("most-frequent-tag", "hmm") if self.scheme is None else ("most-frequent-tag", "hmm", "feature-crf")
        return self._config.baselines.kinds or of_all

    def require_baselines(self) -> None:
        """Raises: MissingExtraError where one of them cannot be fitted."""
        if "feature-crf" in self.baselines:
            baselines.require_crfsuite()

    def fit_baseline(self, kind: str) -> Any:
        """One of them, of the training part."""
        return baselines.TAG_BASELINES[kind].fit(self.train.tagged.sentences, self.train.tagged.tags)

    def judged(self, name: str, system: Any, own: dict[str, Any]) -> TaggedBy:
        """What a system says of the test part. Args: own: what its row says besides."""
        return TaggedBy(name, system.predict(self.test.tagged.sentences), own)

    def rows(self, systems: Sequence[Any]) -> list[dict[str, Any]]:
        """The rows of the table. Args: systems: what `judged` gave, the model's first."""
        return tagging_rows(systems, self.test.tagged.tags, of_spans=self.scheme is not None)

    def report(self, model: Any, system: Any) -> dict[str, Any]:
        """What metrics.json says of the labels beside the table. Args: system: what `judged` gave of the model."""
        of_spans, known = self.scheme is not None, {*self.words.words}
        facts = details(model, system.tags, self.test.tagged, known=known, of_spans=of_spans)
        return {"labels": self.labels, "scheme": self.scheme, "report": facts}

    def parts(self) -> dict[str, Part]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def identity(self) -> dict[str, Any]:
        names = {"train": "training sentences", "valid": "validation sentences", "test": "test sentences"}
        words = self._config.words.model_dump(mode="json")
        return {
            **{f"words.{key}": value for key, value in words.items()},
            **{names[part]: of_part.tagged.fingerprint for part, of_part in self.parts().items()},
        }


def parts_of(
    settings: SequencesConfig,
    train: TaggedT,
    read: Callable[[list[str]], TaggedT],
    *,
    with_test: bool = True,
) -> tuple[TaggedT, ...]:
    """What to train on, to choose weights by, and for the table: other files, or held out of what was read."""
    if not with_test:
        test = train[np.zeros(0, int)]
    elif settings.test_sources is not None:
        test = read(settings.test_sources)
    else:
        train, test = data.split_tagged(train, settings.held_out, seed=settings.split_seed)
    if settings.valid_sources is not None:
        valid = read(settings.valid_sources)
    else:
        train, valid = data.split_tagged(train, settings.valid_share, seed=settings.split_seed)
    return train, valid, test


class TaggingTask(WholeSequencesTask):
    """Train a recurrent transducer on the tagged sentences of a configuration."""

    loss_unit = "word"
    config: TagConfig
    start: TaggerStart | None = None
    """What it starts from, where the configuration names it."""

    def __init__(self, config: TagConfig, tagged: data.Tagged | None = None) -> None:
        """Args: tagged: as of `TaggedSentences`."""
        self.start = TaggerStart.of(config)
        config = config if self.start is None else self.start.config
        self.sentences = self._read(config, tagged)
        super().__init__(config, self.sentences)
        if self._fits_outside and self.sentences.scheme is None:
            raise ConfigError("model.outside=fitted has no effect on plain tags, which mark no spans: leave it out")
        crf = config.model.crf
        self.with_crf = self.sentences.scheme is not None if crf is None else crf
        self.name += "-crf" if self.with_crf else ""
        if len(self.sentences.test):
            self.sentences.require_baselines()  # before the training, not after it

    def _read(self, config: TagConfig, tagged: data.Tagged | None) -> TaggedSentences:
        return TaggedSentences(config, tagged, start=self.start)

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), **({} if self.start is None else self.start.identity())}

    def build_model(self) -> Transducer:
        fields = self.config.model.model_dump(exclude={"outside"})
        fields |= {"crf": self.with_crf, "scheme": self.sentences.scheme}
        fields |= fields_of_words(self.sentences.words, fields)
        model = Transducer(TransducerConfig(num_labels=len(self.sentences.labels), **fields))
        if self.start is not None:
            self.start.copy_to(model)
        return model

    def streams(self, *, batch_size: int, window: int, stride: int) -> data.Batches:
        """Batches of whole sentences; their order follows from the seed that torch's generator was given."""
        train = self.sentences.train
        return data.Batches(train.sequences, train.targets, batch_size=batch_size, seed=torch.initial_seed())

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """Nats per word and accuracy on at most `max_tokens` validation sentences; of spans also F1.

        Of spans `error`, by which the best weights are chosen, is 1 − F1: F1 still grows while nats do, too.
        """
        assert isinstance(model, Transducer)
        scored, total = self._scored(model, max_tokens)
        gold = [self.sentences.valid.tagged.tags[row] for row in scored.rows]
        paths = tag_decision.decided(scored, outside_bias=self._fitted(scored, gold))
        predicted = [[self.sentences.labels[best] for best in path] for path in paths]
        score = TaggingScore(gold, predicted, of_spans=self.sentences.scheme is not None)
        figures = {"nll": total / sum(map(len, gold)), "accuracy": score.accuracy}
        return figures if score.spans is None else {**figures, "f1": score.figure, "error": 1 - score.figure}

    def _scored(self, model: Transducer, max_sequences: int) -> tuple[tag_decision.Scored, float]:
        """What the model says of at most so many validation sequences, and what their labels cost in all, in nats."""
        valid, labels = self.sentences.valid, self.sentences.labels
        count = min(len(valid), max_sequences)
        order = sorted(range(count), key=lambda row: len(valid.sequences[row]))
        scores = None
        if model.crf is not None:
            scores = Chain(*(getattr(model.crf, name).detach().numpy() for name in Chain._fields))
        groups, total = [], 0.0
        for first in range(0, count, EVALUATED_ROWS):
            rows = order[first : first + EVALUATED_ROWS]
            inputs, lengths = data.padded([valid.sequences[row] for row in rows])
            targets, _ = data.padded([valid.targets[row] - NO_TARGET for row in rows])
            features, _ = model(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))
            total += float(model.loss(features, torch.from_numpy(targets) + NO_TARGET).double().sum())
            found = model.log_prob(features) if scores is None else model.logits(features)
            groups.append((found.numpy(), lengths))
        return tag_decision.Scored(order, groups, labels, held_to(labels, self.sentences.scheme, scores)), total

    def _fitted(self, scored: tag_decision.Scored, gold: Sequence[Sequence[str]]) -> float:
        """What the score of O is lowered by, where that is asked for."""
        return tag_decision.fitted_outside(scored, gold) if self._fits_outside else 0.0

    @property
    def _fits_outside(self) -> bool:
        return self.config.model.outside == "fitted"

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration, vocabulary and labels as the bundle that the run half loads."""
        assert isinstance(model, Transducer)
        config, tensors = model.export()
        if self._fits_outside:
            with torch.no_grad():
                scored, _ = self._scored(model, len(self.sentences.valid))
            gold = [self.sentences.valid.tagged.tags[row] for row in scored.rows]
            config["model"]["outside_bias"] = self._fitted(scored, gold)
        files = {labels_file.NAME: labels_file.to_bytes(self.sentences.labels), **self._files()}
        files |= evaluation.of_steps(self.sentences.test.tagged.sentences, self.sentences.test.targets)
        write_bundle(run_dir, config=config, tensors=tensors, files=files)

    def _files(self) -> dict[str, bytes]:
        """Those of the bundle beside the labels'."""
        return {WORDS: self.sentences.words.to_json().encode()}

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        return judge(run_dir, name=self.name, config=self.config, sentences=self.sentences, report=report, others=peers)
