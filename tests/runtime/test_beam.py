"""Beam search against trying every continuation, and against what `generate` writes greedily."""

import itertools
import math

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.errors import ArgumentError, DtypeError, StateError
from rnnkit.runtime.beam import _ranked
from rnnkit.state import State

PROMPTS = ["the quick", "", "fox\n", "a dog jumps over the lazy fox and the dog", "the quick"]


@pytest.fixture(scope="module", params=["byte", "char", "word", "bpe", "adaptive"])
def model(request):
    shape = {"hidden_size": 16}
    if request.param == "adaptive":
        return runtime.LanguageModel.from_parts(*tiny.parts(**shape, softmax="adaptive", cutoffs=[5, 12]))
    return runtime.LanguageModel.from_parts(*tiny.parts(request.param, **shape))


@pytest.fixture(scope="module")
def char_model():
    return runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=24, num_layers=2))


def log_prob(model, prompt, ids):
    """What the model says of tokens after a prompt."""
    before = model.tokenizer.encode(prompt)
    whole = np.array([model.begin_id, *before, *ids])
    log_probs = model(whole[:-1, None])[0][len(before) :, 0]
    return sum(float(log_probs[place, token]) for place, token in enumerate(ids))


def every_text(model, prompt, length, *, stop=None):
    """(log-probability, tokens, text) of every continuation of `length` tokens, or up to a stop string."""
    found = {}
    for ids in itertools.product(range(model.vocab_size), repeat=length):
        for end in range(1, length + 1):
            text = model.tokenizer.decode(np.array(ids[:end]))
            if stop and stop in text:
                found[ids[:end]] = text[: text.find(stop)]
                break
        else:
            found[ids] = model.tokenizer.decode(np.array(ids))
    return [(log_prob(model, prompt, ids), len(ids), text) for ids, text in found.items()]


@pytest.fixture(scope="module")
def small_model():
    tokens = runtime.LanguageModel.from_parts(*tiny.parts()).tokenizer
    small = type(tokens)("ab\n", with_unknown=True)  # four tokens
    config = tiny.config(vocab_size=4, hidden_size=9)
    return runtime.LanguageModel.from_parts(config, tiny.tensors(config, seed=3), small)


@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.5, -0.7])
@pytest.mark.parametrize("stop", [None, "b", "ab"])
@pytest.mark.parametrize(("prompt", "num_return"), [("ba", 6), ("", 1), ("a", 1), ("b", 2)])
def test_enough_beams_find_what_trying_everything_finds(small_model, length_penalty, stop, prompt, num_return):
    want = [
        (total / n**length_penalty, total, n, text) for total, n, text in every_text(small_model, prompt, 4, stop=stop)
    ]
    want.sort(key=lambda item: -item[0])
    found = small_model.beam_search(
        prompt, num_beams=256, num_return=num_return, max_new_tokens=4, length_penalty=length_penalty, stop=stop
    )
    assert [one.text for one in found] == [text for *_, text in want[:num_return]]
    for one, (score, total, num_tokens, _) in zip(found, want, strict=False):
        assert one.num_tokens == num_tokens
        assert one.log_prob == pytest.approx(total, abs=1e-5)
        assert one.score == pytest.approx(score, abs=1e-5)


def test_candidates_come_from_the_best_on_equal_ones_in_order_and_forbidden_ones_never():
    rng = np.random.default_rng(0)
    totals = rng.integers(-9, 0, (3, 40)).astype(np.float64)  # many are equal
    totals[rng.random((3, 40)) < 0.2] = -np.inf
    ranked = [(beam, token, totals[beam, token]) for beam in range(3) for token in range(40)]
    want = sorted((item for item in ranked if item[2] > -np.inf), key=lambda item: -item[2])
    for num_beams in (1, 4, 200):
        assert list(_ranked(totals, num_beams)) == want


def test_the_length_penalty_decides_between_short_and_long(small_model):
    def lengths(penalty):
        found = small_model.beam_search("a", num_beams=64, max_new_tokens=4, length_penalty=penalty, stop="b")
        return found[0].num_tokens

    assert lengths(-2.0) < lengths(4.0)


def test_a_likely_end_does_not_stop_the_search_while_a_longer_text_can_still_win(small_model):
    config, tensors = small_model.config, dict(small_model._tensors)
    tensors["head.bias"] = tensors["head.bias"] + np.float32([0, 3, 0, 0])  # "b" is by far the likeliest
    model = runtime.LanguageModel.from_parts(config, tensors, small_model.tokenizer)
    assert model.beam_search("a", num_beams=64, max_new_tokens=4, length_penalty=0.0, stop="b")[0].text == ""
    assert model.beam_search("a", num_beams=64, max_new_tokens=4, length_penalty=4.0, stop="b")[0].num_tokens == 4


