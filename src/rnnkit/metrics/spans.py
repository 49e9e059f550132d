"""Spans behind tags: schemes BIO, IOB1 and BIOES read, told apart and converted, and F1 over whole spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from rnnkit.errors import ArgumentError, DataError

Scheme = Literal["bio", "iob1", "bioes"]
SCHEMES: tuple[Scheme, ...] = ("bio", "iob1", "bioes")
OUTSIDE = "O"
_PREFIXES = {"B": "B", "I": "I", "O": "O", "E": "E", "S": "S", "L": "E", "U": "S"}  # BILOU is BIOES by other letters


class Span(NamedTuple):
    """Steps first … end − 1 of a sequence."""

    first: int
    end: int
    type: str


class Tag(NamedTuple):
    """A tag in two: the letter before the hyphen, and the type behind it; of O there is none."""

    letter: str
    type: str


def split_tag(tag: str) -> Tag | None:
    """`B-person` in two; None for what is no tag of a scheme of spans."""
    if tag == OUTSIDE:
        return Tag(OUTSIDE, "")
    letter, hyphen, kind = tag.partition("-")
    return Tag(_PREFIXES[letter], kind) if letter in _PREFIXES and letter != OUTSIDE and hyphen and kind else None


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans of one sequence, whatever its scheme, also of sequences with errors in them.

    A span begins with B or S; with I or E where none of its type is open; it ends behind E or S, before B, S or O, and
    before another type: the rules of the CoNLL scorer, so that what it finds in a system's output is what is found.

    Raises: ArgumentError naming the step of a tag that is no O and has no letter of B, I, E, S (or L, U) and hyphen.
    Source: Tjong Kim Sang and De Meulder 2003, the shared task's scorer.
    """
    found: list[Span] = []
    begun, before = 0, Tag(OUTSIDE, "")
    for step, name in enumerate([*tags, OUTSIDE]):
        tag = split_tag(name)
        if tag is None:
            raise ArgumentError(f"step {step}: {name!r} is no tag of a span; wanted is O, or B- or I- before a type")
        is_open = before.letter in ("B", "I")
        goes_on = is_open and tag.letter in ("I", "E") and tag.type == before.type
        if is_open and not goes_on:
            found.append(Span(begun, step, before.type))
        if tag.letter != OUTSIDE and not goes_on:
            begun = step
        if tag.letter in ("E", "S"):
            found.append(Span(begun, step + 1, tag.type))
        before = tag
    return found


def detect_scheme(sequences: Sequence[Sequence[str]]) -> Scheme | None:
    """The scheme of tagged sequences; None where a tag is of none, or there is nothing but O.

    E or S: BIOES. I where no span of its type is open: IOB1, whose B only parts two neighbours. Else BIO.
    """
    letters: set[str] = set()
    has_open_inside = False
    for tags in sequences:
        before = Tag(OUTSIDE, "")
        for name in tags:
            tag = split_tag(name)
            if tag is None:
                return None
            letters.add(tag.letter)
            has_open_inside |= tag.letter == "I" and before.type != tag.type
            before = tag
    if letters <= {OUTSIDE}:
        return None
    return "bioes" if letters & {"E", "S"} else "iob1" if has_open_inside else "bio"


def fault_of(tags: Sequence[str], scheme: Scheme) -> tuple[int, str] | None:
    """The first step whose tag the scheme does not allow there, and why; None: all are well."""
    before = Tag(OUTSIDE, "")
    for step, name in enumerate(tags):
        tag = split_tag(name)
        if tag is None or (scheme != "bioes" and tag.letter in ("E", "S")):
            return step, f"{name!r} is no tag of {scheme.upper()}"
        if not _may_follow(before, tag, scheme):
            after = f"after {tags[step - 1]!r}" if step else "at the start"
            return step, f"{name!r} may not stand {after} in {scheme.upper()}"
        before = tag
    if not _may_end(before, scheme):
        return len(tags) - 1, f"{tags[-1]!r} may not stand at the end in {scheme.upper()}"
    return None


def convert(tags: Sequence[str], to: Scheme) -> list[str]:
    """The same spans in another scheme. Raises: as `spans_of`."""
    spans = spans_of(tags)
    result = [OUTSIDE] * len(tags)
    for index, (first, end, kind) in enumerate(spans):
        touches = index > 0 and spans[index - 1].end == first and spans[index - 1].type == kind
        for step in range(first, end):
            result[step] = f"I-{kind}"
        if to == "bio" or (to == "iob1" and touches) or to == "bioes":
            result[first] = f"B-{kind}"
        if to == "bioes":
            result[end - 1] = f"E-{kind}" if end - first > 1 else f"S-{kind}"
    return result


