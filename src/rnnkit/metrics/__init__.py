"""Measures, written once and in NumPy only."""

from rnnkit.metrics.calibration import fit_temperature, reliability
from rnnkit.metrics.classification import ClassificationScore, mean_interval, paired_difference
from rnnkit.metrics.language import LanguageModelScore
from rnnkit.metrics.memorization import Memorization, memorization
from rnnkit.metrics.multi_label import MultiLabelScore, best_thresholds, score_of
from rnnkit.metrics.pseudo import PseudoLikelihoodScore
from rnnkit.metrics.spans import SpanScore, convert, detect_scheme, spans_of
from rnnkit.metrics.table import Column, ResultTable, Row

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
    "best_thresholds",
    "convert",
    "detect_scheme",
    "fit_temperature",
    "mean_interval",
    "memorization",
    "paired_difference",
    "reliability",
    "score_of",
    "spans_of",
]
