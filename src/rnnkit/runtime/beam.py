"""Beam search: the likeliest continuations of a text, instead of drawn ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.runtime.generation import MAX_BATCH, Request, Start, mask_of, read_starts
from rnnkit.runtime.likelihood import row_limit
from rnnkit.runtime.masks import Mask
from rnnkit.runtime.softmax import Softmax
from rnnkit.runtime.stack import Parts
from rnnkit.text import Tokenizer

if TYPE_CHECKING:
    from rnnkit.runtime.language_model import LanguageModel
    from rnnkit.runtime.writer import Writer
    from rnnkit.state import State


class Steps(Protocol):
    """A model whose rows go on token by token."""

    _softmax: Softmax

    def _step(self, ids: np.ndarray, parts: Parts, /) -> tuple[np.ndarray, Parts]: ...


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A text that `LanguageModel.beam_search` or `EncoderDecoder.translate` found.

    `text`: the new text. `log_prob`: the natural logarithm of its tokens' probability, with those that spell a stop
    string or are its end and without the prefix; where a regex could have gone on, also of not doing so. `num_tokens`:
    how many that are. `score`: log_prob / num_tokens ** length_penalty.
    """

    text: str
    score: float
    log_prob: float
    num_tokens: int


@dataclass(frozen=True, kw_only=True)
class Options(Request):
    """What a beam search was asked for. early_stopping: it ends at `num_beams` texts that are whole."""

    num_beams: int
    num_return: int
    length_penalty: float
    early_stopping: bool = False

    def check(self) -> None:
        """Raises: ArgumentError, DtypeError for what is out of range."""
        self.check_request()
        if type(self.num_beams) is not int or not 1 <= self.num_beams <= MAX_BATCH:
            raise ArgumentError(f"num_beams is {self.num_beams!r}; give an integer from 1 to {MAX_BATCH}")
        if type(self.num_return) is not int or not 1 <= self.num_return <= self.num_beams:
            raise ArgumentError(
                f"num_return is {self.num_return!r}; give an integer from 1 to num_beams, which is {self.num_beams}"
            )
        if not isinstance(self.length_penalty, int | float) or not abs(self.length_penalty) < 100:
            raise ArgumentError(f"length_penalty is {self.length_penalty!r}; give a number, for example 1.0 (0: none)")


