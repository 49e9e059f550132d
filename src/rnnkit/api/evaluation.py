"""Judge a trained model on a new text, beside the baselines that were saved with it; no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit import data
from rnnkit.baselines import BackoffModel, NgramModel, ngram_name
from rnnkit.runtime import WindowMLP
from rnnkit.tasks.lm_score import scores

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
) -> dict[str, Any]:
    """As `LanguageModel.evaluate`."""
    metrics = model.metrics
    sources = [sources] if isinstance(sources, str | Path) else sources
    documents = data.read_documents(sources, encoding=encoding, as_bytes=as_bytes)
    with tempfile.TemporaryDirectory(prefix="rnnkit-") as cache:  # memory-mapped: the text may be larger than memory
        corpus = data.Corpus.build(documents, model.tokenizer, Path(cache) / "text.tokens")

        def row(trained: dict[str, Any], scorer: LanguageModel | BackoffModel | WindowMLP) -> dict[str, Any]:
            values = {key: trained[key] for key in _OF_THE_MODEL if key in trained}
            values |= scores(scorer, corpus, model.tokenizer, with_lines=reset_per_line)
            if isinstance(scorer, BackoffModel):
                values["unseen_share"] = float(scorer.unseen_share(corpus.tokens, corpus.document_starts)[-1])
            return values

        assert model.path is not None  # model.metrics has seen to it
        report = {"model": row(metrics["model"], model), "baselines": []}
        for trained in metrics["baselines"]:
            name = ngram_name(trained["n"]) if "n" in trained else trained["name"]
            folder = model.path / "baselines" / name.lower()
            baseline = NgramModel.load(folder) if "n" in trained else WindowMLP.load(folder)
            report["baselines"].append(row(trained, baseline))
    return report
