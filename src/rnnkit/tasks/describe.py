"""The description task: records and texts that say them, an encoder-decoder between both, and what it must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from rnnkit import data
from rnnkit.errors import ConfigError
from rnnkit.models.encoder_decoder import EncoderDecoder
from rnnkit.models.encoder_decoder_config import EncoderDecoderConfig
from rnnkit.runtime.encoder_decoder import RECORDS
from rnnkit.tasks.describe_config import DescribeConfig
from rnnkit.tasks.describe_score import as_pairs, with_references
from rnnkit.tasks.describe_table import judge
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.translate import Part, TranslationTask
from rnnkit.text import SourceAndTarget, build
from rnnkit.text.source_target import END


class RecordsPart(Part):
    """Records of one part, with the pairs of attributes and template that the model reads and writes."""

    def __init__(self, records: data.Records, wording: data.Wording, texts: SourceAndTarget) -> None:
        self.records = records
        super().__init__(as_pairs(records, wording), texts)


class RecordsAsPairs:
    """The records of a run, by the interface of `translate.PairsOfTexts`.

    Vocabularies and what is filled in come from the training part alone.

    Raises: DataError naming file, row and remedy; ConfigError for words of a slot that is not there.
    """

    def __init__(self, config: DescribeConfig) -> None:
        self._config = config
        self.skipped: Counter[str] = Counter()
        train, valid, test = self._read(config.data)
        self.wording = self._wording(train.each())
        train, valid, test = map(self._within, (train.each(), valid.each(), test))
        own = as_pairs(train, self.wording)
        how: Any = {"special_tokens": (END,), "min_count": config.tokenizer.min_count}
        sides = (f"{line}\n" for line in own.sources), (f"{targets[0]}\n" for targets in own.targets)
        source, target = (build("word", side, **how) for side in sides)
        self.texts = SourceAndTarget(target, source)
        self.train, self.valid, self.test = (
            RecordsPart(part, self.wording, self.texts) for part in (train, valid, test)
        )

    def parts(self) -> dict[str, RecordsPart]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def identity(self) -> dict[str, Any]:
        chosen = {**self._config.tokenizer.model_dump(mode="json"), "slots": self.wording.to_json()}
        names = {"train": "training records", "valid": "validation records", "test": "test records"}
        return {
            **{f"tokenizer.{key}": value for key, value in chosen.items()},
            **{names[part]: of_part.records.fingerprint for part, of_part in self.parts().items()},
        }

    def _read(self, chosen: Any) -> tuple[data.Records, data.Records, data.Records]:
        how: Any = {name: getattr(chosen, name) for name in ("text_column", "encoding", "skip_bad")}
        train = self._counted(data.read_records(chosen.sources, **how))
        if chosen.test_sources is not None:
            test = self._counted(data.read_records(chosen.test_sources, **how))
        else:
            train, test = data.split_records(train, chosen.held_out, seed=chosen.split_seed)
        if chosen.valid_sources is not None:
            valid = self._counted(data.read_records(chosen.valid_sources, **how))
        else:
            train, valid = data.split_records(train, chosen.valid_share, seed=chosen.split_seed)
        return train, valid, with_references(test, chosen.references)

    def _counted(self, records: data.Records) -> data.Records:
        self.skipped.update(records.skipped)
        return records

    def _wording(self, train: data.Records) -> data.Wording:
        chosen, scores = self._config.tokenizer, self._config.scores
        texts = [own[0] for own in train.texts]
        known = train.slots
        if unknown := [name for name in scores.slot_words if name not in known]:
            raise ConfigError(
                f"scores.slot_words names the slot {unknown[0]!r}, no training record has it; "
                f"known are {', '.join(known)}"
            )
        splits = data.has_glued_marks(texts) if chosen.split_punctuation is None else chosen.split_punctuation
        return data.Wording(
            data.repeated_slots(train.records, texts, least=chosen.filled_share),
            scores.slot_words,
            scores.uncounted_acts,
            lowercase=chosen.lowercase,
            splits=splits,
        )

    def _within(self, records: data.Records) -> data.Records:
        def num_tokens(record: data.Record, text: str) -> int:
            return max(len(self.wording.features(record)), len(self.wording.template(record, text).split()))

        chosen = self._config.data
        short = records.within(num_tokens, chosen.max_tokens, skip_bad=chosen.skip_bad)
        self.skipped.update(short.skipped - records.skipped)
        return short


class DescriptionTask(TranslationTask):
    """Train an encoder-decoder on the records of a configuration; as `TranslationTask`."""

    config: Any
    pairs: Any
    task_name: ClassVar[str] = "describe"
    pairs_class: ClassVar[Any] = RecordsAsPairs

    def _own_files(self) -> dict[str, bytes]:
        return {RECORDS: self.pairs.wording.to_json().encode()}

    def build_model(self) -> torch.nn.Module:
        texts, shape = self.pairs.texts, self.config.model.model_dump()
        if shape["bidirectional"] is None:
            shape["bidirectional"] = shape["encoder"] == "recurrent"
        sizes: Any = {"vocab_size": texts.target.vocab_size, "source_vocab_size": texts.source.vocab_size}
        return EncoderDecoder(EncoderDecoderConfig(**shape, **sizes))

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        return judge(run_dir, name=self.name, config=self.config, pairs=self.pairs, report=report, others=peers)
