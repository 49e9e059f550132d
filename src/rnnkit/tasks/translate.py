"""The translation task: pairs of texts, an encoder-decoder that learns to write the second, and what it must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from rnnkit import data
from rnnkit.bundle import evaluation, write_bundle
from rnnkit.metrics import TranslationScore
from rnnkit.models.encoder_decoder import EncoderDecoder
from rnnkit.models.encoder_decoder_config import EncoderDecoderConfig
from rnnkit.models.transformer import Transformer, TransformerConfig
from rnnkit.runtime import EncoderDecoder as Trained
from rnnkit.runtime import Transformer as TrainedTransformer
from rnnkit.runtime.writer import TEXTS, Writer
from rnnkit.tasks.task import Epoch, Peer, TrainingReport
from rnnkit.tasks.translate_config import TranslateConfig
from rnnkit.tasks.translate_score import TRANSFORMER
from rnnkit.tasks.translate_table import first_targets, judge
from rnnkit.tasks.whole import WholeSequencesTask
from rnnkit.text import SourceAndTarget

_EVALUATED_ROWS = 64
_NUM_SAMPLES = 3
_RATE = 0.016  # of a transformer, times D^-1/2: narrow ones learn faster (Vaswani et al. 2017, section 5.3)
_BETAS = (0.9, 0.98)  # likewise


class Part:
    """Pairs of one part, and the ids of both sides; of several targets the first."""

    def __init__(self, pairs: data.Pairs, texts: SourceAndTarget) -> None:
        self.pairs = pairs
        self.sources = [texts.encode_source(source) for source in pairs.sources]
        self.targets = [texts.encode_target(targets[0]) for targets in pairs.targets]

    def __len__(self) -> int:
        return len(self.pairs)


class PairsOfTexts:
    """The pairs of a run: training, validation (to choose weights by) and test (for the table).

    The vocabularies come from the training part alone. Raises: DataError naming file, line and remedy.
    """

    def __init__(self, config: TranslateConfig) -> None:
        self._config = config
        self.skipped: Counter[str] = Counter()
        """How many rows were left out, by the reason."""
        train, valid, test = self._read(config.data)
        train, valid = train.each(), valid.each()
        self.texts = self._texts(train)
        parts = (self._within(part) for part in (train, valid, test))
        self.train, self.valid, self.test = (Part(part, self.texts) for part in parts)

    def _read(self, chosen: Any) -> tuple[data.Pairs, data.Pairs, data.Pairs]:
        names = ("source_column", "target_column", "has_header", "encoding", "skip_bad")
        how: Any = {name: getattr(chosen, name) for name in names}
        train = self._counted(data.read_pairs(chosen.sources, **how))
        if chosen.test_sources is not None:
            test = self._counted(data.read_pairs(chosen.test_sources, **how))
        else:
            train, test = data.split_pairs(train, chosen.held_out, seed=chosen.split_seed)
        if chosen.valid_sources is not None:
            valid = self._counted(data.read_pairs(chosen.valid_sources, **how))
        else:
            train, valid = data.split_pairs(train, chosen.valid_share, seed=chosen.split_seed)
        return train, valid, test.grouped() if chosen.group_test else test

    def _counted(self, pairs: data.Pairs) -> data.Pairs:
        self.skipped.update(pairs.skipped)
        return pairs

    def _texts(self, train: data.Pairs) -> SourceAndTarget:
        chosen = self._config.tokenizer.model_dump()
        kind, source_kind = chosen.pop("kind"), chosen.pop("source_kind")
        targets = [own[0] for own in train.targets]
        if kind is None:
            kind = _kind_of([*train.sources, *targets] if chosen["joint"] else targets)
            source_kind = source_kind or (None if chosen["joint"] else _kind_of(train.sources))
        return SourceAndTarget.build(train.sources, targets, kind=kind, source_kind=source_kind, **chosen)

    def _within(self, pairs: data.Pairs) -> data.Pairs:
        """Those whose sides are short enough. Raises: DataError for a longer one, unless it may be skipped."""
        chosen, texts = self._config.data, self.texts

        def num_tokens(text: str) -> int:
            return max(len(texts.encode_source(text)), len(texts.encode_target(text))) - 1

        if all(len(side) < chosen.max_tokens for side in _sides(pairs)):  # no token is less than a character
            return pairs
        short = pairs.within(num_tokens, chosen.max_tokens, skip_bad=chosen.skip_bad)
        self.skipped.update(short.skipped - pairs.skipped)
        return short

    def parts(self) -> dict[str, Part]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def identity(self) -> dict[str, Any]:
        """What made them, and digests of what they are, for checkpoints. Where they lie does not count."""
        tokenizer = self._config.tokenizer.model_dump(mode="json")
        names = {"train": "training pairs", "valid": "validation pairs", "test": "test pairs"}
        return {
            **{f"tokenizer.{key}": value for key, value in tokenizer.items()},
            **{names[part]: of_part.pairs.fingerprint for part, of_part in self.parts().items()},
        }


class TranslationTask(WholeSequencesTask):
    """Train an encoder-decoder on the pairs of a configuration. Args: batch_tokens: of a batch, for `epoch`."""

    config: TranslateConfig
    loss_unit = "token"
    task_name: ClassVar[str] = "translate"
    pairs_class: ClassVar[type[PairsOfTexts]] = PairsOfTexts

    def __init__(self, config: TranslateConfig, *, batch_tokens: int) -> None:
        self.pairs, self._batch_tokens = self.pairs_class(config), batch_tokens
        super().__init__(config, self.pairs)
        attention = config.model.attention
        self.name = config.model.cell.replace("_", "-") + ("" if attention == "none" else f"-{attention}")
        _ = TranslationScore(["a"], [["a"]]).signatures  # asks for sacrebleu before the training, not after it

    @cached_property
    def epoch(self) -> Epoch:  # type: ignore[override]
        return Epoch(
            tokens=sum(map(len, self.pairs.train.targets)),
            characters_per_token=1.0,
            unit="token",
            is_whole=True,
            batches=len(self.streams(batch_size=self._batch_tokens, window=1, stride=1)),
        )

    def build_model(self) -> torch.nn.Module:
        texts = self.pairs.texts
        sizes: Any = {"vocab_size": texts.target.vocab_size, "source_vocab_size": texts.source.vocab_size}
        return EncoderDecoder(EncoderDecoderConfig(**self.config.model.model_dump(), **sizes))

    def streams(self, *, batch_size: int, window: int, stride: int) -> data.PairBatches:
        """Batches of whole pairs; their order follows from the seed that torch's generator was given."""
        train = self.pairs.train
        return data.PairBatches(
            train.sources,
            train.targets,
            begin_id=self.pairs.texts.end_id,
            batch_tokens=batch_size,
            seed=torch.initial_seed(),
        )

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """Mean loss on the validation pairs in nats per token, of at most `max_tokens` of them."""
        valid = self.pairs.valid
        within = np.cumsum([len(target) for target in valid.targets]) <= max_tokens
        count = max(1, int(within.sum()))
        order = sorted(range(count), key=lambda row: (len(valid.targets[row]), len(valid.sources[row])))
        total, tokens = 0.0, 0
        for first in range(0, count, _EVALUATED_ROWS):
            rows = order[first : first + _EVALUATED_ROWS]
            batch = data.pair_batch(
                [valid.sources[row] for row in rows],
                [valid.targets[row] for row in rows],
                begin_id=self.pairs.texts.end_id,
            )
            weights = torch.from_numpy(batch.weights)
            hidden, _ = model(tuple(map(torch.from_numpy, batch.inputs)), lengths=torch.from_numpy(batch.lengths))
            losses = model.loss(hidden, torch.from_numpy(batch.targets), weights)  # type: ignore[operator]
            total += float((losses * weights).sum(dtype=torch.float64))
            tokens += int(batch.lengths.sum())
        return {"nll": total / tokens}

    def sample(self, model: torch.nn.Module, *, seed: int) -> str | None:
        """The first validation sources with what the model writes for them, greedily."""
        sources = self.pairs.valid.pairs.sources[:_NUM_SAMPLES]
        written = self._trained(model).translate(sources, num_beams=1)
        return "".join(f"{source}\n→ {text}\n" for source, text in zip(sources, written, strict=True))

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration and both tokenisers as the bundle that the run half loads."""
        config, tensors = model.export()  # type: ignore[operator]
        texts = self.pairs.texts
        files = {"tokenizer.json": texts.target.to_json().encode(), TEXTS: texts.to_json().encode()}
        files |= evaluation.of_pairs(first_targets(self.pairs.test.pairs)) | self._own_files()
        write_bundle(run_dir, config=config, tensors=tensors, files=files)

    def _own_files(self) -> dict[str, bytes]:
        """What the bundle of a task keeps beside its tokenisers."""
        return {}

    def peers(self) -> Mapping[str, Peer]:
        """The model from further seeds, and the transformer, if it is among the baselines."""
        chosen, found = self.config.baselines, dict(super().peers())
        if chosen.kinds is None or TRANSFORMER in chosen.kinds:
            with torch.random.fork_rng(devices=[]):
                num_parameters = sum(parameter.numel() for parameter in self.build_model().parameters())
            sizes: Any = {"batch_tokens": self._batch_tokens, "at_most": num_parameters}
            peer: Any = TransformerTask(self.config, self.pairs, **sizes)
            training: Any = {"warmup_steps": chosen.transformer_warmup_steps, "betas": _BETAS}
            lr = chosen.transformer_lr or _RATE * peer.model_config.hidden_size**-0.5
            found[TRANSFORMER] = Peer(peer, {"lr": lr, **training}, shares=("ema",))
        return found

    def finish(
        self,
        run_dir: Path,
        *,
        report: TrainingReport,
        peers: Sequence[tuple[str, TrainingReport]],
        note: Callable[[str], None],
    ) -> dict[str, Any]:
        """As of every task, and says how many rows were left out."""
        if skipped := self.pairs.skipped:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common())
            note(f"{sum(skipped.values()):,} rows were left out ({reasons})")
        return super().finish(run_dir, report=report, peers=peers, note=note)

    def _trained(self, model: torch.nn.Module) -> Writer:
        return Trained(*model.export(), texts=self.pairs.texts)  # type: ignore[operator]

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        own: Any = {"name": self.name, "task": self.task_name, "config": self.config, "pairs": self.pairs}
        return judge(run_dir, **own, report=report, others=peers)


class TransformerTask(TranslationTask):
    """Train the transformer on pairs that are already there. Args: at_most: its parameters."""

    name = TRANSFORMER

    def __init__(self, config: TranslateConfig, pairs: PairsOfTexts, *, batch_tokens: int, at_most: int) -> None:
        self.config, self.pairs, self._batch_tokens, self._at_most = config, pairs, batch_tokens, at_most

    def identity(self) -> dict[str, Any]:
        chosen = self.config.baselines.model_dump(mode="json")
        own = {f"baselines.{key}": value for key, value in chosen.items() if key.startswith("transformer_")}
        return {**own, "most parameters": self._at_most, **self.pairs.identity()}

    @property
    def model_config(self) -> TransformerConfig:
        """Its sizes."""
        chosen, texts, model = self.config.baselines, self.pairs.texts, self.config.model
        return TransformerConfig.of_size(
            self._at_most,
            layers=chosen.transformer_layers,
            vocab_size=texts.target.vocab_size,
            source_vocab_size=texts.source.vocab_size,
            shared_embedding=getattr(model, "shared_embedding", False),  # records have none
            tied=True,
            num_heads=chosen.transformer_heads,
            dropout=chosen.transformer_dropout,
            label_smoothing=model.label_smoothing,
        )

    def build_model(self) -> torch.nn.Module:
        return Transformer(self.model_config)

    def peers(self) -> Mapping[str, Peer]:
        """None of its own."""
        return {}

    def _trained(self, model: torch.nn.Module) -> Writer:
        return TrainedTransformer(*model.export(), texts=self.pairs.texts)  # type: ignore[operator]


def _kind_of(texts: Sequence[str]) -> str:
    """Characters where texts are single words, else words."""
    return "word" if any(" " in text.strip() for text in texts) else "char"


def _sides(pairs: data.Pairs) -> list[str]:
    return [*pairs.sources, *(target for targets in pairs.targets for target in targets)]
