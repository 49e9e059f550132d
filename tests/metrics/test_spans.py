"""Spans: the scorer's rules on cases made by hand, published scores of real systems, schemes and their conversion."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from rnnkit.errors import ArgumentError, DataError
from rnnkit.metrics.spans import SCHEMES, Span, SpanScore, allowed, convert, detect_scheme, fault_of, spans_of

DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ner" / "wnut17"
# Entity F1 of the WNUT-17 shared task (Derczynski et al. 2017, table 6).
PUBLISHED = {
    "uh_ritual": 41.86,
    "spinningbytes.txt": 40.78,
    "sjtu_adapt.txt": 40.42,
    "arcada": 39.98,
    "flytxt": 38.35,
    "mic-cis.txt": 37.06,
    "drexel_cci": 26.30,
}


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-x I-x O B-y", [(0, 2, "x"), (3, 4, "y")]),
        ("B-x B-x", [(0, 1, "x"), (1, 2, "x")]),
        ("O I-x I-x", [(1, 3, "x")]),  # IOB1, or an error that the scorer forgives
        ("I-x I-y", [(0, 1, "x"), (1, 2, "y")]),
        ("B-x I-y I-y", [(0, 1, "x"), (1, 3, "y")]),
        ("S-x B-x I-x E-x O", [(0, 1, "x"), (1, 4, "x")]),
        ("E-x E-x", [(0, 1, "x"), (1, 2, "x")]),
        ("S-x I-x", [(0, 1, "x"), (1, 2, "x")]),
        ("U-x B-x L-x", [(0, 1, "x"), (1, 3, "x")]),
        ("B-x-y I-x-y", [(0, 2, "x-y")]),
    ],
)
def test_spans_follow_the_rules_of_the_scorer(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert spans_of(tags.split()) == [Span(*span) for span in spans]


def test_scores_of_a_case_by_hand() -> None:
    gold = [["B-x", "I-x", "O", "B-y"], ["B-x", "O"], ["O"]]
    predicted = [["B-x", "I-x", "O", "B-x"], ["O", "B-x"], ["B-y"]]
    score = SpanScore(gold, predicted)
    assert (score.precision, score.recall, score.f1) == pytest.approx((1 / 4, 1 / 3, 2 / 7))
    assert score.per_type() == {
        "x": {"precision": pytest.approx(1 / 3), "recall": 0.5, "f1": pytest.approx(0.4), "count": 2},
        "y": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "count": 1},
    }
    assert score.per_sequence.tolist() == [[1, 2, 2], [0, 1, 1], [0, 1, 0]]
    nothing = SpanScore([["O"]], [["O"]])
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)


@pytest.mark.parametrize("system", PUBLISHED)
def test_the_f1_of_a_shared_task_system_is_the_published_one(system: str) -> None:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent")
    gold = _column(DATA / "emerging.test.annotated")
    predicted = _column(DATA / "submissions" / system)
    wanted = np.cumsum([0, *map(len, gold)])
    flat = list(itertools.chain(*predicted))
    assert len(flat) == wanted[-1]
    cut = [flat[first:end] for first, end in itertools.pairwise(wanted)]
    assert round(100 * SpanScore(gold, cut).f1, 2) == PUBLISHED[system]


def _column(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    groups = itertools.groupby(lines, key=lambda line: bool(line.strip()))
    return [[line.split()[-1] for line in group] for is_there, group in groups if is_there]


def test_schemes_are_told_apart() -> None:
    assert detect_scheme([["O"], ["B-x", "I-x"]]) == "bio"
    assert detect_scheme([["O", "I-x", "B-x"]]) == "iob1"
    assert detect_scheme([["B-x", "I-y"]]) == "iob1"
    assert detect_scheme([["S-x", "O"]]) == "bioes"
    assert detect_scheme([["NOUN", "O"]]) is None
    assert detect_scheme([["O"]]) is None
    assert detect_scheme([["B-"]]) is None


def test_conversion_keeps_the_spans_and_is_in_the_scheme() -> None:
    rng = np.random.default_rng(0)
    tags = ["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in "xy")]
    for _ in range(300):
        drawn = [tags[i] for i in rng.integers(0, len(tags), rng.integers(0, 9))]
        for scheme in SCHEMES:
            converted = convert(drawn, scheme)
            assert spans_of(converted) == spans_of(drawn), drawn
            assert fault_of(converted, scheme) is None, (drawn, converted)
    assert convert(["B-x", "B-x", "I-x", "O"], "iob1") == ["I-x", "B-x", "I-x", "O"]
    assert convert(["B-x", "B-x", "I-x", "O"], "bioes") == ["S-x", "B-x", "E-x", "O"]


@pytest.mark.parametrize(
    ("tags", "scheme", "fault"),
    [
        ("O I-x", "bio", (1, "'I-x' may not stand after 'O' in BIO")),
        ("I-x", "bio", (0, "'I-x' may not stand at the start in BIO")),
        ("B-x I-y", "bio", (1, "'I-y' may not stand after 'B-x' in BIO")),
        ("B-x E-x", "bio", (1, "'E-x' is no tag of BIO")),
        ("O B-x", "iob1", (1, "'B-x' may not stand after 'O' in IOB1")),
        ("B-x O", "bioes", (1, "'O' may not stand after 'B-x' in BIOES")),
        ("S-x E-x", "bioes", (1, "'E-x' may not stand after 'S-x' in BIOES")),
        ("O B-x", "bioes", (1, "'B-x' may not stand at the end in BIOES")),
        ("NOUN", "bio", (0, "'NOUN' is no tag of BIO")),
    ],
)
def test_a_fault_is_named_by_its_step(tags: str, scheme: str, fault: tuple[int, str]) -> None:
    assert fault_of(tags.split(), scheme) == fault  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_scheme_allows_is_what_has_no_fault(scheme: str) -> None:
    labels = ["O", *(f"{letter}-{kind}" for letter in ("BIES" if scheme == "bioes" else "BI") for kind in "xy")]
    may = allowed(labels, scheme)  # type: ignore[arg-type]
    for length in (1, 2, 3):
        for ids in itertools.product(range(len(labels)), repeat=length):
            is_fine = may.start[ids[0]] and may.end[ids[-1]]
            is_fine = is_fine and all(may.transition[a, b] for a, b in itertools.pairwise(ids))
            assert bool(is_fine) == (fault_of([labels[i] for i in ids], scheme) is None)  # type: ignore[arg-type]


def test_what_is_no_tag_is_refused_by_place() -> None:
    with pytest.raises(ArgumentError, match="sequence 1, step 2: 'NOUN' is no tag of a span"):
        SpanScore([["O"], ["O", "O", "NOUN"]], [["O"], ["O", "O", "O"]])
    with pytest.raises(ArgumentError, match="sequence 0 has 1 gold tags and 2 predicted"):
        SpanScore([["O"]], [["O", "O"]])
    with pytest.raises(DataError, match="the label 'NOUN' is no tag of BIO"):
        allowed(["O", "NOUN"], "bio")
