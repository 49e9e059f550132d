"""The configuration of a run on pairs of texts, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.api import curves, translation_report
from rnnkit.api.training import require_torch
from rnnkit.errors import MissingExtraError

try:
    from pydantic import Field, model_validator
except ModuleNotFoundError as error:  # in the run half alone, before torch is asked for
    raise MissingExtraError(f"training needs `{error.name}`", extra="train") from error

from rnnkit.tasks.translate_config import TranslateConfig
from rnnkit.training.config import TrainConfig

_OF_OTHERS = ("batch_size", "window", "stride", "ar", "tar")  # of rows of one length, and of streams


class TranslateTrainConfig(TrainConfig):
    """How to train on whole pairs; batches hold as many as fit."""

    batch_tokens: int = Field(
        default=3072, ge=1, description="Of an update: pairs times the longest source and target, at most."
    )
    lr: float = Field(default=2e-3, gt=0, description="Peak learning rate.")

    @property
    def most_in_batch(self) -> int:
        return self.batch_tokens

    @model_validator(mode="after")
    def _reads_whole_pairs(self) -> TranslateTrainConfig:
        for name in _OF_OTHERS:
            if getattr(self, name) != TrainConfig.model_fields[name].default:
                remedy = "use batch_tokens" if name == "batch_size" else "leave it out"
                raise ValueError(f"training.{name} has no effect on pairs of texts: {remedy}")
        return self


class OfTexts:
    """What the runs of every task have in common that trains an encoder-decoder on texts."""

    training: Any

    def _made(self, task: Any, config: Any) -> Any:
        """The task, its data read. Args: config: the class of what it is told."""
        chosen = config(**{name: getattr(self, name) for name in config.model_fields})
        return task(chosen, batch_tokens=self.training.batch_tokens)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        looks = translation_report.draw_attention(metrics)
        return {
            "curve.png": curves.draw_losses(metrics),
            **({"attention.png": looks} if looks else {}),
            "report.html": translation_report.page(metrics, name=name, attention=looks).encode(),
            "README.md": translation_report.model_card(metrics, name=name).encode(),
        }


class TranslateRunConfig(OfTexts, TranslateConfig):
    """Everything that can be chosen about a run on pairs of texts; the keys of its YAML."""

    training: TranslateTrainConfig = Field(default_factory=lambda: TranslateTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "translate"

    def make_task(self) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError."""
        require_torch()
        from rnnkit.tasks.translate import TranslationTask

        return self._made(TranslationTask, TranslateConfig)
