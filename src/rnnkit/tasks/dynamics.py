"""The task on a system: one recurrent simulator of its records, judged in free runs beside what it must beat."""

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
from rnnkit.baselines.dynamics import DYNAMICS_BASELINES, DynamicsBaseline, fitted_linear, regressors, whole_from
from rnnkit.bundle import strict_json, write_bundle
from rnnkit.bundle import system as system_file
from rnnkit.data.systems import Systems, is_same_rate, read_systems
from rnnkit.errors import ConfigError, DataError
from rnnkit.metrics.dynamics import DynamicsScore
from rnnkit.models.simulator import Simulator, SimulatorConfig
from rnnkit.runtime.simulator import Simulator as Running
from rnnkit.tasks.dynamics_config import DynamicsConfig
from rnnkit.tasks.dynamics_score import SimulatedBy, rows_of, said_by_baseline, simulated
from rnnkit.tasks.run_facts import over_seeds, run_facts
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.whole import WholeSequencesTask

_WHOLE_RECORDS = 10  # from so many on, whole ones are held out
_SHOWN, _SHOWN_STEPS = 3, 1_500


class Records:
    """The records of a run: training, validation and test.

    Raises: DataError for an output without a value to train on, records too short, parts of different sample rates.

    Args: systems: to train on in place of the sources, without a test part.
    """

    def __init__(self, config: DynamicsConfig, systems: Systems | None = None) -> None:
        self._settings, settings = config.data, config.data
        how: Any = {"columns": settings.columns, "sample_rate": settings.sample_rate, "encoding": settings.encoding}
        rest = read_systems(settings.sources, **how) if systems is None else systems
        self.start = config.model.output_lags if settings.start_steps is None else settings.start_steps
        test: Systems | None = None
        if systems is None:
            if settings.test_sources is not None:
                test = read_systems(settings.test_sources, **how)
            else:
                rest, test = _parted(rest, settings.held_out, settings.split_seed)
        if settings.valid_sources is not None:
            train, valid = rest, read_systems(settings.valid_sources, **how)
        else:
            train, valid = _parted(rest, settings.valid_share, settings.split_seed)
        self.train = train
        self.valid = self._judged(valid, "validation")
        self.test = None if test is None else self._judged(test, "test")
        for part in (valid, test):
            if part is not None and not is_same_rate(part.sample_rate, train.sample_rate):
                raise DataError(
                    f"the sample rates of training and held-out records are {train.sample_rate:g} and "
                    f"{part.sample_rate:g} Hz; give records of one"
                )
        pooled = np.concatenate(train.y)
        if len(off := np.flatnonzero(np.isnan(pooled).all(0))):
            raise DataError(f"the output {train.outputs[off[0]]!r} has no value to train on; leave the column out")
        u = np.concatenate(train.u)
        self.scales = _scale(u), _scale(pooled)
        """Mean and deviation of inputs, and of outputs."""

    def _judged(self, part: Systems, what: str) -> Systems:
        size = self._settings.rollout_steps
        found = part if size is None else part.rollouts(self.start + size)
        if not any(len(u) > self.start for u in found.u):
            wanted = self.start + (size or 1)
            raise DataError(
                f"no {what} record is as long as {wanted} steps, of which {self.start} are the start: give longer ones"
                ", or lower data.start_steps or data.rollout_steps"
            )
        return found.take([row for row, u in enumerate(found.u) if len(u) > self.start])

    def parts(self) -> dict[str, Any]:
        return {"train": self.train.names, "valid": self.valid.names, "test": self.test.names if self.test else []}

    def identity(self) -> dict[str, Any]:
        own = {"sources", "valid_sources", "test_sources", "encoding"}
        chosen = self._settings.model_dump(mode="json", exclude=own)
        found = {f"data.{key}": value for key, value in chosen.items()}
        for name in ("train", "valid", "test"):
            part = getattr(self, name)
            found[f"{name} records"] = None if part is None else part.fingerprint
        return found


class Pieces:
    """Pieces of training records, each step counted once in an epoch; where they are cut is drawn anew.

    An iteration is one epoch; its order follows from seed and epoch alone.
    """

    def __init__(self, task: DynamicsTask, *, batch_size: int, seed: int) -> None:
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
        names = ("batch_size", "seed", "epoch", "batches_done")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._begin_epoch(int(state["epoch"]))
        self.batches_done = int(state["batches_done"])

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batches_done = epoch, 0
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        size, forced, found = self._task.window, self._task.forced, []
        for record, u in enumerate(self._task.records.train.u):
            steps = len(u) - forced  # those that can be counted
            if steps <= 0:
                continue
            first = int(generator.integers(1, size + 1)) if steps > size else steps
            cuts = [0, *range(first, steps, size), steps]
            found += [(record, begin, end + forced) for begin, end in itertools.pairwise(cuts) if end > begin]
        self._order = [found[row] for row in generator.permutation(len(found))]


