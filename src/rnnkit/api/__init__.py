"""The classes and functions a user imports; each loads the half it needs on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnkit.api.automaton_report import explain_automaton
    from rnnkit.api.benchmark import bench
    from rnnkit.api.bidirectional import BidirectionalLanguageModel
    from rnnkit.api.classification_report import classification_table
    from rnnkit.api.classifier import Classifier
    from rnnkit.api.comparison import compare
    from rnnkit.api.control_report import control_table
    from rnnkit.api.describer import Describer
    from rnnkit.api.dynamics_report import dynamics_table
    from rnnkit.api.estimator import SequenceClassifier
    from rnnkit.api.evaluation import export_arpa
    from rnnkit.api.explanation import explain
    from rnnkit.api.forecast_report import forecast_table
    from rnnkit.api.forecaster import Forecaster
    from rnnkit.api.frame_tagger import FrameTagger
    from rnnkit.api.language_model import LanguageModel
    from rnnkit.api.loading import load
    from rnnkit.api.memory import measure_memory
    from rnnkit.api.own_cell import register_cell
    from rnnkit.api.policy import Policy
    from rnnkit.api.recognizer import Recognizer
    from rnnkit.api.report import result_table
    from rnnkit.api.responder import Responder
    from rnnkit.api.simulator import Simulator
    from rnnkit.api.tagger import Tagger
    from rnnkit.api.tagging_report import tagging_table
    from rnnkit.api.training import dry_run
    from rnnkit.api.translation_report import translation_table
    from rnnkit.api.translator import Translator
    from rnnkit.api.worked_report import explain_worked
    from rnnkit.data import doctor
    from rnnkit.metrics import ResultTable
    from rnnkit.runtime import Hypothesis

_HOMES = {
    "BidirectionalLanguageModel": "rnnkit.api.bidirectional",
    "Classifier": "rnnkit.api.classifier",
    "Describer": "rnnkit.api.describer",
    "Forecaster": "rnnkit.api.forecaster",
    "FrameTagger": "rnnkit.api.frame_tagger",
    "Hypothesis": "rnnkit.runtime",
    "LanguageModel": "rnnkit.api.language_model",
    "Policy": "rnnkit.api.policy",
    "Recognizer": "rnnkit.api.recognizer",
    "Responder": "rnnkit.api.responder",
    "ResultTable": "rnnkit.metrics",
    "SequenceClassifier": "rnnkit.api.estimator",
    "Simulator": "rnnkit.api.simulator",
    "Tagger": "rnnkit.api.tagger",
    "Translator": "rnnkit.api.translator",
    "bench": "rnnkit.api.benchmark",
    "classification_table": "rnnkit.api.classification_report",
    "compare": "rnnkit.api.comparison",
    "control_table": "rnnkit.api.control_report",
    "doctor": "rnnkit.data",
    "dry_run": "rnnkit.api.training",
    "dynamics_table": "rnnkit.api.dynamics_report",
    "explain": "rnnkit.api.explanation",
    "explain_automaton": "rnnkit.api.automaton_report",
    "explain_worked": "rnnkit.api.worked_report",
    "export_arpa": "rnnkit.api.evaluation",
    "forecast_table": "rnnkit.api.forecast_report",
    "load": "rnnkit.api.loading",
    "measure_memory": "rnnkit.api.memory",
    "register_cell": "rnnkit.api.own_cell",
    "result_table": "rnnkit.api.report",
    "tagging_table": "rnnkit.api.tagging_report",
    "translation_table": "rnnkit.api.translation_report",
}
__all__ = [
    "BidirectionalLanguageModel",
    "Classifier",
    "Describer",
    "Forecaster",
    "FrameTagger",
    "Hypothesis",
    "LanguageModel",
    "Policy",
    "Recognizer",
    "Responder",
    "ResultTable",
    "SequenceClassifier",
    "Simulator",
    "Tagger",
    "Translator",
    "bench",
    "classification_table",
    "compare",
    "control_table",
    "doctor",
    "dry_run",
    "dynamics_table",
    "explain",
    "explain_automaton",
    "explain_worked",
    "export_arpa",
    "forecast_table",
    "load",
    "measure_memory",
    "register_cell",
    "result_table",
    "tagging_table",
    "translation_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
