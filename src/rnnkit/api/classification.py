"""The configuration of a classification run, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import classification_pages, classification_report, curves
from rnnkit.api.training import require_torch
from rnnkit.data import Examples
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field, model_validator
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.classify_config import ClassifyConfig
from rnnkit.training.config import TrainConfig

# Of streams that are cut into windows, which whole sequences are not.
_OF_STREAMS = ("window", "stride", "ar", "tar")


class ClassifyTrainConfig(TrainConfig):
    """How to train on whole sequences. What the loop counts as tokens (`eval_tokens`) are sequences here."""

    batch_size: int = Field(default=32, ge=1, description="Sequences of an update B.")
    lr: float = Field(default=2e-3, gt=0, description="Peak learning rate.")

    @model_validator(mode="after")
    def _reads_whole_sequences(self) -> ClassifyTrainConfig:
        for name in _OF_STREAMS:
            if getattr(self, name) != TrainConfig.model_fields[name].default:
                raise ValueError(f"training.{name} has no effect on whole sequences: leave it out")
        return self


class ClassifyRunConfig(ClassifyConfig):
    """Everything that can be chosen about a classification run; the keys of its YAML."""

    training: ClassifyTrainConfig = Field(default_factory=lambda: ClassifyTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "classify"

    def make_task(self, examples: Examples | None = None) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError.

        Args: examples: to train on in place of `data.sources`, without a table at the end: there is no test part.
        """
        require_torch()
        from rnnkit.tasks.classify import ClassificationTask

        config = ClassifyConfig(**{name: getattr(self, name) for name in ClassifyConfig.model_fields})
        return ClassificationTask(config, examples)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        return pages(metrics, name)


def pages(metrics: Mapping[str, Any], name: str, *, more: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """What people look at in the folder of a finished run that decides once. Args: more: pictures, by their titles."""
    confusion, behaviour = classification_pages.draw_confusion(metrics), classification_pages.draw_behaviour(metrics)
    pictures = {"confusion matrix": confusion, "early decision, length, calibration": behaviour}
    return {
        "curve.png": curves.draw_accuracy(metrics),
        "confusion.png": confusion,
        "behaviour.png": behaviour,
        "report.html": classification_pages.page(metrics, name=name, pictures={**(more or {}), **pictures}).encode(),
        "README.md": classification_report.model_card(metrics, name=name).encode(),
    }
