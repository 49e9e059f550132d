"""Is a review for or against its film? SST-2's sentences: an LSTM, three times, against naive Bayes.

Reproduces: the binary Stanford Sentiment Treebank in whole sentences: 6,920 to train on, 872 to choose by, 1,821 to
            judge.
Expected:   without anything outside at least 80.5 % right, the mean of three seeds (naive Bayes 82.5 %, logistic
            regression 81.0 %, both on words and pairs of words). MR is no part of it: most test sentences stand there.
Takes:      about three minutes.
"""

from pathlib import Path

from _recipe import Recipe

LABELS = {"0": "negative", "1": "positive"}


def part(name: str) -> Path:
    """A part as a table: in the files the label is a line's first character."""
    lines = recipe.data(f"classification/sst/stsa.binary.{name}").read_text(encoding="utf-8").splitlines()
    return recipe.made(name, [(LABELS[line[0]], line[2:].strip()) for line in lines])


recipe = Recipe(__doc__)
train, valid, test = part("train"), part("dev"), part("test")
metrics = recipe.classify(
    "lstm",
    [train],
    epochs=6,
    valid_sources=[str(valid)],
    test_sources=[str(test)],
    seeds=3,
    min_count=2,
    hidden_size=64,
    embedding_size=128,
    readout=["max", "mean", "last"],
    word_dropout=0.3,
    embedding_dropout=0.3,
    input_dropout=0.3,
    output_dropout=0.5,
    label_smoothing=0.1,
    ema=0.99,
)
recipe.claim("accuracy, mean of three seeds", metrics["model"]["seeds_mean"], at_least=0.805)
recipe.finish(main=metrics)
