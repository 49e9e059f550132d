"""Measures, written once and in NumPy only."""

from rnnkit.metrics.calibration import fit_shares, fit_temperature, reliability
from rnnkit.metrics.classification import ClassificationScore, mean_interval, paired_difference
from rnnkit.metrics.diversity import distinct
from rnnkit.metrics.edit import edit_counts, edit_distances
from rnnkit.metrics.language import LanguageModelScore
from rnnkit.metrics.memorization import Memorization, memorization
from rnnkit.metrics.multi_label import MultiLabelScore, best_thresholds, score_of
from rnnkit.metrics.pseudo import PseudoLikelihoodScore
from rnnkit.metrics.slots import slot_counts, slot_error, slot_figures
from rnnkit.metrics.spans import SpanScore, convert, detect_scheme, spans_of
from rnnkit.metrics.table import Column, ResultTable, Row
from rnnkit.metrics.translation import TranslationScore, bleu_of, paired_translations

__all__ = [
    "ClassificationScore",
    "Column",
    "LanguageModelScore",
    "Memorization",
    "MultiLabelScore",
    "PseudoLikelihoodScore",
    "ResultTable",
    "Row",
    "SpanScore",
    "TranslationScore",
    "best_thresholds",
    "bleu_of",
    "convert",
    "detect_scheme",
    "distinct",
    "edit_counts",
    "edit_distances",
    "fit_shares",
    "fit_temperature",
    "mean_interval",
    "memorization",
    "paired_difference",
    "paired_translations",
    "reliability",
    "score_of",
    "slot_counts",
    "slot_error",
    "slot_figures",
    "spans_of",
]
