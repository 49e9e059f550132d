"""The configuration of a run on a system, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import dynamics_report
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.training import require_torch
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.dynamics_config import DynamicsConfig


class DynamicsTrainConfig(ClassifyTrainConfig):
    """How to train on pieces of records. What the loop counts as tokens are pieces, of `eval_tokens` records."""

    batch_size: int = Field(default=64, ge=1, description="Pieces of an update B.")


class DynamicsRunConfig(DynamicsConfig):
    """Everything that can be chosen about a run on a system; the keys of its YAML."""

    training: DynamicsTrainConfig = Field(default_factory=lambda: DynamicsTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "dynamics"

    def make_task(self) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError."""
        require_torch()
        from rnnkit.tasks.dynamics import DynamicsTask

        return DynamicsTask(DynamicsConfig(**{name: getattr(self, name) for name in DynamicsConfig.model_fields}))

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        return dynamics_report.pages(metrics, name)
