import hashlib
import io
import json

import numpy as np
import pytest

from rnnkit.baselines import NgramModel
from rnnkit.errors import DataError, SaveError

TOKENS = np.random.default_rng(0).integers(0, 9, 300) ** 2 // 9


def saved(folder, *, order=4, modified=True):
    model = NgramModel.fit(TOKENS, order=order, vocab_size=9, begin_id=1, document_starts=[0, 100], modified=modified)
    model.save(folder)
    return model


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("modified", [True, False])
def test_a_loaded_model_is_bit_equal(tmp_path, order, modified):
    model = saved(tmp_path, order=order, modified=modified)
    loaded = NgramModel.load(tmp_path)
    test = np.random.default_rng(1).integers(0, 9, 200)
    assert loaded.nll(test).tolist() == model.nll(test).tolist()
    assert loaded.unseen_share(test).tolist() == model.unseen_share(test).tolist()
    assert loaded.discounts == model.discounts
    assert loaded.num_bytes == model.num_bytes


def test_num_bytes_is_what_the_file_holds(tmp_path):
    model = saved(tmp_path)
    with np.load(tmp_path / "ngram.npz", allow_pickle=False) as archive:
        assert sum(archive[name].nbytes for name in archive.files) == model.num_bytes


def test_a_second_save_replaces_the_first_and_leaves_no_litter(tmp_path):
    saved(tmp_path, order=2)
    model = saved(tmp_path, order=3)
    assert NgramModel.load(tmp_path).order == model.order
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ngram.json", "ngram.npz"]


@pytest.mark.parametrize("name", ["ngram.npz", "ngram.json"])
def test_every_flipped_bit_and_every_truncation_is_refused(tmp_path, name):
    model = saved(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    places = np.random.default_rng(2).integers(0, len(data) * 8, 200)
    damaged = [data[: len(data) * n // 40] for n in range(40)]
    damaged += [bytes(b ^ (1 << (p % 8)) if i == p // 8 else b for i, b in enumerate(data)) for p in places.tolist()]
    for bad in damaged:
        path.write_bytes(bad)
        try:
            loaded = NgramModel.load(tmp_path)
        except DataError as error:
            assert "ngram." in str(error)
        else:  # a flip in the head's white space, or of begin_id to another id
            assert name == "ngram.json"
            assert loaded.vocab_size == model.vocab_size
            assert loaded.order == model.order


def write_pair(folder, arrays, **head):
    """Files whose checksum is right: what a mistaken or hostile writer can produce."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (folder / "ngram.npz").write_bytes(buffer.getvalue())
    head = {"format": 1, "order": 2, "vocab_size": 3, "begin_id": 0, "modified": True, **head}
    head.setdefault("sha256", hashlib.sha256(buffer.getvalue()).hexdigest())
    (folder / "ngram.json").write_text(json.dumps({k: v for k, v in head.items() if v is not None}))


def unsigned(*values):
    return np.array(values, dtype=np.uint8)


GOOD = {
    "counts_1": unsigned(1, 1, 0),
    "children_2": unsigned(2, 1, 0),
    "tokens_2": unsigned(0, 1, 0),
    "counts_2": unsigned(1, 1, 1),
}


def test_a_consistent_pair_loads(tmp_path):
    write_pair(tmp_path, GOOD)
    assert abs(NgramModel.load(tmp_path).next_token_probs([1]).sum() - 1) < 1e-12


@pytest.mark.parametrize(
    ("arrays", "head", "words"),
    [
        ({}, {"format": 2}, "format 2"),
        ({}, {"format": None}, "ngram.json"),
        ({}, {"order": 10**9}, "fit no model"),
        ({}, {"order": "2"}, "fit no model"),
        ({}, {"begin_id": 3}, "fit no model"),
        ({}, {"vocab_size": 4}, "vocabulary of 4"),
        ({}, {"modified": 1}, "fit no model"),
        ({}, {"more": 1}, "no n-gram head"),
        ({}, {"sha256": "0"}, "SHA-256"),
        ({}, {"order": 3}, "missing or too many"),
        ({"counts_2": np.array([1.0, 1, 1])}, {}, "unsigned"),
        ({"counts_2": np.array([[1, 1, 1]], dtype=np.uint8)}, {}, "one axis"),
        ({"counts_2": unsigned(1, 0, 1)}, {}, "out of range"),
        ({"counts_2": unsigned(1, 1)}, {}, "sizes of order 2"),
        ({"tokens_2": unsigned(1, 0, 0)}, {}, "out of order"),
        ({"tokens_2": unsigned(0, 3, 0)}, {}, "out of range"),
        ({"children_2": unsigned(2, 2, 0)}, {}, "sizes of order 2"),
        ({"children_2": np.array([2**63, 2**63, 3], dtype=np.uint64)}, {}, "sizes of order 2"),
        ({"counts_2": np.array([None, 1, 2], dtype=object)}, {}, "plain arrays"),
    ],
)
def test_files_that_fit_no_model_are_refused_by_name(tmp_path, arrays, head, words):
    write_pair(tmp_path, {**GOOD, **arrays}, **head)
    with pytest.raises(DataError, match=words) as error:
        NgramModel.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_ngrams_whose_endings_were_never_counted_are_refused(tmp_path):
    trigram = {"children_3": unsigned(0, 0, 1), "tokens_3": unsigned(2), "counts_3": unsigned(1)}
    write_pair(tmp_path, {**GOOD, **trigram}, order=3)
    with pytest.raises(DataError, match="never counted"):
        NgramModel.load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"ngram\.json"):
        NgramModel.load(tmp_path / "nowhere")
    saved(tmp_path)
    (tmp_path / "ngram.npz").unlink()
    with pytest.raises(DataError, match=r"ngram\.npz"):
        NgramModel.load(tmp_path)


def test_a_failed_save_keeps_the_old_model(tmp_path, monkeypatch):
    model = saved(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SaveError, match=r"ngram\.npz after \d+ bytes"):
        saved(tmp_path, order=2)
    monkeypatch.undo()
    assert NgramModel.load(tmp_path).order == model.order
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ngram.json", "ngram.npz"]
