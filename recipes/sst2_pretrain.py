"""What does reading an encyclopedia first do for judging reviews? SST-2 from a language model of WikiText-2.

Reproduces: the binary Stanford Sentiment Treebank as in `sst2`, with a language model of WikiText-2 and of the training
            sentences as its start (Howard and Ruder 2018): words are lower-cased and written as SST-2 writes them, a
            sentence is a line, and the training sentences, without labels, stand four times among them.
Expected:   at least 83 % right, the mean of three seeds; naive Bayes and logistic regression beside it.
Takes:      about a quarter of an hour, alone on the machine.
"""

import random
from pathlib import Path

from _recipe import Recipe

LABELS = {"0": "negative", "1": "positive"}
SPELLED = {" @-@ ": "-", " @,@ ": ",", " @.@ ": "."}


def sentences(name: str) -> list[tuple[str, str]]:
    """(label, text): in the files the label is a line's first character."""
    lines = recipe.data(f"classification/sst/stsa.binary.{name}").read_text(encoding="utf-8").splitlines()
    return [(LABELS[line[0]], line[2:].strip()) for line in lines]


def texts() -> Path:
    """WikiText-2's sentences, then the training sentences in four orders."""
    content = recipe.data("lm_word/wikitext2/train.txt").read_text(encoding="utf-8").lower()
    for spelled, plain in SPELLED.items():
        content = content.replace(spelled, plain)
    paragraphs = [line.strip() for line in content.splitlines() if line.strip() and not line.startswith(" =")]
    lines = [line for paragraph in paragraphs for line in paragraph.replace(" . ", " .\n").split("\n")]
    draw, own = random.Random(0), [text for _, text in sentences("train")]
    for _ in range(4):
        lines += draw.sample(own, len(own))
    return recipe.made_text("wikitext2", lines)


recipe = Recipe(__doc__)
train, valid, test = (recipe.made(part, sentences(part)) for part in ("train", "dev", "test"))
metrics = recipe.classify(
    "lstm",
    [train],
    epochs=4,
    pretrain=[str(texts())],
    pretrain_epochs=0.05 if recipe.is_quick else 1.5,
    unfreeze_every=0.3,
    rate_decay=1.6,
    valid_sources=[str(valid)],
    test_sources=[str(test)],
    seeds=3,
    vocab_size=20_000,
    hidden_size=400,
    embedding_size=256,
    bidirectional=False,
    precision="bf16",
    readout=["max", "mean", "last"],
    word_dropout=0.2,
    input_dropout=0.3,
    output_dropout=0.5,
    label_smoothing=0.1,
    lr=3e-3,
    ema=0.99,
)
recipe.claim("accuracy, mean of three seeds", metrics["model"]["seeds_mean"], at_least=0.83)
recipe.finish(main=metrics)
