"""What a tagger must beat: the most frequent tag of each word, a hidden Markov model, and a CRF over features."""

from __future__ import annotations

import hashlib
import json
import tempfile
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnkit import durable
from rnnkit.errors import DataError, MissingExtraError
from rnnkit.metrics.chain import Chain, best_path
from rnnkit.text.words import shape_of

_FORMAT = 1
_FILE = "tags.json"
_RARE = 10  # times that a word may be there and still speak for unknown ones
_LONGEST_SUFFIX = 10
_CRF_STEPS = 100

Sentences = Sequence[Sequence[str]]


class TagBaseline(ABC):
    """A tagger that is counted or fitted without torch, kept as one JSON file; `kind` names it."""

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def fit(cls, sentences: Sentences, tags: Sentences) -> Self:
        """From training sentences and their tags."""

    @abstractmethod
    def predict(self, sentences: Sentences) -> list[list[str]]:
        """The tags of every sentence."""

    @abstractmethod
    def _to_dict(self) -> dict[str, Any]: ...

    @classmethod
    @abstractmethod
    def _from_dict(cls, fields: dict[str, Any]) -> Self: ...

    @property
    def num_bytes(self) -> int:
        """What its file takes."""
        return len(self._bytes())

    def save(self, folder: str | Path) -> None:
        """Write `tags.json`. Raises: SaveError."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        durable.write_file(folder / _FILE, self._bytes())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote. Raises: DataError naming the file, for anything that is not exactly that."""
        path = Path(folder) / _FILE
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            if head.decode() != cls._head(body):
                raise DataError(f"{path} is damaged or no {cls.kind} of format {_FORMAT}; fit the baseline again")
            return cls._from_dict(json.loads(body))
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}; fit the baseline again") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} holds no baseline ({error}); fit it again") from None

    @classmethod
    def _head(cls, body: bytes) -> str:
        return json.dumps({"format": _FORMAT, "kind": cls.kind, "sha256": hashlib.sha256(body).hexdigest()})

    def _bytes(self) -> bytes:
        body = json.dumps(self._to_dict(), ensure_ascii=False).encode()
        return self._head(body).encode() + b"\n" + body


class MostFrequentTag(TagBaseline):
    """Each word gets its most frequent tag, an unknown one the most frequent of words that were there once."""

    kind = "most-frequent-tag"

    def __init__(self, words: Mapping[str, str], unknown: str) -> None:
        self.words, self.unknown = dict(words), unknown

    @classmethod
    def fit(cls, sentences: Sentences, tags: Sentences) -> Self:
        counts = _counts_by_word(sentences, tags)
        single = Counter(tag for of_word in counts.values() if of_word.total() == 1 for tag in of_word)
        every = Counter(tag for of_sentence in tags for tag in of_sentence)
        return cls({word: _most(of_word) for word, of_word in counts.items()}, _most(single or every))

    def predict(self, sentences: Sentences) -> list[list[str]]:
        return [[self.words.get(word, self.unknown) for word in words] for words in sentences]

    def _to_dict(self) -> dict[str, Any]:
        return {"words": self.words, "unknown": self.unknown}

    @classmethod
    def _from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)


