"""Seven languages of 0s and 1s, from texts of up to 40 characters to texts of 400: a tanh RNN of 32 units on Tomita's.

Each of the seven networks sees 8,000 texts (some more than once: the smallest language has one text of each length, and
short ones are preferred) and chooses its weights on 1,000 more of up to 160 characters. It is judged on 4,000 texts of
0 to 400 characters, every length as likely as any other, half of them in the language; of the others half are one to
three edits away from one that is. Three seeds of weights and order each, on the same texts; a network that is wrong
about one of the texts to choose by begins anew from other weights, at most three times.

Reproduces: the languages of Tomita 1982; recipes/results has the share right for each tenth of the lengths.
Expected:   7 of 7 right about every text, from each of the three seeds. Bags of 1- to 4-grams are near chance where one
            counts.
Takes:      about ten minutes.
"""

from _recipe import Recipe

recipe = Recipe(__doc__)
runs = [recipe.recognize(f"tomita-{number}", num_test=4000, seeds=3, restarts=3) for number in range(1, 8)]
for metrics in runs:
    name, (spec,) = metrics["model"]["name"], metrics["config"]["data"]["sources"]
    worst = min(row["accuracy"][name] for row in metrics["lengths"])
    recipe.claim(f"{spec}, accuracy on the worst tenth of the lengths up to 400", worst, at_least=1.0)
    recipe.claim(f"{spec}, accuracy, mean of three seeds", metrics["model"]["seeds_mean"], at_least=1.0)
recipe.finish(main=runs[0])
