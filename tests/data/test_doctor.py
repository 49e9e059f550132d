"""The doctor finds each planted trouble, at its place, and nothing in a sound text."""

import json
import random

import pytest

from rnnkit.data import doctor, prepare
from rnnkit.data.doctor import cost
from rnnkit.errors import ArgumentError, DataError
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.tasks.lm_config import ModelConfig
from rnnkit.training import TrainConfig

RANDOM = random.Random(0)
WORDS = ["".join(RANDOM.choices("abcdefghij", k=RANDOM.randint(2, 7))) for _ in range(500)]
SOUND = "".join(" ".join(RANDOM.choices(WORDS, k=8)) + "\n" for _ in range(4000))


def examine(folder, content, **options):
    path = folder / "t.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return doctor([path], flops_per_s=1e9, **options)


def findings(report, word):
    return [finding for finding in report.findings if word in finding.what]


def test_a_sound_text_has_no_findings(tmp_path):
    report = examine(tmp_path, SOUND)
    assert report.findings == []
    assert not report.has_errors
    assert "nothing to complain about" in list(report.lines())
    assert report.sizes["characters"] == len(SOUND)
    assert report.sizes["lines"] == 4000
    assert report.sizes["words"] in (32_000, 32_001)  # the split may cut one in two
    assert report.suggestion["tokenizer"] == "char"


