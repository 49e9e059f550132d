"""Tagged sequences: what each format gives, and faults named by file and row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit import data
from rnnkit.errors import ArgumentError, DataError, RnnkitError

CONLLU = """# text = The cats don't
1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_
2\tcats\tcat\tNOUN\tNNS\t_\t0\troot\t_\t_
3-4\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
3\tdo\tdo\tAUX\tVBP\t_\t2\taux\t_\t_
3.1\tit\tit\tPRON\tPRP\t_\t_\t_\t_\t_
4\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_

1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""
WORDS = [["The", "cats", "do", "n't"], ["Yes"]]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.conllu", "a.conllu.gz"])
def test_conllu_gives_words_and_any_column(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, CONLLU)
    tagged = data.read_tagged(path)
    assert tagged.sentences == WORDS
    assert tagged.tags == [["DET", "NOUN", "AUX", "PART"], ["INTJ"]]
    assert tagged.lines == [[2, 3, 5, 7], [9]]
    assert tagged.place(0, 2) == f"{path}, line 5"
    other = data.read_tagged(path, word_column="lemma", tag_column="XPOS")
    assert (other.sentences[1], other.tags[0]) == (["yes"], ["DT", "NNS", "VBP", "RB"])


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("The\tDET\ncats\tNOUN\r\n\n\n-DOCSTART-\tX\n\nYes\tINTJ", {}),
        ("-DOCSTART- -X- O\n\nThe\tDET\ncats\tNOUN\n\nYes\tINTJ", {}),
        ("The DT DET\ncats NNS NOUN\n \t \nYes UH INTJ\n", {}),
        ("DET DT The\nNOUN NNS cats\n\nINTJ UH Yes\n", {"word_column": "3", "tag_column": "1"}),
        ("\ufeffThe DET DT\ncats NOUN NNS\n\nYes INTJ UH\n", {"tag_column": "-2"}),
    ],
)
def test_conll_gives_columns_by_number(tmp_path: Path, text: str, columns: dict[str, str]) -> None:
    tagged = data.read_tagged(write(tmp_path, "a.conll", text), **columns)
    assert tagged.sentences == [["The", "cats"], ["Yes"]]
    assert tagged.tags == [["DET", "NOUN"], ["INTJ"]]


def test_jsonl_gives_lists_by_key(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"tokens": ["New York", "is"], "tags": ["N", "V"]}, {"tokens": ["x"], "tags": ["N"]}]
    path = write(tmp_path, "a.jsonl", "\n\n".join(map(json.dumps, rows)))
    tagged = data.read_tagged(path)
    assert tagged.sentences == [["New York", "is"], ["x"]]
    assert tagged.place(0, 1) == f"{path}, line 1, word 2"
    renamed = write(tmp_path, "b.jsonl", json.dumps({"w": ["a"], "t": ["N"], "words": ["b"]}))
    assert data.read_tagged(renamed, word_column="w", tag_column="t").sentences == [["a"]]


def test_without_labels_none_need_be_there(tmp_path: Path) -> None:
    assert data.read_tagged(write(tmp_path, "a.txt", "The\ncats\n\nYes\n"), labelled=False).sentences[0] == WORDS[0][:2]
    tagged = data.read_tagged(write(tmp_path, "a.jsonl", '{"words": ["x", "y"]}'), labelled=False)
    assert (tagged.sentences, tagged.tags) == ([["x", "y"]], [["", ""]])


