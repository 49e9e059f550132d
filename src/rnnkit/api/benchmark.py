"""How fast a run's model is on this machine, what it takes, and what each precision costs it: `bench`."""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import data, runtime
from rnnkit.api.bidirectional import BidirectionalLanguageModel
from rnnkit.api.classifier import Classifier
from rnnkit.api.describer import Describer
from rnnkit.api.forecaster import Forecaster
from rnnkit.api.language_model import LanguageModel
from rnnkit.api.loading import load
from rnnkit.api.simulator import Simulator
from rnnkit.api.tagger import Tagger
from rnnkit.api.translator import Translator
from rnnkit.errors import ArgumentError, MissingExtraError, RnnkitError
from rnnkit.export import parity
from rnnkit.export.cost import judged, output_of, relative_loss

PRECISIONS = ("fp32", "bf16", "int8")
ROWS = 64  # streams of the figure for many prompts, or sequences, at once
_SAMPLE_TOKENS = 4096
_WARM_UP = 50
_MIN_STEPS = 100
_ALONE = "rnnkit bench: one case"
_ReadsWhole = runtime.Acceptor | runtime.Transducer  # one decision, or one for every step
_ONNX_PRECISIONS = {"fp32": False, "int8": True}  # whether its weights are in eight bits


def bench(
    run: str | Path,
    *,
    precisions: Sequence[str] = PRECISIONS,
    threads: Sequence[int] | None = None,
    seconds: float = 1.0,
    text: str | Path | Sequence[str | Path] | None = None,
    encoding: str = "utf-8",
    as_bytes: bool = False,
    watch: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure a run's model on this machine, by its own API and each case in a process of its own.

    Args:
        precisions: of the products.  threads: how many; None: 1 and as many as the core would use.
        seconds: that each figure is measured for.
        text: what to judge each precision on, of which the first 4,096 tokens count; None: the held-out tokens that
            the bundle keeps. encoding, as_bytes: of it, as `LanguageModel.evaluate`. A classifier, a tagger and a
            labeller of frames are judged on the held-out sequences that their bundle keeps, and on nothing else.
        watch: called with a line about what is measured next.
    Returns: `machine`; `sample` (`source`, `num_tokens`), or None where there is none; `notes`; and `rows`, each with
        `runtime` ("rnnkit", or "onnxruntime" where it is installed), `precision`, `threads`, `step_us` (`p50` and
        `p99` of one `model.step` of one stream), `tokens_per_s` of `generate` for one prompt and `tokens_per_s_64` for
        64 at once (None for ONNX Runtime, which has no sampling), `model_bytes` (what loading added to the process's
        memory) and `peak_bytes` (of the whole process), `nats_per_token` on the sample and `relative_loss`, the share
        by which that is above fp32's. Of a classifier: `step_us` where it reads forwards alone, else None;
        `sequence_us` of one sequence by itself, `sequences_per_s_64`, and for the nats `accuracy` and
        `nats_per_sequence`. Of a tagger or a labeller of frames the same, timed as `predict`, with `nats_per_step`, and
        `f1` where labels mark spans. What is timed are the sequences that the bundle keeps, or random ones of up to 40
        steps.
    Raises:  BundleError for a damaged run; ArgumentError for other precisions, threads and seconds.
    Cost:    about four times `seconds` for each case. Percentiles are of this machine as busy as it is.
    """
    threads = sorted({1, runtime.get_num_threads()}) if threads is None else list(dict.fromkeys(threads))
    _check(precisions, threads, seconds)
    model = _loaded(run, "fp32")
    sample = _sample(model, text, encoding=encoding, as_bytes=as_bytes)
    of_text = isinstance(model, runtime.LanguageModel)
    remedy = ": name one" if of_text else "; train it with a test part"
    notes = [] if sample else [f"the bundle keeps no held-out data{remedy} to see what a precision costs"]
    found: dict[str, dict[str, float]] = {}
    unit = "num_tokens" if of_text else "num_sequences"
    if sample:
        for name in dict.fromkeys(("fp32", *precisions)):
            watch(f"judging {name} on {len(sample[1][0]):,} {unit.removeprefix('num_')}")
            found[name] = judged(model if name == "fp32" else _loaded(run, name), sample[1])
    rows = []
    for name in precisions:
        for count in threads:
            watch(f"rnnkit, {name}, {count} threads")
            case = {"run": str(Path(run).absolute()), "runtime": "rnnkit", "precision": name, "threads": count}
            row = case | _alone(case | {"seconds": seconds})
            row |= dict.fromkeys(_metrics(model)) | found.get(name, {})
            row["relative_loss"] = relative_loss(found["fp32"], found[name]) if found else None
            rows.append(row)
    for name in precisions:
        for count in threads if name in _ONNX_PRECISIONS else ():
            watch(f"ONNX Runtime, {name}, {count} threads")
            case = {"run": str(Path(run).absolute()), "runtime": "onnxruntime", "precision": name, "threads": count}
            try:
                row = _alone(case | {"seconds": seconds})
            except RnnkitError as error:
                if str(error) not in notes:
                    notes.append(str(error))
                continue
            rows.append(case | row | dict.fromkeys((*_metrics(model), "relative_loss")))
    for row in rows:
        del row["run"]
    return {
        "run": str(run),
        "machine": {"processor": _processor(), "isa": runtime.isa(), "python": platform.python_version()},
        "sample": sample and {"source": sample[0], unit: len(sample[1][0])},
        "rows": rows,
        "notes": notes,
    }


def _metrics(model: LanguageModel | Classifier | Tagger) -> tuple[str, ...]:
    """What `judged` gives of it."""
    if isinstance(model, runtime.Transducer):
        of_spans = model.config["model"]["scheme"] is not None
        return (*(["f1"] if of_spans else []), "accuracy", "nats_per_step")
    return ("accuracy", "nats_per_sequence") if isinstance(model, runtime.Acceptor) else ("nats_per_token",)


def _check(precisions: Sequence[str], threads: Sequence[int], seconds: float) -> None:
    if not precisions or not set(precisions) <= set(PRECISIONS):
        raise ArgumentError(f"precisions are {list(precisions)}; choose some of {', '.join(PRECISIONS)}")
    if not threads or not all(type(count) is int and 1 <= count <= 4096 for count in threads):
        raise ArgumentError(f"threads are {list(threads)}; give numbers from 1 to 4096")
    if not 0 < seconds <= 3600:
        raise ArgumentError(f"seconds is {seconds}; give a number above 0, for example 1.0")


def _loaded(run: str | Path, precision: str) -> LanguageModel | Classifier | Tagger:
    model = load(run, precision=precision)
    if isinstance(model, BidirectionalLanguageModel):
        raise ArgumentError(f"{run} holds a bidirectional language model, without steps to time; judge it with eval")
    if isinstance(model, Translator | Describer):
        raise ArgumentError(
            f"{run} holds a model that writes a text for another, which is not timed; judge it with eval"
        )
    if isinstance(model, Simulator):
        raise ArgumentError(f"{run} holds a simulator, which is not timed here; judge it with eval")
    if isinstance(model, Forecaster):
        raise ArgumentError(f"{run} holds a forecaster, which is not timed here; judge it with eval")
    return model


def _sample(
    model: runtime.LanguageModel | _ReadsWhole,
    text: str | Path | Sequence[str | Path] | None,
    *,
    encoding: str,
    as_bytes: bool,
) -> tuple[str, tuple[Any, Any]] | None:
    """Where it is from, and what `judged` takes."""
    if isinstance(model, _ReadsWhole):
        if text is not None:
            raise ArgumentError(f"text is for language models; a {model._noun} is judged on what its bundle keeps")
        kept = model.evaluation_sample()
        return kept and ("held-out sequences kept in the bundle", kept)
    if text is None:
        kept = model.evaluation_sample()
        return kept and ("held-out text kept in the bundle", kept)
    sources = [text] if isinstance(text, str | Path) else list(text)
    pieces: list[np.ndarray] = []
    starts: list[int] = []
    for document in data.read_documents(sources, encoding=encoding, as_bytes=as_bytes):
        starts.append(sum(map(len, pieces)))
        for piece in model.tokenizer.encode_pieces(document.pieces()):
            pieces.append(piece)
            if sum(map(len, pieces)) >= _SAMPLE_TOKENS:
                break
    ids = np.concatenate([np.zeros(0, np.int64), *pieces])[:_SAMPLE_TOKENS]
    if not len(ids):
        raise ArgumentError(f"{', '.join(map(str, sources))} has no token; give a text")
    return ", ".join(map(str, sources)), (ids, np.unique([start for start in starts if start < len(ids)]))


def _alone(case: dict[str, Any]) -> dict[str, Any]:
    """One case in a process of its own, so that its memory is nobody else's. Raises: RnnkitError where it fails."""
    program = "from rnnkit.api.benchmark import run_case; run_case()"
    environment = {**os.environ, "RNNKIT_NUM_THREADS": str(case["threads"])}
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(case), env=environment, capture_output=True, text=True
    )
    answer = done.stdout.rpartition(_ALONE)[2]
    if done.returncode != 0 or not answer:
        last = done.stderr.strip().rpartition("\n")[2]
        raise RnnkitError(f"{case['runtime']}, {case['precision']}: the measuring process failed: {last[:300]}")
    found = json.loads(answer)
    if "refused" in found:
        raise RnnkitError(f"{case['runtime']}, {case['precision']}: {found['refused']}")
    return found


