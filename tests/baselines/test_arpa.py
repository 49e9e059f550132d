import numpy as np
import pytest

from rnnkit import text
from rnnkit.baselines import ArpaModel, BackoffModel, NgramModel, read_arpa, write_arpa
from rnnkit.baselines.arpa import MARKERS
from rnnkit.errors import ArgumentError, DataError, SaveError

TEXTS = ["\n", " ", "a", "\\", "\\x20", "é", "\u3000", "\x85", "😀", "<unk>"]

FOREIGN = """
\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-99\t<s>\t-0.30103
-0.60206\t</s>
-0.60206 a -0.1
-0.30103\tb\t-0.2

\\2-grams:
-0.1 <s> a
-0.2\ta b
-0.3\tb </s>

\\end\\
"""


@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_model_read_back_gives_the_same_probabilities(tmp_path, order):
    generator = np.random.default_rng(order)
    tokens = generator.integers(0, 10, 500) ** 2 // 10
    model = NgramModel.fit(tokens, order=order, vocab_size=10, begin_id=0, document_starts=[0, 50, 51])
    write_arpa(model, tmp_path / "m.arpa", token_texts=TEXTS)
    read, texts = read_arpa(tmp_path / "m.arpa", begin="\n")
    markers = [word for word in MARKERS if word not in TEXTS]
    assert texts == TEXTS + markers
    test = generator.integers(0, 10, 300)
    np.testing.assert_allclose(read.nll(test, [0, 100]), model.nll(test, [0, 100]), rtol=0, atol=1e-8)
    for context in ([], [0], test[:1], test[:9]):
        np.testing.assert_allclose(read.next_token_probs(context)[:10], model.next_token_probs(context), rtol=1e-8)
    np.testing.assert_allclose(read.unseen_share(test)[1:], model.unseen_share(test)[1:])


def test_a_file_of_another_tool_is_read(tmp_path):
    (tmp_path / "m.arpa").write_text(FOREIGN)
    model, texts = read_arpa(tmp_path / "m.arpa")
    assert texts == ["<s>", "</s>", "a", "b"]
    got = -model.nll([2, 3, 1, 2]) / np.log(10)
    np.testing.assert_allclose(got, [-0.1, -0.2, -0.3, -0.60206], atol=1e-12)
    # "b" after the begin is not listed: the weight of <s>, then the 1-gram.
    np.testing.assert_allclose(-model.nll([3]) / np.log(10), [-0.30103 - 0.30103], atol=1e-12)


def test_a_model_read_from_a_file_can_be_written_again(tmp_path):
    (tmp_path / "m.arpa").write_text(FOREIGN)
    model, texts = read_arpa(tmp_path / "m.arpa")
    write_arpa(model, tmp_path / "again.arpa", token_texts=texts)
    again, _ = read_arpa(tmp_path / "again.arpa")
    np.testing.assert_allclose(again.nll([2, 3, 3, 1]), model.nll([2, 3, 3, 1]), atol=1e-8)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\\data\\", "data", r"line 2: an ARPA file begins"),
        ("ngram 2=3", "ngram 3=3", r"line 4: wanted `ngram 2="),
        ("ngram 2=3", "ngram 2=4", r"line 16: .*4 words|line 1[56]: "),
        ("ngram 1=4", "ngram 1=999999999999", "line"),
        ("\\2-grams:", "\\3-grams:", r"line 12: wanted `.2-grams"),
        ("-0.2\ta b", "-0.2\ta c", "line 14: 'c' is not among"),
        ("-0.2\ta b", "x\ta b", "line 14: wanted a number"),
        ("-0.2\ta b", "-0.2\ta", "line 14: wanted a number, 2 words"),
        ("-0.2\ta b", "-0.3\tb </s>", "line 1[45]: this n-gram stands here a second time"),
        ("-0.2\ta b", "nan\ta b", "not finite"),
        ("-0.2\ta b", "0.2\ta b", "above 1"),
        ("b\t-0.2", "a\t-0.2", "different 1-grams"),
        ("ngram", "", "line 3"),
    ],
)
def test_a_damaged_file_is_refused_by_line(tmp_path, old, new, words):
    (tmp_path / "m.arpa").write_text(FOREIGN.replace(old, new))
    with pytest.raises(DataError, match=words) as error:
        read_arpa(tmp_path / "m.arpa")
    assert "m.arpa" in str(error.value)


def test_a_context_that_is_not_listed_is_refused_by_line(tmp_path):
    content = FOREIGN.replace("ngram 2=3\n", "ngram 2=3\nngram 3=1\n").replace(
        "\\end", "\\3-grams:\n-0.1 b b b\n\n\\end"
    )
    (tmp_path / "m.arpa").write_text(content)
    with pytest.raises(DataError, match="line 19: the context"):
        read_arpa(tmp_path / "m.arpa")


