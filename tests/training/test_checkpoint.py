"""A checkpoint comes back bit for bit, or is refused; it is never half there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rnnkit import durable
from rnnkit.errors import CheckpointError, JsonError
from rnnkit.training.checkpoint import Checkpoint, has_checkpoint, load_checkpoint, save_checkpoint


def checkpoint(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "model/weight": torch.randn(3, 4, generator=generator),
        "model/bias": torch.tensor([float("inf"), -0.0, 1e-42]),
        "carry/0.context": torch.randint(0, 9, (2, 3), generator=generator),
        "rng/torch": generator.get_state(),
    }
    return Checkpoint(values={"step": step, "loss": 0.1 + 0.2, "nested": [None, True, {"a": "ü"}]}, tensors=tensors)


def assert_equal(got: Checkpoint, want: Checkpoint) -> None:
    assert got.values == want.values
    assert got.tensors.keys() == want.tensors.keys()
    for name, tensor in want.tensors.items():
        assert got.tensors[name].dtype == tensor.dtype
        assert got.tensors[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def test_it_comes_back_bit_for_bit(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path / "last")
    save_checkpoint(tmp_path / "last", checkpoint(1))
    assert_equal(load_checkpoint(tmp_path / "last"), checkpoint(1))
    assert set(load_checkpoint(tmp_path / "last").group("model")) == {"weight", "bias"}


def test_a_new_one_replaces_the_old_one_and_leaves_no_litter(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    save_checkpoint(tmp_path, checkpoint(2))
    assert_equal(load_checkpoint(tmp_path), checkpoint(2))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("fails_at", [0, 1], ids=["tensors", "index"])
def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    calls, write = iter(range(9)), durable.write_file

    def failing(path: Path, data: bytes) -> None:
        if next(calls) == fails_at:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(durable, "write_file", failing)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, checkpoint(2))
    assert_equal(load_checkpoint(tmp_path), checkpoint(1))


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    for path in sorted(tmp_path.iterdir()):
        data = path.read_bytes()
        for position in range(0, len(data), max(1, len(data) // 150)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            try:
                assert_equal(load_checkpoint(tmp_path), checkpoint(1))  # white space between values may differ
            except CheckpointError as error:
                assert "train again without resume" in str(error) or "format" in str(error)
            path.write_bytes(data)


def test_truncation_is_noticed_everywhere(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    for path in sorted(tmp_path.iterdir()):
        data = path.read_bytes()
        for length in range(0, len(data), max(1, len(data) // 50)):
            path.write_bytes(data[:length])
            with pytest.raises(CheckpointError):
                load_checkpoint(tmp_path)
        path.write_bytes(data)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"sha256": NaN}', '{"sha256": "x", "format": 1}', "[" * 100_000]
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoint.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*checkpoint\.json"):
        load_checkpoint(tmp_path / "nowhere")


def test_values_that_are_no_json_are_refused_before_anything_is_replaced(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    with pytest.raises(JsonError):
        save_checkpoint(tmp_path, Checkpoint(values={"loss": float("nan")}))
    assert_equal(load_checkpoint(tmp_path), checkpoint(1))
    assert json.loads((tmp_path / "checkpoint.json").read_text(encoding="utf-8"))["format"] == 1
