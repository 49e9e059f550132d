"""What a tagger starts from: the layers and the words of a language model, beside what else it reads of a word."""

from __future__ import annotations

from typing import Any

import torch

from rnnkit.errors import ConfigError
from rnnkit.tasks.classify_start import LanguageModelStart
from rnnkit.text import WordReader
from rnnkit.text.word import END_OF_LINE, UNKNOWN, WordTokenizer


class TaggerStart(LanguageModelStart):
    """A language model of words as the start of a tagger; how its parts learn is the classifier's.

    Words are the language model's, in its case; one that it does not know reads its <unk>. The first layer's weights
    for what stands beside a word's vector, its features and characters, start as ever, and so do their tables.
    """

    noun = "tagger"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        where, tokenizer = config.transfer.from_run, self.tokenizer
        if not isinstance(tokenizer, WordTokenizer):
            raise ConfigError(f"{where} reads tokens of kind {tokenizer.kind!r}; a tagger needs one of kind word")
        if config.words.min_count != 1:
            raise ConfigError(f"words.min_count is {config.words.min_count}, but {where} has the words: leave it out")
        shown = (END_OF_LINE, UNKNOWN)
        self._words = [word for word in tokenizer.words if word not in shown]
        rows = [row for row, word in enumerate(tokenizer.words) if word not in shown]
        self._rows = torch.tensor([tokenizer.unk_id, *rows])

    def words(self, built: WordReader) -> WordReader:
        """The tagger's reader: the language model's words, and the characters and features of the training part."""
        return WordReader(self._words, built.characters, features=built.features, max_characters=built.max_characters)

    def _place(self, name: str, theirs: torch.Tensor, ours: torch.Tensor) -> None:
        if name == "embedding.weight":
            ours.copy_(theirs[self._rows])
        elif name.startswith("recurrent.weight_ih_l0"):
            ours[:, : theirs.shape[1]].copy_(theirs)
        else:
            ours.copy_(theirs)
