"""Balance a pole while velocities are hidden: a recurrent policy by CMA-ES, beside the same network without memory.

Reproduces: CartPole-v1 of Gymnasium, of which the policy sees the cart's position and the pole's angle alone (Wieland
            1991 gave such carts to recurrent networks). An episode ends after 500 steps, which is the best return.
Expected:   a mean return of 475 or more, which Gymnasium calls solved, over 100 episodes with seeds that neither
            trained nor chose the weights; of the network that begins anew at every step at most 200.
Takes:      about a minute on one thread, a few where other programs want it, too.
"""

from __future__ import annotations

from _recipe import Recipe

CHOICES = {"hide": ("cart_velocity", "pole_velocity"), "target": 500}
recipe = Recipe(__doc__)
metrics = recipe.control("policy", "CartPole-v1", generations=120, **CHOICES)
forgetting = next(row for row in metrics["baselines"] if row["name"] == "feed-forward")
recipe.claim("mean return, velocities hidden", metrics["model"]["mean_return"], at_least=475)
recipe.claim("mean return without memory", forgetting["mean_return"], at_most=200)
recipe.finish(main=metrics)
