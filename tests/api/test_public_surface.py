"""The public names: what is promised is there, and nothing else slips in."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rnnkit
from rnnkit import api, runtime
from rnnkit.api.trained import Trained

PUBLIC = {
    "BidirectionalLanguageModel",
    "Classifier",
    "Describer",
    "Forecaster",
    "FrameTagger",
    "LanguageModel",
    "Policy",
    "Recognizer",
    "Responder",
    "RnnkitError",
    "SequenceClassifier",
    "Simulator",
    "State",
    "Tagger",
    "Translator",
    "compare",
    "doctor",
    "dry_run",
    "explain_backend",
    "get_num_threads",
    "load",
    "register_cell",
    "set_num_threads",
}
PACKAGES = {
    "automata",
    "baselines",
    "bundle",
    "data",
    "errors",
    "explain",
    "kernels",
    "metrics",
    "models",
    "nn",
    "runtime",
    "tasks",
    "text",
}


def test_the_public_names_are_these() -> None:
    assert set(rnnkit.__all__) == PUBLIC
    assert set(dir(rnnkit)) == PUBLIC | PACKAGES | {"training", "__version__"}


@pytest.mark.parametrize("name", sorted(PUBLIC | PACKAGES))
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(rnnkit, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Lstm'"):
        _ = rnnkit.Lstm  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = api.nothing  # type: ignore[attr-defined]


def test_import_rnnkit_loads_nothing_but_itself() -> None:
    code = "import sys; import rnnkit; print([m for m in ('numpy', 'torch', 'rnnkit.state') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "[]\n"


def test_the_language_model_is_the_runtimes_with_training() -> None:
    assert issubclass(rnnkit.LanguageModel, runtime.LanguageModel)
    classes = (rnnkit.LanguageModel, Trained)
    own = {name for of in classes for name in vars(of) if not name.startswith("_")}
    assert own == {"load", "train", "metrics", "evaluate", "score_lines", "path"}


def test_every_error_has_an_exit_code_of_the_command_line() -> None:
    codes = {
        error.exit_code
        for error in vars(rnnkit.errors).values()
        if isinstance(error, type) and issubclass(error, rnnkit.RnnkitError)
    }
    assert codes == {1, 2, 130}
