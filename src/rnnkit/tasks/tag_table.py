"""The table of a tagging run: the saved model beside its baselines, on the same sentences; torch-free."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit import durable
from rnnkit.bundle import strict_json
from rnnkit.metrics.tagging import TaggingScore, Tags
from rnnkit.runtime import Transducer
from rnnkit.tasks.run_facts import over_seeds, run_facts
from rnnkit.tasks.sections import Section
from rnnkit.tasks.tag_score import TaggedBy
from rnnkit.tasks.task import TrainingReport

if TYPE_CHECKING:
    from rnnkit.data import Tagged
    from rnnkit.tasks.tag import Part, TaggedSentences

_NUM_WORST = 20
_NUM_BUCKETS = 4


def judge(
    run_dir: Path,
    *,
    name: str,
    config: Section,
    sentences: TaggedSentences,
    report: TrainingReport,
    others: Sequence[tuple[str, TrainingReport]] = (),
    trained: Sequence[TaggedBy] = (),
) -> dict[str, Any]:
    """Score the bundle in `run_dir` and its baselines, fitted here and saved in `run_dir/baselines`, on the test part.

    Validation sentences choose the model's weights; no baseline has a choice, so none is shown them.

    Args:    others: the model from further seeds, in `run_dir/baselines` too.
             trained: the neural peers, as `sentences.judged` gives them.
    Returns: what it writes to `run_dir/metrics.json`.
    """
    model = Transducer.load(run_dir)
    own = {
        "bytes": (run_dir / "model.safetensors").stat().st_size,
        "num_parameters": model.num_parameters,
        "train_seconds": report.seconds,
    }
    systems = [sentences.judged(name, model, own)]
    systems += [*(_baseline(kind, sentences, run_dir) for kind in sentences.baselines), *trained]
    row, *baselines = sentences.rows(systems)
    seeds = [_of_seed(row, report)]
    for other, its_report in others:
        system = sentences.judged(other, Transducer.load(run_dir / "baselines" / other), {})
        seeds.append(_of_seed(sentences.rows([system])[0], its_report))
    row |= over_seeds([one[_figure(row)] for one in seeds])
    metrics = {
        "task": sentences.task,
        "model": row,
        "baselines": baselines,
        **sentences.report(model, systems[0]),
        **run_facts(config, report),
        "seeds": seeds,
        "data": {part: _describe(of_part) for part, of_part in sentences.parts().items()},
    }
    durable.write_file(run_dir / "metrics.json", strict_json.dumps(metrics))
    return metrics


def _figure(row: dict[str, Any]) -> str:
    """What seeds are compared by: F1 over spans, accuracy; of frames with several labels or numbers what those have."""
    if "accuracy" not in row:
        return "nats" if "nats" in row else "scaled_rmse"
    return "f1" if "f1" in row else "accuracy"


def _of_seed(row: dict[str, Any], report: TrainingReport) -> dict[str, Any]:
    kept = ("nats", "scaled_rmse", "r2") if "accuracy" not in row else ()
    figures = {key: row[key] for key in ("f1", "precision", "recall", "accuracy", *kept) if key in row}
    return {"seed": report.training["seed"], **figures}


def details(model: Transducer, tags: Tags, tagged: Tagged, *, known: set[str] | None, of_spans: bool) -> dict[str, Any]:
    """The figures of the report.

    Args:    tags: the model's. known: the words of its vocabulary; None: it has none.
    Returns: confusion: counts, the tag it is by the tag it was taken for; per_tag: precision, recall, f1, count of each
             tag; per_type: of each type of spans; confused: the most
             frequent (gold, predicted, count); worst: the mistakes that the model was surest of, with their words;
             by_length: accuracy in four buckets of sentences of equal count; words, where
             there are any: accuracy on known and unknown ones.
    """
    score = TaggingScore(tagged.tags, tags, of_spans=of_spans)
    pairs = Counter(
        (g, p) for gold, mine in zip(tagged.tags, tags, strict=True) for g, p in zip(gold, mine, strict=True)
    )
    return {
        "confusion": [[pairs[gold, mine] for mine in model.labels] for gold in model.labels],
        "per_tag": _per_tag(pairs),
        "per_type": None if score.spans is None else score.spans.per_type(),
        "confused": [[*pair, count] for pair, count in pairs.most_common() if pair[0] != pair[1]][:_NUM_WORST],
        "worst": _worst(model, tags, tagged, score),
        "by_length": _by_length(score),
        **({} if known is None else {"words": _by_knowledge(model, tagged, score, known)}),
    }


def _by_knowledge(model: Transducer, tagged: Tagged, score: TaggingScore, known: set[str]) -> dict[str, Any]:
    lowercase = model.words is not None and model.words.lowercase
    is_known = [[(word.lower() if lowercase else word) in known for word in words] for words in tagged.sentences]
    flat, right = np.concatenate([np.array(row, bool) for row in is_known]), np.concatenate(score.is_correct)
    return {
        name: {"count": int(rows.sum()), "accuracy": float(right[rows].mean()) if rows.any() else None}
        for name, rows in (("known", flat), ("unknown", ~flat))
    }


def _per_tag(pairs: Counter[tuple[str, str]]) -> dict[str, dict[str, float]]:
    there, taken = Counter[str](), Counter[str]()
    for (gold, mine), count in pairs.items():
        there[gold] += count
        taken[mine] += count
    return {
        tag: {
            "precision": pairs[tag, tag] / taken[tag] if taken[tag] else 0.0,
            "recall": pairs[tag, tag] / there[tag] if there[tag] else 0.0,
            "f1": 2 * pairs[tag, tag] / (there[tag] + taken[tag]),
            "count": there[tag],
        }
        for tag in sorted(there.keys() | taken.keys())
    }


def _worst(model: Transducer, tags: Tags, tagged: Tagged, score: TaggingScore) -> list[dict[str, Any]]:
    rows = [row for row, is_right in enumerate(score.is_correct) if not is_right.all()]
    ids = {label: index for index, label in enumerate(model.labels)}
    found = []
    for row, log_probs in zip(rows, model.log_probs([tagged.sentences[row] for row in rows]), strict=True):
        for word in np.flatnonzero(~score.is_correct[row]).tolist():
            found.append((float(log_probs[word, ids[tagged.tags[row][word]]]), row, word))
    shown = []
    for log_prob, row, word in sorted(found)[:_NUM_WORST]:
        shown.append(
            {
                "place": tagged.place(row, word),
                **tagged.shown(row, word),
                "tag": tagged.tags[row][word],
                "predicted": tags[row][word],
                "probability": float(np.exp(log_prob)),
            }
        )
    return shown


def _by_length(score: TaggingScore) -> list[dict[str, Any]]:
    lengths = np.array([len(row) for row in score.is_correct])
    order = np.argsort(lengths, kind="stable")
    return [
        {
            "from": int(lengths[rows[0]]),
            "to": int(lengths[rows[-1]]),
            "count": len(rows),
            "accuracy": float(np.concatenate([score.is_correct[row] for row in rows]).mean()),
        }
        for rows in np.array_split(order, _NUM_BUCKETS)
        if len(rows)
    ]


def _baseline(kind: str, sentences: TaggedSentences, run_dir: Path) -> TaggedBy:
    started = time.perf_counter()
    model = sentences.fit_baseline(kind)
    seconds = time.perf_counter() - started
    model.save(run_dir / "baselines" / kind)
    return sentences.judged(kind, model, {"bytes": model.num_bytes, "train_seconds": seconds})


def _describe(part: Part) -> dict[str, Any]:
    tagged = part.tagged
    return {
        "num_sentences": len(tagged),
        "num_words": tagged.num_words,
        "longest": max(map(len, tagged.sentences)),
        "fingerprint": tagged.fingerprint,
    }
