"""The interface that every tokeniser has, and what they share: ids checked, special tokens, display of a token."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import ArgumentError, DataError, DtypeError

REPLACEMENT = "\ufffd"  # what an unknown character decodes to


class Tokenizer(ABC):
    """Text to ids and back. A value: equal to any other with the same JSON form.

    Attributes:
        kind: "byte", "char", "word" or "bpe".
        vocab_size: number of ids V; ids are 0 … V−1.
        begin_id: the token that stands before the first token of a document.
        unk_id: what unknown text encodes to, or None where nothing is unknown.
        special_tokens: names of the last ids; no text encodes to them, and they decode to nothing.
        unknown_nats: what an unknown token costs beyond its own probability, so that the probabilities of all texts
            still sum to at most one; docs/decisions/0012-unknown-text.md. 0 for words and where nothing is unknown.
    """

    kind: ClassVar[str]
    begin_id: int
    unk_id: int | None = None
    unknown_nats: float = 0.0

    def __init__(self, num_regular: int, special_tokens: Sequence[str]) -> None:
        self.special_tokens = tuple(special_tokens)
        taken = {"<unk>", "<eos>"}
        for name in self.special_tokens:
            if not _SPECIAL.fullmatch(name) or name in taken:
                raise ArgumentError(
                    f"special token {name!r} must look like <name>, be there once, and not be <unk> or <eos>; rename it"
                )
            taken.add(name)
        self._num_regular = num_regular

    @property
    def vocab_size(self) -> int:
        return self._num_regular + len(self.special_tokens)

    def special_id(self, name: str) -> int:
        """The id of a special token. Raises: ArgumentError naming those that exist."""
        if name not in self.special_tokens:
            raise ArgumentError(f"there is no special token {name!r}; this tokeniser has {list(self.special_tokens)}")
        return self._num_regular + self.special_tokens.index(name)

    def encode(self, text: str | bytes) -> np.ndarray:
        """The ids of `text`, int32 [N]. Bytes are read as UTF-8 (a byte tokeniser takes them as they are).

        Raises: DataError naming the place of a lone surrogate, of invalid UTF-8, or of an unknown character when the
            vocabulary has no unknown entry.
        """
        if isinstance(text, bytes):
            return self._encode_bytes(text)
        if not isinstance(text, str):
            raise DtypeError(f"text to encode must be str or bytes, got {type(text).__name__}; pass str(…)")
        return self._encode(text)

    def encode_pieces(self, pieces: Iterable[str] | Iterable[bytes]) -> Iterator[np.ndarray]:
        """The ids of a text that comes in pieces, cut anywhere; together exactly `encode` of the whole.

        Raises: as `encode`; DtypeError for pieces of bytes, which only a byte tokeniser takes.
        """
        for piece in pieces:
            yield self._encode(as_text(piece))

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of `ids`. Special tokens vanish; bytes that are no UTF-8 become U+FFFD. Raises: ArgumentError."""
        return self._decode(self._regular(ids))

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for ids that come one by one: pushes and the flush together give exactly `decode`."""
        return StreamDecoder(self)

    @abstractmethod
    def token_text(self, token: int) -> str:
        """One token as text to show: never empty, without whitespace, different for different ids.

        A space is shown as ▁, a control character or a byte that is no character as an escape such as \\n or \\xff.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON form beside format and kind."""

    def to_json(self) -> str:
        """The JSON form that `rnnkit.text.from_json` reads."""
        fields = {"format": FORMAT, "kind": self.kind, **self.to_dict(), "special_tokens": list(self.special_tokens)}
        return json.dumps(fields, ensure_ascii=False)

    def digest(self) -> str:
        """SHA-256 of the JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, Tokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size})"

    @abstractmethod
    def _encode(self, text: str) -> np.ndarray: ...

    def _encode_bytes(self, data: bytes) -> np.ndarray:
        try:
            return self._encode(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte 0x{data[error.start]:02x} at offset {error.start} is no valid UTF-8; "
                "decode the bytes with their own encoding first, or use a byte tokeniser"
            ) from None

    @abstractmethod
    def _decode(self, ids: np.ndarray) -> str: ...

    @abstractmethod
    def _push(self, tokens: list[int], decoder: StreamDecoder) -> str:
        """What more tokens add to streamed text; `decoder` holds what was pushed before."""

    def _regular(self, ids: Iterable[int] | np.ndarray) -> np.ndarray:
        """`ids` checked, as a flat array without special tokens."""
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
        if array.size == 0:
            return np.zeros(0, np.int64)
        if array.dtype.kind not in "iu":
            raise DtypeError(f"ids to decode must be integers, got {array.dtype}; pass what encode returned")
        array = array.reshape(-1)
        bad = (array < 0) | (array >= self.vocab_size)
        if bad.any():
            at = int(bad.argmax())
            raise ArgumentError(
                f"id {array[at]} at position {at} is outside 0 … {self.vocab_size - 1}; "
                "decode with the tokeniser that encoded"
            )
        return array[array < self._num_regular] if self.special_tokens else array

    def _checked(self, token: int) -> int:
        self._regular([token])
        return int(token)


class StreamDecoder:
    """Turns ids into text as they come; holds back the bytes of an unfinished character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self.is_line_start = True

    def push(self, token: int) -> str:
        """The text that became certain with this id; often empty in the middle of a character."""
        return self.push_all([token])

    def push_all(self, tokens: list[int]) -> str:
        """What `push` gives for each of these ids, joined, in less time."""
        tokenizer = self._tokenizer
        if not tokens:
            return ""
        if not (set(map(type, tokens)) == {int} and min(tokens) >= 0 and max(tokens) < tokenizer._num_regular):
            tokens = tokenizer._regular(tokens).tolist()
        return tokenizer._push(tokens, self)

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an unfinished character, else nothing. The decoder starts afresh."""
        rest = self.utf8.decode(b"", final=True)
        self.utf8.reset()
        self.is_line_start = True
        return rest


def as_text(piece: str | bytes) -> str:
    """A piece of text, refused when it is bytes: a cut may fall inside a character."""
    if isinstance(piece, bytes):
        raise DtypeError("pieces of bytes can only be read by a byte tokeniser; use kind 'byte', or decode them first")
    return piece


FORMAT = 1  # of the JSON form


def visible(text: str) -> str:
    """`text` without whitespace or control characters: space as ▁, others escaped; one-to-one."""
    return "".join(_visible_character(character) for character in text)


def visible_bytes(data: bytes) -> str:
    """`visible` for bytes: those that are no UTF-8 as \\xNN (code points above 0x7f are never shown as \\xNN)."""
    shown = []
    while data:
        try:
            shown.append(visible(data.decode()))
            break
        except UnicodeDecodeError as error:
            shown.append(visible(data[: error.start].decode()))
            shown.extend(f"\\x{byte:02x}" for byte in data[error.start : error.end])
            data = data[error.end :]
    return "".join(shown)


def refuse_surrogates(text: str, error: UnicodeEncodeError) -> DataError:
    """The error for text that no encoding can hold."""
    at = error.start
    return DataError(
        f"lone surrogate U+{ord(text[at]):04X} at character {at}: this is no valid text; "
        "read it with its right encoding, or replace it: text.encode('utf-8', 'replace').decode()"
    )


_SPECIAL = re.compile(r"<[^\s<>\\]+>")
_SHORT = {" ": "▁", "▁": "\\u2581", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _visible_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable() and not character.isspace():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
