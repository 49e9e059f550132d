"""A trained forecaster without torch: values in, one by one or whole, a forecast of the steps ahead out after each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from rnnkit.bundle import Bundle
from rnnkit.bundle import series as series_file
from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import heads
from rnnkit.runtime.bundled import BundledModel
from rnnkit.runtime.forecast import Forecast
from rnnkit.runtime.forecast_inputs import CLOCK, ForecastInputs, Kept, Read, check_begun
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.state import State

ROWS = 64  # series that are read side by side
_WINDOW_NUMBERS = 1 << 21  # of all windows held at a time


class History(NamedTuple):
    """A series as it is read whole: values [T], past covariates [T, P], future ones [T + …, F], its first step, and
    its row of `series`, see `Kept`.
    """

    values: np.ndarray
    past: np.ndarray
    future: np.ndarray
    clock: int
    series: np.ndarray


class Forecaster(BundledModel):
    """Reads series, and says after every value what comes next; the equations are in `rnnkit.models.forecaster`.

        model = Forecaster.load("runs/load")
        state = model.initial_state(batch=2)
        forecast, state = model.step([3.1, 4.7], state)      # one value for each row
        forecast.point, forecast.quantiles()                 # [2, h], [2, h, Q]
        forecast, state = model(values, state)               # values [T, 2]: a forecast after each, [T, 2, h]

    The state is a value that the caller holds; an old one is still there. A whole series, any chunks of it and single
    steps give the same bits, whatever stands beside it in the call. A value that is missing (NaN) is read as the one
    before it.
    """

    kind = "forecaster"
    _dtypes: ClassVar[Mapping[str, Any]] = {CLOCK: np.dtype(np.int64)}

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        series: series_file.SeriesFacts,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   series: what is known of the series it was trained on.  digest, precision: as of `Transducer`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        files = {series_file.NAME: series.to_bytes()}
        super().__init__(config, tensors, None, files=files, digest=digest, precision=precision)
        self.series = series
        """What is known of the series it was trained on."""
        self._model: dict[str, Any] = config["model"]
        weights = self._weights
        self._inputs = ForecastInputs(self._model, weights)
        self._stack = Stack(self._model, weights, self.precision, embeds=False)
        how: Any = {"precision": self.precision}
        self._head = heads.PackedLinear(weights["head.weight"], weights["head.bias"], **how)
        self._linear = None
        if self._model["linear"]:
            self._linear = heads.PackedLinear(weights["autoregression.weight"], **how)
        self._head_width = weights["head.weight"].shape[1]
        self._rates: np.ndarray | None = None
        if (gap := self._model.get("gap")) is not None:
            usual = weights["past_scale.mean"][gap]
            rates = np.logaddexp(np.float32(0), weights["decay"])  # log(1 + exp(r))
            self._rates = (rates / (usual if usual > 0 else np.float32(1))).astype(np.float32)
        names = self._stack.part_names
        layers = tuple(tuple(zip(names, layer.part_sizes, strict=True)) for layer in self._stack.layers)
        self._parts = (*layers, self._inputs.parts)

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        series = series_file.SeriesFacts.from_files(bundle.files, num_static=bundle.config["model"]["num_static"])
        return cls(bundle.config, bundle.tensors, series=series, digest=bundle.digest, precision=precision)

    @property
    def horizon(self) -> int:
        """The steps h that it was trained to say."""
        return self._model["horizon"]

    @property
    def levels(self) -> tuple[float, ...]:
        """Of its quantiles."""
        return tuple(self._model["quantile_levels"])

    @property
    def is_recursive(self) -> bool:
        """Whether it says the next step alone, and those behind it from what it has said: see `ahead`."""
        return self._model["recursive"]

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned."""
        counted = sum(array.size for name, array in self._tensors.items() if "_scale." in name)
        return super().num_parameters - counted

    def initial_state(self, batch: int = 1, *, clock: Any = 0, series: np.ndarray | None = None) -> State:
        """The state of `batch` series that have not begun.

        Args: clock: the step of the first value, of each row or of all: hours, days, months since 1970, as of
            `Frequency.clocks`; the calendar is told by it.  series: float32 [B, 2 + S], of each row mean and deviation
            (where a model scales by them) and static covariates; None: 0, 1 and zeros.
        """
        state = super().initial_state(batch)
        kept = self._inputs.initial(batch, clock=clock, series=series)
        return self._state([*(tuple(of.values()) for of in state.layers[:-1]), tuple(kept)])

    def _initial_parts(self, batch: int) -> Parts:
        return [*self._stack.initial(batch), tuple(self._inputs.initial(batch))]

    def __call__(
        self, y: Any, state: State | None = None, *, past: Any = None, future: Any = None
    ) -> tuple[Forecast, State]:
        """Read values, and forecast after each of them.

        Args:    y: numbers [T, B], NaN where one is missing.  state: what the rows have read before, None: nothing.
                 past: covariates [T, B, P] of a model that reads them.  future: those of the h steps behind each value
                 (of a recursive model of the next one), [T, B, h, F].
        Returns: a Forecast [T, B, h]; the State after the last value.
        Raises:  ShapeError, DtypeError, ArgumentError for a value that is not finite, or a series that begins with a
                 missing one; StateError for another model's state.
        """
        y = _values(y, rank=2)
        parts = self._checked(state, y.shape[1])
        read, hidden, after = self._unroll(y, parts, past=past, future=future)
        outputs = self._outputs(read.window, hidden)
        return Forecast.of(self._model, outputs, read.level, read.scale), self._state(after)

    def step(
        self, y: Any, state: State | None = None, *, past: Any = None, future: Any = None
    ) -> tuple[Forecast, State]:
        """One value for each row: y [B]; past [B, P], future [B, h, F] -> (Forecast [B, h], State), as `__call__`."""
        y = _values(y, rank=1)
        parts = self._checked(state, len(y))
        read, kept = self._inputs.step(y, Kept(*parts[-1]), past=past, future=future)
        hidden, layers = self._stack.step(read.beside, self._decayed(parts[:-1], past))
        outputs = self._head(hidden)
        if self._linear is not None:
            outputs += self._linear(read.window)
        return Forecast.of(self._model, outputs, read.level, read.scale), self._state([*layers, kept])

    def ahead(
        self,
        forecast: Forecast,
        state: State,
        *,
        horizon: int,
        future: Any = None,
        num_samples: int = 200,
        seed: int = 0,
    ) -> Forecast:
        """Of a recursive model: go on from the forecast of the next step, every further one from what was said.

        Of points each is read as it was said. Of a distribution `num_samples` courses are drawn, and the forecast is
        their quantiles.

        Args:    forecast, state: what `step` gave, of B rows.  horizon: steps in all.
                 future: covariates of the steps behind the next one, [B, horizon − 1, F].
        Returns: a Forecast [B, horizon] of points or quantiles.
        """
        if not self.is_recursive:
            raise ArgumentError(f"this model says its {self.horizon} steps at once; take the forecast as it is")
        is_point, B = forecast.output == "point", len(forecast.raw)
        copies = 1 if is_point else num_samples
        rows, generator = np.repeat(np.arange(B), copies).tolist(), np.random.Generator(np.random.Philox(seed))
        at, course = state[rows], forecast[rows]
        found = [course.draw(generator)[:, 0]]
        for step in range(1, horizon):
            ahead = None if future is None else np.asarray(future)[rows, step - 1 : step]
            course, at = self.step(found[-1], at, future=ahead, past=self._no_news(len(rows)))
            found.append(course.draw(generator)[:, 0])
        courses = np.stack(found, 1).reshape(B, copies, horizon).astype(np.float32)
        zero, one = np.zeros((B, 1), np.float32), np.ones((B, 1), np.float32)
        if is_point:
            return Forecast(courses[:, 0, :, None], zero, one, "point", self.levels)
        levels = np.quantile(courses, self.levels, axis=1)
        return Forecast(np.moveaxis(levels, 0, -1).astype(np.float32), zero, one, "quantiles", self.levels)

    def backtest(
        self, histories: Sequence[History], origins: Sequence[np.ndarray], *, horizon: int | None = None
    ) -> list[Forecast]:
        """Forecasts at chosen steps of whole series, each from the values up to its origin and no later one.

        Args:    origins: of each series the rising numbers of values read before the forecast, 1 … T.
                 horizon: steps ahead; None: those it was trained on; not more, unless it is recursive.
        Returns: of each series a Forecast [number of origins, horizon].
        Cost:    each series is read once, 64 of them side by side.
        """
        horizon = self.horizon if horizon is None else horizon
        if horizon < 1 or (horizon > self.horizon and not self.is_recursive):
            raise ArgumentError(
                f"h is {horizon}; this model was trained on {self.horizon} steps: ask for at most as many, train with "
                "a longer horizon, or recursive"
            )
        found: list[Any] = [None] * len(histories)
        order = sorted(range(len(histories)), key=lambda row: len(histories[row].values))
        for first in range(0, len(order), ROWS):
            rows = order[first : first + ROWS]
            group = self._group([histories[row] for row in rows], [origins[row] for row in rows], horizon)
            for row, forecast in zip(rows, group, strict=True):
                found[row] = forecast
        return found

    def read(self, histories: Sequence[History]) -> State:
        """The state after whole series, a row for each: what `step` goes on from."""
        histories = list(histories)
        state = self._begin(histories)
        for y, past, future, lengths in self._chunks(histories, ()):
            _, _, parts = self._unroll(
                y, self._checked(state, len(histories)), past=past, future=future, lengths=lengths
            )
            state = self._state(parts)
        return state

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _advance(self, y: np.ndarray, parts: Parts, **given: Any) -> tuple[Read, Kept]:
        read, kept = self._inputs.advance(y, Kept(*parts[-1]), **given)
        if given.get("lengths") is None:
            check_begun(kept.window)
        return read, kept

    def _unroll(self, y: np.ndarray, parts: Parts, **given: Any) -> tuple[Read, np.ndarray, Parts]:
        read, kept = self._advance(y, parts, **given)
        if self._rates is None:
            hidden, layers = self._stack.forward(read.beside, parts[:-1], lengths=given.get("lengths"))
        else:
            hidden, layers = self._with_gaps(read.beside, parts[:-1], given["past"], given.get("lengths"))
        return read, hidden, [*layers, tuple(kept)]

    def _with_gaps(self, read: np.ndarray, parts: Parts, past: Any, lengths: Any) -> tuple[np.ndarray, Parts]:
        """The layers over read [T, B, I], whose state decays before each step."""
        hidden = np.zeros((*read.shape[:2], self._head_width), np.float32)
        for t in range(len(read)):
            hidden[t], after = self._stack.step(read[t], self._decayed(parts, past[t]))
            if lengths is not None:
                is_on = (t < lengths)[:, None]
                hidden[t] *= is_on
                pairs = zip(after, parts, strict=True)
                after = [tuple(np.where(is_on, *both) for both in zip(*of, strict=True)) for of in pairs]
            parts = after
        return hidden, parts

    def _decayed(self, parts: Parts, past: Any) -> Parts:
        """The layers' parts after the gap before a step. Args: past: [B, P]. Raises: ArgumentError below 0."""
        if self._rates is None:
            return parts
        gaps = np.asarray(past, np.float32)[:, self._model["gap"]]
        if not (gaps >= 0).all():
            raise ArgumentError(f"a gap is {gaps.min():g}; the time since the value before is 0 or more")
        kept, first, found = np.exp(-gaps[:, None] * self._rates), 0, []
        for of in parts:
            decayed = []
            for part in of:
                decayed.append(part * kept[:, first : first + part.shape[1]])
                first += part.shape[1]
            found.append(tuple(decayed))
        return found

    def _outputs(self, window: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """[…, W] and […, H] -> […, h·K]."""
        outputs = self._head(hidden.reshape(-1, hidden.shape[-1]))
        if self._linear is not None:
            outputs += self._linear(window.reshape(-1, window.shape[-1]))
        return outputs.reshape(*hidden.shape[:-1], outputs.shape[1])

    def _no_news(self, batch: int) -> np.ndarray | None:
        """Past covariates of steps that have not come: their means."""
        if not self._model["num_past"]:
            return None
        return np.broadcast_to(self._tensors["past_scale.mean"], (batch, self._model["num_past"]))

    def _begin(self, histories: Sequence[History]) -> State:
        clock = np.array([one.clock for one in histories], np.int64)
        return self.initial_state(len(histories), clock=clock, series=np.stack([one.series for one in histories]))

    def _chunks(self, histories: Sequence[History], stops: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """Values [T, B], past and future covariates and lengths, chunk by chunk. Args: stops: where chunks also end."""
        lengths = np.array([len(one.values) for one in histories], np.int64)
        ahead = 1 if self.is_recursive else self.horizon
        longest = int(lengths.max(initial=0))
        size = max(1, _WINDOW_NUMBERS // (len(histories) * self._inputs.size))
        ends = sorted({*range(size, longest, size), *stops, longest})
        first = 0
        for end in ends:
            T, B = end - first, len(histories)
            y = np.full((T, B), np.nan, np.float32)
            past = np.zeros((T, B, self._model["num_past"]), np.float32)
            future = np.zeros((T, B, ahead, self._model["num_future"]), np.float32)
            for row, one in enumerate(histories):
                count = len(one.values[first:end])
                y[:count, row] = one.values[first:end]
                past[:count, row] = one.past[first:end]
                if future.size:
                    at = first + 1 + np.arange(count)[:, None] + np.arange(ahead)
                    future[:count, row] = one.future[np.minimum(at, len(one.future) - 1)]
            yield y, past if past.size else None, future if future.size else None, (lengths - first).clip(0, T)
            first = end

    def _group(self, histories: list[History], origins: list[np.ndarray], horizon: int) -> list[Forecast]:
        """As `backtest`, of series side by side."""
        found: list[list[Forecast]] = [[] for _ in histories]
        stops = sorted({int(at) for of_one in origins for at in of_one}) if self.is_recursive else []
        state, first = self._begin(histories), 0
        for y, past, future, lengths in self._chunks(histories, stops):
            parts = self._checked(state, len(histories))
            read, hidden, after = self._unroll(y, parts, past=past, future=future, lengths=lengths)
            state, last = self._state(after), first + len(y)
            wanted = [
                (at - 1 - first, row) for row, of in enumerate(origins) for at in of.tolist() if first < at <= last
            ]
            if wanted:
                steps, rows = np.array(wanted).T
                outputs = self._outputs(read.window[steps, rows], hidden[steps, rows])
                said = Forecast.of(self._model, outputs, read.level[steps, rows], read.scale[steps, rows])
                if self.is_recursive:
                    ahead = self._future(histories, last, rows, horizon)
                    said = self.ahead(said, state[rows], horizon=horizon, future=ahead, seed=last)
                for index, row in enumerate(rows):
                    found[row].append(said[[index]])
            first = last
        return [_joined(of_one, horizon) for of_one in found]

    def _future(self, histories: list[History], origin: int, rows: np.ndarray, horizon: int) -> np.ndarray | None:
        if not self._model["num_future"]:
            return None
        at = origin + 1 + np.arange(horizon - 1)
        return np.stack([histories[row].future[np.minimum(at, len(histories[row].future) - 1)] for row in rows])


def _joined(parts: list[Forecast], horizon: int) -> Forecast:
    arrays = {name: np.concatenate([getattr(one, name) for one in parts]) for name in ("raw", "level", "scale")}
    return replace(parts[0], **arrays | {"raw": arrays["raw"][:, :horizon]})


def _values(y: Any, *, rank: int) -> np.ndarray:
    array = np.asarray(y)
    if array.dtype.kind not in "fiu":
        raise DtypeError(f"y must be numbers, got {array.dtype}")
    if array.ndim != rank:
        axes = {1: "[B]", 2: "[T, B]"}[rank]
        raise ShapeError(f"y must have the axes {axes}, got the shape {list(array.shape)}")
    array = array.astype(np.float32, copy=False)
    if np.count_nonzero(np.isinf(array)):
        raise ArgumentError("y holds a value that is not finite; NaN stands for one that is missing")
    return array
