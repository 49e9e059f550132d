"""Universal parts of speech of the English Web Treebank: a BiLSTM over words and their characters, and an HMM.

Reproduces: 17 tags on the treebank's own split, 12,544 / 2,001 / 2,077 sentences, without outside vectors.
Expected:   at least 94.5 % of the test words right (BiLSTMs with pretrained vectors: 95 to 96 %).
Takes:      about four minutes on one core.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
train, valid, test = (recipe.data(f"pos/ud_english_ewt/en_ewt-ud-{part}.conllu") for part in ("train", "dev", "test"))
metrics = recipe.tag("lstm", [train], valid_sources=[str(valid)], test_sources=[str(test)], epochs=8, seeds=3)
accuracies = {row["name"]: row["accuracy"] for row in metrics["baselines"]}
mean = metrics["model"]["seeds_mean"]
recipe.claim("UPOS accuracy, mean of three seeds", mean, at_least=0.945)
recipe.claim("mean UPOS accuracy over the HMM's", mean - accuracies["hmm"], above=0.0)
recipe.finish(main=metrics)
