"""Forecaster: train one from tables of time series, or load one, and let it forecast."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from rnnkit import runtime
from rnnkit.api.trained import Trained
from rnnkit.baselines import ForecastBaseline
from rnnkit.baselines.forecast import FORECAST_BASELINES
from rnnkit.baselines.statistical import STATISTICAL
from rnnkit.data.forecast_tables import Columns, Panel, frame_like, read_panel, shown
from rnnkit.data.frequency import Frequency
from rnnkit.errors import ArgumentError, DataError, UnsafePathError
from rnnkit.runtime.forecast import Forecast
from rnnkit.state import State
from rnnkit.tasks.forecast_score import (
    ForecastBy,
    histories,
    origins_of,
    rows_of,
    said_by_baseline,
    said_by_model,
)

# What a row keeps from training: it belongs to the system and not to the series.
_OF_THE_SYSTEM = ("bytes", "num_parameters", "train_seconds")
_IN_MEMORY = "<memory>"


class Forecaster(Trained, runtime.Forecaster):
    """A trained recurrent forecaster of many series.

        model = rnnkit.Forecaster.fit(df, horizon=24)              # unique_id, ds, y: pandas, polars or a file
        model.predict(24)                                          # after df: unique_id, ds, forecast, quantiles
        rnnkit.Forecaster.cross_validation(df, h=24, n_windows=5)  # trained before the first cutoff, judged behind it
        model = rnnkit.Forecaster.train("load.csv", run="runs/load", horizon=24)
        model = rnnkit.Forecaster.load("runs/load")                # needs no torch
        model.predict(24, "new.csv")
        state, _ = model.begin("new.csv")
        forecast, state = model.step([17.5], state)                # as values come

    Everything but `train`, `fit` and what reads tables comes from `rnnkit.runtime.Forecaster`, and keeps its exactness.
    """

    _panel: Panel | None = None

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.forecasting import ForecastRunConfig

        return ForecastRunConfig

    @classmethod
    def fit(cls, df: Any, *, horizon: int, **options: Any) -> Self:
        """Train on a table, all of it but what chooses the weights; no table is made and no folder is kept.

        Args:   df: a frame or a file, see `rnnkit.data.read_panel`.  horizon: steps ahead.
                options: as of `train`: hidden_size, epochs, output, future_covariates …
        Raises: DataError naming series and row; ConfigError; MissingExtraError without torch.
        """
        settings, panel = cls._settings(df, horizon, options)
        return cls._fitted(settings, panel)

    @classmethod
    def _settings(cls, df: Any, horizon: int, options: dict[str, Any]) -> tuple[Any, Panel]:
        from rnnkit.api import config as configuration

        given = {"data.sources": [_IN_MEMORY], "data.horizon": horizon, **options}
        settings = configuration.build(cls._run_config(), options=given)
        how: Any = {"columns": settings.data.columns, "frequency": settings.data.frequency}
        return settings, read_panel(df, encoding=settings.data.encoding, **how)

    @classmethod
    def _fitted(cls, settings: Any, panel: Panel) -> Self:
        from rnnkit.training import fit

        with tempfile.TemporaryDirectory(prefix="rnnkit-") as folder:
            fit(settings.make_task(panel), run_dir=folder, config=settings.training)
            model = cls.load(folder)
        model.path = None  # the folder is gone
        model._panel, model._columns = panel, settings.data.columns
        return model

    _columns: Columns | None = None

    def predict(self, h: int | None = None, df: Any = None) -> Any:
        """What comes after every series.

        Args:    h: steps ahead; None: those it was trained on.  df: the series, a frame or file; None: those of `fit`.
        Returns: a frame as df is one, else a dict of lists: unique_id, ds, forecast, and a column for each quantile.
        Raises:  ArgumentError for more steps than it can say; DataError naming series and row.
        """
        h = self.horizon if h is None else h
        panel = self._given(df)
        forecasts = self.backtest(histories(panel, self), [np.array([n]) for n in panel.lengths], horizon=h)
        return frame_like(df, _table(panel, [np.array([n]) for n in panel.lengths], forecasts, h))

    def begin(self, df: Any = None) -> tuple[State, list[str]]:
        """The state after whole series, which `step` goes on from, and the names of its rows. Args: as `predict`."""
        panel = self._given(df)
        return self.read(histories(panel, self)), panel.ids

    @classmethod
    def cross_validation(
        cls, df: Any, *, h: int, n_windows: int = 1, step_size: int | None = None, **options: Any
    ) -> Any:
        """Train on what is before the first cutoff, then forecast from every cutoff with the values up to it alone.

        Args:    n_windows: cutoffs, `step_size` steps apart (None: h), the last one h steps before the end.
                 options: as of `fit`.
        Returns: as `predict`, with cutoff and y, what came (NaN where it is missing).
        """
        if h < 1 or n_windows < 1:
            raise ArgumentError(f"h is {h}, n_windows {n_windows}; give at least 1 of each")
        settings, panel = cls._settings(df, h, options)
        step_size = h if step_size is None else step_size
        first = panel.lengths - h - (n_windows - 1) * step_size
        for number, end in enumerate(first.tolist()):
            if end < 1:
                raise DataError(
                    f"{panel.place(number)} has {len(panel.values[number])} steps, too few for {n_windows} windows of "
                    f"{h}; leave it out, or ask for fewer"
                )
        model = cls._fitted(settings, panel.until(_ends(panel, first)))
        origins = [begin + step_size * np.arange(n_windows) for begin in first.tolist()]
        forecasts = model.backtest(histories(panel, model), origins, horizon=h)
        return frame_like(df, _table(panel, origins, forecasts, h, with_actual=True))

    def anomalies(self, df: Any = None) -> Any:
        """How unlikely every value is, given those before it: −log p in nats; of a model of a distribution.

        Returns: as `predict`: unique_id, ds, y, forecast, surprise. Values of the first window have none: they come
                 before there is much to tell them by.
        Raises:  ArgumentError of a model of points or quantiles.
        """
        panel = self._given(df)
        first = self.config["model"]["window"]
        origins = [np.arange(min(first, n), n) for n in panel.lengths]
        columns: dict[str, list[Any]] = {name: [] for name in ("unique_id", "ds", "y", "forecast", "surprise")}
        for row, said in enumerate(self._next_steps(panel, origins)):
            came = panel.values[row][origins[row]]
            columns["unique_id"] += [panel.ids[row]] * len(came)
            columns["ds"] += _ds(panel, row, origins[row])
            columns["y"] += came.tolist()
            columns["forecast"] += said.point[:, 0].tolist()
            columns["surprise"] += said.surprise(came[:, None])[:, 0].tolist()
        return frame_like(df, columns)

    def _next_steps(self, panel: Panel, origins: list[np.ndarray]) -> list[Forecast]:
        """What is said one step ahead, a distribution as it is: a recursive model's before anything is drawn of it."""
        if not self.is_recursive:
            return self.backtest(histories(panel, self), origins, horizon=1)
        found = []
        for one, at in zip(histories(panel, self), origins, strict=True):
            given = {"past": one.past[:, None] if one.past.size else None}
            if one.future.size:
                last = len(one.future) - 1
                given["future"] = one.future[np.minimum(np.arange(len(one.values)) + 1, last)][:, None, None]
            said, _ = self(one.values[:, None], self._begin([one]), **given)
            found.append(said[at - 1, 0])
        return found

    def evaluate(
        self, sources: Any, *, test_size: int | None = None, step_size: int | None = None, encoding: str = "utf-8"
    ) -> dict[str, Any]:
        """Judge on the last steps of series, beside the baselines of the run, all from the same origins; no torch.

        Args:    test_size: last steps of every series that are judged; step_size: between origins; None: as trained.
        Returns: `model`, `baselines` and `figure` as in metrics.json.
        Raises:  DataError naming series and row; UnsafePathError.
        """
        metrics, columns = self.metrics, self._trained_columns()
        chosen, horizon = metrics["config"]["data"], self.horizon
        panel = self._checked_panel(read_panel(sources, encoding=encoding, **columns))
        size = test_size or chosen["test_size"] or horizon
        first = panel.lengths - size
        for number, begin in enumerate(first.tolist()):
            if begin < 1:
                raise DataError(
                    f"{panel.place(number)} has {len(panel.values[number])} steps, and {size} are judged; leave it out"
                )
        of: Any = {"first": first, "ends": first, "season": metrics["data"]["season"], "horizon": horizon}
        origins = origins_of(panel, stride=step_size or chosen["step_size"] or horizon, **of)
        systems = []
        assert self.path is not None
        for row in (metrics["model"], *metrics["baselines"]):
            own = {key: row[key] for key in _OF_THE_SYSTEM if key in row}
            if row is metrics["model"]:
                said = said_by_model(self, origins)
            elif row["name"] in STATISTICAL:
                said = said_by_baseline(row["name"], None, origins, levels=self.levels)
            else:
                said = said_by_baseline(row["name"], _baseline(row["name"], self.path), origins, levels=self.levels)
            systems.append(ForecastBy(row["name"], *said, own))
        (model, *others), _ = rows_of(systems, origins, levels=self.levels, figure=metrics["figure"])
        return {"model": model, "baselines": others, "figure": metrics["figure"]}

    def _trained_columns(self) -> dict[str, Any]:
        """How to read a table: as it was trained."""
        if self._columns is not None:
            return {"columns": self._columns, "frequency": self._frequency}
        if self.path is None or not (self.path / "metrics.json").exists():
            names: Any = {kind: tuple(of) for kind, of in self.series.names.items()}
            return {"columns": Columns(**names), "frequency": self._frequency}
        chosen = self.metrics["config"]["data"]
        covariates: Any = {kind: tuple(chosen[f"{kind}_covariates"]) for kind in ("past", "future", "static")}
        if chosen.get("gap_column") is not None:  # runs from before there was one lack the key
            covariates["past"] = (*covariates["past"], chosen["gap_column"])
        names = ("id_column", "time_column", "target_column", "series_columns")
        columns = Columns(**{name: chosen[name] for name in names}, **covariates)
        return {"columns": columns, "frequency": self._frequency}

    @property
    def _frequency(self) -> str:
        return Frequency(*self.series.frequency).name  # type: ignore[arg-type]

    def _given(self, df: Any) -> Panel:
        if df is None:
            if self._panel is None:
                raise ArgumentError("this model was loaded, and keeps no series: give df, those to forecast")
            return self._panel
        return self._checked_panel(read_panel(df, **self._trained_columns()))

    def _checked_panel(self, panel: Panel) -> Panel:
        return panel


