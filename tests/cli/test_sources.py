"""`rnnkit train lm` reads stdin, .gz and folders: the same text wherever it comes from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command import SMALLEST, TEXT, spawn


@pytest.mark.parametrize("source", ["-", "text.txt.gz", "texts"])
def test_the_text_arrives_whole(source: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "texts" / "more").mkdir(parents=True)
    (tmp_path / "texts" / "a.txt").write_text(TEXT[:1000], encoding="utf-8")
    (tmp_path / "texts" / "more" / "b.txt").write_text(TEXT[1000:], encoding="utf-8")
    stdin = TEXT if source == "-" else ""
    outcome = spawn("train", "lm", source, "--run=run", "--json", *SMALLEST, stdin=stdin, cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    parts = json.loads(outcome.out)["data"]
    assert parts["train"]["num_characters"] + parts["test"]["num_characters"] == len(TEXT)
    documents = {"-": 1, "text.txt.gz": 1, "texts": 2}[source]
    assert len(parts["train"]["documents"]) == documents
