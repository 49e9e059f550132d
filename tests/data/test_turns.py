"""Dialogues: every form gives the same turns, contexts are cut where they should be, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rnnkit import data
from rnnkit.errors import ArgumentError, DataError

TURNS = [("hi", "user"), ("hello there", "bot"), ("two  tickets", "user"), ("sure", "bot")]


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


def said(dialogues: data.Dialogues) -> list[list[tuple[str, str]]]:
    return [[(turn.text, turn.speaker) for turn in turns] for turns in dialogues.dialogues]


def test_lines_of_objects_and_tables_of_turns_give_the_same(tmp_path: Path) -> None:
    chat = {"messages": [{"role": speaker, "content": text} for text, speaker in TURNS]}
    other = {"turns": [{"speaker": "user", "text": "a"}, {"speaker": "bot", "text": "b"}]}
    lines = data.read_dialogues(write(tmp_path / "a.jsonl", f"{json.dumps(chat)}\n{json.dumps(other)}\n"))
    assert said(lines) == [TURNS, [("a", "user"), ("b", "bot")]]
    rows = ["7\thi\tuser", "9\ta\tuser", "7\thello there\tbot", "9\tb\tbot", "7\ttwo  tickets\tuser", "7\tsure\tbot"]
    table = data.read_dialogues(write(tmp_path / "a.tsv", "dialogue\ttext\tspeaker\n" + "\n".join(rows)))
    assert said(table) == said(lines)
    assert table.dialogues[0][1].place.endswith("a.tsv, line 4")
    plain = data.read_dialogues(write(tmp_path / "b.jsonl", '{"turns": ["x", "y"]}'))
    assert said(plain) == [[("x", ""), ("y", "")]]


def test_every_turn_but_the_first_answers_those_before_it(tmp_path: Path) -> None:
    chat = {"messages": [{"role": speaker, "content": text} for text, speaker in TURNS]}
    dialogues = data.read_dialogues(write(tmp_path / "a.jsonl", json.dumps(chat)))
    pairs = dialogues.pairs(context=2)
    assert pairs.sources == ["hi", "hi <turn> hello there", "hello there <turn> two tickets"]
    assert pairs.targets == [("hello there",), ("two  tickets",), ("sure",)]
    assert dialogues.pairs(context=1).sources == ["hi", "hello there", "two tickets"]
    of_bot = dialogues.pairs(context=9, speaker="bot")
    assert of_bot.sources == ["hi", "hi <turn> hello there <turn> two tickets"]
    assert of_bot.places[1].endswith("line 1, turn 4")
    assert data.in_context(["hi", "hello\nthere"], context=5) == "hi <turn> hello there"
    with pytest.raises(DataError, match="'robot' answers nothing; speakers are bot, user"):
        dialogues.pairs(speaker="robot")
    with pytest.raises(ArgumentError, match="context is 0"):
        dialogues.pairs(context=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"turns": ["x", "y"]}\n{"turns": ["x", " "]}\n',
            r"line 2, turn 2: the turn is empty; .*--skip-bad",
        ),
        ("a.jsonl", '{"turns": ["x", "y"]}\n{"turns": ["x"]}\n', r"line 2, turn 1: the dialogue has 1 turn"),
        ("a.jsonl", '{"turns": ["x", "y"]}\n{"turns": "x"}\n', r"line 2: the turns are no list"),
        ("a.jsonl", '{"turns": ["x", "y"]}\n{"talk": []}\n', r"line 2: no column turns or messages .*; call it turns"),
        ("a.jsonl", '{"turns": ["x", "y"]}\n{"turns": ["x", 7]}\n', r"line 2, turn 2: is a int"),
        (
            "a.jsonl",
            '{"turns": ["x", "y"]}\n{"turns": [{"said": "x"}]}\n',
            r"line 2, turn 1: no column text or content",
        ),
        ("a.jsonl", '{"turns": ["x", "y"]}\n[]\n', r"line 2: holds a list"),
        ("a.csv", "dialogue,text\n1,x\n1,y\n2,x\n2\n2,y\n", r"line 5: 1 columns, the first row has 2"),
        ("a.csv", "dialogue,text\n1,x\n1,y\n2,x\n2,\n", r"line 5: the turn is empty"),
    ],
)
def test_what_is_wrong_is_named_in_one_line_or_costs_its_own_dialogue(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        data.read_dialogues(path)
    assert "\n" not in str(caught.value)
    kept = data.read_dialogues(path, skip_bad=True)
    assert said(kept) == [[("x", ""), ("y", "")]]
    assert sum(kept.skipped.values()) == 1
    assert kept.pairs().skipped_note == kept.skipped_note != ""


def test_files_without_a_dialogue_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no dialogue"):
        data.read_dialogues(write(tmp_path / "a.csv", "dialogue,text\n"))
    with pytest.raises(DataError, match=r"no column dialogue or .* among id, text; call it dialogue"):
        data.read_dialogues(write(tmp_path / "a.csv", "id,text\n1,a\n"))
    with pytest.raises(DataError, match=r"it must end in \.jsonl"):
        data.read_dialogues(write(tmp_path / "a.txt", "a"))


def test_dialogues_are_split_whole_and_equal_ones_stay_together(tmp_path: Path) -> None:
    rows = [{"turns": [f"a {n % 6}", f"b {n % 6}", "c"]} for n in range(12)]
    dialogues = data.read_dialogues(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))))
    rest, held = data.split_dialogues(dialogues, 0.3, seed=1)
    assert (len(rest), len(held)) == (8, 4)
    assert not {turns[0].text for turns in rest.dialogues} & {turns[0].text for turns in held.dialogues}
    assert [turns[0].place for turns in rest.dialogues] == sorted(
        (turns[0].place for turns in rest.dialogues), key=lambda place: int(place.split("line ")[1].split(",")[0])
    )
    again, _ = data.split_dialogues(dialogues, 0.3, seed=1)
    assert again == rest and data.split_dialogues(dialogues, 0.3, seed=2)[0] != rest
    with pytest.raises(DataError, match="a single dialogue, so none can be held out"):
        data.split_dialogues(data.Dialogues(dialogues.dialogues[:1]), 0.5, seed=0)
    with pytest.raises(ArgumentError, match="held_out is 1"):
        data.split_dialogues(dialogues, 1, seed=0)


def test_what_is_to_be_answered_may_be_a_single_turn(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"turns": ["x"]}\n{"turns": ["a", "b", "c"]}')
    assert data.read_dialogues(file, with_replies=False).asked(context=2) == ["x", "b <turn> c"]
    with pytest.raises(DataError, match="has 1 turn"):
        data.read_dialogues(file)
