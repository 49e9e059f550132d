"""The doctor finds each planted trouble, at its place, and nothing in a sound text."""

import json
import random

import pytest

from rnnkit.data import doctor
from rnnkit.errors import ArgumentError, DataError

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
    assert report.sizes["words"] == 32_000
    assert report.suggestion["tokenizer"] == "char"


TROUBLES = {
    "byte order mark": (b"\xef\xbb\xbf" + SOUND.encode(), "byte order mark removed", "info", "t.txt"),
    "CR LF": (SOUND.replace("\n", "\r\n"), "line ends CR LF read as LF", "info", "t.txt"),
    "CR": (SOUND.replace("\n", "\r", 3), "3 CR without LF", "warning", "t.txt:1"),
    "NUL": ("ab\nc\0\0d\n" + SOUND, "2 × U+0000", "warning", "t.txt:2"),
    "escape": (SOUND + "\x1b[0m\n", "1 × U+001B", "warning", "t.txt:4001"),
    "UTF-16": (SOUND.encode("utf-16-le"), "NULs, as UTF-16 has", "error", "t.txt:1"),
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
    from rnnkit.data import prepare

    path = tmp_path / "t.txt"
    path.write_text(SOUND)
    for kind, options in [("char", {}), ("word", {}), ("word", {"min_count": 60}), ("word", {"vocab_size": 100})]:
        report = doctor([path], tokenizer=kind, flops_per_s=1e9, **options)
        prepared = prepare([path], tokenizer=kind, split_by="lines", **options)
        (cost,) = [cost for cost in report.costs if cost.kind == kind]
        assert cost.vocab_size == prepared.tokenizer.vocab_size
        assert cost.num_tokens == len(prepared.train)
        share = prepared.held_out.num_unknown / len(prepared.held_out)
        assert cost.unknown_share == pytest.approx(share, rel=0.15)  # of words here, of tokens with line ends there


def test_costs_follow_the_stated_formulas():
    from rnnkit.data.doctor import cost

    c = cost("char", 50, 10**6, 0.0, batch_size=2, window=3, flops_per_s=1e9, hidden_size=100)
    assert c.num_parameters == 4 * 100 * (50 + 100 + 2) + 50 * 101
    assert c.softmax_share == 5000 / (40_000 + 5000)
    assert c.memory_bytes == 16 * c.num_parameters + 4 * 2 * 3 * 600 + 4 * 256 * 50
    assert c.epoch_s == 6 * 45_000 * 10**6 / 1e9
    w = cost("word", 50, 10**6, 0.0, batch_size=2, window=3, flops_per_s=2e9, hidden_size=100)
    assert w.num_parameters == 4 * 100 * 202 + 50 * 101 + 5000
    assert w.epoch_s == 6 * 85_000 * 10**6 / 2e9


def test_the_suggested_size_has_about_as_many_parameters_as_the_text_has_tokens(tmp_path):
    report = examine(tmp_path, SOUND)
    (char,) = [cost for cost in report.costs if cost.kind == "char"]
    assert 0.5 < char.num_parameters / char.num_tokens < 2
    assert report.suggestion["hidden_size"] == char.hidden_size


def test_the_suggested_tokeniser_follows_the_text(tmp_path):
    assert examine(tmp_path, SOUND + "a <unk> b\n").suggestion["tokenizer"] == "word" or "<unk>" not in SOUND
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
    assert doctor(None).machine["flops_per_s"] > 0


def test_missing_and_empty_files_and_unknown_tokenisers_are_errors(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="no such file"):
        doctor([tmp_path / "none.txt"])
    with pytest.raises(DataError, match="is empty"):
        doctor([tmp_path / "empty.txt"])
    with pytest.raises(ArgumentError, match="choose one of"):
        doctor([tmp_path / "empty.txt"], tokenizer="words")
