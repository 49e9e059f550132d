import itertools
import math
import string

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.errors import ArgumentError


def model_of(kind, **options):
    return runtime.LanguageModel.from_parts(*tiny.parts(kind, hidden_size=12, seed=4, **options))


def next_log_probs(model, prefixes, prompt):
    """log p(next | begin, prompt, prefix) for prefixes of one length [N, V], and log p(prefix | prompt) [N]."""
    ids = np.array([[model.begin_id, *model.tokenizer.encode(prompt + prefix)] for prefix in prefixes])
    log_probs, _ = model(ids.T)
    start, steps = 1 + len(model.tokenizer.encode(prompt)), ids.shape[1]
    rows = np.arange(len(ids))
    spent = sum((log_probs[t - 1, rows, ids[:, t]].astype(float) for t in range(start, steps)), np.zeros(len(ids)))
    return log_probs[-1].astype(float), spent


def word_probabilities(model, prompt, words):
    """p(word and then its end), by brute force, for a character model."""
    ends = [
        token
        for token, character in enumerate(model.tokenizer.characters)
        if not (character.isalnum() or character == "_" or character in "'’")
    ]
    log_probs, spent = next_log_probs(model, words, prompt)
    return dict(zip(words, np.exp(spent) * np.exp(log_probs[:, ends]).sum(axis=1), strict=True))


def test_the_next_words_of_a_character_model_are_the_most_probable_of_all_words():
    model, prompt, k = model_of("char"), "the quick", 12
    found = model.complete(prompt, k=k)
    assert len(found) == k
    least = found[-1][1]
    letters = [c for c in string.ascii_lowercase if c in tiny.TEXT]
    everything = {}
    for size in (1, 2, 3):
        for start in ("", " ", "\n"):
            words = [start + "".join(word) for word in itertools.product(letters, repeat=size)]
            everything |= word_probabilities(model, prompt, words)
    best = sorted(everything.items(), key=lambda item: -item[1])
    assert [word for word, _ in found] == [word for word, p in best if p >= least * (1 - 1e-6)]
    for word, probability in found:
        assert math.isclose(probability, everything[word], rel_tol=1e-5), word


def test_the_next_words_of_a_word_model_are_its_next_tokens():
    model = model_of("word")
    found = model.complete("the quick brown", k=4)
    ids = [model.begin_id, *model.tokenizer.encode("the quick brown")]
    log_probs, _ = model(np.array(ids)[:, None])
    best = np.argsort(-log_probs[-1, 0], kind="stable")[:4]
    assert [word for word, _ in found] == [model.tokenizer.token_text(token) for token in best]
    np.testing.assert_allclose([p for _, p in found], np.exp(log_probs[-1, 0, best]), rtol=1e-6)
    assert len(model.complete("the", k=10**6)) == model.vocab_size


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@pytest.mark.parametrize("prompt", ["the quick", "the quick ", "", "naïve "])
def test_next_words_of_any_tokens_are_words_with_probabilities(kind, prompt):
    found = model_of(kind).complete(prompt, k=8)
    probabilities = [p for _, p in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1
    assert len({word for word, _ in found}) == len(found)
    for word, _ in found:
        assert "\ufffd" not in word
        assert len(word.strip().split()) == 1


def test_a_mark_is_a_word_of_its_own():
    model = runtime.LanguageModel.from_parts(*with_favourites(". "))
    assert model.complete("the end", k=1)[0][0] in (".", " .")


def with_favourites(characters):
    config, tensors, tokens = tiny.parts("byte", hidden_size=4)
    tensors["head.weight"] *= 0
    tensors["head.bias"][:] = -100
    tensors["head.bias"][list(characters.encode())] = 3
    return config, tensors, tokens


def test_a_model_that_never_ends_a_word_completes_nothing():
    assert runtime.LanguageModel.from_parts(*with_favourites("a")).complete("b", k=3) == []


def test_less_than_one_completion_is_refused():
    with pytest.raises(ArgumentError, match="k is 0"):
        model_of("char").complete("the", k=0)
