"""Which backend runs a layer, and why: decided here and nowhere else.

`native` is the C++ core (float32 on the CPU, the exactness promises hold); `spec` is the equations in plain torch (any
dtype, any device, differentiable twice, slow). `auto` takes `native` wherever it can and says once when it cannot.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor

from rnnkit.errors import ConfigError, RnnkitError
from rnnkit.kernels import recurrent
from rnnkit.nn import spec

Backend = Literal["auto", "native", "spec"]
BACKENDS = ("auto", "native", "spec")
_said: set[tuple[str, str]] = set()


class SpecBackendWarning(UserWarning):
    """A layer left the native core. Said once per cell and reason; `backend="spec"` asks for it and silences it."""


def compare_with_core(cells: dict[str, spec.CellSpec], core: dict[str, Any]) -> None:
    """Check that equations and core agree on gate order, state parts and parameters of every cell that both have.

    Raises: RnnkitError naming the cell. Swapped gates would train well and load wrong, so nothing may start like that.
    """
    for name in cells.keys() & core.keys():
        ours, theirs = cells[name], core[name]
        normed = {n: axes for n, axes in spec.layer_normed(ours).parameters.items() if n not in ours.parameters}
        pairs = [(what, getattr(ours, what), getattr(theirs, what)) for what in ("gates", "parts", "parameters")]
        for what, our, their in (*pairs, ("norms", normed, theirs.norms)):
            if our != their:
                raise RnnkitError(
                    f"cell {name!r}: nn/spec has {what} {our}, the native core has {their}; rebuild the core "
                    "(pip install -e .) or correct the cell file"
                )


compare_with_core(spec.CELLS | {cell.name: cell for cell in spec.PROJECTED.values()}, recurrent.CELLS)


def check_backend(backend: str) -> str:
    """`backend` itself, if it is one. Raises: ConfigError."""
    if backend not in BACKENDS:
        raise ConfigError(f"backend={backend!r} does not exist; choose one of {', '.join(BACKENDS)}")
    return backend


def choose(
    cell: spec.CellSpec, *, backend: str, dtype: torch.dtype, device: torch.device, precision: str = "fp32"
) -> str:
    """The backend that runs `cell` on weights of this dtype and device. Warns once per reason when `auto` means `spec`.

    Raises: ConfigError if `native` (or bf16, which only `native` has) was asked for and cannot run.
    """
    name, reason = explain(cell, backend=backend, dtype=dtype, device=device)
    if precision == "bf16" and name == "spec":
        raise ConfigError(f"precision='bf16' is the native core's: {reason}; use precision='fp32' or 'auto'")
    if backend == "auto" and name == "spec" and (cell.name, reason) not in _said:
        _said.add((cell.name, reason))
        warnings.warn(
            f"{cell.name} runs on backend 'spec' (slow, without the exactness promises): {reason}",
            SpecBackendWarning,
            stacklevel=2,
        )
    return name


def explain(cell: spec.CellSpec, *, backend: str, dtype: torch.dtype, device: torch.device) -> tuple[str, str]:
    """The backend and the reason, without a warning."""
    if check_backend(backend) == "spec":
        return "spec", "backend='spec' was asked for"
    if cell.name not in recurrent.CELLS:
        reason = f"the native core has no cell {cell.name!r}; it has {', '.join(sorted(recurrent.CELLS))}"
    elif dtype != torch.float32:
        reason = f"the native core computes in float32, the weights are {str(dtype).removeprefix('torch.')}"
    elif device.type != "cpu":
        reason = f"the native core runs on the CPU, the weights are on {device.type}"
    else:
        return "native", f"{cell.name} in float32 on the CPU"
    if backend == "native":
        raise ConfigError(f"backend='native' cannot run this layer: {reason}; use backend='auto'")
    return "spec", reason


def explain_backend(layer: torch.nn.Module | str) -> tuple[str, str]:
    """Say which backend runs `layer`, and why.

    Args: layer: a layer or cell of `rnnkit.nn`, any module that holds some, or a cell's name (as float32 on the CPU).
    Returns: `("native" | "spec", reason)`. A module with several layers answers for the slowest.
    Raises: ConfigError for an unknown cell or a module without recurrent layers.
    """
    if isinstance(layer, str):
        if layer not in spec.CELLS:
            raise ConfigError(f"cell {layer!r} does not exist; there are {', '.join(spec.CELLS)}")
        return explain(spec.CELLS[layer], backend="auto", dtype=torch.float32, device=torch.device("cpu"))
    answers = []
    for module in layer.modules():
        cell = getattr(module, "cell", None)
        if isinstance(cell, spec.CellSpec):
            weight: Tensor = next(module.parameters())
            answers.append(explain(cell, backend=str(module.backend), dtype=weight.dtype, device=weight.device))
    if not answers:
        raise ConfigError(f"{type(layer).__name__} holds no recurrent layer of rnnkit.nn; pass one that does")
    return next((answer for answer in answers if answer[0] == "spec"), answers[0])
