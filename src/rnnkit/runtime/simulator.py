"""A trained simulator without torch: inputs in, one by one or in blocks, what the system puts out after each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnkit.bundle import Bundle
from rnnkit.bundle import system as system_file
from rnnkit.errors import ArgumentError, DtypeError, ShapeError
from rnnkit.kernels import heads
from rnnkit.runtime.bundled import BundledModel
from rnnkit.runtime.stack import Parts, Stack
from rnnkit.state import State

INPUTS, OUTPUTS = "inputs", "outputs"  # the parts of a state that hold what was read last
_MOST = np.float32(1e3)  # as models.simulator.MOST: a simulation that runs away is held at so many deviations


class Simulator(BundledModel):
    """Simulates a system from its inputs; the equations are in `rnnkit.models.simulator`.

        model = Simulator.load("runs/silverbox")
        y, state = model(u)                        # u [T, B, I] -> [T, B, O], from rest
        y, state = model(block, state)             # goes on
        y, state = model.step([[0.3]], state)      # u [B, I] -> [B, O]
        y, state = model(u, y=measured)            # measured [T, B, O]: every step from the outputs measured before it

    The state is a value that the caller holds. A whole input, any blocks of it and single steps give the same bits,
    whatever stands beside it in the call. A model without output_lags reads a block at once, in the native core: that
    is for audio rates. One with them goes step by step: each step reads the output of the one before.
    """

    kind = "simulator"

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        system: system_file.SystemFacts,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Of a configuration and its float32 arrays in memory, for example those of `export`.

        Args:   system: names and sample rate.  digest, precision: as of `Transducer`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        files = {system_file.NAME: system.to_bytes()}
        super().__init__(config, tensors, None, files=files, digest=digest, precision=precision)
        self.system = system
        """What inputs and outputs are called, and the sample rate."""
        self._model: dict[str, Any] = config["model"]
        weights = self._weights
        self._stack = Stack(self._model, weights, self.precision, embeds=False)
        how: Any = {"precision": self.precision}
        self._head = heads.PackedLinear(weights["head.weight"], weights["head.bias"], **how)
        self._linear = heads.PackedLinear(weights["linear.weight"], **how) if self._model["linear"] else None
        self._scales = {
            kind: (weights[f"{kind}_scale.mean"], weights[f"{kind}_scale.deviation"]) for kind in ("input", "output")
        }
        self.num_inputs: int = self._model["num_inputs"]
        self.num_outputs: int = self._model["num_outputs"]
        self._input_lags, self._output_lags = self._model["input_lags"], self._model["output_lags"]
        self._behind = self._model["delay"] + self._input_lags - 1  # inputs that are kept
        names = self._stack.part_names
        layers = tuple(tuple(zip(names, layer.part_sizes, strict=True)) for layer in self._stack.layers)
        kept = ((INPUTS, self._behind * self.num_inputs), (OUTPUTS, self._output_lags * self.num_outputs))
        self._kept = tuple((name, width) for name, width in kept if width)
        self._parts = (*layers, *((self._kept,) if self._kept else ()))

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        sizes = {name: bundle.config["model"][name] for name in ("num_inputs", "num_outputs")}
        system = system_file.SystemFacts.from_files(bundle.files, **sizes)
        return cls(bundle.config, bundle.tensors, system=system, digest=bundle.digest, precision=precision)

    @property
    def sample_rate(self) -> float | None:
        """Steps in a second; None: unknown."""
        return self.system.sample_rate

    @property
    def reads_outputs(self) -> bool:
        """Whether it reads its last outputs, and so goes step by step."""
        return self._output_lags > 0

    @property
    def num_parameters(self) -> int:
        """How many numbers were learned."""
        return super().num_parameters - 2 * (self.num_inputs + self.num_outputs)

    def _initial_parts(self, batch: int) -> Parts:
        kept = tuple(np.zeros((batch, width), np.float32) for _, width in self._kept)
        return [*self._stack.initial(batch), *((kept,) if kept else ())]

    def __call__(self, u: Any, state: State | None = None, *, y: Any = None) -> tuple[np.ndarray, State]:
        """Read a block of inputs, and say what comes out at each step.

        Args:    u: numbers [T, B, I], in the units of training.  state: after what the rows have read, None: at rest.
                 y: what was measured, [T, B, O], NaN where it was not: the steps behind read it in place of what the
                 model has said. All of it: one-step predictions. The first steps alone: a start.
        Returns: outputs float32 [T, B, O]; the State after the last step. What is said of a step never depends on y
                 of that step, nor on anything later.
        Raises:  ShapeError, DtypeError, ArgumentError for an input that is not finite; StateError for another model's
                 state.
        """
        u = self._numbers(u, "u", rank=3, size=self.num_inputs)
        measured = None if y is None else self._numbers(y, "y", rank=3, size=self.num_outputs, shape=u.shape[:2])
        return self._run(u, measured, state)

    def step(self, u: Any, state: State | None = None, *, y: Any = None) -> tuple[np.ndarray, State]:
        """One step for each row: u [B, I] -> (outputs [B, O], State). Args: y: [B, O], as of `__call__`."""
        u = self._numbers(u, "u", rank=2, size=self.num_inputs)[None]
        if y is not None:
            y = self._numbers(y, "y", rank=2, size=self.num_outputs, shape=u.shape[1:2])[None]
        said, state = self._run(u, y, state)
        return said[0], state

    def _numbers(self, values: Any, name: str, *, rank: int, size: int, shape: Any = None) -> np.ndarray:
        """Scaled float32."""
        array = np.asarray(values)
        axes = {2: "[B", 3: "[T, B"}[rank]
        if array.dtype.kind not in "fiu":
            raise DtypeError(f"{name} must be numbers, got {array.dtype}")
        if array.ndim != rank or array.shape[-1] != size or (shape is not None and array.shape[:-1] != tuple(shape)):
            of = "" if shape is None else f" beside u of {list(shape)} steps and rows"
            raise ShapeError(f"{name} must have the axes {axes}, {size}]{of}, got the shape {list(array.shape)}")
        if not (np.isfinite(array) | (np.isnan(array) if name == "y" else False)).all():
            hint = "; NaN stands for one that was not measured" if name == "y" else ""
            raise ArgumentError(f"{name} holds a value that is not finite{hint}")
        mean, deviation = self._scales["input" if name == "u" else "output"]
        return (array.astype(np.float32) - mean) / deviation

    def _run(self, u: np.ndarray, y: np.ndarray | None, state: State | None) -> tuple[np.ndarray, State]:
        T, B, I = u.shape
        parts = self._checked(state, B)
        layers = list(parts[: len(self._stack.layers)])
        kept = dict(zip((name for name, _ in self._kept), parts[-1], strict=True)) if self._kept else {}
        before = kept.get(INPUTS, np.zeros((B, 0), np.float32)).reshape(B, self._behind, I)
        line = np.concatenate([before.transpose(1, 0, 2), u])  # [behind + T, B, I]
        if self._behind:
            kept[INPUTS] = np.ascontiguousarray(line[T:].transpose(1, 0, 2)).reshape(B, self._behind * I)
        windows = np.zeros((T, B, self._input_lags * I), np.float32)
        if T:
            seen = sliding_window_view(line[: T + self._input_lags - 1], self._input_lags, axis=0)  # [T, B, I, n]
            windows[:] = seen.transpose(0, 1, 3, 2).reshape(windows.shape)
        if self.reads_outputs:
            said, layers, kept[OUTPUTS] = self._by_steps(windows, y, layers, kept[OUTPUTS])
        else:
            hidden, layers = self._stack.forward(windows, layers)
            read, top = (of.reshape(T * B, of.shape[2]) for of in (windows, hidden))
            said = self._said(read, top).reshape(T, B, self.num_outputs)
        mean, deviation = self._scales["output"]
        after = [*layers, *((tuple(kept[name] for name, _ in self._kept),) if self._kept else ())]
        return said * deviation + mean, self._state(after)

    def _by_steps(
        self, windows: np.ndarray, y: np.ndarray | None, layers: Parts, past: np.ndarray
    ) -> tuple[np.ndarray, Any, np.ndarray]:
        T, B, width = windows.shape
        O = self.num_outputs
        said = np.empty((T, B, O), np.float32)
        read = np.empty((T, B, width + past.shape[1]), np.float32)
        read[:, :, :width] = windows
        for t in range(T):
            read[t, :, width:] = past
            hidden, layers = self._stack.step(read[t], layers)
            said[t] = latest = self._said(read[t], hidden)
            if y is not None:
                latest = np.where(np.isnan(y[t]), latest, y[t])
            past = np.concatenate([past[:, O:], latest], axis=1)
        return said, layers, past

    def _said(self, read: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        said = self._head(hidden)
        if self._linear is not None:
            said = said + self._linear(read)
        return np.clip(said, -_MOST, _MOST) if self.reads_outputs else said
