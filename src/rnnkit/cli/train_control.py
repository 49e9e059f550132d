"""`rnnkit train control`: a recurrent policy learns to act in an environment of which it does not see all."""

from __future__ import annotations

from rnnkit.cli.train_options import (
    LAYERS,
    Given,
    listed,
    only,
    option,
    run_of,
    seconds,
    taking,
    train_and_show,
    without,
)

_SOURCES = "One environment, as Gymnasium registers it: CartPole-v1."


def _columns(text: str) -> object:
    return option(str, parser=listed(str, "cart_position,pole_angle", is_alone=False), metavar="A,B", help=text)


@taking(
    **without(run_of("control", _SOURCES, metavar="ENV"), "resume", "tensorboard"),
    observe=_columns("Columns that it sees, by name or number; default: all."),
    hide=_columns("Or those that it does not."),
    max_steps=option(int, help="Steps after which an episode is cut off; default: the environment's limit."),
    num_valid=option(int, help="Episodes that choose the weights."),
    num_test=option(int, help="Episodes of the table."),
    **only(LAYERS, "cell", "hidden_size", "num_layers"),
    seed=option(int, help="Of the search and its episodes."),
    generations=option(int, help="Of the search, at most."),
    population=option(int, help="Policies of a generation."),
    episodes=option(int, help="That each of them plays."),
    sigma=option(float, help="Standard deviation of weights at the start."),
    eval_every=option(int, help="Generations between validations."),
    target=option(float, help="Mean return in validation that ends the search."),
    time_limit_s=option(float, "--time-limit", parser=seconds, metavar="90s|2m|1h", help="Of a search."),
    kinds=option(list[str], "--baseline", help="feed-forward, random; default: both."),
)
def control(given: Given) -> None:
    """Let a recurrent policy learn to act by CMA-ES, and judge it on fresh episodes beside one without memory.

    Every key of the configuration can be given as KEY=VALUE; the usual ones are also flags.
    """
    from rnnkit import api

    train_and_show(given, api.Policy, api.control_table)
