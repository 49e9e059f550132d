"""FramesConfig: every choice of a run on frames but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rnnkit.baselines.frames import FrameBaselineName
from rnnkit.tasks.sections import LayersConfig, Section, SequencesConfig, SequencesRunConfig, Widths


class FramesDataConfig(SequencesConfig):
    """Which labelled recordings."""

    label_column: str | None = Field(
        default=None, description="The label's column in tables; None: label, class, target, category or sentiment."
    )
    window_frames: int | None = Field(
        default=None, ge=2, description="Cut recordings into windows of so many frames, each read by itself; None: not."
    )


class FramesModelConfig(LayersConfig):
    """The recurrent model: the fields of `rnnkit.models.transducer.TransducerConfig` that the data does not decide."""

    hidden_size: Widths = Field(default=64, description="Units per layer and direction H; or the width of each layer.")
    embedding_size: int = Field(default=0, ge=0, le=0, description="0: frames are no tokens.")
    embedding_dropout: float = Field(default=0.0, ge=0, le=0, description="0: frames are no tokens.")
    word_dropout: float = Field(default=0.0, ge=0, le=0, description="0: frames are no tokens.")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="On what the first layer reads.")
    output_dropout: float = Field(default=0.3, ge=0, lt=1, description="On what is read out.")
    bidirectional: bool = Field(default=True, description="Read in both directions; false: it streams.")
    crf: bool = Field(default=False, description="Score whole sequences of labels.")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all labels (Szegedy et al. 2016)."
    )


class FramesBaselinesConfig(Section):
    """What the model must beat."""

    kinds: tuple[FrameBaselineName, ...] = Field(
        default=("majority", "frame-mlp", "window-mlp"), min_length=1, description="Which the table shows."
    )
    context: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Frames of the window beside its own: half on each side, or all before it where the model streams.",
    )

    owners: ClassVar = {"context": (lambda baselines: "window-mlp" in baselines.kinds, "without window-mlp")}


class FramesConfig(SequencesRunConfig):
    """A run on frames: data, model, baselines."""

    data: FramesDataConfig = Field(default_factory=FramesDataConfig)
    model: FramesModelConfig = Field(default_factory=FramesModelConfig)
    baselines: FramesBaselinesConfig = Field(default_factory=FramesBaselinesConfig)
