"""The language of a grammar run: from what was written on the command line, and as a row of its table; torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from rnnkit import durable
from rnnkit.automata import NAMES, Dfa, Language, named
from rnnkit.bundle import strict_json
from rnnkit.errors import ArgumentError, DataError

LABELS = ("accepted", "rejected")
_MOST_BYTES = 64 << 20  # of an automaton's file
_OPERATORS = set("\\[](){}*+?|.")


def language_of(spec: str, *, symbols: str | None = None) -> Language:
    """The language that a word means.

    Args:   spec: one of `rnnkit.automata.NAMES`; a name that ends in .json, of a file as `Dfa.from_dict` reads it; or a
            regular expression.
            symbols: of a regular expression, what texts are made of.
    Raises: ArgumentError, DataError, JsonError, naming the place and the remedy.
    """
    is_file = spec.endswith(".json")
    if symbols is not None and (is_file or spec in NAMES):
        raise ArgumentError(f"symbols={symbols!r} belongs to a regular expression, {spec} has its own: leave it out")
    if spec in NAMES:
        return named(spec)
    if is_file:
        try:
            content = Path(spec).read_bytes()
        except OSError as error:
            raise DataError(f"{spec}: {error.strerror}; name a file that can be read") from None
        return Dfa.from_dict(strict_json.loads(content, what=spec, max_bytes=_MOST_BYTES), what=spec)
    if not _OPERATORS & set(spec):
        raise ArgumentError(
            f"{spec!r} is none of {', '.join(NAMES)}, no .json file, and as a regular expression one text alone; "
            "correct it"
        )
    return Dfa.from_regex(spec, symbols)


class Tokenizer(Protocol):
    """What `ExactRecognizer` asks of a tokeniser of characters."""

    def decode(self, ids: Sequence[int]) -> str: ...


class ExactRecognizer:
    """The language itself as a system of the table: right about every text; one with an unknown character is rejected.

    Args: content: a named language, or the automaton's `to_dict`.  tokenizer: of the ids that it is asked about.
    """

    def __init__(self, language: Language, content: dict[str, Any], tokenizer: Tokenizer) -> None:
        self._language, self._content, self._tokenizer = language, content, tokenizer

    @classmethod
    def of(cls, spec: str, language: Language, tokenizer: Tokenizer) -> Self:
        """Args: as `language_of`'s, and what it gave."""
        content = language.to_dict() if isinstance(language, Dfa) else {"format": 1, "name": spec}
        return cls(language, content, tokenizer)

    def log_probs(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """0 for what a text is and −∞ for what it is not, [N, 2] in the order of `LABELS`."""
        belongs = np.array([self._language.accepts(self._tokenizer.decode(ids.tolist())) for ids in sequences], bool)
        return np.where(np.stack([belongs, ~belongs], axis=1), 0.0, -np.inf)

    @property
    def num_bytes(self) -> int:
        """Of its file."""
        return len(strict_json.dumps(self._content))

    def save(self, folder: str | Path) -> None:
        """Write `automaton.json`. Raises: SaveError."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        durable.write_file(Path(folder) / "automaton.json", strict_json.dumps(self._content))

    @classmethod
    def load(cls, folder: str | Path, tokenizer: Tokenizer) -> Self:
        """Read what `save` wrote. Raises: DataError, JsonError, ArgumentError naming the file."""
        file = Path(folder) / "automaton.json"
        try:
            content = strict_json.loads(file.read_bytes(), what=str(file), max_bytes=_MOST_BYTES)
        except OSError as error:
            raise DataError(f"{file}: {error.strerror}; train the run again") from None
        is_named = isinstance(content, dict) and content.keys() == {"format", "name"} and content["format"] == 1
        return cls(named(content["name"]) if is_named else Dfa.from_dict(content, what=str(file)), content, tokenizer)
