"""The table of a run on records: the saved model beside its baselines, on the same records; torch-free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit import durable
from rnnkit.baselines import NearestSource, TemplateFiller
from rnnkit.bundle import strict_json
from rnnkit.data import Pairs
from rnnkit.runtime import EncoderDecoder, Transformer
from rnnkit.runtime.writer import Writer
from rnnkit.tasks.describe_config import DescribeConfig
from rnnkit.tasks.describe_score import (
    DESCRIBE_BASELINES,
    Description,
    described,
    nearest_terms,
    rows_of,
    written_by,
)
from rnnkit.tasks.run_facts import over_seeds, run_facts
from rnnkit.tasks.task import TrainingReport
from rnnkit.tasks.translate_score import TRANSFORMER
from rnnkit.tasks.translate_table import describe_part, details, nats_per_token

if TYPE_CHECKING:
    from rnnkit.tasks.describe import RecordsAsPairs


def judge(
    run_dir: Path,
    *,
    name: str,
    config: DescribeConfig,
    pairs: RecordsAsPairs,
    report: TrainingReport,
    others: Sequence[tuple[str, TrainingReport]] = (),
) -> dict[str, Any]:
    """Score the bundle in `run_dir` and its baselines on the test part; no baseline has a choice.

    Args:    others: the model from further seeds and the transformer, in `run_dir/baselines`.
    Returns: what it writes to `run_dir/metrics.json`.
    """
    model, test, wording, trained = EncoderDecoder.load(run_dir), pairs.test.records, pairs.wording, dict(others)
    how: Any = config.decoding.model_dump()
    scoring: Any = {
        **config.scores.model_dump(include={"tokenize", "figure", "num_best"}),
        "lowercase": config.tokenizer.lowercase,
    }

    def written(writer: Writer, folder: Path, its: TrainingReport) -> tuple[list[list[Description]], dict[str, Any]]:
        """What a trained model writes, and what it is beside that."""
        started = time.perf_counter()
        found = described(writer, wording, test.records, **how)
        own = {
            "bytes": (folder / "model.safetensors").stat().st_size,
            "num_parameters": writer.num_parameters,
            "train_seconds": its.seconds,
            "decode_seconds": time.perf_counter() - started,
            "nats_per_token": nats_per_token(writer, pairs.test.pairs),
        }
        return found, own

    def systems_row(system: str, found: list[list[Description]], own: dict[str, Any]) -> Any:
        return system, [[one.text for one in of_record] for of_record in found], own

    descriptions, own = written(model, run_dir, report)
    systems = [systems_row(name, descriptions, own)]
    for kind in config.baselines.kinds or DESCRIBE_BASELINES:
        folder = run_dir / "baselines" / kind
        if kind == TRANSFORMER:
            systems.append(systems_row(kind, *written(Transformer.load(folder), folder, trained[kind])))
        else:
            systems.append(_fitted(kind, pairs, folder))
    row, *baselines = rows_of(systems, test, wording, **scoring)
    figure = config.scores.figure
    seeds = [{"seed": report.training["seed"], figure: row[figure]}]
    for other, its_report in ((one, of_one) for one, of_one in others if one != TRANSFORMER):
        found = described(EncoderDecoder.load(run_dir / "baselines" / other), wording, test.records, **how)
        (its_row,) = rows_of([systems_row(other, found, {})], test, wording, **scoring)
        seeds.append(
            {"seed": its_report.training["seed"], figure: its_row[figure], "slot_error": its_row["slot_error"]}
        )
    row |= over_seeds([one[figure] for one in seeds])
    metrics = {
        "task": "describe",
        "model": row,
        "baselines": baselines,
        "report": _details(model, descriptions, pairs),
        **run_facts(config, report),
        "seeds": seeds,
        "skipped": dict(pairs.skipped),
        "filled": list(wording.filled),
        "data": {part: describe_part(of_part) for part, of_part in pairs.parts().items()},
    }
    durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
    return metrics


def _details(
    model: EncoderDecoder, descriptions: Sequence[Sequence[Description]], pairs: RecordsAsPairs
) -> dict[str, Any]:
    """As `translate_table.details`, and wrong_slots: outputs with slot errors."""
    test, best = pairs.test.records, [of_record[0] for of_record in descriptions]
    as_read = Pairs(pairs.test.pairs.sources, test.texts, test.places)
    found = details(model, [one.text for one in best], as_read, written=[one.template for one in best])
    counts = pairs.wording.counts(test.records, [one.text for one in best]).tolist()
    wrong = [row for row, (missing, redundant, _) in enumerate(counts) if missing or redundant][:20]
    found["wrong_slots"] = [
        {
            "place": test.places[row],
            "record": test.records[row].linearised(with_values=True),
            "output": best[row].text,
            "missing": counts[row][0],
            "redundant": counts[row][1],
        }
        for row in wrong
    ]
    return found


def _fitted(kind: str, pairs: RecordsAsPairs, folder: Path) -> tuple[str, list[list[str]], dict[str, Any]]:
    train, wording = pairs.train.records, pairs.wording
    started = time.perf_counter()
    model: Any
    if kind == "nearest-record":
        model = NearestSource([nearest_terms(record) for record in train.records], [own[0] for own in train.texts])
    else:
        templates = [targets[0] for targets in pairs.train.pairs.targets]
        model = TemplateFiller([wording.features(record) for record in train.records], templates)
    seconds = time.perf_counter() - started
    model.save(folder)
    written = written_by(kind, model, wording, pairs.test.records.records)
    return kind, [[text] for text in written], {"train_seconds": seconds}
