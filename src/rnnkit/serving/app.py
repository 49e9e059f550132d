"""The routes. A path is in `gate.OPEN` or wants a key; one with {session} in it wants the session's own key."""

from __future__ import annotations

import asyncio
import functools
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from rnnkit import __version__
from rnnkit.errors import RnnkitError
from rnnkit.runtime import LanguageModel
from rnnkit.serving import bodies, kinds
from rnnkit.serving.faults import Fault
from rnnkit.serving.kinds import Served
from rnnkit.serving.service import Service
from rnnkit.serving.sessions import Session

_PAGE = Path(__file__).parent / "page"


def build(make: Callable[[], Service]) -> FastAPI:
    """The application. Args: make: the service, once the event loop runs; it is `app.state.service` then."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = make()
        yield
        await app.state.service.close()

    app = FastAPI(
        title="rnnkit serve",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        default_response_class=_Answer,
    )
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(RnnkitError, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _broken)
    _add_page(app)
    _add_sessions(app)
    _add_models(app)
    return app


# ---- what every route asks for ---------------------------------------------------------------------------------------


async def _owned(request: Request, session: str) -> Session:
    return await request.app.state.service.get(session, request.scope["owner"])


Owned = Annotated[Session, Depends(_owned)]


async def _unfit(_: Request, error: Exception) -> Response:
    """A body that does not fit; what it holds is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    is_json = first["type"] == "json_invalid"
    field = "body" if is_json else ".".join(map(str, first["loc"]))
    return _answer(Fault(422, "the body is no JSON" if is_json else first["msg"], field=field))


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RnnkitError)
    return _answer(fault_of(error))


async def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(Fault(error.status_code, str(error.detail), field="body" if error.status_code == 400 else "path"))


async def _broken(_: Request, error: Exception) -> Response:
    """A fault of ours; uvicorn's log has it."""
    return _answer(Fault(500, f"internal error, {type(error).__name__}; the server's log has it"))


def fault_of(error: RnnkitError) -> Fault:
    """An error of the runtime as an answer: what a client sent is wrong."""
    return error if isinstance(error, Fault) else Fault(422, str(error), field="body")


def _answer(fault: Fault) -> Response:
    return Response(fault.body(), fault.status, fault.headers, "application/json")


# ---- the page and the server itself ----------------------------------------------------------------------------------


def _add_page(app: FastAPI) -> None:
    for path, file in (("/", "index.html"), ("/page.js", "page.js"), ("/page.css", "page.css")):
        app.add_route(path, functools.partial(_file, _PAGE / file), include_in_schema=False)

    @app.get("/health")
    async def health(served: Served) -> JSONResponse:
        """200 while the server works and could start again, else 503."""
        if await asyncio.to_thread(served.missing):
            return JSONResponse({"status": "model files are missing"}, 503)
        await served.store.count()  # Fault 503 where it cannot be reached
        return JSONResponse({"status": "ok"})

    @app.get("/metrics")
    async def metrics(served: Served) -> PlainTextResponse:
        """Counters and gauges in Prometheus' text format."""
        text = served.meters.text(await served.gauges())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _file(path: Path, _: Request) -> Response:
    return FileResponse(path)


# ---- sessions --------------------------------------------------------------------------------------------------------


class Opened(BaseModel):
    """A session."""

    session: str
    model: str
    num_read: int
    num_drawn: int

    @classmethod
    def of(cls, session: Session) -> Opened:
        return cls(session=session.id, model=session.model, num_read=session.num_read, num_drawn=session.num_drawn)


