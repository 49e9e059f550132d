"""The automata inside eight recognisers, by L*: Tomita's seven languages exactly, and e-mail addresses as typed.

A tanh RNN of 32 units for each of Tomita's languages, a GRU for the addresses, each trained on examples alone; then L*
with the network as oracle, and the automaton that it finds is compared with the language exactly, and with the network
on 100,000 fresh texts: a quarter of the language, a quarter near misses and others outside it, half random. Of the
addresses' network learning ends where both differ on at most one in a thousand of the texts tried.

Reproduces: extraction as of Weiss, Goldberg and Yahav 2018, arXiv:1711.09576, on the languages of Tomita 1982.
Expected:   7 of 7 minimal automata, in under five minutes; for the addresses as good as no
            disagreement on 100,000 texts, and those that there are listed.
Takes:      about ten minutes.
"""

import time

from _recipe import Recipe

from rnnkit import api
from rnnkit.api import curves

ADDRESS = r"[a-z0-9]+([._+-][a-z0-9]+)*@([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,6}"
SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789._+-@ ,"


def extracted(name: str, metrics: dict, **options: object) -> dict:
    """The report on a run's automaton, as a row of the result."""
    folder, started = recipe.runs.pop(name), time.perf_counter()
    found = api.explain_automaton(folder, num_checks=1000 if recipe.is_quick else 100_000, **options)
    seconds, check = time.perf_counter() - started, found["check"]
    row = {
        "name": "automaton",
        "language": name,
        "num_states": found["num_states"],
        "num_queries": found["num_queries"],
        "is_equal": found["is_equal"],
        "num_different": check["num_different"],
        "count": check["count"],
        "automaton_wrong": check["automaton_wrong"],
        "us_per_text": 1e6 * check["seconds"]["automaton"] / check["count"],
        "extract_seconds": seconds,
        "train_seconds": metrics["train_seconds"],
    }
    network = {
        "name": "network",
        "network_wrong": check["network_wrong"],
        "accuracy": 1 - check["network_wrong"] / check["count"],
        "us_per_text": 1e6 * check["seconds"]["network"] / check["count"],
    }
    different = {"different": check["different"], "shortest_difference": found["shortest_difference"]}
    recipe.table(name, model=row, baselines=[network], **different)
    print(row, network, different, flush=True)
    return row


def picture(rows: list[dict]) -> bytes:
    """States found, and questions asked."""
    made, (axes,) = curves.figure(1)
    names = [f"{row['language']}: {row['num_states']} states" for row in rows]
    axes.barh(range(len(rows)), [row["num_queries"] for row in rows])
    axes.set_yticks(range(len(rows)), names)
    axes.set(xscale="log", xlabel="texts that the network was asked about while learning")
    return curves.png(made)


recipe = Recipe(__doc__)
first, rows = None, []
for number in range(1, 8):
    name = f"tomita-{number}"
    metrics = recipe.recognize(name, epochs=8, restarts=3, num_test=1000, kinds=["majority"])
    first = first or metrics
    rows.append(extracted(name, metrics))
recipe.claim("Tomita 1 to 7, minimal automata recovered exactly", sum(row["is_equal"] for row in rows), at_least=7)
recipe.claim("Tomita 1 to 7, texts of 700,000 on which network and automaton disagree",
             sum(row["num_different"] for row in rows), at_most=0)  # fmt: skip
seconds = sum(row["extract_seconds"] for row in rows)
recipe.claim("Tomita 1 to 7, seconds of extraction and comparison together", seconds, below=300)

how = {"symbols": SYMBOLS, "test_longest": 80, "short_bias": 0, "num_train": 16_000, "cell": "gru_after"}
metrics = recipe.recognize(ADDRESS, run="e-mail addresses", restarts=3, kinds=["majority"], **how)
row = extracted("e-mail addresses", metrics, tolerance=1e-3)
recipe.claim("e-mail addresses, texts on which network and automaton were compared", row["count"], at_least=100_000)
rows.append(row)
for what, key in (
    ("on which they disagree", "num_different"),
    ("about which the automaton is wrong", "automaton_wrong"),
):
    recipe.claim(f"e-mail addresses, share of them {what}", row[key] / row["count"], at_most=1e-3)
assert first is not None
recipe.finish(main=first, picture=picture(rows))
