"""Measures, written once and in NumPy only."""

from rnnkit.metrics.classification import ClassificationScore, mean_interval, paired_difference
from rnnkit.metrics.language import LanguageModelScore
from rnnkit.metrics.memorization import Memorization, memorization
from rnnkit.metrics.pseudo import PseudoLikelihoodScore
from rnnkit.metrics.spans import SpanScore, convert, detect_scheme, spans_of
from rnnkit.metrics.table import Column, ResultTable, Row

__all__ = [
    "ClassificationScore",
    "Column",
    "LanguageModelScore",
    "Memorization",
    "PseudoLikelihoodScore",
    "ResultTable",
    "Row",
    "SpanScore",
    "convert",
    "detect_scheme",
    "mean_interval",
    "memorization",
    "paired_difference",
    "spans_of",
]
