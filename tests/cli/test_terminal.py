"""The live line is rewritten on a terminal and rationed elsewhere; figures read well."""

from __future__ import annotations

import io
from typing import Any

import pytest

from rnnkit.api import result_table
from rnnkit.cli import terminal
from rnnkit.cli.progress import Progress


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that LiveLine sees."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_on_a_terminal_the_line_is_rewritten(clock: list[float]) -> None:
    screen = _Screen()
    line = terminal.LiveLine(screen)
    for number in range(3):
        clock[0] += 1
        line.show(f"step {number}")
    line.keep("kept")
    line.close()
    assert screen.getvalue() == "\rstep 0\x1b[K\rstep 1\x1b[K\rstep 2\x1b[K\rkept\x1b[K\n"


@pytest.mark.parametrize(
    ("parts", "shown"),
    [(["x" * 50], "x" * 19), (["12345678"] * 2, "12345678 · 12345678"), (["12345678", "123456789", "1"], "12345678")],
)
def test_a_live_line_shows_the_parts_that_fit_on_one_line_of_the_terminal(
    parts: list[str], shown: str, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    screen, log = _Screen(), io.StringIO()
    for stream in (screen, log):
        terminal.LiveLine(stream).show(*parts)
    assert screen.getvalue() == f"\r{shown}\x1b[K"
    assert log.getvalue() == " · ".join(parts) + "\n"


def test_elsewhere_lines_are_plain_and_rationed(clock: list[float]) -> None:
    log = io.StringIO()
    line = terminal.LiveLine(log)
    for number in range(12):
        line.show(f"step {number}")
        clock[0] += 1
    line.close()
    assert log.getvalue() == "step 0\nstep 5\nstep 10\n"


def test_a_closed_line_leaves_the_cursor_on_a_new_one(clock: list[float]) -> None:
    screen = _Screen()
    line = terminal.LiveLine(screen)
    line.show("step")
    line.close()
    assert screen.getvalue().endswith("\n")


def test_a_table_shows_every_character_of_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(["next", "a figure"], [["'[/b]'", "9" * 150], [":cat:", "1"]], title="[red].txt")
    out = capsys.readouterr().out
    assert all(text in out for text in ("'[/b]'", "9" * 150, ":cat:", "[red].txt"))


def test_the_result_table_fits_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"perplexity": 123.4, "nats_per_character": 1.5, "bits_per_character": 2.2, "bytes": 12_345_678}
    rows = [{"name": name, **row, "train_seconds": 600.0, "unseen_share": 0.5} for name in ("lstm", "Kneser-Ney-6")]
    terminal.print_result_table(result_table({"model": rows[0], "baselines": rows[1:]}))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name in ("lstm (this model)", "Kneser-Ney-6"):
        (line,) = [line for line in out.splitlines() if line.startswith(name)]
        assert line.removeprefix(name).split() == ["123.40", "1.5000", "2.2000", "50.0%", "12,345,678", "600.0"]


def _step(**fields: Any) -> dict[str, Any]:
    base = {"event": "step", "name": "lstm", "step": 3, "total_steps": 9, "loss": 2.0, "eta_s": 65.0, "skipped": 0}
    return {**base, "tokens_per_s": 100.0, "characters_per_s": 400.0, **fields}


def test_the_progress_line_has_loss_per_character_speed_and_time_left() -> None:
    log = io.StringIO()
    Progress(terminal.LiveLine(log))(_step())
    assert all(part in log.getvalue() for part in ("3/9", "0.500 nats/char", "400 char/s", "1 min 05 s left"))


def test_the_progress_line_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = _Screen()
    Progress(terminal.LiveLine(screen))(_step(step=1234, total_steps=5678, tokens_per_s=1e5, characters_per_s=1e5))
    assert screen.getvalue().endswith("1 min 05 s left · 100,000 char/s\x1b[K")


def test_a_skipped_step_is_counted_and_its_loss_is_not_shown() -> None:
    log = io.StringIO()
    Progress(terminal.LiveLine(log))(_step(event="skip", loss=float("nan"), skipped=1))
    assert "nan" not in log.getvalue()
    assert "skipped 1" in log.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(41.6, "42 s"), (185, "3 min 05 s"), (3725, "1 h 02 min")])
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert text == terminal.duration(seconds)


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (999, "999 B"), (1500, "1.5 kB"), (5_276_576, "5.3 MB")])
def test_bytes_come_in_the_largest_unit(value: float | None, text: str) -> None:
    assert text == terminal.num_bytes(value)


def test_an_evaluation_without_any_loss_is_shown() -> None:
    log = io.StringIO()
    Progress(terminal.LiveLine(log))(
        {"event": "eval", "step": 9, "loss": 0.25, "nll": 0.0, "accuracy": 1.0, "is_best": True}
    )
    assert "train 0.250 nats/char, held-out 0.000 nats/char, 100.0% right, best" in log.getvalue()
