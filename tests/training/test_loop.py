"""The training loop on a tiny task: order of work, guard, time limit, early stopping, and that no option is ignored.

Over 400 lines because all of it judges the one order of events that a run emits, with the same recorder.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from training.tiny_task import TinyTask

from rnnkit import runtime
from rnnkit.errors import CheckpointError, DivergedError, TrainingInterrupted, UsageError
from rnnkit.tasks.task import Peer
from rnnkit.training import TrainConfig, dry_run, fit
from rnnkit.training.checkpoint import load_checkpoint

SMALL: dict[str, Any] = {"batch_size": 2, "window": 6, "max_steps": 12, "warmup_steps": 2, "eval_every_steps": 4}


class Events(list[dict[str, Any]]):
    """An observer that remembers."""

    def __call__(self, event: dict[str, Any]) -> None:
        self.append(event)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self if event["event"] == kind]


def train(run_dir: Path, task: TinyTask | None = None, **options: Any) -> Events:
    events = Events()
    fit(task or TinyTask(), run_dir=run_dir, config=TrainConfig(**{**SMALL, **options}), observers=[events])
    return events


def last_weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run_dir / "checkpoints" / "last").group("model")


def outcome(run_dir: Path, events: Events) -> str:
    """Everything a run's weights and cadence can show, without the clock."""
    timed = ("seconds", "eta_s", "tokens_per_s", "characters_per_s", "run_dir", "path", "machine")
    kept = [{k: v for k, v in e.items() if k not in timed} for e in events if e["event"] not in ("checkpoint", "done")]
    weights = {name: tensor.tolist() for name, tensor in sorted(last_weights(run_dir).items())}
    return json.dumps([kept, weights, json.loads((run_dir / "model.json").read_text())])


# ---- the order of work ---------------------------------------------------------------------------------------------


def test_a_run_steps_evaluates_samples_saves_and_ends(tmp_path: Path) -> None:
    events = train(tmp_path)
    assert [e["step"] for e in events.of("step")] == list(range(1, 13))
    assert [e["step"] for e in events.of("eval")] == [4, 8, 12]
    assert [e["step"] for e in events.of("sample")] == [4, 8, 12]
    assert [events[0]["event"], events[1]["event"]] == ["start", "plan"]
    assert [e["event"] for e in events[-3:]] == ["end", "note", "done"]
    assert events[-2]["text"] == "judging"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoints", "model.json", "samples"]
    assert (tmp_path / "samples" / "step-000008.txt").read_text() == "a sample with seed 0"
    step = events.of("step")[5]
    assert {
        "loss",
        "lr",
        "grad_norm",
        "clip_share",
        "tokens_per_s",
        "characters_per_s",
        "eta_s",
        "epoch",
    } <= step.keys()


def test_the_loss_falls(tmp_path: Path) -> None:
    events = train(tmp_path, max_steps=150, eval_every_steps=75, lr=0.05, batch_size=8)
    assert events.of("eval")[-1]["nll"] < events.of("step")[0]["loss"] - 0.1


def test_the_best_evaluation_is_what_is_saved_and_not_the_last(tmp_path: Path) -> None:
    task = TinyTask()
    task.nlls = iter([2.0, 1.0, 3.0])
    train(tmp_path, task)
    best = load_checkpoint(tmp_path / "checkpoints" / "best")
    assert best.values == {"step": 8, "nll": 1.0}
    saved = json.loads((tmp_path / "model.json").read_text())
    assert saved == {name: tensor.tolist() for name, tensor in best.group("model").items()}
    assert saved != {name: tensor.tolist() for name, tensor in last_weights(tmp_path).items()}


def test_training_leaves_torchs_own_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    train(tmp_path)
    assert torch.equal(torch.rand(3), want)


def test_peers_train_under_the_same_budget_in_a_folder_of_their_own(tmp_path: Path) -> None:
    task = TinyTask(peers={"peer": Peer(TinyTask(), {"lr": 0.5})})
    events = train(tmp_path, task, max_steps=6, lr=0.001)
    assert events[0]["text"] == "peer will train after tiny, under the same budget"
    peer = load_checkpoint(tmp_path / "baselines" / "peer" / "checkpoints" / "last").values
    assert peer["counters"]["step"] == 6
    assert (peer["identity"]["training.lr"], peer["identity"]["training.batch_size"]) == (0.5, 2)


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train(tmp_path, max_steps=1)
    with pytest.raises(UsageError, match="already holds a run; resume it"):
        train(tmp_path, max_steps=1)


