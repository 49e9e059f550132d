"""EncoderDecoder: losses and gradients as in float64 by torch alone, every option at work, the way through a bundle."""

import copy
import itertools
import json

import numpy as np
import pytest
import torch

from rnnkit.bundle import schema
from rnnkit.errors import ConfigError
from rnnkit.models.encoder_decoder import EncoderDecoder
from rnnkit.models.encoder_decoder_config import ATTENTION, CONDITIONING, ENCODERS, EncoderDecoderConfig

SHAPE = {"vocab_size": 11, "source_vocab_size": 13, "embedding_size": 6, "hidden_size": 8}


def config(**options):
    return EncoderDecoderConfig(**{**SHAPE, **options})


def made(seed=0, **options):
    torch.manual_seed(seed)
    model = EncoderDecoder(config(**options))
    with torch.no_grad():  # no gradient vanishes because a parameter is 0 or tiny
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return model.eval()


def batch(seed=0, *, source_vocab_size=13):
    """Sources and targets of uneven lengths, and which targets count."""
    rng = torch.Generator().manual_seed(seed)
    sources = torch.randint(source_vocab_size, (7, 5), generator=rng)
    targets = torch.randint(11, (6, 5), generator=rng)
    previous = torch.cat([torch.full((1, 5), 10), targets[:-1]])
    lengths = torch.tensor([6, 1, 4, 6, 2])
    weights = (torch.arange(6)[:, None] < lengths).float()
    return (sources, torch.tensor([7, 1, 5, 2, 7]), previous), targets, lengths, weights


CASES = [
    {"conditioning": conditioning, "attention": attention, "input_feeding": feeds}
    for conditioning, attention, feeds in itertools.product(CONDITIONING, ATTENTION, (False, True))
    if attention != "none" or (conditioning != "none" and not feeds)
]
CASES += [
    {"cell": "gru_after", "num_layers": 2, "attention": "general"},
    {"num_layers": 2, "encoder_layers": 1, "attention": "additive", "attention_size": 5},
    {"num_layers": 1, "encoder_layers": 3, "encoder_size": 5, "attention": "general"},
    {"bidirectional": False, "attention": "dot"},
    {"bidirectional": False, "encoder_size": 5},
    {"tied": True, "attention": "general"},
    {"tied": True, "embedding_size": 8},
    {"source_vocab_size": 11, "shared_embedding": True, "attention": "general", "input_feeding": True},
    {"source_vocab_size": 11, "copying": True, "attention": "dot"},
    {"source_vocab_size": 11, "copying": True, "attention": "additive", "coverage": 0.7, "input_feeding": True},
    {"coverage": 0.5, "attention": "additive"},
]
each_case = pytest.mark.parametrize("options", CASES, ids=lambda case: "-".join(map(str, case.values())))


@pytest.mark.filterwarnings("ignore::rnnkit.nn.SpecBackendWarning")
@each_case
def test_losses_and_every_gradient_agree_with_float64(options):
    model = made(**options)
    inputs, targets, lengths, weights = batch(source_vocab_size=options.get("source_vocab_size", 13))
    exact = copy.deepcopy(model).double()

    def of(model):
        hidden, _ = model(inputs, lengths=lengths)
        losses = model.loss(hidden, targets, weights.to(next(model.parameters()).dtype))
        (losses * weights).sum().backward()
        return losses.detach() * weights, {name: p.grad for name, p in model.named_parameters()}

    (want, gradients), (got, ours) = of(exact), of(model)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)
    for name, gradient in gradients.items():
        error = float((ours[name] - gradient).norm() / gradient.norm().clamp(min=1e-30))
        assert error < 5e-5, f"{name}: relative error {error:.1e}"
        assert gradient.any(), f"{name} has no gradient at all"


