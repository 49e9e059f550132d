"""Streams: a corpus as parallel streams of windows for truncated BPTT, resumable at any window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rnnkit.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Window:
    """One window of B streams.

    Attributes:
        inputs: [T, B] int64, the token before each target; a document's first input is the begin token. With
            `both_sides` [T, B, 2]: that one and the token after the target, at a document's end the begin token too.
        targets: [T, B] int64.
        lengths: [B] int64, valid steps of each row; beyond them inputs and targets are 0. T is the longest.
        weights: [T, B] float32, 1 for the steps that count in the loss, else 0. Every token counts once per epoch.
        reset: [B] bool, rows that start from the initial state.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    reset: np.ndarray


class Streams:
    """Cut N tokens into B parallel streams and go through them by windows.

    The row of documents is cut into B streams whose lengths differ by at most one token; in each epoch every stream
    advances by `stride` tokens per window, of which it sees `window`. A window ends at a document's end, and the next
    one resets that row. A stream that begins inside a document begins with the initial state and the token before it as
    input. When windows overlap (`stride` < `window`), only the last `stride` targets of a window count, all of them in
    the first one: so every token counts exactly once per epoch, with the longest past that any window gives it. The
    state to carry on is then the one after `stride` steps.

        for epoch in range(num_epochs):
            for window in streams:          # one epoch; after `load_state_dict`, the rest of one
                ...

    Args:
        tokens: [N] integers, N ≥ 1; a memory map is read window by window.
        document_starts: [D], ascending, the first 0.
        begin_id: the input before a document's first token.
        batch_size: streams B. Those that get no token (B > N) stay empty.
        window: tokens per window, at most; stride: tokens to advance, 1 … window; None: window.
        both_sides: whether inputs are the tokens on both sides of a target.
    Raises: ArgumentError.
    Cost: O(B·window) per window; O(D) per epoch.
    Source: Williams & Peng 1990; parallel streams as in Zaremba et al. 2014.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        document_starts: np.ndarray,
        *,
        begin_id: int,
        batch_size: int,
        window: int,
        stride: int | None = None,
        both_sides: bool = False,
    ) -> None:
        starts = np.asarray(document_starts, np.int64)
        if tokens.ndim != 1 or not len(tokens):
            raise ArgumentError(f"tokens must be [N] with N of at least 1, got shape {tokens.shape}; give more text")
        if starts.ndim != 1 or not len(starts) or starts[0] != 0 or (np.diff(starts, append=len(tokens)) < 1).any():
            raise ArgumentError("document_starts must ascend from 0 within the tokens; take them from the Corpus")
        stride = window if stride is None else stride
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; at least 1 is wanted")
        if not 1 <= stride <= window:
            raise ArgumentError(f"stride is {stride} and window {window}; 1 ≤ stride ≤ window is wanted")
        self.tokens, self.document_starts, self.begin_id = tokens, starts, begin_id
        self.batch_size, self.window, self.stride, self.both_sides = batch_size, window, stride, both_sides
        # Segments: stretches of one document in one stream.
        begins = np.arange(batch_size + 1) * len(tokens) // batch_size  # where each stream begins
        self._starts = np.union1d(starts, begins[begins < len(tokens)])
        self._stops = np.append(self._starts[1:], len(tokens))
        self._begins_document = np.isin(self._starts, starts)
        segments = np.searchsorted(self._starts, begins)
        self._first_segment, self._last_segment = segments[:-1], segments[1:]
        self._begin_epoch(0)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Window:
        row, rows = self._segment, np.arange(self.batch_size)
        alive = row < self._last_segment
        if not alive.any():
            self._begin_epoch(self.epoch + 1)
            raise StopIteration
        row = np.where(alive, row, 0)
        stop = np.where(alive, self._stops[row], 0)
        position = np.where(alive, self._position, 0)
        lengths = np.minimum(stop - position, self.window)
        reset = alive & (position == self._starts[row])
        steps = np.arange(int(lengths.max()))[:, None]  # [T, 1]

        valid = steps < lengths  # [T, B]
        at = np.where(valid, position + steps, 0)
        targets = np.where(valid, self.tokens[at], 0).astype(np.int64)
        inputs = np.empty_like(targets)
        inputs[1:] = np.where(valid[1:], targets[:-1], 0)
        inputs[0] = np.where(valid[0], self.tokens[np.maximum(position - 1, 0)], 0)
        inputs[0, reset & self._begins_document[row]] = self.begin_id
        if self.both_sides:
            inputs = np.stack([inputs, np.where(valid, self._after(at), 0)], axis=2)
        weights = (valid & (position + steps >= self._counted)).astype(np.float32)

        end = position + lengths
        done = alive & (end == stop)
        self._counted = np.where(alive, end, self._counted)
        self._position = np.where(alive, position + self.stride, self._position)
        self._segment = self._segment + done
        fresh = rows[done & (self._segment < self._last_segment)]
        self._position[fresh] = self._counted[fresh] = self._starts[self._segment[fresh]]
        self.windows_done += 1
        return Window(inputs, targets, lengths, weights, reset)

    def __len__(self) -> int:
        """The number of windows in the current epoch."""
        lengths = self._stops - self._starts
        windows = 1 + np.maximum(-(-(lengths - self.window) // self.stride), 0)
        total = np.concatenate([[0], np.cumsum(windows)])
        return int((total[self._last_segment] - total[self._first_segment]).max())

    def state_dict(self) -> dict[str, Any]:
        """Where the streams stand, JSON-able: a resumed run gets the same windows, bit for bit."""
        return {
            **self._settings(),
            "epoch": self.epoch,
            "windows_done": self.windows_done,
            "segment": self._segment.tolist(),
            "position": self._position.tolist(),
            "counted": self._counted.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises: ArgumentError naming a setting that differs."""
        for name, value in self._settings().items():
            if state.get(name) != value:
                raise ArgumentError(
                    f"the streams were saved with {name} {state.get(name)}, now it is {value}; resume with the former"
                )
        self._begin_epoch(int(state["epoch"]))
        self.windows_done = int(state["windows_done"])
        self._segment = np.array(state["segment"], np.int64)
        self._position = np.array(state["position"], np.int64)
        self._counted = np.array(state["counted"], np.int64)

    def _after(self, at: np.ndarray) -> np.ndarray:
        """The token after each place, the begin token after a document's last one."""
        document = np.searchsorted(self.document_starts, at, side="right")
        is_last = at + 1 == np.append(self.document_starts, len(self.tokens))[document]
        return np.where(is_last, self.begin_id, self.tokens[np.minimum(at + 1, len(self.tokens) - 1)])

    def _settings(self) -> dict[str, Any]:
        names = ("batch_size", "window", "stride", "begin_id")
        sizes = {"num_tokens": len(self.tokens), "num_documents": len(self.document_starts)}
        return {name: getattr(self, name) for name in names} | sizes

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.windows_done = epoch, 0
        self._segment = self._first_segment.copy()
        self._position = self._starts[np.minimum(self._segment, len(self._starts) - 1)]
        self._counted = self._position.copy()
