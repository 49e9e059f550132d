"""The held-out tokens of a bundle: they come back, they are under its digest, and forged ones are refused."""

import json
from typing import Any

import numpy as np
import pytest
import tiny

from rnnkit.bundle import evaluation, write_bundle
from rnnkit.errors import JsonError, SchemaError
from rnnkit.runtime import LanguageModel


def test_the_first_tokens_and_the_documents_that_begin_in_them_are_kept():
    ids = np.arange(5000, dtype=np.uint16) % 29
    files = {evaluation.NAME: evaluation.to_bytes(ids, np.array([0, 7, 4095, 4096]))}
    kept, starts = evaluation.from_files(files, vocab_size=29)
    np.testing.assert_array_equal(kept, ids[:4096])
    assert (kept.dtype, starts.tolist()) == (np.int64, [0, 7, 4095])
    assert evaluation.from_files({}, vocab_size=29) is None


def test_they_stay_through_load_and_save_under_the_digest(tmp_path):
    config, tensors, tokens = tiny.parts()
    sample = evaluation.to_bytes(np.arange(20), np.array([0, 9]))
    write_bundle(tmp_path / "a", config=config, tensors=tensors, files=tiny.files(tokens) | {evaluation.NAME: sample})
    model = LanguageModel.load(tmp_path / "a")
    assert model.save(tmp_path / "b") == model.digest
    ids, starts = LanguageModel.load(tmp_path / "b").evaluation_sample()
    assert (ids.tolist(), starts.tolist()) == (list(range(20)), [0, 9])
    assert LanguageModel.from_parts(config, tensors, tokens).evaluation_sample() is None
    assert LanguageModel.from_parts(config, tensors, tokens).digest != model.digest


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"[]", SchemaError),
        (b'{"ids": [1]}', SchemaError),
        (b'{"ids": [1], "document_starts": [], "more": 1}', SchemaError),
        (b'{"ids": [], "document_starts": []}', SchemaError),
        (b'{"ids": [1, 29], "document_starts": []}', SchemaError),
        (b'{"ids": [-1], "document_starts": []}', SchemaError),
        (b'{"ids": [1.0], "document_starts": []}', SchemaError),
        (b'{"ids": [true], "document_starts": []}', SchemaError),
        (b'{"ids": [9223372036854775807], "document_starts": []}', SchemaError),
        (b'{"ids": "abc", "document_starts": []}', SchemaError),
        (b'{"ids": [1, 2], "document_starts": [2]}', SchemaError),
        (b'{"ids": [1, 2], "document_starts": [1, 1]}', SchemaError),
        (b'{"ids": [NaN], "document_starts": []}', JsonError),
        (json.dumps({"ids": [1] * 5000, "document_starts": []}).encode(), SchemaError),
        (b" " * (1 << 21), JsonError),
    ],
)
def test_a_forged_file_is_refused_by_name(content, error):
    with pytest.raises(error, match=r"evaluation\.json"):
        evaluation.from_files({evaluation.NAME: content}, vocab_size=29)


def test_the_sequences_of_a_classifier_come_back_in_every_digit_and_not_more_than_fit():
    rng = np.random.default_rng(0)
    sizes = {"num_labels": 3, "below": [0], "input_size": 4}
    frames = [rng.normal(size=(n, 4)).astype(np.float32) for n in (5, 0, 9000, 3)]
    files = evaluation.of_sequences(frames, np.array([2, 0, 1, 1]))
    kept, targets = evaluation.sequences_from_files(files, **sizes)
    assert targets.tolist() == [2, 0, 1]  # without the one that is too long
    assert all(map(np.array_equal, kept, [frames[row] for row in (0, 1, 3)]))
    many = evaluation.of_sequences([np.array([number]) for number in range(1500)], np.arange(1500) % 3)
    kept, targets = evaluation.sequences_from_files(many, **sizes | {"below": [1500], "input_size": 0})
    assert len(kept) == 1024 and all(ids[0] % 3 == target for ids, target in zip(kept, targets, strict=True))
    assert max(ids[0] for ids in kept) > 1400  # not the first ones: they may stand in the order of their labels
    assert evaluation.of_sequences([frames[2]], np.array([0])) == {}
    assert evaluation.sequences_from_files({}, **sizes) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[]", "must hold inputs and labels"),
        (b'{"ids": [1], "document_starts": []}', "must hold inputs and labels"),
        (b'{"inputs": [[1]], "labels": [3]}', r"label in 0\.\.2"),
        (b'{"inputs": [[1]], "labels": [1, 2]}', r"label in 0\.\.2"),
        (b'{"inputs": [], "labels": []}', r"label in 0\.\.2"),
        (b'{"inputs": [[9]], "labels": [1]}', r"ids of inputs must be in 0\.\.8"),
        (b'{"inputs": [[1.5]], "labels": [1]}', "must be a list of integers"),
        (b'{"inputs": [1], "labels": [1]}', "must be a list of integers"),
    ],
)
def test_forged_sequences_are_refused(content, said):
    with pytest.raises(SchemaError, match=said):
        evaluation.sequences_from_files({evaluation.NAME: content}, num_labels=3, below=[9], input_size=0)
    frames = {evaluation.NAME: content.replace(b"[1]", b"[[1, true]]", 1)}
    with pytest.raises(SchemaError):
        evaluation.sequences_from_files(frames, num_labels=3, below=[0], input_size=2)


def test_rows_of_words_come_back_and_ids_that_there_are_not_are_refused() -> None:
    words = [np.array([[4, 2, 0], [1, 1, 2]]), np.zeros((0, 3), np.int64)]
    files = evaluation.of_sequences(words, np.array([1, 0]))
    sizes: dict[str, Any] = {"num_labels": 2, "input_size": 0}
    kept = evaluation.sequences_from_files(files, below=[5, 3, 3], **sizes)
    assert kept is not None
    assert [sequence.tolist() for sequence in kept[0]] == [sequence.tolist() for sequence in words]
    assert (kept[0][1].shape, kept[0][0].dtype) == ((0, 3), np.int64)
    for below in ([4, 3, 3], [5, 3, 2], [5, 3], [5, 3, 3, 3]):
        with pytest.raises(SchemaError, match=f"rows of {len(below)} integers"):
            evaluation.sequences_from_files(files, below=below, **sizes)


def test_some_pairs_of_texts_are_kept_always_the_same_of_as_many():
    pairs = [(f"source {n}" * (n % 5), f"target {n}") for n in range(3000)]
    files = evaluation.of_pairs(pairs)
    kept = evaluation.pairs_from_files(files)
    assert kept is not None and 0 < len(kept) <= evaluation.MAX_SEQUENCES and set(kept) <= set(pairs)
    assert sum(len(source) + len(target) for source, target in kept) <= evaluation.MAX_CHARACTERS
    assert evaluation.of_pairs(pairs) == files
    assert evaluation.of_pairs([("x" * 200_000, "y")]) == {} and evaluation.pairs_from_files({}) is None


@pytest.mark.parametrize(
    "content",
    [b"[]", b'{"pairs": []}', b'{"pairs": [["a"]]}', b'{"pairs": [["a", 1]]}', b'{"pairs": 1}', b'{"ids": []}'],
)
def test_pairs_that_are_none_are_refused(content):
    with pytest.raises(SchemaError, match="must hold pairs of texts"):
        evaluation.pairs_from_files({evaluation.NAME: content})
