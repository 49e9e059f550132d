"""Judge a trained model on a new text, beside the baselines that were saved with it; no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit import data, runtime
from rnnkit.api.comparison import read_metrics
from rnnkit.baselines import ArpaModel, BackoffModel, NgramModel, ngram_name, write_arpa
from rnnkit.errors import ArgumentError, UnsafePathError
from rnnkit.runtime import WindowMLP
from rnnkit.tasks.lm_score import scores, total_by_line

if TYPE_CHECKING:
    from rnnkit.api.language_model import LanguageModel

# What a row keeps from training: it belongs to the model and not to the text.
_OF_THE_MODEL = ("name", "n", "num_train_tokens", "bytes", "num_parameters", "train_seconds")


def evaluate(
    model: LanguageModel,
    sources: str | Path | Sequence[str | Path],
    *,
    reset_per_line: bool = False,
    encoding: str = "utf-8",
    as_bytes: bool = False,
    arpa: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """As `LanguageModel.evaluate`."""
    metrics = model.metrics
    foreign = [ArpaModel(path, model.tokenizer) for path in arpa]
    sources = [sources] if isinstance(sources, str | Path) else sources
    documents = data.read_documents(sources, encoding=encoding, as_bytes=as_bytes)
    with tempfile.TemporaryDirectory(prefix="rnnkit-") as cache:  # memory-mapped: the text may be larger than memory
        corpus = data.Corpus.build(documents, model.tokenizer, Path(cache) / "text.tokens")

        def row(trained: dict[str, Any], scorer: LanguageModel | BackoffModel | WindowMLP) -> dict[str, Any]:
            values = {key: trained[key] for key in _OF_THE_MODEL if key in trained}
            if isinstance(scorer, ArpaModel) and scorer.has_sentences:  # a line is all it can see
                nll = total_by_line(scorer, corpus, model.tokenizer)
                by_line = scores(scorer, corpus, model.tokenizer, nll=nll, with_lines=False)
                return values | by_line | ({"reset_per_line": by_line} if reset_per_line else {})
            values |= scores(scorer, corpus, model.tokenizer, with_lines=reset_per_line)
            if isinstance(scorer, BackoffModel):
                values["unseen_share"] = float(scorer.unseen_share(corpus.tokens, corpus.document_starts)[-1])
            return values

        assert model.path is not None  # model.metrics has seen to it
        report = {"model": row(metrics["model"], model), "baselines": []}
        for trained in metrics["baselines"]:
            folder = _folder_of(trained, model.path)
            baseline = NgramModel.load(folder) if "n" in trained else WindowMLP.load(folder)
            report["baselines"].append(row(trained, baseline))
        for scorer in foreign:
            own = {"name": scorer.path.name, "n": scorer.order, "bytes": scorer.path.stat().st_size}
            report["baselines"].append(row(own, scorer))
    return report


def export_arpa(run: str | Path, path: str | Path, *, order: int | None = None) -> None:
    """Write an n-gram baseline of a run as an ARPA file, its words as `token_text` shows the tokens.

    Args:   order: tokens in the longest n-gram; None: the highest that the run has.
    Raises: ArgumentError for an order that it has not; BundleError, DataError for a damaged run; SaveError.
    """
    tokenizer = runtime.LanguageModel.load(run).tokenizer
    ngrams = {row["n"]: row for row in read_metrics(run)["baselines"] if "n" in row}
    if not ngrams:
        raise ArgumentError(f"{run} has no n-grams; train with the baselines unigram or kneser-ney")
    chosen = max(ngrams) if order is None else order
    if chosen not in ngrams:
        raise ArgumentError(
            f"{run} has n-grams of the orders {list(ngrams)}, none of {chosen}; choose one, or train with more"
        )
    model = NgramModel.load(_folder_of(ngrams[chosen], Path(run)))
    write_arpa(model, path, token_texts=[tokenizer.token_text(token) for token in range(tokenizer.vocab_size)])


def _folder_of(row: dict[str, Any], run: Path) -> Path:
    """Where a baseline was saved. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
    name = (ngram_name(row["n"]) if "n" in row else row["name"]).lower()
    if name != Path(name).name:
        raise UnsafePathError(f"{run / 'metrics.json'} names the baseline {name!r}, which is no name; train again")
    return run / "baselines" / name
