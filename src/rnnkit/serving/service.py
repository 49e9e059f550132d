"""What the server does, apart from HTTP: sessions that read and write, states that travel, predictions in batches."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rnnkit.errors import RnnkitError
from rnnkit.runtime import Acceptor, Forecaster, LanguageModel, Transducer
from rnnkit.runtime.forecast import Forecast
from rnnkit.runtime.forecaster import History
from rnnkit.runtime.generation import Options
from rnnkit.runtime.loading import Model
from rnnkit.runtime.side_by_side import TAIL, Reading, Writing
from rnnkit.serving import bodies
from rnnkit.serving.engine import Engine, Wanted
from rnnkit.serving.faults import Fault
from rnnkit.serving.keys import Seal
from rnnkit.serving.limits import Limits
from rnnkit.serving.meters import Meters
from rnnkit.serving.sessions import Session, Store
from rnnkit.state import State

Result = TypeVar("Result")
_WORK = re.compile(r"/v1/(?:models/(?P<model>[^/]+)|sessions/[^/]+)/(?:step|generate)")


class Service:
    """The models under their names, and the sessions of those that write. Made inside the event loop.

    Args: files: of the models, which /health looks for: without them no worker could start again.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        store: Store,
        seal: Seal,
        limits: Limits,
        meters: Meters,
        files: tuple[Path, ...] = (),
    ) -> None:
        self.models, self.store, self.limits, self.meters = dict(models), store, limits, meters
        self._seal, self._files = seal, files
        self.engines = {
            name: Engine(name, model, limits, meters)
            for name, model in models.items()
            if isinstance(model, LanguageModel)
        }
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._predicting = 0

    async def close(self) -> None:
        """End the engines and the store."""
        for engine in self.engines.values():
            await engine.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
        await self.store.close()

    def missing(self) -> list[str]:
        """The names of models whose files are gone."""
        return sorted({file.parent.name for file in self._files if not file.is_file()})

    def check_room(self, path: str) -> None:
        """Before a request is read: whether a path that leads to an engine would find no room in any that it may mean.

        Raises: Fault 429. Under overload a refusal has to cost little, or refusing is all that is done.
        """
        found = _WORK.fullmatch(path)
        if found is None:
            return
        own = self.engines.get(found["model"] or "")
        engines = [own] if own is not None else [*self.engines.values()]
        if engines and all(engine.is_full for engine in engines):
            engines[0].check_room()

    # ---- sessions ----------------------------------------------------------------------------------------------------

    async def open(self, owner: str, *, model: str | None, state: str | None) -> Session:
        """A new session. Raises: Fault 404 for a model that is not there, 422 for a foreign state, 429."""
        session = self.opened(state, owner, model) if state is not None else self.begin(owner, model)
        session = replace(session, id=self.store.new_id(owner), created=time.time())
        await self.store.add(session)
        return session

    async def get(self, id: str, owner: str) -> Session:
        """A session of this owner. Raises: Fault 404, 410; 409 where this server has another model by its name."""
        session = await self.store.get(id, owner)
        engine = self.engines.get(session.model)
        if engine is None or engine.model.digest != session.digest:
            raise Fault(409, f"this server does not have the model {session.model!r} of this session", field="session")
        return session

    async def fork(self, session: Session) -> Session:
        """A second session in the same state, as old as the first."""
        fork = replace(session, id=self.store.new_id(session.owner))
        await self.store.add(fork)
        return fork

    def begin(self, owner: str, model: str | None) -> Session:
        """A text that begins, not in the store."""
        engine = self.engine(model)
        return Session(
            id="",
            owner=owner,
            model=engine.name,
            digest=engine.model.digest,
            vector=engine.streams.start,
            created=time.time(),
        )

    def sealed(self, session: Session) -> str:
        """The session as a signed text."""
        state = self.engines[session.model].streams.state(session.vector)
        return self._seal.close(session.facts(), state.to_bytes(), session.owner)

    def _open_seal(self, text: str, owner: str) -> tuple[dict[str, Any], bytes]:
        facts, data = self._seal.open(text, owner)
        if time.time() - facts["created"] > self.limits.session_s:
            raise Fault(422, f"this state is older than {self.limits.session_s:g} s; begin anew", field="body.state")
        return facts, data

    def opened(self, text: str, owner: str, model: str | None = None) -> Session:
        """What `sealed` wrote. Raises: Fault 422."""
        facts, data = self._open_seal(text, owner)
        if facts["model"] not in self.engines or (model or facts["model"]) != facts["model"]:
            raise Fault(422, f"this state is of the model {facts['model']!r}", field="body.state")
        streams = self.engines[facts["model"]].streams
        try:
            vector = streams.vector(State.from_bytes(data, like=streams.model.initial_state(1)))
        except RnnkitError as error:
            raise Fault(422, str(error), field="body.state") from None
        facts["tail"] = tuple(facts["tail"])
        return Session(id="", owner=owner, vector=vector, **facts)

    async def step(self, session: Session, body: bodies.Step) -> tuple[Session, dict[str, Any]]:
        """Read text or ids; the session after it, and what was asked of it."""
        engine = self.engines[session.model]
        if (body.text is None) == (body.ids is None):
            raise Fault(422, "give either text or ids", field="body.text")
        ids = engine.model.tokenizer.encode(body.text) if body.text is not None else np.array(body.ids, np.int64)
        work = Reading(engine.streams, session.vector, ids)
        said = await engine.do(work, Wanted(top=body.top, log_probs=body.log_probs, hidden=body.hidden))
        del said["is_done"]
        after = _after(session, work.vector, ids[-TAIL:].tolist(), num_read=len(ids))
        return after, {"num_read": after.num_read, **said}

    async def generate(self, session: Session, body: bodies.Generate) -> AsyncGenerator[tuple[Session, dict[str, Any]]]:
        """Write; the session as it was with each piece, the one after it with the last, which `is_done`.

        Raises: Fault 422, 429 before the first.
        """
        engine = self.engines[session.model]
        if body.max_new_tokens > self.limits.new_tokens:
            message = f"max_new_tokens is {body.max_new_tokens}; at most {self.limits.new_tokens} are allowed"
            raise Fault(422, message, field="body.max_new_tokens")
        options = Options(first_step=session.num_drawn, **body.options())
        work = Writing(engine.streams, session.vector, options, prompt=body.prompt, tail=session.tail)
        text = ""
        async with aclosing(engine.stream(work, Wanted(top=body.top, hidden=body.hidden))) as events:
            async for said in events:
                text += said.get("text", "")
                if not said["is_done"]:
                    yield session, said
                    continue
                read = [*work.prompt_ids, *work.drawn]
                after = _after(session, work.vector, read[-TAIL:], num_read=len(read), num_drawn=len(work.drawn))
                said |= {"full_text": text, "num_new_tokens": len(work.drawn), "num_read": after.num_read}
                yield after, said

    def engine(self, name: str | None) -> Engine:
        """The engine of a language model. Raises: Fault 404; 422 where a name is wanted."""
        if name is None:
            if len(self.engines) == 1:
                return next(iter(self.engines.values()))
            raise Fault(422, f"say which model, one of {', '.join(self.engines) or 'none'}", field="body.model")
        self.model(name, LanguageModel, "go on with a text")
        return self.engines[name]

    # ---- predictions -------------------------------------------------------------------------------------------------

    def model(self, name: str, kind: type[Result], verb: str) -> Result:
        """The model of this name. Raises: Fault 404 where it is not there, or is no `kind` and cannot `verb`."""
        model = self.models.get(name)
        if model is None:
            raise Fault(404, f"there is no model {name!r} here; one of {', '.join(self.models)}", field="model")
        if not isinstance(model, kind):
            raise Fault(404, f"{name} is of kind {model.kind}, which cannot {verb}", field="model")
        return model

    async def predict(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call it in a thread of its own, in turn. Raises: Fault 429."""
        if self._predicting >= self.limits.num_waiting:
            self.meters.refused += 1
            raise Fault(429, f"{self._predicting} requests wait already; try again later", retry_s=1)
        self._predicting += 1
        try:
            call = functools.partial(function, *arguments)
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        finally:
            self._predicting -= 1

    async def observe(self, owner: str, name: str, body: bodies.Observe) -> dict[str, Any]:
        """A value more of a series whose state travels with the client: what comes after it. Raises: Fault 422, 429."""
        model = self.model(name, Forecaster, "observe a series")
        facts: dict[str, Any] = {"model": name, "created": time.time()}
        if body.state is None:
            _check_start(model, body.start, "start")
            state = model.initial_state(1, clock=body.start or 0, series=_known(model, [body.id or ""]))
        else:
            if body.start is not None or body.id is not None:
                raise Fault(422, "start and id are told where a series begins, without a state", field="body.state")
            facts, data = self._open_seal(body.state, owner)
            if facts["model"] != name:
                raise Fault(422, f"this state is of the model {facts['model']!r}", field="body.state")
            try:
                state = State.from_bytes(data, like=model.initial_state(1))
            except RnnkitError as error:
                raise Fault(422, str(error), field="body.state") from None
        past = None if body.past is None else _rows([body.past], "past")
        future = None if body.future is None else _rows(body.future, "future")[None]
        value = _float32([body.value], "value")
        said, after = await self.predict(functools.partial(model.step, value, state, past=past, future=future))
        return _forecast(said) | {"state": self._seal.close(facts, after.to_bytes(), owner)}

    async def gauges(self) -> dict[str, float]:
        """What is so now, for /metrics."""
        count, size = await self.store.count()
        waiting = sum(engine.num_waiting for engine in self.engines.values())
        running = sum(engine.num_running for engine in self.engines.values())
        return {"sessions": count, "session_bytes": size, "waiting": waiting + self._predicting, "running": running}


def _after(session: Session, vector: np.ndarray, ids: list[int], *, num_read: int, num_drawn: int = 0) -> Session:
    return replace(
        session,
        vector=vector,
        tail=(*session.tail, *ids)[-TAIL:],
        num_read=session.num_read + num_read,
        num_drawn=session.num_drawn + num_drawn,
    )


def classified(model: Acceptor, sequences: list[Any]) -> list[dict[str, Any]]:
    """A label, or the labels, of every sequence, and the probability of each there is."""
    if not sequences:
        return []
    arrays = [one if isinstance(one, str) else _rows(one, "sequences") for one in sequences]
    log_probs = model.log_probs(arrays)
    key = "labels" if model.is_multi_label else "label"
    return [
        {key: label, "probabilities": dict(zip(model.labels, shares, strict=True))}
        for label, shares in zip(model.named(log_probs), np.exp(log_probs).tolist(), strict=True)
    ]


def tagged(model: Transducer, sentences: list[list[str]]) -> list[list[str]]:
    """A tag for every word."""
    return model.predict(sentences) if sentences else []


def labelled(model: Transducer, recordings: list[Any]) -> list[list[Any]]:
    """For every frame its label, its labels, or its numbers."""
    if not recordings:
        return []
    predicted = model.predict([_rows(one, "recordings") for one in recordings])
    return [one.tolist() if isinstance(one, np.ndarray) else list(one) for one in predicted]


def forecasted(model: Forecaster, body: bodies.Forecast) -> list[dict[str, Any]]:
    """What comes after every series, and the quantiles that the model was trained on, by level."""
    given, count = model.config["model"], len(body.series)
    if given["num_past"] or given["num_future"]:
        raise Fault(422, "this model reads covariates, which stand in tables; run rnnkit predict", field="model")
    _check_start(model, body.starts, "starts")
    for name, one in (("starts", body.starts), ("ids", body.ids)):
        if one is not None and len(one) != count:
            raise Fault(422, f"there are {len(one)} of {count} series; give one for each", field=f"body.{name}")
    if not all(one and one[0] is not None for one in body.series):
        raise Fault(422, "a series is empty or begins with null; begin with the first number", field="body.series")
    known = _known(model, body.ids or [""] * count)
    values = [_float32(one, "series") for one in body.series]
    none = [np.zeros((len(one), 0), np.float32) for one in values]
    starts = body.starts or [0] * count
    series = [History(*of_one) for of_one in zip(values, none, none, starts, known, strict=True)]
    found = model.backtest(series, [np.array([len(one)]) for one in values], horizon=body.horizon)
    return [_forecast(one) for one in found]


def _check_start(model: Forecaster, start: Any, field: str) -> None:
    if model.config["model"]["calendar"] and start is None:
        message = "this model reads the calendar; give each series' first step, counted from 1970 in its frequency"
        raise Fault(422, message, field=f"body.{field}")


def _known(model: Forecaster, ids: list[str]) -> np.ndarray:
    """What a state keeps of each series. Raises: DataError for one that must be known and is not."""
    given = model.config["model"]
    return model.series.rows(ids, None, is_scaled_by="series" in (given["level"], given["scale"]))


def _forecast(said: Forecast) -> dict[str, Any]:
    """Of one series."""
    found: dict[str, Any] = {"forecast": said.point[0].tolist()}
    if said.output == "point":
        return found
    return found | {"quantiles": dict(zip(map(str, said.levels), said.quantiles()[0].T.tolist(), strict=True))}


def _rows(steps: list[list[float]], field: str) -> np.ndarray:
    """Float32 [T, I]. Raises: Fault 422."""
    if len({len(step) for step in steps}) > 1:
        raise Fault(422, "every step of a sequence has as many numbers", field=f"body.{field}")
    return _float32(steps, field).reshape(len(steps), -1 if steps else 0)


def _float32(numbers: list[Any], field: str) -> np.ndarray:
    """None becomes NaN, a missing value. Raises: Fault 422 for a number that 32 bits do not hold."""
    with np.errstate(over="ignore"):
        array = np.array(numbers, np.float64).astype(np.float32)
    if np.isinf(array).any():
        raise Fault(
            422, f"a number is beyond {np.finfo(np.float32).max:.4g}, the largest there is", field=f"body.{field}"
        )
    return array
