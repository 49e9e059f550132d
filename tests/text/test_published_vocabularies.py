"""The sizes that everybody who reports on WikiText-2 reports."""

import os
from pathlib import Path

import pytest

from rnnkit import text

FOLDER = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "lm_word" / "wikitext2"


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is absent; point RNNKIT_DATA at the data folder")
def test_wikitext_2_has_its_published_numbers_of_words_and_tokens():
    parts = {name: (FOLDER / f"{name}.txt").read_bytes().decode() for name in ("train", "valid", "test")}
    tokenizer = text.build("word", [parts["train"]])
    assert tokenizer.vocab_size == 33_278
    assert {name: len(tokenizer.encode(part)) for name, part in parts.items()} == {
        "train": 2_088_628,
        "valid": 217_646,
        "test": 245_569,
    }
