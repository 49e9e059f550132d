"""Measures, written once and in NumPy only."""

from rnnkit.metrics.language import LanguageModelScore
from rnnkit.metrics.memorization import Memorization, memorization
from rnnkit.metrics.table import Column, ResultTable, Row

__all__ = ["Column", "LanguageModelScore", "Memorization", "ResultTable", "Row", "memorization"]
