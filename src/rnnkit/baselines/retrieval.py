"""What a writer of texts must beat: the source itself, the nearest training source's target, the commonest target, and
a template of the most similar record.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np

from rnnkit.baselines.archive import packed, read_arrays, unpacked, write_arrays
from rnnkit.errors import ArgumentError
from rnnkit.text import last_turn

Unit = Literal["word", "character"]


class TextBaseline(Protocol):
    """One that writes a text for every source, saved with its run."""

    def write(self, sources: Sequence[Any]) -> list[str]: ...
    def save(self, folder: str | Path) -> None: ...


class CopySource:
    """The source is its own target."""

    def write(self, sources: Sequence[str]) -> list[str]:
        """The sources."""
        return list(sources)

    def save(self, folder: str | Path) -> None:
        """Nothing needs to be kept."""

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """One as good as any."""
        return cls()


class LastTurn(CopySource):
    """Of a source that holds several turns the last one, said back."""

    def write(self, sources: Sequence[str]) -> list[str]:
        """The last turn of each."""
        return list(map(last_turn, sources))


class MostFrequentText:
    """The commonest training target, whatever the source; of equally common ones the first.

    Raises: ArgumentError without a target.
    """

    def __init__(self, targets: Iterable[str]) -> None:
        counts = Counter(targets)
        if not counts:
            raise ArgumentError("there is no target to count; give at least one")
        self.text = counts.most_common(1)[0][0]

    def write(self, sources: Sequence[Any]) -> list[str]:
        """The same text for each."""
        return [self.text] * len(sources)

    def save(self, folder: str | Path) -> None:
        """Write `frequent.npz` and `frequent.json`. Raises: SaveError."""
        write_arrays(folder, "frequent", {"text": self.text}, {})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file."""
        return read_arrays(folder, "frequent", lambda head, arrays: cls([head["text"]]))


class NearestSource:
    """The target of the training source that is most like the given one; of equally near ones the first.

    A text is the vector of its terms, term frequency × log(N / sources with the term) each, at length 1; near is what
    has the largest product. Terms are words and pairs of neighbouring words, whatever their case; or of single words,
    such as spellings, n-grams of 2 and 3 characters with their ends marked.

    Args:
        sources, targets: texts, paired.  unit: None: "character" where most sources are single words, else "word".
    Raises: ArgumentError.
    Cost:   of each source the sum over its terms of the training sources that have them; no matrix is made.
    Source: Manning, Raghavan and Schütze 2008, sections 6.2–6.3, 7.1.
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str], *, unit: Unit | None = None) -> None:
        if len(sources) != len(targets) or not sources:
            raise ArgumentError(
                f"{len(sources)} sources and {len(targets)} targets do not pair up; give as many of both"
            )
        if unit is None:
            is_single = 2 * sum(len(source.split()) < 2 for source in sources) > len(sources)
            unit = "character" if is_single else "word"
        self.sources, self.targets, self.unit = list(sources), list(targets), unit
        self._known: dict[str, int] = {}
        rows = [Counter(self._known.setdefault(term, len(self._known)) for term in self._terms(one)) for one in sources]
        terms = np.array([term for row in rows for term in row], np.int64)
        counts = np.array([count for row in rows for count in row.values()], np.float64)
        owner = np.repeat(np.arange(len(rows)), list(map(len, rows)))
        having = np.bincount(terms, minlength=len(self._known))
        self._weight = np.log(len(rows) / np.maximum(having, 1))
        values = counts * self._weight[terms]
        lengths = np.sqrt(np.bincount(owner, values**2, minlength=len(rows)))
        order = np.argsort(terms, kind="stable")
        self._owner, self._values = owner[order], (values / np.maximum(lengths, 1e-12)[owner])[order]
        self._starts = np.concatenate([[0], np.cumsum(having)])

    def write(self, sources: Sequence[str]) -> list[str]:
        """The nearest source's target; where no term is known, the first training target."""
        return [self.targets[row] for row in self.nearest(sources)]

    def nearest(self, sources: Sequence[str]) -> list[int]:
        """The row of the nearest training source of each."""
        found = []
        for source in sources:
            scores = np.zeros(len(self.sources))
            for term, count in Counter(self._terms(source)).items():
                if (at := self._known.get(term)) is not None:
                    rows = slice(self._starts[at], self._starts[at + 1])
                    scores[self._owner[rows]] += count * self._weight[at] * self._values[rows]
            found.append(int(scores.argmax()))
        return found

    def _terms(self, source: str) -> list[str]:
        if self.unit == "word":
            words = source.casefold().split()
            return words + [" ".join(pair) for pair in itertools.pairwise(words)]
        spelled = f"\n{source.casefold()}\n"  # no term of its own: a line's end stands in no source
        return [spelled[at : at + n] for n in (2, 3) for at in range(len(spelled) - n + 1)]

    def save(self, folder: str | Path) -> None:
        """Write `nearest.npz` and `nearest.json`: the pairs alone, the index is made again. Raises: SaveError."""
        arrays = packed("sources", self.sources) | packed("targets", self.targets)
        write_arrays(folder, "nearest", {"unit": self.unit}, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            return cls(unpacked("sources", arrays), unpacked("targets", arrays), unit=head["unit"])

        return read_arrays(folder, "nearest", make)


class TemplateFiller:
    """The commonest template among the training records that are most like the given one.

    A record is the set of its features, such as its dialogue act and which slots it has; alike are records by the
    cosine of their sets, |A ∩ B| / √(|A|·|B|). Templates have placeholders for values, which the caller fills in.

    Args:   features: of every training record.  templates: a delexicalised text each.
    Source: the nearest-neighbour generator of Wen et al. 2016, "Multi-domain neural network language generation",
            which draws one of the nearest records' texts where this takes the commonest.
    """

    def __init__(self, features: Sequence[Iterable[str]], templates: Sequence[str]) -> None:
        if len(features) != len(templates) or not features:
            raise ArgumentError(
                f"{len(features)} records, {len(templates)} templates do not pair up; give as many of both"
            )
        counts: dict[frozenset[str], Counter[str]] = {}
        for own, template in zip(features, templates, strict=True):
            counts.setdefault(frozenset(own), Counter())[template] += 1
        self.templates = {own: found.most_common(1)[0][0] for own, found in counts.items()}

    def write(self, sources: Sequence[Iterable[str]]) -> list[str]:
        """A template for each set of features; of equally similar records the first one's."""
        known = list(self.templates)
        names = {name: at for at, name in enumerate(sorted(set().union(*known)))}
        table = np.zeros((len(known), len(names)))
        for row, own in enumerate(known):
            table[row, [names[name] for name in own]] = 1
        sizes = np.sqrt(np.maximum(table.sum(1), 1))
        texts = []
        for own in map(frozenset, sources):
            score = table[:, [names[name] for name in own if name in names]].sum(1) / sizes
            if own in self.templates:  # also the empty set, whose score is 0
                texts.append(self.templates[own])
            else:
                texts.append(self.templates[known[int(score.argmax())]])
        return texts

    def save(self, folder: str | Path) -> None:
        """Write `templates.npz` and `templates.json`. Raises: SaveError."""
        kept = [[sorted(own), template] for own, template in self.templates.items()]
        write_arrays(folder, "templates", {"templates": kept}, {})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file."""

        def make(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
            return cls([own for own, _ in head["templates"]], [template for _, template in head["templates"]])

        return read_arrays(folder, "templates", make)