def test_a_dry_run_measures_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path / "run", max_steps=1)
    monkeypatch.chdir(tmp_path / "run")  # where a run could be taken for its own
    before = sorted(tmp_path.rglob("*"))
    report = dry_run(TinyTask(), config=TrainConfig(**SMALL))
    assert sorted(tmp_path.rglob("*")) == before
    assert report["parameters"] == sum(p.numel() for p in TinyTask().build_model().parameters())
    assert report["total_steps"] == 12
    assert report["step_s"] > 0


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.9}, {"ema": 0.9}, {"optimizer": "asgd"}],
    ids=str,
)
def test_a_dry_runs_bytes_are_those_of_the_tensors_that_a_run_holds(tmp_path: Path, options: dict[str, Any]) -> None:
    task = TinyTask()
    task.nlls = iter([float(n) for n in range(12)])  # never better: asgd begins to average
    config = TrainConfig(**{**SMALL, **options, **({"asgd_patience": 1} if "asgd" in options.values() else {})})
    fit(task, run_dir=tmp_path, config=config.model_copy(update={"eval_every_steps": 1}))
    last = load_checkpoint(tmp_path / "checkpoints" / "last")
    weights, moments, average = (
        sum(t.nbytes for t in last.group(group).values()) for group in ("model", "optimizer", "average")
    )
    assert average == (weights if options.get("ema") or options.get("optimizer") == "asgd" else 0)
    gradients, set_aside = weights, average
    report = dry_run(TinyTask(), config=config)
    assert weights + gradients + moments + average + set_aside == report["training_bytes"]
    assert report["peak_bytes"] > report["training_bytes"]


def test_a_dry_runs_seconds_count_evaluations_and_the_peers() -> None:
    clock = Clock(step_s=1.0, eval_s=10.0)
    task = clock.attach(TinyTask(peers={"peer": Peer(clock.attach(TinyTask()), {"ar": 1.0, "eval_every_steps": 6})}))
    report = dry_run(task, config=TrainConfig(**SMALL, ar=1.0), clock=clock)
    assert (report["step_s"], report["eval_s"], report["total_s"]) == (1, 10, 12 + 3 * 10)
    assert report["peers_s"] == {"peer": 12 + 2 * 10}
    limited = TrainConfig(**{**SMALL, "max_steps": None, "time_limit_s": 100.0}, ar=1.0)
    assert 80 <= dry_run(task, config=limited, clock=clock)["total_s"] <= 100


# ---- no option is ignored ------------------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 1},
    "batch_size": {"batch_size": 3},
    "window": {"window": 7},
    "stride": {"stride": 3},
    "max_steps": {"max_steps": 11},
    "epochs": {"epochs": 0.1},
    "optimizer": {"optimizer": "sgd"},
    "lr": {"lr": 0.1},
    "betas": {"betas": (0.5, 0.6)},
    "momentum": {"optimizer": "sgd", "momentum": 0.5},
    "asgd_patience": {"optimizer": "asgd", "asgd_patience": 1},
    "weight_decay": {"weight_decay": 0.5},
    "schedule": {"schedule": "constant"},
    "warmup_steps": {"warmup_steps": 0},
    "min_lr": {"min_lr": 1e-3},
    "plateau_patience": {"schedule": "plateau", "plateau_patience": 2},
    "plateau_factor": {"schedule": "plateau", "plateau_factor": 0.1},
    "clip_norm": {"clip_norm": 0.01},
    "clip_value": {"clip_value": 0.001},
    "ema": {"ema": 0.9},
    "ar": {"ar": 1.0},
    "tar": {"tar": 1.0},
    "eval_every_steps": {"eval_every_steps": 5},
    "eval_tokens": {"eval_tokens": 20},
    "patience": {"patience": 1},
}
BESIDE = {
    "momentum": {"optimizer": "sgd"},
    "asgd_patience": {"optimizer": "asgd"},
    "plateau_patience": {"schedule": "plateau"},
    "plateau_factor": {"schedule": "plateau"},
}
SHOWN_ELSEWHERE = {"time_limit_s", "checkpoint_every_s", "threads"}  # each has a test of its own below


