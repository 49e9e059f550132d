"""From sources to everything a language model trains and is judged on: a tokeniser and the corpora of each part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnkit import text
from rnnkit.data.corpus import Corpus
from rnnkit.data.documents import Document, split
from rnnkit.data.readers import read_documents
from rnnkit.errors import ArgumentError

Sources = Sequence[str | Path] | None


@dataclass(frozen=True)
class Prepared:
    """A tokeniser and its corpora: training text, and text never used for training or for the vocabulary."""

    tokenizer: text.Tokenizer
    train: Corpus
    held_out: Corpus


def prepare(
    sources: Sources = None,
    *,
    tokenizer: str | text.Tokenizer = "char",
    held_out_sources: Sources = None,
    held_out: float = 0.1,
    split_by: str | None = None,
    encoding: str = "utf-8",
    as_bytes: bool = False,
    vocab_size: int | None = None,
    min_count: int = 1,
    split_punctuation: bool = False,
    special_tokens: Sequence[str] = (),
    folder: str | Path | None = None,
) -> Prepared:
    """Read, split, build the vocabulary from the training part only, tokenise.

    Args:
        sources, encoding, as_bytes: see `read_documents`.
        tokenizer: a kind, with `vocab_size`, `min_count`, `split_punctuation` and `special_tokens` of `text.build`;
            or a tokeniser that exists already (resuming, continuing on a new text), which is taken as it is.
        held_out_sources: the held-out text itself; `held_out` and `split_by` are then refused.
        split_by: see `split`. None: by `split_rule`.
        folder: where the token files live (train.tokens, held_out.tokens), reused when text and tokeniser are the same;
            None keeps the tokens in memory.
    Raises: DataError, ArgumentError, SaveError as the parts do.
    """
    kind = tokenizer if isinstance(tokenizer, str) else tokenizer.kind
    if as_bytes and kind != "byte":
        raise ArgumentError(f"text read as bytes needs the byte tokeniser, not {kind!r}; choose byte, or an encoding")
    building = (vocab_size, min_count, split_punctuation, tuple(special_tokens))
    if not isinstance(tokenizer, str) and building != (None, 1, False, ()):
        raise ArgumentError(
            "vocab_size, min_count, split_punctuation and special_tokens belong to building a tokeniser; name a kind"
        )
    if held_out_sources is not None and (held_out, split_by) != (0.1, None):
        raise ArgumentError("held_out and split_by have no effect beside held_out_sources; leave them out")
    documents = read_documents(sources, encoding=encoding, as_bytes=as_bytes)
    if held_out_sources is not None:
        training, held = documents, read_documents(held_out_sources, encoding=encoding, as_bytes=as_bytes)
    else:
        training, held = split(documents, held_out, by=split_by or split_rule(kind))
    if isinstance(tokenizer, str):
        tokenizer = text.build(
            tokenizer,
            vocabulary_pieces(training, kind),
            vocab_size=vocab_size,
            min_count=min_count,
            split_punctuation=split_punctuation,
            special_tokens=special_tokens,
        )
    return Prepared(
        tokenizer,
        Corpus.build(training, tokenizer, folder and Path(folder) / "train.tokens"),
        Corpus.build(held, tokenizer, folder and Path(folder) / "held_out.tokens"),
    )


def split_rule(kind: str) -> str:
    """How a text is split for this kind of tokeniser: in the middle of a line only where tokens are characters."""
    return "characters" if kind in ("byte", "char") else "lines"


def vocabulary_pieces(documents: Sequence[Document], kind: str) -> Iterator[str]:
    """The documents in pieces that a vocabulary of this kind can be counted from, without holding a document whole."""
    for document in documents:
        pieces = (piece for piece in document.pieces() if isinstance(piece, str))
        yield from text.whole_words(pieces) if kind == "word" else pieces