@each_case
def test_a_row_is_what_it_is_by_itself(options):
    model = made(**options)
    (sources, source_lengths, previous), targets, *_ = batch(source_vocab_size=options.get("source_vocab_size", 13))
    losses = model.loss(model((sources, source_lengths, previous))[0], targets)
    for row, length in enumerate(source_lengths.tolist()):
        alone, _ = model((sources[:length, [row]], source_lengths[[row]], previous[:, [row]]))
        torch.testing.assert_close(model.loss(alone, targets[:, [row]])[:, 0], losses[:, row], rtol=0, atol=4e-6)


@each_case
def test_all_steps_at_once_are_each_step_by_itself(options):
    model = made(**options)
    (sources, lengths, previous), *_ = batch(source_vocab_size=options.get("source_vocab_size", 13))
    encodings = model.encode(sources, lengths)
    hidden, after, weights = model.decode(previous, encodings)
    fed = looked = None
    for t, ids in enumerate(previous):
        step, state, looks = model.decode(ids[None], encodings, feed=fed, looked=looked)
        if looks is not None:
            looked = looks[0] if looked is None else looked + looks[0]
        encodings = encodings._replace(start=state)
        fed = step[0] if options.get("input_feeding") else None
        torch.testing.assert_close(step[0], hidden[t], rtol=0, atol=2e-6)
        if weights is not None:
            torch.testing.assert_close(looks[0], weights[t], rtol=0, atol=2e-6)
    for part, last in zip(after.layers[-1].values(), state.layers[-1].values(), strict=True):
        torch.testing.assert_close(part, last, rtol=0, atol=2e-6)


def losses(*, train=True, seed=0, **options):
    torch.manual_seed(seed)
    model = EncoderDecoder(config(**options)).train(train)
    inputs, targets, lengths, weights = batch()
    inputs = (inputs[0] % model.config.source_vocab_size, *inputs[1:])
    torch.manual_seed(seed)
    return model.loss(model(inputs, lengths=lengths)[0], targets, weights)


@pytest.mark.parametrize(
    "options",
    [
        {"source_vocab_size": 11, "attention": "dot", "copying": True},
        {"attention": "additive", "coverage": 0.5},
        {"conditioning": "concat"},
        {"conditioning": "both"},
        {"attention": "general", "conditioning": "none"},
        {"attention": "dot"},
        {"attention": "general"},
        {"attention": "additive"},
        {"attention": "additive", "attention_size": 3},
        {"attention": "general", "input_feeding": True},
        {"bidirectional": False},
        {"encoder_size": 5},
        {"encoder_layers": 2},
        {"tied": True},
        {"source_vocab_size": 11, "shared_embedding": True},
        {"cell": "gru_before"},
        {"num_layers": 2},
        {"label_smoothing": 0.1},
        {"scheduled_sampling": 0.5},
        {"input_dropout": 0.5},
        {"output_dropout": 0.5},
        {"output_dropout": 0.5, "locked_dropout": True},
        {"word_dropout": 0.5},
        {"embedding_dropout": 0.5},
        {"weight_dropout": 0.5},
        {"recurrent_dropout": 0.5},
        {"num_layers": 2, "dropout": 0.5},
    ],
    ids=str,
)
def test_every_option_changes_the_result(options):
    *needed, last = options  # the last one is what this case is about
    assert not torch.equal(losses(**options), losses(**{name: options[name] for name in needed})), last


@pytest.mark.parametrize(
    "name",
    ["input_dropout", "output_dropout", "word_dropout", "embedding_dropout", "label_smoothing", "scheduled_sampling"],
)
def test_what_is_for_training_acts_in_training_only(name):
    assert torch.equal(losses(**{name: 0.5}, train=False), losses(train=False))


def test_the_bundles_schema_knows_the_same_choices():
    assert (schema.ENCODERS, schema.CONDITIONING, schema.ATTENTION) == (ENCODERS, CONDITIONING, ATTENTION)


def test_a_smoothed_loss_is_what_torch_calls_one():
    torch.manual_seed(0)
    model = EncoderDecoder(config(label_smoothing=0.2)).train()
    inputs, targets, lengths, _ = batch()
    hidden, _ = model(inputs, lengths=lengths)
    want = torch.nn.functional.cross_entropy(
        model.log_prob(hidden).flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=0.2
    )
    torch.testing.assert_close(model.loss(hidden, targets).flatten(), want, rtol=1e-5, atol=1e-6)


