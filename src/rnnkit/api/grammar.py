"""The configuration of a grammar run, and what people look at in its folder; `api.training` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from rnnkit.api import classification_pages
from rnnkit.api.classification import ClassifyTrainConfig, pages
from rnnkit.api.training import require_torch
from rnnkit.tasks.grammar_config import GrammarConfig

EPOCHS = 15


class GrammarTrainConfig(ClassifyTrainConfig):
    """How to train on texts of a language. What the loop counts as tokens (`eval_tokens`) are texts here.

    Without a limit training takes 15 epochs.
    """

    @model_validator(mode="before")
    @classmethod
    def _default_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and not any(values.get(key) for key in ("time_limit_s", "max_steps", "epochs")):
            return {**values, "epochs": EPOCHS}
        return values

    lr: float = Field(default=1e-2, gt=0, description="Peak learning rate.")
    restarts: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Starts from other first weights, at most, while a text to choose by is wrong.",
    )

    @property
    def num_restarts(self) -> int:
        return self.restarts


class GrammarRunConfig(GrammarConfig):
    """Everything that can be chosen about a grammar run; the keys of its YAML."""

    training: GrammarTrainConfig = Field(default_factory=lambda: GrammarTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "grammar"

    def make_task(self) -> Any:
        """The task, its texts drawn. Raises: MissingExtraError, ArgumentError, DataError."""
        require_torch()
        from rnnkit.tasks.grammar import GrammarTask

        config: Any = GrammarConfig(**{name: getattr(self, name) for name in GrammarConfig.model_fields})
        return GrammarTask(config)

    def pages(self, metrics: Mapping[str, Any], name: str) -> dict[str, bytes]:
        """What people look at in a finished run's folder, by file name."""
        lengths = classification_pages.draw_lengths({name: metrics})
        return {"lengths.png": lengths, **pages(metrics, name, more={"accuracy by length": lengths})}
