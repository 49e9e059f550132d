"""ForecastConfig: every choice of a run on time series but the training itself; torch-free, so checked at once."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rnnkit.baselines.forecast import ForecastBaselineName
from rnnkit.baselines.statistical import StatisticalName
from rnnkit.data.forecast_tables import Columns
from rnnkit.data.frequency import Frequency
from rnnkit.errors import ArgumentError
from rnnkit.metrics.forecast import FigureName
from rnnkit.tasks.sections import LayersConfig, Section, SeedsConfig, SequencesRunConfig, Widths

Level = Annotated[float, Field(gt=0, lt=1)]


class ForecastDataConfig(Section):
    """Which series, and which of their steps are held out."""

    sources: list[str] | None = Field(default=None, description="Tables of series: .csv, .tsv or .parquet.")
    id_column: str | None = Field(default=None, description="Whose series a row is of; None: unique_id.")
    time_column: str | None = Field(default=None, description="None: ds, date, time, timestamp, datetime or month.")
    target_column: str | None = Field(
        default=None, description="None: y; a table without it is wide, a column for each series."
    )
    series_columns: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Of a wide table; None: all."
    )
    past_covariates: tuple[str, ...] = Field(default=(), description="Columns that are known up to now.")
    future_covariates: tuple[str, ...] = Field(default=(), description="Columns that are known ahead.")
    static_covariates: tuple[str, ...] = Field(default=(), description="Columns with one number for a series.")
    gap_column: str | None = Field(
        default=None,
        description="Time since the value before, of rows in uneven steps: read as a past covariate, and what the "
        "layers remember decays by it; with frequency rows.",
    )
    frequency: str | None = Field(
        default=None,
        description="Of the clock: s, min, h, D, W, M, Q, Y, int, several as 15min, or rows: one row is one step; "
        "None: told by the times.",
    )
    season: int | None = Field(
        default=None, ge=1, description="Steps after which it repeats; None: by the frequency, as 24 of hours."
    )
    horizon: int = Field(default=24, ge=1, le=10_000, description="Steps ahead h that are forecast.")
    test_size: int | None = Field(
        default=None, ge=0, description="Last steps of every series that the table is made on; None: the horizon."
    )
    valid_size: int | None = Field(
        default=None, ge=1, description="Steps before them that choose the weights; None: the horizon."
    )
    step_size: int | None = Field(default=None, ge=1, description="Steps between two origins; None: the horizon.")
    piece_steps: int = Field(default=128, ge=2, description="Steps of a series that are read at a time in training.")
    encoding: str = Field(default="utf-8", description="Of text files.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.sources is None:
            raise ValueError("data.sources is missing: name a table of series")
        if self.frequency is not None:
            try:
                Frequency.named(self.frequency)
            except ArgumentError as error:
                raise ValueError(f"data.frequency: {error}") from None
        if self.gap_column is not None and self.frequency != "rows":
            raise ValueError("data.gap_column goes with data.frequency=rows: on an even clock missing steps are known")
        if self.gap_column in (*self.past_covariates, *self.future_covariates, *self.static_covariates):
            raise ValueError(f"data.gap_column {self.gap_column} is also named as a covariate: leave it out there")
        for name, least in (("test_size", self.horizon), ("valid_size", self.horizon)):
            if getattr(self, name) not in (None, 0) and getattr(self, name) < least:
                raise ValueError(
                    f"data.{name} is {getattr(self, name)}: no whole horizon of {least} fits in; give at least as many"
                )
        return self

    @property
    def columns(self) -> Columns:
        """As `read_panel` takes them."""
        covariates = {kind: getattr(self, f"{kind}_covariates") for kind in ("past", "future", "static")}
        if self.gap_column is not None:
            covariates["past"] = (*covariates["past"], self.gap_column)
        return Columns(self.id_column, self.time_column, self.target_column, self.series_columns, **covariates)


class ForecastModelConfig(LayersConfig):
    """The recurrent model: the fields of `rnnkit.models.forecaster.ForecasterConfig` that the data does not decide."""

    hidden_size: Widths = Field(default=64, description="Units per layer H; or the width of each layer.")
    embedding_size: int = Field(default=0, ge=0, le=0, description="0: numbers are no tokens.")
    embedding_dropout: float = Field(default=0.0, ge=0, le=0, description="0: numbers are no tokens.")
    word_dropout: float = Field(default=0.0, ge=0, le=0, description="0: numbers are no tokens.")
    output: Literal["point", "quantiles", "normal", "student_t", "negative_binomial", "mixture"] = Field(
        default="quantiles", description="What is said of every step ahead."
    )
    quantile_levels: tuple[Level, ...] = Field(
        default=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
        min_length=1,
        description="Of the quantiles that are said and shown; the first and the last bound the interval.",
    )
    num_components: int = Field(default=3, ge=1, le=100, description="Of mixture: normal distributions M.")
    window_size: int | None = Field(
        default=None, ge=2, le=100_000, description="Last values W that are read; None: two seasons, at least 8."
    )
    lags: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, description="Those of them that the layers read, 0 the newest; None: all."
    )
    level: Literal["last", "mean", "series", "zero"] | None = Field(
        default=None,
        description="What is subtracted from a window: its last value or mean, the series' training mean, or nothing; "
        "None: mean, of counts (negative_binomial) zero.",
    )
    log: bool = Field(
        default=False, description="Read and say logarithms: of values above 0 whose changes are in proportion to them."
    )
    scale: Literal["window", "series"] = Field(
        default="window", description="What it is divided by: its own deviation, or the series' in training."
    )
    series_id: bool = Field(
        default=False, description="Also read which of the trained series it is; others cannot be forecast."
    )
    calendar: bool = Field(default=True, description="Read the time of day, week and year.")
    linear: bool = Field(default=True, description="Add a linear autoregression, from whose solution it starts.")
    recursive: bool = Field(
        default=False, description="Say the next step alone, and those behind it from what was said; else all at once."
    )

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        levels = self.quantile_levels
        if list(levels) != sorted(set(levels)):
            raise ValueError(f"model.quantile_levels are {list(levels)}: give each once, rising")
        if self.output == "quantiles" and 0.5 not in levels:
            raise ValueError(f"model.quantile_levels {list(levels)} lack 0.5, the median, which is the point forecast")
        if self.recursive and self.output == "quantiles":
            raise ValueError("model.recursive needs something to draw from: take a distribution as output, or point")
        if self.log and self.output not in ("point", "quantiles"):
            raise ValueError(f"model.log goes with points and quantiles, not with output {self.output}: leave it out")
        if self.output == "negative_binomial" and self.level not in (None, "zero"):
            raise ValueError(f"model.level is {self.level}: counts (negative_binomial) have none; leave it out")
        if self.output != "mixture" and self.num_components != type(self).model_fields["num_components"].default:
            raise ValueError("model.num_components has no effect without output mixture: leave it out")
        return self

    def resolved_window(self, season: int) -> int:
        """W."""
        return max(2 * season, 8) if self.window_size is None else self.window_size


class ForecastBaselinesConfig(SeedsConfig):
    """What the model must beat, and by which figure."""

    kinds: tuple[ForecastBaselineName | StatisticalName, ...] | None = Field(
        default=None,
        min_length=1,
        description="Which the table shows; None: last-value, seasonal-naive (where there is a season), drift, ridge "
        "(linear autoregression), window-mlp.",
    )
    figure: FigureName = Field(default="mase", description="What systems are compared and the best weights chosen by.")


class ForecastConfig(SequencesRunConfig):
    """A run on time series: data, model, baselines."""

    data: ForecastDataConfig = Field(default_factory=ForecastDataConfig)
    model: ForecastModelConfig = Field(default_factory=ForecastModelConfig)
    baselines: ForecastBaselinesConfig = Field(default_factory=ForecastBaselinesConfig)
