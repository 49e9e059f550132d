r"""Exchange n-gram models with other tools as ARPA files: SRILM, KenLM, speech decoders.

An entry is `log10 P <tab> tokens <tab> log10 back-off weight`. White space, control characters and backslashes inside a
token are written as `\x20`, `\u2028`, `\\` and read back, so that models of characters survive the format.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from rnnkit import durable
from rnnkit.baselines.backoff import BackoffModel, Level, level_rows
from rnnkit.errors import ArgumentError, DataError

MARKERS = ("<s>", "</s>", "<unk>")
"""Words without which KenLM refuses a file; written with log10 P = -99, the format's zero, if the model lacks them."""

_GAP = re.compile(r"[ \t]+")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(\\))")


def write_arpa(model: BackoffModel, path: str | Path, *, token_texts: Sequence[str]) -> None:
    """Write a model as an ARPA file. Its back-off weights are exact, so a reader gets the same probabilities.

    Args:
        token_texts: the text of every id, all different, none empty.
    Raises: ArgumentError for token texts that do not fit, SaveError.
    Cost:   one pass over the n-grams, a line of text at a time.
    """
    words = [_escape(text) for text in token_texts]
    different = len(set(words) - {""})
    if not different == len(words) == model.vocab_size:
        raise ArgumentError(
            f"token_texts has {len(words)} texts, {different} of them different and not empty, for a vocabulary of "
            f"{model.vocab_size}; pass tokenizer.token_text(id) for every id"
        )
    durable.write_file(path, (piece.encode() for piece in _pieces(model, words)))


