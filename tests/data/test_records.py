"""Records: every form gives the same, values go out and come in again; what is wrong is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rnnkit import data, metrics
from rnnkit.data import Record, placeholder
from rnnkit.errors import DataError

DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
RNNLG = DATA / "vec2seq" / "rnnlg"
EAGLE = Record((("name", "The Eagle"), ("food", "fish"), ("food", "thai"), ("rating", "3.5"), ("kids", "yes")))


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


# ---- every form ------------------------------------------------------------------------------------------------------


def test_objects_in_lines_in_a_list_and_in_a_table_give_the_same_records(tmp_path: Path) -> None:
    first = {
        "name": "The Eagle",
        "food": ["fish"],
        "rating": 3.5,
        "kids": True,
        "area": None,
        "text": ["One .", "Two ."],
    }
    lines = json.dumps(first) + "\n\n" + json.dumps({"name": "Aromi", "text": "Three ."}) + "\n"
    found = data.read_records(write(tmp_path / "a.jsonl", lines))
    assert found.records == [
        Record((("name", "The Eagle"), ("food", "fish"), ("rating", "3.5"), ("kids", "yes"))),
        Record((("name", "Aromi"),)),
    ]
    assert found.texts == [("One .", "Two ."), ("Three .",)]
    listed = data.read_records(
        write(tmp_path / "a.json", json.dumps([json.loads(line) for line in lines.split("\n\n")]))
    )
    assert listed.fingerprint == found.fingerprint
    assert listed.places[1].endswith("a.json, item 1")
    table = "name,food,ref,rating,kids\nThe Eagle,fish,One .,3.5,true\nAromi,,Three .,,\n"
    cells = data.read_records(write(tmp_path / "a.csv", table))
    assert cells.records == found.records
    assert [texts for (texts,) in found.each().texts] == ["One .", "Two .", "Three ."]
    assert found.each().records[1] == found.records[0]
    assert found[[1]].records == [found.records[1]]
    assert data.read_records(str(tmp_path / "a.csv"), with_texts=False).texts == [(), ()]


def test_dialogue_acts_are_read_with_their_special_values(tmp_path: Path) -> None:
    items = [
        ["inform(name='chez maman';food=creperies;kids_allowed=dont_care)", "a", "baseline"],
        ["?request(area)", "b"],
        ["goodbye()", "c"],
    ]
    found = data.read_records(write(tmp_path / "a.json", f"###\n# who\n{json.dumps(items)}"))
    assert found.records == [
        Record((("name", "chez maman"), ("food", "creperies"), ("kidsallowed", "dontcare")), "inform"),
        Record((("area", "?"),), "?request"),
        Record((), "goodbye"),
    ]
    assert found.records[0].features == ("act=inform", "food=_1", "kidsallowed=dontcare", "name=_1")
    assert found.records[1].features == ("act=?request", "area=?")
    assert found.records[0].linearised(with_values=True) == (
        "inform name = chez maman ; food = creperies ; kidsallowed = dontcare"
    )
    assert found.records[0].linearised(with_values=False) == (
        "inform name = SLOT_NAME ; food = SLOT_FOOD ; kidsallowed = dontcare"
    )
    assert found.records[2].linearised(with_values=True) == "goodbye"


# ---- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Eagle serves fish and Thai food.", "SLOT_NAME serves SLOT_FOOD and SLOT_FOOD food."),
        ("the eagle, rated 3.5, is no eagle", "SLOT_NAME, rated SLOT_RATING, is no eagle"),
        ("rated 3.55 by fishers; yes", "rated 3.55 by fishers; yes"),
        ("fish, fish", "SLOT_FOOD, fish"),
        ("", ""),
    ],
)
def test_a_value_is_taken_out_once_between_word_ends(text: str, wanted: str) -> None:
    assert EAGLE.delexicalised(text) == wanted


def test_values_are_filled_in_in_order_and_a_placeholder_without_one_stays() -> None:
    template = "SLOT_FOOD or SLOT_FOOD or SLOT_FOOD at SLOT_NAME, SLOT_KIDS, xSLOT_NAME"
    assert EAGLE.lexicalised(template) == "fish or thai or SLOT_FOOD at The Eagle, SLOT_KIDS, xSLOT_NAME"
    assert Record((("a", r"\1 \g<0>"),)).lexicalised("SLOT_A.") == r"\1 \g<0>."
    assert placeholder("price range") == placeholder("price_range") == "SLOT_PRICE_RANGE"


def test_the_parts_of_a_value_may_stand_in_any_order() -> None:
    record = Record((("area", "hayes valley or north park"),))
    assert record.delexicalised("in north park and hayes valley .") == "in SLOT_AREA ."
    long = Record((("area", " or ".join("abcdefgh")),))
    assert long.delexicalised("in a or b or c or d or e or f or g or h") == "in SLOT_AREA"


def test_references_are_shared_among_records_of_the_same_features(tmp_path: Path) -> None:
    items = [
        ["inform(name=a b)", "a b it is"],
        ["inform(name=c)", "c is nice"],
        ["inform(name=d)", "d it is"],
        ["x()", "y"],
    ]
    shared = data.read_records(write(tmp_path / "a.json", json.dumps(items))).sharing()
    assert shared.texts == [("a b it is", "a b is nice"), ("c it is", "c is nice"), ("d it is", "d is nice"), ("y",)]


# ---- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1, "text": "t"}\n{"a": 2}\n', r"line 2: no column text or ref .*--text-column"),
        ("a.jsonl", '{"a": 1, "text": "t"}\n{"a": 2, "text": " "}\n', r"line 2: the text is empty; .*--skip-bad"),
        ("a.jsonl", '{"a": 1, "text": "t"}\n{"a": 2, "text": []}\n', r"line 2: the list of texts is empty"),
        ("a.jsonl", '{"a": 1, "text": "t"}\n{"a": {"b": 1}, "text": "t"}\n', r"line 2: the value of 'a' is a dict"),
        ("a.jsonl", '{"a": 1, "text": "t"}\n{"a": 2, "text": 7}\n', r"line 2: the text is a int"),
        ("a.csv", "a,text\n1,t\n2\n", r"line 3: 1 columns, the first row has 2"),
        ("a.json", '[["x()", "t"], ["x", "t"]]', r"item 1: 'x' is no dialogue act; write act\(slot=value"),
        ("a.json", '[["x()", "t"], ["x()"]]', r"item 1: wanted is a list of a dialogue act and its text"),
        ("a.json", '[["x()", "t"], 7]', r"item 1: is no object and no list"),
    ],
)
def test_a_bad_record_is_named_in_one_line_or_left_out_and_counted(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        data.read_records(path)
    assert "\n" not in str(caught.value)
    kept = data.read_records(path, skip_bad=True)
    assert kept.texts == [("t",)]
    assert kept.skipped_note.startswith("1 row left out (1 ")


def test_files_that_hold_no_records_are_refused(tmp_path: Path) -> None:
    for content, message in (
        ("{", "is no JSON"),
        ("{}", "holds a dict; wanted is one list"),
        ("[]", "holds no record"),
    ):
        with pytest.raises(DataError, match=message):
            data.read_records(write(tmp_path / "a.json", content), skip_bad=True)
    with pytest.raises(DataError, match=r"it must end in \.jsonl"):
        data.read_records(write(tmp_path / "a.txt", ""))
    with pytest.raises(DataError, match="the column 'a' stands twice"):
        data.read_records(write(tmp_path / "a.csv", "a,a,text\n1,2,t\n"))
    found = data.read_records(write(tmp_path / "a.csv", "price range,price_range,text\n1,2,t\n"))
    with pytest.raises(DataError, match="'price range' and 'price_range' would both be SLOT_PRICE_RANGE"):
        _ = found.slots


# ---- the published table ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not RNNLG.exists(), reason="needs the RNNLG files")
def test_the_hand_made_generator_scores_what_its_table_says() -> None:
    """BLEU .4260 (Wen et al. 2016): its outputs stand in the file, third in each item."""
    test = data.read_records(str(RNNLG / "restaurant" / "test.json"))
    items = json.loads((RNNLG / "restaurant" / "test.json").read_text("utf-8").split("\n", 5)[5])
    score = metrics.TranslationScore([item[2] for item in items], test.sharing().texts, tokenize="none")
    assert score.bleu() / 100 == pytest.approx(0.4260, abs=0.0015)


@pytest.mark.skipif(not RNNLG.exists(), reason="needs the RNNLG files")
def test_the_references_of_rnnlg_miss_next_to_no_slot() -> None:
    test = data.read_records(str(RNNLG / "restaurant" / "test.json"))
    detect = json.loads((RNNLG / "resource" / "detect.pair").read_text("utf-8"))
    words = {slot: [placeholder(slot)] for slot in test.slots if slot in detect["general"]}
    words |= {slot: own for slot, own in detect["binary"].items() if slot in test.slots}
    judged = test[[row for row, record in enumerate(test.records) if record.act != "?select"]]  # as that scorer does
    outputs = [record.delexicalised(own[0]) for record, own in zip(judged.records, judged.texts, strict=True)]
    wanted = [record.wanted(words) for record in judged.records]
    counts = metrics.slot_counts(wanted, outputs, words)
    assert metrics.slot_figures(counts)["slot_error"] < 0.005
    missing = metrics.slot_counts(wanted, [""] * len(wanted), words)
    assert metrics.slot_figures(missing)["slot_error"] == 1
