"""Where does a surname come from? 20,050 names in 18 languages by their letters: an LSTM against n-grams of them.

Reproduces: the names of PyTorch's tutorial on classifying names, a fifth of every language held out.
Expected:   the LSTM above logistic regression on n-grams of up to 4 characters with their ends marked. Many names stand
            under several languages, so nobody gets all of them right. The lead is small: a paired test calls it a tie.
Takes:      about six minutes, alone on the machine.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
metrics = recipe.classify(
    "lstm",
    [recipe.data("classification/names")],
    epochs=30,
    hidden_size=256,
    embedding_size=64,
    readout=["last", "max"],
    input_dropout=0.2,
    output_dropout=0.5,
    weight_dropout=0.4,
    label_smoothing=0.1,
    batch_size=64,
    lr=3e-3,
    ema=0.999,
)
accuracies = {row["name"]: row["accuracy"] for row in metrics["baselines"]}
recipe.claim("accuracy", metrics["model"]["accuracy"], above=accuracies["logistic-regression"])
recipe.finish(main=metrics)
