"""torch's own layers: torch_peer.py THREADS [flush] [bf16] [compile]."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.graph import increment_version
from worker import GemmCase, HeadCase, Job, LayerCase, NotOffered, serve

LAYERS = {
    "lstm": torch.nn.LSTM,
    "lstm_projected": lambda I, H: torch.nn.LSTM(I, H, proj_size=H // 2),
    "gru_after": torch.nn.GRU,
    "elman_tanh": torch.nn.RNN,
    "elman_relu": lambda I, H: torch.nn.RNN(I, H, nonlinearity="relu"),
}
CELLS = {"lstm": torch.nn.LSTMCell, "gru_after": torch.nn.GRUCell, "elman_tanh": torch.nn.RNNCell}


def torch_job(
    case: LayerCase, layer: torch.nn.Module, call: Callable[..., torch.Tensor], *, is_bf16: bool = False
) -> Job:
    """A job over a module with torch's parameter names, in its dtype; `call(x, lengths)` gives y [T, B, H].

    In mode "last" it gives the last step's y alone, [B, H].
    """
    arrays, parameters = case.arrays(), list(layer.parameters())
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if (plain := name.removesuffix("_l0")) in arrays:
                parameter.copy_(torch.from_numpy(arrays[plain]))
    x, upstream = (torch.from_numpy(arrays[name]).to(parameters[0].dtype) for name in ("x", "upstream"))
    lengths = torch.from_numpy(case.lengths())
    x.requires_grad_(case.mode != "forward")
    latest: dict[str, torch.Tensor] = {}

    def run() -> None:
        autocast = torch.autocast("cpu", torch.bfloat16) if is_bf16 else contextlib.nullcontext()
        if case.mode == "forward":
            with torch.no_grad(), autocast:
                latest["y"] = call(x, lengths)
            return
        layer.zero_grad(set_to_none=True)
        x.grad = None
        increment_version(parameters)  # as after an optimiser's step: whoever packed the weights packs them again
        with autocast:
            y = latest["y"] = call(x, lengths)
        y.backward((upstream[-1] if case.mode == "last" else upstream).to(y.dtype))

    def results() -> dict[str, np.ndarray]:
        found = {"y": latest["y"].detach()}
        if case.mode != "forward":
            found |= {name.removesuffix("_l0"): p.grad for name, p in layer.named_parameters()} | {"x": x.grad}
        return {name: in_numpy(tensor) for name, tensor in found.items()}

    return Job(run, results)


def in_numpy(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def step_job(case: LayerCase, *, is_bf16: bool) -> Job:
    if case.cell not in CELLS:
        raise NotOffered(f"torch has no cell for {case.cell}")
    arrays, cell = {name: torch.from_numpy(a) for name, a in case.arrays().items()}, CELLS[case.cell](case.I, case.H)
    outputs = torch.empty(case.T, case.B, case.H)
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(arrays[name])

    def run() -> None:
        state = None
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            for t, x in enumerate(arrays["x"]):
                state = cell(x, state)
                outputs[t] = state[0] if case.cell == "lstm" else state

    return Job(run, lambda: {"y": outputs.numpy()})


def layer_job(case: LayerCase, options: set[str]) -> Job:
    if case.mode == "step":
        return step_job(case, is_bf16="bf16" in options)
    if case.cell not in LAYERS:
        raise NotOffered(f"torch has no {case.cell}")
    layer = LAYERS[case.cell](case.I, case.H)
    forward = torch.compile(layer) if "compile" in options else layer

    def call(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if not case.is_ragged:
            y = forward(x)[0]
            return y[-1] if case.mode == "last" else y
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
        return torch.nn.utils.rnn.pad_packed_sequence(forward(packed)[0], total_length=case.T)[0]

    return torch_job(case, layer, call, is_bf16="bf16" in options)


def head_job(case: HeadCase, losses: Callable[..., torch.Tensor], dtype: torch.dtype, *, is_bf16: bool = False) -> Job:
    """A job over `losses(x, targets, weight, bias)`, their sum's gradients by parameter."""
    arrays = case.arrays()
    targets = torch.from_numpy(arrays.pop("targets"))
    given = {name: torch.from_numpy(a).to(dtype).requires_grad_() for name, a in arrays.items()}
    latest: dict[str, torch.Tensor] = {}

    def run() -> None:
        for tensor in given.values():
            tensor.grad = None
        with torch.autocast("cpu", torch.bfloat16) if is_bf16 else contextlib.nullcontext():
            latest["y"] = losses(given["x"], targets, given["weight"], given["bias"])
        latest["y"].sum().backward()

    def results() -> dict[str, np.ndarray]:
        return {"y": in_numpy(latest["y"])} | {name: in_numpy(tensor.grad) for name, tensor in given.items()}

    return Job(run, results)


def cross_entropy(x: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(x, weight, bias), targets, reduction="none")


def gemm_job(case: GemmCase, dtype: torch.dtype) -> Job:
    x, weight = (torch.from_numpy(array).to(dtype) for array in case.arrays().values())
    latest: dict[str, torch.Tensor] = {}

    def run() -> None:
        latest["y"] = x @ weight.T

    return Job(run, lambda: {"y": in_numpy(latest["y"])})


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_flush_denormal("flush" in sys.argv)
    chosen = set(sys.argv[2:])
    serve(
        LayerCase=lambda case: layer_job(case, chosen),
        HeadCase=lambda case: head_job(case, cross_entropy, torch.float32, is_bf16="bf16" in chosen),
        GemmCase=lambda case: gemm_job(case, torch.bfloat16 if "bf16" in chosen else torch.float32),
    )
