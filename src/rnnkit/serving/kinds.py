"""Which kinds of models are served, and the routes of those that predict: a further kind is added here."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request

from rnnkit.errors import SchemaError
from rnnkit.runtime import Acceptor, EncoderDecoder, Forecaster, Responder, Transducer, loading
from rnnkit.runtime.loading import Model
from rnnkit.serving import bodies, service
from rnnkit.serving.faults import Fault
from rnnkit.serving.service import Service

SERVED = {
    "language_model": ("step", "generate", "complete"),
    "acceptor": ("classify",),
    "transducer": ("tag", "frames"),
    "encoder_decoder": ("translate",),
    "forecaster": ("forecast", "observe"),
}
"""By kind the verbs of its routes, `/v1/models/NAME/VERB`. A policy of `train control` is a transducer of frames."""


def load(run: str | Path, *, precision: str | None = None) -> Model:
    """The model of a run folder. Raises: SchemaError for a kind without a route; as `rnnkit.runtime.load`."""
    model = loading.load(run, precision=precision)
    if isinstance(model, Responder):
        raise SchemaError(f"{run} holds a model of dialogue, which is not served; rnnkit.runtime.Responder replies")
    if model.kind not in SERVED:
        raise SchemaError(f"{run} is of kind {model.kind}, which is not served; one of {', '.join(SERVED)} is wanted")
    return model


async def _service(request: Request) -> Service:
    return request.app.state.service


Served = Annotated[Service, Depends(_service)]


def add_routes(app: FastAPI) -> None:
    """Those of predictions."""

    @app.post("/v1/models/{model}/classify")
    async def classify(model: str, body: bodies.Classify, served: Served) -> list[dict[str, Any]]:
        """A label for every sequence."""
        found = served.model(model, Acceptor, "classify")
        return await served.predict(service.classified, found, body.sequences)

    @app.post("/v1/models/{model}/tag")
    async def tag(model: str, body: bodies.Tag, served: Served) -> list[list[str]]:
        """A tag for every word of every sentence."""
        found = served.model(model, Transducer, "tag words")
        if found.input_size:
            raise Fault(404, f"{model} labels frames; POST /v1/models/{model}/frames", field="model")
        return await served.predict(service.tagged, found, body.sentences)

    @app.post("/v1/models/{model}/frames")
    async def frames(model: str, body: bodies.Frames, served: Served) -> list[list[Any]]:
        """For every frame of every recording its label, its labels or its numbers."""
        found = served.model(model, Transducer, "label frames")
        if not found.input_size:
            raise Fault(404, f"{model} tags words; POST /v1/models/{model}/tag", field="model")
        return await served.predict(service.labelled, found, body.recordings)

    @app.post("/v1/models/{model}/translate")
    async def translate(model: str, body: bodies.Translate, served: Served) -> list[str]:
        """The likeliest text that a beam search finds for every source."""
        found = served.model(model, EncoderDecoder, "translate")
        return await served.predict(
            functools.partial(found.translate, body.texts, num_beams=body.num_beams, length_penalty=body.length_penalty)
        )

    @app.post("/v1/models/{model}/forecast")
    async def forecast(model: str, body: bodies.Forecast, served: Served) -> list[dict[str, Any]]:
        """For every series what comes next."""
        found = served.model(model, Forecaster, "forecast")
        return await served.predict(service.forecasted, found, body)

    @app.post("/v1/models/{model}/observe")
    async def observe(model: str, body: bodies.Observe, served: Served, request: Request) -> dict[str, Any]:
        """A series' next value, and what comes after it; the state comes and goes with the client."""
        return await served.observe(request.scope["owner"], model, body)
