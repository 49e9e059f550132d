"""The n-gram figures that the other models are judged against, on the real texts."""

import os
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from rnnkit.baselines import NgramModel

DATA = Path(os.environ.get("RNNKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def data_file(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; point RNNKIT_DATA at the data folder")
    return path.read_text(encoding="utf-8")


def characters(text):
    return np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)[1]


def mean_nll(tokens, cut, *, modified):
    begin = 0  # the newline
    model = NgramModel.fit(tokens[:cut], order=6, vocab_size=int(tokens.max()) + 1, begin_id=begin, modified=modified)
    return model.nll(tokens[cut:]).mean()


@pytest.mark.parametrize(("modified", "nats"), [(False, 1.558), (True, 1.523)])
def test_kneser_ney_6_on_tinyshakespeare(modified, nats):
    tokens = characters(data_file("lm_char/tinyshakespeare.txt"))
    assert round(mean_nll(tokens, int(len(tokens) * 0.9), modified=modified), 3) == nats


@pytest.mark.parametrize(("modified", "nats"), [(False, 1.198), (True, 1.159)])
def test_kneser_ney_6_on_the_language_reference_of_python_3_11(modified, nats):
    text = "\n\n".join(topics.values())
    if len(text) != 465_126:
        pytest.skip("another Python ships another text")
    tokens = characters(text)
    assert round(mean_nll(tokens, int(len(tokens) * 0.9), modified=modified), 3) == nats


@pytest.mark.slow
def test_kneser_ney_5_on_wikitext_2():
    words = {}
    parts = [
        np.array(
            [
                words.setdefault(w, len(words))
                for w in data_file(f"lm_word/wikitext2/{name}.txt").replace("\n", " <eos> ").split()
            ]
        )
        for name in ("train", "valid", "test")
    ]
    model = NgramModel.fit(parts[0], order=5, vocab_size=len(words), begin_id=words["<eos>"])
    assert len(words) == 33278
    assert [round(float(np.exp(model.nll(part).mean())), 1) for part in parts[1:]] == [232.5, 217.8]