def run_case() -> None:
    """What the process of one case does: a case in by stdin, its figures out by stdout."""
    case = json.load(sys.stdin)
    try:
        found = {"rnnkit": _ours, "onnxruntime": _theirs}[case["runtime"]](case)
    except MissingExtraError as error:
        found = {"refused": f"not there to compare with: {error}"}
    except RnnkitError as error:
        found = {"refused": str(error)}
    print(_ALONE + json.dumps(found | {"peak_bytes": _peak_bytes()}))


def _ours(case: dict[str, Any]) -> dict[str, Any]:
    before = _resident_bytes()
    model, seconds = _loaded(case["run"], case["precision"]), case["seconds"]
    loaded = _resident_bytes()
    memory = {"model_bytes": None if before is None or loaded is None else loaded - before}
    if isinstance(model, _ReadsWhole):
        sequences, read = _sequences(model), model.predict if isinstance(model, Tagger) else model.log_probs
        waiting, batch = itertools.cycle(sequences), [*itertools.islice(itertools.cycle(sequences), ROWS)]
        step_us = _time_steps(_stepper(model, sequences[0][0]), seconds) if model.is_causal else None
        alone = _time_steps(lambda: read([next(waiting)]), seconds)
        many = _rate(lambda count: [read(batch) for _ in range(count)], ROWS, seconds, least=1)
        return {"step_us": step_us, "sequence_us": alone, f"sequences_per_s_{ROWS}": many, **memory}
    figures = _time_steps(_stepper(model, model.begin_id), seconds)
    one = _rate(lambda count: len(list(model.generate("", max_new_tokens=count))), 1, seconds)
    many = _rate(lambda count: len(model.generate([""] * ROWS, max_new_tokens=count)), ROWS, seconds)
    return {"step_us": figures, "tokens_per_s": one, f"tokens_per_s_{ROWS}": many, **memory}


