"""Every character of Shakespeare from all the others: a bidirectional LSTM beside n-grams that see both sides as well.

1,115,394 characters, the first 90 % trained on, the rest both to choose weights by and to judge on, as in the recipe
shakespeare_char. An LSTM layer of 192 units for each direction meet in one tanh layer under the softmax; the context of
the n-grams are the n - 1 nearest characters on both sides, for n up to 9. The figure is a pseudo-perplexity,
exp of the mean −log p(character | all others): no perplexity compares with it.

Expected:   below the best of the n-grams.
Takes:      two minutes on two free cores.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
metrics = recipe.train(
    "bidirectional",
    [recipe.data("lm_char/tinyshakespeare.txt")],
    both_sides=True,
    hidden_size=192,
    batch_size=32,
    window=64,
    max_steps=2500,
    lr=6e-3,
    precision="auto",
)
best = min(row["pseudo_perplexity"] for row in metrics["baselines"])
recipe.claim("pseudo-perplexity beside the best two-sided n-gram", metrics["model"]["pseudo_perplexity"], below=best)
recipe.finish(main=metrics)
