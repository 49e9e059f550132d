"""copied: how much of what a language model writes stands word for word in what it was trained on; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import data
from rnnkit.api.comparison import read_metrics
from rnnkit.errors import ArgumentError, BundleError, DataError
from rnnkit.metrics import memorization

_MOST_SHOWN = 80  # characters of a span


def copied(
    run: str | Path, text: str, *, model: Any, sources: str | Path | Sequence[str | Path] | None = None, n: int = 8
) -> dict[str, Any]:
    """Compare a text with the training text of a run, in the model's tokens, beside held-out text of the same length.

    Args:    text: for example what the model wrote.  model: of the run.
             sources: of the training text; None: those that the run names.  n: length of the n-grams looked up.
    Returns: `longest_span` in tokens, `longest_text`, `ngram_share` of its n-grams, `n`, `num_tokens`; `held_out`: the
             same of the held-out text, which nobody can have copied; a model that copies is far above it.
    Raises:  DataError where the training text is no longer there; BundleError for a run that does not say which it is;
             ArgumentError for an empty text.
    Cost:    reads and encodes the training text; see `rnnkit.metrics.memorization`.
    """
    ids = np.asarray(model.tokenizer.encode(text), dtype=np.int64)
    if not len(ids):
        raise ArgumentError("text has no token, so that nothing of it can be copied; give a longer one")
    prepared = _training_text(run, model.tokenizer, sources)
    train = np.asarray(prepared.train.tokens)
    held_out = np.asarray(prepared.held_out.tokens[: len(ids)])
    values = {**_of(ids, train, n), "num_tokens": len(ids)}
    span = ids[values["longest_start"] : values["longest_start"] + values["longest_span"]]
    values["longest_text"] = model.tokenizer.decode(span.tolist())[:_MOST_SHOWN]
    return {**values, "held_out": {**_of(held_out, train, n), "num_tokens": len(held_out)}}


def said_of(found: dict[str, Any]) -> str:
    """`copied`'s result in a sentence or two."""
    other = found["held_out"]
    return (
        f"{found['longest_span']} of {found['num_tokens']:,} tokens in a row stand in the training text "
        f"({found['longest_text']!r}), and {found['ngram_share']:.1%} of its {found['n']}-grams; of held-out text of "
        f"{other['num_tokens']:,} tokens {other['longest_span']} in a row, and {other['ngram_share']:.1%}"
    )


def _of(ids: np.ndarray, train: np.ndarray, n: int) -> dict[str, Any]:
    return memorization(ids, train, n=n).to_dict()


def _training_text(run: str | Path, tokenizer: Any, sources: Any) -> data.Prepared:
    try:
        settings = read_metrics(run)["config"]["data"]
        given = settings["sources"] if sources is None else [sources] if isinstance(sources, str | Path) else sources
        how = {"encoding": settings["encoding"], "as_bytes": settings["as_bytes"]}
        how |= {"held_out_sources": settings["test_sources"]}
        how |= {} if settings["test_sources"] else {"held_out": settings["held_out"]}
    except (KeyError, TypeError) as error:
        raise BundleError(f"{run} does not say what it was trained on ({error!r}); train again") from None
    try:
        return data.prepare(given, tokenizer=tokenizer, **how)
    except (DataError, OSError) as error:
        raise DataError(f"the training text cannot be read: {error}; it is looked for where it was") from None