def test_a_file_that_is_missing_cut_or_binary_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_arpa(tmp_path / "nothing.arpa")
    path = tmp_path / "m.arpa"
    end = FOREIGN.index("-0.3\tb </s>") + 10
    for size in range(0, end, 7):
        path.write_text(FOREIGN[:size])
        with pytest.raises(DataError, match=r"m\.arpa"):
            read_arpa(path)
    path.write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        read_arpa(path)
    path.write_text(FOREIGN)
    with pytest.raises(DataError, match="pass begin="):
        read_arpa(path, begin="\n")


def test_token_texts_that_do_not_fit_are_refused(tmp_path):
    model = NgramModel.fit([0, 1, 0], order=2, vocab_size=2, begin_id=0)
    for texts in (["a"], ["a", "a"], ["a", ""], ["a", "b", "c"]):
        with pytest.raises(ArgumentError, match="token_texts"):
            write_arpa(model, tmp_path / "m.arpa", token_texts=texts)
    assert not list(tmp_path.iterdir())
    with pytest.raises(SaveError, match=r"m\.arpa"):
        write_arpa(model, tmp_path / "nowhere" / "m.arpa", token_texts=["a", "b"])


def test_a_file_is_written_durably(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "m.arpa").write_text("old")
    monkeypatch.setattr("rnnkit.durable.os.fsync", refuse)
    with pytest.raises(SaveError, match=r"m\.arpa after \d+ bytes"):
        model = NgramModel.fit([0, 1], order=2, vocab_size=2, begin_id=0)
        write_arpa(model, tmp_path / "m.arpa", token_texts=["a", "b"])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_read_model_is_a_plain_backoff_model(tmp_path):
    (tmp_path / "m.arpa").write_text(FOREIGN)
    model, _ = read_arpa(tmp_path / "m.arpa")
    assert type(model) is BackoffModel
    assert (model.order, model.vocab_size, model.num_bytes) == (2, 4, 7 * 24)


# ---- ArpaModel: a file's words as tokens of ours --------------------------------------------------------------------

WORDS = text.build("word", ["a b c d\n"])
WITH_UNKNOWN = FOREIGN.replace("ngram 1=4", "ngram 1=5").replace("-99\t<s>", "-1\t<unk>\n-99\t<s>")


def log10(model, line):
    return (-model.nll(WORDS.encode(line)) / np.log(10)).tolist()


def test_a_model_of_sentences_begins_with_s_and_ends_lines_with_its_own_word(tmp_path):
    (tmp_path / "m.arpa").write_text(WITH_UNKNOWN)
    model = ArpaModel(tmp_path / "m.arpa", WORDS)
    assert model.has_sentences
    assert log10(model, "a b\n") == pytest.approx([-0.1, -0.2, -0.3])


def test_words_that_the_file_lacks_share_its_unknown_evenly(tmp_path):
    (tmp_path / "m.arpa").write_text(WITH_UNKNOWN)
    model = ArpaModel(tmp_path / "m.arpa", WORDS)
    # c, d and the tokeniser's own <unk>; "a" as a context weighs -0.1
    assert log10(model, "a c") == pytest.approx([-0.1, -0.1 - 1 - np.log10(3)])
    (tmp_path / "m.arpa").write_text(FOREIGN)
    with pytest.raises(DataError, match=r"m\.arpa lists neither 'c' nor <unk>"):
        log10(ArpaModel(tmp_path / "m.arpa", WORDS), "a c")


@pytest.mark.parametrize("kind", text.KINDS)
def test_our_own_file_begins_with_the_tokenisers_token(tmp_path, kind):
    tokenizer = text.build(kind, ["b a\nab ba\n"], vocab_size=260 if kind == "bpe" else None)
    tokens = tokenizer.encode("b a\nab ba\n" * 3)
    model = NgramModel.fit(tokens, order=3, vocab_size=tokenizer.vocab_size, begin_id=tokenizer.begin_id)
    write_arpa(model, tmp_path / "m.arpa", token_texts=[tokenizer.token_text(t) for t in range(tokenizer.vocab_size)])
    read = ArpaModel(tmp_path / "m.arpa", tokenizer)
    assert not read.has_sentences
    np.testing.assert_allclose(read.nll(tokens, [0, 4]), model.nll(tokens, [0, 4]), atol=1e-8)
    assert read.total_nll(tokens) == pytest.approx(model.total_nll(tokens), rel=1e-8)
