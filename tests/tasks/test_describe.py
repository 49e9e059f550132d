"""The description task: from records to a run folder, judged beside its baselines, run without torch, bit for bit."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import rnnkit
from rnnkit import data
from rnnkit.api.translation import TranslateTrainConfig
from rnnkit.errors import ConfigError, DataError, DtypeError, SchemaError
from rnnkit.tasks.describe import DescriptionTask
from rnnkit.tasks.describe_config import DescribeConfig
from rnnkit.tasks.describe_score import described
from rnnkit.training import fit

MODEL = {"hidden_size": 24, "embedding_size": 12, "input_dropout": 0.0, "output_dropout": 0.0, "label_smoothing": 0.0}
NAMES = ["Chez Maman", "Red Door", "The Ivy", "Oak", "Blue Bay Grill", "Casa Nova"]
FOODS = ["thai", "french", "very good italian", "greek"]
KIDS = {"yes": "children are welcome", "no": "children are not allowed"}


def said(record: dict[str, Any]) -> str:
    """A sentence with whatever the record has: name, food, whether children may come, stars in words."""
    parts = [f"{record['name']} serves {record['food']} food" if "food" in record else f"{record['name']} is a place"]
    parts += [KIDS[record["kids"]]] if "kids" in record else []
    parts += ["it is superb" if record["stars"] == 5 else "it is fair"] if "stars" in record else []
    return ", ".join(parts) + "."


def drawn(count: int, seed: int) -> list[dict[str, Any]]:
    rng, rows = random.Random(seed), []
    for number in range(count):
        record: dict[str, Any] = {"act": "inform", "name": f"{rng.choice(NAMES)} {number % 7}"}
        record |= {"food": rng.choice(FOODS)} if rng.random() < 0.7 else {}
        record |= {"kids": rng.choice(["yes", "no"])} if rng.random() < 0.5 else {}
        record |= {"stars": rng.choice([2, 5])} if rng.random() < 0.5 else {}
        rows.append({**record, "text": said(record)})
    return rows


def written(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def configure(file: Path, **sections: Any) -> DescribeConfig:
    given: dict[str, Any] = {
        "data": {"sources": [str(file)]},
        "model": MODEL,
        "scores": {"slot_words": {"kids": ["children"]}},
        "baselines": {"kinds": ["template-filler", "nearest-record"]},
    }
    return DescribeConfig(**{key: {**given.get(key, {}), **sections.get(key, {})} for key in {*given, *sections}})


def task(config: Any, training: Any) -> DescriptionTask:
    return DescriptionTask(config, batch_tokens=training.batch_tokens)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on records whose texts follow from them; a rate of 0.02 saturates the encoder's tanh."""
    folder = tmp_path_factory.mktemp("set")
    file = written(folder / "train.jsonl", drawn(300, 0))
    training = TranslateTrainConfig(epochs=60, lr=0.004, batch_tokens=150, threads=1)
    config = configure(file, model={"encoder": "set"}, scores={"num_best": 2})
    fit(task(config, training), run_dir=folder / "run", config=training)
    return folder / "run"


