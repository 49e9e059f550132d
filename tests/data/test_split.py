"""The held-out part is the end of the text, cut where it is said to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data import Document, default_documents, split
from rnnkit.errors import ArgumentError, DataError


def texts(documents):
    return [document.text for document in documents]


def test_the_last_tenth_of_the_default_text_is_held_out():
    (document,) = default_documents()
    training, held = split([document])
    cut = int(0.9 * document.length())
    assert texts(training) == [document.text[:cut]]
    assert texts(held) == [document.text[cut:]]


@given(parts=st.lists(st.text("ab\n", max_size=20), min_size=1, max_size=5), share=st.floats(0.01, 0.99))
def test_nothing_is_lost_and_the_cut_is_where_it_is_said_to_be(parts, share):
    documents = [Document(str(number), part) for number, part in enumerate(parts)]
    whole = "".join(parts)
    if len(whole) < 2:
        with pytest.raises(DataError, match="cannot be split"):
            split(documents, share)
        return
    cut = int((1 - share) * len(whole))
    if cut == 0:
        with pytest.raises(DataError, match="cannot be split"):
            split(documents, share)
        return
    for by in ("characters", "lines"):
        training, held = split(documents, share, by=by)
        before = "".join(texts(training))
        assert before + "".join(texts(held)) == whole
        assert len(before) == cut or (by == "lines" and len(before) > cut and before.endswith("\n"))


def test_lines_are_not_cut_where_another_follows():
    training, held = split([Document("d", "one two\nthree four\nfive six\n")], 0.5, by="lines")
    assert texts(training) == ["one two\nthree four\n"]
    assert texts(held) == ["five six\n"]
    training, held = split([Document("d", b"one\ntwo\nthree\n")], 0.7, by="lines")
    assert texts(training) == [b"one\n"]


def test_a_cut_at_the_start_of_a_line_stays_there():
    assert texts(split([Document("d", "abc\ndef\n")], 0.5, by="lines")[0]) == ["abc\n"]


def test_as_few_last_documents_as_reach_the_share_are_held_out():
    documents = [Document(str(size), "x" * size) for size in (50, 30, 12, 8)]
    assert [document.name for document in split(documents, 0.1, by="documents")[1]] == ["12", "8"]
    assert [document.name for document in split(documents, 0.08, by="documents")[1]] == ["8"]


@pytest.mark.parametrize("documents", [[Document("one", "x")], [Document("none", "")], [Document("a", "x" * 9)]])
def test_what_cannot_be_split_is_refused_with_the_remedy(documents):
    with pytest.raises(DataError, match=r"cannot be split in two by documents; .* --valid FILE"):
        split(documents, by="documents")


def test_shares_and_ways_that_do_not_exist_are_refused():
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ArgumentError, match="a share between 0 and 1"):
            split([Document("d", "text")], share)
    with pytest.raises(ArgumentError, match="choose characters, lines or documents"):
        split([Document("d", "text")], by="words")
