"""Records and the texts that say them: attributes in JSON and CSV, dialogue acts of RNNLG; values out and in again.

Over 400 lines because three notations are read into one record, and every fault in them is named by the same places.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from rnnkit.data.rows import (
    COLUMNS,
    EMPTY,
    LINES,
    TOO_LONG,
    UNREADABLE,
    Bad,
    content_of,
    objects_of,
    refuse_nothing,
    sifted,
    skipped_note,
    split_rows,
    suffix_of,
    table_rows,
    text_fault,
)
from rnnkit.data.tables import SEPARATORS, column_of
from rnnkit.errors import DataError

DESCRIPTION_COLUMNS = ("text", "ref", "reference", "sentence", "description", "target")
ACT = "act"
ASKED = "?"
SPECIAL_VALUES = {"true": "yes", "yes": "yes", "false": "no", "no": "no", "none": "none"} | dict.fromkeys(
    ("dontcare", "dont_care", "don't care"), "dontcare"
)
"""Values that a text does not repeat but says in words of its own, and the one that each of them is read as."""


@dataclass(frozen=True)
class Record:
    """What is to be said.

    Attributes:
        slots: (name, value) in the order of the file; a name may stand several times. A value is special where it is
            one of `SPECIAL_VALUES`, or "?": the slot is asked for.
        act: the dialogue act, "inform"; "" where there is none.
    """

    slots: tuple[tuple[str, str], ...]
    act: str = ""

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The record without its values, sorted: "act=inform", "food=_1", "kidsallowed=yes", "area=?".

        The second value of a slot is "_2"; so are records alike that differ in their values alone.
        """
        seen: Counter[str] = Counter()
        found = [f"{ACT}={self.act}"] if self.act else []
        for name, value in self.slots:
            seen[name] += not _is_special(value)
            found.append(f"{name}={value if _is_special(value) else f'_{seen[name]}'}")
        return tuple(sorted(found))

    def linearised(self, *, with_values: bool) -> str:
        """The record as a text to read: "inform name = chez maman ; food = creperies", or placeholders for values."""
        parts = [
            f"{name} = {value if with_values or _is_special(value) else placeholder(name)}"
            for name, value in self.slots
        ]
        return " ".join(filter(None, (self.act, " ; ".join(parts))))

    def delexicalised(self, text: str) -> str:
        """`text` with a placeholder for the first place of every value, the longest values first.

        Found are values between word ends, whatever their case; of several joined by "and" or "or" in any order with
        either. Special values stay.

        Source: as the data of Wen et al. 2016 are read.
        """
        for name, value in sorted(self.slots, key=lambda slot: -len(slot[1])):
            if _is_special(value):
                continue
            parts = re.split(r" (?:and|or) ", value)
            orders = permutations(parts) if len(parts) <= _MOST_PARTS else [tuple(parts)]
            wanted = "|".join(r"\ (?:and|or)\ ".join(map(re.escape, order)) for order in orders)
            text = re.sub(rf"(?<!\w)(?:{wanted})(?!\w|[.,]\d)", placeholder(name), text, count=1, flags=re.IGNORECASE)
        return text

    def lexicalised(self, text: str) -> str:
        """`text` with this record's values where their placeholders stand, in order; one without a value stays."""
        for name, value in self.slots:
            if not _is_special(value):
                text = re.sub(rf"(?<!\w){placeholder(name)}(?!\w)", lambda _, value=value: value, text, count=1)
        return text

    def wanted(self, words: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """How often a text should say each slot of `words`, for `metrics.slot_counts`.

        A slot whose word is its placeholder counts for every value that is filled in, one with words of its own for
        every value; what is asked for counts nothing.
        """
        counts: Counter[str] = Counter()
        for name, value in self.slots:
            if value != ASKED and name in words:
                counts[name] += list(words[name]) != [placeholder(name)] or not _is_special(value)
        return dict(+counts)


_MOST_PARTS = 4  # of a value whose orders are all tried


def placeholder(slot: str) -> str:
    """What stands for a slot's value: "SLOT_PRICE_RANGE" for "price range"."""
    return "SLOT_" + re.sub(r"[\W_]+", "_", slot).strip("_").upper()


def _is_special(value: str) -> bool:
    return value == ASKED or value in SPECIAL_VALUES.values()


@dataclass(frozen=True)
class Records:
    """Records with one text each, or several that are as good.

    Attributes:
        records: see `Record`.  texts: a tuple of at least one for each; () where none were asked for.
        places: where each stands, for messages.  skipped: how many rows were left out, by the reason.
    """

    records: list[Record]
    texts: list[tuple[str, ...]]
    places: list[str]
    skipped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> Records:
        """Those of `rows`, in their order."""
        return _records([_Row(self.records[row], self.texts[row], self.places[row]) for row in rows])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of records and texts; where they stood does not count."""
        kept = [[record.act, record.slots, own] for record, own in zip(self.records, self.texts, strict=True)]
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()

    @property
    def skipped_note(self) -> str:
        """What was left out, in words; "" where nothing was."""
        return skipped_note(self.skipped)

    @property
    def slots(self) -> list[str]:
        """The names of all slots, sorted. Raises: DataError for two that would have one placeholder."""
        names = sorted({name for record in self.records for name, _ in record.slots})
        owner: dict[str, str] = {}
        for name in names:
            if (other := owner.setdefault(placeholder(name), name)) != name:
                raise DataError(
                    f"{self.places[0]} and on: the slots {other!r} and {name!r} would both be {placeholder(name)}; "
                    "rename one"
                )
        return names

    def each(self) -> Records:
        """One record for every text, to train on."""
        rows = self._rows()
        return _records([row._replace(texts=(text,)) for row in rows for text in row.texts], self.skipped)

    def grouped(self) -> Records:
        """Equal records as one with all their different texts, where the first of them stands; to test on."""
        found: dict[Record, _Row] = {}
        for row in self._rows():
            known = found.get(row.record, row._replace(texts=()))
            found[row.record] = known._replace(texts=tuple(dict.fromkeys(known.texts + row.texts)))
        return _records(found.values(), self.skipped)

    def within(self, num_tokens: Callable[[Record, str], int], max_tokens: int, *, skip_bad: bool = False) -> Records:
        """The records whose texts all have at most `max_tokens` tokens as `num_tokens` counts them.

        Raises: DataError naming the first longer one, unless `skip_bad`; and where none is left.
        """

        def rows() -> Iterator[_Row | Bad]:
            for row in self._rows():
                count = max((num_tokens(row.record, text) for text in row.texts), default=0)
                wrong = f"{row.place}: record or text has {count:,} tokens, at most {max_tokens:,} are allowed"
                is_long = count > max_tokens
                yield Bad(TOO_LONG, f"{wrong}; shorten it, allow more with --max-tokens") if is_long else row

        good, skipped = sifted(rows(), skip_bad=skip_bad)
        if not good:
            raise DataError(f"{self.places[0]} and on: every record or its text has more than {max_tokens:,} tokens")
        return _records(good, self.skipped + skipped)

    def sharing(self) -> Records:
        """Every record with the texts of all that have the same features, its own values filled in; to test on.

        Source: the references of the table of Wen et al. 2016.
        """
        shared: dict[tuple[str, ...], list[str]] = {}
        for record, own, _ in self._rows():
            shared.setdefault(record.features, []).extend(map(record.delexicalised, own))
        rows = [
            row._replace(texts=tuple(dict.fromkeys(map(row.record.lexicalised, shared[row.record.features]))))
            for row in self._rows()
        ]
        return _records(rows, self.skipped)

    def _rows(self) -> Iterator[_Row]:
        return map(_Row, self.records, self.texts, self.places)


def read_records(
    files: str | Sequence[str],
    *,
    text_column: str | None = None,
    encoding: str = "utf-8",
    with_texts: bool = True,
    skip_bad: bool = False,
) -> Records:
    """The records of files, one file after another.

    Args:
        files: .jsonl: on each line an object of attributes, of which `text_column` holds the text or a list of them; a
            list of values is several values of the slot, null none; "act" is the dialogue act. .csv and .tsv with a
            header: so the columns; an empty cell is no value. .json: a list of such objects, or of lists of a dialogue
            act "inform(name='chez maman';food=creperies)" and its text, whatever comes after it, as RNNLG has them,
            below lines that begin with #. Each also as .gz.
        text_column: None: the only one of `DESCRIPTION_COLUMNS` that is there.
        with_texts: False: what stands as text is not read.
        skip_bad: leave out rows that cannot be used and count them by reason (`Records.skipped`).
    Raises: DataError, one line, naming file, row and remedy.
    """
    names = [files] if isinstance(files, str) else [str(name) for name in files]
    rows = (row for name in names for row in _file_rows(name, text_column, encoding, with_texts, skip_bad))
    good, skipped = sifted(map(_checked, rows), skip_bad=skip_bad)
    if not good:
        refuse_nothing(names, skipped, "record")
    return _records(good, skipped)


def split_records(records: Records, held_out: float, *, seed: int) -> tuple[Records, Records]:
    """(training, held out): about the share `held_out`, at random; equal records stay together, and the file's order.

    Raises: DataError when all records are equal.
    """
    train, held = split_rows(records.records, held_out, seed=seed, what="record", place=records.places[0])
    return records[train], records[held]


def record_of(line: str, place: str) -> Record:
    """The record of one line: an object of attributes, or a dialogue act "inform(name='chez maman')".

    Raises: DataError, naming the place.
    """
    if not line.lstrip().startswith("{"):
        return _only(_of_act([line], place, with_texts=False))
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: is no JSON ({error}); write an object of attributes") from None
    return record_of_object(value, place)


def record_of_object(value: dict[str, Any], place: str, *, text_column: str | None = None) -> Record:
    """The record of an object of attributes; what stands as its text is left out. Raises: DataError."""
    return _only(_of_object(value, place, text_column, with_texts=False))


def _only(row: _Row | Bad) -> Record:
    row = _checked(row)
    if isinstance(row, Bad):
        raise DataError(row.message)
    return row.record


class _Row(NamedTuple):
    record: Record
    texts: tuple[str, ...]
    place: str


def _records(rows: Iterable[_Row], skipped: Counter[str] | None = None) -> Records:
    rows = list(rows)
    return Records([row.record for row in rows], [row.texts for row in rows], [row.place for row in rows],
                   Counter(skipped))  # fmt: skip


def _checked(row: _Row | Bad) -> _Row | Bad:
    if isinstance(row, Bad):
        return row
    if not row.record.slots and not row.record.act:
        return Bad(EMPTY, f"{row.place}: the record has no attribute; fill one in, take the row out")
    return next((bad for text in row.texts if (bad := text_fault(text, "text", row.place))), row)


def _file_rows(
    name: str, text_column: str | None, encoding: str, with_texts: bool, skip_bad: bool
) -> Iterator[_Row | Bad]:
    suffix, known = suffix_of(name), (*LINES, *SEPARATORS, ".json")
    if suffix not in known:
        raise DataError(f"{name}: cannot tell its format by the name; it must end in {', '.join(known)}")
    content = content_of(name, encoding, skip_bad=skip_bad)
    objects: Iterator[tuple[Any, str] | Bad]
    if suffix in LINES:
        objects = objects_of(name, content)
    elif suffix == ".json":
        objects = _listed(name, content)
    else:
        objects = _of_cells(table_rows(name, content))
    for item in objects:
        if isinstance(item, Bad):
            yield item
            continue
        value, place = item
        if isinstance(value, dict):
            yield _of_object(value, place, text_column, with_texts)
        else:
            yield _of_act(value, place, with_texts)


def _listed(name: str, content: str) -> Iterator[tuple[Any, str] | Bad]:
    """The items of a JSON list, below any lines that begin with #."""
    body = re.sub(r"\A(?:#[^\n]*\n)+", "", content)
    try:
        items = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name}: is no JSON ({error}); wanted is one list, or .jsonl with an object on a line"
        ) from None
    if not isinstance(items, list):
        raise DataError(f"{name}: holds a {type(items).__name__}; wanted is one list of records")
    for number, item in enumerate(items):
        place = f"{name}, item {number}"
        if isinstance(item, dict) or (isinstance(item, list) and item):
            yield item, place
        else:
            yield Bad(UNREADABLE, f"{place}: is no object and no list of an act and its text; write one of them")


