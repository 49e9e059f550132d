"""The task on time series: one recurrent model of many series, judged from rolling origins beside what it must beat.

Over 400 lines because windows, the linear start, and the origins that judge both are cut from one set of series, where
no value from after an origin may enter.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from rnnkit import baselines, data, durable
from rnnkit.baselines import statistical
from rnnkit.baselines.forecast import PENALTIES, solved
from rnnkit.bundle import series as series_file
from rnnkit.bundle import strict_json, write_bundle
from rnnkit.data.forecast_tables import Panel, read_panel, shown
from rnnkit.errors import ConfigError, DataError
from rnnkit.metrics.forecast import ForecastScore
from rnnkit.models.forecaster import Forecaster, ForecasterConfig
from rnnkit.runtime.forecast_inputs import ForecastInputs, Kept
from rnnkit.runtime.forecaster import Forecaster as Running
from rnnkit.runtime.forecaster import History
from rnnkit.tasks.forecast_config import ForecastConfig
from rnnkit.tasks.forecast_score import (
    ForecastBy,
    Origins,
    filled,
    histories,
    mean_loss,
    origins_of,
    rows_of,
    said_by_baseline,
    said_by_model,
    said_of,
)
from rnnkit.tasks.run_facts import over_seeds, run_facts
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.whole import WholeSequencesTask

_MOST_SOLVED = 60_000  # windows that the linear start is solved on
_SHOWN = 4


class Series:
    """The series of a run, and where each one's training, validation and test part ends.

    Raises: DataError naming series and row: too short for what is held out and a horizon to train on; counts that are
        none.

    Args: panel: to train on in place of the sources, without a test part.
    """

    def __init__(self, config: ForecastConfig, panel: Panel | None = None) -> None:
        self._settings, self._is_log = config.data, config.model.log
        settings = config.data
        if panel is None:
            assert settings.sources is not None  # the configuration has seen to it
            how: Any = {"columns": settings.columns, "frequency": settings.frequency, "encoding": settings.encoding}
            panel = read_panel(settings.sources, **how)
            test_size = settings.horizon if settings.test_size is None else settings.test_size
        else:
            test_size = 0
        if config.model.series_id:
            names = {**panel.names, "static": [*panel.names["static"], *(f"is {name}" for name in panel.ids)]}
            static = np.concatenate([panel.static, np.eye(len(panel))], axis=1)
            panel = replace(panel, static=static, names=names)
        if settings.gap_column is not None:
            for number, past in enumerate(panel.past):
                if len(off := np.flatnonzero(past[:, -1] < 0)):
                    raise DataError(
                        f"{panel.place(number)}: the gap before step {off[0]} is {past[off[0], -1]:g}; the time since "
                        "the value before is 0 or more"
                    )
        self.panel, self.horizon = panel, settings.horizon
        self.season = settings.season or panel.frequency.season
        self.valid_size = settings.valid_size or settings.horizon
        self.valid_end = panel.lengths - test_size
        self.train_end = self.valid_end - self.valid_size
        stride = settings.step_size or settings.horizon
        least = 1 + (1 if config.model.recursive else settings.horizon)
        for number, end in enumerate(self.train_end.tolist()):
            if end < least:
                raise DataError(
                    f"{panel.place(number)} has {len(panel.values[number])} steps; {test_size} are for the table, "
                    f"{self.valid_size} choose weights, and {least} to train on are wanted: leave it out, or lower "
                    "data.horizon"
                )
        if config.model.output == "negative_binomial":
            for number, values in enumerate(panel.values):
                if len(off := np.flatnonzero((values < 0) | (values != np.floor(values)) & ~np.isnan(values))):
                    raise DataError(
                        f"{panel.place(number)}: step {off[0]} is {values[off[0]]:g}, no count; take another output "
                        "than negative_binomial"
                    )
        of: Any = {"ends": self.train_end, "horizon": self.horizon, "stride": stride, "season": self.season}
        if config.model.log:
            for number, values in enumerate(panel.values):
                if len(off := np.flatnonzero(values <= 0)):
                    raise DataError(
                        f"{panel.place(number)}: step {off[0]} is {values[off[0]]:g}, which has no logarithm; train "
                        "without model.log"
                    )
        self.valid = origins_of(panel.until(self.valid_end), first=self.train_end, **of)
        self.test = origins_of(panel, first=self.valid_end if test_size else panel.lengths, **of)

    def facts(self) -> series_file.SeriesFacts:
        """What the bundle keeps of them."""
        scaler = np.ones((len(self.panel), 2), np.float32)
        for row, (values, end) in enumerate(zip(self.panel.values, self.train_end, strict=True)):
            known = np.log(values[:end]) if self._is_log else values[:end]
            scaler[row] = np.nanmean(known), np.nanstd(known) or 1.0
        static = self.panel.static.astype(np.float32)
        clock: Any = tuple(self.panel.frequency)
        return series_file.SeriesFacts(self.panel.ids, scaler, static, clock, self.panel.names)

    def parts(self) -> dict[str, Any]:
        """Training pieces do not count here; validation and test windows do."""
        return {"train": self.panel.ids, "valid": range(self.valid.count), "test": range(self.test.count)}

    def identity(self) -> dict[str, Any]:
        ends = {"valid_end": self.valid_end.tolist(), "train_end": self.train_end.tolist()}
        chosen = self._settings.model_dump(mode="json", exclude={"sources", "encoding"})
        return {
            **{f"data.{key}": value for key, value in chosen.items()},
            "series": self.panel.fingerprint,
            "parts": ends,
        }


class Pieces:
    """Pieces of training series, each step of them an origin once in an epoch; where they are cut is drawn anew.

    An iteration is one epoch; its order follows from seed and epoch alone.
    """

    def __init__(self, task: ForecastTask, *, batch_size: int, seed: int) -> None:
        self._task, self.batch_size, self.seed = task, batch_size, seed
        self._begin_epoch(0)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> data.Batch:
        if self.batches_done * self.batch_size >= len(self._order):
            self._begin_epoch(self.epoch + 1)
            raise StopIteration
        first = self.batches_done * self.batch_size
        self.batches_done += 1
        return self._task.batch(self._order[first : first + self.batch_size])

    def state_dict(self) -> dict[str, Any]:
        """Where they stand, JSON-able."""
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "epoch": self.epoch,
            "batches_done": self.batches_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._begin_epoch(int(state["epoch"]))
        self.batches_done = int(state["batches_done"])

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batches_done = epoch, 0
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        size, found = self._task.config.data.piece_steps, []
        for series, steps in enumerate(self._task.num_origins.tolist()):
            cuts = [0, *range(int(generator.integers(1, size + 1)), steps, size), steps]
            found += [(series, begin, end) for begin, end in itertools.pairwise(cuts) if end > begin]
        self._order = [found[row] for row in generator.permutation(len(found))]


class ForecastTask(WholeSequencesTask):
    """Train one recurrent forecaster on all series of a configuration."""

    loss_unit = "step"
    config: ForecastConfig

    def __init__(self, config: ForecastConfig, panel: Panel | None = None) -> None:
        """Args: panel: as of `Series`."""
        self.series = Series(config, panel)
        self._check(config)
        self.config, self._of_run = config, self.series
        self.name = config.model.cell.replace("_", "-")
        self.loss = {"point": "deviations²", "quantiles": "quantile loss"}.get(config.model.output, "nats")
        self._facts = self.series.facts()
        ahead = 1 if config.model.recursive else config.data.horizon
        self.num_origins = np.maximum(self.series.train_end - 1, 1)
        """Of each series the training steps that something comes after."""
        self._ahead = ahead
        panel = self.series.panel
        rows = np.concatenate([self._facts.scaler, self._facts.static], axis=1)
        parts = zip(filled(panel), panel.past, panel.future, panel.first.tolist(), rows, strict=True)
        self._histories = [History(*of_one) for of_one in parts]
        self._inputs: ForecastInputs | None = None

    def _check(self, config: ForecastConfig) -> None:
        kinds = self.kinds(config)
        if {"seasonal-naive"} & {*kinds} and self.series.season == 1:
            raise ConfigError("the baseline seasonal-naive needs a season: name data.season, or leave it out")
        if self.series.test.count:
            if {*kinds} & {*statistical.STATISTICAL}:
                statistical.require_statsforecast()
            if "window-mlp" in kinds:
                baselines.require_scikit_learn()

    def kinds(self, config: ForecastConfig | None = None) -> tuple[str, ...]:
        """The baselines of the table."""
        chosen = (self.config if config is None else config).baselines.kinds
        of_season = ("seasonal-naive",) if self.series.season > 1 else ()
        return chosen or ("last-value", *of_season, "drift", "ridge", "window-mlp")

    @property
    def epoch(self) -> Any:
        pieces = sum(-(-int(steps) // self.config.data.piece_steps) for steps in self.num_origins)
        return replace(super().epoch, tokens=pieces, unit="piece")

    @property
    def shape(self) -> ForecasterConfig:
        """The model's configuration."""
        model, panel, season = self.config.model, self.series.panel, self.series.season
        fields = model.model_dump(exclude={"calendar", "window_size", "lags", "level", "series_id"})
        window = model.resolved_window(season)
        lags = tuple(range(window)) if model.lags is None else model.lags
        level = model.level or ("zero" if model.output == "negative_binomial" else "mean")
        counts: Any = {f"num_{kind}": len(names) for kind, names in panel.names.items()}
        calendar = tuple(panel.frequency.calendar(season)) if model.calendar else ()
        own: Any = {
            "window": window,
            "lags": lags,
            "level": level,
            "calendar": calendar,
            "horizon": self.series.horizon,
        }
        if self.config.data.gap_column is not None:
            own["gap"] = len(panel.names["past"]) - 1
        return ForecasterConfig(**fields, **own, **counts)

    def build_model(self) -> Forecaster:
        """The model, which begins as the linear autoregression of its windows, solved on training steps."""
        model = Forecaster(self.shape)
        panel, ends = self.series.panel, self.series.train_end
        for kind, arrays in (("past", panel.past), ("future", panel.future)):
            scale = getattr(model, f"{kind}_scale")
            if scale is not None:
                scale.fit(np.concatenate([one[:end] for one, end in zip(arrays, ends, strict=True)]))
        if model.static_scale is not None:
            model.static_scale.fit(panel.static)  # type: ignore[operator]
        config, tensors = model.export()
        self._inputs = ForecastInputs(config["model"], tensors)
        if model.autoregression is not None:
            model.start_from(*self._solved())
        return model

    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        """The linear autoregression A [h, W] of scaled windows, and its errors on some of them."""
        x, y = self._windows()
        is_whole = ~np.isnan(y).any(1)
        x, y = x[is_whole].astype(np.float64), np.clip(y[is_whole].astype(np.float64), -10, 10)
        later = np.arange(len(x)) % 5 == 4  # a fifth of them chooses the penalty
        if not later.any():
            return np.zeros((self._ahead, self.shape.window)), np.zeros((1, self._ahead))
        gram, moment = x[~later].T @ x[~later], x[~later].T @ y[~later]
        found = [solved(gram, moment, penalty=penalty) for penalty in PENALTIES]
        weight = min(found, key=lambda of: float(((y[later] - x[later] @ of.T) ** 2).sum()))
        return weight, y[later] - x[later] @ weight.T

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Scaled windows [N, W] of training, and what comes after them [N, h]."""
        share = max(1, int(self.num_origins.sum()) // _MOST_SOLVED)
        size, found = self.config.data.piece_steps, []
        pieces = [(s, a, min(a + size, n)) for s, n in enumerate(self.num_origins.tolist()) for a in range(0, n, size)]
        for first in range(0, len(pieces), 32):
            batch = self.batch(pieces[first : first + 32])
            is_there = batch.weights > 0
            x, y = batch.inputs[is_there][:, : self.shape.window], batch.targets[is_there][:, :-1]
            found.append((x[::share], y[::share]))
        return tuple(np.concatenate(of) for of in zip(*found, strict=True))  # type: ignore[return-value]

    def batch(self, pieces: Sequence[tuple[int, int, int]]) -> data.Batch:
        """Pieces (series, first origin, end) as the model reads them, with what comes after each of their steps."""
        assert self._inputs is not None
        W, h, B = self._inputs.size, self._ahead, len(pieces)
        lengths = np.array([end - begin for _, begin, end in pieces], np.int64)
        T = int(lengths.max())
        names = self.series.panel.names
        y = np.full((T, B), np.nan, np.float32)
        window = np.full((B, W), np.nan, np.float32)
        past, future = np.zeros((T, B, len(names["past"])), "f4"), np.zeros((T, B, h, len(names["future"])), "f4")
        targets = np.full((T, B, h + 1), np.nan, np.float32)
        counted = np.zeros((T, B), np.float32)
        clock, facts = np.zeros((B, 1), np.int64), np.zeros((B, self._inputs.parts[2][1]), np.float32)
        for row, (series, begin, end) in enumerate(pieces):
            one, limit = self._histories[series], int(self.series.train_end[series])
            known = self.series.panel.values[series][:limit]  # with what is missing
            y[: end - begin, row] = one.values[begin:end]
            before = self._inputs.entering(one.values[max(0, begin - W) : begin])
            if len(before):
                window[row, W - len(before) :] = before
            clock[row], facts[row] = one.clock + begin, one.series
            past[: end - begin, row] = one.past[begin:end]
            at = begin + 1 + np.arange(end - begin)[:, None] + np.arange(h)
            if future.size:
                future[: end - begin, row] = one.future[np.minimum(at, len(one.future) - 1)]
            ahead = np.concatenate([self._inputs.entering(known), np.full(h, np.nan)])
            targets[: end - begin, row, :-1] = ahead[np.minimum(at, len(ahead) - 1)]
            is_there = ~np.isnan(targets[: end - begin, row, :-1]).all(1)
            has_seen = np.arange(begin + 1, end + 1) >= min(self.series.season + 1, max(limit - h, 1))
            counted[: end - begin, row] = is_there & has_seen
        given: Any = {"past": past if past.size else None, "future": future if future.size else None}
        read, _ = self._inputs.advance(y, Kept(window, clock, facts), lengths=lengths, **given)
        targets[..., :-1] = (targets[..., :-1] - read.level) / read.scale
        targets[..., -1:] = read.scale
        inputs = np.concatenate([read.window, read.beside], axis=2)
        return data.Batch(inputs, targets, lengths, counted, np.ones(B, bool))

    def streams(self, *, batch_size: int, window: int, stride: int) -> Pieces:
        """Pieces of series; their order follows from the seed that torch's generator was given."""
        return Pieces(self, batch_size=batch_size, seed=torch.initial_seed())

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """The loss in scaled units, and as `error` the chosen figure, over at most `max_tokens` validation windows."""
        running, valid = self._running(model), self.series.valid
        share = max(1, -(-valid.count // max_tokens))
        at = [of[::share] for of in valid.at]
        forecasts = running.backtest(histories(valid.panel, running), at, horizon=valid.horizon)
        actual = valid.actual(at=at)
        figure = self.config.baselines.figure
        said = [said_of(one) for one in forecasts]
        score = ForecastScore(actual, said, levels=self.config.model.quantile_levels)
        return {"nll": mean_loss(forecasts, actual), "error": score.figure(figure)}

    def _running(self, model: torch.nn.Module) -> Running:
        assert isinstance(model, Forecaster)
        config, tensors = model.export()
        return Running(config, tensors, series=self._facts)

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration and what is known of the series as the bundle that the run half loads."""
        assert isinstance(model, Forecaster)
        config, tensors = model.export()
        write_bundle(run_dir, config=config, tensors=tensors, files={series_file.NAME: self._facts.to_bytes()})

    # ---- the table ---------------------------------------------------------------------------------------------------

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        test, levels, figure = self.series.test, self.config.model.quantile_levels, self.config.baselines.figure
        model = Running.load(run_dir)
        own = {
            "bytes": (run_dir / "model.safetensors").stat().st_size,
            "num_parameters": model.num_parameters,
            "train_seconds": report.seconds,
        }
        systems = [ForecastBy(self.name, *said_by_model(model, test), own)]
        systems += [self._baseline(kind, run_dir) for kind in self.kinds()]
        (row, *others), scores = rows_of(systems, test, levels=levels, figure=figure)
        seeds = [{"seed": report.training["seed"], figure: row[figure]}]
        for name, its_report in peers:
            said = said_by_model(Running.load(run_dir / "baselines" / name), test)
            (of_seed,), _ = rows_of([ForecastBy(name, *said, {})], test, levels=levels, figure=figure)
            seeds.append({"seed": its_report.training["seed"], figure: of_seed[figure]})
        row |= over_seeds([one[figure] for one in seeds])
        metrics = {
            "task": "forecast",
            "figure": figure,
            "model": row,
            "baselines": others,
            "report": {
                "by_step": {system.name: score.by_step.tolist() for system, score in zip(systems, scores, strict=True)},
                "examples": _examples(test, systems[0], levels),
                "levels": list(levels),
            },
            **run_facts(self.config, report),
            "seeds": seeds,
            "data": self._described(),
        }
        durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
        return metrics

    def _baseline(self, kind: str, run_dir: Path) -> ForecastBy:
        started, levels, test = time.perf_counter(), self.config.model.quantile_levels, self.series.test
        model, own = None, {}
        if kind not in statistical.STATISTICAL:
            how: Any = {"horizon": self.series.horizon, "season": self.series.season, "levels": levels}
            window = self.config.model.resolved_window(self.series.season)
            ends, series = self.series.train_end.tolist(), filled(self.series.valid.panel)
            model = baselines.ForecastBaseline.fit(kind, series, ends=ends, window=window, **how)  # type: ignore[arg-type]
            model.save(run_dir / "baselines" / kind)
            own = {"bytes": model.num_bytes, "train_seconds": time.perf_counter() - started}
        said = said_by_baseline(kind, model, test, levels=levels)
        own = own or {"train_seconds": time.perf_counter() - started}  # at every origin
        return ForecastBy(kind, *said, own)

    def _described(self) -> dict[str, Any]:
        panel = self.series.panel
        return {
            "num_series": len(panel),
            "num_steps": int(panel.lengths.sum()),
            "num_missing": sum(int(np.isnan(values).sum()) for values in panel.values),
            "frequency": panel.frequency.name,
            "season": self.series.season,
            "horizon": self.series.horizon,
            "train": {"num_steps": int(self.series.train_end.sum())},
            "valid": {"num_windows": self.series.valid.count},
            "test": {"num_windows": self.series.test.count},
            "fingerprint": panel.fingerprint,
        }


def _examples(test: Origins, system: ForecastBy, levels: Sequence[float]) -> list[dict[str, Any]]:
    """Of a few series the last window, what came before it, and what was said; for pictures."""
    chosen = [row for row in range(len(test.panel)) if len(test.at[row])][:_SHOWN]
    found = []
    for row in chosen:
        origin, values, said = int(test.at[row][-1]), test.panel.values[row], system.said[row]
        first = max(0, origin - 3 * test.horizon)
        steps = np.arange(first, origin + test.horizon)
        one: dict[str, Any] = {
            "series": test.panel.ids[row],
            "times": shown(test.panel.times(row, steps)),
            "origin": origin - first,
            "actual": [None if np.isnan(v) else float(v) for v in values[first : origin + test.horizon]],
            "point": [float(v) for v in said.point[-1]],
        }
        if said.quantiles is not None:
            one |= {"low": said.quantiles[-1, :, 0].tolist(), "high": said.quantiles[-1, :, -1].tolist()}
        found.append(one)
    return found
