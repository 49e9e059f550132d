"""load: a run folder as the model that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnkit.api.bidirectional import BidirectionalLanguageModel
from rnnkit.api.classifier import Classifier
from rnnkit.api.describer import Describer
from rnnkit.api.forecaster import Forecaster
from rnnkit.api.frame_tagger import FrameTagger
from rnnkit.api.language_model import LanguageModel
from rnnkit.api.policy import Policy
from rnnkit.api.responder import Responder
from rnnkit.api.simulator import Simulator
from rnnkit.api.tagger import Tagger
from rnnkit.api.translator import Translator
from rnnkit.bundle import environment, read_bundle
from rnnkit.errors import SchemaError
from rnnkit.runtime.encoder_decoder import RECORDS
from rnnkit.runtime.responder import DIALOGUE

Loaded = (
    LanguageModel | BidirectionalLanguageModel | Classifier | Tagger | Translator | Describer | Forecaster | Simulator
)

_CLASSES: dict[str, Any] = {
    "language_model": LanguageModel,
    "bidirectional_language_model": BidirectionalLanguageModel,
    "acceptor": Classifier,
    "transducer": Tagger,
    "encoder_decoder": Translator,
    "forecaster": Forecaster,
    "simulator": Simulator,
}


def load(run: str | Path, *, precision: str | None = None) -> Loaded:
    """The model of a run folder, whatever task it was trained for; needs no torch.

        rnnkit.load("runs/reviews").predict(["a fine film"])

    Args:   precision: of the products; None: what the model was trained in.
    Raises: BundleError, by its subclasses; ConfigError for another precision.
    """
    bundle = read_bundle(run)
    kind = bundle.config["kind"]
    if kind not in _CLASSES:
        raise SchemaError(f"{run} holds a {kind}, a baseline and no run; give the folder of the run that it belongs to")
    made = FrameTagger if kind == "transducer" and bundle.config["model"]["input_size"] else _CLASSES[kind]
    made = Policy if made is FrameTagger and environment.NAME in bundle.files else made
    made = Responder if DIALOGUE in bundle.files else made
    made = Describer if kind == "encoder_decoder" and RECORDS in bundle.files else made
    model = made.from_bundle(bundle, precision=precision)
    model.path = Path(run)
    return model
