"""The bidirectional language-model task: a text, a model that tells each token from all others, what it must beat."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rnnkit import durable
from rnnkit.baselines import TwoSidedNgramModel
from rnnkit.baselines.report import MAX_TRAIN_TOKENS
from rnnkit.bundle import evaluation, strict_json
from rnnkit.metrics import PseudoLikelihoodScore
from rnnkit.models.cloze import Cloze
from rnnkit.runtime import BidirectionalLanguageModel
from rnnkit.tasks.lm import Texts, TextTask, generator_config, name_of
from rnnkit.tasks.lm_config import LmConfig
from rnnkit.tasks.lm_score import scores, two_sided_name
from rnnkit.tasks.lm_table import describe
from rnnkit.tasks.run_facts import run_facts
from rnnkit.tasks.task import Epoch, Peer, TrainingReport


class BidirectionalTask(TextTask):
    """Train a bidirectional language model on the texts of a configuration. Raises: as `LanguageModelTask`."""

    both_sides = True

    def __init__(self, config: LmConfig) -> None:
        self.config = config
        self.texts = Texts(config)
        self.name = f"bidirectional {name_of(config.model)}"

    @property
    def epoch(self) -> Epoch:
        return Epoch(tokens=len(self.texts.train), characters_per_token=1.0, unit="token")

    def identity(self) -> dict[str, Any]:
        """The model's configuration and the digests of texts and tokeniser."""
        model = self.config.model.model_dump(mode="json")
        return {**{f"model.{key}": value for key, value in model.items()}, **self.texts.identity()}

    def build_model(self) -> Cloze:
        return Cloze(generator_config(self.config.model, self.texts.tokenizer))

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """As of `TextTask`, but per token alone: nothing here is a length per character."""
        return {"nll": super().evaluate(model, max_tokens=max_tokens)["nll"]}

    def sample(self, model: torch.nn.Module, *, seed: int) -> str | None:
        """None: it cannot write."""
        return None

    def peers(self) -> Mapping[str, Peer]:
        """None: the n-grams are counted, in `finish`."""
        return {}

    def _files(self) -> dict[str, bytes]:
        corpus = self.texts.test
        return super()._files() | {evaluation.NAME: evaluation.to_bytes(corpus.tokens, corpus.document_starts)}

    def finish(
        self,
        run_dir: Path,
        *,
        report: TrainingReport,
        peers: Sequence[tuple[str, TrainingReport]],
        note: Callable[[str], None],
    ) -> dict[str, Any]:
        """The saved model and all baselines on all of the test text; writes `metrics.json` and `baselines/`."""
        texts, test = self.texts, self.texts.test
        note(f"counting n-grams of {len(texts.train):,} tokens, and judging every row of the table on {len(test):,}")
        model = BidirectionalLanguageModel.load(run_dir)
        row = {
            "name": self.name,
            **scores(model, test, texts.tokenizer, measure=PseudoLikelihoodScore),
            "bytes": (run_dir / "model.safetensors").stat().st_size,
            "num_parameters": model.num_parameters,
            "train_seconds": report.seconds,
        }
        metrics = {
            "task": "bidirectional-lm",
            "model": row,
            "baselines": [self._counted(order, run_dir) for order in self._orders()],
            **run_facts(self.config, report),
            "data": {part: describe(corpus) for part, corpus in texts.parts().items()},
        }
        durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
        return metrics

    def _orders(self) -> list[int]:
        settings = self.config.baselines
        orders = [1] if "unigram" in settings.kinds else []
        if "kneser-ney" in settings.kinds:
            orders += range(2, settings.ngram_order + 1)
        return orders

    def _counted(self, order: int, run_dir: Path) -> dict[str, Any]:
        """The row of the n-gram model of an order, which is saved."""
        train, test, tokenizer = self.texts.train, self.texts.test, self.texts.tokenizer
        started, tokens = time.perf_counter(), train.tokens[:MAX_TRAIN_TOKENS]
        model = TwoSidedNgramModel.fit(
            tokens,
            order=order,
            vocab_size=tokenizer.vocab_size,
            begin_id=tokenizer.begin_id,
            document_starts=train.document_starts[train.document_starts < len(tokens)],
        )
        seconds = time.perf_counter() - started
        model.save(run_dir / "baselines" / two_sided_name(order).lower())
        part = f" (first {len(tokens):,} tokens)" if len(tokens) < len(train) else ""
        return {
            "name": two_sided_name(order) + part,
            "n": order,
            "num_train_tokens": len(tokens),
            **scores(model, test, tokenizer, measure=PseudoLikelihoodScore),
            "unseen_share": model.unseen_share(test.tokens, test.document_starts),
            "bytes": model.num_bytes,
            "train_seconds": seconds,
        }
