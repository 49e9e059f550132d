import sys
import tracemalloc

import numpy as np
import pytest

from rnnkit.baselines import NgramModel, draw_bytes_and_unseen, ngram_table, report
from rnnkit.errors import MissingExtraError

TOKENS = np.random.default_rng(0).integers(0, 12, 900) ** 2 // 12


def rows():
    return ngram_table(
        TOKENS[:700],
        TOKENS[700:],
        vocab_size=12,
        begin_id=3,
        num_characters=400,
        num_bytes=500,
        unit="word",
        train_starts=[0, 300],
        test_starts=[0, 50],
    )


def test_the_table_holds_every_order_from_the_unigram_to_six():
    table = rows()
    assert [row.name for row in table] == ["unigram", *(f"Kneser-Ney-{n}" for n in range(2, 7))]
    for n, row in enumerate(table, start=1):
        model = NgramModel.fit(TOKENS[:700], order=n, vocab_size=12, begin_id=3, document_starts=[0, 300])
        assert row.score.nll == model.nll(TOKENS[700:], [0, 50]).sum()
        assert row.unseen_share == model.unseen_share(TOKENS[700:], [0, 50])[-1]
        written = row.to_dict()
        assert written["name"] == row.name
        assert written["bytes"] == model.num_bytes
        assert written["perplexity"] == row.score.perplexity
        assert written["train_seconds"] >= 0
    sizes = [row.model.num_bytes for row in table]
    shares = [row.unseen_share for row in table]
    assert sizes == sorted(sizes)
    assert shares == sorted(shares)


def test_of_a_text_larger_than_memory_a_leading_part_is_counted_and_the_row_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_TRAIN_TOKENS", 10_000)
    np.resize(TOKENS, 1 << 20).astype(np.uint8).tofile(tmp_path / "tokens")
    long = np.memmap(tmp_path / "tokens", np.uint8, mode="r")
    sizes = {"vocab_size": 12, "begin_id": 3, "num_characters": 1, "num_bytes": 1, "unit": "char", "orders": [3]}
    tracemalloc.start()
    (row,) = ngram_table(long, TOKENS, train_starts=[0, 300, 10_000, 99_999], **sizes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20  # all of the tokens as int64 alone are 8 MiB
    assert row.name == "Kneser-Ney-3 (first 10,000 tokens)"
    assert row.to_dict()["num_train_tokens"] == 10_000
    counted = NgramModel.fit(long[:10_000], order=3, vocab_size=12, begin_id=3, document_starts=[0, 300])
    assert row.score.nll == counted.nll(TOKENS).sum()
    (whole,) = ngram_table(long[:10_000], TOKENS, **sizes)
    assert whole.name == "Kneser-Ney-3"


def test_the_picture_is_a_png(tmp_path):
    draw_bytes_and_unseen(rows(), tmp_path / "ngrams.png")
    data = (tmp_path / "ngrams.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["ngrams.png"]


def test_drawing_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="train"):
        draw_bytes_and_unseen(rows()[:1], tmp_path / "ngrams.png")
