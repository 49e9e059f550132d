"""Every option of a verb of `rnnkit train` arrives in its configuration under the key it is named after."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from rnnkit import api
from rnnkit.api.config import find_key, known_keys
from rnnkit.api.training import configure
from rnnkit.cli import app, main
from rnnkit.cli.train_options import NOT_CONFIG

COMMON: dict[str, tuple[list[str], str, Any]] = {
    "--valid": (["--valid", "v"], "data.valid_sources", ["v"]),
    "--test": (["--test", "t"], "data.test_sources", ["t"]),
    "--cell": (["--cell", "gru_after"], "model.cell", "gru_after"),
    "--hidden-size": (["--hidden-size", "7,5"], "model.hidden_size", (7, 5)),
    "--forward": (["--forward"], "model.bidirectional", False),
    "--init": (["--init", "orthogonal"], "model.init", "orthogonal"),
    "--zoneout": (["--zoneout", "0.1"], "model.zoneout", 0.1),
    "--precision": (["--precision", "bf16"], "model.precision", "bf16"),
    "--time-limit": (["--time-limit", "2m"], "training.time_limit_s", 120.0),
    "--optimizer": (["--optimizer", "sgd"], "training.optimizer", "sgd"),
    "--schedule": (["--schedule", "constant"], "training.schedule", "constant"),
}
"""What options of several verbs are given, their keys and values, where that is not obvious."""


def parameters(task: str) -> list[Any]:
    """The options of a verb that are configuration keys."""
    command: Any = typer.main.get_command(app)
    return [p for p in command.commands["train"].commands[task].params if p.name not in NOT_CONFIG]


def check_options(
    task: str,
    kind: str,
    settings_class: Any,
    special: dict[str, tuple[list[str], str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Args: kind: the api's class.  special: what an option is given, its key and value, where that is not obvious."""

    class Arrived(BaseException):
        pass

    seen: list[Any] = []

    def train(sources: Any, *, config: Any, overrides: Any, **options: Any) -> None:
        kept = {key: value for key, value in options.items() if key not in {*NOT_CONFIG, "observers"}}
        seen.append(configure(sources, config=config, overrides=overrides, options=kept, model=settings_class))
        raise Arrived

    monkeypatch.setattr(getattr(api, kind), "train", train)
    for parameter in parameters(task):
        flag = parameter.opts[0]
        if flag in special:
            arguments, key, wanted = special[flag]
        else:
            key = find_key(parameter.name, known_keys(settings_class))
            section, _, name = key.partition(".")
            field: Any = settings_class.model_fields[section].annotation
            annotation = str(field.model_fields[name].annotation)
            is_flag = "bool" in annotation
            wanted = True if is_flag else 0.25 if "float" in annotation else 3 if "int" in annotation else "latin-1"
            arguments = [flag] if is_flag else [flag, str(wanted)]
        source = "f.mp4" if flag in ("--frame-size", "--grey", "--cnn-channels", "--cnn-kernel") else "f.csv"
        beside = ["--num-layers", "2"] if flag in ("--dropout", "--residual") else []
        beside += ["--input-dropout", "0.1"] if flag == "--locked-dropout" else []
        beside += ["--optimizer", "sgd"] if flag == "--momentum" else []
        with pytest.raises(Arrived):
            main(["train", task, source, *arguments, *beside])
        section, _, name = key.partition(".")
        assert getattr(getattr(seen[-1], section), name) == wanted, flag