def _add_sessions(app: FastAPI) -> None:
    @app.post("/v1/sessions", status_code=201)
    async def open_session(body: bodies.Open, served: Served, request: Request) -> Opened:
        """A new session, at the beginning of a text or in an exported state."""
        return Opened.of(await served.open(request.scope["owner"], model=body.model, state=body.state))

    @app.get("/v1/sessions/{session}")
    async def look(owned: Owned) -> Opened:
        """Where a session stands."""
        return Opened.of(owned)

    @app.delete("/v1/sessions/{session}", status_code=204)
    async def close_session(owned: Owned, served: Served) -> None:
        """End a session."""
        await served.store.remove(owned)

    @app.post("/v1/sessions/{session}/step")
    async def step(body: bodies.Step, owned: Owned, served: Served) -> Response:
        """Read text or ids, and say what may come next."""
        after, said = await served.step(owned, body)
        await served.store.replace(owned, after)
        return _json(said)

    @app.post("/v1/sessions/{session}/generate")
    async def generate(body: bodies.Generate, owned: Owned, served: Served, request: Request) -> Response:
        """Write text: `text/event-stream` with a JSON object in each event, or one JSON answer."""

        async def written() -> AsyncGenerator[dict[str, Any]]:
            async with aclosing(served.generate(owned, body)) as pieces:
                async for after, said in pieces:
                    if said["is_done"]:
                        await served.store.replace(owned, after)
                    yield said

        return await _written(written(), request, is_stream=body.stream)

    @app.post("/v1/sessions/{session}/fork", status_code=201)
    async def fork(owned: Owned, served: Served) -> Opened:
        """A second session in the same state."""
        return Opened.of(await served.fork(owned))

    @app.get("/v1/sessions/{session}/state")
    async def export(owned: Owned, served: Served) -> dict[str, str]:
        """The session as a signed text, to keep, to open again, or to go on with at a route without sessions."""
        return {"state": served.sealed(owned)}

    @app.websocket("/v1/sessions/{session}/ws")
    async def converse(socket: WebSocket, session: str) -> None:
        """Messages {"step": {…}} and {"generate": {…}}, answered one after the other."""
        served: Service = socket.app.state.service
        owner = socket.scope["owner"]
        await served.get(session, owner)  # before it is accepted: 404
        await socket.accept()
        try:
            while True:
                async with asyncio.timeout(served.limits.idle_s):
                    text = await socket.receive_text()
                await _converse(socket, served, await served.get(session, owner), text)
        except WebSocketDisconnect:
            return
        except TimeoutError:
            await socket.close(1001, "idle")
        except Fault as fault:  # the session has ended
            await socket.close(4000 + fault.status, str(fault)[:100])


class _Message(BaseModel):
    """What a WebSocket takes."""

    model_config = ConfigDict(extra="forbid", strict=True)
    step: bodies.Step | None = None
    generate: bodies.Generate | None = None


async def _converse(socket: WebSocket, served: Service, session: Session, text: str) -> None:
    """Answer one message; one that is wrong is answered with its error."""
    try:
        async with asyncio.timeout(served.limits.request_s):
            message = _Message.model_validate_json(text)
            if message.step is not None and message.generate is None:
                after, said = await served.step(session, message.step)
                await served.store.replace(session, after)
                await socket.send_text(_dumps(said))
            elif message.generate is not None and message.step is None:
                await _generate(socket, served, session, message.generate)
            else:
                raise Fault(422, "give either step or generate", field="body")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        await _send_fault(socket, Fault(422, first["msg"], field=".".join(map(str, ("body", *first["loc"])))))
    except TimeoutError:
        await _send_fault(socket, Fault(504, f"no answer within {served.limits.request_s:g} s"))
    except RnnkitError as error:
        await _send_fault(socket, fault_of(error))


async def _send_fault(socket: WebSocket, fault: Fault) -> None:
    await socket.send_text(_dumps(json.loads(fault.body())["error"] | {"status": fault.status}, "error"))


