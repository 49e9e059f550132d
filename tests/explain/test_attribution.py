"""Saliency: complete, as captum has it on the same model, and 0 for what a model does not read."""

import numpy as np
import pytest
import torch

from rnnkit.errors import ArgumentError
from rnnkit.explain import saliency
from rnnkit.models.acceptor import Acceptor, AcceptorConfig
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.models.transducer import Transducer, TransducerConfig

SIZES = {"num_labels": 3, "vocab_size": 9, "embedding_size": 4, "hidden_size": 6}


def strong(model: torch.nn.Module) -> torch.nn.Module:
    """Weights that make a difference."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.9, 0.9)
    return model


def ids(steps: int = 15) -> torch.Tensor:
    return torch.randint(9, (steps, 1), generator=torch.Generator().manual_seed(1))


MODELS = {
    "acceptor, last": Acceptor(AcceptorConfig(**SIZES)),
    "acceptor, attention and max": Acceptor(AcceptorConfig(**SIZES, readout=("attention", "max"), num_layers=2)),
    "tagger": Transducer(TransducerConfig(**SIZES)),
    "language model": Generator(GeneratorConfig(9, embedding_size=4, hidden_size=6)),
    "language model, one-hot and tied cells": Generator(GeneratorConfig(9, cell="gru_after", hidden_size=6)),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_integrated_gradients_add_up_to_what_the_input_makes(model: torch.nn.Module) -> None:
    found = saliency(strong(model), ids(), label=1)  # type: ignore[arg-type]
    difference = found.score - found.baseline_score
    assert abs(difference) > 1e-3
    assert abs(found.integrated.sum() - difference) <= 1e-3 * abs(difference)
    assert found.error <= 1e-3


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_the_score_is_the_models_own(model: torch.nn.Module) -> None:
    strong(model).eval()
    with torch.no_grad():
        features, _ = model(ids())
        wanted = model.log_prob(features)[-1, 0, 2]
    assert saliency(model, ids(), label=2).score == pytest.approx(float(wanted), rel=1e-4)  # type: ignore[arg-type]


def test_captum_says_the_same_of_the_same_model() -> None:
    attr = pytest.importorskip("captum.attr")
    model = strong(Generator(GeneratorConfig(9, embedding_size=4, hidden_size=6, num_layers=2)))
    found = saliency(model, ids(), label=3)  # type: ignore[arg-type]
    double = model.double().eval()
    double.recurrent.backend = "spec"
    x = double.embedding.weight[ids()[:, 0]].detach()[None].requires_grad_()  # [1, T, E]

    def forward(x: torch.Tensor) -> torch.Tensor:
        return double.log_prob(double.recurrent(x.transpose(0, 1))[0])[-1]

    integrated = attr.IntegratedGradients(forward).attribute(x, target=3, n_steps=256, method="gausslegendre")
    plain = attr.InputXGradient(forward).attribute(x, target=3)
    occluded = attr.Occlusion(forward).attribute(x, target=3, sliding_window_shapes=(1, 4))
    for got, wanted in ((found.integrated, integrated), (found.gradient_input, plain)):
        wanted = wanted[0].detach().numpy()
        assert np.linalg.norm(got - wanted) <= 1e-4 * np.linalg.norm(wanted)
    np.testing.assert_allclose(found.occlusion, occluded[0, :, 0].detach().numpy(), rtol=1e-4, atol=1e-9)


def test_what_a_model_does_not_read_has_no_part() -> None:
    """A tagger that reads forwards says nothing at step 4 by what stands behind it."""
    model = strong(Transducer(TransducerConfig(**SIZES, bidirectional=False)))
    found = saliency(model, ids(), label=0, step=4)  # type: ignore[arg-type]
    for values in (found.integrated, found.gradient_input, found.occlusion):
        assert not values[5:].any()
        assert values[:5].any()


def test_attention_is_that_of_the_readout_and_absent_without_one() -> None:
    model = strong(MODELS["acceptor, attention and max"])
    found = saliency(model, ids(), label=0)  # type: ignore[arg-type]
    assert found.attention is not None
    assert found.attention.shape == (15,)
    assert found.attention.sum() == pytest.approx(1)
    with torch.no_grad():
        hidden, _ = model.eval().recurrent(ids(), embedding=model.embedding.weight)  # type: ignore[operator, union-attr]
        wanted = model.attention(hidden)[:, 0].softmax(0)  # type: ignore[operator]
    np.testing.assert_allclose(found.attention, wanted, rtol=1e-3)
    assert saliency(strong(MODELS["tagger"]), ids(), label=0).attention is None  # type: ignore[arg-type]


def test_frames_are_explained_as_they_are_scaled() -> None:
    model = strong(Acceptor(AcceptorConfig(num_labels=2, input_size=3, hidden_size=5)))
    found = saliency(model, torch.randn(11, 1, 3), label=1)  # type: ignore[arg-type]
    assert found.integrated.shape == (11, 3)
    assert found.error <= 1e-3


@pytest.mark.parametrize(("step", "label"), [(15, 0), (-16, 0), (0, 9), (0, -1)])
def test_a_step_or_label_that_is_not_there_is_named(step: int, label: int) -> None:
    with pytest.raises(ArgumentError, match=rf"step {step}, label {label}: there are outputs at 15 steps, of 9"):
        saliency(MODELS["language model"], ids(), label=label, step=step)  # type: ignore[arg-type]


def test_no_step_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no step"):
        saliency(MODELS["language model"], ids(0), label=0)  # type: ignore[arg-type]