class HiddenMarkov(TagBaseline):
    """argmax over tags of Π p(word | tag) p(tag | tag before), with the ends of unknown words guessing their tag.

    p(t | s) = λ n(s, t)/n(s) + (1 − λ) n(t)/N, with λ by deleted interpolation; p(w | t) = n(w, t)/n(t). Of an unknown
    word p(w | t) is as p(t | its longest known suffix)/p(t), the suffixes those of words that were there at most ten
    times, capitalised ones by themselves, each smoothed by the next shorter one.

    Source: Brants 2000, "TnT", with the tag before in place of the two before.
    """

    kind = "hmm"

    def __init__(self, tags: Sequence[str], transitions: Any, words: Mapping[str, Mapping[str, int]]) -> None:
        """Args: transitions: [C + 1, C + 1] counts from tag to tag; index C is both ends. words: counts of tags."""
        self.tags, self.words = list(tags), {word: dict(counts) for word, counts in words.items()}
        self.transitions = np.asarray(transitions, np.int64)
        count = len(self.tags)
        if self.transitions.shape != (count + 1, count + 1):
            raise DataError(f"transitions {list(self.transitions.shape)} do not fit {count} tags; fit it again")
        self._ids = {tag: index for index, tag in enumerate(self.tags)}
        of_tag = self.transitions[:, :count].sum(0)
        self._share = of_tag / of_tag.sum()
        self._chain = self._smoothed()
        with np.errstate(divide="ignore"):
            self._emission = {word: np.log(self._row(counts) / of_tag) for word, counts in self.words.items()}
        self._suffixes = self._counted_suffixes()
        self._spread = float(np.std(self._share))

    @classmethod
    def fit(cls, sentences: Sentences, tags: Sentences) -> Self:
        names = sorted({tag for of_sentence in tags for tag in of_sentence})
        ids = {tag: index for index, tag in enumerate(names)}
        transitions = np.zeros((len(names) + 1, len(names) + 1), np.int64)
        for of_sentence in tags:
            path = [len(names), *(ids[tag] for tag in of_sentence), len(names)]
            np.add.at(transitions, (path[:-1], path[1:]), 1)
        return cls(names, transitions, _counts_by_word(sentences, tags))

    def predict(self, sentences: Sentences) -> list[list[str]]:
        return [
            [self.tags[best] for best in best_path(np.array([self._scores(word) for word in words]), self._chain)]
            if len(words)
            else []
            for words in sentences
        ]

    def _scores(self, word: str) -> np.ndarray:
        if word in self._emission:
            return self._emission[word]
        share, suffixes = self._share, self._suffixes[word[:1].isupper()]
        for length in range(min(len(word), _LONGEST_SUFFIX) + 1):
            counts = suffixes.get(word[len(word) - length :])
            if counts is None:
                break
            share = (counts / counts.sum() + self._spread * share) / (1 + self._spread)
        with np.errstate(divide="ignore"):
            return np.log(share / self._share)

    def _smoothed(self) -> Chain:
        n = self.transitions
        before, after = n.sum(1), n.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            pair = np.where(before[:, None] > 1, (n - 1) / (before[:, None] - 1), 0)
            alone = (after - 1) / (after.sum() - 1)
            weight = n[pair > alone[None]].sum() / n.sum()
            share = np.where(before[:, None] > 0, n / before[:, None], 0)
            logs = np.log(weight * share + (1 - weight) * (after / after.sum())[None])
        return Chain(start=logs[-1, :-1], transition=logs[:-1, :-1], end=logs[:-1, -1])

    def _row(self, counts: Mapping[str, int]) -> np.ndarray:
        row = np.zeros(len(self.tags))
        for tag, count in counts.items():
            row[self._ids[tag]] = count
        return row

    def _counted_suffixes(self) -> dict[bool, dict[str, np.ndarray]]:
        found: dict[bool, dict[str, np.ndarray]] = {False: {}, True: {}}
        for word, counts in self.words.items():
            if sum(counts.values()) <= _RARE:
                row, suffixes = self._row(counts), found[word[:1].isupper()]
                for length in range(min(len(word), _LONGEST_SUFFIX) + 1):
                    suffix = word[len(word) - length :]
                    suffixes[suffix] = suffixes.get(suffix, 0) + row
        return found

    def _to_dict(self) -> dict[str, Any]:
        return {"tags": self.tags, "transitions": self.transitions.tolist(), "words": self.words}

    @classmethod
    def _from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)


