"""The transformer without torch: the learn half's costs, the same bits in every batch, beams, bundles."""

import numpy as np
import pytest
import torch

from rnnkit import runtime
from rnnkit.errors import ArgumentError, SchemaError, TensorError
from rnnkit.models.transformer import Transformer, TransformerConfig, places
from rnnkit.text import SourceAndTarget, build
from rnnkit.text.source_target import END

SOURCES = ["", "a", "ab", "cabbac", "bca", "abcabcabcabcabcabc", "cc"]
TARGETS = ["x", "", "zyx", "xyzxyzxyzxyzxyzxyz", "xx", "z", "yxzzy"]
CASES = [
    {},
    {"tied": False, "num_heads": 1, "encoder_layers": 1},
    {"num_heads": 4, "num_layers": 3, "feedforward_size": 10},
    {"shared_embedding": True},
]
each_case = pytest.mark.parametrize("choices", CASES, ids=lambda case: "-".join(map(str, case)) or "default")


@pytest.fixture
def threads():
    """set_num_threads for one test."""
    before = runtime.get_num_threads()
    yield runtime.set_num_threads
    runtime.set_num_threads(before)


def learned(*, scale=0.3, **choices):
    target = build("char", ["abcxyz" if choices.get("shared_embedding") else "xyz"], special_tokens=[END])
    source = None if choices.get("shared_embedding") else build("char", ["abc"], special_tokens=[END])
    own = SourceAndTarget(target, source)
    sizes = {"vocab_size": own.target.vocab_size, "source_vocab_size": own.source.vocab_size}
    shape = {"hidden_size": 16, "num_heads": 2, "encoder_layers": 2, "num_layers": 2}
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**{**sizes, **shape, **choices})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model, own


def made(**choices):
    model, own = learned(**choices)
    return runtime.Transformer(*model.export(), texts=own)


@each_case
def test_costs_are_those_of_the_learn_half(choices):
    module, own = learned(**choices)
    nats = runtime.Transformer(*module.export(), texts=own).nll(zip(SOURCES, TARGETS, strict=True))
    for source, target, ours in zip(SOURCES, TARGETS, nats, strict=True):
        ids, wanted = (
            torch.from_numpy(array)[:, None] for array in (own.encode_source(source), own.encode_target(target))
        )
        previous = torch.cat([torch.full((1, 1), own.end_id), wanted[:-1]])
        with torch.no_grad():
            hidden, _ = module((ids, torch.tensor([len(ids)]), previous))
            want = module.loss(hidden, wanted)[:, 0].numpy()
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-5)


@each_case
def test_costs_are_the_same_bits_alone_and_in_any_order(choices):
    model = made(**choices)
    pairs = list(zip(SOURCES, TARGETS, strict=True))
    whole = model.nll(pairs)
    for pair, want in zip(pairs, whole, strict=True):
        np.testing.assert_array_equal(model.nll([pair])[0], want)
    for got, want in zip(model.nll(pairs[::-1]), whole[::-1], strict=True):
        np.testing.assert_array_equal(got, want)


@each_case
def test_beams_are_the_same_bits_for_every_batch_and_number_of_threads(choices, threads):
    model = made(**choices)
    want = [model.translate([source], n_best=3, num_beams=4)[0] for source in SOURCES]
    for count, order in ((1, [*range(len(SOURCES))]), (2, [5, 3, 1, 0, 6, 2, 4])):
        threads(count)
        got = model.translate([SOURCES[row] for row in order], n_best=3, num_beams=4)
        assert got == [want[row] for row in order]


def test_a_hypothesis_says_what_the_model_scores_it():
    model = made()
    for source, hypotheses in zip(SOURCES, model.translate(SOURCES, n_best=3, max_new_tokens=30), strict=True):
        for one in hypotheses:
            if one.num_tokens < 30:
                assert one.log_prob == pytest.approx(float(model.score([(source, one.text)])[0]), rel=1e-4)


def test_places_are_those_of_the_learn_half():
    model = made()
    table = np.zeros((1, 16), np.float32)
    got = model._placed(table, np.zeros((40, 1), np.int64), first=7)[:, 0]
    np.testing.assert_allclose(got, places(47, 16)[7:], rtol=0, atol=1e-6)


def test_a_bundle_gives_the_same_and_a_wrong_one_is_named(tmp_path):
    model = made(num_heads=4)
    digest = model.save(tmp_path)
    again = runtime.Transformer.load(tmp_path)
    assert again.digest == digest
    assert again.translate(SOURCES) == model.translate(SOURCES)
    assert again.num_parameters == TransformerConfig(**model.config["model"]).num_parameters
    with pytest.raises(SchemaError, match="is of kind transformer, not encoder_decoder"):
        runtime.EncoderDecoder.load(tmp_path)
    with pytest.raises(ArgumentError, match="has no state of one size"):
        model.initial_state()
    config, tensors = learned()[0].export()
    for wrong, error in (
        (lambda c, t: c["model"].update(num_heads=3), SchemaError),
        (lambda c, t: c["model"].update(depth=3), SchemaError),
        (lambda c, t: c["model"].update(shared_embedding=True, source_vocab_size=9), SchemaError),
        (lambda c, t: t.pop("decoder.1.multihead_attn.in_proj_bias"), TensorError),
        (lambda c, t: t.update({"encoder.0.norm1.weight": np.zeros(3, np.float32)}), TensorError),
    ):
        own_config, own_tensors = {**config, "model": dict(config["model"])}, dict(tensors)
        wrong(own_config, own_tensors)
        with pytest.raises(error):
            runtime.Transformer(own_config, own_tensors, texts=learned()[1])
