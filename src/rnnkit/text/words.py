"""WordReader: words that are cut already, such as those of a tagged file, as rows of integers with their spelling."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from rnnkit.errors import DataError, DtypeError
from rnnkit.text.tokenizer import as_text
from rnnkit.text.word import words_of

UNKNOWN_ID = 0  # of words, of characters and of each feature
FEATURES = ("shape", "prefix1", "prefix2", "prefix3", "prefix4", "suffix1", "suffix2", "suffix3", "suffix4")
_FIELDS = {"format": int, "words": list, "characters": list, "lowercase": bool, "max_characters": int}
_MAY_BE_LEFT_OUT = {"features", "split_punctuation"}
_FORMAT = 1


def shape_of(word: str) -> str:
    """`McDonald's-2` is `XxXx'x-d`: X for capitals, x for other letters, d for digits, each run once."""
    kinds = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return re.sub(r"(.)\1+", r"\1", "".join(kinds), flags=re.DOTALL)


def feature_of(word: str, name: str) -> str:
    """One of `FEATURES`: the word's shape, or its first or last letters in lower case, of a shorter one all."""
    if name == "shape":
        return shape_of(word)
    length, lowered = int(name[-1]), word.lower()
    return lowered[:length] if name.startswith("prefix") else lowered[-length:]