def _baseline(name: str, run: Path) -> ForecastBaseline:
    """A baseline of a run. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
    if name not in FORECAST_BASELINES:
        raise UnsafePathError(f"{run / 'metrics.json'} names the baseline {name!r}, which does not exist; train again")
    return ForecastBaseline.load(run / "baselines" / name)


def _ends(panel: Panel, first: np.ndarray) -> np.ndarray:
    """The ends of what may be trained on: before the first cutoffs, at the last number there."""
    found = []
    for values, end in zip(panel.values, first.tolist(), strict=True):
        found.append(int(np.flatnonzero(~np.isnan(values[:end]))[-1]) + 1)
    return np.array(found, np.int64)


def _ds(panel: Panel, row: int, steps: np.ndarray) -> list[Any]:
    return shown(panel.times(row, steps)) if panel.frequency.unit != "steps" else panel.times(row, steps).tolist()


def _table(
    panel: Panel, origins: Sequence[np.ndarray], forecasts: Sequence[Forecast], h: int, *, with_actual: bool = False
) -> dict[str, list[Any]]:
    """unique_id, ds, forecast and quantiles of every series and origin, as columns."""
    columns: dict[str, list[Any]] = {"unique_id": [], "ds": []}
    columns |= {"cutoff": [], "y": []} if with_actual else {}
    columns["forecast"] = []
    for row, said in enumerate(forecasts):
        point = said.point
        quantiles = None if said.output == "point" else said.quantiles()
        for index, origin in enumerate(origins[row].tolist()):
            steps = origin + np.arange(h)
            columns["unique_id"] += [panel.ids[row]] * h
            columns["ds"] += _ds(panel, row, steps)
            if with_actual:
                columns["cutoff"] += _ds(panel, row, np.full(h, origin - 1))
                columns["y"] += [
                    float(panel.values[row][at]) if at < len(panel.values[row]) else np.nan for at in steps
                ]
            columns["forecast"] += [float(value) for value in point[index]]
            if quantiles is not None:
                for level, values in zip(said.levels, quantiles[index].T.tolist(), strict=True):
                    columns.setdefault(f"q{100 * level:g}", []).extend(values)
    return columns
