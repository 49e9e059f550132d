"""Judge a trained model on a new text, beside the baselines that were saved with it; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit import data
from rnnkit.baselines import NgramModel
from rnnkit.errors import DataError
from rnnkit.runtime import WindowMLP
from rnnkit.tasks.lm_score import score

if TYPE_CHECKING:
    from rnnkit.api.language_model import LanguageModel

# What a row keeps from training: it belongs to the model and not to the text.
_OF_THE_MODEL = ("name", "n", "bytes", "num_parameters", "train_seconds")


def evaluate(
    model: LanguageModel,
    sources: str | Path | Sequence[str | Path],
    *,
    reset_per_line: bool = False,
    encoding: str = "utf-8",
    as_bytes: bool = False,
) -> dict[str, Any]:
    """As `LanguageModel.evaluate`."""
    metrics = model.metrics
    sources = [sources] if isinstance(sources, str | Path) else sources
    corpus = data.Corpus.build(data.read_documents(sources, encoding=encoding, as_bytes=as_bytes), model.tokenizer)
    if not len(corpus):
        raise DataError(f"{', '.join(map(str, sources))}: no token to judge on; give a longer text")
    tokens, starts = corpus.tokens, corpus.document_starts

    def row(trained: dict[str, Any], scorer: LanguageModel | NgramModel | WindowMLP) -> dict[str, Any]:
        nll = float(scorer.nll(tokens, document_starts=starts).sum())
        measured = score(nll, corpus, unknown_nats=model.tokenizer.unknown_nats).to_dict()
        kept = {key: trained[key] for key in _OF_THE_MODEL if key in trained}
        if isinstance(scorer, NgramModel):
            measured["unseen_share"] = float(scorer.unseen_share(tokens, starts)[-1])
        return kept | measured

    assert model.path is not None  # model.metrics has seen to it
    report = {"model": row(metrics["model"], model), "baselines": []}
    for trained in metrics["baselines"]:
        folder = model.path / "baselines" / trained["name"].lower()
        baseline = NgramModel.load(folder) if "n" in trained else WindowMLP.load(folder)
        report["baselines"].append(row(trained, baseline))
    if reset_per_line:
        text = model.tokenizer.decode(tokens)
        report["model"]["reset_per_line"] = model.score(text, reset_per_line=True).to_dict()
    return report
