"""Judge a trained model on a new text, beside the baselines that were saved with it; no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit import data, runtime
from rnnkit.api.comparison import read_metrics
from rnnkit.baselines import (
    ArpaModel,
    BackoffModel,
    NgramModel,
    TwoSidedNgramModel,
    UniformModel,
    ngram_name,
    write_arpa,
)
from rnnkit.errors import ArgumentError, RnnkitError, UnsafePathError
from rnnkit.metrics import LanguageModelScore, PseudoLikelihoodScore
from rnnkit.runtime import WindowMLP
from rnnkit.tasks.lm_score import scores, total_by_line, two_sided_name

if TYPE_CHECKING:
    from rnnkit.api.bidirectional import BidirectionalLanguageModel
    from rnnkit.api.language_model import LanguageModel

_Baseline = BackoffModel | TwoSidedNgramModel | UniformModel | WindowMLP
_UNIFORM = "uniform"
_LINES = 512  # scored side by side

# What a row keeps from training: it belongs to the model and not to the text.
_OF_THE_MODEL = ("name", "n", "num_train_tokens", "bytes", "num_parameters", "train_seconds")


def evaluate(
    model: LanguageModel | BidirectionalLanguageModel,
    sources: str | Path | Sequence[str | Path],
    *,
    reset_per_line: bool = False,
    encoding: str = "utf-8",
    as_bytes: bool = False,
    arpa: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """As `LanguageModel.evaluate`, or as the bidirectional one's."""
    metrics = _metrics(model)
    measure = PseudoLikelihoodScore if isinstance(model, runtime.BidirectionalLanguageModel) else LanguageModelScore
    foreign = [ArpaModel(path, model.tokenizer) for path in arpa]
    sources = [sources] if isinstance(sources, str | Path) else sources
    documents = data.read_documents(sources, encoding=encoding, as_bytes=as_bytes)
    with tempfile.TemporaryDirectory(prefix="rnnkit-") as cache:  # memory-mapped: the text may be larger than memory
        corpus = data.Corpus.build(documents, model.tokenizer, Path(cache) / "text.tokens")

        def row(trained: dict[str, Any], scorer: Any) -> dict[str, Any]:
            values = {key: trained[key] for key in _OF_THE_MODEL if key in trained}
            if isinstance(scorer, ArpaModel) and scorer.has_sentences:  # a line is all it can see
                nll = total_by_line(scorer, corpus, model.tokenizer)
                by_line = scores(scorer, corpus, model.tokenizer, nll=nll, with_lines=False)
                return values | by_line | ({"reset_per_line": by_line} if reset_per_line else {})
            values |= scores(scorer, corpus, model.tokenizer, with_lines=reset_per_line, measure=measure)
            if isinstance(scorer, TwoSidedNgramModel):
                values["unseen_share"] = scorer.unseen_share(corpus.tokens, corpus.document_starts)
            if isinstance(scorer, BackoffModel):
                values["unseen_share"] = float(scorer.unseen_share(corpus.tokens, corpus.document_starts)[-1])
            return values

        report = {"model": row(metrics["model"], model), "baselines": []}
        for trained in metrics["baselines"]:
            report["baselines"].append(row(trained, _baseline(trained, model)))
        for scorer in foreign:
            own = {"name": scorer.path.name, "n": scorer.order, "bytes": scorer.path.stat().st_size}
            report["baselines"].append(row(own, scorer))
    return report


def score_lines(
    model: LanguageModel | BidirectionalLanguageModel, lines: Iterable[str | bytes]
) -> Iterator[dict[str, Any]]:
    """As `LanguageModel.score_lines`, or as the bidirectional one's."""
    metrics, waiting, first = _metrics(model), iter(lines), 1
    best = min(metrics["baselines"], key=lambda row: row.get("nll", 0.0))
    scorers = {"model": (metrics["model"]["name"], model), "baseline": (best["name"], _baseline(best, model))}
    while group := list(islice(waiting, _LINES)):
        encoded = []
        for number, line in enumerate(group, start=first):
            try:
                encoded.append(model.tokenizer.encode(line))
            except RnnkitError as error:
                raise type(error)(f"line {number}: {error}") from None
        first += len(group)
        starts = np.cumsum([0, *map(len, encoded)])
        ids = np.concatenate(encoded)
        costs = {key: scorer.nll(ids, document_starts=_of_lines(starts)) for key, (_, scorer) in scorers.items()}
        for line, line_ids, start in zip(group, encoded, starts, strict=False):
            row: dict[str, Any] = {"text": line if isinstance(line, str) else line.decode(errors="replace")}
            row["num_tokens"] = len(line_ids)
            unknown = 0 if model.tokenizer.unk_id is None else int((line_ids == model.tokenizer.unk_id).sum())
            for key, (name, _) in scorers.items():
                nll = float(costs[key][start : start + len(line_ids)].sum()) + unknown * model.tokenizer.unknown_nats
                row[key] = {"name": name, "nll": nll, "nats_per_token": nll / max(len(line_ids), 1)}
            yield row


def _of_lines(starts: np.ndarray) -> np.ndarray:
    """Where the lines that have a token begin."""
    return np.unique(starts[starts < starts[-1]])


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


def _metrics(model: LanguageModel | BidirectionalLanguageModel) -> dict[str, Any]:
    """metrics.json of a run; of a bundle that no training here made, the model's name and a uniform guess to beat.

    Raises: MissingFileError for a run that is not finished.
    """
    if model.path is not None and ((model.path / "metrics.json").exists() or (model.path / "run.yaml").exists()):
        return model.metrics
    own = {"name": model.config["model"]["cell"], "num_parameters": model.num_parameters}
    return {"model": own, "baselines": [{"name": _UNIFORM}]}


def _baseline(row: dict[str, Any], model: LanguageModel | BidirectionalLanguageModel) -> _Baseline:
    """What a row of `_metrics` was judged from."""
    if row["name"] == _UNIFORM:
        return UniformModel(model.vocab_size)
    assert model.path is not None  # else there were no metrics
    if isinstance(model, runtime.BidirectionalLanguageModel):
        return TwoSidedNgramModel.load(model.path / "baselines" / two_sided_name(row["n"]).lower())
    folder = _folder_of(row, model.path)
    return NgramModel.load(folder) if "n" in row else WindowMLP.load(folder)


def _folder_of(row: dict[str, Any], run: Path) -> Path:
    """Where a baseline was saved. Raises: UnsafePathError for a name that leads elsewhere: no digest guards metrics."""
    name = (ngram_name(row["n"]) if "n" in row else row["name"]).lower()
    if name != Path(name).name:
        raise UnsafePathError(f"{run / 'metrics.json'} names the baseline {name!r}, which is no name; train again")
    return run / "baselines" / name
