from collections import Counter, defaultdict

import numpy as np
import pytest

from rnnkit.baselines import NgramModel, backoff
from rnnkit.baselines.ngram import choose_discounts
from rnnkit.errors import ArgumentError, DataError, DtypeError, ShapeError


class DictionaryNgram:
    """Interpolated modified Kneser-Ney straight from Chen and Goodman 1999: slow, small, and independent."""

    def __init__(self, documents, *, order, vocab_size, begin_id):
        self.order, self.vocab_size = order, vocab_size
        occurrences = [Counter() for _ in range(order + 1)]
        before = [defaultdict(set) for _ in range(order + 1)]
        for number, document in enumerate(documents):
            text = [begin_id, *document]
            for k in range(1, order + 1):
                for end in range(max(k, 2), len(text) + 1):
                    gram = tuple(text[end - k : end])
                    occurrences[k][gram] += 1
                    start = end - k
                    before[k][gram].add(("token", text[start - 1]) if start else ("document", number))
        self.counts = [Counter({g: len(s) for g, s in before[k].items()}) for k in range(order)] + [occurrences[order]]
        self.discounts = [None] + [self._discounts(self.counts[k].values()) for k in range(1, order + 1)]
        self.children = [defaultdict(list) for _ in range(order + 1)]
        for k in range(1, order + 1):
            for gram, count in self.counts[k].items():
                self.children[k][gram[:-1]].append(count)

    @staticmethod
    def _discounts(counts):
        n = Counter(counts)
        if not (n[1] and n[2]):
            return [0, 0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        d = [0] + [r - (r + 1) * y * n[r + 1] / n[r] if n[r] and n[r + 1] else -1 for r in (1, 2, 3)]
        return d if all(0 < d[r] <= r for r in (1, 2, 3)) else [0, y, y, y]

    def prob(self, token, context):
        return self._prob(token, tuple(context)[-(self.order - 1) :] if self.order > 1 else ())

    def _prob(self, token, context):
        k = len(context) + 1
        shorter = self._prob(token, context[1:]) if context else 1 / self.vocab_size
        children = self.children[k].get(context)
        if not children:
            return shorter
        discount = self.discounts[k]
        count = self.counts[k][(*context, token)]
        freed = sum(discount[min(c, 3)] for c in children)
        return (count - discount[min(count, 3)] + freed * shorter) / sum(children)


def zipf(generator, size, vocab_size):
    """Tokens with the long tail of a language."""
    return np.minimum(generator.zipf(1.4, size) - 1, vocab_size - 1)


def case(seed, *, vocab_size, num_documents=5, size=400):
    generator = np.random.default_rng(seed)
    tokens = zipf(generator, size, vocab_size)
    starts = np.sort(np.append(0, generator.integers(1, size, num_documents - 1)))
    return tokens, starts, zipf(generator, 150, vocab_size), np.array([0, 1, 40, 40, 150])


def documents(tokens, starts):
    return [part.tolist() for part in np.split(tokens, starts[1:])]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(("seed", "vocab_size"), [(0, 4), (1, 30), (2, 60_000)])
def test_probabilities_are_those_of_the_dictionary_reference(order, seed, vocab_size):
    tokens, starts, test, test_starts = case(seed, vocab_size=vocab_size)
    model = NgramModel.fit(tokens, order=order, vocab_size=vocab_size, begin_id=2, document_starts=starts)
    reference = DictionaryNgram(documents(tokens, starts), order=order, vocab_size=vocab_size, begin_id=2)
    want = [
        reference.prob(token, [2, *document[:t]])
        for document in documents(test, test_starts)
        for t, token in enumerate(document)
    ]
    np.testing.assert_allclose(np.exp(-model.nll(test, test_starts)), want, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("modified", [True, False])
def test_probabilities_sum_to_one_after_any_context(order, modified):
    tokens, starts, _, _ = case(3, vocab_size=25)
    model = NgramModel.fit(tokens, order=order, vocab_size=25, begin_id=0, document_starts=starts, modified=modified)
    generator = np.random.default_rng(4)
    contexts = [generator.integers(0, 25, size) for size in range(12)] + [tokens[:n] for n in (1, 2, 4, 50)]
    for context in contexts:
        probs = model.next_token_probs(context)
        assert (probs > 0).all()
        assert abs(probs.sum() - 1) < 1e-9


def test_next_token_probs_are_bit_equal_to_nll():
    tokens, starts, test, _ = case(5, vocab_size=12)
    model = NgramModel.fit(tokens, order=4, vocab_size=12, begin_id=0, document_starts=starts)
    want = [-np.log(model.next_token_probs(test[:t])[token]) for t, token in enumerate(test)]
    assert model.nll(test).tolist() == want


def test_order_one_is_the_unigram():
    tokens = np.array([0] * 6 + [1] * 3 + [2] * 2 + [3] * 1)  # n1 = n2 = n3 = 1 and n4 = 0: one discount, Y = 1/3
    model = NgramModel.fit(tokens, order=1, vocab_size=6, begin_id=0)
    freed = 4 / 3 / 12 / 6
    want = (np.array([6, 3, 2, 1, 1 / 3, 1 / 3]) - 1 / 3) / 12 + freed
    np.testing.assert_allclose(model.next_token_probs([3, 1]), want, rtol=1e-12)


def test_no_context_crosses_a_document_boundary():
    tokens, starts, test, test_starts = case(6, vocab_size=9)
    model = NgramModel.fit(tokens, order=5, vocab_size=9, begin_id=1, document_starts=starts)
    alone = [model.nll(np.array(document, dtype=int)) for document in documents(test, test_starts)]
    assert np.concatenate(alone).tolist() == model.nll(test, test_starts).tolist()
    assert model.nll(test, test_starts).tolist() != model.nll(test).tolist()
    # Two documents "0 1" and "2 3" never say that 2 follows 1.
    pair = NgramModel.fit([0, 1, 2, 3], order=2, vocab_size=4, begin_id=0, document_starts=[0, 2])
    assert (
        pair.next_token_probs([0, 1])[2]
        < NgramModel.fit([0, 1, 2, 3], order=2, vocab_size=4, begin_id=0).next_token_probs([0, 1])[2]
    )


def test_scoring_in_chunks_changes_no_bit(monkeypatch):
    tokens, starts, test, test_starts = case(7, vocab_size=20)
    model = NgramModel.fit(tokens, order=4, vocab_size=20, begin_id=0, document_starts=starts)
    whole, unseen = model.nll(test, test_starts), model.unseen_share(test, test_starts)
    for chunk in (1, 7, 40):
        monkeypatch.setattr(backoff, "_CHUNK", chunk)
        assert model.nll(test, test_starts).tolist() == whole.tolist()
        np.testing.assert_allclose(model.unseen_share(test, test_starts), unseen, rtol=1e-12)


def test_unseen_share_counts_the_ngrams_that_training_lacks():
    tokens, starts, test, test_starts = case(8, vocab_size=15)
    model = NgramModel.fit(tokens, order=4, vocab_size=15, begin_id=0, document_starts=starts)

    def grams(tokens, starts, k):
        texts = [[0, *document] for document in documents(tokens, starts)]
        return [tuple(text[e - k : e]) for text in texts for e in range(max(k, 2), len(text) + 1)]

    seen = [set(grams(tokens, starts, k)) for k in range(1, 5)]
    want = [np.mean([gram not in seen[k - 1] for gram in grams(test, test_starts, k)]) for k in range(1, 5)]
    np.testing.assert_allclose(model.unseen_share(test, test_starts), want, rtol=1e-12)


@pytest.mark.parametrize("tokens", [[3], [3, 3], [0, 1, 2], [5] * 50, list(range(8)) * 6])
def test_text_that_is_short_or_regular_still_gets_a_sound_model(tokens):
    model = NgramModel.fit(tokens, order=6, vocab_size=8, begin_id=0)
    assert np.isfinite(model.nll(np.arange(8))).all()
    for context in ([], [3], [0, 1, 2], [5] * 9):
        assert abs(model.next_token_probs(context).sum() - 1) < 1e-9


@pytest.mark.parametrize(
    ("counts", "rule"),
    [
        ([1] * 50 + [2] * 20 + [3] * 10 + [4] * 6 + [9] * 3, "modified"),
        ([1] * 50 + [2] * 20 + [3] * 10, "absolute"),  # no n-gram of count 4
        ([1] * 3 + [2] * 10 + [3] * 99 + [4] * 6, "absolute"),  # D2 below 0
        ([5, 6, 7], "constant"),
        ([], "constant"),
    ],
)
def test_discounts_fall_back_when_counts_of_counts_degenerate(counts, rule):
    discounts = choose_discounts(np.array(counts, dtype=np.int64))
    assert discounts.rule == rule
    assert all(0 < value <= r for r, value in enumerate(discounts.values, start=1))
    assert choose_discounts(np.array(counts, dtype=np.int64), modified=False).rule != "modified"


def test_the_caller_s_arrays_are_unchanged_and_memory_maps_are_read(tmp_path):
    tokens, starts, test, _ = case(9, vocab_size=15)
    (tmp_path / "tokens").write_bytes(tokens.astype(np.uint16).tobytes())
    mapped = np.memmap(tmp_path / "tokens", dtype=np.uint16, mode="r")
    ours = NgramModel.fit(mapped, order=3, vocab_size=15, begin_id=0, document_starts=starts)
    kept = tokens.copy(), starts.copy()
    want = NgramModel.fit(tokens, order=3, vocab_size=15, begin_id=0, document_starts=starts)
    assert (tokens == kept[0]).all()
    assert (starts == kept[1]).all()
    assert ours.nll(test).tolist() == want.nll(test).tolist()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tokens": []}, DataError, "no token"),
        ({"tokens": [0, 9]}, ArgumentError, "token 9"),
        ({"tokens": [0, -1]}, ArgumentError, "token -1"),
        ({"tokens": [0.5]}, DtypeError, "float64"),
        ({"tokens": [[0]]}, ShapeError, r"\(1, 1\)"),
        ({"order": 0}, ArgumentError, "order is 0"),
        ({"order": 99}, ArgumentError, "order is 99"),
        ({"begin_id": 4}, ArgumentError, "begin_id is 4"),
        ({"document_starts": [1]}, DataError, "begins with 0"),
        ({"document_starts": [0, 2, 1]}, DataError, "ascend"),
        ({"document_starts": [0, 9]}, DataError, "within the 3 tokens"),
    ],
)
def test_wrong_arguments_are_named(change, error, words):
    arguments = {"tokens": [0, 1, 2], "order": 2, "vocab_size": 4, "begin_id": 0, **change}
    tokens = arguments.pop("tokens")
    with pytest.raises(error, match=words):
        NgramModel.fit(tokens, **arguments)
