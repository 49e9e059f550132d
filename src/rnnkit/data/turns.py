"""Dialogues out of JSONL, CSV and TSV, and their turns as pairs: what was said before, and the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rnnkit.data.pairs import Pairs
from rnnkit.data.rows import (
    COLUMNS,
    EMPTY,
    LINES,
    UNREADABLE,
    Bad,
    content_of,
    held_out_rows,
    objects_of,
    refuse_nothing,
    sifted,
    skipped_note,
    suffix_of,
    table_rows,
    text_fault,
)
from rnnkit.data.tables import SEPARATORS, column_of
from rnnkit.errors import ArgumentError, DataError
from rnnkit.text import in_context

TURNS_KEYS = ("turns", "messages", "dialogue", "dialog")
DIALOGUE_COLUMNS = ("dialogue", "dialog", "dialogue_id", "conversation")
SPEAKER_COLUMNS = ("speaker", "role", "from")
TURN_COLUMNS = ("text", "content", "turn", "utterance")


class Turn(NamedTuple):
    """What was said, by whom ("" where nobody is named), and where it stands."""

    text: str
    speaker: str
    place: str


@dataclass(frozen=True)
class Dialogues:
    """Dialogues: turns in order, at least two each.

    Attributes: skipped: how many rows were left out, by the reason.
    """

    dialogues: list[list[Turn]]
    skipped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.dialogues)

    @property
    def skipped_note(self) -> str:
        """What was left out, in words; "" where nothing was."""
        return skipped_note(self.skipped)

    def asked(self, *, context: int = 3) -> list[str]:
        """The last turns of every dialogue as a source each: what a model is to answer."""
        return [in_context([turn.text for turn in turns], context=context) for turns in self.dialogues]

    def pairs(self, *, context: int = 3, speaker: str | None = None) -> Pairs:
        """Every turn but a dialogue's first as the target of those before it.

        Args:
            context: how many turns the source holds at most, the oldest first, `rnnkit.text.NEXT_TURN` between them.
            speaker: whose turns are targets; None: everybody's.
        Raises: ArgumentError; DataError where nobody answers.
        """
        if context < 1:
            raise ArgumentError(f"context is {context}; at least 1 turn is answered")
        sources, targets, places = [], [], []
        for turns in self.dialogues:
            for at in range(1, len(turns)):
                if speaker is None or turns[at].speaker == speaker:
                    sources.append(in_context([turn.text for turn in turns[:at]], context=context))
                    targets.append((turns[at].text,))
                    places.append(turns[at].place)
        if not sources:
            known = ", ".join(sorted({turn.speaker for turns in self.dialogues for turn in turns}))
            raise DataError(f"{self.dialogues[0][0].place} and on: {speaker!r} answers nothing; speakers are {known}")
        return Pairs(sources, targets, places, Counter(self.skipped))


def read_dialogues(
    files: str | Sequence[str], *, encoding: str = "utf-8", with_replies: bool = True, skip_bad: bool = False
) -> Dialogues:
    """The dialogues of files, one file after another.

    Args:
        files: .jsonl: on each line an object with a list of turns under one of `TURNS_KEYS`: texts, or objects with a
            text and a speaker (`TURN_COLUMNS`, `SPEAKER_COLUMNS`, as chat models take them: role and content). .csv and
            .tsv with a header: a row for every turn, in order, with a column of `DIALOGUE_COLUMNS` that says which
            dialogue it belongs to, one of `TURN_COLUMNS` and maybe one of `SPEAKER_COLUMNS`. Each also as .gz.
        with_replies: False: dialogues that are to be answered, of which one turn is enough.
        skip_bad: leave out what cannot be used, the whole dialogue that has it, and count them by reason.
    Raises: DataError, one line, naming file, row and remedy: for an empty turn, a dialogue of one turn, a row that
        cannot be read, files without a dialogue.
    """
    names = [files] if isinstance(files, str) else [str(name) for name in files]
    rows = (row for name in names for row in _of_file(name, encoding, skip_bad))
    good, skipped = sifted((_checked(row, least=1 + with_replies) for row in rows), skip_bad=skip_bad)
    if not good:
        refuse_nothing(names, skipped, "dialogue")
    return Dialogues(good, skipped)


def split_dialogues(dialogues: Dialogues, held_out: float, *, seed: int) -> tuple[Dialogues, Dialogues]:
    """(training, held out): about the share `held_out` of the dialogues, at random and whole; and the file's order.

    Equal dialogues stay together.  Raises: DataError when there is one only.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, turns in enumerate(dialogues.dialogues):
        groups.setdefault(tuple(turn.text for turn in turns), []).append(row)
    if len(groups) < 2:
        raise DataError(
            f"{dialogues.dialogues[0][0].place} and on: there is a single dialogue, so none can be held out; give more"
        )
    is_held = held_out_rows(list(groups.values()), held_out, seed=seed)
    rest, held = (
        [turns for turns, is_it in zip(dialogues.dialogues, is_held, strict=True) if is_it == side]
        for side in (False, True)
    )
    return Dialogues(rest), Dialogues(held)


