"""The trained encoder-decoder: as the learn half says, the same bits in any batch, and its state a value."""

import itertools
import math

import numpy as np
import pytest
import torch

from rnnkit import runtime
from rnnkit.errors import ArgumentError, DataError, DtypeError, SchemaError, ShapeError, StateError
from rnnkit.models.encoder_decoder import EncoderDecoder
from rnnkit.models.encoder_decoder_config import ATTENTION, CONDITIONING, EncoderDecoderConfig
from rnnkit.state import State
from rnnkit.text import CharTokenizer, SourceAndTarget, build
from rnnkit.text.source_target import END

SOURCES = ["abcab", "c", "", "bacbacbac", "ab", "cccccc", "abcab"]
TARGETS = ["xyz", "", "zzxy", "x", "yzyzyz", "xy", "yyy"]
CASES = [
    {"conditioning": conditioning, "attention": attention, "input_feeding": feeds}
    for conditioning, attention, feeds in itertools.product(CONDITIONING, ATTENTION, (False, True))
    if attention != "none" or (conditioning != "none" and not feeds)
]
CASES += [
    {"cell": "gru_after", "num_layers": 2, "attention": "general", "tied": True},
    {"num_layers": 2, "encoder_layers": 1, "attention": "additive", "attention_size": 5, "input_feeding": True},
    {"bidirectional": False, "attention": "dot", "zoneout": 0.1},
    {"attention": "general", "is_joint": True},
    {"encoder": "set", "bidirectional": False, "conditioning": "both", "attention": "general", "num_layers": 2},
    {"encoder": "set", "bidirectional": False, "conditioning": "state", "attention": "none"},
    {"attention": "dot", "is_joint": True, "copying": True},
    {"attention": "additive", "coverage": 0.5, "input_feeding": True},
    {"attention": "additive", "coverage": 0.5, "is_joint": True, "copying": True, "conditioning": "both"},
]
each_case = pytest.mark.parametrize("options", CASES, ids=lambda case: "-".join(map(str, case.values())))


def texts(*, is_joint=False):
    if is_joint:
        return SourceAndTarget(build("char", ["abcxyz"], special_tokens=[END]))
    target = CharTokenizer("xyz", with_unknown=False, special_tokens=[END])  # few enough to try every text
    return SourceAndTarget(target, build("char", ["abc"], special_tokens=[END]))


