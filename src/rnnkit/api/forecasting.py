"""The configuration of a run on time series, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import forecast_report
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.training import require_torch
from rnnkit.data.forecast_tables import Panel
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.forecast_config import ForecastConfig


class ForecastTrainConfig(ClassifyTrainConfig):
    """How to train on pieces of series. What the loop counts as tokens are pieces, of `eval_tokens` windows."""

    batch_size: int = Field(default=32, ge=1, description="Pieces of an update B.")


class ForecastRunConfig(ForecastConfig):
    """Everything that can be chosen about a run on time series; the keys of its YAML."""

    training: ForecastTrainConfig = Field(default_factory=lambda: ForecastTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "forecast"

    def make_task(self, panel: Panel | None = None) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError.

        Args: panel: to train on in place of `data.sources`, without a table at the end: there is no test part.
        """
        require_torch()
        from rnnkit.tasks.forecast import ForecastTask

        config = ForecastConfig(**{name: getattr(self, name) for name in ForecastConfig.model_fields})
        return ForecastTask(config, panel)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        return forecast_report.pages(metrics, name)
