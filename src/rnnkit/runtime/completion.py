"""The most probable next words of a text, whatever the model's tokens are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rnnkit.runtime.generation import read_prompts

if TYPE_CHECKING:
    from rnnkit.runtime.language_model import LanguageModel

_WORD = re.compile(r"\s*\w(?:[\w'’]*\w)?")
_MARK = re.compile(r"\s*[^\w\s]")  # a punctuation mark is whole at once
_GOES_ON = re.compile(r"\s*(?:\w[\w'’]*)?")
_UNFINISHED = "\ufffd"  # what the bytes of half a character decode to

_BEAM_PER_WORD = 8
_MIN_BEAM = 64
_MAX_TOKENS = 32  # of one word
_LEAST = 1e-6  # continuations less probable than this are not followed


@dataclass(frozen=True)
class _Path:
    """The tokens of a word that goes on, and their log-probability."""

    ids: tuple[int, ...]
    log_prob: float


def complete(model: LanguageModel, prompt: str, k: int) -> list[tuple[str, float]]:
    """See `LanguageModel.complete`."""
    features, parts = read_prompts(model, [model.tokenizer.encode(prompt)])
    log_probs = model._softmax.log_probs(features)
    if model.tokenizer.kind == "word":
        best = np.argsort(-log_probs[0], kind="stable")[:k]
        return [(model.tokenizer.token_text(int(token)), math.exp(log_probs[0, token])) for token in best]
    found: dict[str, float] = {}
    paths, silent = [_Path((), 0.0)], _silent_tokens(model)
    for _ in range(_MAX_TOKENS):
        going_on: list[tuple[float, int, _Path]] = []
        for row, path in enumerate(paths):
            totals = path.log_prob + log_probs[row].astype(np.float64)
            totals[silent] = -math.inf
            for token in np.flatnonzero(totals > math.log(_LEAST)).tolist():
                ids, total = (*path.ids, token), float(totals[token])
                text = model.tokenizer.decode(np.array(ids))
                if _UNFINISHED in text[:-1]:  # bytes that are no character
                    continue
                if (word := _whole_word(text)) is not None:
                    found[word] = found.get(word, 0.0) + math.exp(total)
                else:
                    going_on.append((total, row, _Path(ids, total)))
        beam = max(_MIN_BEAM, _BEAM_PER_WORD * k)
        least = sorted(found.values(), reverse=True)[k - 1] if len(found) >= k else 0.0
        going_on = sorted((item for item in going_on if math.exp(item[0]) > least), key=lambda item: -item[0])[:beam]
        if not going_on:
            break
        rows = [row for _, row, _ in going_on]
        paths = [path for _, _, path in going_on]
        tokens = np.array([path.ids[-1] for path in paths])
        features, parts = model._step(tokens, [tuple(array[rows] for array in arrays) for arrays in parts])
        log_probs = model._softmax.log_probs(features)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:k]


def _silent_tokens(model: LanguageModel) -> list[int]:
    """Tokens that spell nothing: special ones, the end of a text, and the unknown one."""
    tokenizer = model.tokenizer
    special = range(tokenizer.vocab_size - len(tokenizer.special_tokens), tokenizer.vocab_size)
    end_of_text = [] if tokenizer.decode([tokenizer.begin_id]) else [tokenizer.begin_id]
    return [*special, *end_of_text] if tokenizer.unk_id is None else [tokenizer.unk_id, *special, *end_of_text]


def _whole_word(text: str) -> str | None:
    """The word at the beginning of `text`, once something stands behind it that ends it."""
    if text.endswith(_UNFINISHED):  # half a character may still become a letter
        return None
    if mark := _MARK.match(text):
        return mark.group()
    going_on = _GOES_ON.match(text)
    if going_on is None or going_on.end() == len(text):
        return None
    word = _WORD.match(text)
    return None if word is None else word.group()