class DynamicsTask(WholeSequencesTask):
    """Train one recurrent simulator on the records of a configuration."""

    loss_unit = "step"
    loss = "deviations²"
    config: DynamicsConfig

    def __init__(self, config: DynamicsConfig, systems: Systems | None = None) -> None:
        """Args: systems: as of `Records`."""
        self.records = Records(config, systems)
        self.config, self._of_run = config, self.records
        self.name = config.model.cell.replace("_", "-")
        model, settings = config.model, config.data
        self.window = settings.window_steps
        usual = max(self.records.start, model.output_lags) if model.output_lags else 32
        self.forced = usual if settings.forced_steps is None else settings.forced_steps
        if model.output_lags and not self.forced:
            raise ConfigError("data.forced_steps=0 beside model.output_lags: give 1 at least, or output_lags=0")
        if not any(len(u) > self.forced for u in self.records.train.u):
            raise DataError(f"no training record is longer than the {self.forced} steps of data.forced_steps; lower it")
        if self.records.test is not None and "window-mlp" in self.kinds:
            baselines.require_scikit_learn()
        self._lags = (model.input_lags, model.output_lags, model.delay)
        (u_mean, u_size), (y_mean, y_size) = self.records.scales
        train = self.records.train
        self._u = [(one - u_mean) / u_size for one in train.u]
        self._y = [(one - y_mean) / y_size for one in train.y]
        pairs = zip(self._u, self._y, strict=True)
        self._read = [regressors(*of, self._lags).astype(np.float32) for of in pairs]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The baselines of the table."""
        return self.config.baselines.kinds or DYNAMICS_BASELINES

    @property
    def epoch(self) -> Any:
        pieces = sum(-(-max(len(u) - self.forced, 0) // self.window) for u in self._u)
        return replace(super().epoch, tokens=pieces, unit="piece")

    @property
    def shape(self) -> SimulatorConfig:
        """The model's configuration."""
        train = self.records.train
        fields = self.config.model.model_dump()
        return SimulatorConfig(**fields, num_inputs=len(train.inputs), num_outputs=len(train.outputs))

    def build_model(self) -> Simulator:
        """The model, which begins as the linear (ARX) model of what it reads, solved on training steps."""
        model = Simulator(self.shape)
        for scale, (mean, size) in zip((model.input_scale, model.output_scale), self.records.scales, strict=True):
            scale.mean.copy_(torch.from_numpy(mean))
            scale.deviation.copy_(torch.from_numpy(size))
        if model.linear is not None:
            first = whole_from(self._lags)
            read = np.concatenate([of[first:] for of in self._read]).astype(np.float64)
            came = np.concatenate([of[first:] for of in self._y])
            is_there = ~np.isnan(came).any(1)
            model.start_from(*fitted_linear(read[is_there], came[is_there]))
        return model

    def batch(self, pieces: Sequence[tuple[int, int, int]]) -> data.Batch:
        """Pieces (record, begin, end), of which the first `forced` steps have their outputs given and do not count."""
        lengths = np.array([end - begin for _, begin, end in pieces], np.int64)
        T, B, O = int(lengths.max()), len(pieces), self._y[0].shape[1]
        inputs = np.zeros((T, B, self._read[0].shape[1] + 1), np.float32)
        targets = np.full((T, B, O), np.nan, np.float32)
        counted = np.zeros((T, B), np.float32)
        inputs[: self.forced, :, -1] = 1
        for row, (record, begin, end) in enumerate(pieces):
            inputs[: end - begin, row, :-1] = self._read[record][begin:end]
            targets[: end - begin, row] = self._y[record][begin:end]
            counted[self.forced : end - begin, row] = ~np.isnan(targets[self.forced : end - begin, row]).all(1)
        return data.Batch(inputs, targets, lengths, counted, np.ones(B, bool))

    def streams(self, *, batch_size: int, window: int, stride: int) -> Pieces:
        """Pieces of records; their order follows from the seed that torch's generator was given."""
        return Pieces(self, batch_size=batch_size, seed=torch.initial_seed())

    def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
        """The squared error of free runs in deviations, and as `error` the chosen figure; of at most `max_tokens`
        records.
        """
        valid = self.records.valid
        share = max(1, -(-len(valid) // max_tokens))
        valid = valid.take(range(0, len(valid), share))
        assert isinstance(model, Simulator)
        config, tensors = model.export()
        said = simulated(Running(config, tensors, system=self._facts), valid, start=self.records.start)
        score = DynamicsScore(valid.y, said, start=self.records.start, deviations=self.records.scales[1][1])
        return {"nll": score.figure("nrmse") ** 2, "error": score.figure(self.config.baselines.figure)}

    @property
    def _facts(self) -> system_file.SystemFacts:
        train = self.records.train
        return system_file.SystemFacts(train.inputs, train.outputs, train.sample_rate)

    def save(self, model: torch.nn.Module, run_dir: Path) -> None:
        """Write weights, configuration and what is known of the system as the bundle that the run half loads."""
        assert isinstance(model, Simulator)
        config, tensors = model.export()
        write_bundle(run_dir, config=config, tensors=tensors, files={system_file.NAME: self._facts.to_bytes()})

    # ---- the table ---------------------------------------------------------------------------------------------------

    def _judge(
        self, run_dir: Path, report: TrainingReport, peers: Sequence[tuple[str, TrainingReport]]
    ) -> dict[str, Any]:
        test, figure, start = self.records.test, self.config.baselines.figure, self.records.start
        assert test is not None
        how: Any = {"start": start, "deviations": self.records.scales[1][1], "figure": figure}
        model = Running.load(run_dir)
        own = {
            "bytes": (run_dir / "model.safetensors").stat().st_size,
            "num_parameters": model.num_parameters,
            "train_seconds": report.seconds,
        }
        systems = [SimulatedBy(self.name, *_both(model, test, start), own)]
        systems += [self._baseline(kind, run_dir) for kind in self.kinds]
        (row, *others), scores = rows_of(systems, test, **how)
        seeds = [{"seed": report.training["seed"], figure: row[figure]}]
        for name, its_report in peers:
            said = _both(Running.load(run_dir / "baselines" / name), test, start)
            (of_seed,), _ = rows_of([SimulatedBy(name, *said, {})], test, **how)
            seeds.append({"seed": its_report.training["seed"], figure: of_seed[figure]})
        row |= over_seeds([one[figure] for one in seeds])
        metrics = {
            "task": "dynamics",
            "figure": figure,
            "model": row,
            "baselines": others,
            "report": {
                "by_step": {system.name: score.by_step.tolist() for system, score in zip(systems, scores, strict=True)},
                "by_output": {
                    system.name: dict(zip(test.outputs, score.by_output(), strict=True))
                    for system, score in zip(systems, scores, strict=True)
                },
                "examples": _examples(test, systems, start),
            },
            **run_facts(self.config, report),
            "seeds": seeds,
            "data": self._described(),
        }
        durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
        return metrics

    def _baseline(self, kind: str, run_dir: Path) -> SimulatedBy:
        assert self.records.test is not None
        started, (n, m, d) = time.perf_counter(), self._lags
        lags = (n, m or max(n, 2), d)  # a linear model needs outputs also where the layers read none
        model = DynamicsBaseline.fit(kind, self._u, self._y, lags=lags)  # type: ignore[arg-type]
        model.save(run_dir / "baselines" / kind)
        own = {"bytes": model.num_bytes, "train_seconds": time.perf_counter() - started}
        said = said_by_baseline(model, self.records.test, self.records.scales, start=self.records.start)
        return SimulatedBy(kind, *said, own)

    def _described(self) -> dict[str, Any]:
        records, found = self.records, {}
        for name in ("train", "valid", "test"):
            part: Systems = getattr(records, name)
            found[name] = {"num_records": len(part), "num_steps": part.num_steps}
        (u_mean, u_size), (y_mean, y_size) = records.scales
        return {
            **found,
            "inputs": list(records.train.inputs),
            "outputs": list(records.train.outputs),
            "sample_rate": records.train.sample_rate,
            "start_steps": records.start,
            "num_missing": sum(int(np.isnan(y).sum()) for y in records.train.y),
            "scales": {
                "inputs": [u_mean.tolist(), u_size.tolist()],
                "outputs": [y_mean.tolist(), y_size.tolist()],
            },
        }


def _both(model: Running, records: Systems, start: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return simulated(model, records, start=start), simulated(model, records, start=None)


def _scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation; a column that never changes keeps the deviation 1."""
    deviation = np.nanstd(values, axis=0)
    return np.nanmean(values, axis=0), np.where(deviation > 0, deviation, 1.0)


def _parted(records: Systems, share: float, seed: int) -> tuple[Systems, Systems]:
    """All but a share, and the share: of many records whole ones, of few the end of each."""
    if len(records) < _WHOLE_RECORDS:
        return records.cut(0, 1 - share), records.cut(1 - share, 1)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(records)).tolist()
    count = max(1, round(len(records) * share))
    return records.take(sorted(order[count:])), records.take(sorted(order[:count]))


def _examples(test: Systems, systems: Sequence[SimulatedBy], start: int) -> list[dict[str, Any]]:
    """Of a few records the last steps, as they came and as the model said them; for pictures."""
    rows = sorted(range(len(test)), key=lambda row: -len(test.y[row]))[:_SHOWN]
    model, found = systems[0], []
    for row in rows:
        first = max(start, len(test.y[row]) - _SHOWN_STEPS)
        for index, output in enumerate(test.outputs[:_SHOWN] if len(rows) == 1 else test.outputs[:1]):
            came, said = test.y[row][first:, index], model.free[row][first:, index]
            found.append(
                {
                    "record": test.names[row],
                    "output": output,
                    "first": first,
                    "came": [None if np.isnan(value) else float(value) for value in came],
                    "said": [float(value) for value in said],
                }
            )
    return found[:_SHOWN]