class Allowed(NamedTuple):
    """Which labels may begin a sequence [C], follow each other [C, C] (from the row's), and end it [C]; bool."""

    start: np.ndarray
    transition: np.ndarray
    end: np.ndarray


def allowed(labels: Sequence[str], scheme: Scheme) -> Allowed:
    """What a scheme allows among the labels of a model. Raises: DataError for a label that is none of its tags."""
    tags = []
    for label in labels:
        tag = split_tag(label)
        if tag is None:
            raise DataError(f"the label {label!r} is no tag of {scheme.upper()}; leave the scheme out")
        tags.append(tag)
    outside = Tag(OUTSIDE, "")
    return Allowed(
        np.array([_may_follow(outside, tag, scheme) for tag in tags]),
        np.array([[_may_follow(tag, after, scheme) for after in tags] for tag in tags]),
        np.array([_may_end(tag, scheme) for tag in tags]),
    )


def _may_follow(before: Tag, tag: Tag, scheme: Scheme) -> bool:
    is_open = before.letter in ("B", "I")
    if scheme == "bioes":
        if tag.letter in ("I", "E"):
            return is_open and before.type == tag.type
        return not is_open
    if tag.letter == "B" and scheme == "iob1":
        return before.type == tag.type
    return tag.letter != "I" or scheme == "iob1" or (is_open and before.type == tag.type)


def _may_end(tag: Tag, scheme: Scheme) -> bool:
    return scheme != "bioes" or tag.letter not in ("B", "I")


@dataclass(frozen=True, eq=False)
class SpanScore:
    """How well the spans of predicted tags are those of gold tags: micro precision, recall and F1, and for each type.

    A span counts where its steps and its type are right.

    Args:   gold, predicted: tags of the same sequences, each in any scheme.
    Raises: ArgumentError naming sequence and step, also where two lengths differ.
    """

    gold: Sequence[Sequence[str]]
    predicted: Sequence[Sequence[str]]
    per_sequence: np.ndarray = field(init=False)
    """[N, 3] counts: right spans, predicted ones, gold ones."""
    _counts: tuple[Counter[str], ...] = field(init=False)

    def __post_init__(self) -> None:
        if len(self.gold) != len(self.predicted):
            raise ArgumentError(f"{len(self.gold)} sequences of gold tags, {len(self.predicted)} predicted")
        hits: Counter[str] = Counter()
        there: Counter[str] = Counter()
        taken: Counter[str] = Counter()
        rights = []
        for number, (gold, predicted) in enumerate(zip(self.gold, self.predicted, strict=True)):
            if len(gold) != len(predicted):
                raise ArgumentError(f"sequence {number} has {len(gold)} gold tags and {len(predicted)} predicted ones")
            try:
                wanted, got = set(spans_of(gold)), set(spans_of(predicted))
            except ArgumentError as error:
                raise ArgumentError(f"sequence {number}, {error}") from None
            for counts, spans in ((hits, wanted & got), (there, wanted), (taken, got)):
                counts.update(span.type for span in spans)
            rights.append((len(wanted & got), len(got), len(wanted)))
        object.__setattr__(self, "_counts", (hits, taken, there))
        object.__setattr__(self, "per_sequence", np.array(rights, np.int64).reshape(-1, 3))

    @property
    def precision(self) -> float:
        """Of the spans that were predicted the share that is right; 0 where there are none."""
        return _share(*self.per_sequence[:, :2].sum(0))

    @property
    def recall(self) -> float:
        """Of the gold spans the share that was found; 0 where there are none."""
        return _share(*self.per_sequence[:, [0, 2]].sum(0))

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return f1_of(self.per_sequence)

    def per_type(self) -> dict[str, dict[str, float]]:
        """precision, recall, f1 and count (of gold spans) for each type, in the order of their names."""
        hits, taken, there = self._counts
        return {
            kind: {
                "precision": _share(hits[kind], taken[kind]),
                "recall": _share(hits[kind], there[kind]),
                "f1": _share(2 * hits[kind], taken[kind] + there[kind]),
                "count": there[kind],
            }
            for kind in sorted(taken.keys() | there.keys())
        }


def f1_of(counts: np.ndarray) -> float:
    """F1 of rows of (right, predicted, gold) spans, summed."""
    right, predicted, gold = counts.sum(0).tolist()
    return _share(2 * right, predicted + gold)


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else 0.0