def _stepper(model: runtime.LanguageModel | _ReadsWhole, x: Any) -> Callable[[], None]:
    """Steps of one stream, which reads x again and again."""
    state, x = model.initial_state(), [x] if isinstance(x, str) else np.asarray(x)[None]

    def step() -> None:
        nonlocal state
        _, state = model.step(x, state)

    return step


def _sequences(model: _ReadsWhole) -> list[Any]:
    """What is timed: sequences of a step or more."""
    kept = model.evaluation_sample()
    sequences = [] if kept is None else [sequence for sequence in kept[0] if len(sequence)]
    return sequences or parity.random_sequences(model, ROWS)


def _theirs(case: dict[str, Any]) -> dict[str, Any]:
    from rnnkit.export.onnx_file import start_session

    session, model = start_session(case["run"], int8=_ONNX_PRECISIONS[case["precision"]], threads=case["threads"])
    is_whole, output = isinstance(model, _ReadsWhole), output_of(model.config["model"])
    if isinstance(model, runtime.Transducer):
        sequences = [model.encode(sequence) for sequence in _sequences(model)]
    else:
        sequences = _sequences(model) if isinstance(model, runtime.Acceptor) else [np.array([model.begin_id])]
    has_state = not isinstance(model, _ReadsWhole) or model.is_causal
    fresh = parity.named_state(model.initial_state()) if has_state else {}
    state, first, one = fresh, sequences[0][:1, None], np.ones(1, np.int32)

    def step() -> None:
        nonlocal state
        _, state = parity.run(session, first, one, state, output=output)

    step_us = _time_steps(step, case["seconds"]) if fresh else None
    if not is_whole:
        return {"step_us": step_us, "tokens_per_s": None, f"tokens_per_s_{ROWS}": None, "model_bytes": None}
    waiting = itertools.cycle(sequences)

    def decide() -> None:
        sequence = next(waiting)
        scores, _ = parity.run(session, sequence[:, None], np.array([len(sequence)]), fresh, output=output)
        if isinstance(model, runtime.Transducer):
            model.decide([scores[:, 0]])  # the best path is no part of a file

    sequence_us = _time_steps(decide, case["seconds"])
    return {"step_us": step_us, "sequence_us": sequence_us, f"sequences_per_s_{ROWS}": None, "model_bytes": None}


def _time_steps(step: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Percentiles of one call, in microseconds; the first ones are not counted."""
    for _ in range(_WARM_UP):
        step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _MIN_STEPS or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    p50, p99 = np.percentile(times, (50, 99))
    return {"p50": 1e6 * float(p50), "p99": 1e6 * float(p99), "count": len(times)}


def _rate(write: Callable[[int], Any], rows: int, seconds: float, *, least: int = 16) -> float:
    """Tokens a second of all rows together (or sequences): twice as many until they take half the time."""
    count = least
    while True:
        start = time.perf_counter()
        write(count)
        took = time.perf_counter() - start
        if took >= seconds / 2:
            return rows * count / took
        count *= 2


def _resident_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
