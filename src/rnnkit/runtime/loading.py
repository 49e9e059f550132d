"""load: a bundle, whatever its kind, as the model of the run half that it holds."""

from __future__ import annotations

from pathlib import Path

from rnnkit.bundle import read_bundle
from rnnkit.errors import SchemaError
from rnnkit.runtime.acceptor import Acceptor
from rnnkit.runtime.encoder_decoder import RECORDS, EncoderDecoder
from rnnkit.runtime.forecaster import Forecaster
from rnnkit.runtime.language_model import LanguageModel
from rnnkit.runtime.responder import DIALOGUE, Responder
from rnnkit.runtime.transducer import Transducer

Model = LanguageModel | Acceptor | Transducer | EncoderDecoder | Forecaster
_CLASSES: dict[str, type[Model]] = {
    "language_model": LanguageModel,
    "acceptor": Acceptor,
    "transducer": Transducer,
    "encoder_decoder": EncoderDecoder,
    "forecaster": Forecaster,
}


def load(run: str | Path, *, precision: str | None = None) -> Model:
    """The model of a run folder.

    Args:   precision: of the products; None: what the model was trained in.
    Raises: BundleError, by its subclasses; SchemaError for a kind that only looks at whole texts; ConfigError.
    """
    bundle = read_bundle(run)
    kind = bundle.config["kind"]
    if kind not in _CLASSES:
        raise SchemaError(f"{run} is of kind {kind}; one of {', '.join(_CLASSES)} is wanted")
    if RECORDS in bundle.files:
        raise SchemaError(f"{run} describes records, and reads no text; rnnkit predict and rnnkit.load run it")
    made = Responder if DIALOGUE in bundle.files else _CLASSES[kind]
    return made.from_bundle(bundle, precision=precision)