@pytest.mark.parametrize("prompt", PROMPTS)
def test_one_beam_is_greedy(model, prompt):
    found = model.beam_search(prompt, num_beams=1, max_new_tokens=25)
    assert [one.text for one in found] == ["".join(model.generate(prompt, max_new_tokens=25, temperature=0.0))]
    assert found[0].num_tokens == 25


def test_more_beams_find_likelier_texts_and_the_score_is_the_models(char_model):
    scores = []
    for num_beams in (1, 4, 32):
        found = char_model.beam_search("the ", num_beams=num_beams, max_new_tokens=12)
        ids = char_model.tokenizer.encode(found[0].text)
        assert found[0].log_prob == pytest.approx(log_prob(char_model, "the ", ids), abs=1e-4)
        scores.append(found[0].score)
    assert scores[0] < scores[1] <= scores[2]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_return": 3, "stop": ["e", "o w"]},
        {"no_repeat_ngram_size": 2, "prefix": " fox", "length_penalty": -1.0},
    ],
    ids=str,
)
def test_prompts_side_by_side_give_the_bits_of_each_alone(model, options, monkeypatch):
    settings = {"num_beams": 5, "max_new_tokens": 12} | options
    want = [model.beam_search(prompt, **settings) for prompt in PROMPTS]
    assert model.beam_search(PROMPTS, **settings) == want
    monkeypatch.setattr("rnnkit.runtime.beam.MAX_BATCH", 11)  # two prompts at a time
    assert model.beam_search(PROMPTS, **settings) == want


def test_a_saved_state_goes_on_as_if_nothing_had_happened(model):
    settings = {"num_beams": 4, "num_return": 4, "max_new_tokens": 9, "stop": "x"}
    want = model.beam_search(["the quick fox", "over the dog"], **settings)
    state = State.stack([model.read("the quick"), model.read("over the")])
    assert model.beam_search([" fox", " dog"], state=state, **settings) == want
    assert model.beam_search(" dog", state=state[1], **settings) == want[1]
    assert model.beam_search([" fox", " dog"], **settings) != want
    with pytest.raises(StateError, match="belongs to no bundle"):
        model.beam_search(" dog", state=State([dict(parts) for parts in state[0].layers]))


def test_the_best_come_first_with_a_prefix_and_without_repetition(char_model):
    found = char_model.beam_search(
        "the ", num_beams=8, num_return=8, max_new_tokens=20, prefix="fo", no_repeat_ngram_size=2
    )
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len({one.text for one in found}) == 8
    for one in found:
        assert one.text.startswith("fo")
        pairs = list(itertools.pairwise("the " + one.text))
        assert len(set(pairs)) == len(pairs)


def test_no_text_has_a_stop_string_and_nothing_asked_for_gives_nothing(char_model):
    found = char_model.beam_search("the ", num_beams=6, num_return=6, max_new_tokens=30, stop=["e", "x"])
    assert not any(set("ex") & set(one.text) for one in found)
    nothing = char_model.beam_search("the ", num_beams=2, num_return=2, max_new_tokens=0, prefix="fo")
    assert [(one.text, one.score, one.num_tokens) for one in nothing] == [("fo", 0.0, 0)]
    assert char_model.beam_search([], num_beams=2) == []


def test_fewer_texts_than_asked_for_where_there_are_no_more(small_model):
    found = small_model.beam_search("a", num_beams=10, num_return=10, max_new_tokens=1)
    assert len(found) == 4
    assert math.fsum(math.exp(one.log_prob) for one in found) == pytest.approx(1, abs=1e-5)


def test_wrong_options_are_refused_by_name(char_model, small_model):
    for options, message in (
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 2.0}, "num_beams"),
        ({"num_beams": 3, "num_return": 4}, "num_return is 4"),
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        ({"stop": ""}, "stop"),
        ({"prefix": "one", "stop": "n"}, "prefix holds the stop string 'n'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            char_model.beam_search("the", **options)
    with pytest.raises(DtypeError, match="a prompt must be a str"):
        char_model.beam_search([b"the"])
    with pytest.raises(ArgumentError, match="prompt 0, new token 3: every token would repeat a run of 1"):
        small_model.beam_search("a", max_new_tokens=4, no_repeat_ngram_size=1)