def test_what_is_predicted_is_what_some_of_the_next_steps_read():
    model = made(scheduled_sampling=0.999).train()
    (sources, lengths, previous), *_ = batch()
    encodings = model.encode(sources, lengths)
    best = model.log_prob(model.decode(previous, encodings)[0]).argmax(-1)
    mixed = model._partly_predicted(previous, encodings, None)
    torch.testing.assert_close(mixed[0], previous[0])
    assert (mixed[1:] == best[:-1]).float().mean() > 0.9


@each_case
def test_export_and_back_give_the_same_model(options):
    model = made(**options)
    exported, tensors = model.export()
    back = EncoderDecoder.from_export(json.loads(json.dumps(exported)), tensors).eval()
    inputs, *_ = batch(source_vocab_size=options.get("source_vocab_size", 13))
    targets = torch.arange(30).view(6, 5) % 11
    assert torch.equal(model.loss(model(inputs)[0], targets), back.loss(back(inputs)[0], targets))
    assert all(array.dtype == np.float32 for array in tensors.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditioning": "none"}, "would know nothing"),
        ({"conditioning": "all"}, "conditioning='all' does not exist; choose one of state"),
        ({"attention": "global"}, "attention='global' does not exist"),
        ({"attention": "dot", "encoder_size": 3}, "encodings of 6 numbers"),
        ({"attention": "general", "attention_size": 4}, "is for attention='additive'"),
        ({"input_feeding": True}, "choose an attention"),
        ({"attention": "dot", "input_feeding": True, "scheduled_sampling": 0.1}, "does not go with input_feeding"),
        ({"shared_embedding": True}, "one vocabulary, there are 13 and 11"),
        ({"hidden_size": (4, 4)}, "give one for all"),
        ({"proj_size": 4}, "proj_size=4"),
        ({"trainable_state": True}, "the encoder starts the decoder"),
        ({"copying": True, "attention": "dot"}, "one vocabulary: there are 13 and 11 tokens"),
        (
            {"copying": True, "attention": "dot", "source_vocab_size": 11, "label_smoothing": 0.1},
            "does not go with copying",
        ),
        ({"coverage": 1.0, "attention": "dot"}, "is read by attention='additive'"),
        ({"coverage": -1.0, "attention": "additive"}, "coverage=-1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"embedding_size": 0}, "embedding_size=0"),
        ({"source_vocab_size": 0}, "source_vocab_size=0"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        config(**options)


def test_what_is_copied_is_the_attention_to_each_token_of_the_source():
    model = made(source_vocab_size=11, copying=True, attention="general")
    inputs, targets, _, _ = batch(source_vocab_size=11)
    written, _ = model(inputs)
    log_probs = model.log_prob(written)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(6, 5), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.loss(written, targets), -log_probs.gather(-1, targets[..., None])[..., 0])
    with torch.no_grad():
        model.copy.bias.fill_(-50.0)  # nothing but copies
    copied = model.log_prob(model(inputs)[0]).exp()
    for row, length in enumerate(inputs[1].tolist()):
        there = set(inputs[0][:length, row].tolist())
        for token in range(11):
            assert (token in there) == bool((copied[:, row, token] > 1e-6).any())


def test_looking_twice_costs_what_coverage_says_while_training():
    model = made(attention="additive", coverage=0.5)
    inputs, targets, lengths, weights = batch()
    written, _ = model(inputs, lengths=lengths)
    plain, trained = model.loss(written, targets, weights), model.train().loss(written, targets, weights)
    looked = torch.zeros_like(written.weights[0])
    for t in range(6):
        want = 0.5 * torch.minimum(written.weights[t], looked).sum(-1) * weights[t]
        torch.testing.assert_close(trained[t] - plain[t], want, rtol=1e-4, atol=1e-5)
        looked = looked + written.weights[t]