@pytest.mark.parametrize(
    ("name", "text", "columns", "message"),
    [
        ("a.conllu", "1\tx\ty\n", {}, r"a\.conllu, line 1: 3 columns between tabs, CoNLL-U has 10"),
        ("a.conllu", CONLLU, {"tag_column": "upso"}, r"no column 'upso' to read a tag from; is it upos\?"),
        ("a.conllu", "# nothing\n", {}, r"a\.conllu: holds no sentence"),
        ("a.conll", "x N\ny\n", {}, r"a\.conll, line 2: 1 columns between blanks, the first line has 2"),
        ("a.conll", "x\ny\n", {}, r"line 1: 1 columns .* no word in column 1 and a tag in column last; give others"),
        ("a.conll", "x N\n", {"tag_column": "3"}, r"line 1: 2 columns .* a tag in column 3"),
        ("a.conll", "x N\n", {"tag_column": "ner"}, r"'ner' is no column of a CoNLL file; give its number"),
        ("a.conll", "x\t \n", {}, r"line 1: the tag is empty"),
        ("a.jsonl", '{"words": ["a", "b"], "tags": ["N"]}', {}, r"line 1: 2 words and 1 tags"),
        ("a.jsonl", '{"words": "a b", "tags": ["N"]}', {}, r"line 1, key 'words': a list of texts is wanted"),
        ("a.jsonl", '{"words": ["a"]}', {}, r"line 1: no key tags or labels among words; name it with --tag-column"),
        ("a.jsonl", '{"words": ["a", " "], "tags": ["N", "N"]}', {}, r"line 1, word 2: the word is empty"),
        ("a.jsonl", "[1]", {}, r"line 1: holds a list"),
        ("a.jsonl", "{", {}, r"line 1: is no JSON"),
    ],
)
def test_a_fault_is_named_by_its_row(
    tmp_path: Path, name: str, text: str, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(RnnkitError, match=message):
        data.read_tagged(write(tmp_path, name, text), **columns)


def tagged_of(*tags: str) -> data.Tagged:
    rows = [line.split() for line in tags]
    return data.Tagged(
        [[f"w{step}" for step in range(len(row))] for row in rows],
        rows,
        ["my.conll"] * len(rows),
        [[10 * number + step for step in range(len(row))] for number, row in enumerate(rows)],
    )


def test_a_scheme_is_told_converted_and_its_faults_named() -> None:
    assert data.scheme_of(tagged_of("O B-x I-x")) == "bio"
    assert data.scheme_of(tagged_of("I-x B-x O")) == "iob1"
    assert data.scheme_of(tagged_of("S-x O")) == "bioes"
    assert data.scheme_of(tagged_of("N V")) is None
    assert data.scheme_of(tagged_of("B-x O"), "none") is None
    faulty = tagged_of("O B-x", "O I-x")
    assert data.scheme_of(faulty) == "bio"
    with pytest.raises(DataError, match=r"my\.conll, line 11: the tag 'I-x' may not stand after 'O' in BIO; correct"):
        data.in_scheme(faulty, "bio", to="bio")
    repaired = data.in_scheme(faulty, "bio", to="bioes", repair=True)
    assert repaired.tags == [["O", "S-x"], ["O", "S-x"]]
    with pytest.raises(DataError, match=r"my\.conll, line 1: the tag 'N' is no tag of a span"):
        data.in_scheme(tagged_of("O N"), "bio", to="bio", repair=True)


def test_labels_are_those_of_training_and_spans_have_all_their_letters() -> None:
    assert data.known_tags(tagged_of("V N", "N"), None) == ["N", "V"]
    assert data.known_tags(tagged_of("B-y O", "B-x"), "bio") == ["O", "B-x", "I-x", "B-y", "I-y"]
    assert data.known_tags(tagged_of("S-x"), "bioes") == ["O", "B-x", "I-x", "E-x", "S-x"]
    with pytest.raises(DataError, match="every tag is 'N'"):
        data.known_tags(tagged_of("N N"), None)
    assert [ids.tolist() for ids in data.tag_ids(tagged_of("V N", "N"), ["N", "V"])] == [[1, 0], [0]]
    with pytest.raises(DataError, match=r"my\.conll, line 10: the tag 'X' is not among those trained on \('N', 'V'\)"):
        data.tag_ids(tagged_of("V", "X"), ["N", "V"])


def test_a_split_holds_out_a_share_and_keeps_the_order() -> None:
    tagged = tagged_of(*["N V"] * 20)
    train, held = data.split_tagged(tagged, 0.25, seed=1)
    assert (len(train), len(held)) == (15, 5)
    lines = np.array([of[0] for of in train.lines])
    assert (np.diff(lines) > 0).all()
    assert {of[0] for of in held.lines}.isdisjoint(lines)
    assert data.split_tagged(tagged, 0.25, seed=2)[1].lines != held.lines
    assert train.fingerprint != held.fingerprint
    with pytest.raises(DataError, match=r"one sequence is left .* --test FILE and --valid FILE"):
        data.split_tagged(tagged_of("N"), 0.5, seed=0)
    with pytest.raises(ArgumentError, match="a share between 0 and 1"):
        data.split_tagged(tagged, 1.0, seed=0)
