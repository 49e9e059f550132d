"""How varied texts are, against counts by hand."""

from rnnkit.metrics import distinct


def test_different_ngrams_over_all_of_them() -> None:
    texts = ["a b a b", "a b", "c", ""]
    assert distinct(texts, 1) == 3 / 7
    assert distinct(texts, 2) == 2 / 4  # "a b" three times, "b a"; none crosses from one text into the next
    assert distinct(["", "x"], 2) == 0.0
    assert distinct([], 1) == 0.0
