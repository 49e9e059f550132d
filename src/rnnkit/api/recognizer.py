"""Recognizer: a classifier that has learned a formal language from examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnkit.api.classifier import Classifier
from rnnkit.tasks.grammar_language import LABELS


class Recognizer(Classifier):
    """A recurrent network that tells the texts of a language from others.

        model = rnnkit.Recognizer.train("(ab)*", run="runs/ab")      # or "tomita-5", "dyck-2", "my-automaton.json"
        model.accepts(["abab", "aba"])                               # [True, False]

    A run is that of a `Classifier` with the labels "accepted" and "rejected". It is trained on one grammar: a name of
    `rnnkit.automata.NAMES`, a regular expression, or a .json file as `rnnkit.automata.Dfa.from_dict` reads it.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.grammar import GrammarRunConfig

        return GrammarRunConfig

    def accepts(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text belongs to the language, as far as the network has learned it."""
        return [label == LABELS[0] for label in self.predict(texts)]
