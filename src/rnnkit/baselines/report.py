"""Judge n-grams of several orders on one text: rows for the table, and a picture of what a longer context costs."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rnnkit import durable
from rnnkit.baselines.backoff import token_array
from rnnkit.baselines.ngram import NgramModel
from rnnkit.errors import MissingExtraError
from rnnkit.metrics import LanguageModelScore

MAX_TRAIN_TOKENS = 20_000_000
"""Of a longer text the n-grams count only so many leading tokens: counting takes some 60 bytes for each, beside models
that grow with the text as well. Rows say so in their name."""


@dataclass(frozen=True, kw_only=True)
class NgramRow:
    """One order, fitted and scored."""

    model: NgramModel
    num_train_tokens: int  # counted
    is_partial: bool  # the training text is longer
    score: LanguageModelScore
    unseen_share: float  # of the test text's n-grams of this length
    train_seconds: float

    @property
    def name(self) -> str:
        part = f" (first {self.num_train_tokens:,} tokens)" if self.is_partial else ""
        return ngram_name(self.model.order) + part

    def to_dict(self) -> dict[str, Any]:
        """The row as metrics.json has it under `baselines`."""
        return {
            "name": self.name,
            "n": self.model.order,
            "num_train_tokens": self.num_train_tokens,
            **self.score.to_dict(),
            "unseen_share": self.unseen_share,
            "bytes": self.model.num_bytes,
            "train_seconds": self.train_seconds,
        }


def ngram_name(order: int) -> str:
    """What the table calls the n-gram of this order."""
    return "unigram" if order == 1 else f"Kneser-Ney-{order}"


def ngram_table(
    train_tokens: ArrayLike,
    test_tokens: ArrayLike,
    *,
    vocab_size: int,
    begin_id: int,
    num_characters: int,
    num_bytes: int,
    unit: str,
    train_starts: ArrayLike | None = None,
    test_starts: ArrayLike | None = None,
    orders: Iterable[int] = range(1, 7),
) -> list[NgramRow]:
    """Fit and score one modified Kneser-Ney model per order.

    Args:
        train_tokens, test_tokens: ids [N], [M]; memory-mapped, they may be larger than memory. The first
            `MAX_TRAIN_TOKENS` of the former are counted.
        train_starts, test_starts: the index of each document's first token; None is one document.
        num_characters, num_bytes, unit: of the test text, as in `LanguageModelScore`.
    """
    train_tokens = token_array(train_tokens)
    counted = train_tokens[:MAX_TRAIN_TOKENS]
    if train_starts is not None:
        train_starts = np.asarray(train_starts)
        train_starts = train_starts[train_starts < len(counted)]
    rows = []
    for order in orders:
        started = time.perf_counter()
        model = NgramModel.fit(
            counted, order=order, vocab_size=vocab_size, begin_id=begin_id, document_starts=train_starts
        )
        seconds = time.perf_counter() - started
        score = LanguageModelScore(
            nll=model.total_nll(test_tokens, test_starts),
            num_tokens=len(token_array(test_tokens)),
            num_characters=num_characters,
            num_bytes=num_bytes,
            unit=unit,
        )
        rows.append(
            NgramRow(
                model=model,
                num_train_tokens=len(counted),
                is_partial=len(counted) < len(train_tokens),
                score=score,
                unseen_share=float(model.unseen_share(test_tokens, test_starts)[-1]),
                train_seconds=seconds,
            )
        )
    return rows


def draw_bytes_and_unseen(rows: Sequence[NgramRow], path: str | Path) -> None:
    """Draw storage and the share of unseen n-grams against n as a PNG.

    Raises: MissingExtraError without matplotlib, SaveError.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, PercentFormatter
    except ImportError as error:
        raise MissingExtraError("drawing needs matplotlib", extra="train") from error
    blue, orange = "#0072B2", "#D55E00"  # apart for every kind of colour vision (Okabe and Ito 2008)
    orders = [row.model.order for row in rows]
    figure = Figure(figsize=(6.4, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    left.semilogy(orders, [row.model.num_bytes for row in rows], "o-", color=blue)
    left.set_xlabel("n, tokens in the longest n-gram")
    left.set_xticks(orders)
    left.set_ylabel("storage", color=blue)
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    left.tick_params(axis="y", colors=blue)
    left.grid(True, axis="y", color="0.9")
    right = left.twinx()
    right.plot(orders, [row.unseen_share for row in rows], "s--", color=orange, clip_on=False)
    right.set_ylabel("test n-grams never seen in training", color=orange)
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    right.tick_params(axis="y", colors=orange)
    for axes in (left, right):
        axes.spines["top"].set_visible(False)
    left.set_title("What a longer context costs an n-gram model", loc="left", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    durable.write_file(path, buffer.getvalue())


def _size(num_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:g} GB"
