"""Words of WikiText-2 in 30 minutes on two cores: an LSTM against what can be counted in seconds.

Reproduces: test perplexity over all 33,278 words, one text, the state carried through.
Expected:   the LSTM below Kneser-Ney-5 and below the window MLP (Bengio 2003) trained for the same time.
Takes:      30 minutes for the main model, about 65 in all.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
train, valid, test = (recipe.data(f"lm_word/wikitext2/{part}.txt") for part in ("train", "valid", "test"))

metrics = recipe.train(
    "lstm",
    [train],
    time_limit_s=1800,
    valid_sources=[str(valid)],
    test_sources=[str(test)],
    kind="word",
    cell="lstm",
    embedding_size=256,
    hidden_size=512,
    tied=True,
    input_dropout=0.2,
    output_dropout=0.3,
    batch_size=32,
    window=35,
    lr=2e-3,
    ngram_order=5,
)

lstm = metrics["model"]["perplexity"]
others = {entry["name"]: entry["perplexity"] for entry in metrics["baselines"]}
for name in ("Kneser-Ney-5", "window-mlp"):
    recipe.claim(f"LSTM's perplexity beside {name}", lstm, below=others[name])
recipe.finish(main=metrics)
