"""Slot errors: what a text that is made from a record leaves out, and what it says too often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.metrics.resampling import interval


def slot_counts(
    wanted: Sequence[Mapping[str, int]], outputs: Sequence[str], words: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Of every output the slots that are missing, those that are redundant, and those wanted, int64 [N, 3].

    For each slot of `words` the output should have as many words of it, cut at spaces, as it is wanted: fewer are
    missing, more are redundant. A slot with a value to fill in has its placeholder as its word, so outputs are given
    delexicalised; one that is a mere yes or no has words that speak of it, which is an approximation.

    Args:   wanted: how often each record has each slot.  words: of each slot.
    Raises: ArgumentError for a wanted slot without words.
    Source: Wen et al. 2015, "Semantically conditioned LSTM-based natural language generation", section 4.2:
            ERR = (missing + redundant) / slots.
    """
    if len(wanted) != len(outputs):
        raise ArgumentError(f"{len(wanted)} records and {len(outputs)} outputs do not pair up; give as many of both")
    slot_of = {word: slot for slot, own in words.items() for word in own}
    counts = np.zeros((len(wanted), 3), np.int64)
    for row, (own, output) in enumerate(zip(wanted, outputs, strict=True)):
        if unknown := [slot for slot in own if slot not in words]:
            raise ArgumentError(f"record {row} wants the slot {unknown[0]!r}, of which `words` has none; name some")
        said = dict.fromkeys(words, 0)
        for word in output.split():
            if word in slot_of:
                said[slot_of[word]] += 1
        apart = [count - own.get(slot, 0) for slot, count in said.items()]
        counts[row] = (-sum(d for d in apart if d < 0), sum(d for d in apart if d > 0), sum(own.values()))
    return counts


def slot_error(sums: np.ndarray) -> np.ndarray:
    """(missing + redundant) / wanted of sums [R, 3] -> [R]."""
    return (sums[:, 0] + sums[:, 1]) / np.maximum(sums[:, 2], 1)


def slot_figures(counts: np.ndarray) -> dict[str, float]:
    """The slot error rate of [N, 3] counts with the middle 95 % over resampled records, for metrics.json."""
    low, high = interval(counts, slot_error)
    missing, redundant, wanted = counts.sum(0).tolist()
    return {
        "slot_error": float(slot_error(counts.sum(0)[None])[0]),
        "slot_error_low": low,
        "slot_error_high": high,
        "slots_missing": missing,
        "slots_redundant": redundant,
        "num_slots": wanted,
    }
