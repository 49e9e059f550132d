"""torch's own layers: torch_peer.py THREADS [flush] [bf16] [compile]."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import numpy as np
import torch
from worker import Case, Job, NotOffered, serve

LAYERS = {
    "lstm": torch.nn.LSTM,
    "gru_after": torch.nn.GRU,
    "elman_tanh": torch.nn.RNN,
    "elman_relu": lambda I, H: torch.nn.RNN(I, H, nonlinearity="relu"),
}


def torch_job(case: Case, layer: torch.nn.Module, call: Callable[..., torch.Tensor], *, is_bf16: bool = False) -> Job:
    """A job over a module with torch's parameter names; `call(x, lengths)` gives y [T, B, H]."""
    arrays = case.arrays()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name.removesuffix("_l0")]))
    x, upstream = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["upstream"])
    lengths = torch.from_numpy(arrays["lengths"])
    x.requires_grad_(case.mode == "train")
    latest: dict[str, torch.Tensor] = {}

    def run() -> None:
        autocast = torch.autocast("cpu", torch.bfloat16) if is_bf16 else contextlib.nullcontext()
        if case.mode == "forward":
            with torch.no_grad(), autocast:
                latest["y"] = call(x, lengths)
            return
        layer.zero_grad(set_to_none=True)
        x.grad = None
        with autocast:
            y = latest["y"] = call(x, lengths)
        y.backward(upstream.to(y.dtype))

    def results() -> dict[str, np.ndarray]:
        found = {"y": latest["y"].detach()}
        if case.mode == "train":
            found |= {name.removesuffix("_l0"): p.grad for name, p in layer.named_parameters()} | {"x": x.grad}
        return {name: tensor.float().numpy() for name, tensor in found.items()}

    return Job(run, results)


def prepare(case: Case, options: set[str]) -> Job:
    if case.cell not in LAYERS:
        raise NotOffered(f"torch has no {case.cell}")
    layer = LAYERS[case.cell](case.I, case.H)
    forward = torch.compile(layer) if "compile" in options else layer

    def call(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if not case.is_ragged:
            return forward(x)[0]
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
        return torch.nn.utils.rnn.pad_packed_sequence(forward(packed)[0], total_length=case.T)[0]

    return torch_job(case, layer, call, is_bf16="bf16" in options)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_flush_denormal("flush" in sys.argv)
    serve(lambda case: prepare(case, set(sys.argv[2:])))
