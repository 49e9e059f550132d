"""Fills the reference pages from the code and the navigation from the folder, so that they cannot go stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from rnnkit.api.classification import ClassifyRunConfig
from rnnkit.api.controlling import ControlRunConfig
from rnnkit.api.description import DescribeRunConfig
from rnnkit.api.dialogue import DialogueRunConfig
from rnnkit.api.dynamics import DynamicsRunConfig
from rnnkit.api.forecasting import ForecastRunConfig
from rnnkit.api.frames import FramesRunConfig
from rnnkit.api.grammar import GrammarRunConfig
from rnnkit.api.tagging import TagRunConfig
from rnnkit.api.training import RunConfig
from rnnkit.api.translation import TranslateRunConfig
from rnnkit.cli import app

_CONFIGURATIONS: dict[str, type[BaseModel]] = {
    "configuration": RunConfig,
    "classify configuration": ClassifyRunConfig,
    "tag configuration": TagRunConfig,
    "frames configuration": FramesRunConfig,
    "dynamics configuration": DynamicsRunConfig,
    "forecast configuration": ForecastRunConfig,
    "control configuration": ControlRunConfig,
    "grammar configuration": GrammarRunConfig,
    "translate configuration": TranslateRunConfig,
    "dialogue configuration": DialogueRunConfig,
    "describe configuration": DescribeRunConfig,
}
"""By the comment that a page has where the keys of a run go."""


def on_config(config: Any) -> None:
    """Called by MkDocs once: every decision page is in the navigation, under its own title."""
    folder = Path(config.docs_dir)
    config.nav.append({"Decisions": [str(page.relative_to(folder)) for page in sorted(folder.glob("decisions/*.md"))]})


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for every page."""
    for comment, model in _CONFIGURATIONS.items():
        if f"<!-- {comment} -->" in markdown:
            markdown = markdown.replace(f"<!-- {comment} -->", "\n".join(_sections(model)))
    if "<!-- command line -->" in markdown:
        group: Any = typer.main.get_command(app)
        markdown = markdown.replace("<!-- command line -->", "\n".join(_commands(group, "rnnkit")))
    return markdown


def _sections(model: type[BaseModel]) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        section: Any = field.annotation
        lines += [f"\n## {name}\n", "| key | default | |", "|---|---|---|"]
        for key, inner in section.model_fields.items():
            default = "" if inner.default is None else f"`{inner.default}`"
            lines.append(f"| `{name}.{key}` | {default} | {inner.description or ''} |")
    return lines


def _commands(group: Any, path: str) -> list[str]:
    lines: list[str] = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            lines += _commands(command, f"{path} {name}")
            continue
        lines += [f"\n## {path} {name}\n", command.help or "", "\n| | default | |", "|---|---|---|"]
        for parameter in command.params:
            spelled = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
            is_argument = parameter.param_type_name == "argument"
            shown = f"`{parameter.metavar or parameter.name.upper()}`" if is_argument else spelled
            is_value = parameter.default not in (None, "") and not isinstance(parameter.default, bool)
            default = f"`{parameter.default}`" if is_value else ""
            lines.append(f"| {shown} | {default} | {getattr(parameter, 'help', None) or ''} |")
    return lines
