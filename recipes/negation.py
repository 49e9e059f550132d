"""Should you see this movie? Sentences that no bag of n-grams can tell apart, because they are made of the same ones.

Every sentence speaks of a movie and of a play and says of exactly one of them "not", anywhere before it:
"you should not see again soon this movie but you should see quite often that play". Both labels share all unigrams,
bigrams and so on up to n-grams of four words: only the order over a distance tells what "not" belongs to.

Reproduces: 4,000 sentences made by this script from a seed, a fifth held out.
Expected:   LSTMs right at least 99 % of the time, every bag of n-grams (up to 2, and up to 4 words) at most 60 %.
Takes:      about two minutes.
"""

import random

from _recipe import Recipe

FILLERS = ["again", "soon", "quite", "often", "maybe", "once", "tonight", "alone", "today", "indeed", "then", "just"]


def sentence(rng: random.Random) -> tuple[str, str]:
    """(label, text): whether the movie is the one to see."""
    is_negated = {"this movie": rng.random() < 0.5}
    is_negated["that play"] = not is_negated["this movie"]
    clauses = []
    for thing in rng.sample(sorted(is_negated), 2):
        fillers = " ".join(rng.choices(FILLERS, k=rng.randint(2, 4)))
        clauses.append(f"you should {'not ' if is_negated[thing] else ''}see {fillers} {thing}")
    return ("skip it" if is_negated["this movie"] else "see it"), " but ".join(clauses)


recipe = Recipe(__doc__)
rng = random.Random(recipe.seed)
table = recipe.made("sentences", [sentence(rng) for _ in range(4000)])
runs = {
    order: recipe.classify(
        f"{'bi-' if order == 4 else ''}lstm-beside-{order}-grams",
        [table],
        epochs=12,
        ngram_order=order,
        bidirectional=order == 4,
        readout=["last"],
        hidden_size=64,
        embedding_size=32,
        lr=5e-3,
        word_dropout=0.0,
    )
    for order in (2, 4)
}
for order, metrics in runs.items():
    recipe.claim(f"{metrics['model']['name']}, accuracy", metrics["model"]["accuracy"], at_least=0.99)
    for row in metrics["baselines"]:
        recipe.claim(f"{row['name']} on n-grams up to {order}, accuracy", row["accuracy"], at_most=0.6)
recipe.finish(main=runs[2])
