"""A corpus holds exactly the encoded documents, is made once, and notices damage."""

import subprocess
import sys

import numpy as np
import pytest

from rnnkit import text
from rnnkit.data import Corpus, Document, prepare
from rnnkit.data.corpus import token_dtype
from rnnkit.errors import ArgumentError, DataError, SaveError

DOCUMENTS = [Document("a", "to be or not to be\n"), Document("b", "ßé 👍\n"), Document("c", "that is")]


def tokenizer(kind="char"):
    return text.build(kind, [document.text for document in DOCUMENTS], vocab_size=260 if kind == "bpe" else None)


@pytest.mark.parametrize("kind", text.KINDS)
@pytest.mark.parametrize("on_disk", [True, False])
def test_a_corpus_holds_the_encoded_documents(tmp_path, kind, on_disk):
    corpus = Corpus.build(DOCUMENTS, tokenizer(kind), tmp_path / "c.tokens" if on_disk else None)
    for number, document in enumerate(DOCUMENTS):
        np.testing.assert_array_equal(tokenizer(kind).encode(document.text), corpus.document(number))
    assert len(corpus) == sum(len(tokenizer(kind).encode(document.text)) for document in DOCUMENTS)
    whole = "".join(document.text for document in DOCUMENTS)
    assert (corpus.num_characters, corpus.num_bytes) == (len(whole), len(whole.encode()))
    assert corpus.num_unknown == 0
    assert isinstance(corpus.tokens, np.memmap) == on_disk
    assert not corpus.tokens.flags.writeable
    assert corpus.document_starts.dtype == np.int64


@pytest.mark.parametrize("kind", ["byte", "char", "word"])
def test_by_line_every_line_is_a_document_that_ends_with_its_newline(kind):
    lines = ["to be\n", "\n", "or not\n", "to be"]
    written = [Document("a", "".join(lines[:3])), Document("b", lines[3])]
    own = text.build(kind, lines)
    whole = Corpus.build(written, own)
    corpus = whole.by_line(own)
    assert [own.decode(corpus.document(n)) for n in range(len(corpus.document_starts))] == lines
    assert corpus.fingerprint != whole.fingerprint  # training sees something else
    assert (corpus.num_characters, len(corpus)) == (whole.num_characters, len(whole))


@pytest.mark.parametrize(("size", "dtype"), [(256, "u1"), (257, "u2"), (65_536, "u2"), (65_537, "u4")])
def test_tokens_take_the_narrowest_integers(size, dtype):
    assert token_dtype(size) == np.dtype(dtype)


def test_a_large_vocabulary_comes_back_in_wide_integers(tmp_path):
    words = " ".join(map(str, range(70_000)))
    big = text.build("word", [words])
    corpus = Corpus.build([Document("d", words)], big, tmp_path / "c.tokens")
    assert corpus.tokens.dtype == np.uint32
    np.testing.assert_array_equal(big.encode(words), corpus.tokens)


def test_pieces_change_nothing(monkeypatch):
    whole = Corpus.build(DOCUMENTS, tokenizer("word"))
    monkeypatch.setattr("rnnkit.data.documents.PIECE_SIZE", 2)
    assert Corpus.build(DOCUMENTS, tokenizer("word")).fingerprint == whole.fingerprint


def test_bytes_that_are_no_text_make_a_corpus():
    data = bytes(range(256)) + "é".encode()
    corpus = Corpus.build([Document("b", data)], text.build("byte", []))
    assert corpus.tokens.tobytes() == data
    assert corpus.num_bytes == 258


def test_characters_of_a_text_read_as_bytes_are_counted_exactly():
    s = "é👍e\u0301 x"
    assert Corpus.build([Document("b", s.encode())], text.build("byte", [])).num_characters == len(s)


def test_unknown_tokens_are_counted():
    assert Corpus.build([Document("d", "to bexyz")], tokenizer()).num_unknown == 3


