"""The character tokeniser: one id per code point of the training text, in code point order, then the unknown entry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, DataError
from rnnkit.text.tokenizer import REPLACEMENT, StreamDecoder, Tokenizer, refuse_surrogates, visible

_CODE_POINTS = 0x110000
_NUM_CHARACTERS = _CODE_POINTS - 0x800  # without the surrogates, which are no characters


class CharTokenizer(Tokenizer):
    """Code points to ids by one table.

    Args:
        characters: the vocabulary; id i is its i-th character.
        with_unknown: whether one more id stands for every other character. Without it they are refused.
    `begin_id` is the newline's id, or 0 when the text has no newline. `unknown_nats` is the logarithm of the number of
    characters outside the vocabulary: an unknown one is charged as if drawn uniformly among them.
    """

    kind = "char"

    def __init__(self, characters: str, *, with_unknown: bool = True, special_tokens: Sequence[str] = ()) -> None:
        codes = _code_points(characters)
        if len(np.unique(codes)) != len(codes):
            raise ArgumentError("the characters of a vocabulary must all be different; build it with text.build")
        if not len(codes) and not with_unknown:
            raise ArgumentError("a vocabulary needs at least one entry")
        super().__init__(len(codes) + with_unknown, special_tokens)
        self.characters = characters
        self.unk_id = len(codes) if with_unknown else None
        self.begin_id = max(characters.find("\n"), 0)
        if with_unknown:
            self.unknown_nats = math.log(_NUM_CHARACTERS - len(codes))
        self._shown = characters + REPLACEMENT if with_unknown else characters
        self._codes = np.append(codes, ord(REPLACEMENT)) if with_unknown else codes
        top = int(codes.max(initial=0)) + 1
        self._table = np.full(top + 1, -1 if self.unk_id is None else self.unk_id, np.int32)  # the last entry: beyond
        self._table[codes] = np.arange(len(codes), dtype=np.int32)

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int = 1,
        with_unknown: bool = True,
        special_tokens: Sequence[str] = (),
    ) -> CharTokenizer:
        """The characters of `texts`: all, or the most frequent ones. See `rnnkit.text.build`."""
        counts = np.zeros(_CODE_POINTS, np.int64)
        for text in texts:
            codes = _code_points(text)
            if len(codes):
                seen = np.bincount(codes)
                counts[: len(seen)] += seen
        if not counts.any():
            raise DataError("the training text is empty; give text with at least one character")
        kept = np.flatnonzero(counts >= min_count)
        if vocab_size is not None:
            room = vocab_size - with_unknown - len(special_tokens)
            if room < 1:
                raise ArgumentError(f"vocab_size {vocab_size} leaves no room for a character; raise it")
            kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")][:room])
        return cls("".join(map(chr, kept.tolist())), with_unknown=with_unknown, special_tokens=special_tokens)

    def token_text(self, token: int) -> str:
        token = self._checked(token)
        if token < len(self.characters):
            return visible(self.characters[token])
        return "<unk>" if token == self.unk_id else self.special_tokens[token - self._num_regular]

    def to_dict(self) -> dict[str, Any]:
        return {"characters": self.characters, "with_unknown": self.unk_id is not None}

    def _encode(self, text: str) -> np.ndarray:
        codes = _code_points(text)
        ids = self._table[np.minimum(codes, len(self._table) - 1)]
        if self.unk_id is None and (unknown := ids < 0).any():
            at = int(unknown.argmax())
            line = text.count("\n", 0, at) + 1
            raise DataError(
                f"character {text[at]!r} (U+{codes[at]:04X}) at position {at}, line {line}, is not in the vocabulary, "
                "which has no unknown entry; build it with_unknown, or take the character out"
            )
        return ids

    def _decode(self, ids: np.ndarray) -> str:
        return self._codes[ids].astype("<u4").tobytes().decode("utf-32-le")

    def _push(self, tokens: list[int], decoder: StreamDecoder) -> str:
        return "".join(map(self._shown.__getitem__, tokens))


def _code_points(text: str) -> np.ndarray:
    try:
        return np.frombuffer(text.encode("utf-32-le"), "<u4")
    except UnicodeEncodeError as error:
        raise refuse_surrogates(text, error) from None
