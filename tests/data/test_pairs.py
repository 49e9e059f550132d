"""Pairs: parallel files and tables give the same, and what is wrong is named by its row, or left out and counted."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from rnnkit import data
from rnnkit.errors import ArgumentError, DataError

DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
MULTI30K = DATA / "translation" / "multi30k"
WANTED = [("ein Haus", ("a house",)), ('das "rote" Haus', ("the 'red' house, here",)), ("☂", ("ünser umbrella",))]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(pairs: data.Pairs) -> list[tuple[str, tuple[str, ...]]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


def parallel(folder: Path, source: str | bytes, *targets: str | bytes) -> list[Path]:
    files = [write(folder / "a.de", source)]
    return files + [write(folder / f"a{index}.en", content) for index, content in enumerate(targets)]


# ---- every form ------------------------------------------------------------------------------------------------------


def test_parallel_files_csv_tsv_and_jsonl_give_the_same_pairs(tmp_path: Path) -> None:
    sources, targets = [source for source, _ in WANTED], [target for _, (target,) in WANTED]
    both = list(zip(sources, targets, strict=True))
    quoted = [tuple('"' + cell.replace('"', '""') + '"' for cell in row) for row in both]
    forms = [
        parallel(tmp_path, "\n".join(sources), "\n".join(targets) + "\n"),
        parallel(tmp_path, "\ufeff" + "\r\n".join(sources) + "\r\n", "\n".join(targets)),
        write(tmp_path / "a.csv", "source,target\n" + "\n".join(map(",".join, quoted))),
        write(tmp_path / "a.tsv", "Target\tSRC\n" + "\n".join(f"{t}\t{s}" for s, t in both)),
        write(tmp_path / "b.tsv", "\n".join(map("\t".join, both)) + "\n"),
        write(tmp_path / "a.jsonl", "\n\n".join(json.dumps({"tgt": [t], "src": s, "n": 1}) for s, t in both)),
        write(tmp_path / "a.tsv.gz", gzip.compress("\n".join(map("\t".join, both)).encode())),
    ]
    found = [data.read_pairs(form) for form in forms]
    assert [rows(pairs) for pairs in found] == [WANTED] * len(forms)
    assert len({pairs.fingerprint for pairs in found}) == 1
    assert found[0].places[2].endswith("a.de, line 3")
    assert found[3].places[0].endswith("a.tsv, line 2")


def test_columns_are_chosen_by_name_or_number_with_a_header_or_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "id\tde\ten\tother\n1\tja\tyes\taye\n")
    by_name = data.read_pairs(path, source_column="de", target_column=["en", "other"])
    assert rows(by_name) == [("ja", ("yes", "aye"))]
    by_number = data.read_pairs(path, source_column="2", target_column=[3, 4], has_header=True)
    assert rows(by_number) == rows(by_name)
    without = data.read_pairs(path, source_column=2, target_column=3)
    assert rows(without) == [("de", ("en",)), ("ja", ("yes",))]
    two = write(tmp_path / "b.csv", "source,target\nja,yes\n")
    assert rows(data.read_pairs(two, has_header=False))[0] == ("source", ("target",))
    with pytest.raises(DataError, match=r"a\.tsv, line 1: no column fr among id, de, en.*--target-column NAME"):
        data.read_pairs(path, source_column="de", target_column="fr")
    with pytest.raises(DataError, match=r"line 1: there is no column 5 among 4; count from 1"):
        data.read_pairs(path, source_column=5, target_column=1)
    with pytest.raises(DataError, match=r"line 1: which of its 4 columns is the source\? .*--source-column"):
        data.read_pairs(path)
    with pytest.raises(ArgumentError, match="it has no columns"):
        data.read_pairs(parallel(tmp_path, "a", "b"), source_column=1)
    with pytest.raises(ArgumentError, match="no numbered columns"):
        data.read_pairs(write(tmp_path / "a.jsonl", "{}"), source_column=1)


def test_a_tab_separated_quote_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", '"Ja", sagte er.\t"Yes," he said.\n"so\t"so\n')
    assert rows(data.read_pairs(path)) == [('"Ja", sagte er.', ('"Yes," he said.',)), ('"so', ('"so',))]


def test_several_references_come_from_several_files_lists_and_equal_sources(tmp_path: Path) -> None:
    pairs = data.read_pairs(parallel(tmp_path, "a\nb\na\n", "x\ny\nz\n", "x\nv\nw\n"))
    assert rows(pairs) == [("a", ("x", "x")), ("b", ("y", "v")), ("a", ("z", "w"))]
    assert rows(pairs.grouped()) == [("a", ("x", "z", "w")), ("b", ("y", "v"))]
    assert rows(pairs.each()) == [(s, (t,)) for s, own in rows(pairs) for t in own]
    assert pairs.each().places[1].endswith("a.de, line 1")
    path = write(tmp_path / "a.jsonl", '{"source": "a", "target": ["x", "z"]}\n{"source": "b", "target": "y"}\n')
    assert rows(data.read_pairs(path)) == [("a", ("x", "z")), ("b", ("y",))]


def test_sources_alone_are_read_without_their_targets(tmp_path: Path) -> None:
    assert rows(data.read_pairs(parallel(tmp_path, "a\nb\n"), with_targets=False)) == [("a", ()), ("b", ())]
    path = write(tmp_path / "a.jsonl", '{"source": "a"}\n{"source": "b", "target": 7}\n')
    assert rows(data.read_pairs(path, with_targets=False)) == [("a", ()), ("b", ())]
    assert data.read_pairs(write(tmp_path / "a.csv", "input,x\na,\n"), with_targets=False).sources == ["a"]
    with pytest.raises(ArgumentError, match=r"1 parallel files, the first is .*a\.de; wanted"):
        data.read_pairs(tmp_path / "a.de")


# ---- what is wrong ---------------------------------------------------------------------------------------------------

BAD = [
    ("a.tsv", "a\tb\n\tc\n", r"a\.tsv, line 2: the source is empty; fill it in, take the row out, or leave such rows"),
    ("a.tsv", "a\tb\nc\t \n", r"a\.tsv, line 2: the target is empty"),
    ("a.tsv", "a\tb\nc\n", r"a\.tsv, line 2: 1 columns, the first row has 2; .*--skip-bad"),
    ("a.csv", "a,b\nc,d,e\n", r"a\.csv, line 2: 3 columns, the first row has 2"),
    ("a.csv", 'a,b\n"c"x,d\n', r"a\.csv, line 2: ',' expected after '\"'.*written twice"),
    ("a.jsonl", '{"source": "a", "target": "b"}\n{"source"\n', r"a\.jsonl, line 2: is no JSON .*one object on every"),
    ("a.jsonl", '{"source": "a", "target": "b"}\n[]\n', r"a\.jsonl, line 2: holds a list"),
    ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "c"}\n', r"line 2: no column target or .*--target-column"),
    ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "c", "target": 7}\n', r"line 2: the target is a int where"),
    ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "c", "target": []}\n', r"line 2: the list of targets is e"),
    (
        "a.jsonl",
        '{"source": "a", "target": "b"}\n{"source": "\\ud83d", "target": "c"}\n',
        r"line 2: the source is no v",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_a_bad_row_is_named_in_one_line_or_left_out_and_counted(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, content + ("x\ty\n" if name == "a.tsv" else "x,y\n" if name == "a.csv" else ""))
    with pytest.raises(DataError, match=message) as caught:
        data.read_pairs(path)
    assert "\n" not in str(caught.value)
    pairs = data.read_pairs(path, skip_bad=True)
    assert rows(pairs) == [("a", ("b",))] + ([("x", ("y",))] if name != "a.jsonl" else [])
    assert sum(pairs.skipped.values()) == 1
    assert pairs.skipped_note.startswith("1 row left out (1 ")


def test_unequal_line_counts_name_both_counts_and_the_first_line_without_a_partner(tmp_path: Path) -> None:
    files = parallel(tmp_path, "a\nb\nc\nd", "w\nx\n")
    with pytest.raises(DataError, match=r"a\.de, line 3: has no partner \(.*a\.de has 4 lines, .*a0\.en has 2 lines\)"):
        data.read_pairs(files)
    pairs = data.read_pairs(files, skip_bad=True)
    assert (rows(pairs), pairs.skipped_note) == ([("a", ("w",)), ("b", ("x",))], "2 rows left out (2 no partner)")


def test_an_empty_line_of_a_parallel_file_is_named_in_the_file_where_it_stands(tmp_path: Path) -> None:
    for source, target, name in (
        ("a\n\nc", "x\ny\nz", "a.de"),
        ("a\nb\nc", "x\n \nz", "a0.en"),
        ("a\n\nc", "x\n\nz", "a.de"),
    ):
        files = parallel(tmp_path, source, target)
        with pytest.raises(DataError, match=rf"{name}, line 2: the (source|target) is empty"):
            data.read_pairs(files)
        assert rows(data.read_pairs(files, skip_bad=True)) == [("a", ("x",)), ("c", ("z",))]


def test_bytes_outside_the_encoding_are_named_or_cost_their_own_row_alone(tmp_path: Path) -> None:
    files = parallel(tmp_path, "a\nb\nc", b"x\nm\xfcde\nz")
    with pytest.raises(DataError, match=r"a0\.en: byte 0xfc at offset 3, line 2, is not valid utf-8"):
        data.read_pairs(files)
    pairs = data.read_pairs(files, skip_bad=True)
    assert (rows(pairs), dict(pairs.skipped)) == ([("a", ("x",)), ("c", ("z",))], {"no valid text": 1})
    assert data.read_pairs(files, encoding="latin-1").targets[1] == ("müde",)


def test_a_side_of_ten_thousand_words_is_named_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", f"a\tb\nc\t{'word ' * 10_000}\n\td\n")
    pairs = data.read_pairs(path, skip_bad=True)
    count = lambda text: len(text.split())  # noqa: E731
    with pytest.raises(DataError, match=r"a\.tsv, line 2: the target has 10,000 tokens, at most 256 are allowed"):
        pairs.within(count, 256)
    kept = pairs.within(count, 256, skip_bad=True)
    assert rows(kept) == [("a", ("b",))]
    assert kept.skipped == {"too long": 1, "an empty side": 1}
    assert kept.skipped_note.startswith("2 rows left out (1 ")
    with pytest.raises(DataError, match="every pair has a side of more than 0 tokens"):
        pairs.within(count, 0, skip_bad=True)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_files_without_a_pair_and_quotes_that_do_not_end_are_refused_always(skip_bad: bool, tmp_path: Path) -> None:
    for name, content in (("a.tsv", "\n\n"), ("a.csv", "source,target\n"), ("a.jsonl", "\n")):
        with pytest.raises(DataError, match="holds no pair"):
            data.read_pairs(write(tmp_path / name, content), skip_bad=skip_bad)
    with pytest.raises(DataError, match=r"unexpected end of data"):
        data.read_pairs(write(tmp_path / "a.csv", 'a,b\nc,"d\ne,f\n'), skip_bad=skip_bad)
    with pytest.raises(DataError, match=r"no such file"):
        data.read_pairs([tmp_path / "none.de", tmp_path / "none.en"], skip_bad=skip_bad)
    if skip_bad:
        with pytest.raises(DataError, match=r"holds no pair; 1 row left out \(1 an empty side\)"):
            data.read_pairs(write(tmp_path / "a.tsv", "a\t\n"), skip_bad=True)


def test_tables_and_parallel_files_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="either tables or parallel files"):
        data.read_pairs([write(tmp_path / "a.tsv", "a\tb"), write(tmp_path / "a.de", "a")])


# ---- parts -----------------------------------------------------------------------------------------------------------


def test_held_out_pairs_share_no_source_with_those_trained_on() -> None:
    sources = [f"s{row % 40}" for row in range(100)]
    pairs = data.Pairs(sources, [(f"t{row}",) for row in range(100)], [f"line {row}" for row in range(100)])
    training, held = data.split_pairs(pairs, 0.25, seed=1)
    assert not set(training.sources) & set(held.sources)
    assert len(set(held.sources)) == 10
    assert sorted(training.places + held.places) == sorted(pairs.places)
    assert (
        rows(data.split_pairs(pairs, 0.25, seed=1)[1]) == rows(held) != rows(data.split_pairs(pairs, 0.25, seed=2)[1])
    )
    with pytest.raises(DataError, match="a single source"):
        data.split_pairs(pairs[[0, 40, 80]], 0.5, seed=1)
    with pytest.raises(ArgumentError, match="held_out is 1"):
        data.split_pairs(pairs, 1, seed=1)


@pytest.mark.skipif(not MULTI30K.exists(), reason="needs the Multi30k files")
def test_multi30k_is_read_whole() -> None:
    for files in (("tok/train.lc.norm.tok.de", "tok/train.lc.norm.tok.en"), ("raw/train.de.gz", "raw/train.en.gz")):
        pairs = data.read_pairs([MULTI30K / name for name in files])
        assert len(pairs) == 29_000
        assert not pairs.skipped_note
