"""The configuration of a run on dialogues; its pages are those of a run on pairs of texts."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rnnkit.api.training import require_torch
from rnnkit.api.translation import OfTexts, TranslateTrainConfig
from rnnkit.tasks.dialogue_config import DialogueConfig


class DialogueRunConfig(OfTexts, DialogueConfig):
    """Everything that can be chosen about a run on dialogues; the keys of its YAML."""

    training: TranslateTrainConfig = Field(default_factory=lambda: TranslateTrainConfig.model_validate({}))

    @property
    def task_name(self) -> str:
        return "dialogue"

    def make_task(self) -> Any:
        """The task, its data read. Raises: MissingExtraError, DataError."""
        require_torch()
        from rnnkit.tasks.dialogue import DialogueTask

        return self._made(DialogueTask, DialogueConfig)
