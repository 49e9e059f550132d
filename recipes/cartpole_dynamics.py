"""Learn how a cart with a pole moves from random play, and roll it out: a recurrent simulator beside a window's MLP.

Reproduces: CartPole-v1 of Gymnasium, pushed left and right at random from its own starts; the limits that end an
            episode are lifted, so that the pole also falls. 250 episodes of 52 steps are records: pushes in, the four
            numbers of the state out. Of every held-out one two are given, and the next 50 told from pushes alone.
Expected:   an error over these 50 steps below that of the MLP on a window of the same lags, on the same episodes.
Takes:      about three minutes on one thread.
"""

from __future__ import annotations

import numpy as np
from _recipe import Recipe

COLUMNS = ("cart_position", "cart_velocity", "pole_angle", "pole_velocity")
CHOICES = {
    "input_columns": ("push",), "output_columns": COLUMNS, "record_column": "episode", "sample_rate": 50.0,
    "delay": 1, "input_lags": 2, "output_lags": 2, "start_steps": 2, "forced_steps": 2, "window_steps": 50,
    "cell": "gru_after", "hidden_size": 32, "batch_size": 32, "lr": 5e-3, "threads": 1,
}  # fmt: skip  # the first ones that were tried
EPISODES, STEPS = 250, 52


def random_play(seed: int) -> list[list[float]]:
    """[episode, push, state …] of every step. An episode that Gymnasium would end goes on."""
    import gymnasium

    cart = gymnasium.make("CartPole-v1", disable_env_checker=True).unwrapped
    cart.x_threshold = cart.theta_threshold_radians = np.inf  # type: ignore[attr-defined]
    pushes = np.random.Generator(np.random.Philox(seed)).integers(0, 2, (EPISODES, STEPS)).tolist()
    rows = []
    for episode, of in enumerate(pushes):
        state, _ = cart.reset(seed=EPISODES * seed + episode)
        for push in of:
            rows.append([episode, 2 * push - 1, *map(float, state)])
            state, *_ = cart.step(push)
    return rows


if __name__ == "__main__":
    recipe = Recipe(__doc__)
    table = recipe.made_table("play", [("episode", "push", *COLUMNS), *random_play(recipe.seed)])
    metrics = recipe.dynamics("simulator", [table], max_steps=900, **CHOICES)
    peer = next(row for row in metrics["baselines"] if row["name"] == "window-mlp")
    recipe.claim("NRMSE over 50 steps", metrics["model"]["nrmse"], below=peer["nrmse"])
    recipe.finish(main=metrics)