def test_every_option_has_a_test_that_it_changes_something() -> None:
    assert CHANGES.keys() | SHOWN_ELSEWHERE == TrainConfig.model_fields.keys()


@pytest.mark.parametrize("option", CHANGES)
def test_the_option_changes_the_run(tmp_path: Path, option: str) -> None:
    outcomes = []
    for name, options in (("without", BESIDE.get(option, {})), ("with", CHANGES[option])):
        task = TinyTask()
        task.nlls = iter([2.0, 1.0, 1.5, 0.9, 1.3, 1.2, 1.1, 0.8, *[0.7] * 20])
        common = {"max_steps": 32, "lr": 0.01}
        events = train(tmp_path / name, task, **{**common, **options})
        outcomes.append(outcome(tmp_path / name, events))
    if option == "eval_tokens":  # which the fixed evaluations hide
        task = TinyTask()
        outcomes = [outcome(tmp_path / f"{n}", train(tmp_path / f"{n}", task, eval_tokens=n)) for n in (20, 30)]
    assert outcomes[0] != outcomes[1]


def test_the_same_run_twice_is_the_same(tmp_path: Path) -> None:
    first, second = (outcome(tmp_path / n, train(tmp_path / n, TinyTask(dropout=0.3))) for n in "ab")
    assert first == second


def test_checkpoints_come_as_often_as_asked(tmp_path: Path) -> None:
    assert len(train(tmp_path / "often", checkpoint_every_s=0.0).of("checkpoint")) == 12
    assert len(train(tmp_path / "rarely", checkpoint_every_s=3600.0).of("checkpoint")) == 1


def test_threads_are_those_asked_for_while_it_trains_and_come_back_after(tmp_path: Path) -> None:
    before = (runtime.get_num_threads(), torch.get_num_threads())
    seen = set()
    config = TrainConfig(**SMALL, threads=before[0] + 1)

    def watch(event: dict[str, Any]) -> None:
        seen.add((runtime.get_num_threads(), torch.get_num_threads()))

    fit(TinyTask(), run_dir=tmp_path, config=config, observers=[watch])
    assert seen == {(before[0] + 1, 1), before}  # the last event comes when all is done
    assert (runtime.get_num_threads(), torch.get_num_threads()) == before


# ---- time limit ----------------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass only when the task works: `step_s` per window, `eval_s` per evaluation."""

    def __init__(self, *, step_s: float, eval_s: float) -> None:
        self.now, self.step_s, self.eval_s = 0.0, step_s, eval_s

    def __call__(self) -> float:
        return self.now

    def attach(self, task: TinyTask) -> TinyTask:
        evaluate, penalty = task.evaluate, task.penalty

        def slow_evaluate(*args: Any, **kwargs: Any) -> Any:
            self.now += self.eval_s
            return evaluate(*args, **kwargs)

        def slow_penalty(*args: Any, **kwargs: Any) -> Any:
            self.now += self.step_s
            return penalty(*args, **kwargs)

        task.evaluate, task.penalty = slow_evaluate, slow_penalty  # type: ignore[method-assign]
        return task


@pytest.mark.parametrize(("step_s", "eval_s"), [(0.5, 0.2), (0.1, 3.0)])
def test_a_time_limit_becomes_steps_once_and_the_run_ends_just_before_it(
    tmp_path: Path, step_s: float, eval_s: float
) -> None:
    clock = Clock(step_s=step_s, eval_s=eval_s)
    options = {"time_limit_s": 60.0, "ar": 1e-9, "batch_size": 2, "window": 4}
    events = Events()
    fit(clock.attach(TinyTask()), run_dir=tmp_path, config=TrainConfig(**options), observers=[events], clock=clock)
    plans = events.of("plan")
    assert len(plans) == 1
    assert plans[0]["total_steps"] == events.of("step")[-1]["step"]
    assert 0.95 * 60 <= clock.now <= 60
    assert events.of("end")[0]["ended_by"] == "budget"
    last_lr = events.of("step")[-1]["lr"]
    assert last_lr < 0.01 * TrainConfig(**options).lr  # the cosine ends where the time does


