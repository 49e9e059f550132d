"""The word tokeniser: one id per word, most frequent first; the end of a line is a word of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, DataError
from rnnkit.text.pieces import whole_words
from rnnkit.text.tokenizer import StreamDecoder, Tokenizer, as_text, refuse_surrogates, visible

END_OF_LINE = "\n"  # shown as <eos>, the name it has in the literature
UNKNOWN = "<unk>"

# Raw text: a mark is a token of its own, except an apostrophe inside a word and a point or comma between digits.
_MARKS = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»‘’“”‚„‹›…–—、。「」『』！？，：；（）")
_RAW_WORD = re.compile(rf"<unk>|[{_MARKS}]|[^\s{_MARKS}]+(?:(?:['’]|(?<=[0-9])[.,](?=[0-9]))[^\s{_MARKS}]+)*")


class WordTokenizer(Tokenizer):
    """Words to ids; case is kept.

    A word is what stands between whitespace, or with `split_punctuation` also a punctuation mark. Every newline is the
    token "\\n" (shown as <eos>), also on an empty line. A word that is not in the vocabulary becomes <unk>, which is an
    ordinary word where the text itself contains it (WikiText-2) and a reserved entry elsewhere. `decode` joins the
    words of a line by one space: the text comes back equal after `normalise_whitespace` (with `split_punctuation`,
    equal but for whitespace). `begin_id` is the id of "\\n".
    """

    kind = "word"

    def __init__(
        self, words: Sequence[str], *, split_punctuation: bool = False, special_tokens: Sequence[str] = ()
    ) -> None:
        super().__init__(len(words), special_tokens)
        self.words = tuple(words)
        self.split_punctuation = split_punctuation
        self._ids = _Ids(zip(self.words, range(len(words)), strict=True))
        if len(self._ids) != len(words):
            twice = next(word for word, count in Counter(words).items() if count > 1)
            raise ArgumentError(f"the words of a vocabulary must all be different, {twice!r} is there twice")
        for word in self.words:
            if word != END_OF_LINE and word.split() != [word]:
                raise ArgumentError(f"{word!r} is no word: words are not empty and contain no whitespace")
        for word in (END_OF_LINE, UNKNOWN):
            if word not in self._ids:
                raise ArgumentError(f"a word vocabulary needs the entry {word!r}; build it with text.build")
        self.begin_id, self.unk_id = self._ids[END_OF_LINE], self._ids[UNKNOWN]
        self._ids.unknown = self.unk_id

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int = 1,
        split_punctuation: bool = False,
        special_tokens: Sequence[str] = (),
    ) -> WordTokenizer:
        """The words of `texts`: all, or the most frequent ones. See `rnnkit.text.build`."""
        counts: Counter[str] = Counter()
        for text in texts:
            _refuse_surrogates(text)
            counts[END_OF_LINE] += text.count("\n")
            for line in text.split("\n"):
                counts.update(words_of(line, split_punctuation=split_punctuation))
        if not any(counts.values()):
            raise DataError("the training text has no words; give text with at least one")
        reserved = {word: counts.pop(word, 0) for word in (END_OF_LINE, UNKNOWN)}
        kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)
        if vocab_size is not None:
            room = vocab_size - len(reserved) - len(special_tokens)
            if room < 1:
                raise ArgumentError(
                    f"vocab_size {vocab_size} leaves no room for a word beside <eos> and <unk>; raise it"
                )
            kept = kept[:room]
        ranked = sorted([*kept, *((-count, word) for word, count in reserved.items())])
        return cls([w for _, w in ranked], split_punctuation=split_punctuation, special_tokens=special_tokens)

    def encode_pieces(self, pieces: Iterable[str] | Iterable[bytes]) -> Iterator[np.ndarray]:
        return map(self._encode, whole_words(map(as_text, pieces)))

    def token_text(self, token: int) -> str:
        token = self._checked(token)
        if token >= len(self.words):
            return self.special_tokens[token - len(self.words)]
        word = self.words[token]
        if word == END_OF_LINE:
            return "<eos>"
        return "\\" + word if word == "<eos>" or word in self.special_tokens else visible(word)

    def to_dict(self) -> dict[str, Any]:
        return {"words": list(self.words), "split_punctuation": self.split_punctuation}

    def _encode(self, text: str) -> np.ndarray:
        _refuse_surrogates(text)
        to_id, end_of_line = self._ids.__getitem__, self.begin_id
        ids: list[int] = []
        for line in text.split("\n"):
            ids.extend(map(to_id, words_of(line, split_punctuation=self.split_punctuation)))
            ids.append(end_of_line)
        ids.pop()  # what follows the last newline has no end
        return np.array(ids, np.int32)

    def _decode(self, ids: np.ndarray) -> str:
        return self._push(ids.tolist(), StreamDecoder(self))

    def _push(self, tokens: list[int], decoder: StreamDecoder) -> str:
        pieces = []
        for word in map(self.words.__getitem__, tokens):
            pieces.append(word if decoder.is_line_start or word == END_OF_LINE else " " + word)
            decoder.is_line_start = word == END_OF_LINE
        return "".join(pieces)


class _Ids(dict[str, int]):
    """Word to id; a word that is not there has the id `unknown` and is not added."""

    unknown: int

    def __missing__(self, word: str) -> int:
        return self.unknown


def words_of(line: str, *, split_punctuation: bool = False) -> list[str]:
    """The words of one line."""
    return _RAW_WORD.findall(line) if split_punctuation else line.split()


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refuse_surrogates(text, error) from None
