"""The configuration of a run on frames, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import frames_pages
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.tagging import pages
from rnnkit.api.training import require_torch
from rnnkit.data import Framed
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.frames_config import FramesConfig


class FramesRunConfig(FramesConfig):
    """Everything that can be chosen about a run on frames; the keys of its YAML."""

    training: ClassifyTrainConfig = Field(default_factory=lambda: ClassifyTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "frames"

    def make_task(self, framed: Framed | None = None) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError.

        Args: framed: to train on in place of `data.sources`, without a table at the end: there is no test part.
        """
        require_torch()
        from rnnkit.tasks.frames import FramesTask

        config = FramesConfig(**{name: getattr(self, name) for name in FramesConfig.model_fields})
        return FramesTask(config, framed)  # type: ignore[arg-type]

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        return pages(metrics, name) if metrics["targets"] == "label" else frames_pages.pages(metrics, name)
