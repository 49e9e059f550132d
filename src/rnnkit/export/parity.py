"""What an exported file computes beside the runtime, on the same tokens: `measure`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, DataError, MissingExtraError
from rnnkit.runtime.model import NextTokenModel
from rnnkit.state import State

# Of float32: ‖theirs − ours‖ / ‖ours‖ of every token's log-probabilities and of every row of the state. Not of each
# number: where a log-probability is -35, float32 itself is further than 1e-5 from float64.
TOLERANCE = 1e-5
MAX_RELATIVE_LOSS = 0.01  # of int8: of the nats per token
_SHARES = (3, 2, 1)  # of the sample in each row: rows end at different times
_SCORES_BYTES = 16 << 20  # [T, B, V] held at a time
_LONGEST_WINDOW = 256


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


def run(
    session: Any, ids: np.ndarray, lengths: np.ndarray, state: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One call of a session: ids [T, B], lengths [B], state by input name -> log-probabilities [T, B, V], state."""
    names = [f"next_{name}" for name in state]
    feed = {"ids": ids.astype(np.int64), "sequence_lens": lengths.astype(np.int32), **state}
    log_probs, *after = session.run(["log_probs", *names], feed)
    return log_probs, dict(zip(state, after, strict=True))


def named_state(state: State) -> dict[str, np.ndarray]:
    """A State's arrays under the names of the file's inputs: h_l0, c_l0, …; `context` of a window MLP."""
    return {
        name if name == "context" else f"{name}_l{index}": array
        for index, parts in enumerate(state.layers)
        for name, array in parts.items()
    }


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