def search(
    model: LanguageModel, prompts: Sequence[str], options: Options, *, state: State | None
) -> list[list[Hypothesis]]:
    """The best continuations of each prompt, the best first."""
    options.check()
    parts = None if state is None else model._checked(state, len(prompts))
    found: list[list[Hypothesis]] = []
    size = max(1, min(MAX_BATCH, row_limit(model.vocab_size)) // options.num_beams)
    starts = [Start(model, prompt, options, number=number, state=parts) for number, prompt in enumerate(prompts)]
    searches = []
    for number, start in enumerate(starts):
        mask = mask_of(model, start.ids, options, number=number)
        searches.append(_Search(model.tokenizer, options, before=start.ids[-1:].tolist(), mask=mask))
    for first in range(0, len(searches), size):
        group = range(first, min(first + size, len(searches)))
        going_on = [number for number in group if searches[number].beams]
        if going_on:
            begun = read_starts(model, [starts[number] for number in going_on])
            _run(model, [searches[number] for number in going_on], *begun)
        found += [searches[number].best() for number in group]
    return found


def continued(
    model: Writer, features: np.ndarray, parts: Parts, options: Options, *, most: Sequence[int]
) -> list[list[Hypothesis]]:
    """The best texts of rows that have been begun, the best first. Args: most: tokens of each row's, at most."""
    searches = []
    for number, limit in enumerate(most):
        mask = None
        if options.no_repeat_ngram_size:
            mask = Mask(
                np.zeros(0, np.int64),
                number=number,
                vocab_size=model.vocab_size,
                ngram_size=options.no_repeat_ngram_size,
                grammar=None,
                prefix="",
                max_new_tokens=limit,
            )
        searches.append(_Search(model.texts.target, options, mask=mask, end_id=model.end_id, most=limit))
    _run(model, searches, features, parts)
    return [search.best() for search in searches]


@dataclass(frozen=True)
class _Beam:
    """A continuation that still goes on: its tokens and their log-probability."""

    ids: tuple[int, ...] = ()
    log_prob: float = 0.0
    place: int = 0  # in the regular expression


def _run(model: Steps, searches: Sequence[_Search], features: np.ndarray, parts: Parts) -> None:
    """Search side by side, from what each search's first token is scored from; every beam is a row of the model's."""
    live = list(searches)
    while True:
        log_probs = model._softmax.log_probs(features).astype(np.float64)
        parents: list[int] = []
        first, going_on = 0, []
        for search in live:
            rows = log_probs[first : first + len(search.beams)]
            parents += [first + parent for parent in search.advance(rows)]
            first += len(rows)
            if search.beams and len(search.beams[0].ids) < search.most:
                going_on.append(search)
            elif search.beams:  # cut off: its rows are the last ones added
                del parents[len(parents) - len(search.beams) :]
        live = going_on
        if not live:
            break
        tokens = np.array([beam.ids[-1] for search in live for beam in search.beams])
        features, parts = model._step(tokens, [tuple(array[parents] for array in arrays) for arrays in parts])


class _Search:
    """The beams of one prompt, and what was found.

    Args: before: the token that the new text follows, if it follows one. end_id: a token that ends a text and is no
        part of it. most: new tokens; None: as the options say.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        options: Options,
        *,
        before: Sequence[int] = (),
        mask: Mask | None = None,
        end_id: int | None = None,
        most: int | None = None,
    ) -> None:
        self._tokenizer, self._options, self._before, self._mask = tokenizer, options, before, mask
        self._end_id, self.most = end_id, options.max_new_tokens if most is None else most
        self._found: list[Hypothesis] = []
        self._num_found = 0
        self.beams = [_Beam(place=0 if self._mask is None else self._mask.start)]
        if self._mask is not None and self._mask.is_whole(self.beams[0].place, ()):
            self.beams = self._end(self.beams)
        if not self.most:
            self.beams = self._end(self.beams)

    def advance(self, log_probs: np.ndarray) -> list[int]:
        """Follow every beam by one token; log_probs [beams, V] of the next ones. Returns: the parent of each new beam.

        The candidates are taken from the most probable one on, until there are `num_beams` that go on; those that end
        on the way are hypotheses. When no beam can become better than what is wanted and found, none is left.
        """
        options = self._options
        totals = log_probs + np.array([beam.log_prob for beam in self.beams])[:, None]
        if self._mask is not None:
            for row, beam in zip(totals, self.beams, strict=True):
                if (is_end := self._mask.ends_at(beam.place)).any():  # one more token, whichever
                    self._keep(self._text(beam), float(np.logaddexp.reduce(row[is_end])), len(beam.ids) + 1)
                row[~self._mask.may_follow(beam.place, beam.ids)] = -np.inf
        beams: list[_Beam] = []
        parents: list[int] = []
        for parent, token, total in _ranked(totals, options.num_beams):
            if token == self._end_id:
                self._keep(self._text(self.beams[parent]), total, len(self.beams[parent].ids) + 1)
                continue
            ids, place = (*self.beams[parent].ids, token), 0
            if self._mask is not None:
                place = self._mask.after(self.beams[parent].place, token)
            beam = _Beam(ids, total, place)
            text = self._text(beam) if options.stop else ""
            ends = [at for stop in options.stop if (at := text.find(stop)) >= 0]
            if ends:
                self._keep(text[: min(ends)], total, len(ids))
                continue
            if self._mask is not None and self._mask.is_whole(place, ids):
                self._end([beam])
                continue
            beams.append(beam)
            parents.append(parent)
            if len(beams) == options.num_beams:
                break
        if not beams and not self._found and self._mask is not None:
            raise self._mask.nothing_left(self.beams[0].ids)
        self.beams = beams
        if beams and self._is_settled():
            self.beams = []
        return parents if self.beams else []

    def best(self) -> list[Hypothesis]:
        """What was found, and the beams that go on as they are; where a token ends a text, only if none has ended."""
        if self._end_id is None or not self._found:
            self.beams = self._end(self.beams)
        return self._found

    def _is_settled(self) -> bool:
        """Whether no beam, however it goes on, can be among the best: a log-probability can only fall."""
        if self._options.early_stopping and self._num_found >= self._options.num_beams:
            return True
        if len(self._found) < self._options.num_return:
            return False
        length = self.most if self._options.length_penalty > 0 else len(self.beams[0].ids)
        return self._score(self.beams[0].log_prob, length) <= self._found[-1].score

    def _end(self, beams: Sequence[_Beam]) -> list[_Beam]:
        """Keep beams as they are; none goes on."""
        for beam in beams:
            self._keep(self._text(beam), beam.log_prob, len(beam.ids))
        return []

    def _keep(self, text: str, log_prob: float, num_tokens: int) -> None:
        score = self._score(log_prob, num_tokens)
        self._num_found += 1
        self._found.append(Hypothesis(text=text, score=score, log_prob=log_prob, num_tokens=num_tokens))
        self._found.sort(key=lambda found: -found.score)  # stable: equal scores as they were found
        del self._found[self._options.num_return :]

    def _score(self, log_prob: float, num_tokens: int) -> float:
        return log_prob / max(num_tokens, 1) ** self._options.length_penalty

    def _text(self, beam: _Beam) -> str:
        """The prefix, and what the tokens add to the prompt's text: a word needs to know what stands before it."""
        whole = self._tokenizer.decode([*self._before, *beam.ids])
        return self._options.prefix + whole[len(self._tokenizer.decode(self._before)) :]


def _ranked(totals: np.ndarray, num_beams: int) -> Iterator[tuple[int, int, float]]:
    """(beam, token, total) from the greatest total on, equal ones in order; -inf never. totals [beams, V]."""
    flat, V = totals.ravel(), totals.shape[1]
    size, done = 2 * num_beams, 0
    while done < len(flat):
        size = min(size, len(flat))
        least = np.partition(flat, len(flat) - size)[len(flat) - size]
        places = np.flatnonzero(flat >= least)
        places = places[np.argsort(-flat[places], kind="stable")]
        for place in places[done:].tolist():
            if flat[place] == -np.inf:
                return
            yield place // V, place % V, float(flat[place])
        done, size = len(places), 4 * len(places)