def _checked(dialogue: list[Turn] | Bad, *, least: int) -> list[Turn] | Bad:
    if isinstance(dialogue, Bad):
        return dialogue
    for turn in dialogue:
        if bad := text_fault(turn.text, "turn", turn.place):
            return bad
    if len(dialogue) < least:
        where = f"{dialogue[0].place}: the dialogue has 1 turn" if dialogue else "a dialogue has no turn"
        return Bad(EMPTY, f"{where}, so nobody answers; give at least two")
    return dialogue


def _of_file(name: str, encoding: str, skip_bad: bool) -> Iterator[list[Turn] | Bad]:
    known = (*LINES, *SEPARATORS)
    if suffix_of(name) not in known:
        raise DataError(f"{name}: cannot tell its format by the name; it must end in {', '.join(known)}")
    content = content_of(name, encoding, skip_bad=skip_bad)
    if suffix_of(name) in LINES:
        for row in objects_of(name, content):
            yield row if isinstance(row, Bad) else _of_object(*row)
    else:
        yield from _of_cells(table_rows(name, content))


def _of_object(value: dict[str, Any], place: str) -> list[Turn] | Bad:
    try:
        listed = value[column_of(list(value), None, TURNS_KEYS, None, place)]
    except DataError as error:
        return Bad(COLUMNS, str(error))
    if not isinstance(listed, list) or not listed:
        return Bad(UNREADABLE, f"{place}: the turns are no list with something in it; write [text, text, …]")
    turns = []
    for number, one in enumerate(listed, start=1):
        where, speaker, said = f"{place}, turn {number}", "", one
        if isinstance(one, dict):
            try:
                said = one[column_of(list(one), None, TURN_COLUMNS, None, where)]
            except DataError as error:
                return Bad(COLUMNS, str(error))
            speaker = str(next((one[key] for key in SPEAKER_COLUMNS if key in one), ""))
        if not isinstance(said, str):
            return Bad(UNREADABLE, f"{where}: is a {type(said).__name__} where text is wanted; quote it")
        turns.append(Turn(said, speaker, where))
    return turns


def _of_cells(rows: Iterator[tuple[list[str], str] | Bad]) -> Iterator[list[Turn] | Bad]:
    """The dialogues of a table, in the order of their first rows; a bad row costs the dialogue that it stands in."""
    at: tuple[int, int, int | None] | None = None
    found: dict[str, list[Turn]] = {}
    broken: dict[str, Bad] = {}
    current = ""
    for row in rows:
        if isinstance(row, Bad):
            if at is None or not found:
                yield row
            else:
                broken.setdefault(current, row)
            continue
        cells, place = row
        if at is None:
            dialogue, said = (
                cells.index(column_of(cells, None, usual, None, place)) for usual in (DIALOGUE_COLUMNS, TURN_COLUMNS)
            )
            has_speaker = any(cell.strip().lower() in SPEAKER_COLUMNS for cell in cells)
            speaker = cells.index(column_of(cells, None, SPEAKER_COLUMNS, None, place)) if has_speaker else None
            at = (dialogue, said, speaker)
            continue
        current = cells[at[0]]
        turn = Turn(cells[at[1]], "" if at[2] is None else cells[at[2]], place)
        found.setdefault(current, []).append(turn)
    for name, turns in found.items():
        yield broken.get(name, turns)
