"""FramesConfig: every choice of a run on frames but the training itself; torch-free, so checked at once."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from rnnkit.baselines.frames import FrameBaselineName
from rnnkit.data.framed import check_columns
from rnnkit.data.video import is_video
from rnnkit.errors import ArgumentError, ConfigError
from rnnkit.metrics.frames import TargetKind
from rnnkit.tasks.frames_score import PEER
from rnnkit.tasks.sections import LayersConfig, SeedsConfig, SequencesConfig, SequencesRunConfig, Widths


def _height_and_width(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)x(\d+)", value)
        if match is None:
            raise ValueError(f"frame_size is {value!r}: give height and width, as 32x32")
        return tuple(map(int, match.groups()))
    return value


Pixels = Annotated[int, Field(ge=4, le=1024)]
FrameSize = Annotated[tuple[Pixels, Pixels], BeforeValidator(_height_and_width)]


class FramesDataConfig(SequencesConfig):
    """Which labelled recordings."""

    targets: TargetKind | None = Field(
        default=None,
        description="What a frame has: one label, several labels (each 0 or 1), or numbers; None: told by the files.",
    )
    label_column: str | None = Field(
        default=None, description="The label's column in tables; None: label, class, target, category or sentiment."
    )
    target_columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="In tables the columns of several labels, or of numbers."
    )
    feature_columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="In tables the numbers of a frame; None: all columns but its targets'."
    )
    next_frame: bool = Field(
        default=False, description="Every frame's targets are its own numbers, said from the frames before it."
    )
    window_frames: int | None = Field(
        default=None, ge=2, description="Cut recordings into windows of so many frames, each read by itself; None: not."
    )
    frame_size: FrameSize = Field(
        default=(32, 32), description="Of videos: height and width that frames are averaged down to, as 32x32."
    )
    grey: bool = Field(default=False, description="Of videos: their brightness alone, without colours.")

    owners: ClassVar = {
        **SequencesConfig.owners,
        "frame_size": (lambda data: data.of_videos, "without videos"),
        "grey": (lambda data: data.of_videos, "without videos"),
    }

    @property
    def of_videos(self) -> bool:
        """Whether the sources are videos: files that are called so, or folders."""
        return any(is_video(source) for source in self.sources or [])

    @model_validator(mode="after")
    def _columns_fit_together(self) -> FramesDataConfig:
        columns = (self.label_column, self.target_columns, self.feature_columns)
        try:
            check_columns(self.targets, *columns, next_frame=self.next_frame)
        except ArgumentError as error:
            raise ValueError(str(error)) from None
        return self


class FramesModelConfig(LayersConfig):
    """The recurrent model: the fields of `rnnkit.models.transducer.TransducerConfig` that the data does not decide."""

    hidden_size: Widths = Field(default=64, description="Units per layer and direction H; or the width of each layer.")
    embedding_size: int = Field(default=0, ge=0, le=0, description="0: frames are no tokens.")
    embedding_dropout: float = Field(default=0.0, ge=0, le=0, description="0: frames are no tokens.")
    word_dropout: float = Field(default=0.0, ge=0, le=0, description="0: frames are no tokens.")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="On what the first layer reads.")
    output_dropout: float = Field(default=0.3, ge=0, lt=1, description="On what is read out.")
    bidirectional: bool = Field(
        default=True, description="Read in both directions; false: it streams, as with data.next_frame it always does."
    )
    cnn_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(16, 32, 32),
        min_length=1,
        description="Of videos: the channels of each convolutional layer, which halves height and width.",
    )
    cnn_kernel: int = Field(default=3, ge=1, description="Of videos: rows and columns K of their windows, odd.")
    crf: bool = Field(default=False, description="Score whole sequences of labels.")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all labels (Szegedy et al. 2016)."
    )


class FramesBaselinesConfig(SeedsConfig):
    """What the model must beat."""

    kinds: tuple[FrameBaselineName | Literal["frame-cnn"], ...] | None = Field(
        default=None,
        min_length=1,
        description="Which the table shows; None: majority (of numbers mean), frame-mlp, window-mlp, and of the next "
        "frame last-value; of videos majority, frame-cnn.",
    )
    context: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Frames of the window beside its own: half on each side, or all before it where the model streams.",
    )

    owners: ClassVar = {
        "context": (lambda baselines: baselines.kinds is None or "window-mlp" in baselines.kinds, "without window-mlp")
    }


class FramesConfig(SequencesRunConfig):
    """A run on frames: data, model, baselines."""

    data: FramesDataConfig = Field(default_factory=FramesDataConfig)
    model: FramesModelConfig = Field(default_factory=FramesModelConfig)
    baselines: FramesBaselinesConfig = Field(default_factory=FramesBaselinesConfig)

    def baseline_kinds(self, targets: TargetKind) -> tuple[str, ...]:
        """What the table shows of frames that have these. Raises: ConfigError for one that says something else."""
        fitting = ("mean" if targets == "numbers" else "majority", "frame-mlp", "window-mlp")
        fitting += ("last-value",) if self.data.next_frame else ()
        fitting = ("majority", PEER) if self.data.of_videos else fitting
        chosen = self.baselines.kinds or fitting
        if wrong := [kind for kind in chosen if kind not in fitting]:
            ahead = ", the next frame" if self.data.next_frame else ""
            raise ConfigError(
                f"the baseline {wrong[0]} does not say what these frames have ({targets}{ahead}); choose from "
                f"{', '.join(fitting)}"
            )
        return chosen

    @model_validator(mode="before")
    @classmethod
    def _next_frames_are_read_forward(cls, values: Any) -> Any:
        data = values.get("data") if isinstance(values, dict) else None
        model = values.get("model", {}) if isinstance(values, dict) else None
        if isinstance(data, dict) and data.get("next_frame") is True and isinstance(model, dict):
            return {**values, "model": {"bidirectional": False, **model}}
        return values

    @model_validator(mode="after")
    def _nothing_sees_what_it_says(self) -> FramesConfig:
        if self.data.next_frame and self.model.bidirectional:
            raise ValueError(
                "model.bidirectional is true, and layers that read from the end have seen the next frame; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _pictures_or_numbers(self) -> FramesConfig:
        of_videos, kinds = self.data.of_videos, {*(self.baselines.kinds or ())}
        for name in ("cnn_channels", "cnn_kernel"):
            if not of_videos and getattr(self.model, name) != FramesModelConfig.model_fields[name].default:
                raise ValueError(f"model.{name} has no effect without videos: leave it out")
        if self.model.cnn_kernel % 2 == 0:
            raise ValueError(f"model.cnn_kernel is {self.model.cnn_kernel}: give an odd number, a window has a middle")
        for name in ("target_columns", "feature_columns", "next_frame"):
            if of_videos and getattr(self.data, name):
                raise ValueError(f"data.{name} has no effect with videos, whose frames have one label: leave it out")
        if of_videos and self.data.targets in ("labels", "numbers"):
            raise ValueError(
                f"data.targets is {self.data.targets!r}, and frames of videos have one label: leave it out"
            )
        if of_videos and (wrong := kinds & {"frame-mlp", "window-mlp", "mean", "last-value"}):
            raise ValueError(f"baselines.kinds: {min(wrong)} reads numbers; videos have majority and {PEER}")
        if not of_videos and PEER in kinds:
            raise ValueError(f"baselines.kinds: {PEER} reads pictures; numbers have majority, frame-mlp, window-mlp")
        if of_videos and self.baselines.context != FramesBaselinesConfig.model_fields["context"].default:
            raise ValueError("baselines.context has no effect without window-mlp: leave it out, or change that")
        return self
