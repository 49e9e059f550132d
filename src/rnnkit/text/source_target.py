"""How a model that reads one text and writes another cuts both: two tokenisers, or one for both sides."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, DataError
from rnnkit.text.serial import from_json
from rnnkit.text.tokenizer import Tokenizer

END = "<end>"
"""The token that ends a source and a target, and stands before the first one of a target."""


class SourceAndTarget:
    """A source as ids, a target as ids and back.

    Args:
        target, source: tokenisers with the special token `END`; source None: that of the target.
        lowercase: read both sides as if all their letters were small.
    """

    def __init__(self, target: Tokenizer, source: Tokenizer | None = None, *, lowercase: bool = False) -> None:
        self.target, self.source = target, target if source is None else source
        self.is_joint, self.lowercase = source is None, lowercase
        for side, tokenizer in (("target", self.target), ("source", self.source)):
            if END not in tokenizer.special_tokens:
                raise ArgumentError(f"the {side}'s tokeniser has no special token {END}; build it with one")
        self.end_id = self.target.special_id(END)
        self._source_end = self.source.special_id(END)

    @classmethod
    def build(
        cls,
        sources: Iterable[str],
        targets: Iterable[str],
        *,
        kind: str,
        source_kind: str | None = None,
        joint: bool = False,
        lowercase: bool = False,
        vocab_size: int | None = None,
        min_count: int = 1,
        split_punctuation: bool = False,
    ) -> SourceAndTarget:
        """Tokenisers of training texts; the options are those of `rnnkit.text.build`, for each side that they fit.

        Args:   kind: of the target, and of the source unless source_kind names another. joint: one for both sides.
        Raises: as `rnnkit.text.build`; ArgumentError for two kinds of one joint tokeniser.
        """
        from rnnkit.text import build

        if joint and source_kind not in (None, kind):
            raise ArgumentError(
                f"one tokeniser for both sides cannot be {kind} and {source_kind}; leave one of them out"
            )

        def of(kind: str, *texts: Iterable[str]) -> Tokenizer:
            given: dict[str, Any] = {} if kind == "byte" else {"vocab_size": vocab_size, "min_count": min_count}
            given |= {"split_punctuation": split_punctuation} if kind == "word" else {}
            lines = (f"{text.lower() if lowercase else text}\n" for side in texts for text in side)
            # A character's vocabulary need not hold the newline that keeps words apart.
            lines = (line[:-1] for line in lines) if kind == "char" else lines
            return build(kind, lines, special_tokens=(END,), **given)

        if joint:
            return cls(of(kind, sources, targets), lowercase=lowercase)
        return cls(of(kind, targets), of(source_kind or kind, sources), lowercase=lowercase)

    def encode_source(self, text: str) -> np.ndarray:
        """The ids of a source with its end, int64 [S]. Raises: as `Tokenizer.encode`."""
        return np.append(self.source.encode(self._cased(text)), self._source_end).astype(np.int64)

    def encode_target(self, text: str) -> np.ndarray:
        """The ids of a target with its end, int64 [T]. Raises: as `Tokenizer.encode`."""
        return np.append(self.target.encode(self._cased(text)), self.end_id).astype(np.int64)

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of a target's ids; its end is no text."""
        return self.target.decode(ids)

    def source_tokens(self, text: str) -> list[str]:
        """Every token of a source as text to show, its end included."""
        return [self.source.token_text(int(token)) for token in self.encode_source(text)]

    def target_tokens(self, text: str) -> list[str]:
        """Every token of a target likewise."""
        return [self.target.token_text(int(token)) for token in self.encode_target(text)]

    def to_json(self) -> str:
        """What `from_json` reads beside the target's tokeniser: its case, and the source's tokeniser."""
        source = None if self.is_joint else json.loads(self.source.to_json())
        return json.dumps({"lowercase": self.lowercase, "source": source}, ensure_ascii=False)

    @classmethod
    def from_json(cls, data: str, *, target: Tokenizer) -> SourceAndTarget:
        """What `to_json` wrote. Raises: DataError."""
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataError(f"source and target: no JSON ({error}); take the file from its bundle") from None
        if not isinstance(fields, dict) or fields.keys() != {"lowercase", "source"}:
            raise DataError("source and target: wanted are lowercase and source; take the file from its bundle")
        if type(fields["lowercase"]) is not bool or not isinstance(fields["source"], dict | None):
            raise DataError("source and target: lowercase is true or false, source an object or null")
        source = None if fields["source"] is None else from_json(json.dumps(fields["source"]))
        try:
            return cls(target, source, lowercase=fields["lowercase"])
        except ArgumentError as error:
            raise DataError(f"source and target: {error}") from None

    def _cased(self, text: str) -> str:
        return text.lower() if self.lowercase else text
