"""The table of a run on pairs of texts: the saved model beside its baselines, on the same sources; torch-free."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit import durable
from rnnkit.bundle import strict_json
from rnnkit.metrics import TranslationScore
from rnnkit.runtime import EncoderDecoder, Transformer
from rnnkit.runtime.writer import Writer
from rnnkit.tasks.run_facts import over_seeds, run_facts
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.translate_config import TranslateConfig
from rnnkit.tasks.translate_score import BASELINES, TRANSFORMER, WrittenBy, fitted, rows_of

if TYPE_CHECKING:
    from rnnkit.data import Pairs
    from rnnkit.tasks.translate import PairsOfTexts, Part

_NUM_WORST = 20
_NUM_SHOWN = 5
_NUM_BUCKETS = 4


def judge(
    run_dir: Path,
    *,
    name: str,
    config: TranslateConfig,
    pairs: PairsOfTexts,
    report: TrainingReport,
    others: Sequence[tuple[str, TrainingReport]] = (),
    task: str = "translate",
) -> dict[str, Any]:
    """Score the bundle in `run_dir` and its baselines on the test part; no baseline has a choice.

    Args:    task: a key of `BASELINES`.
             others: the model from further seeds and the transformer, in `run_dir/baselines`.
    Returns: what it writes to `run_dir/metrics.json`.
    """
    model, test = EncoderDecoder.load(run_dir), pairs.test.pairs
    how: Any = config.decoding.model_dump()
    systems, trained = [_written(name, model, run_dir, test, report, how)], dict(others)
    outputs = systems[0].outputs
    for kind in config.baselines.kinds or BASELINES[task]:
        if kind == TRANSFORMER:
            folder = run_dir / "baselines" / kind
            systems.append(_written(kind, Transformer.load(folder), folder, test, trained[kind], how))
        else:
            systems.append(_baseline(kind, pairs, run_dir))
    scoring: Any = {**config.scores.model_dump(), "lowercase": config.tokenizer.lowercase}
    scoring["with_diversity"] = task == "dialogue"
    row, *baselines = rows_of(systems, test.targets, **scoring)
    seeds = [{"seed": report.training["seed"], config.scores.figure: row[config.scores.figure]}]
    for other, its_report in ((one, own) for one, own in others if one != TRANSFORMER):
        peer = EncoderDecoder.load(run_dir / "baselines" / other)
        (its_row,) = rows_of([WrittenBy(other, peer.translate(test.sources, **how), {})], test.targets, **scoring)
        seeds.append({"seed": its_report.training["seed"], config.scores.figure: its_row[config.scores.figure]})
    row |= over_seeds([one[config.scores.figure] for one in seeds])
    metrics = {
        "task": task,
        "model": row,
        "baselines": baselines,
        "report": details(model, outputs, test),
        **run_facts(config, report),
        "seeds": seeds,
        "skipped": dict(pairs.skipped),
        "data": {part: describe_part(of_part) for part, of_part in pairs.parts().items()},
    }
    durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
    return metrics


def details(
    model: EncoderDecoder, outputs: Sequence[str], pairs: Pairs, *, written: Sequence[str] | None = None
) -> dict[str, Any]:
    """The figures of the report.

    Args:    written: what the model itself wrote, where outputs are made of that.
    Returns: worst: the outputs with the lowest chrF; by_length: the share of whole texts right and the mean chrF in
             four buckets of sources of equal count; shown: some outputs with where the decoder looked, if it does.
    """
    score = TranslationScore(outputs, pairs.targets)
    per_output = score.sentence_scores()
    lengths = np.array([len(model.texts.encode_source(source)) for source in pairs.sources])
    order = np.argsort(lengths, kind="stable")
    buckets = [rows for rows in np.array_split(order, _NUM_BUCKETS) if len(rows)]
    worst = np.argsort(per_output, kind="stable")[:_NUM_WORST].tolist()
    return {
        "worst": [_shown(row, outputs, pairs) | {"chrf": float(per_output[row])} for row in worst],
        "by_length": [
            {
                "from": int(lengths[rows[0]]),
                "to": int(lengths[rows[-1]]),
                "count": len(rows),
                "exact": float(score.is_exact[rows].mean()),
                "chrf": float(per_output[rows].mean()),
            }
            for rows in buckets
        ],
        "shown": [
            _shown(row, outputs, pairs) | _looks(model, row, outputs if written is None else written, pairs)
            for row in range(len(pairs))[:_NUM_SHOWN]
        ],
    }


def _shown(row: int, outputs: Sequence[str], pairs: Pairs) -> dict[str, Any]:
    return {
        "place": pairs.places[row],
        "source": pairs.sources[row],
        "output": outputs[row],
        "references": list(pairs.targets[row]),
    }


def _looks(model: EncoderDecoder, row: int, outputs: Sequence[str], pairs: Pairs) -> dict[str, Any]:
    """The attention of an output, with the tokens of both sides."""
    if model.config["model"]["attention"] == "none":
        return {}
    source, output = pairs.sources[row], outputs[row]
    (weights,) = model.attention([(source, output)])
    return {
        "source_tokens": model.texts.source_tokens(source),
        "output_tokens": model.texts.target_tokens(output),
        "attention": [[round(float(weight), 4) for weight in of_token] for of_token in weights],
    }


def _written(
    name: str, model: Writer, folder: Path, pairs: Pairs, report: TrainingReport, how: Mapping[str, Any]
) -> WrittenBy:
    """What a trained model writes, and what it is beside that."""
    started = time.perf_counter()
    outputs = model.translate(pairs.sources, **how)
    own = {
        "bytes": (folder / "model.safetensors").stat().st_size,
        "num_parameters": model.num_parameters,
        "train_seconds": report.seconds,
        "decode_seconds": time.perf_counter() - started,
        "nats_per_token": nats_per_token(model, pairs),
    }
    return WrittenBy(name, outputs, own)


def _baseline(kind: str, pairs: PairsOfTexts, run_dir: Path) -> WrittenBy:
    train = pairs.train.pairs
    started = time.perf_counter()
    model = fitted(kind, train.sources, [own[0] for own in train.targets])
    seconds = time.perf_counter() - started
    model.save(run_dir / "baselines" / kind)
    return WrittenBy(kind, model.write(pairs.test.pairs.sources), {"train_seconds": seconds})


def first_targets(pairs: Pairs) -> list[tuple[str, str]]:
    """Every source with the first of its targets."""
    return [(source, targets[0]) for source, targets in zip(pairs.sources, pairs.targets, strict=True)]


def nats_per_token(model: Writer, pairs: Pairs) -> float:
    """Of the first target of every pair."""
    nats = model.nll(first_targets(pairs))
    return float(np.concatenate(nats).mean())


def describe_part(part: Part) -> dict[str, Any]:
    return {
        "num_pairs": len(part),
        "num_source_tokens": sum(map(len, part.sources)),
        "num_target_tokens": sum(map(len, part.targets)),
        "longest": max(map(len, [*part.sources, *part.targets])),
        "fingerprint": part.pairs.fingerprint,
    }
