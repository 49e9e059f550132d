"""The configuration of a run on records, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, description_report, translation_report
from rnnkit.api.training import require_torch
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.api.translation import TranslateTrainConfig
from rnnkit.tasks.describe_config import DescribeConfig


class DescribeRunConfig(DescribeConfig):
    """Everything that can be chosen about a run on records; the keys of its YAML."""

    training: TranslateTrainConfig = Field(default_factory=lambda: TranslateTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "describe"

    def make_task(self) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError."""
        require_torch()
        from rnnkit.tasks.describe import DescriptionTask

        config: Any = DescribeConfig(**{name: getattr(self, name) for name in DescribeConfig.model_fields})
        return DescriptionTask(config, batch_tokens=self.training.batch_tokens)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        looks = translation_report.draw_attention(metrics)
        return {
            "curve.png": curves.draw_losses(metrics),
            **({"attention.png": looks} if looks else {}),
            "report.html": description_report.page(metrics, name=name, attention=looks).encode(),
            "README.md": description_report.model_card(metrics, name=name).encode(),
        }
