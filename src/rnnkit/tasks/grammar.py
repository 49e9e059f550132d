"""The grammar task: texts inside and outside a formal language, and an acceptor that learns to tell them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnkit import data
from rnnkit.automata import balanced
from rnnkit.errors import ArgumentError
from rnnkit.metrics import ClassificationScore
from rnnkit.tasks.classify import ClassificationTask, LabelledSequences
from rnnkit.tasks.classify_score import Judged
from rnnkit.tasks.classify_table import judge
from rnnkit.tasks.grammar_config import GrammarConfig
from rnnkit.tasks.grammar_language import LABELS, ExactRecognizer, language_of
from rnnkit.tasks.task import TrainingReport


class DrawnTexts(LabelledSequences):
    """Texts of a language and texts outside it, half and half: training up to `longest` characters, validation up to
    `valid_longest`, test up to `test_longest`. Raises: ArgumentError for a language that has none so short."""

    def _read(self, config: GrammarConfig, examples: object = None) -> tuple[data.Examples, ...]:  # type: ignore[override]
        drawn = config.data
        self.spec = (drawn.sources or [""])[0]  # the configuration has seen to it
        self.language = language_of(self.spec, symbols=drawn.symbols)
        self.longest = drawn.longest
        self.valid_longest, self.test_longest = drawn.longest_judged
        wanted = {
            "training": (drawn.num_train, drawn.longest, drawn.short_bias),
            "validation": (drawn.num_valid, self.valid_longest, 0.0),
            "test": (drawn.num_test, self.test_longest, 0.0),
        }
        parts = []
        for number, (part, (count, longest, short_bias)) in enumerate(wanted.items()):
            rows = balanced(self.language, range(longest + 1), count=count, seed=3 * drawn.sample_seed + number,
                            near_share=drawn.near_share, short_bias=short_bias)  # fmt: skip
            texts, labels = [text for text, _ in rows], [LABELS[not belongs] for _, belongs in rows]
            if not any(text for text, belongs in rows if belongs):
                raise ArgumentError(
                    f"of all texts of 0 to {longest} characters over {self.language.symbols!r} the empty one alone "
                    f"belongs to {self.spec}: name in symbols every character of its texts, or ask for longer ones"
                )
            parts.append(data.Examples(texts, labels, [f"{part} text {at}" for at in range(len(rows))]))
        return tuple(parts)

    def _baselines(self) -> tuple[str, ...]:
        return self._config.baselines.kinds or ()


class GrammarTask(ClassificationTask):
    """Train a recurrent acceptor to recognise a language, from examples alone."""

    sequences: DrawnTexts

    def _read(self, config: Any, examples: data.Examples | None) -> DrawnTexts:
        return DrawnTexts(config, examples)

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """As of a classification; the weights are chosen by how many texts are wrong, then by nats."""
        figures = super().evaluate(model, max_tokens=max_tokens)
        return {**figures, "error": 1 - figures["accuracy"]}

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        """As of a classification, and all systems by length."""
        texts, tokenizer = self.sequences, self.sequences.tokenizer
        assert tokenizer is not None
        return judge(
            run_dir,
            name=self.name,
            config=self.config,
            sequences=texts,
            report=report,
            others=peers,
            task="grammar",
            made={"automaton": ExactRecognizer.of(texts.spec, texts.language, tokenizer)},
            more=lambda judged: {"lengths": self._by_length(judged)},
        )

    def _by_length(self, judged: Sequence[Judged]) -> list[dict[str, Any]]:
        """For texts as long as those trained on, then up to twice as long and so on: how many systems are right about.

        A near miss that is a few characters longer than any length asked for counts with the longest ones.
        """
        test, step = self.sequences.test, self.sequences.longest
        trained = set(self.sequences.train.examples.inputs)
        lengths = np.array([len(text) for text in test.examples.inputs])
        number = np.maximum(np.minimum(lengths, self.sequences.test_longest) - 1, 0) // step
        is_correct = {system.name: ClassificationScore(system.log_probs, test.targets).is_correct for system in judged}
        rows = []
        for part in np.unique(number):
            at = np.flatnonzero(number == part)
            texts = [test.examples.inputs[row] for row in at]
            rows.append(
                {
                    "from": int(part * step + (part > 0)),
                    "to": int(min((part + 1) * step, self.sequences.test_longest)),
                    "count": len(at),
                    "distinct": len(set(texts)),
                    "trained_on": sum(text in trained for text in texts),
                    "accuracy": {name: float(correct[at].mean()) for name, correct in is_correct.items()},
                }
            )
        return rows