def test_a_run_stopped_after_its_time_limit_became_steps_ends_at_the_same_step(tmp_path: Path) -> None:
    options = TrainConfig(time_limit_s=60.0, ar=1e-9, batch_size=2, window=4, checkpoint_every_s=7.0)
    whole, first, second = Events(), Events(), Events()
    clock = Clock(step_s=0.5, eval_s=0.2)
    fit(clock.attach(TinyTask()), run_dir=tmp_path / "whole", config=options, observers=[whole], clock=clock)
    clock = Clock(step_s=0.5, eval_s=0.2)
    observers = [first, _kill_at(40)]
    with pytest.raises(_KilledError):
        fit(clock.attach(TinyTask()), run_dir=tmp_path / "cut", config=options, observers=observers, clock=clock)
    slower = Clock(step_s=2.0, eval_s=2.0)  # the machine is slower now: the plan stays
    fit(
        slower.attach(TinyTask()),
        run_dir=tmp_path / "cut",
        config=options,
        observers=[second],
        clock=slower,
        resume=True,
    )
    losses = {e["step"]: e["loss"] for e in [*first.of("step"), *second.of("step")]}
    assert losses == {e["step"]: e["loss"] for e in whole.of("step")}
    assert 12 < second.of("step")[0]["step"] <= 40
    assert _equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "cut"))


# ---- early stopping ------------------------------------------------------------------------------------------------


def test_patience_ends_the_run_after_that_many_evaluations_without_improvement(tmp_path: Path) -> None:
    task = TinyTask()
    task.nlls = iter([3.0, 2.0, 2.5, 1.0, 1.1, 1.2, 0.5])
    events = train(tmp_path, task, patience=2, max_steps=100)
    assert [e["nll"] for e in events.of("eval")] == [3.0, 2.0, 2.5, 1.0, 1.1, 1.2]
    assert events.of("end")[0]["ended_by"] == "patience"
    assert load_checkpoint(tmp_path / "checkpoints" / "best").values == {"step": 16, "nll": 1.0}


# ---- the guard -----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_touches_nothing_but_the_counters(tmp_path: Path) -> None:
    states: dict[int, Any] = {}

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint":
            states[event["step"]] = load_checkpoint(tmp_path / "checkpoints" / "last")

    config = TrainConfig(**{**SMALL, "checkpoint_every_s": 0.0, "ema": 0.9, "eval_every_steps": 100})
    events = Events()
    fit(TinyTask(broken=[3, 6, 7]), run_dir=tmp_path, config=config, observers=[watch, events])
    assert [e["step"] for e in events.of("skip")] == [4, 7, 8]
    assert [e["in_row"] for e in events.of("skip")] == [1, 1, 2]
    for step in (4, 7, 8):
        before, after = states[step - 1], states[step]
        for group in ("model", "optimizer", "average", "carry"):
            assert _equal(before.group(group), after.group(group)), (step, group)
    assert states[12].values["counters"]["skipped"] == 3
    assert not _equal(states[4].group("model"), states[5].group("model"))


def test_ten_in_a_row_end_the_run_with_the_last_good_weights_and_a_remedy(tmp_path: Path) -> None:
    task = TinyTask(broken=range(5, 10**4))
    with pytest.raises(
        DivergedError, match=r"10 times in a row, up to step 15.*lower training\.lr, for example 0\.00125"
    ):
        train(tmp_path / "broken", task, max_steps=100)
    with pytest.raises(_KilledError):
        config = TrainConfig(**{**SMALL, "max_steps": 100, "checkpoint_every_s": 0.0})
        fit(TinyTask(), run_dir=tmp_path / "good", config=config, observers=[_kill_at(6)])
    assert _equal(last_weights(tmp_path / "broken"), last_weights(tmp_path / "good"))


def test_nine_in_a_row_do_not(tmp_path: Path) -> None:
    events = train(tmp_path, TinyTask(broken=range(2, 11)), max_steps=14)
    assert len(events.of("skip")) == 9
    assert events.of("step")[-1]["step"] == 14


