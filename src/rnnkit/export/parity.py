"""What an exported file computes beside the runtime, on the same sample: `measure`, `measure_decisions`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit import data
from rnnkit.errors import ArgumentError, DataError, MissingExtraError
from rnnkit.export.cost import of_decisions, of_steps, output_of, relative_loss
from rnnkit.runtime import Acceptor, Transducer
from rnnkit.runtime.model import NextTokenModel
from rnnkit.runtime.readout import PARTS, STEPS
from rnnkit.state import State

# Of float32: ‖theirs − ours‖ / ‖ours‖ of every token's log-probabilities and of every row of the state. Not of each
# number: where a log-probability is -35, float32 itself is further than 1e-5 from float64.
TOLERANCE = 1e-5
_SHARES = (3, 2, 1)  # of the sample in each row: rows end at different times
_SCORES_BYTES = 16 << 20  # [T, B, V] held at a time
_LONGEST_WINDOW = 256
_ROWS = 16  # sequences that a classifier reads side by side
_OF_THE_WHOLE = {"context", STEPS, *(name for kept in PARTS.values() for name in kept)}  # parts that no layer has


def start_session(data: bytes, *, threads: int = 0) -> Any:
    """An ONNX Runtime session of a file's bytes, on the CPU; 0 threads: as many as it likes.

    Raises: MissingExtraError without onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("running ONNX files needs `onnxruntime`", extra="onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; they are raised too
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def write_sample(model: NextTokenModel, num_tokens: int, *, seed: int = 0) -> np.ndarray:
    """Tokens that a model draws from its own probabilities, int64 [N], after the begin token."""
    rng = np.random.default_rng(seed)
    out = np.empty(num_tokens, np.int64)
    token, state = model.begin_id, model.initial_state()
    for place in range(num_tokens):
        log_probs, state = model.step(token, state)
        sums = np.exp(log_probs[0].astype(np.float64)).cumsum()
        token = min(int(np.searchsorted(sums, rng.random() * sums[-1])), model.vocab_size - 1)
        out[place] = token
    return out


def measure(model: NextTokenModel, session: Any, ids: np.ndarray) -> dict[str, Any]:
    """Run a session beside its model: ragged rows of a sample, in windows of several lengths, the state carried.

    Args:    ids: integers [N]; three rows of N/2, N/3 and N/6 of them, each after the begin token.
    Returns: `log_probs` and `state`: the largest difference of a number (`max_abs`), and of a row, as a share of the
             row's norm (`max_relative`); `nats_per_token` of both; `relative_loss` of theirs.
    Raises:  ArgumentError for a sample of fewer than three tokens; DataError if either computes numbers that are none.
    Cost:    one pass of each; 16 MB of scores at a time, or one step of them.
    """
    if len(ids) < len(_SHARES):
        raise ArgumentError(f"the sample has {len(ids)} tokens; give a text of at least {len(_SHARES)}")
    rows = np.split(ids, np.cumsum([len(ids) * share // sum(_SHARES) or 1 for share in _SHARES[:-1]]))
    ours, theirs = model.initial_state(len(rows)), named_state(model.initial_state(len(rows)))
    log_probs, nats, offset = _Difference(), np.zeros(2), 0
    for window in _windows(max(len(row) for row in rows), model.vocab_size * len(rows)):
        lengths = np.array([min(max(len(row) - offset, 0), window) for row in rows], np.int32)
        inputs, targets = np.zeros((2, window, len(rows)), np.int64)
        for column, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            before = row[offset - 1] if 0 < offset <= len(row) else model.begin_id
            targets[:length, column] = row[offset : offset + length]
            inputs[:length, column] = np.append(before, targets[: length - 1, column])[:length]
        want, ours = model(inputs, ours, lengths=lengths)
        got, theirs = run(session, inputs, lengths, theirs)
        is_alive = np.arange(window)[:, None] < lengths
        log_probs.add(want, got)
        for index, scores in enumerate((want, got)):
            picked = np.take_along_axis(scores, targets[..., None], axis=2)[..., 0]
            nats[index] -= picked[is_alive].sum(dtype=np.float64)
        offset += window
    state = _Difference()
    for name, array in named_state(ours).items():
        state.add(array, theirs[name])
    return {
        "log_probs": log_probs.to_dict(),
        "state": state.to_dict(),
        "nats_per_token": {"runtime": float(nats[0]) / len(ids), "onnx": float(nats[1]) / len(ids)},
        "relative_loss": float(nats[1] / nats[0] - 1) if nats[0] else 0.0,
    }


def random_sequences(model: Acceptor | Transducer, count: int, *, seed: int = 0) -> list[Any]:
    """Sequences of up to 40 steps that a model can read: any tokens or words, or frames like those it learned."""
    rng = np.random.default_rng(seed)
    lengths, sizes = rng.integers(1, 41, count), model.config["model"]
    if model.words is not None:
        words = model.words.words or ("word",)
        return [[words[place] for place in rng.integers(0, len(words), length)] for length in lengths]
    if sizes["vocab_size"]:
        return [rng.integers(0, sizes["vocab_size"], length) for length in lengths]
    if shape := sizes.get("frame_shape"):
        return [rng.random((length, *shape), np.float32) for length in lengths]
    mean, deviation = (model._tensors[f"scale.{name}"] for name in ("mean", "deviation"))
    drawn = [rng.standard_normal((length, sizes["input_size"]), np.float32) for length in lengths]
    return [mean + deviation * frames for frames in drawn]


def measure_decisions(
    model: Acceptor, session: Any, sequences: Sequence[np.ndarray], targets: np.ndarray | None
) -> dict[str, Any]:
    """Run a session beside its classifier: of one that `is_causal` in windows of several lengths, the state carried.

    Args:    sequences: ids [T] or frames [T, I].  targets: the numbers of their labels [N], where they are known.
    Returns: `log_probs` and, of a causal model, `state`, as `measure`; `agreement`: the share of sequences that get the
             same label; with targets the `accuracy` and `nats_per_sequence` of both; `relative_loss`: of their
             accuracy, without targets of the agreement.
    Raises:  ArgumentError for no sequence; DataError if either computes numbers that are none.
    """
    if not len(sequences):
        raise ArgumentError("the sample has no sequence; give a file that has some")
    log_probs, state_difference = _Difference(), _Difference()
    got = np.empty((len(sequences), len(model.labels)), np.float32)
    for first in range(0, len(sequences), _ROWS):
        x, lengths = data.padded(sequences[first : first + _ROWS])
        x = np.concatenate([x, np.zeros_like(x[:1], shape=(1, *x.shape[1:]))]) if not len(x) else x  # T from 1 on
        state = named_state(model.initial_state(len(lengths))) if model.is_causal else {}
        offset, found = 0, got[:0]
        for window in _windows(len(x), 1) if model.is_causal else [len(x)]:
            left = np.clip(lengths - offset, 0, window)
            found, state = run(session, x[offset : offset + window], left, state)
            offset += window
        got[first : first + _ROWS] = found
        if model.is_causal:
            of_rows = map(_state_rows, (named_state(model(x, lengths=lengths)[1]), state))
            for ours, theirs in zip(*of_rows, strict=True):
                state_difference.add(ours, theirs)
    want = model.log_probs(sequences)
    log_probs.add(want, got)
    agreement = float((model.decided(want) == model.decided(got)).mean())
    report: dict[str, Any] = {"log_probs": log_probs.to_dict(), "agreement": agreement, "relative_loss": 1 - agreement}
    if model.is_causal:
        report["state"] = state_difference.to_dict()
    if targets is not None:
        before, after = of_decisions(model, want, targets), of_decisions(model, got, targets)
        report |= {name: {"runtime": value, "onnx": after[name]} for name, value in before.items()}
        report["relative_loss"] = relative_loss(before, after)
    return report


def measure_steps(
    model: Transducer, session: Any, sequences: Sequence[Any], targets: Sequence[np.ndarray] | None
) -> dict[str, Any]:
    """Run a session beside its tagger: of one that `is_causal` in windows of several lengths, the state carried.

    Args:    sequences: as `predict` takes them.  targets: the numbers of their labels [T] each, where they are known.
    Returns: `log_probs` (under a CRF `scores`) and, of a causal model, `state`, as `measure`; `agreement`: the share of
             steps that get the same label; with targets what `cost.of_steps` gives of both; `relative_loss`: of their
             F1 or accuracy, without targets of the agreement.
    Raises:  ArgumentError for no step; DataError if either computes numbers that are none.
    """
    arrays = [model.encode(sequence, number) for number, sequence in enumerate(sequences)]
    if not sum(map(len, arrays)):
        raise ArgumentError("the sample has no step; give a file that has some")
    output = output_of(model.config["model"])
    difference, of_state, got = _Difference(), _Difference(), []
    for first in range(0, len(arrays), _ROWS):
        x, lengths = data.padded(arrays[first : first + _ROWS])
        x = np.concatenate([x, np.zeros_like(x[:1], shape=(1, *x.shape[1:]))]) if not len(x) else x  # T from 1 on
        state = named_state(model.initial_state(len(lengths))) if model.is_causal else {}
        offset, pieces = 0, []
        for window in _windows(len(x), 1) if model.is_causal else [len(x)]:
            left = np.clip(lengths - offset, 0, window)
            found, state = run(session, x[offset : offset + window], left, state, output=output)
            pieces.append(found)
            offset += window
        found = np.concatenate(pieces)
        got += [found[:length, column] for column, length in enumerate(lengths)]
        for column, length in enumerate(lengths if model.is_causal else ()):
            _, ours = model(x[:length, column : column + 1])
            for name, array in named_state(ours).items():
                of_state.add(array, state[name][column : column + 1])
    want = model._scores(sequences)
    for ours, theirs in zip(want, got, strict=True):
        difference.add(ours, theirs)
    labels = [[label for row in model.decide(scored) for label in row] for scored in (want, got)]
    agreement = float(np.mean([a == b for a, b in zip(*labels, strict=True)]))
    report: dict[str, Any] = {output: difference.to_dict(), "agreement": agreement, "relative_loss": 1 - agreement}
    if model.is_causal:
        report["state"] = of_state.to_dict()
    if targets is not None:
        before, after = of_steps(model, want, targets), of_steps(model, got, targets)
        report |= {name: {"runtime": value, "onnx": after[name]} for name, value in before.items()}
        report["relative_loss"] = relative_loss(before, after)
    return report


def run(
    session: Any, x: np.ndarray, lengths: np.ndarray, state: Mapping[str, np.ndarray], *, output: str = "log_probs"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One call of a session: ids [T, B] (or of features, too) or frames [T, B, I], lengths [B], state by input name.

    Returns: what `output` names; the state.
    """
    names = [f"next_{name}" for name in state]
    given = {"ids": x.astype(np.int64)} if x.dtype.kind in "iu" else {"frames": x.astype(np.float32)}
    feed = {**given, "sequence_lens": lengths.astype(np.int32), **state}
    log_probs, *after = session.run([output, *names], feed)
    return log_probs, dict(zip(state, after, strict=True))


def named_state(state: State) -> dict[str, np.ndarray]:
    """A State's arrays under the names of the file's inputs: h_l0, c_l0, …; `context`, `steps`, … of the whole."""
    return {
        name if name in _OF_THE_WHOLE else f"{name}_l{index}": array
        for index, parts in enumerate(state.layers)
        for name, array in parts.items()
    }


def _state_rows(state: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The parts of a classifier's state [B, H]; what attention keeps is one: alone, its score may be near 0."""
    joined = [state[name] for name in PARTS["attention"] if name in state]
    others = [array for name, array in state.items() if name not in PARTS["attention"]]
    return [*others, np.concatenate(joined, axis=1)] if joined else others


def _windows(num_steps: int, row_size: int) -> list[int]:
    """Lengths of windows that fill `num_steps`: a single step, and the longest that memory allows, in turn."""
    longest = max(1, min(_LONGEST_WINDOW, _SCORES_BYTES // (4 * row_size)))
    out: list[int] = []
    for window in itertools.cycle((1, longest, max(1, longest // 3))):
        out.append(min(window, num_steps))
        num_steps -= out[-1]
        if not num_steps:
            break
    return out


class _Difference:
    """The largest difference seen, of numbers and of rows."""

    def __init__(self) -> None:
        self.max_abs = self.max_relative = 0.0

    def add(self, want: np.ndarray, got: np.ndarray) -> None:
        """Compare two arrays [..., F]."""
        for name, array in (("this runtime", want), ("ONNX Runtime", got)):
            if not np.isfinite(array).all():
                raise DataError(f"{name} computes numbers that are none from the sample; try another, or train again")
        error = np.abs(got.astype(np.float64) - want)
        sizes = np.linalg.norm(want.astype(np.float64), axis=-1)
        relative = np.linalg.norm(error, axis=-1) / np.maximum(sizes, 1e-30)  # 0 behind a row's length, on both sides
        self.max_abs = max(self.max_abs, float(error.max(initial=0)))
        self.max_relative = max(self.max_relative, float(relative.max(initial=0)))

    def to_dict(self) -> dict[str, float]:
        return {"max_abs": self.max_abs, "max_relative": self.max_relative}
