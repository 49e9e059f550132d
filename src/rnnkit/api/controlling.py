"""A run that learns to act, from configuration to run folder; torch-free."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import durable
from rnnkit.api import control_report
from rnnkit.bundle import environment as environment_file
from rnnkit.bundle import labels as labels_file
from rnnkit.bundle import write_bundle
from rnnkit.data.environments import Environment
from rnnkit.tasks.control import Found, PolicySearch, require_cma
from rnnkit.tasks.control_config import ControlConfig
from rnnkit.tasks.control_score import TEST, VALID, Acting, Chance, Forgetting, Played, Remembering, play, rows_of
from rnnkit.tasks.machine import commit, describe_machine

Observer = Callable[[dict[str, Any]], None]
_NAME = "policy"


class ControlRunConfig(ControlConfig):
    """Everything that can be chosen about a run that learns to act; the keys of its YAML."""

    @property
    def task_name(self) -> str:
        return "control"

    def environment(self) -> Environment:
        """What it acts in. Raises: as `Environment`."""
        assert self.data.sources is not None
        of = self.data
        return Environment(self.data.sources[0], observe=of.observe, hide=of.hide, max_steps=of.max_steps)


def train(settings: ControlRunConfig, *, run: Path, watchers: Sequence[Observer] = ()) -> None:
    """Search for a policy and for its baselines, judge all on fresh episodes, and write the run folder at the end."""
    from rnnkit.api import config as configuration
    from rnnkit.api.training import SETTINGS

    require_cma()
    environment = settings.environment()
    search = PolicySearch(settings, environment)
    for watch in watchers:
        watch(
            {"event": "start", "name": _NAME, "unit": "episode", "loss_unit": "episode", "loss_in": "return",
             "is_resumed": False, "parameters": search.size, "machine": describe_machine(), "run_dir": str(run)}
        )  # fmt: skip
    found = search.search(_NAME, Remembering, watchers)
    rest: dict[str, Found] = {}
    policies: list[tuple[str, Acting, dict[str, Any]]] = [
        (_NAME, Remembering(search.model(found.tensors)), _own(search, found))
    ]
    for kind in settings.baselines.kinds:
        if kind == "random":
            policies.append((kind, Chance(len(environment.actions), settings.training.seed), {}))
            continue
        rest[kind] = search.search(kind, Forgetting, watchers)
        policies.append((kind, Forgetting(search.model(rest[kind].tensors)), _own(search, rest[kind])))
    rows, played = judge(environment, policies, settings.data.num_test)
    metrics = {
        "task": "control",
        "name": run.name,
        "figure": "mean_return",
        "model": rows[0],
        "baselines": rows[1:],
        "data": {
            "environment": environment.name, "columns": environment.columns, "observed": environment.observed,
            "actions": environment.actions, "max_steps": environment.max_steps,
            "test": {"first_seed": TEST, "num_episodes": settings.data.num_test},
            "valid": {"first_seed": VALID, "num_episodes": settings.data.num_valid},
        },
        "train_seconds": found.seconds,
        "steps": found.generations,
        "commit": commit(),
        "machine": describe_machine(),
        "seed": settings.training.seed,
        "config": settings.model_dump(mode="json"),
        "curve": found.curve,
        "report": {"seed": TEST, "episodes": {name: _shown(one) for name, one in played.items()}},
    }  # fmt: skip
    environment.close()
    files = {
        labels_file.NAME: labels_file.to_bytes(environment.actions),
        environment_file.NAME: environment_file.to_bytes(environment.name, environment.columns, environment.observed),
    }
    if run.exists():  # --force: `choose_folder` has seen that it is a run
        shutil.rmtree(run)
    write_bundle(run, config=search.bundle_config, tensors=found.tensors, files=files)
    for kind, one in rest.items():
        folder = run / "baselines" / kind
        write_bundle(folder, config=search.bundle_config, tensors=one.tensors, files=files)
    configuration.write_yaml(run / SETTINGS, settings)
    durable.write_file(run / "metrics.json", (json.dumps(metrics, indent=2, ensure_ascii=False) + "\n").encode())
    for name, content in control_report.pages(metrics, run.name).items():
        durable.write_file(run / name, content)


def judge(
    environment: Environment, policies: Sequence[tuple[str, Acting, Mapping[str, Any]]], num_episodes: int
) -> tuple[list[dict[str, Any]], dict[str, Played]]:
    """The rows of policies on the episodes of the table, all of them the same ones, and what each of them played."""
    seeds = range(TEST, TEST + num_episodes)
    played = {name: play(environment, policy, seeds) for name, policy, _ in policies}
    return rows_of([(name, played[name].returns, own) for name, _, own in policies]), played


def _own(search: PolicySearch, found: Found) -> dict[str, Any]:
    return {"num_parameters": search.size, "train_seconds": found.seconds}


def _shown(played: Played) -> dict[str, Any]:
    """The first episode, for a picture."""
    columns = np.round(played.first.columns.astype(np.float64), 6)
    return {"columns": columns.tolist(), "actions": played.first.actions.tolist()}
