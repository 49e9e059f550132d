"""Several labels and numbers for every frame in the run half: what the learn half computes, whole and step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import data, runtime
from rnnkit.bundle import schema
from rnnkit.errors import ArgumentError, ConfigError, SchemaError
from rnnkit.models.transducer import Transducer, TransducerConfig

NAMES = ["u", "v", "w", "x"]
SHAPES = {"forwards": {"bidirectional": False, "num_layers": 2, "cell": "gru_after"}, "both": {}}


def make(targets: str, shape: str, num_labels: int = 4) -> tuple[Transducer, runtime.Transducer]:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"input_size": 3, "hidden_size": 7, "num_labels": num_labels, "targets": targets}
    learnt = Transducer(TransducerConfig(**sizes, **SHAPES[shape])).eval()
    with torch.no_grad():
        for name, tensor in learnt.state_dict().items():
            drawn = torch.randn_like(tensor)
            tensor.copy_(drawn.abs() + 0.1 if "deviation" in name else drawn)
    config, tensors = learnt.export()
    return learnt, runtime.Transducer(config, tensors, labels=NAMES[:num_labels])


def recordings() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(length, 3)).astype(np.float32) for length in (5, 0, 1, 130)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("targets", ["labels", "numbers"])
def test_it_agrees_with_the_learn_half(targets: str, shape: str, tmp_path: Path) -> None:
    learnt, model = make(targets, shape)
    given = recordings()
    inputs, lengths = data.padded(given)
    rng = np.random.default_rng(1)
    wanted = rng.integers(0, 2, (*inputs.shape[:2], 4)) + (0.0 if targets == "labels" else rng.normal(size=4))
    wanted[np.arange(len(wanted))[:, None] >= lengths] = np.nan
    with torch.no_grad():
        features, _ = learnt(torch.from_numpy(inputs), lengths=torch.from_numpy(lengths))
        said = (learnt.log_prob if targets == "labels" else learnt.numbers)(features).numpy()
        losses = learnt.loss(features, torch.from_numpy(wanted.astype(np.float32))).numpy()
    model.save(tmp_path)
    again = runtime.Transducer.load(tmp_path)
    assert again.targets == targets
    found = again.log_probs(given) if targets == "labels" else again.predict(given)
    for row, outputs in enumerate(found):
        gold = wanted[: len(outputs), row]
        np.testing.assert_allclose(said[: len(outputs), row], outputs, rtol=1e-5, atol=1e-5)
        p = np.exp(outputs.astype(np.float64))
        of_frames = -np.where(gold > 0.5, np.log(p), np.log1p(-p)).sum(1) if targets == "labels" else (
            ((outputs - gold) / again.target_deviation) ** 2).mean(1)  # fmt: skip
        np.testing.assert_allclose(losses[: len(outputs), row], of_frames, rtol=1e-4, atol=1e-5)
    assert not losses[np.arange(len(losses))[:, None] >= lengths].any()


@pytest.mark.parametrize("targets", ["labels", "numbers"])
def test_whole_chunks_and_steps_give_the_same_bits(targets: str) -> None:
    _, model = make(targets, "forwards")
    frames = recordings()[3]
    (whole,) = model.log_probs([frames]) if targets == "labels" else model.predict([frames])
    beside = model._scores([*recordings(), frames])[4]
    assert beside.tobytes() == whole.tobytes()
    state, found = None, []
    for first in (0, 1, 8, 100):
        end = {0: 1, 1: 8, 8: 100, 100: 130}[first]
        outputs, state = model(frames[first:end, None], state)
        found.append(outputs[:, 0])
    assert np.concatenate(found).tobytes() == whole.tobytes()
    outputs, _ = model.step(frames[:1])
    assert outputs[0].tobytes() == whole[0].tobytes()


def test_labels_are_named_where_they_are_likelier_than_not() -> None:
    _, model = make("labels", "both")
    (log_probs,), (named,) = model.log_probs([recordings()[0]]), model.predict([recordings()[0]])
    assert named == [[NAMES[k] for k in range(4) if np.exp(row[k]) > 0.5] for row in log_probs]
    assert len({len(row) for row in named}) > 1


def test_what_a_model_cannot_say_is_refused() -> None:
    learnt, model = make("numbers", "both", 1)
    with pytest.raises(ArgumentError, match="a model of numbers gives no probabilities; use predict"):
        model.log_probs(recordings())
    with pytest.raises(ConfigError, match=r"have no probabilities; take numbers\(features\)"):
        learnt.log_prob(torch.zeros(1, 1, 14))
    learnt, model = make("labels", "both", 1)
    assert model.predict([recordings()[2]])[0] in ([[]], [["u"]])
    with pytest.raises(ArgumentError, match="labels have no deviation"):
        _ = model.target_deviation
    with pytest.raises(ConfigError, match=r"take log_prob\(features\)"):
        learnt.numbers(torch.zeros(1, 1, 14))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": "words"}, "targets='words' must be one of label, labels, numbers"),
        ({"targets": "labels", "crf": True}, "crf=True: a model of targets 'labels' is for one label a frame"),
        ({"targets": "labels", "label_smoothing": 0.1}, "label_smoothing=0.1"),
        ({"targets": "numbers", "scheme": "bio"}, "scheme='bio'"),
        ({"targets": "label", "num_labels": 1}, "fewer than 2 labels"),
        ({"targets": "numbers", "vocab_size": 5, "embedding_size": 2, "input_size": 0}, "has no tokens"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(change: dict[str, Any], message: str) -> None:
    sizes: dict[str, Any] = {"input_size": 3, "num_labels": 4}
    with pytest.raises(ConfigError, match=message):
        TransducerConfig(**sizes | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": "words"}, "model.targets 'words' is not known"),
        ({"targets": "numbers", "crf": True}, "with neither crf nor scheme"),
        ({"targets": "label", "num_labels": 1}, "model.num_labels is 1"),
        ({"targets": ["labels"]}, "is not known"),
    ],
)
def test_a_bundle_that_says_otherwise_is_refused(change: dict[str, Any], message: str) -> None:
    learnt, _ = make("labels", "both")
    config, _ = learnt.export()
    with pytest.raises(SchemaError, match=message):
        schema.check_config({**config, "model": {**config["model"], **change}})


def test_a_bundle_from_before_there_were_targets_still_loads() -> None:
    learnt, _ = make("label", "both")
    config, tensors = learnt.export()
    del config["model"]["targets"]
    assert runtime.Transducer(config, tensors, labels=NAMES).targets == "label"
    assert "target_scale.mean" in schema.check_config({**config, "model": {**config["model"], "targets": "numbers"}})