TROUBLES = {
    "byte order mark": (b"\xef\xbb\xbf" + SOUND.encode(), "byte order mark removed", "info", "t.txt"),
    "CR LF": (SOUND.replace("\n", "\r\n"), "line ends CR LF read as LF", "info", "t.txt"),
    "CR": (SOUND.replace("\n", "\r", 3), "3 CR without LF", "warning", "t.txt:1"),
    "NUL": ("ab\nc\0\0d\n" + SOUND, "2 × U+0000", "warning", "t.txt:2"),
    "escape": (SOUND + "\x1b[0m\n", "1 × U+001B", "warning", "t.txt:4001"),
    "UTF-16": (SOUND.encode("utf-16-le"), "are NUL, as in UTF-16", "error", "t.txt"),
    "replacement": ("\n\ufffd" + SOUND, "1 replacement characters", "warning", "t.txt:2"),
    "invisible": ("a\u200bb\n" + SOUND, "1 × invisible U+200B (ZERO WIDTH SPACE)", "info", "t.txt:1"),
    "misread": ("x\ncafÃ©\n" + SOUND, "looks like UTF-8 read as latin-1", "warning", "t.txt:2"),
    "not composed": ("e\u0301\n" + SOUND, "not composed", "info", "t.txt:1"),
    "invalid UTF-8": (b"ab\n\xff" + SOUND.encode(), "byte 0xff at offset 3, line 2", "error", "t.txt"),
    "many characters": (
        "".join(map(chr, range(0x4E00, 0x5100))) + SOUND,
        "different characters",
        "warning",
        "training",
    ),
    "unseen characters": (
        SOUND + "Q\n",
        "1 characters that the training text does not have: 'Q'",
        "warning",
        "held-out",
    ),
    "unknown words": (
        SOUND[:-20_000] + "".join(f"w{n} " for n in range(2000)),
        "words are unknown",
        "warning",
        "held-out",
    ),
    "rare words": (SOUND + " ".join(f"a{n}b" for n in range(9000)), "words stand there once", "info", "training"),
    "short": (SOUND[:5000], "only 4,5", "warning", "training"),
    "long line": (SOUND.replace("\n", " "), "a line of", "info", "t.txt:1"),
    "copies": (SOUND[:50_000] * 4, "are copies", "info", "training"),
    "copies held out": (SOUND + SOUND[: len(SOUND) // 8], "also stand in the training text", "warning", "held-out"),
    "one character": ("x", "cannot be split", "error", "t.txt"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_planted_trouble_is_found_at_its_place_with_a_remedy(tmp_path, name):
    content, what, severity, where = TROUBLES[name]
    report = examine(tmp_path, content)
    (finding, *others) = findings(report, what)
    assert not others
    assert finding.severity == severity
    assert where in finding.where
    assert finding.remedy
    assert str(finding) in list(report.lines())
    assert report.has_errors == any(f.severity == "error" for f in report.findings)


WRITTEN = {
    "LF": (SOUND, "encoding utf-8 (all of it ASCII), no byte order mark, line ends LF"),
    "a mark": ("\ufeff" + SOUND + "é\n", "encoding utf-8, with byte order mark, line ends LF"),
    "CR LF": (SOUND.replace("\n", "\r\n"), "encoding utf-8 (all of it ASCII), no byte order mark, line ends CR LF"),
    "mixed": (SOUND.replace("\n", "\r\n", 5).replace("\n", "\r", 2), "line ends 3,995 LF, 3 CR LF, 4 CR"),
    "no line end": ("a" * 1000, "line ends none"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_how_the_text_is_written_down_is_stated_first(tmp_path, name):
    content, line = WRITTEN[name]
    assert next(examine(tmp_path, content).lines()).endswith(line)


def test_the_encoding_that_was_named_and_bytes_are_stated(tmp_path):
    report = examine(tmp_path, SOUND.encode("utf-16-le"), encoding="utf-16-le")
    assert not report.has_errors
    assert next(report.lines()).startswith("encoding utf-16-le (all of it ASCII)")
    assert next(examine(tmp_path, SOUND, as_bytes=True).lines()) == "read as bytes, whatever they mean"


@pytest.mark.parametrize("content", [SOUND.encode("utf-16-le"), SOUND.encode()[:5000] + bytes(5000)])
def test_what_is_full_of_nuls_is_refused_here_and_by_training_with_the_same_words(tmp_path, content):
    (error,) = findings(examine(tmp_path, content), "are NUL")
    with pytest.raises(DataError, match="pass --encoding utf-16-le or utf-16-be, or --bytes") as refused:
        prepare([tmp_path / "t.txt"])
    assert str(refused.value) == f"{error.where}: {error.what}; {error.remedy}"


def test_lines_of_the_held_out_part_have_their_number_in_the_file(tmp_path):
    report = examine(tmp_path, SOUND + SOUND.splitlines()[6] + "\n")
    (finding,) = findings(report, "also stand in the training text")
    assert finding.what.endswith("the first at " + str(tmp_path / "t.txt:7"))
    assert finding.where.endswith("t.txt:4001")


def test_the_report_is_json(tmp_path):
    report = examine(tmp_path, "\0" + SOUND)
    read = json.loads(json.dumps(report.to_dict()))
    assert read["findings"][0]["severity"] == "warning"
    assert [cost["kind"] for cost in read["costs"]] == ["byte", "char", "word"]


def test_the_vocabulary_and_its_cost_are_what_training_would_have(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(SOUND.replace(" a", ", a"))
    for kind, options in [
        ("char", {}),
        ("word", {}),
        ("word", {"min_count": 60}),
        ("word", {"vocab_size": 100}),
        ("word", {"split_punctuation": True}),
    ]:
        report = doctor([path], tokenizer=kind, flops_per_s=1e9, **options)
        prepared = prepare([path], tokenizer=kind, **options)
        (cost,) = [cost for cost in report.costs if cost.kind == kind]
        assert cost.vocab_size == prepared.tokenizer.vocab_size
        assert cost.num_tokens == len(prepared.train)
        assert report.sizes["characters_held_out"] == prepared.held_out.num_characters
        share = prepared.held_out.num_unknown / len(prepared.held_out)
        assert cost.unknown_share == pytest.approx(share, rel=0.15)  # of words here, of tokens with line ends there


def test_costs_follow_the_stated_formulas():
    shared = {"hidden_size": 100, "batch_size": 20, "window": 5}
    c = cost("char", 50, 10**6, 0.0, embedding_size=0, flops_per_s=1e9, **shared)
    assert c.num_parameters == 4 * 100 * (50 + 100 + 2) + 50 * 101
    assert c.softmax_share == 5000 / (40_000 + 5000)
    assert c.memory_bytes == 16 * c.num_parameters + 4 * 100 * 600 + 4 * 256 * 50
    assert c.epoch_s == 6 * 45_000 * 10**6 / 1e9
    few = cost("char", 50, 10**6, 0.0, embedding_size=30, flops_per_s=2e9, **shared)
    assert few.num_parameters == 4 * 100 * 132 + 50 * 101 + 1500
    assert few.memory_bytes == 16 * few.num_parameters + 4 * 100 * 630 + 4 * 256 * 50
    assert few.epoch_s == 6 * (40_000 + 400 * 30 // 2 + 5000) * 10**6 / 2e9
    many = cost("word", 500, 10**6, 0.0, embedding_size=30, flops_per_s=2e9, **shared)
    assert many.epoch_s == 6 * (40_000 + 400 * 30 + 50_000) * 10**6 / 2e9


def test_costs_are_for_the_model_that_training_makes_by_default(tmp_path):
    training = {**ModelConfig().model_dump(), **TrainConfig().model_dump()}
    report = examine(tmp_path, SOUND)
    for name in ("hidden_size", "embedding_size", "batch_size", "window"):
        assert report.assumed[name] == training[name]
    (char,) = [cost for cost in report.costs if cost.kind == "char"]
    shape = ModelConfig().model_dump(exclude={"bidirectional"})
    model = Generator(GeneratorConfig(**shape, vocab_size=char.vocab_size))
    assert char.num_parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_suggested_tokeniser_follows_the_text(tmp_path):
    assert examine(tmp_path, SOUND.replace("\n", " .\n")).suggestion["tokenizer"] == "word"
    assert examine(tmp_path, SOUND.replace("\n", ".\n")).suggestion["tokenizer"] == "char"
    chinese = "".join(map(chr, range(0x4E00, 0x5600))) + "\n"
    assert examine(tmp_path, chinese * 3).suggestion["tokenizer"] == "byte"
    assert examine(tmp_path, b"\xff\0" * 1000, as_bytes=True).suggestion["tokenizer"] == "byte"


def test_a_trial_bpe_is_trained_only_when_bpe_is_planned(tmp_path):
    report = examine(tmp_path, SOUND, tokenizer="bpe", vocab_size=500)
    (bpe,) = [cost for cost in report.costs if cost.kind == "bpe"]
    assert bpe.vocab_size <= 500
    assert 0.2 < bpe.num_tokens / len(SOUND) < 0.8


def test_a_held_out_text_of_its_own_is_compared(tmp_path):
    (tmp_path / "held.txt").write_text("XYZ\n" + SOUND.splitlines()[0])
    report = examine(tmp_path, SOUND, held_out_sources=[tmp_path / "held.txt"])
    assert findings(report, "characters that the training text does not have: 'X' 'Y' 'Z'")
    assert findings(report, "1 lines")


def test_a_bad_file_among_good_ones_is_a_finding_and_the_rest_is_examined(tmp_path):
    (tmp_path / "a.txt").write_text(SOUND)
    (tmp_path / "b.txt").write_bytes(b"\xff")
    report = doctor([tmp_path], flops_per_s=1e9)
    assert [finding.severity for finding in report.findings] == ["error"]
    assert report.sizes["characters"] == len(SOUND)


def test_bytes_are_examined_as_bytes(tmp_path):
    report = examine(tmp_path, bytes(range(256)) * 600, as_bytes=True, tokenizer="byte")
    assert [cost.kind for cost in report.costs] == ["byte"]
    assert not findings(report, "U+")


def test_the_machine_is_measured_when_no_rate_is_given():
    report = doctor(None)
    assert report.assumed["flops_per_s"] > 0
    assert any("what NumPy products reached" in line for line in report.lines())
    assert "the caller" in doctor(None, flops_per_s=1e9).assumed["flops_per_s_from"]


def test_what_training_refuses_is_refused(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(SOUND)
    with pytest.raises(ArgumentError, match="split_punctuation belongs to 'word'"):
        doctor([path], split_punctuation=True)
    with pytest.raises(ArgumentError, match="name the text to train on too"):
        doctor(None, held_out_sources=[path])
    for name in ("hidden_size", "embedding_size", "batch_size", "window", "min_count"):
        with pytest.raises(ArgumentError, match=f"{name} is -1"):
            doctor([path], **{name: -1})
    with pytest.raises(ArgumentError, match="held_out has no effect"):
        doctor([path], held_out_sources=[path], held_out=0.2)


def test_missing_and_empty_files_and_unknown_tokenisers_are_errors(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="no such file"):
        doctor([tmp_path / "none.txt"])
    with pytest.raises(DataError, match="is empty"):
        doctor([tmp_path / "empty.txt"])
    with pytest.raises(ArgumentError, match="choose one of"):
        doctor([tmp_path / "empty.txt"], tokenizer="words")
