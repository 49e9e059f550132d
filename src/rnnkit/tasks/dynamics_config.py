"""DynamicsConfig: every choice of a run on a system but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from rnnkit.baselines.dynamics import DynamicsBaselineName
from rnnkit.data.systems import INPUTS, OUTPUTS, SystemColumns
from rnnkit.metrics.dynamics import DynamicsFigure
from rnnkit.tasks.sections import LayersConfig, Section, SeedsConfig, SequencesRunConfig, Widths


class DynamicsDataConfig(Section):
    """Which records, and what of them is held out."""

    sources: list[str] | None = Field(
        default=None, description="Records: .csv, .tsv, .parquet, or arrays in .npz and .mat."
    )
    valid_sources: list[str] | None = Field(
        default=None, min_length=1, description="What the weights are chosen by; None: `valid_share` of the others."
    )
    test_sources: list[str] | None = Field(
        default=None, min_length=1, description="What the table is made on; None: `held_out` of `sources`."
    )
    input_columns: tuple[str, ...] = Field(default=INPUTS, min_length=1, description="What goes in.")
    output_columns: tuple[str, ...] = Field(default=OUTPUTS, min_length=1, description="What comes out.")
    record_column: str | None = Field(default=None, description="Whose record a row is of; None: a file is one.")
    time_column: str | None = Field(default=None, description="Seconds, in even steps: tells the sample rate.")
    sample_rate: float | None = Field(default=None, gt=0, description="Steps in a second; kept in the bundle.")
    start_steps: int | None = Field(
        default=None,
        ge=0,
        description="First steps whose outputs are given, and not judged; None: as many as are read (output_lags).",
    )
    rollout_steps: int | None = Field(
        default=None, ge=1, description="Steps after a start that are judged, again and again; None: whole records."
    )
    window_steps: int = Field(default=128, ge=1, description="Steps of a training piece that run free and count.")
    forced_steps: int | None = Field(
        default=None,
        ge=0,
        description="Steps before them with outputs given, which do not count; None: start_steps, or 32 of a model "
        "that reads no outputs.",
    )
    held_out: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Share for the table, without test_sources: of ten records or more whole ones, else the end of "
        "each.",
    )
    valid_share: float = Field(
        default=0.1, gt=0, lt=1, description="Share of what is left to choose weights by, without valid_sources."
    )
    split_seed: int = Field(default=0, ge=0, lt=2**63, description="Which records are held out.")
    encoding: str = Field(default="utf-8", description="Of text files.")

    @model_validator(mode="after")
    def _has_sources(self) -> Self:
        if self.sources is None:
            raise ValueError("data.sources is missing: name a file of records")
        return self

    @property
    def columns(self) -> SystemColumns:
        """As `read_systems` takes them."""
        return SystemColumns(self.input_columns, self.output_columns, self.record_column, self.time_column)


class DynamicsModelConfig(LayersConfig):
    """The recurrent model: the fields of `rnnkit.models.simulator.SimulatorConfig` that the data does not decide."""

    hidden_size: Widths = Field(default=16, description="Units per layer H; or the width of each layer.")
    embedding_size: int = Field(default=0, ge=0, le=0, description="0: numbers are no tokens.")
    embedding_dropout: float = Field(default=0.0, ge=0, le=0, description="0: numbers are no tokens.")
    word_dropout: float = Field(default=0.0, ge=0, le=0, description="0: numbers are no tokens.")
    input_lags: int = Field(default=2, ge=1, le=10_000, description="Last inputs that are read, n.")
    output_lags: int = Field(
        default=2,
        ge=0,
        le=10_000,
        description="Last outputs that are read, m, its own where none is given; 0: none, so that blocks run at once.",
    )
    delay: int = Field(default=0, ge=0, le=10_000, description="Steps after which an input can act, d.")
    linear: bool = Field(default=True, description="Add a linear (ARX) model, from whose solution it starts.")


class DynamicsBaselinesConfig(SeedsConfig):
    """What the model must beat, and by which figure."""

    kinds: tuple[DynamicsBaselineName, ...] | None = Field(
        default=None, min_length=1, description="Which the table shows; None: last-value, static, arx, window-mlp."
    )
    figure: DynamicsFigure = Field(
        default="nrmse", description="What systems are compared and the best weights chosen by, in a free run."
    )


class DynamicsConfig(SequencesRunConfig):
    """A run on a system: data, model, baselines."""

    data: DynamicsDataConfig = Field(default_factory=DynamicsDataConfig)
    model: DynamicsModelConfig = Field(default_factory=DynamicsModelConfig)
    baselines: DynamicsBaselinesConfig = Field(default_factory=DynamicsBaselinesConfig)
