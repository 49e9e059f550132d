"""`rnnkit train dynamics`: from records of a system to a trained simulator and its table."""

from __future__ import annotations

from rnnkit.cli.train_classify import SEEDS
from rnnkit.cli.train_options import (
    HELD_OUT,
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

_SOURCES = "Records of inputs and outputs: .csv, .tsv, .parquet, or arrays in .npz and .mat."


def _names(text: str) -> object:
    return option(str, parser=listed(str, "a,b", is_alone=False), metavar="A,B", help=text)


@taking(
    **run_of("dynamics", _SOURCES),
    input_columns=_names("What goes in; default: u."),
    output_columns=_names("What comes out; default: y."),
    record_column=option(str, help="Whose record a row is of; default: a file is one."),
    time_column=option(str, help="Seconds, in even steps."),
    sample_rate=option(float, help="Steps in a second."),
    **only(HELD_OUT, "valid_sources", "test_sources"),
    held_out=option(float, help="Share for the table, without --test."),
    valid_share=option(float, help="Share to choose weights by, without --valid."),
    start_steps=option(int, help="First steps whose outputs are given."),
    rollout_steps=option(int, help="Steps after a start that are judged; default: whole records."),
    window_steps=option(int, "--window", help="Steps of a training piece that run free."),
    forced_steps=option(int, help="Steps before them, which do not count."),
    encoding=option(str, help="Of text files."),
    input_lags=option(int, help="Last inputs that are read."),
    output_lags=option(int, help="Last outputs that are read; 0: none, and blocks run at once."),
    delay=option(int, help="Steps after which an input can act."),
    linear=option(bool, "--linear/--no-linear", help="Add a linear (ARX) model."),
    **without(LAYERS, "embedding_size"),
    **PRECISION,
    **TRAINING,
    **only(baselines("last-value, static, arx, window-mlp"), "kinds"),
    figure=option(str, help="What systems are compared by: nrmse or rmse."),
    **SEEDS,
)
def dynamics(given: Given) -> None:
    """Train one recurrent simulator on records of a system, and judge it beside its baselines.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    train_and_show(given, api.Simulator, api.dynamics_table)