class FeatureCrf(TagBaseline):
    """A linear-chain CRF over the word, its shape, its first and last letters, and the words around it.

    Fitted by CRFsuite (L-BFGS, 100 steps, L1 and L2 penalties of 0.1), kept as its weights and decoded here, so that
    what is read from a run folder needs no library and is never executed.

    Source: Lafferty, McCallum and Pereira 2001; Okazaki 2007, CRFsuite.
    """

    kind = "feature-crf"

    def __init__(self, tags: Sequence[str], transitions: Any, features: Mapping[str, Mapping[str, float]]) -> None:
        """Args: transitions: [C, C] weights. features: the weights of each feature by tag."""
        self.tags = list(tags)
        self.transitions = np.asarray(transitions, np.float64)
        if self.transitions.shape != (len(self.tags), len(self.tags)):
            raise DataError(
                f"transitions {list(self.transitions.shape)} do not fit {len(self.tags)} tags; fit it again"
            )
        self.features = {name: dict(weights) for name, weights in features.items()}
        ids = {tag: index for index, tag in enumerate(self.tags)}
        self._at = {
            name: (np.array([ids[tag] for tag in weights]), np.array(list(weights.values())))
            for name, weights in self.features.items()
        }

    @classmethod
    def fit(cls, sentences: Sentences, tags: Sentences) -> Self:
        """Raises: MissingExtraError without python-crfsuite. Cost: half a minute for 60,000 words and 13 tags."""
        pycrfsuite = require_crfsuite()
        trainer = pycrfsuite.Trainer(verbose=False)
        for words, of_sentence in zip(sentences, tags, strict=True):
            trainer.append(features_of(words), list(of_sentence))
        trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": _CRF_STEPS, "feature.possible_transitions": True})
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "crf")
            trainer.train(path)
            tagger = pycrfsuite.Tagger()
            tagger.open(path)
            info, names = tagger.info(), sorted(tagger.labels())
            tagger.close()
        ids = {tag: index for index, tag in enumerate(names)}
        transitions = np.zeros((len(names), len(names)))
        for (before, after), weight in info.transitions.items():
            transitions[ids[before], ids[after]] = weight
        features: dict[str, dict[str, float]] = defaultdict(dict)
        for (name, tag), weight in info.state_features.items():
            features[name][tag] = weight
        return cls(names, transitions, features)

    def predict(self, sentences: Sentences) -> list[list[str]]:
        zeros = np.zeros(len(self.tags))
        chain = Chain(start=zeros, transition=self.transitions, end=zeros)
        return [[self.tags[best] for best in best_path(self._scores(words), chain)] for words in sentences]

    def _scores(self, words: Sequence[str]) -> np.ndarray:
        scores = np.zeros((len(words), len(self.tags)))
        for row, names in zip(scores, features_of(words), strict=True):
            for name in names:
                if name in self._at:
                    ids, weights = self._at[name]
                    row[ids] += weights
        return scores

    def _to_dict(self) -> dict[str, Any]:
        return {"tags": self.tags, "transitions": self.transitions.tolist(), "features": self.features}

    @classmethod
    def _from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)


TAG_BASELINES: dict[str, type[TagBaseline]] = {kind.kind: kind for kind in (MostFrequentTag, HiddenMarkov, FeatureCrf)}


def require_crfsuite() -> Any:
    """The module pycrfsuite. Raises: MissingExtraError."""
    try:
        import pycrfsuite
    except ModuleNotFoundError as error:
        raise MissingExtraError("the baseline feature-crf needs `python-crfsuite`", extra="train") from error
    return pycrfsuite


def features_of(words: Sequence[str]) -> list[list[str]]:
    """The names of the features that fire at each word."""
    shapes = [shape_of(word) for word in words]
    rows = []
    for at, word in enumerate(words):
        lowered = word.lower()
        row = ["bias", f"word={lowered}", f"shape={shapes[at]}"]
        row += [f"prefix={lowered[:n]}" for n in (1, 2, 3)] + [f"suffix={lowered[-n:]}" for n in (1, 2, 3)]
        for offset in (-2, -1, 1, 2):
            is_there = 0 <= at + offset < len(words)
            row.append(f"{offset}:word={words[at + offset].lower() if is_there else '<end>'}")
            row.append(f"{offset}:shape={shapes[at + offset] if is_there else '<end>'}")
        rows.append(row)
    return rows


def _counts_by_word(sentences: Sentences, tags: Sentences) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for words, of_sentence in zip(sentences, tags, strict=True):
        for word, tag in zip(words, of_sentence, strict=True):
            counts[word][tag] += 1
    return counts


def _most(counts: Counter[str]) -> str:
    """The most frequent; of several the first in the alphabet."""
    return min(counts, key=lambda tag: (-counts[tag], tag))
