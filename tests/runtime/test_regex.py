"""Texts that match a regular expression, whatever the model would rather write."""

import json
import re

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.errors import ArgumentError, DtypeError
from rnnkit.kernels.decode import sample
from rnnkit.text import from_json

PROMPTS = ["the quick", "", "fox\n", "the quick"]
KINDS = ("byte", "char", "word", "bpe")


@pytest.fixture(scope="module", params=[*KINDS, "adaptive"])
def model(request):
    if request.param == "adaptive":
        return runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=16, softmax="adaptive", cutoffs=[5, 12]))
    return runtime.LanguageModel.from_parts(*tiny.parts(request.param, hidden_size=16))


@pytest.fixture(scope="module")
def char_model():
    return runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=16))


REGEXES = [
    "( ?(quick|brown|fox))*",
    r" ?[a-z]+( [a-z]+){2,}",
    r".*\n?",
    "",
    r"( ?the| ?lazy dog){1,3}(\n)?",
    r"[\w\s]{3,9}",
]


@pytest.mark.parametrize("regex", REGEXES)
@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_every_text_matches_at_any_length(model, regex, temperature):
    for count in (9, 12, 25):
        options = {"max_new_tokens": count, "temperature": temperature, "regex": regex, "seed": count}
        for text in model.generate(PROMPTS, **options):
            assert re.fullmatch(regex, text, re.ASCII), text


@pytest.mark.parametrize("regex", REGEXES)
def test_prompts_side_by_side_give_the_text_of_each_alone(model, regex):
    options = {"max_new_tokens": 12, "regex": regex, "seed": 3, "repetition_penalty": 1.1}
    want = ["".join(model.generate(prompt, stream=n, **options)) for n, prompt in enumerate(PROMPTS)]
    assert model.generate(PROMPTS, **options) == want
    settings = {"num_beams": 3, "num_return": 2, "max_new_tokens": 12, "regex": regex}
    assert model.beam_search(PROMPTS, **settings) == [model.beam_search(prompt, **settings) for prompt in PROMPTS]


@pytest.mark.parametrize("regex", REGEXES)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_every_hypothesis_matches(model, regex, length_penalty):
    for found in model.beam_search(
        PROMPTS, num_beams=4, num_return=4, max_new_tokens=10, regex=regex, length_penalty=length_penalty
    ):
        assert found
        for one in found:
            assert re.fullmatch(regex, one.text, re.ASCII), one.text


def test_a_text_is_drawn_from_the_models_distribution_over_what_may_come(char_model):
    """Where `[a-e]*` matches, any token may be drawn, and one that is not of it ends the text."""
    tokens, ends = char_model.tokenizer, 0
    for stream in range(30):
        ids, want = list(tokens.encode("the ")), ""
        for step in range(6):
            inputs = np.array([char_model.begin_id, *ids])[:, None]
            features, _ = char_model._forward(inputs, char_model._initial_parts(1), lengths=None)
            logits = char_model._softmax.logits(features[-1])
            if step == 0:  # "[a-e]+" does not match yet
                logits[
                    0, [token for token in range(char_model.vocab_size) if token not in tokens.encode("abcde")]
                ] = -np.inf
            token = int(sample(logits, seed=2, streams=np.array([stream]), step=step)[0])
            if token not in tokens.encode("abcde"):
                ends += 1
                break
            ids.append(token)
            want += tokens.decode([token])
        found = char_model.generate("the ", max_new_tokens=6, regex="[a-e]+", seed=2, stream=stream)
        assert "".join(found) == want
    assert ends > 5


def test_a_text_ends_at_once_where_nothing_goes_on_with_it(char_model):
    texts = {
        "".join(char_model.generate("the ", max_new_tokens=50, regex="(fox|dog)", seed=seed)) for seed in range(20)
    }
    assert texts == {"fox", "dog"}


