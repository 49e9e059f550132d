"""How fast a run's model is on this machine, what it takes, and what each precision costs it: `bench`."""

from __future__ import annotations

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
from rnnkit.errors import ArgumentError, MissingExtraError, RnnkitError

PRECISIONS = ("fp32", "bf16", "int8")
ROWS = 64  # streams of the figure for many prompts at once
_SAMPLE_TOKENS = 4096
_WARM_UP = 50
_MIN_STEPS = 100
_ALONE = "rnnkit bench: one case"
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
            the bundle keeps. encoding, as_bytes: of it, as `LanguageModel.evaluate`.
        watch: called with a line about what is measured next.
    Returns: `machine`; `sample` (`source`, `num_tokens`), or None where there is none; `notes`; and `rows`, each with
        `runtime` ("rnnkit", or "onnxruntime" where it is installed), `precision`, `threads`, `step_us` (`p50` and
        `p99` of one `model.step` of one stream), `tokens_per_s` of `generate` for one prompt and `tokens_per_s_64` for
        64 at once (None for ONNX Runtime, which has no sampling), `model_bytes` (what loading added to the process's
        memory) and `peak_bytes` (of the whole process), `nats_per_token` on the sample and `relative_loss`, the share
        by which that is above fp32's.
    Raises:  BundleError for a damaged run; ArgumentError for other precisions, threads and seconds.
    Cost:    about four times `seconds` for each case. Percentiles are of this machine as busy as it is.
    """
    threads = sorted({1, runtime.get_num_threads()}) if threads is None else list(dict.fromkeys(threads))
    _check(precisions, threads, seconds)
    model = runtime.LanguageModel.load(run, precision="fp32")
    sample = _sample(model, text, encoding=encoding, as_bytes=as_bytes)
    notes = [] if sample else ["the bundle keeps no held-out text: name one to see what a precision costs"]
    nats: dict[str, float] = {}
    if sample:
        for name in dict.fromkeys(("fp32", *precisions)):
            watch(f"judging {name} on {len(sample['ids']):,} tokens")
            loaded = model if name == "fp32" else runtime.LanguageModel.load(run, precision=name)
            nats[name] = loaded.total_nll(sample["ids"], sample["starts"]) / len(sample["ids"])
    rows = []
    for name in precisions:
        for count in threads:
            watch(f"rnnkit, {name}, {count} threads")
            case = {"run": str(Path(run).absolute()), "runtime": "rnnkit", "precision": name, "threads": count}
            row = case | _alone(case | {"seconds": seconds})
            row["nats_per_token"] = nats.get(name)
            row["relative_loss"] = nats[name] / nats["fp32"] - 1 if nats.get("fp32") else None
            rows.append(row)
    for name in precisions:
        for count in threads if name in _ONNX_PRECISIONS else ():
            watch(f"ONNX Runtime, {name}, {count} threads")
            case = {"run": str(Path(run).absolute()), "runtime": "onnxruntime", "precision": name, "threads": count}
            try:
                found = _alone(case | {"seconds": seconds})
            except RnnkitError as error:
                if str(error) not in notes:
                    notes.append(str(error))
                continue
            rows.append(case | found | {"nats_per_token": None, "relative_loss": None})
    for row in rows:
        del row["run"]
    return {
        "run": str(run),
        "machine": {"processor": _processor(), "isa": runtime.isa(), "python": platform.python_version()},
        "sample": sample and {"source": sample["source"], "num_tokens": len(sample["ids"])},
        "rows": rows,
        "notes": notes,
    }


def _check(precisions: Sequence[str], threads: Sequence[int], seconds: float) -> None:
    if not precisions or not set(precisions) <= set(PRECISIONS):
        raise ArgumentError(f"precisions are {list(precisions)}; choose some of {', '.join(PRECISIONS)}")
    if not threads or not all(type(count) is int and 1 <= count <= 4096 for count in threads):
        raise ArgumentError(f"threads are {list(threads)}; give numbers from 1 to 4096")
    if not 0 < seconds <= 3600:
        raise ArgumentError(f"seconds is {seconds}; give a number above 0, for example 1.0")


def _sample(
    model: runtime.LanguageModel,
    text: str | Path | Sequence[str | Path] | None,
    *,
    encoding: str,
    as_bytes: bool,
) -> dict[str, Any] | None:
    if text is None:
        kept = model.evaluation_sample()
        return kept and {"source": "held-out text kept in the bundle", "ids": kept[0], "starts": kept[1]}
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
    return {
        "source": ", ".join(map(str, sources)),
        "ids": ids,
        "starts": np.unique([s for s in starts if s < len(ids)]),
    }


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
    model = runtime.LanguageModel.load(case["run"], precision=case["precision"])
    state = model.initial_state()
    loaded = _resident_bytes()
    token = model.begin_id

    def step() -> None:
        nonlocal state
        _, state = model.step(token, state)

    figures = _time_steps(step, case["seconds"])
    one = _rate(lambda count: len(list(model.generate("", max_new_tokens=count))), 1, case["seconds"])
    many = _rate(lambda count: len(model.generate([""] * ROWS, max_new_tokens=count)), ROWS, case["seconds"])
    model_bytes = None if before is None or loaded is None else loaded - before
    return {"step_us": figures, "tokens_per_s": one, f"tokens_per_s_{ROWS}": many, "model_bytes": model_bytes}


def _theirs(case: dict[str, Any]) -> dict[str, Any]:
    from rnnkit.export import parity
    from rnnkit.export.onnx_file import start_session

    session, model = start_session(case["run"], int8=_ONNX_PRECISIONS[case["precision"]], threads=case["threads"])
    state = parity.named_state(model.initial_state())
    ids, lengths = np.array([[model.begin_id]]), np.ones(1, np.int32)

    def step() -> None:
        nonlocal state
        _, state = parity.run(session, ids, lengths, state)

    figures = _time_steps(step, case["seconds"])
    return {"step_us": figures, "tokens_per_s": None, f"tokens_per_s_{ROWS}": None, "model_bytes": None}


def _time_steps(step: Callable[[], None], seconds: float) -> dict[str, float]:
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


def _rate(write: Callable[[int], Any], rows: int, seconds: float) -> float:
    """Tokens a second of all rows together: texts of twice the length until one takes half the time."""
    count = 16
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