def test_an_exploding_gradient_under_a_finite_loss_is_skipped_too(tmp_path: Path) -> None:
    task = TinyTask()
    build = task.build_model

    def build_model() -> Any:
        model = build()
        calls = iter(range(100))

        def explode(gradient: torch.Tensor) -> torch.Tensor:
            return gradient * float("inf") if next(calls) == 4 else gradient

        model.head.weight.register_hook(explode)
        return model

    task.build_model = build_model  # type: ignore[method-assign]
    assert [e["step"] for e in train(tmp_path, task).of("skip")] == [5]


@pytest.mark.parametrize("average", [{}, {"ema": 0.9}, {"optimizer": "asgd", "asgd_patience": 1}])
def test_a_held_out_loss_that_is_not_finite_ends_the_run_and_leaves_the_good_weights(
    tmp_path: Path, average: dict[str, Any]
) -> None:
    task, kept = TinyTask(), {}
    task.nlls = iter([1.0, 2.0, float("nan")])

    def look(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 6:  # its weights are judged next
            kept.update({part: load_checkpoint(tmp_path / "checkpoints" / part) for part in ("last", "best")})

    options = {**SMALL, **average, "lr": 0.1, "eval_every_steps": 2, "checkpoint_every_s": 0.0}
    with pytest.raises(DivergedError, match=r"held-out text is nan, up to step 6; the best weights, of step 2, are in"):
        fit(task, run_dir=tmp_path, config=TrainConfig(**options), observers=[look])
    assert (kept["last"].values["counters"]["step"], kept["best"].values) == (5, {"step": 2, "nll": 1.0})
    for part, want in kept.items():
        got = load_checkpoint(tmp_path / "checkpoints" / part)
        assert want.values == got.values
        assert _equal(want.tensors, got.tensors)


def test_a_first_held_out_loss_that_is_not_finite_names_no_weights(tmp_path: Path) -> None:
    task = TinyTask()
    task.nlls = iter([float("nan")])
    with pytest.raises(DivergedError, match="none was good before"):
        train(tmp_path, task)
    assert not list(tmp_path.glob("checkpoints/*"))


# ---- interruption --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_can_be_resumed(tmp_path: Path, number: int) -> None:
    def press(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 5:
            os.kill(os.getpid(), number)

    config = TrainConfig(**SMALL)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(TrainingInterrupted, match="stopped after step 5") as caught:
        fit(TinyTask(), run_dir=tmp_path / "cut", config=config, observers=[press])
    assert caught.value.exit_code == 130
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    events = Events()
    fit(TinyTask(), run_dir=tmp_path / "cut", config=config, observers=[events], resume=True)
    assert [e["step"] for e in events.of("step")] == list(range(6, 13))
    train(tmp_path / "whole")
    assert _equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "cut"))


def test_it_trains_in_a_thread_too(tmp_path: Path) -> None:
    thread = threading.Thread(target=train, args=(tmp_path,))
    thread.start()
    thread.join()
    assert (tmp_path / "model.json").exists()


# ---- resume --------------------------------------------------------------------------------------------------------