def test_the_likeliest_match_is_found_and_its_score_counts_the_end(char_model):
    found = char_model.beam_search(
        "the ", num_beams=30, num_return=3, max_new_tokens=2, regex="[ab]|cd", length_penalty=0
    )
    log_probs = char_model(np.array([char_model.begin_id, *char_model.tokenizer.encode("the c")])[:, None])[0][:, 0]
    a, b, c, d = char_model.tokenizer.encode("abcd")
    want = {"a": log_probs[-2][a], "b": log_probs[-2][b], "cd": log_probs[-2][c] + log_probs[-1][d]}
    assert {one.text: one.log_prob for one in found} == pytest.approx(want, abs=1e-5)
    ended = {
        one.text: one
        for one in char_model.beam_search("the ", num_beams=4, num_return=4, max_new_tokens=3, regex="ab?")
    }
    after = char_model(np.array([char_model.begin_id, *char_model.tokenizer.encode("the a")])[:, None])[0][-1, 0]
    assert ended["a"].log_prob == pytest.approx(log_probs[-2][a] + np.log1p(-np.exp(after[b])), abs=1e-5)
    assert (ended["a"].num_tokens, ended["ab"].num_tokens) == (2, 2)


def test_a_prefix_and_forbidden_runs_keep_to_the_regex(model):
    for seed in range(5):
        options = {"max_new_tokens": 14, "regex": r" fox( ?[a-z]+)*", "seed": seed, "no_repeat_ngram_size": 2}
        text = "".join(model.generate("the quick", prefix=" fox", **options))
        assert re.fullmatch(r" fox( ?[a-z]+)*", text)
    assert "".join(model.generate("the quick", prefix=" fox", max_new_tokens=5, regex=" fox")) == " fox"
    assert model.beam_search("the quick", prefix=" fox", max_new_tokens=5, regex=" fox")[0].text == " fox"


@pytest.mark.parametrize("method", ["generate", "beam_search"])
def test_a_mask_that_cannot_be_is_refused_at_the_call_with_its_place(char_model, method):
    run = getattr(char_model, method)
    for options, message in (
        ({"regex": "the (cat|fox7)s*"}, None),  # one way is enough
        ({"regex": "fox(7|8)"}, r"regex 'fox\(7\|8\)' is impossible at its character 6, '8'"),
        ({"regex": "a[A-Z]b"}, r"impossible at its character 1, '\['"),
        ({"regex": "[a-z]{9}", "max_new_tokens": 8}, "max_new_tokens is 8, .* takes 9 tokens"),
        ({"regex": "fox", "prefix": "fix"}, r"prefix 'fix' leaves the regex 'fox' at its character 1, 'i'"),
        ({"regex": "fox", "stop": "x"}, "both say where a text ends"),
        ({"regex": "fo("}, r"character 2, '\('"),
    ):
        if message is None:
            run("the", **options)
            continue
        with pytest.raises(ArgumentError, match=message):
            run("the", **options)
        with pytest.raises(ArgumentError, match=message):
            run(["the", "fox"], **options)
    with pytest.raises(DtypeError, match="regex must be a str"):
        run("the", regex=7)
    with pytest.raises(
        ArgumentError, match="prompt 0, new token 1: every token would repeat a run of 1 or leave the regex"
    ):
        list(run("the", regex="f{4}", no_repeat_ngram_size=1))


def test_words_at_the_beginning_of_a_line_have_no_space_before_them():
    model = runtime.LanguageModel.from_parts(*tiny.parts("word", hidden_size=16))
    for prompt, regex in (("", r"[a-z]+ [a-z]+\n[a-z]+"), ("fox\n", r"[a-z]+\n"), ("fox", r" [a-z]+\n[a-z]+ [a-z]+")):
        for seed in range(5):
            text = "".join(model.generate(prompt, max_new_tokens=9, regex=regex, seed=seed))
            assert re.fullmatch(regex, text)
    with pytest.raises(ArgumentError, match="impossible at its character 0"):
        model.generate("fox", max_new_tokens=9, regex="[a-z]+")


def test_a_match_ends_where_all_that_goes_on_is_forbidden():
    tokens = from_json(
        json.dumps({"format": 1, "kind": "char", "characters": "\nab", "with_unknown": False, "special_tokens": []})
    )
    config = tiny.config(vocab_size=3)
    model = runtime.LanguageModel.from_parts(config, tiny.tensors(config), tokens)
    options = {"max_new_tokens": 9, "regex": "(.|\n)*", "no_repeat_ngram_size": 1}
    assert sorted("".join(model.generate("", **options))) == ["\n", "a", "b"]
    assert "".join(model.generate("", prefix="ab\n", **options)) == "ab\n"
    assert sorted(model.beam_search("", **options)[0].text) == ["\n", "a", "b"]


def test_an_unknown_or_special_token_is_no_text(char_model):
    with pytest.raises(ArgumentError, match="impossible at its character 0"):
        char_model.generate("the", regex="\ufffd")
