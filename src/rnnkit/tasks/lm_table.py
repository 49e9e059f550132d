"""The table of a language-model run: the saved model beside its baselines, on the same tokens, as `metrics.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit import durable
from rnnkit.baselines import NgramRow, draw_bytes_and_unseen, ngram_name, ngram_table
from rnnkit.bundle import strict_json
from rnnkit.runtime import LanguageModel, WindowMLP
from rnnkit.tasks.lm_config import LmConfig
from rnnkit.tasks.lm_score import scores
from rnnkit.tasks.run_facts import run_facts
from rnnkit.tasks.task import TrainingReport

if TYPE_CHECKING:
    from rnnkit.tasks.lm import Texts


def judge(
    run_dir: Path,
    *,
    name: str,
    config: LmConfig,
    texts: Texts,
    report: TrainingReport,
    peers: Sequence[tuple[str, TrainingReport]],
) -> dict[str, Any]:
    """Score the bundle in `run_dir`, its peers in `run_dir/baselines` and the n-grams on all of the test text.

    The state is carried through each document; a row's `reset_per_line` is the other number, with a fresh state for
    every line. Every row scores the same tokens; an unknown one costs the same extra in each (`unknown_nats`).

    Returns: what it writes to `run_dir/metrics.json`.
    """
    model = LanguageModel.load(run_dir)
    row = _row(name, model, run_dir, texts, report)
    baselines = [
        ngram.to_dict() | scores(ngram.model, texts.test, texts.tokenizer, nll=ngram.score.nll)
        for ngram in _ngrams(run_dir, config, texts)
    ]
    for peer, peer_report in peers:
        folder = run_dir / "baselines" / peer
        baselines.append(_row(peer, WindowMLP.load(folder), folder, texts, peer_report))
    metrics = {
        "model": row,
        "baselines": baselines,
        **run_facts(config, report),
        "data": {part: describe(corpus) for part, corpus in texts.parts().items()},
        "peers": {peer: asdict(peer_report) for peer, peer_report in peers},
    }
    durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
    return metrics


def _row(
    name: str, model: LanguageModel | WindowMLP, folder: Path, texts: Texts, report: TrainingReport
) -> dict[str, Any]:
    return {
        "name": name,
        **scores(model, texts.test, texts.tokenizer),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "num_parameters": model.num_parameters,
        "train_seconds": report.seconds,
    }


def _ngrams(run_dir: Path, config: LmConfig, texts: Texts) -> list[NgramRow]:
    """Count and save the n-gram baselines, and draw what a longer context costs them."""
    settings = config.baselines
    orders = [1] if "unigram" in settings.kinds else []
    if "kneser-ney" in settings.kinds:
        orders += range(2, settings.ngram_order + 1)
    rows = ngram_table(
        texts.train.tokens,
        texts.test.tokens,
        vocab_size=texts.tokenizer.vocab_size,
        begin_id=texts.tokenizer.begin_id,
        num_characters=texts.test.num_characters,
        num_bytes=texts.test.num_bytes,
        unit=texts.tokenizer.kind,
        train_starts=texts.train.document_starts,
        test_starts=texts.test.document_starts,
        orders=orders,
    )
    for row in rows:
        row.model.save(run_dir / "baselines" / ngram_name(row.model.order).lower())
    if len(rows) > 1:
        draw_bytes_and_unseen(rows, run_dir / "ngrams.png")
    return rows


def describe(corpus: Any) -> dict[str, Any]:
    """What metrics.json says of a text."""
    return {
        "num_tokens": len(corpus),
        "num_characters": corpus.num_characters,
        "num_bytes": corpus.num_bytes,
        "num_unknown": corpus.num_unknown,
        "fingerprint": corpus.fingerprint,
        **corpus.description,
    }