VARIANTS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "sgd with momentum": {"optimizer": "sgd", "momentum": 0.9, "lr": 0.1},
    "asgd": {"optimizer": "asgd", "asgd_patience": 1, "lr": 0.5, "eval_every_steps": 1},
    "plateau": {"schedule": "plateau", "lr": 0.5, "eval_every_steps": 1},
    "constant": {"schedule": "constant"},
    "ema": {"ema": 0.9},
    "stride": {"stride": 2},
    "clip by value, ar, tar": {"clip_value": 0.01, "ar": 0.1, "tar": 0.1},
    "patience": {"patience": 100, "eval_every_steps": 1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_at_any_step_and_resumed_the_losses_and_weights_are_bit_equal(tmp_path: Path, variant: str) -> None:
    config = TrainConfig(**{**SMALL, "checkpoint_every_s": 0.0, **VARIANTS[variant]})
    whole = Events()
    fit(TinyTask(dropout=0.2, broken=[6]), run_dir=tmp_path / "whole", config=config, observers=[whole])
    steps = [e for e in whole if e["event"] in ("step", "skip")]
    for stop in (2, 7, 9):  # within a quiet stretch, after a skipped step, after an evaluation
        run_dir = tmp_path / f"cut-{stop}"
        first, second = Events(), Events()
        with pytest.raises(_KilledError):
            task = TinyTask(dropout=0.2, broken=[6])
            fit(task, run_dir=run_dir, config=config, observers=[first, _kill_at(stop + 1)])
        task = TinyTask(dropout=0.2, broken=[6 - stop])
        fit(task, run_dir=run_dir, config=config, observers=[second], resume=True)
        assert second.of("start")[0]["is_resumed"]
        losses = [e["loss"] for e in [*first, *second] if e["event"] in ("step", "skip") and e not in first[-1:]]
        assert str(losses) == str([e["loss"] for e in steps])
        a, b = (load_checkpoint(d / "checkpoints" / "last") for d in (tmp_path / "whole", run_dir))
        assert _equal(a.tensors, b.tensors)
        assert a.values["counters"] == b.values["counters"]
        assert [e["nll"] for e in a.values["curve"]] == [e["nll"] for e in b.values["curve"]]
        assert (run_dir / "model.json").read_bytes() == (tmp_path / "whole" / "model.json").read_bytes()


def test_resuming_with_another_configuration_is_refused_by_the_name_of_the_key(tmp_path: Path) -> None:
    train(tmp_path, max_steps=4)
    changed = TrainConfig(**{**SMALL, "max_steps": 4, "lr": 0.5})
    with pytest.raises(CheckpointError, match=r"training\.lr is 0\.5, the run in .* was trained with 0\.005"):
        fit(TinyTask(), run_dir=tmp_path, config=changed, resume=True)
    same = TrainConfig(**{**SMALL, "max_steps": 4})
    with pytest.raises(CheckpointError, match=r"model\.dropout is 0\.5"):
        fit(TinyTask(dropout=0.5), run_dir=tmp_path, config=same, resume=True)


def test_what_does_not_change_the_weights_may_change_on_resume(tmp_path: Path) -> None:
    train(tmp_path, max_steps=4)
    fit(
        TinyTask(),
        run_dir=tmp_path,
        config=TrainConfig(**{**SMALL, "max_steps": 4, "checkpoint_every_s": 1.0}),
        resume=True,
    )


def test_resuming_a_finished_run_trains_no_more(tmp_path: Path) -> None:
    train(tmp_path)
    before, events = last_weights(tmp_path), Events()
    fit(TinyTask(), run_dir=tmp_path, config=TrainConfig(**SMALL), observers=[events], resume=True)
    assert events.of("step") == []
    assert _equal(before, last_weights(tmp_path))


def test_a_folder_without_a_checkpoint_starts_anew_and_a_missing_one_is_named(tmp_path: Path) -> None:
    events = Events()
    fit(TinyTask(), run_dir=tmp_path, config=TrainConfig(**SMALL), observers=[events], resume=True)
    assert not events.of("start")[0]["is_resumed"]
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        fit(TinyTask(), run_dir=tmp_path / "nowhere", config=TrainConfig(**SMALL), resume=True)


class _KilledError(BaseException):
    """Stands for a kill: nothing of the loop's own runs after it but `finally`."""


def _kill_at(step: int) -> Any:
    """An observer that ends the run within step `step`, before anything of that step is saved."""

    def observe(event: dict[str, Any]) -> None:
        if event["event"] in ("step", "skip") and event["step"] == step:
            raise _KilledError

    return observe


def _equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_where_a_task_judges_by_an_error_the_best_weights_are_those_of_the_least(tmp_path: Path) -> None:
    class ByError(TinyTask):
        nats, errors = iter((3.0, 1.0, 2.0)), iter((0.5, 0.9, 0.5))  # of the two least errors the one of fewer nats

        def evaluate(self, model: torch.nn.Module, *, max_tokens: int) -> dict[str, float]:
            return {"nll": next(self.nats), "error": next(self.errors)}

    events = train(tmp_path / "run", ByError())
    assert [event["is_best"] for event in events.of("eval")] == [True, False, True]