def learned(*, scale=0.5, seed=0, is_joint=False, **options):
    own = texts(is_joint=is_joint)
    sizes = {"vocab_size": own.target.vocab_size, "source_vocab_size": own.source.vocab_size}
    shape = {"embedding_size": 6, "hidden_size": 8, "shared_embedding": is_joint}
    torch.manual_seed(seed)
    model = EncoderDecoder(EncoderDecoderConfig(**shape, **sizes, **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
    return model, own


def made(**options):
    model, own = learned(**options)
    return runtime.EncoderDecoder(*model.export(), texts=own)


@pytest.fixture
def threads():
    """set_num_threads for one test."""
    before = runtime.get_num_threads()
    yield runtime.set_num_threads
    runtime.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    return made(attention="general", input_feeding=True, scale=0.8)


@each_case
def test_costs_and_attention_are_those_of_the_learn_half(options):
    module, own = learned(**options)
    model = runtime.EncoderDecoder(*module.export(), texts=own)
    nats = model.nll(zip(SOURCES, TARGETS, strict=True))
    for source, target, ours in zip(SOURCES, TARGETS, nats, strict=True):
        ids, wanted = (
            torch.from_numpy(array)[:, None] for array in (own.encode_source(source), own.encode_target(target))
        )
        previous = torch.cat([torch.full((1, 1), own.end_id), wanted[:-1]])
        with torch.no_grad():
            lengths = torch.tensor([len(ids)])
            _, _, weights = module.decode(previous, module.encode(ids, lengths))
            want = module.loss(module((ids, lengths, previous))[0], wanted)[:, 0].numpy()
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-5)
        if weights is not None:
            np.testing.assert_allclose(model.attention([(source, target)])[0], weights[:, 0], rtol=0, atol=1e-5)


@each_case
def test_costs_are_the_same_bits_alone_step_by_step_and_in_any_order(options):
    model = made(**options)
    pairs = list(zip(SOURCES, TARGETS, strict=True))
    whole = model.nll(pairs)
    for pair, want in zip(pairs, whole, strict=True):
        np.testing.assert_array_equal(model.nll([pair])[0], want)
    for got, want in zip(model.nll(pairs[::-1]), whole[::-1], strict=True):
        np.testing.assert_array_equal(got, want)
    for (source, target), want in zip(pairs, whole, strict=True):
        state, last = model.encode([source]), model.begin_id
        for token, nats in zip(model.texts.encode_target(target).tolist(), want, strict=True):
            log_probs, state = model.step([last], state)
            assert -float(log_probs[0, token]) == nats
            last = token


@each_case
def test_beams_are_the_same_bits_for_every_batch_and_number_of_threads(options, threads):
    model = made(**options)
    want = [model.translate([source], n_best=3, num_beams=4)[0] for source in SOURCES]
    for count, order in ((1, [*range(len(SOURCES))]), (2, [5, 3, 1, 0, 6, 2, 4])):
        threads(count)
        got = model.translate([SOURCES[row] for row in order], n_best=3, num_beams=4)
        assert got == [want[row] for row in order]


def every_target(model, source, most):
    """(log-probability with its end, text) of every text of at most so many tokens."""
    regular = range(model.vocab_size - 1)
    found = []
    for length in range(most):
        for ids in itertools.product(regular, repeat=length):
            text = model.texts.decode(ids)
            found.append((float(model.score([(source, text)])[0]), length + 1, text))
    return found


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_a_beam_as_wide_as_there_are_texts_finds_the_best_of_all(length_penalty):
    model = made(attention="additive", scale=0.7)
    for source in ("ab", "ccca"):
        found = model.translate([source], num_beams=200, n_best=5, length_penalty=length_penalty, max_new_tokens=4)[0]
        texts = every_target(model, source, 4)
        want = sorted((log_prob / size**length_penalty for log_prob, size, _ in texts), reverse=True)[:5]
        np.testing.assert_allclose([one.score for one in found], want, rtol=1e-5)
        best = max(texts, key=lambda one: one[0] / one[1] ** length_penalty)
        assert (found[0].text, found[0].num_tokens) == (best[2], best[1])


def test_a_hypothesis_says_what_the_model_scores_it(model):
    for source, hypotheses in zip(SOURCES, model.translate(SOURCES, n_best=4, max_new_tokens=30), strict=True):
        for one in hypotheses:
            assert one.score == pytest.approx(one.log_prob / one.num_tokens)
            if one.num_tokens < 30:
                assert one.log_prob == pytest.approx(float(model.score([(source, one.text)])[0]), rel=1e-4)


def test_greedy_takes_the_best_token_of_every_step(model):
    for source, text in zip(SOURCES, model.translate(SOURCES, num_beams=1, max_new_tokens=9), strict=True):
        state, last, ids = model.encode([source]), model.begin_id, []
        while len(ids) < 9:
            log_probs, state = model.step([last], state)
            last = int(log_probs[0].argmax())
            if last == model.end_id:
                break
            ids.append(last)
        assert text == model.texts.decode(ids)


def test_a_text_without_an_end_is_cut_off_and_one_with_an_end_preferred():
    model = made(attention="general", scale=0.0)  # every token as likely as any other
    (found,) = model.translate(["ab"], n_best=1, num_beams=1, max_new_tokens=3)
    assert found[0].num_tokens == 3
    (found,) = model.translate(["ab"], n_best=8, num_beams=8, max_new_tokens=3)
    assert all(one.log_prob == pytest.approx(-one.num_tokens * math.log(model.vocab_size)) for one in found)
    assert found[0].num_tokens == 1 or found[0].score == pytest.approx(found[-1].score)


def test_early_stopping_ends_sooner_with_no_better_texts(model):
    for source in SOURCES:
        (soon,), (late,) = (
            model.translate([source], n_best=1, num_beams=3, early_stopping=early)[0] for early in (True, False)
        )
        assert soon.score <= late.score + 1e-9


def test_no_run_of_tokens_comes_twice_where_none_may(model):
    for text in model.translate(SOURCES, num_beams=3, max_new_tokens=12, no_repeat_ngram_size=2):
        pairs = list(itertools.pairwise(text))
        assert len(pairs) == len(set(pairs))


@each_case
def test_drawn_texts_are_the_same_in_any_order_and_follow_from_the_seed(options):
    model = made(**options)
    want = model.sample(SOURCES, seed=3, temperature=1.2)
    assert want == model.sample(SOURCES, seed=3, temperature=1.2) != model.sample(SOURCES, seed=4, temperature=1.2)
    for row, source in enumerate(SOURCES):
        assert model.sample([source], seed=3, temperature=1.2, stream=row) == [want[row]]
    assert model.sample(SOURCES, temperature=0, max_new_tokens=9) == model.translate(
        SOURCES, num_beams=1, max_new_tokens=9
    )
    assert model.sample(SOURCES, max_new_tokens=0) == [""] * len(SOURCES)


def test_texts_are_drawn_as_often_as_they_are_likely():
    model = made(attention="additive", scale=0.7)
    drawn = model.sample(["ab"] * 4000, seed=1)
    for text in sorted(set(drawn), key=drawn.count)[-5:]:
        share = math.exp(float(model.score([("ab", text)])[0]))
        assert abs(drawn.count(text) / 4000 - share) < 4 * math.sqrt(share / 4000)


# ---- the state -------------------------------------------------------------------------------------------------------


@each_case
def test_a_state_is_sliced_stacked_kept_and_forked(options):
    model = made(**options)
    states = model.encode(SOURCES)
    apart = [model.encode([source], places=10) for source in SOURCES]
    assert State.stack(apart) == model.encode(SOURCES, places=10)
    begin = [model.begin_id] * len(SOURCES)
    log_probs, after = model.step(begin, states)
    for row, one in enumerate(apart):
        alone, its_after = model.step([model.begin_id], one)
        np.testing.assert_array_equal(alone[0], log_probs[row])
        again, _ = model.step([model.begin_id], states[row])
        np.testing.assert_array_equal(again[0], log_probs[row])
        kept = State.from_bytes(its_after.to_bytes(), like=model.initial_state(1, places=10))
        assert kept == its_after
        forks = [model.step([token], kept)[0] for token in (0, 1)]
        np.testing.assert_array_equal(forks[1][0], model.step([1] * len(SOURCES), after)[0][row])
        assert not np.array_equal(*forks)


def test_a_state_of_another_model_or_shape_is_refused(model):
    other = made(attention="general", input_feeding=True, seed=1)
    with pytest.raises(StateError, match="belongs to model"):
        model.step([0], other.encode(["ab"]))
    with pytest.raises(ShapeError, match=r"state part 0.h is float32 \[2, 8\]"):
        model.step([0], model.encode(["ab", "c"]))
    with pytest.raises(ArgumentError, match=r"start from model.encode\(texts\)"):
        model.step([0], None)
    with pytest.raises(ArgumentError, match="the longest source has 6 tokens"):
        model.encode(["abcab"], places=5)


# ---- bundles ---------------------------------------------------------------------------------------------------------


@each_case
def test_a_saved_model_is_the_same_model(options, tmp_path):
    model = made(**options)
    assert model.save(tmp_path / "run") == model.digest
    back = runtime.EncoderDecoder.load(tmp_path / "run")
    assert back.digest == model.digest and back.num_parameters == model.num_parameters
    assert back.translate(SOURCES) == model.translate(SOURCES)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_are_near(precision):
    module, own = learned(attention="general", input_feeding=True)
    exact, near = (runtime.EncoderDecoder(*module.export(), texts=own, precision=p) for p in ("fp32", precision))
    for want, got in zip(*(one.nll(zip(SOURCES, TARGETS, strict=True)) for one in (exact, near)), strict=True):
        np.testing.assert_allclose(got, want, rtol=0.1, atol=0.1)
        assert not np.array_equal(got, want)


def test_parts_that_do_not_belong_together_are_refused():
    module, own = learned(attention="dot")
    exported, tensors = module.export()
    with pytest.raises(SchemaError, match="the source's tokeniser has 8 tokens"):
        runtime.EncoderDecoder(exported, tensors, texts=SourceAndTarget(own.target, texts(is_joint=True).source))
    for key, value, message in [
        ("attention", "global", "model.attention 'global' is not known"),
        ("input_feeding", 1, "model.input_feeding is 1"),
        ("encoder_size", 0, "model.encoder_size is 0"),
        ("encoder_size", 3, "encodings of hidden_size 8 numbers, they have 6"),
        ("shared_embedding", True, "shared_embedding and copying need one vocabulary"),
    ]:
        with pytest.raises((SchemaError, ValueError), match=message):
            runtime.EncoderDecoder({**exported, "model": {**exported["model"], key: value}}, tensors, texts=own)


def test_bad_calls_are_named(model):
    with pytest.raises(DtypeError, match="put it in a list"):
        model.translate("abc")
    with pytest.raises(DtypeError, match="text 1 must be a str, got int"):
        model.translate(["a", 3])
    with pytest.raises(DataError, match="text 1: "):
        model.translate(["a", "\ud800"])
    with pytest.raises(ArgumentError, match="num_beams is 0"):
        model.translate(["a"], num_beams=0)
    with pytest.raises(ArgumentError, match="n_best is 6"):
        model.translate(["a"], n_best=6)
    with pytest.raises(ArgumentError, match="has no attention to show"):
        made().attention([("a", "x")])
    assert model.translate([]) == [] and model.nll([]) == [] and len(model.score([])) == 0