def _of_cells(rows: Iterator[tuple[list[str], str] | Bad]) -> Iterator[tuple[dict[str, Any], str] | Bad]:
    header: list[str] | None = None
    for row in rows:
        if isinstance(row, Bad):
            yield row
        elif header is None:
            header, place = row
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise DataError(f"{place}: the column {twice!r} stands twice; rename one")
        else:
            cells, place = row
            yield {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()}, place


def _of_object(value: dict[str, Any], place: str, text_column: str | None, with_texts: bool) -> _Row | Bad:
    try:
        key: str | None = column_of(list(value), text_column, DESCRIPTION_COLUMNS, "--text-column", place)
    except DataError as error:
        if with_texts:
            return Bad(COLUMNS, str(error))
        key = None
    given = value[key] if with_texts and key is not None else []
    texts = given if isinstance(given, list) else [given]
    if with_texts and not texts:
        return Bad(EMPTY, f"{place}: the list of texts is empty; fill it in, take the row out")
    for text in texts:
        if not isinstance(text, str):
            return Bad(UNREADABLE, f"{place}: the text is a {type(text).__name__}; quote it")
    slots: list[tuple[str, str]] = []
    for name, values in value.items():
        if name in (key, ACT):
            continue
        for one in values if isinstance(values, list) else [values]:
            if one is None:
                continue
            if not isinstance(one, str | int | float):
                return Bad(
                    UNREADABLE, f"{place}: the value of {name!r} is a {type(one).__name__}; give a text or number"
                )
            slots.append((name, _value(str(one))))
    return _Row(Record(tuple(slots), str(value.get(ACT, ""))), tuple(texts), place)


def _of_act(item: list[Any], place: str, with_texts: bool) -> _Row | Bad:
    strings = item[: 1 + with_texts]
    if len(strings) < 1 + with_texts or not all(isinstance(one, str) for one in strings):
        return Bad(UNREADABLE, f"{place}: wanted is a list of a dialogue act and its text; write both as texts")
    found = re.fullmatch(r"([^()]+)\((.*)\)", strings[0].strip(), re.DOTALL)
    if not found:
        return Bad(UNREADABLE, f"{place}: {strings[0][:50]!r} is no dialogue act; write act(slot=value;slot=value)")
    slots = []
    for part in filter(None, map(str.strip, found[2].split(";"))):
        name, equals, value = part.partition("=")
        name = re.sub(r"[_ ]", "", name.strip("'\""))  # the format takes both names for one
        slots.append((name, _value(value.strip("'\" ")) if equals else ASKED))
    return _Row(Record(tuple(slots), found[1]), tuple(strings[1:]), place)


def _value(text: str) -> str:
    """A value as it is read: special ones under one name, spaces single."""
    text = " ".join(text.split())
    return SPECIAL_VALUES.get(text.lower(), text)
