"""The configuration of a tagging run, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, tagging_report
from rnnkit.api.classification import ClassifyTrainConfig
from rnnkit.api.classification_pages import draw_confusion
from rnnkit.api.training import require_torch
from rnnkit.data import Tagged
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.tag_config import TagConfig


class TagRunConfig(TagConfig):
    """Everything that can be chosen about a tagging run; the keys of its YAML."""

    training: ClassifyTrainConfig = Field(default_factory=lambda: ClassifyTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "tag"

    def make_task(self, tagged: Tagged | None = None) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError.

        Args: tagged: to train on in place of `data.sources`, without a table at the end: there is no test part.
        """
        require_torch()
        from rnnkit.tasks.tag import TaggingTask

        return TaggingTask(TagConfig(**{name: getattr(self, name) for name in TagConfig.model_fields}), tagged)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        return pages(metrics, name)


def pages(metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """What people look at in the folder of a finished run that has an output for every step."""
    confusion = draw_confusion(metrics)
    pictures = {"confusion matrix": confusion}
    return {
        "curve.png": curves.draw_accuracy(metrics),
        "confusion.png": confusion,
        "report.html": tagging_report.page(metrics, name=name, pictures=pictures).encode(),
        "README.md": tagging_report.model_card(metrics, name=name).encode(),
    }
