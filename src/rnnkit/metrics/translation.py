"""Judge texts beside their references: BLEU and chrF by sacrebleu, edit distances, exact matches, paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, MissingExtraError
from rnnkit.metrics.edit import edit_counts, rate
from rnnkit.metrics.resampling import Figure, interval, paired
from rnnkit.metrics.table import SEEDS_COLUMNS, Column

TOKENIZERS = ("13a", "intl", "char", "zh", "none")
FIGURES = ("bleu", "exact", "wer", "cer")
_ORDER = 4


class TranslationScore:
    """How near outputs are to their references.

    Args:
        outputs: texts [N].  references: of each at least one; any is as good.
        tokenize: how BLEU cuts texts, a name of `TOKENIZERS`: "13a" as WMT has it, "none" for texts that are tokenised
            already, of which a word is what stands between spaces.
        lowercase: BLEU and chrF do not tell capital letters from small ones.
        figure: what systems are compared by, one of `FIGURES`.
    Raises: ArgumentError.
    """

    def __init__(
        self,
        outputs: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        tokenize: str = "13a",
        lowercase: bool = False,
        figure: str = "bleu",
    ) -> None:
        if len(outputs) != len(references) or not len(outputs):
            raise ArgumentError(f"{len(outputs)} outputs and {len(references)} references do not fit together")
        if not all(map(len, references)):
            row = [len(own) for own in references].index(0)
            raise ArgumentError(f"output {row} has no reference; give at least one for each")
        for value, known, what in ((tokenize, TOKENIZERS, "tokenize"), (figure, FIGURES, "figure")):
            if value not in known:
                raise ArgumentError(f"{what} is {value!r}; choose {', '.join(known)}")
        self.outputs, self.references = list(outputs), [tuple(own) for own in references]
        self.tokenize, self.lowercase, self.figure = tokenize, lowercase, figure

    @cached_property
    def bleu_counts(self) -> np.ndarray:
        """int64 [N, 10]: words of the output and of its nearest reference in length; matches and n-grams of 1 to 4.

        Raises: MissingExtraError without sacrebleu.
        """
        metric = self._bleu(effective_order=True)
        scores = [metric.sentence_score(out, own) for out, own in self._rows()]
        return np.array([[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in scores], np.int64)

    @cached_property
    def is_exact(self) -> np.ndarray:
        """Whether each output is one of its references, but for spaces; bool [N]."""
        return np.array([_spaced(out) in map(_spaced, own) for out, own in self._rows()])

    @cached_property
    def word_counts(self) -> np.ndarray:
        """Edits and words, int64 [N, 2]: see `edit_counts`. Where words are phonemes this gives their error rate."""
        return edit_counts(self.outputs, self.references, unit="word")

    @cached_property
    def character_counts(self) -> np.ndarray:
        """Edits and characters, int64 [N, 2]."""
        return edit_counts(self.outputs, self.references, unit="character")

    def bleu(self, order: int = _ORDER) -> float:
        """Corpus BLEU of n-grams up to `order`, 0 to 100. Source: Papineni et al. 2002; Post 2018 (sacrebleu)."""
        return float(bleu_of(self.bleu_counts.sum(0)[None], order)[0])

    @property
    def chrf(self) -> float:
        """Corpus chrF2, 0 to 100. Source: Popović 2015."""
        return self._corpus["chrf"]

    @property
    def signatures(self) -> dict[str, str]:
        """What sacrebleu calls the settings of BLEU and of chrF."""
        return {key: value for key, value in self._corpus.items() if key.endswith("signature")}

    def sentence_scores(self) -> np.ndarray:
        """chrF of every output, float64 [N]: to find the worst by, since BLEU of one sentence is mostly 0."""
        metric = self._chrf()
        return np.array([metric.sentence_score(out, own).score for out, own in self._rows()])

    def counts(self, figure: str | None = None) -> tuple[np.ndarray, Figure]:
        """What a figure is a function of when summed over outputs, [N, C], and that function."""
        figure = figure or self.figure
        if figure == "bleu":
            return self.bleu_counts, bleu_of
        if figure == "exact":
            return np.stack([self.is_exact, np.ones(len(self.is_exact))], axis=1).astype(np.int64), rate
        return (self.word_counts if figure == "wer" else self.character_counts), rate

    def to_dict(self) -> dict[str, Any]:
        """The figures, for metrics.json; `low` and `high`: the middle 95 % of `figure` over resampled outputs."""
        low, high = interval(*self.counts())
        counts = self.bleu_counts.sum(0)
        return {
            "bleu": self.bleu(),
            "bleu_1": self.bleu(1),
            "chrf": self.chrf,
            "exact": float(self.is_exact.mean()),
            "wer": float(rate(self.word_counts.sum(0)[None])[0]),
            "cer": float(rate(self.character_counts.sum(0)[None])[0]),
            "length_ratio": float(counts[0] / max(counts[1], 1)),
            "low": low,
            "high": high,
            "figure": self.figure,
            "num_outputs": len(self.outputs),
            **self.signatures,
        }

    @cached_property
    def _corpus(self) -> dict[str, Any]:
        columns = [list(column) for column in zip_longest(*self.references)]  # as sacrebleu wants them: None, no more
        found: dict[str, Any] = {}
        for name, metric in (("bleu", self._bleu(effective_order=False)), ("chrf", self._chrf())):
            found[name] = metric.corpus_score(self.outputs, columns).score
            found[f"{name}_signature"] = str(metric.get_signature())
        return found

    def _rows(self) -> list[tuple[str, tuple[str, ...]]]:
        return list(zip(self.outputs, self.references, strict=True))

    def _bleu(self, *, effective_order: bool) -> Any:
        return _sacrebleu().BLEU(
            tokenize=self.tokenize, lowercase=self.lowercase, effective_order=effective_order, force=True
        )

    def _chrf(self) -> Any:
        return _sacrebleu().CHRF(lowercase=self.lowercase)


def bleu_of(sums: np.ndarray, order: int = _ORDER) -> np.ndarray:
    """Corpus BLEU of summed counts [R, 10] (see `TranslationScore.bleu_counts`) -> [R], 0 to 100.

    BP · exp(mean of log p_n), BP = min(1, exp(1 − reference/output words)); the k-th n without a match has
    p_n = 1 / (2^k · n-grams), so that a small corpus is not 0 at once; without any match, or without n-grams, it is 0.

    Source: Papineni et al. 2002; smoothing "exp" as sacrebleu and mteval-v13a have it.
    """
    sums = np.asarray(sums, np.float64)
    correct, total = sums[:, 2 : 2 + order], sums[:, 2 + _ORDER : 2 + _ORDER + order]
    is_none = correct == 0
    smoothed = np.where(is_none, 0.5 ** np.cumsum(is_none, axis=1), correct)
    logs = np.log(smoothed / np.maximum(total, 1)).mean(1)
    penalty = np.minimum(1 - sums[:, 1] / np.maximum(sums[:, 0], 1), 0)
    return np.where(correct.any(1) & (total > 0).all(1), 100 * np.exp(logs + penalty), 0.0)


def paired_translations(ours: TranslationScore, theirs: TranslationScore) -> dict[str, float]:
    """By how much one system's figure is above another's on the same outputs, and how surely: see `paired`."""
    (left, figure), (right, _) = ours.counts(), theirs.counts(ours.figure)
    return paired(left, right, figure)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtraError("BLEU and chrF need sacrebleu", extra="translation") from error
    return metrics


_FIGURES = (
    Column("bleu", "BLEU", ".2f", better="higher"),
    Column("chrf", "chrF", ".2f", better="higher"),
    Column("slot_error", "slot error", ".2%", better="lower"),
    Column("exact", "exact", ".2%", better="higher"),
    Column("wer", "WER", ".2%", better="lower"),
    Column("cer", "CER", ".2%", better="lower"),
    Column("distinct_1", "distinct-1", ".3f"),
    Column("distinct_2", "distinct-2", ".3f"),
)
_INTERVAL = (Column("low", "95 % from", ""), Column("high", "to", ""), *SEEDS_COLUMNS)


def translation_columns(figure: str) -> list[Column]:
    """Those of every table of written texts, by the keys of metrics.json; its interval stands behind `figure`."""
    columns: list[Column] = []
    for column in _FIGURES:
        columns.append(column)
        if column.key == figure:
            columns += [replace(own, format=column.format) for own in _INTERVAL]
    return [*columns, Column("p_value", "p (paired)", ".2g"), Column("train_seconds", "train s", ",.1f")]
