"""The BPE tokeniser: frequent byte strings as tokens; trained by the `tokenizers` library, encoded here.

Encoding gives exactly the library's ids (tests/text/test_bpe.py compares them on random text), needs only NumPy, and
remembers every word it has met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, DataError, MissingExtraError
from rnnkit.text.tokenizer import StreamDecoder, Tokenizer, as_text, refuse_surrogates, visible_bytes

END_OF_TEXT = "<|endoftext|>"
DEFAULT_VOCAB_SIZE = 8192

# Merges never cross a word as this pattern cuts them. It reads like GPT-2's, with two differences on purpose: only
# ASCII classes, so that Python's `re` and the library's Oniguruma agree on every code point whatever Unicode version
# they carry (all of non-ASCII counts as letters), and no word is longer than a bound, so that text without spaces
# costs linear time.
_MAX_RUN = 32
WORD_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)"
    rf"| ?[^\x00-@\[-`{{-\x7f]{{1,{_MAX_RUN}}}"
    r"| ?[0-9]{1,3}"
    rf"| ?[^\t-\r 0-9A-Za-z\x80-{chr(0x10FFFF)}]{{1,{_MAX_RUN}}}"
    rf"|[\t-\r ]{{1,{_MAX_RUN}}}(?![^\t-\r ])|[\t-\r ]{{1,{_MAX_RUN}}}"
)
_WORDS = re.compile(WORD_PATTERN)
_MAX_TOKEN_BYTES = 4 * (_MAX_RUN + 1)  # a word: an optional space and a run of characters of at most four bytes
_LOOK_AHEAD = _MAX_RUN + 8  # more characters than a match and its look-ahead can touch
_MAX_REMEMBERED_WORDS = 1 << 18

# GPT-2's order of the single bytes, which the library uses: the printable ones of Latin-1 first.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_ORDER = bytes([*_PRINTABLE, *sorted(set(range(256)) - set(_PRINTABLE))])


class BpeTokenizer(Tokenizer):
    """Byte-level byte pair encoding.

    Id 0 is <|endoftext|>, which no text encodes to and which is `begin_id`; ids 1 … 256 are the single bytes in GPT-2's
    order; then comes one token per merge, in the order in which they were learnt.

    Args:
        merges: pairs of ids. Applied to a word: the earliest-learnt pair first, leftmost first.
    Raises: ArgumentError for a merge of a token that does not exist yet, or for a token longer than any word.
    Source: Sennrich et al. 2016, algorithm 1; Radford et al. 2019, section 2.2 (bytes).
    """

    kind = "bpe"
    begin_id = 0

    def __init__(self, merges: Sequence[tuple[int, int]], *, special_tokens: Sequence[str] = ()) -> None:
        self._bytes = [b"", *(bytes([byte]) for byte in BYTE_ORDER)]
        self.merges = tuple((int(left), int(right)) for left, right in merges)
        self._ranks: dict[tuple[int, int], tuple[int, int]] = {}  # pair -> (order learnt, id of the result)
        ids = {token: index for index, token in enumerate(self._bytes)}
        for rank, (left, right) in enumerate(self.merges):
            if not (0 < left < len(self._bytes) and 0 < right < len(self._bytes)) or (left, right) in self._ranks:
                raise ArgumentError(
                    f"merge {rank} joins tokens {left} and {right}, which do not exist yet or are joined"
                )
            if len(self._bytes[left]) + len(self._bytes[right]) > _MAX_TOKEN_BYTES:
                raise ArgumentError(
                    f"merge {rank} makes a token of more than {_MAX_TOKEN_BYTES} bytes, longer than a word"
                )
            token = self._bytes[left] + self._bytes[right]
            if token not in ids:  # two pairs can spell the same token
                ids[token] = len(self._bytes)
                self._bytes.append(token)
            self._ranks[left, right] = rank, ids[token]
        super().__init__(len(self._bytes), special_tokens)
        self._id_of_byte = {byte: index + 1 for index, byte in enumerate(BYTE_ORDER)}
        self._words = _Words(self)

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int = 1,
        special_tokens: Sequence[str] = (),
    ) -> BpeTokenizer:
        """Learn merges from `texts`. See `rnnkit.text.build`."""
        vocab_size = DEFAULT_VOCAB_SIZE if vocab_size is None else vocab_size
        room = vocab_size - len(special_tokens)
        if room < 257:
            raise ArgumentError(f"vocab_size {vocab_size} is too small for BPE; it needs 257 and the special tokens")
        library = train_library_tokenizer(texts, vocab_size=room, min_count=min_count)
        return cls(merges_of_library(library), special_tokens=special_tokens)

    def decode_bytes(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """The bytes of `ids`, valid UTF-8 or not."""
        return b"".join(map(self._bytes.__getitem__, self._regular(ids).tolist()))

    def encode_pieces(self, pieces: Iterable[str] | Iterable[bytes]) -> Iterator[np.ndarray]:
        held = ""
        for piece in pieces:
            words = self._cut(held + as_text(piece))
            held = ""
            while words and len(held) < _LOOK_AHEAD:  # what the next piece can still change
                held = words.pop() + held
            yield self._ids_of(words)
        yield self._encode(held)

    def token_text(self, token: int) -> str:
        token = self._checked(token)
        if token >= self._num_regular:
            return self.special_tokens[token - self._num_regular]
        if token == 0:
            return END_OF_TEXT
        shown = visible_bytes(self._bytes[token])
        return "\\" + shown if shown == END_OF_TEXT or shown in self.special_tokens else shown

    def to_dict(self) -> dict[str, Any]:
        return {"merges": [list(pair) for pair in self.merges]}

    def _encode(self, text: str) -> np.ndarray:
        return self._ids_of(self._cut(text))

    def _cut(self, text: str) -> list[str]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise refuse_surrogates(text, error) from None
        return _WORDS.findall(text)

    def _ids_of(self, words: list[str]) -> np.ndarray:
        if len(self._words) > _MAX_REMEMBERED_WORDS:
            self._words.clear()
        return np.fromiter(chain.from_iterable(map(self._words.__getitem__, words)), np.int32)

    def merge(self, word: bytes) -> tuple[int, ...]:
        """The ids of one word. Cost: quadratic in its bytes, which are at most 132."""
        ids = [self._id_of_byte[byte] for byte in word]
        while len(ids) > 1:
            found = [(*self._ranks[pair], at) for at, pair in enumerate(pairwise(ids)) if pair in self._ranks]
            if not found:
                break
            _, token, at = min(found)
            ids[at : at + 2] = [token]
        return tuple(ids)

    def _decode(self, ids: np.ndarray) -> str:
        return b"".join(map(self._bytes.__getitem__, ids.tolist())).decode("utf-8", "replace")

    def _push(self, tokens: list[int], decoder: StreamDecoder) -> str:
        return decoder.utf8.decode(b"".join(map(self._bytes.__getitem__, tokens)))


class _Words(dict[str, tuple[int, ...]]):
    """Word to ids, worked out when first asked for."""

    def __init__(self, tokenizer: BpeTokenizer) -> None:
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self[word] = self._tokenizer.merge(word.encode())
        return ids


def train_library_tokenizer(texts: Iterable[str], *, vocab_size: int, min_count: int) -> Any:
    """A `tokenizers.Tokenizer` trained on `texts` with our word pattern. Raises: MissingExtraError, DataError."""
    try:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        raise MissingExtraError("training a BPE tokeniser needs `tokenizers`", extra="train") from None
    seen = 0

    def counted() -> Iterator[str]:
        nonlocal seen
        for text in texts:
            try:
                seen += len(text.encode())
            except UnicodeEncodeError as error:
                raise refuse_surrogates(text, error) from None
            yield text

    library = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(counted(), trainer)
    if not seen:
        raise DataError("the training text is empty; give text with at least one character")
    return library


def merges_of_library(library: Any) -> list[tuple[int, int]]:
    """The merges of a library tokeniser as pairs of ids, which are the library's own."""
    model = json.loads(library.to_str())["model"]
    ids = model["vocab"]
    return [(ids[left], ids[right]) for left, right in model["merges"]]