def test_the_description_names_source_python_and_tokeniser(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\n")
    corpus = prepare([path], held_out_sources=[path]).train
    description = corpus.description
    assert description["documents"] == [str(path)]
    assert description["notes"] == [f"{path}: byte order mark removed", f"{path}: 1 line ends CR LF read as LF"]
    assert description["python"] == ".".join(map(str, sys.version_info[:3]))
    assert description["tokenizer"] == "char"


def test_the_same_text_and_tokeniser_are_tokenised_once(tmp_path, monkeypatch):
    path = tmp_path / "c.tokens"
    first = Corpus.build(DOCUMENTS, tokenizer(), path)
    made = path.stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(text.CharTokenizer, "_encode", None)  # tokenising now would fail
        assert Corpus.build(DOCUMENTS, tokenizer(), path).fingerprint == first.fingerprint
    assert path.stat().st_ino == made


@pytest.mark.parametrize(
    ("documents", "kind"),
    [([*DOCUMENTS[:2], Document("c", "that iz")], "byte"), (DOCUMENTS[:2], "char"), (DOCUMENTS, "word")],
    ids=["text", "documents", "tokeniser"],
)
def test_another_text_or_tokeniser_is_tokenised_anew(tmp_path, documents, kind):
    path = tmp_path / "c.tokens"
    Corpus.build(DOCUMENTS, tokenizer("byte" if kind == "byte" else "char"), path)
    built = Corpus.build(documents, tokenizer(kind), path)
    assert built.fingerprint == Corpus.build(documents, tokenizer(kind)).fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.tokens"]


def test_the_place_of_a_document_border_counts(tmp_path):
    one = Corpus.build([Document("d", "ab"), Document("e", "c")], text.build("byte", []), tmp_path / "c")
    two = Corpus.build([Document("d", "a"), Document("e", "bc")], text.build("byte", []), tmp_path / "c")
    assert one.fingerprint != two.fingerprint
    assert two.document_starts.tolist() == [0, 1]


def test_a_text_without_tokens_is_refused_and_leaves_nothing(tmp_path):
    for path in (None, tmp_path / "c.tokens"):
        with pytest.raises(DataError, match="blank: the text has no tokens"):
            Corpus.build([Document("blank", "  \t ")], tokenizer("word"), path)
    assert not list(tmp_path.iterdir())


def test_documents_without_tokens_are_no_documents():
    corpus = Corpus.build([Document("a", " "), Document("b", "to be"), Document("c", "")], tokenizer("word"))
    assert corpus.document_starts.tolist() == [0]


def test_a_lone_surrogate_is_named_with_its_document(tmp_path):
    with pytest.raises(DataError, match=r"bad: lone surrogate U\+DC00"):
        Corpus.build([Document("good", "to"), Document("bad", "be\udc00")], tokenizer(), tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_what_the_tokeniser_refuses_is_named_with_the_document():
    strict = text.CharTokenizer.build(["ab"], with_unknown=False)
    with pytest.raises(DataError, match=r"^doc: character 'c'"):
        Corpus.build([Document("doc", "abc")], strict)


def test_damaged_token_files_are_refused_and_made_anew(tmp_path):
    path = tmp_path / "c.tokens"
    Corpus.build(DOCUMENTS, tokenizer(), path)
    good = path.read_bytes()
    damages = [good[:size] for size in range(0, len(good), 7)]
    damages += [b"x" + good[1:], good[:-1] + b"x", good.replace(b'"num_tokens": 3', b'"num_tokens": 4')]
    damages += [good.replace(b'"token_bytes": 1', b'"token_bytes": 3'), good.replace(b'"num_bytes"', b'"num_bites"')]
    damages += [good[:-24] + b"\xff" * 8 + good[-16:]]
    for damaged in damages:
        assert damaged != good
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"c\.tokens: .*(delete it|made anew)"):
            Corpus.open(path)
    assert Corpus.build(DOCUMENTS, tokenizer(), path).fingerprint == Corpus.build(DOCUMENTS, tokenizer()).fingerprint
    assert path.read_bytes() == good
    with pytest.raises(DataError, match="cannot be opened: No such file"):
        Corpus.open(tmp_path / "none")


LIMITED = """
import resource, signal, sys
from rnnkit import text
from rnnkit.data import Corpus, Document
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
Corpus.build([Document("d", "new " * 5000)], text.build("byte", []), sys.argv[1])
"""


@pytest.mark.parametrize("limit", [0, 10, 8192, 20_100])
def test_a_full_disk_leaves_the_old_corpus_and_no_litter(tmp_path, limit):
    path = tmp_path / "c.tokens"
    old = Corpus.build(DOCUMENTS, tokenizer(), path).fingerprint
    command = [sys.executable, "-c", LIMITED, str(path), str(limit)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "SaveError" in result.stderr
    assert f"{path}: the token file could not be written after" in result.stderr
    assert Corpus.open(path).fingerprint == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.tokens"]


def test_a_folder_that_cannot_be_made_is_a_save_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SaveError, match="could not be written"):
        Corpus.build(DOCUMENTS, tokenizer(), tmp_path / "file" / "c.tokens")


def test_a_text_larger_than_memory_is_tokenised(tmp_path):
    """32 MB of text in a process that may take 25 MB more than it has."""
    code = """
import sys, resource, itertools
from rnnkit import data
import numpy.random
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
p = data.prepare([sys.argv[1]], folder=sys.argv[2])
streams = data.Streams(p.train.tokens, p.train.document_starts, begin_id=0, batch_size=8, window=64)
next(streams)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(p.train) + len(p.held_out))
"""
    with (tmp_path / "big.txt").open("w") as file:
        for number in range(32):
            file.write(f"{number:07d}\n" * (1 << 17))
    command = [sys.executable, "-c", code, str(tmp_path / "big.txt"), str(tmp_path / "cache")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    grown_kib, num_tokens = map(int, result.stdout.split())
    assert num_tokens == 32 << 20
    assert grown_kib < 25 << 10


def test_prepare_makes_the_vocabulary_from_the_training_part_only(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("abc" * 30 + "z" * 10)
    prepared = prepare([path])
    assert prepared.tokenizer.vocab_size == 4
    assert (len(prepared.train), len(prepared.held_out), prepared.held_out.num_unknown) == (90, 10, 10)


@pytest.mark.parametrize("kind", text.KINDS)
def test_prepare_takes_a_held_out_text_and_keeps_tokens_in_a_folder(tmp_path, kind):
    (tmp_path / "a.txt").write_text("to be or not to be\n" * 20)
    (tmp_path / "b.txt").write_text("not to\n")
    options = {"tokenizer": kind, "folder": tmp_path / "cache", "vocab_size": 300 if kind == "bpe" else None}
    prepared = prepare([tmp_path / "a.txt"], held_out_sources=[tmp_path / "b.txt"], **options)
    assert prepared.tokenizer.decode(prepared.held_out.tokens) == "not to\n"
    assert sorted(entry.name for entry in (tmp_path / "cache").iterdir()) == ["held_out.tokens", "train.tokens"]


def test_prepare_splits_words_at_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("one two three\n" * 10)
    prepared = prepare([tmp_path / "a.txt"], tokenizer="word", held_out=0.25)
    assert prepared.tokenizer.decode(prepared.held_out.tokens) == "one two three\n" * 2
    exact = prepare([tmp_path / "a.txt"], tokenizer="word", held_out=0.25, split_by="characters")
    assert exact.held_out.num_characters == 35


def test_prepare_continues_with_an_old_tokeniser_on_a_new_text(tmp_path):
    (tmp_path / "a.txt").write_text("new text 123")
    old = text.build("char", ["text"])
    assert prepare([tmp_path / "a.txt"], tokenizer=old).tokenizer is old


def test_prepare_refuses_options_that_would_have_no_effect(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    sources = [tmp_path / "a.txt"]
    with pytest.raises(ArgumentError, match="byte tokeniser, not 'char'"):
        prepare(sources, as_bytes=True)
    with pytest.raises(ArgumentError, match="belong to building a tokeniser"):
        prepare(sources, tokenizer=text.build("byte", []), min_count=2)
    with pytest.raises(ArgumentError, match="belong to building a tokeniser"):
        prepare(sources, tokenizer=text.build("byte", []), special_tokens=["<pad>"])
    with pytest.raises(ArgumentError, match="no effect beside held_out_sources"):
        prepare(sources, held_out_sources=sources, held_out=0.2)
