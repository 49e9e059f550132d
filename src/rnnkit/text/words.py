"""WordReader: words that are cut already, such as those of a tagged file, as rows of integers with their spelling."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from rnnkit.errors import DataError, DtypeError

UNKNOWN_ID = 0  # of words and of characters
_FIELDS = {"format": int, "words": list, "characters": list, "lowercase": bool, "max_characters": int}
_FORMAT = 1


class WordReader:
    """Words to integers: the id of each, 0 for one that was not trained on; and with characters how it is spelled.

        reader = WordReader.build([["The", "cat"], ["the", "dog"]], with_characters=True)
        reader.encode(["the", "cow"])        # int64 [2, 1 + W]: id, characters' ids + 1, 0 behind the end of a word

    Args:
        words, characters: what the ids 1, 2 … stand for; id 0 is anything else. No characters: ids of words alone.
        lowercase: words that differ in case are one; their spelling keeps it.
        max_characters: W; of a longer word its first and its last W/2 are read.
    Raises: DataError for an entry that is there twice.
    """

    unk_id = UNKNOWN_ID

    def __init__(
        self, words: Sequence[str], characters: Sequence[str] = (), *, lowercase: bool = False, max_characters: int = 24
    ) -> None:
        self.words, self.characters = tuple(words), tuple(characters)
        self.lowercase, self.max_characters = lowercase, max_characters
        self._ids = {word: index for index, word in enumerate(self.words, start=1)}
        self._characters = {character: index for index, character in enumerate(self.characters, start=2)}
        for ids, entries in ((self._ids, self.words), (self._characters, self.characters)):
            if len(ids) != len(entries):
                twice = next(entry for entry, count in Counter(entries).items() if count > 1)
                raise DataError(f"the entry {twice!r} of a vocabulary is there twice; take it out once")

    @classmethod
    def build(
        cls,
        sentences: Iterable[Sequence[str]],
        *,
        min_count: int = 1,
        lowercase: bool = True,
        with_characters: bool = True,
        max_characters: int = 24,
    ) -> Self:
        """Of training sentences, and of nothing else: the words that are there `min_count` times, all characters."""
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for sentence in sentences:
            words.update(word.lower() if lowercase else word for word in sentence)
            if with_characters:
                for word in sentence:
                    characters.update(word)
        kept = sorted((-count, word) for word, count in words.items() if count >= min_count)
        return cls([word for _, word in kept], sorted(characters), lowercase=lowercase, max_characters=max_characters)

    @property
    def vocab_size(self) -> int:
        """The number of ids of words, that of unknown ones among them."""
        return len(self.words) + 1

    @property
    def num_characters(self) -> int:
        """The number of ids of characters, that of unknown ones among them; 0 without characters."""
        return len(self.characters) + 1 if self.characters else 0

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """int64 [T], or with characters [T, 1 + W]. Raises: DtypeError for what is no list of words."""
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise DtypeError(f"a list of words is wanted, got {str(words)[:60]!r}; split a text into words first")
        ids = np.array(
            [self._ids.get(word.lower() if self.lowercase else word, UNKNOWN_ID) for word in words], np.int64
        )
        if not self.characters:
            return ids
        rows = np.zeros((len(words), 1 + self.max_characters), np.int64)
        rows[:, 0] = ids
        for row, word in zip(rows, words, strict=True):
            spelled = self._shown(word)
            row[1 : 1 + len(spelled)] = [self._characters.get(character, 1) for character in spelled]
        return rows

    def _shown(self, word: str) -> str:
        if len(word) <= self.max_characters:
            return word
        half = self.max_characters // 2
        return word[: self.max_characters - half] + word[len(word) - half :]

    def to_json(self) -> str:
        """A value that `from_json` reads."""
        fields = {name: getattr(self, name) for name in _FIELDS if name != "format"}
        return json.dumps({"format": _FORMAT, **fields}, ensure_ascii=False)

    @classmethod
    def from_json(cls, data: str) -> Self:
        """What `to_json` wrote. Raises: DataError naming the field."""
        try:
            fields: Any = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the vocabulary is no JSON ({error}); take the file from its bundle") from None
        if not isinstance(fields, dict) or fields.keys() != _FIELDS.keys():
            raise DataError(f"the vocabulary must have the fields {', '.join(_FIELDS)} and no others")
        for name, wanted in _FIELDS.items():
            if type(fields[name]) is not wanted:
                raise DataError(f"the vocabulary's {name} is a {type(fields[name]).__name__}, not a {wanted.__name__}")
        if fields.pop("format") != _FORMAT:
            raise DataError(f"the vocabulary is not of format {_FORMAT}; install the rnnkit that wrote it")
        for name in ("words", "characters"):
            if not all(isinstance(entry, str) for entry in fields[name]):
                raise DataError(f"the vocabulary's {name} must all be texts; take the file from its bundle")
        if not 2 <= fields["max_characters"] <= 10_000:
            raise DataError(f"the vocabulary's max_characters is {fields['max_characters']}; 2 to 10000 is wanted")
        return cls(fields.pop("words"), fields.pop("characters"), **fields)