async def _generate(socket: WebSocket, served: Service, session: Session, body: bodies.Generate) -> None:
    """Send every piece; a message in between, or the client's leaving, ends it and leaves the session as it was."""

    async def write() -> None:
        async with aclosing(served.generate(session, body)) as pieces:
            async for after, said in pieces:
                if said["is_done"]:
                    await served.store.replace(session, after)
                await socket.send_text(_dumps(said))

    writing = asyncio.create_task(write())
    coming = asyncio.create_task(socket.receive())
    try:
        await asyncio.wait({writing, coming}, return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            if coming.result()["type"] == "websocket.disconnect":
                raise WebSocketDisconnect
            raise Fault(499, "stopped; the session is as it was before", field="body")
        await writing
    finally:
        for task in (writing, coming):
            task.cancel()
        await asyncio.gather(writing, coming, return_exceptions=True)


# ---- models ----------------------------------------------------------------------------------------------------------


def _add_models(app: FastAPI) -> None:
    @app.get("/v1/models")
    async def models(served: Served) -> list[dict[str, str]]:
        """The models that are served, with their kinds."""
        return [{"name": name, "kind": model.kind} for name, model in served.models.items()]

    @app.post("/v1/models/{model}/step")
    async def step(model: str, body: bodies.StatelessStep, served: Served, request: Request) -> Response:
        """As a session's step, for a state that comes and goes with the client: any replica may answer."""
        after, said = await served.step(_travelling(served, request, model, body.state), body)
        return _json(said | {"state": served.sealed(after)})

    @app.post("/v1/models/{model}/generate")
    async def generate(model: str, body: bodies.StatelessGenerate, served: Served, request: Request) -> Response:
        """As a session's generate, likewise; the state comes with the last event."""
        session = _travelling(served, request, model, body.state)

        async def written() -> AsyncGenerator[dict[str, Any]]:
            async with aclosing(served.generate(session, body)) as pieces:
                async for after, said in pieces:
                    yield said | ({"state": served.sealed(after)} if said["is_done"] else {})

        return await _written(written(), request, is_stream=body.stream)

    @app.post("/v1/models/{model}/complete")
    async def complete(model: str, body: bodies.Complete, served: Served) -> list[dict[str, Any]]:
        """The likeliest next words after a text, with their probabilities."""
        found = served.model(model, LanguageModel, "complete a text")
        words = await served.predict(found.complete, body.text, body.k)
        return [{"text": text, "probability": probability} for text, probability in words]

    kinds.add_routes(app)


def _travelling(served: Service, request: Request, model: str, state: str | None) -> Session:
    owner = request.scope["owner"]
    served.engine(model)
    return served.opened(state, owner, model) if state is not None else served.begin(owner, model)


# ---- answers ---------------------------------------------------------------------------------------------------------


async def _written(events: AsyncGenerator[dict[str, Any]], request: Request, *, is_stream: bool) -> Response:
    """Events as they come or the last alone. Errors before the first are answers of their own."""
    first = await _unless_left(anext(events), request)
    if is_stream:
        return StreamingResponse(_events(first, events), media_type="text/event-stream")
    last = first
    while not last["is_done"]:
        last = await _unless_left(anext(events), request)
    last.pop("text", None)
    return _json({"text": last.pop("full_text"), **last})


async def _unless_left(event: Any, request: Request) -> dict[str, Any]:
    """The event, unless the client leaves before it comes. Raises: Fault 499, which nobody reads."""
    coming = asyncio.ensure_future(event)
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            raise Fault(499, "the client has left")
        return await coming
    finally:
        for task in (coming, leaving):
            task.cancel()
        await asyncio.gather(coming, leaving, return_exceptions=True)


async def _events(first: dict[str, Any], rest: AsyncGenerator[dict[str, Any]]) -> AsyncIterator[str]:
    try:
        async with aclosing(rest):
            yield f"data: {_dumps(first)}\n\n"
            async for event in rest:
                yield f"data: {_dumps(event)}\n\n"
    except RnnkitError as error:
        yield f"event: error\ndata: {_dumps(json.loads(fault_of(error).body())['error'])}\n\n"


def _json(content: Any) -> Response:
    return Response(_dumps(content), media_type="application/json")


def _dumps(content: Any, key: str | None = None) -> str:
    """JSON without spaces; numbers that are none become null."""
    content = content if key is None else {key: content}
    try:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


class _Answer(JSONResponse):
    """Of routes that return values."""

    def render(self, content: Any) -> bytes:
        return _dumps(content).encode()
