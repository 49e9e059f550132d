"""`rnnkit train describe`, and `predict` and `eval` on its runs; no option is ignored."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from arriving import COMMON, check_options
from command import Outcome

from rnnkit.api.description import DescribeRunConfig

SMALL = ("--hidden-size=8", "--embedding-size=4", "--max-steps=4", "--batch-tokens=64", "--threads=1",
         "--baseline=template-filler", "--baseline=nearest-record", "--num-beams=3")  # fmt: skip
SPECIAL = {
    **COMMON,
    "--hidden-size": (["--hidden-size", "7"], "model.hidden_size", 7),
    "--references": (["--references", "features"], "data.references", "features"),
    "--encoder": (["--encoder", "set"], "model.encoder", "set"),
    "--conditioning": (["--conditioning", "both"], "model.conditioning", "both"),
    "--attention": (["--attention", "dot"], "model.attention", "dot"),
    "--tokenize": (["--tokenize", "none"], "scores.tokenize", "none"),
    "--figure": (["--figure", "wer"], "scores.figure", "wer"),
    "--rerank": (["--no-rerank"], "decoding.rerank", False),
    "--bidirectional": (["--forward"], "model.bidirectional", False),
    "--uncounted-act": (["--uncounted-act", "bye"], "scores.uncounted_acts", ("bye",)),
    "--baseline": (["--baseline", "template-filler"], "baselines.kinds", ("template-filler",)),
}


def test_every_option_arrives_under_the_key_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    check_options("describe", "Describer", DescribeRunConfig, SPECIAL, monkeypatch)


def test_train_predict_and_eval(tmp_path: Path, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    file, run = tmp_path / "a.jsonl", tmp_path / "run"
    rows = [{"act": "inform", "name": f"n{n % 9}", "food": f"f{n % 4}"} for n in range(60)]
    texts = [f"{row['name']} serves {row['food']} ." for row in rows]
    lines = [json.dumps({**row, "text": text}) for row, text in zip(rows, texts, strict=True)]
    file.write_text("\n".join([*lines, '{"name": "x"}']), encoding="utf-8")

    refused = call("train", "describe", file, "--run", run, *SMALL)
    assert (refused.code, refused.err.count("\n"), run.exists()) == (1, 1, False)
    assert "a.jsonl, line 61: no column text" in refused.err and "--skip-bad" in refused.err
    done = call("train", "describe", file, "--run", run, "--skip-bad", "--num-best=2", *SMALL)
    assert done.code == 0, done.err
    for word in ("lstm-general (this model)", "template-filler", "nearest-record", "error", "BLEU", "chrF"):
        assert word in done.out
    assert "1 rows were left out (1 " in done.err
    assert {"records.json", "report.html", "README.md", "attention.png"} <= {path.name for path in run.iterdir()}
    assert "Of the 2 best texts of each record together" in (run / "README.md").read_text(encoding="utf-8")
    estimate = call("train", "describe", file, "--skip-bad", "--dry-run", *SMALL)
    assert estimate.code == 0 and "parameters" in estimate.out

    def given(text: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
        return call(*arguments)

    asked = '{"act": "inform", "name": "a", "food": "b"}\n\ninform(food=b;name=a)\n'
    said = given(asked, "predict", run)
    first, empty, again = said.out.split("\n")[:3]
    assert (said.code, empty) == (0, "") and first == again
    objects = [json.loads(line) for line in given(asked, "predict", run, "--json").out.splitlines()]
    assert [len(one["texts"]) for one in objects] == [1, 0, 1] and objects[0]["texts"][0]["text"] == first
    several = given(asked, "predict", run, "--n-best=2").out.splitlines()
    assert [line.split("\t")[0] for line in several] == ["1", "1", "3", "3"]
    of_file = call("predict", run, file)
    assert of_file.code == 0 and len(of_file.out.splitlines()) == 61  # whose texts need not be there
    wrong = given('{"name": "a"}\n{"name"\n', "predict", run)
    assert wrong.code == 1 and "stdin, line 2: is no JSON" in wrong.err
    nothing = given("{}\n", "predict", run)
    assert nothing.code == 1 and "stdin, line 1: the record has no attribute" in nothing.err

    file.write_text("\n".join(lines), encoding="utf-8")
    judged = call("eval", run, file)
    assert judged.code == 0 and "9 records" not in judged.out and "36 records" in judged.out
    assert call("eval", run, file, "--source-column=x").code == 2
    for verb in (("score", run, file), ("embed", run, file)):
        assert "a model that says records" in call(*verb).err
