"""What a model of records reads and writes: attributes as tokens, texts with placeholders for values, slots counted."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rnnkit.data.records import Record, placeholder
from rnnkit.errors import DataError
from rnnkit.metrics import slot_counts

_PLACEHOLDER = re.compile(r"(SLOT_[A-Z0-9_]+)")
_OPENING, _CLOSING = "([£$€", ".,;:!?)]"  # marks that stand before a word, and behind one
_GLUED = re.compile(r"\w[.,;:!?](?:\s|$)")


@dataclass(frozen=True)
class Wording:
    """How records become what a model reads, and what it writes becomes a text.

    Args:
        filled: slots whose values texts repeat: they are read and written as placeholders, and filled in again. The
            value of another is read as it is.
        words: of slots that are counted by words of their own, those words; of none, it is not counted. A filled slot
            that is not named here is counted by its placeholder.
        uncounted: dialogue acts whose slots are not counted.
        lowercase: texts are read as if all their letters were small.
        splits: marks at a word's ends are tokens of their own, and written without a space again.
    """

    filled: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    lowercase: bool = False
    splits: bool = False

    # ---- reading -----------------------------------------------------------------------------------------------------

    def features(self, record: Record) -> tuple[str, ...]:
        """The record as a set of attributes, sorted: "act=inform", "food=_1", "kidsallowed=yes", "stars=4"."""
        others = [f"{name}={value}" for name, value in record.slots if name not in self.filled]
        found = (*self._with_filled(record).features, *others)
        return tuple(sorted("_".join(feature.split()) for feature in found))

    def source(self, record: Record) -> str:
        """What a model reads: its attributes, a word each."""
        return " ".join(self.features(record))

    def template(self, record: Record, text: str) -> str:
        """A text of the record with placeholders for its values, its tokens between spaces."""
        found = self._with_filled(record).delexicalised(text.lower() if self.lowercase else text)
        if not self.splits:
            return " ".join(found.split())
        return " ".join(token for word in found.split() for token in _tokens(word))

    # ---- writing -----------------------------------------------------------------------------------------------------

    def text(self, record: Record, template: str) -> str:
        """A template with the record's values in it, on one line; a placeholder without a value stays."""
        return self._with_filled(record).lexicalised(_joined(template) if self.splits else " ".join(template.split()))

    def counts(self, records: Sequence[Record], texts: Sequence[str]) -> np.ndarray:
        """Slots missing from each text, redundant in it, and wanted, int64 [N, 3], as `metrics.slot_counts`.

        Nothing is wanted of `uncounted` acts, and nothing in them counts.
        """
        templates = [self.template(*row) for row in zip(records, texts, strict=True)]
        return self.template_counts(records, templates)

    def template_counts(self, records: Sequence[Record], templates: Sequence[str]) -> np.ndarray:
        """As `counts`, of texts that have their placeholders yet."""
        wanted = [self._with_counted(record).wanted(self._counted) for record in records]
        counts = slot_counts(wanted, [_spaced(template) for template in templates], self._counted)
        counts[[record.act in self.uncounted for record in records]] = 0
        return counts

    @cached_property
    def _counted(self) -> dict[str, tuple[str, ...]]:
        """By slot the words that say it."""
        own = {name: (placeholder(name),) for name in self.filled}
        return {name: words for name, words in {**own, **self.words}.items() if words}

    @cached_property
    def _filled(self) -> frozenset[str]:
        return frozenset(self.filled)

    def _with_filled(self, record: Record) -> Record:
        return Record(tuple(slot for slot in record.slots if slot[0] in self._filled), record.act)

    def _with_counted(self, record: Record) -> Record:
        return Record(tuple(slot for slot in record.slots if slot[0] in self._counted), record.act)

    # ---- kept with a model -------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """What `from_json` reads."""
        kept = {name: getattr(self, name) for name in ("filled", "words", "uncounted", "lowercase", "splits")}
        return json.dumps(kept, ensure_ascii=False)

    @classmethod
    def from_json(cls, data: str) -> Wording:
        """What `to_json` wrote. Raises: DataError."""
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataError(f"no JSON ({error}); take the file from its bundle") from None
        names = {"filled", "words", "uncounted", "lowercase", "splits"}
        if not isinstance(fields, dict) or fields.keys() != names:
            raise DataError(f"wanted are {', '.join(sorted(names))}; take the file from its bundle")
        words = fields["words"]
        lists = [fields["filled"], fields["uncounted"], *(words.values() if isinstance(words, dict) else [None])]
        if not all(isinstance(one, list) and all(isinstance(word, str) for word in one) for one in lists):
            raise DataError("filled, uncounted and each of words are lists of texts; take the file from its bundle")
        if type(fields["lowercase"]) is not bool or type(fields["splits"]) is not bool:
            raise DataError("lowercase and splits are true or false; take the file from its bundle")
        return cls(
            tuple(fields["filled"]),
            {name: tuple(own) for name, own in words.items()},
            tuple(fields["uncounted"]),
            fields["lowercase"],
            fields["splits"],
        )


def repeated_slots(records: Sequence[Record], texts: Sequence[str], *, least: float) -> tuple[str, ...]:
    """The slots whose values stand in the texts of at least the share `least` of the records that have one, sorted.

    A special value ("yes", "?") is none to repeat; of several values each counts.
    """
    seen, found = Counter[str](), Counter[str]()
    for record, text in zip(records, texts, strict=True):
        for slot in record.slots:
            alone = Record((slot,))
            if alone.features != (f"{slot[0]}=_1",):
                continue
            seen[slot[0]] += 1
            found[slot[0]] += placeholder(slot[0]) in alone.delexicalised(text)
    return tuple(sorted(name for name, count in seen.items() if found[name] >= max(least * count, 1)))


def has_glued_marks(texts: Iterable[str]) -> bool:
    """Whether marks such as a full stop stand at words rather than between spaces, in most texts that have some."""
    glued = loose = 0
    for text in texts:
        if _GLUED.search(text):
            glued += 1
        elif re.search(r"(?:^|\s)[.,;:!?](?:\s|$)", text):
            loose += 1
    return glued > loose


def _tokens(word: str) -> list[str]:
    """A word with the marks at its ends and its placeholders apart."""
    if _PLACEHOLDER.search(word):
        return [token for part in _PLACEHOLDER.split(word) for token in ([part] if "SLOT_" in part else _ends(part))]
    return _ends(word)


def _ends(word: str) -> list[str]:
    before, after = [], []
    while len(word) > 1 and word[0] in _OPENING:
        before.append(word[0])
        word = word[1:]
    while len(word) > 1 and word[-1] in _CLOSING:
        after.append(word[-1])
        word = word[:-1]
    return [*before, *filter(None, [word]), *reversed(after)]


def _joined(template: str) -> str:
    """Tokens as a text: marks, and what follows a word with an apostrophe or hyphen, at their words."""
    text = ""
    for token in template.split():
        is_behind = token in _CLOSING or (len(token) > 1 and token[0] in "'’-")
        text += token if not text or is_behind or text[-1] in _OPENING else f" {token}"
    return text


def _spaced(template: str) -> str:
    """With its placeholders and words between spaces, whatever marks they stand at."""
    return " ".join(token for word in template.split() for token in _tokens(word))