class WordReader:
    """Words to integers: the id of each, 0 for one that was not trained on; and with characters how it is spelled.

        reader = WordReader.build([["The", "cat"], ["the", "dog"]], with_characters=True)
        reader.encode(["the", "cow"])        # int64 [2, 1 + W]: id, characters' ids + 1, 0 behind the end of a word

    With features a row is [1 + N (+ W)]: behind the word's id one for each of its N features, then the characters'. The
    ids of one feature follow those of the one before it, so that one table holds them all.

    Args:
        words, characters: what the ids 1, 2 … stand for; id 0 is anything else. No characters: no spelling.
        features: by name, of `FEATURES`, the values that were trained on.
        lowercase: words that differ in case are one; their spelling keeps it.
        max_characters: W; of a longer word its first and its last W/2 are read.
        split_punctuation: how `cut` makes words of a text, as `text.build` has it; None: words come cut already.
    Raises: DataError for an entry that is there twice, or a feature that does not exist.
    """

    unk_id = UNKNOWN_ID

    def __init__(
        self,
        words: Sequence[str],
        characters: Sequence[str] = (),
        *,
        features: Mapping[str, Sequence[str]] | None = None,
        lowercase: bool = False,
        max_characters: int = 24,
        split_punctuation: bool | None = None,
    ) -> None:
        self.words, self.characters = tuple(words), tuple(characters)
        self.lowercase, self.max_characters, self.split_punctuation = lowercase, max_characters, split_punctuation
        self._ids = {word: index for index, word in enumerate(self.words, start=1)}
        self._characters = {character: index for index, character in enumerate(self.characters, start=2)}
        self.features = {name: list(values) for name, values in (features or {}).items()}
        self._features: list[tuple[str, int, dict[str, int]]] = []  # name, id of an unknown value, ids of the others
        first = 0
        for name, values in self.features.items():
            if name not in FEATURES:
                raise DataError(f"a word has no feature {name[:40]!r}; there are {', '.join(FEATURES)}")
            self._features.append((name, first, {value: at for at, value in enumerate(values, start=first + 1)}))
            first += 1 + len(values)
        vocabularies = [(self._ids, self.words), (self._characters, self.characters)]
        vocabularies += [(ids, self.features[name]) for name, _, ids in self._features]
        for ids, entries in vocabularies:
            if len(ids) != len(entries):
                twice = next(entry for entry, count in Counter(entries).items() if count > 1)
                raise DataError(f"the entry {twice!r} of a vocabulary is there twice; take it out once")

    @classmethod
    def build(
        cls,
        sentences: Iterable[Sequence[str]],
        *,
        min_count: int = 1,
        vocab_size: int | None = None,
        lowercase: bool = True,
        with_characters: bool = True,
        features: Sequence[str] = (),
        max_characters: int = 24,
        split_punctuation: bool | None = None,
    ) -> Self:
        """Of training sentences, and of nothing else: the words that are there `min_count` times, all characters.

        Args: vocab_size: most ids of words, that of unknown ones among them; None: all. features: which; a value counts
            as known where two different words have it: one that a single word has says no more than the word.
        """
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        different: set[str] = set()
        for sentence in sentences:
            different.update(sentence)
            words.update(word.lower() if lowercase else word for word in sentence)
            if with_characters:
                for word in sentence:
                    characters.update(word)
        kept = sorted((-count, word) for word, count in words.items() if count >= min_count)
        if unknown := [name for name in features if name not in FEATURES]:
            raise DataError(f"a word has no feature {unknown[0][:40]!r}; there are {', '.join(FEATURES)}")
        values = {
            name: sorted(value for value, count in Counter(feature_of(w, name) for w in different).items() if count > 1)
            for name in features
        }
        return cls(
            [word for _, word in kept[: None if vocab_size is None else vocab_size - 1]],
            sorted(characters),
            features=values,
            lowercase=lowercase,
            max_characters=max_characters,
            split_punctuation=split_punctuation,
        )

    @property
    def vocab_size(self) -> int:
        """The number of ids of words, that of unknown ones among them."""
        return len(self.words) + 1

    @property
    def num_characters(self) -> int:
        """The number of ids of characters, that of unknown ones among them; 0 without characters."""
        return len(self.characters) + 1 if self.characters else 0

    @property
    def num_features(self) -> int:
        """The number of ids of all features, those of unknown values among them; 0 without features."""
        return sum(1 + len(values) for values in self.features.values())

    @property
    def row_limits(self) -> list[int]:
        """What every integer of a word's row is below: its id, each feature's, and each character's id + 1."""
        characters = self.max_characters * [self.num_characters + 1] if self.characters else []
        return [self.vocab_size, *len(self.features) * [self.num_features], *characters]

    def cut(self, text: str | bytes) -> list[str]:
        """The words of a text; a line's end only parts them.

        Raises: DataError where words come cut already; DtypeError for bytes.
        """
        if self.split_punctuation is None:
            raise DataError("these words were not cut out of texts; give a list of words")
        return words_of(as_text(text), split_punctuation=self.split_punctuation)

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """int64 [T], or with features or characters [T, 1 + N + W]. Raises: DtypeError for what is no list of words."""
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise DtypeError(f"a list of words is wanted, got {str(words)[:60]!r}; split a text into words first")
        ids = np.array(
            [self._ids.get(word.lower() if self.lowercase else word, UNKNOWN_ID) for word in words], np.int64
        )
        if not self.characters and not self.features:
            return ids
        first = 1 + len(self._features)
        rows = np.zeros((len(words), first + (self.max_characters if self.characters else 0)), np.int64)
        rows[:, 0] = ids
        for row, word in zip(rows, words, strict=True):
            row[1:first] = [known.get(feature_of(word, name), unknown) for name, unknown, known in self._features]
            if self.characters:
                spelled = self._shown(word)
                row[first : first + len(spelled)] = [self._characters.get(character, 1) for character in spelled]
        return rows

    def _shown(self, word: str) -> str:
        if len(word) <= self.max_characters:
            return word
        half = self.max_characters // 2
        return word[: self.max_characters - half] + word[len(word) - half :]

    def to_json(self) -> str:
        """A value that `from_json` reads."""
        fields = {name: getattr(self, name) for name in _FIELDS if name != "format"}
        if self.features:
            fields["features"] = self.features
        if self.split_punctuation is not None:
            fields["split_punctuation"] = self.split_punctuation
        return json.dumps({"format": _FORMAT, **fields}, ensure_ascii=False)

    @classmethod
    def from_json(cls, data: str) -> Self:
        """What `to_json` wrote. Raises: DataError naming the field."""
        try:
            fields: Any = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the vocabulary is no JSON ({error}); take the file from its bundle") from None
        if not isinstance(fields, dict) or fields.keys() - _MAY_BE_LEFT_OUT != _FIELDS.keys():
            raise DataError(
                f"the vocabulary must have the fields {', '.join(_FIELDS)}, may have "
                f"{' and '.join(sorted(_MAY_BE_LEFT_OUT))}, and no others"
            )
        for name, wanted in _FIELDS.items():
            if type(fields[name]) is not wanted:
                raise DataError(f"the vocabulary's {name} is a {type(fields[name]).__name__}, not a {wanted.__name__}")
        if fields.pop("format") != _FORMAT:
            raise DataError(f"the vocabulary is not of format {_FORMAT}; install the rnnkit that wrote it")
        features = fields.get("features", {})
        if not isinstance(features, dict) or not all(
            isinstance(values, list) and all(isinstance(value, str) for value in values) for values in features.values()
        ):
            raise DataError("the vocabulary's features must each be a list of texts; take the file from its bundle")
        if type(fields.get("split_punctuation", False)) is not bool:
            raise DataError("the vocabulary's split_punctuation must be true or false; take the file from its bundle")
        for name in ("words", "characters"):
            if not all(isinstance(entry, str) for entry in fields[name]):
                raise DataError(f"the vocabulary's {name} must all be texts; take the file from its bundle")
        if not 2 <= fields["max_characters"] <= 10_000:
            raise DataError(f"the vocabulary's max_characters is {fields['max_characters']}; 2 to 10000 is wanted")
        return cls(fields.pop("words"), fields.pop("characters"), **fields)
