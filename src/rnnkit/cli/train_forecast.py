"""`rnnkit train forecast`: from tables of time series to a trained forecaster and its table."""

from __future__ import annotations

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import (
    DROPOUT,
    LAYERS,
    PRECISION,
    TRAINING,
    Given,
    baselines,
    listed,
    only,
    option,
    run_of,
    taking,
    train_and_show,
    without,
)

_SOURCES = "Tables (.csv, .tsv, .parquet): long, with unique_id, ds and y; or wide, a column for each series."


def _names(text: str) -> object:
    return option(str, parser=listed(str, "a,b", is_alone=False), metavar="A,B", help=text)


@taking(
    **run_of("forecast", _SOURCES),
    horizon=option(int, help="Steps ahead."),
    test_size=option(int, help="Last steps of every series for the table."),
    valid_size=option(int, help="Steps before them that choose the weights."),
    step_size=option(int, help="Steps between origins."),
    season=option(int, help="Steps after which it repeats."),
    frequency=option(str, help="h, D, W, M, Q, Y, 15min, int or rows; default: told by the times."),
    id_column=option(str, help="Whose series a row is of."),
    time_column=option(str, help="When."),
    target_column=option(str, help="What is forecast; without it a table is wide."),
    series_columns=_names("Of a wide table; default: all."),
    past_covariates=_names("Columns known up to now."),
    future_covariates=_names("Columns known ahead."),
    gap_column=option(str, help="Time since the value before, of uneven steps (with --frequency rows)."),
    static_covariates=_names("Columns with one number for a series."),
    piece_steps=option(int, help="Steps of a series that are read at a time in training."),
    encoding=option(str, help="Of text files."),
    output=option(str, help="point, quantiles, normal, student_t, negative_binomial or mixture."),
    quantile_levels=option(
        str, parser=listed(float, "0.05,0.5,0.95", is_alone=False), metavar="P,P", help="Of the quantiles shown."
    ),
    num_components=option(int, help="Of a mixture."),
    window_size=option(int, "--window", help="Last values that are read."),
    lags=option(str, parser=listed(int, "0,1,23", is_alone=False), metavar="N,N", help="Those that the layers read."),
    level=option(str, help="Subtracted from a window: last, mean, series or zero."),
    log=option(bool, "--log/--no-log", help="Read and say logarithms, of values above 0."),
    scale=option(str, help="A window is divided by: window or series."),
    series_id=option(bool, "--series-id/--no-series-id", help="Tell the trained series apart."),
    calendar=option(bool, "--calendar/--no-calendar", help="Read the time of day, week and year."),
    linear=option(bool, "--linear/--no-linear", help="Add a linear autoregression."),
    recursive=option(bool, "--recursive/--direct", help="Say one step and go on from it; or all at once."),
    **without(LAYERS, "embedding_size"),
    **without(DROPOUT, "embedding_dropout", "word_dropout"),
    **PRECISION,
    **TRAINING,
    **only(baselines("last-value, seasonal-naive, drift, ridge, window-mlp, ets, theta, arima"), "kinds"),
    figure=option(str, help="What systems are compared by: mase, smape, scaled_mse, rmse, mae or crps."),
    **SEEDS,
)
def forecast(given: Given) -> None:
    """Train one recurrent forecaster on all series of the tables, and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    train_and_show(given, api.Forecaster, api.forecast_table)