def read_arpa(path: str | Path, *, begin: str = "<s>") -> tuple[BackoffModel, list[str]]:
    """Read an ARPA file.

    Args:
        begin: the word that stands for the context before a document; for a file of `write_arpa` the model's own.
    Returns: the model and the text of every id, in the order of the file.
    Raises:  DataError naming file, line and remedy.
    Cost:    one pass over the file in Python; memory for every n-gram.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8") as file:
            return _Reader(path, file).read(begin)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}); convert it, or unpack it first") from error


def _pieces(model: BackoffModel, words: list[str]) -> Iterator[str]:
    """The file, some thousand lines at a time."""
    lines = _lines(model, words)
    while piece := "".join(islice(lines, 4096)):
        yield piece


def _lines(model: BackoffModel, words: list[str]) -> Iterator[str]:
    markers = [word for word in MARKERS if word not in words]
    sizes = [len(level.keys) for level in model.levels]
    yield "\\data\\\n"
    for k, size in enumerate(sizes, start=1):
        yield f"ngram {k}={size + (len(markers) if k == 1 else 0)}\n"
    texts = words  # of the n-grams of order k, by row
    for k, level in enumerate(model.levels, start=1):
        if k > 1:
            contexts, tokens = np.divmod(level.keys, model.vocab_size)
            texts = [f"{texts[c]} {words[t]}" for c, t in zip(contexts.tolist(), tokens.tolist(), strict=True)]
        yield f"\n\\{k}-grams:\n"
        with np.errstate(divide="ignore"):
            probs = np.maximum(np.log10(level.probs), -99).tolist()
            backoffs = np.maximum(np.log10(level.backoffs), -99).tolist()
        if k < model.order:
            yield from (f"{p:.10g}\t{t}\t{b:.10g}\n" for p, t, b in zip(probs, texts, backoffs, strict=True))
        else:
            yield from (f"{p:.10g}\t{t}\n" for p, t in zip(probs, texts, strict=True))
        if k == 1:
            yield from (f"-99\t{word}\n" for word in markers)
    yield "\n\\end\\\n"


class _Reader:
    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.lines = enumerate((line.strip(" \t\r\n") for line in file), start=1)

    def read(self, begin: str) -> tuple[BackoffModel, list[str]]:
        sizes = self.sizes()
        ids: dict[str, int] = {}
        levels: list[Level] = []
        for k, size in enumerate(sizes, start=1):
            number, probs, backoffs, tokens = self.section(k, size, ids)
            if k == 1:
                keys = np.arange(size)
                if "<s>" in ids and probs[ids["<s>"]] == 1:  # KenLM's way to say that nothing predicts it
                    probs[ids["<s>"]] = 1e-99
            else:
                rows = tokens[:, 0]
                for level, column in zip(levels[1:], tokens.T[1:-1], strict=True):
                    rows = np.where(rows < 0, -1, level_rows(level.keys, rows * sizes[0] + column))
                if len(bad := np.flatnonzero(rows < 0)):
                    raise self.error(number + int(bad[0]), "the context of this n-gram is not listed")
                keys = rows * sizes[0] + tokens[:, -1]
                order = np.argsort(keys)
                keys, probs, backoffs = keys[order], probs[order], backoffs[order]
                if len(bad := np.flatnonzero(np.diff(keys) == 0)):
                    raise self.error(number + int(order[bad[0] + 1]), "this n-gram stands here a second time")
            levels.append(Level(keys, probs, backoffs))
        begin_id = ids.get(_escape(begin))
        if begin_id is None:
            raise DataError(f"{self.path} has no word {begin!r} to begin a document with; pass begin=")
        return BackoffModel(levels, begin_id=begin_id), [_unescape(word) for word in ids]

    def sizes(self) -> list[int]:
        """The number of n-grams of every order, from the header."""
        for number, line in self.lines:
            if line == "\\data\\":
                break
            if line:
                raise self.error(number, r"an ARPA file begins with \data\ ")
        sizes: list[int] = []
        for number, line in self.lines:
            if not line:
                if sizes:
                    return sizes
                continue
            match = re.fullmatch(r"ngram\s+(\d{1,2})\s*=\s*(\d{1,12})", line)
            if not match or int(match[1]) != len(sizes) + 1:
                raise self.error(number, f"wanted `ngram {len(sizes) + 1}=<number>`")
            sizes.append(int(match[2]))
        raise DataError(f"{self.path} ends inside its header; copy it again")

    def section(
        self, k: int, size: int, ids: dict[str, int]
    ) -> tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """The number of the first line, probabilities, back-off weights and ids [size, k] of the n-grams of order k."""
        number, line = next(((n, text) for n, text in self.lines if text), (0, ""))
        if line != f"\\{k}-grams:":
            raise self.error(number, rf"wanted `\{k}-grams:`")
        probs, backoffs, tokens = array("d"), array("d"), array("q")
        for n, entry in islice(self.lines, size):
            fields = _GAP.split(entry)
            if len(fields) not in (k + 1, k + 2):
                raise self.error(n, f"wanted a number, {k} words and at most one more number")
            try:
                probs.append(float(fields[0]))
                backoffs.append(float(fields[k + 1]) if len(fields) == k + 2 else 0.0)
            except ValueError:
                raise self.error(n, "wanted a number at either end") from None
            if k == 1:
                ids.setdefault(fields[1], len(ids))
            try:
                tokens.extend([ids[word] for word in fields[1 : k + 1]])
            except KeyError as error:
                raise self.error(n, f"{error.args[0]!r} is not among the 1-grams") from None
        if len(probs) != size or (k == 1 and len(ids) != size):
            raise self.error(number, f"the header promises {size} different {k}-grams, here are fewer")
        exponents = np.frombuffer(probs), np.frombuffer(backoffs)
        if not all(np.isfinite(e).all() and (e < 300).all() for e in exponents) or (exponents[0] > 0).any():
            raise self.error(number, f"a {k}-gram's probability is above 1 or not finite")
        ids_of = np.frombuffer(tokens, dtype=np.int64).reshape(size, k)
        return number + 1, np.power(10.0, exponents[0]), np.power(10.0, exponents[1]), ids_of

    def error(self, number: int, what: str) -> DataError:
        return DataError(f"{self.path}, line {number}: {what}; write the file again with the tool that made it")


def _escape(text: str) -> str:
    return "".join(map(_escape_character, text))


def _escape_character(c: str) -> str:
    if c == "\\":
        return "\\\\"
    if c.isprintable() and not c.isspace():
        return c
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unescape(word: str) -> str:
    return _ESCAPED.sub(lambda m: m[4] or chr(int(m[1] or m[2] or m[3], 16)), word)
