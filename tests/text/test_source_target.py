"""Two tokenisers as one value: what is read, what is written, and the way through a bundle's file."""

import numpy as np
import pytest

from rnnkit.errors import ArgumentError, DataError
from rnnkit.text import SourceAndTarget, build
from rnnkit.text.source_target import END

SOURCES = ["Ein Hund im Schnee.", "Zwei Hunde\tund ein Ball"]
TARGETS = ["A dog in the snow.", "Two dogs and a ball"]
KINDS = ["byte", "char", "word", "bpe"]


def made(kind, **options):
    return SourceAndTarget.build(SOURCES, TARGETS, kind=kind, **options)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_comes_back_and_both_sides_end(kind, joint):
    texts = made(kind, joint=joint)
    for source, target in zip(SOURCES, TARGETS, strict=True):
        ids, wanted = texts.encode_source(source), texts.encode_target(target)
        assert ids.dtype == wanted.dtype == np.int64
        assert ids[-1] == texts.source.special_id(END) and wanted[-1] == texts.end_id
        assert texts.decode(wanted) == texts.decode(wanted[:-1]) == target
    assert texts.is_joint == joint and (texts.source is texts.target) == joint
    assert texts.target_tokens(TARGETS[0])[-1] == texts.source_tokens(SOURCES[0])[-1] == END


@pytest.mark.parametrize("kind", KINDS)
def test_json_and_back_gives_the_same(kind):
    for texts in (made(kind, lowercase=True), made(kind, joint=True), made(kind, source_kind="char")):
        back = SourceAndTarget.from_json(texts.to_json(), target=texts.target)
        assert (back.source, back.target) == (texts.source, texts.target)
        assert (back.is_joint, back.lowercase) == (texts.is_joint, texts.lowercase)


def test_sides_of_different_kinds_share_the_options_that_they_have():
    texts = made("word", source_kind="char", min_count=2)
    assert (texts.source.kind, texts.target.kind) == ("char", "word")
    assert texts.decode(texts.encode_target("a dog")) == "<unk> <unk>" and len(texts.encode_source("Hund")) == 5


def test_lowercase_reads_capital_letters_as_small_ones():
    texts = made("word", lowercase=True)
    np.testing.assert_array_equal(texts.encode_source("EIN hund"), texts.encode_source("ein Hund"))
    assert texts.decode(texts.encode_target("A DOG")) == "a dog"
    assert (made("word").encode_source("EIN hund")[:2] == made("word").source.unk_id).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "wanted are lowercase and source"),
        ('{"lowercase": false}', "wanted are lowercase and source"),
        ('{"lowercase": 1, "source": null}', "lowercase is true or false"),
        ('{"lowercase": true, "source": "char"}', "source an object or null"),
        ('{"lowercase": true, "source": {"kind": "char"}}', "format"),
        (
            '{"lowercase": true, "source": {"format": 1, "kind": "byte", "special_tokens": []}}',
            "no special token <end>",
        ),
    ],
)
def test_a_damaged_file_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        SourceAndTarget.from_json(data, target=made("char").target)


def test_what_cannot_be_is_named():
    with pytest.raises(ArgumentError, match="one tokeniser for both sides cannot be word and char"):
        made("word", source_kind="char", joint=True)
    with pytest.raises(ArgumentError, match="the target's tokeniser has no special token <end>"):
        SourceAndTarget(build("char", TARGETS))
