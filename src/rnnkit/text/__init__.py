"""Tokenisers: text to ids and back, by bytes, characters, words or BPE, behind one interface.

    >>> tokenizer = text.build("char", ["to be or not to be"])
    >>> tokenizer.decode(tokenizer.encode("be not"))
    'be not'
    >>> text.from_json(tokenizer.to_json()) == tokenizer
    True

`decode(encode(s)) == s` for every valid text with `byte` and `bpe`, and with `char` as long as its characters are in
the vocabulary. Words come back equal after whitespace normalisation (`normalise_whitespace`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnnkit.errors import ArgumentError, nearest
from rnnkit.text.bpe import BpeTokenizer
from rnnkit.text.byte import ByteTokenizer
from rnnkit.text.char import CharTokenizer
from rnnkit.text.pieces import normalise_whitespace, whole_words
from rnnkit.text.serial import from_json
from rnnkit.text.source_target import SourceAndTarget
from rnnkit.text.tokenizer import StreamDecoder, Tokenizer
from rnnkit.text.turns import NEXT_TURN, in_context, last_turn
from rnnkit.text.word import WordTokenizer
from rnnkit.text.words import WordReader

__all__ = [
    "KINDS",
    "NEXT_TURN",
    "BpeTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "SourceAndTarget",
    "StreamDecoder",
    "Tokenizer",
    "WordReader",
    "WordTokenizer",
    "build",
    "from_json",
    "in_context",
    "last_turn",
    "normalise_whitespace",
    "whole_words",
]

KINDS = ("byte", "char", "word", "bpe")


def build(
    kind: str,
    texts: Iterable[str],
    *,
    vocab_size: int | None = None,
    min_count: int = 1,
    split_punctuation: bool = False,
    special_tokens: Sequence[str] = (),
) -> Tokenizer:
    """Make a tokeniser from training text (and from nothing else: held-out text must stay unseen).

    Args:
        kind: "byte" (no vocabulary to learn; `texts` is not read), "char", "word" or "bpe".
        texts: documents or pieces of them. A piece must not cut a word in two: see `whole_words`.
        vocab_size: at most so many entries, everything counted (unknown entry, special tokens). None: all characters,
            all words; 8,192 for BPE. Not for "byte", whose size is 256.
        min_count: entries seen less often become unknown ("char", "word") or are not merged ("bpe").
        split_punctuation: "word" only: raw text, whose punctuation is split off. Without it words are what stands
            between whitespace, as pre-tokenised corpora (WikiText-2, PTB) want it.
        special_tokens: further entries at the end of the vocabulary that no text encodes to, such as "<pad>".
    Raises: ArgumentError for an option that the kind does not have, or a size too small; DataError for text without a
        single character; MissingExtraError when BPE has to be trained and `tokenizers` is not installed.
    Cost: one pass over `texts`; "word" keeps a count per distinct word in memory.
    """
    if kind not in KINDS:
        near = nearest(kind, KINDS)
        hint = f"did you mean {near!r}?" if near else f"choose one of {', '.join(KINDS)}"
        raise ArgumentError(f"there is no tokeniser {kind!r}; {hint}")
    if min_count < 1:
        raise ArgumentError(f"min_count is {min_count}, it must be at least 1; leave it out to keep every entry")
    if vocab_size is not None and vocab_size < 1:
        raise ArgumentError(f"vocab_size is {vocab_size}, it must be at least 1; leave it out for the kind's default")
    if split_punctuation and kind != "word":
        raise ArgumentError(f"split_punctuation belongs to 'word', not to {kind!r}; leave it out")
    if kind == "byte":
        if vocab_size is not None or min_count > 1:
            raise ArgumentError("a byte tokeniser always has its 256 bytes; leave out vocab_size and min_count")
        return ByteTokenizer(special_tokens=special_tokens)
    if kind == "char":
        return CharTokenizer.build(texts, vocab_size=vocab_size, min_count=min_count, special_tokens=special_tokens)
    if kind == "word":
        return WordTokenizer.build(
            texts,
            vocab_size=vocab_size,
            min_count=min_count,
            split_punctuation=split_punctuation,
            special_tokens=special_tokens,
        )
    return BpeTokenizer.build(texts, vocab_size=vocab_size, min_count=min_count, special_tokens=special_tokens)
