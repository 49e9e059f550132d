"""Where does a surname come from? 20,050 names in 18 languages by their letters: an LSTM against n-grams of them.

Reproduces: the names of PyTorch's tutorial on classifying names, a fifth of every language held out.
Expected:   the LSTM and a linear model of n-grams of up to 4 characters that decides with it (`--ngrams 4`), in the
            mean of three seeds above logistic regression on the same n-grams with their ends marked. Many names stand
            under several languages, so nobody gets all of them right; the LSTM alone ties with it.
Takes:      about two minutes.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
metrics = recipe.classify(
    "lstm",
    [recipe.data("classification/names")],
    seeds=3,
    epochs=15,
    hidden_size=128,
    embedding_size=64,
    readout=["last", "max", "mean"],
    input_dropout=0.2,
    word_dropout=0.02,
    output_dropout=0.5,
    label_smoothing=0.1,
    batch_size=32,
    lr=5e-3,
    ema=0.999,
    ngrams=4,
    precision="bf16",
)
accuracies = {row["name"]: row["accuracy"] for row in metrics["baselines"]}
bound = accuracies["logistic-regression"]
recipe.claim("accuracy, mean of three seeds", metrics["model"]["seeds_mean"], above=bound)
recipe.finish(main=metrics)
