"""Who says "ae"? Nine speakers by 7 to 29 steps of 12 cepstrum coefficients: an LSTM against dynamic time warping.

Reproduces: JapaneseVowels of the UEA archive, its 270 training and 370 test series.
Expected:   at least 97 % right, the mean of three seeds (1-nearest-neighbour DTW: 94.9 %).
Takes:      about a minute.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
train, test = (
    recipe.data(f"sequence_classification/JapaneseVowels/JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")
)
runs = [recipe.classify(f"seed-{seed}", [train], test_sources=[str(test)], epochs=40, seed=seed) for seed in range(3)]
accuracies = [metrics["model"]["accuracy"] for metrics in runs]
recipe.claim("accuracy, mean of three seeds", sum(accuracies) / len(accuracies), at_least=0.97)
recipe.finish(main=runs[0])