def test_it_learns_what_to_say_and_stands_beside_its_baselines(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    assert (metrics["task"], metrics["filled"]) == ("describe", ["food", "name"])
    rows = {row["name"]: row for row in (metrics["model"], *metrics["baselines"])}
    assert list(rows) == ["lstm-general", "template-filler", "nearest-record"]
    ours = rows["lstm-general"]
    assert ours["exact"] > 0.95 and ours["slot_error"] == 0 and ours["chrf"] > 95
    assert ours["num_slots"] == ours["slots_missing"] + ours["num_slots"] > 0
    assert rows["nearest-record"]["slot_error"] > 0.2  # another's values
    assert ours["num_best"] == 2 and ours["best_bleu"] < ours["bleu"]  # a second best text says it otherwise
    assert rows["template-filler"]["best_bleu"] == rows["template-filler"]["bleu"]  # it has a single one


def test_values_never_seen_are_filled_in_and_attributes_are_said(run: Path) -> None:
    model = rnnkit.load(run)
    assert isinstance(model, rnnkit.Describer)
    new = {"act": "inform", "name": "Zum Goldenen Hirschen", "food": "swabian", "kids": "no"}
    text = "Zum Goldenen Hirschen serves swabian food, children are not allowed."
    assert model.describe([new]) == [text]
    act = "inform(food=swabian;kids=no;name='Zum Goldenen Hirschen')"  # in another order
    record = data.Record((("name", "Zum Goldenen Hirschen"), ("kids", "no"), ("food", "swabian")), "inform")
    assert model.describe([act, record]) == [text, text]
    stars = [{"act": "inform", "name": "Oak", "stars": count} for count in (2, 5)]  # read, not filled in
    assert [text.split(", ")[1] for text in model.describe(stars)] == ["it is fair.", "it is superb."]


def test_texts_are_the_same_bits_in_any_batch_and_order(run: Path) -> None:
    model = rnnkit.Describer.load(run)
    records = drawn(17, 3)
    together = model.describe(records, n_best=4)
    assert [model.describe([record], n_best=4)[0] for record in records] == together
    assert model.describe(records[::-1], n_best=4) == together[::-1]
    attributes = [model.wording.source(one) for one in map(data.record_of, map(json.dumps, records), ["x"] * 17)]
    alone = [model.translate([one], n_best=3)[0] for one in attributes]
    assert model.translate(attributes, n_best=3) == alone


def test_of_a_beam_the_text_with_the_fewest_slot_errors_is_taken(run: Path) -> None:
    model = rnnkit.Describer.load(run)
    record = {"act": "inform", "name": "a", "food": "b", "kids": "no", "stars": 2}
    by_score = model.describe([record], n_best=10, rerank=False)[0]
    by_errors = model.describe([record], n_best=10)[0]
    assert by_score == sorted(by_score, key=lambda one: -one.score)
    assert by_errors == sorted(by_score, key=lambda one: one.errors)
    for one in by_errors:
        kids = one.template.split().count("children")
        wanted = {"SLOT_NAME": 1, "SLOT_FOOD": 1}
        apart = [one.template.split().count(word) - count for word, count in wanted.items()] + [kids - 1]
        assert (one.missing, one.redundant) == (-sum(min(d, 0) for d in apart), sum(max(d, 0) for d in apart))


def test_reranking_changes_what_is_written() -> None:
    class Hypothesis:
        def __init__(self, text: str, score: float) -> None:
            self.text, self.score = text, score

    class Writer:
        def translate(self, sources: list[str], *, n_best: int, num_beams: int) -> list[list[Hypothesis]]:
            assert (sources, n_best, num_beams) == (["a=_1"], 2, 2)  # equal records are written once
            return [[Hypothesis("nothing", -1.0), Hypothesis("it is SLOT_A", -2.0)]]

    records, wording, writer = [data.Record((("a", "x y"),))] * 2, data.Wording(("a",)), Writer()
    first = [own[0].text for own in described(writer, wording, records, num_beams=2)]  # type: ignore[arg-type]
    assert first == ["it is x y"] * 2
    likeliest = described(writer, wording, records, num_beams=2, rerank=False)  # type: ignore[arg-type]
    assert [own[0].text for own in likeliest] == ["nothing"] * 2


def test_evaluate_judges_on_other_records_and_on_the_same_gives_the_same(run: Path, tmp_path: Path) -> None:
    model = rnnkit.Describer.load(run)
    again = model.evaluate(written(tmp_path / "new.jsonl", drawn(40, 9)))
    assert [row["name"] for row in again["baselines"]] == ["template-filler", "nearest-record"]
    assert again["model"]["slot_error"] == 0 < again["baselines"][1]["slot_error"]
    greedy = model.evaluate(tmp_path / "new.jsonl", num_beams=2, rerank=False)
    assert greedy["model"]["num_outputs"] == again["model"]["num_outputs"]


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["recurrent", "set"])
def test_both_halves_agree_of_either_encoder_and_its_beams_are_equal_in_any_batch(encoder: str, tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", drawn(60, 1))
    made = task(configure(file, model={"encoder": encoder}), TranslateTrainConfig(threads=1))
    torch.manual_seed(5)
    learner = made.build_model().eval()
    made.save(learner, tmp_path / "bundle")
    model = rnnkit.Describer.load(tmp_path / "bundle")
    pairs = made.pairs.valid.pairs
    nats = model.nll([(source, targets[0]) for source, targets in zip(pairs.sources, pairs.targets, strict=True)])
    assert made.evaluate(learner, max_tokens=10**6)["nll"] == pytest.approx(np.concatenate(nats).mean(), rel=1e-5)

    records = drawn(9, 3)
    together = model.describe(records, n_best=4)
    assert len({own[0].text for own in together}) > 1  # it does read them
    assert [model.describe([record], n_best=4)[0] for record in records] == together
    assert model.describe(records[::-1], n_best=4) == together[::-1]


def test_a_run_says_records_without_torch(run: Path) -> None:
    code = (
        "import sys, rnnkit; model = rnnkit.load(sys.argv[1]);"
        "print(model.describe([{'act': 'inform', 'name': 'Q', 'food': 'r'}])[0], 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert found.stdout == "Q serves r food. False\n"


def test_a_describer_is_no_translator_nor_served(run: Path, tmp_path: Path) -> None:
    from rnnkit import runtime

    with pytest.raises(SchemaError, match="describes records, and reads no text"):
        runtime.load(run)
    model = rnnkit.Describer.load(run)
    for wrong in ([7], "inform(name=a)", {"name": "a"}):
        with pytest.raises(DtypeError, match=r"put it in a list|give a mapping"):
            model.describe(wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="record 1: the record has no attribute"):
        model.describe([{"name": "a"}, {}])
    assert model.describe([]) == []
    saved = tmp_path / "saved"
    model.save(saved)
    assert rnnkit.Describer.load(saved).wording == model.wording
    assert rnnkit.Describer.load(saved).describe([{"act": "inform", "name": "Oak"}]) == ["Oak is a place."]


def test_the_transformer_trains_beside_it_and_says_records(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", drawn(60, 1))
    training = TranslateTrainConfig(max_steps=3, batch_tokens=200, threads=1)
    config = configure(file, baselines={"kinds": ["transformer"], "transformer_layers": 1, "seeds": 2})
    metrics = fit(task(config, training), run_dir=tmp_path / "run", config=training).metrics
    (peer,) = metrics["baselines"]
    assert peer["name"] == "transformer" and peer["num_parameters"] > 0
    assert peer["num_slots"] == metrics["model"]["num_slots"]
    assert [one["seed"] for one in metrics["seeds"]] == [0, 1]
    assert rnnkit.Describer.load(tmp_path / "run").evaluate(file)["baselines"][0]["name"] == "transformer"


# ---- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "nothing to say"}, "line 31: the record has no attribute"),
        ({"name": "a", "text": " "}, "line 31: the text is empty"),
        ({"name": "a"}, "line 31: no column text"),
        ([1], "line 31: holds a list"),
        ({"name": "a", "text": "w " * 401}, "line 31: record or text has 401 tokens, at most 400"),
    ],
)
def test_a_bad_row_is_named_in_one_line_or_left_out_and_counted(row: Any, message: str, tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", [*drawn(30, 2), row])
    training = TranslateTrainConfig(max_steps=1, threads=1)
    with pytest.raises(DataError, match=message) as caught:
        task(configure(file), training)
    assert "\n" not in str(caught.value) and "--skip-bad" in str(caught.value)
    kept = task(configure(file, data={"skip_bad": True}), training)
    assert sum(kept.pairs.skipped.values()) == 1
    notes: list[str] = []
    fit(
        kept,
        run_dir=tmp_path / "run",
        config=training,
        observers=[lambda event: notes.append(str(event))],
    )
    assert any("1 rows were left out (1 " in note for note in notes)
    assert sum(len(part) for part in kept.pairs.parts().values()) == 30


def test_choices_that_cannot_be_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", drawn(30, 2))
    with pytest.raises(ConfigError, match="slot_words names the slot 'kid', no training record has it; known are food"):
        task(configure(file, scores={"slot_words": {"kid": ["x"]}}), TranslateTrainConfig())
    with pytest.raises(ValidationError, match="num_best is 11, a beam has 10"):
        configure(file, scores={"num_best": 11})
    for wrong in ({"bidirectional": True}, {"encoder_layers": 2}):
        with pytest.raises(ValidationError, match="encoder set has no order"):
            configure(file, model={"encoder": "set", **wrong})
    with pytest.raises(ValidationError, match="copying"):
        configure(file, model={"copying": True})


@pytest.mark.parametrize(("kind", "count", "texts"), [("own", 3, 1), ("record", 2, 2), ("features", 3, 3)])
def test_references_are_shared_as_it_is_said(kind: str, count: int, texts: int, tmp_path: Path) -> None:
    test = written(
        tmp_path / "test.jsonl",
        [{"name": "a", "text": "a it is"}, {"name": "a", "text": "only a"}, {"name": "b", "text": "here is b"}],
    )
    file = written(tmp_path / "a.jsonl", drawn(30, 2))
    pairs = task(
        configure(file, data={"test_sources": [str(test)], "references": kind}),
        TranslateTrainConfig(),
    ).pairs
    assert (len(pairs.test), len(pairs.test.records.texts[0])) == (count, texts)


def test_a_csv_reads_as_the_same_records(tmp_path: Path) -> None:
    rows = drawn(30, 2)
    lines = written(tmp_path / "a.jsonl", rows)
    names = ["act", "name", "food", "kids", "stars", "text"]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    (of_lines, of_table) = (task(configure(path), TranslateTrainConfig()).pairs for path in (lines, tmp_path / "a.csv"))
    assert of_lines.train.pairs.sources == of_table.train.pairs.sources
    assert of_lines.train.pairs.targets == of_table.train.pairs.targets
