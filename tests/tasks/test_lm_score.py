"""A corpus is judged in pieces, with the state carried and from a fresh one for every line, over the same tokens."""

import tracemalloc

import numpy as np
import pytest
import tiny

from rnnkit import text
from rnnkit.baselines import NgramModel, backoff
from rnnkit.data import Corpus, Document
from rnnkit.runtime import LanguageModel
from rnnkit.tasks import lm_score

WHOLE = ["the fox\n\njumps\n", "over the dog", "lazy\nbrown fox\n"]  # the second ends without a newline
LINES = ["the fox\n", "\n", "jumps\n", "over the dog", "lazy\n", "brown fox\n"]


def ngram(tokenizer, order=3):
    tokens = tokenizer.encode("".join(WHOLE))
    return NgramModel.fit(tokens, order=order, vocab_size=tokenizer.vocab_size, begin_id=tokenizer.begin_id)


def corpus(texts, tokenizer, path=None):
    return Corpus.build([Document(f"text {number}", text) for number, text in enumerate(texts)], tokenizer, path)


@pytest.mark.parametrize("kind", text.KINDS)
@pytest.mark.parametrize("block", [1, 2, 5, 1 << 20])
def test_lines_are_cut_at_newlines_and_where_documents_begin(kind, block, monkeypatch):
    monkeypatch.setattr(lm_score, "_BLOCK", block)
    tokenizer = text.build(kind, WHOLE, vocab_size=260 if kind == "bpe" else None)
    blocks = list(lm_score.line_blocks(corpus(WHOLE, tokenizer), tokenizer))
    lines = [tokenizer.decode(line) for tokens, starts in blocks for line in np.split(tokens, starts[1:])]
    assert lines == LINES
    want = sum(float(ngram(tokenizer).nll(tokenizer.encode(line)).sum()) for line in LINES)
    got = lm_score.scores(ngram(tokenizer), corpus(WHOLE, tokenizer), tokenizer)
    assert got["reset_per_line"]["nll"] == pytest.approx(want, rel=1e-12)
    assert got["nll"] != got["reset_per_line"]["nll"]


def test_bytes_that_are_no_text_have_one_denominator():
    tokenizer = text.build("byte", [])
    got = lm_score.scores(ngram(tokenizer), corpus([b"a\xff\xfe\nb\xff"], tokenizer), tokenizer)
    for size in ("num_tokens", "num_characters", "num_bytes"):
        assert got["reset_per_line"][size] == got[size] == 6
    by_hand = ngram(tokenizer).nll([97, 255, 254, 10, 98, 255], [0, 4]).sum()
    assert got["reset_per_line"]["nll"] == pytest.approx(by_hand, rel=1e-12)


def test_unknown_words_and_white_space_count_the_same_in_both_numbers():
    tokenizer = text.build("word", ["the lazy dog\n"])
    unknown = corpus(["the   quick \t dog\nthe dog"], tokenizer)
    got = lm_score.scores(ngram(tokenizer), unknown, tokenizer)
    assert unknown.num_unknown == 1
    assert got["num_characters"] == got["reset_per_line"]["num_characters"] == 25


def peak_bytes(call):
    """The most memory that `call` holds beside what was there."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("model", ["ngram", "recurrent"])
def test_a_corpus_larger_than_memory_is_judged_in_pieces(model, tmp_path, monkeypatch):
    """The nats of all tokens would take 8 bytes for each, their ids as int64 as many."""
    monkeypatch.setattr(lm_score, "_BLOCK", 1 << 12)
    monkeypatch.setattr(backoff, "_CHUNK", 1 << 12)
    recurrent = LanguageModel.from_parts(*tiny.parts())
    tokenizer = recurrent.tokenizer
    long = corpus([tiny.TEXT * 8000], tokenizer, tmp_path / "long.tokens")
    scorer = recurrent if model == "recurrent" else ngram(tokenizer)
    lm_score.scores(scorer, corpus([tiny.TEXT], tokenizer), tokenizer)  # what is allocated once
    peak = peak_bytes(lambda: lm_score.scores(scorer, long, tokenizer))
    assert peak < 8 * len(long) / 2, f"{peak:,} bytes for {len(long):,} tokens"
