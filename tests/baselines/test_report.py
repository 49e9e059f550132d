import sys

import numpy as np
import pytest

from rnnkit.baselines import NgramModel, draw_bytes_and_unseen, ngram_table
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


def test_the_picture_is_a_png(tmp_path):
    draw_bytes_and_unseen(rows(), tmp_path / "ngrams.png")
    data = (tmp_path / "ngrams.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["ngrams.png"]


def test_drawing_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="train"):
        draw_bytes_and_unseen(rows()[:1], tmp_path / "ngrams.png")
