"""rnnkit as a user calls it: rnnkit_peer.py THREADS fp32|bf16|int8|fp32_split|fp64.

Layers go through torch and its autograd, steps and sampling through the run half. "fp64" is never timed: it is what
everybody is compared with, the equations of rnnkit.nn.spec in double precision.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_peer import head_job, torch_job
from worker import Case, GemmCase, HeadCase, Job, LayerCase, NotOffered, SampleCase, serve

from rnnkit import LanguageModel, kernels, nn, text
from rnnkit.errors import RnnkitError
from rnnkit.kernels import heads
from rnnkit.kernels.recurrent import Layer


class Rnnkit:
    """One precision of it."""

    def __init__(self, precision: str) -> None:
        self.is_reference = precision == "fp64"
        self.precision = precision
        self._keywords = {} if precision in ("fp32", "fp64") else {"precision": precision}

    def layer(self, case: LayerCase) -> Job:
        if case.mode == "step":
            if not self.is_reference:
                return self._step(case)
            case = dataclasses.replace(case, mode="forward")
        torch.manual_seed(0)  # a cell that no peer has keeps the parameters it starts with
        backend = "spec" if self.is_reference else "native"
        cell, projection = ("lstm", {"proj_size": case.output_size}) if case.output_size != case.H else (case.cell, {})
        layer = nn.Recurrent(cell, case.I, case.H, backend=backend, **(projection | case.options), **self._keywords)
        layer = layer.double() if self.is_reference else layer

        def call(x: torch.Tensor, lengths: np.ndarray) -> torch.Tensor:
            y, state = layer(x, lengths=lengths if case.is_ragged else None)
            # Not y[-1]: torch would write a gradient of zeros for all other steps.
            return state.layers[0]["h"] if case.mode == "last" else y

        return torch_job(case, layer, call)

    def _step(self, case: LayerCase) -> Job:
        arrays = case.arrays()
        weights = {name: array for name, array in arrays.items() if name.startswith(("weight", "bias"))}
        layer, outputs = (
            Layer(case.cell, **weights, **self._keywords),
            np.empty((case.T, case.B, case.output_size), np.float32),
        )

        def run() -> None:
            state = None
            for t, x in enumerate(arrays["x"]):
                outputs[t], state = layer.step(x, state)

        return Job(run, lambda: {"y": outputs})

    def sample(self, case: SampleCase) -> Job:
        if self.is_reference:
            return self._scores(case)
        arrays = case.arrays()
        ids = arrays.pop("ids")
        model = {"vocab_size": case.vocab_size, "embedding_size": 0, "cell": "lstm", "hidden_size": case.H}
        model |= {"num_layers": case.num_layers, "bias": True, "tied": False, "softmax": "full", "cutoffs": []}
        config = {"format": 1, "kind": "language_model", "model": model, "precision": "fp32"}
        characters = "".join(chr(ord("0") + i) for i in range(case.vocab_size))
        tokenizer = text.CharTokenizer(characters, with_unknown=False)
        loaded = LanguageModel.from_parts(config, arrays, tokenizer, precision=self.precision)

        def run() -> None:
            for _ in loaded.generate("0", max_new_tokens=case.num_tokens, seed=1):
                pass

        return Job(run, lambda: {"log_probs": loaded(ids[:, None])[0][:, 0]})

    def _scores(self, case: SampleCase) -> Job:
        arrays = {name: torch.from_numpy(array) for name, array in case.arrays().items()}
        layer = torch.nn.LSTM(case.vocab_size, case.H, case.num_layers).double()
        layer.load_state_dict({name.removeprefix("recurrent."): a for name, a in arrays.items() if "recurrent" in name})
        x = torch.nn.functional.one_hot(arrays["ids"], case.vocab_size).double()
        with torch.no_grad():
            scores = layer(x)[0] @ arrays["head.weight"].double().T + arrays["head.bias"].double()
        return Job(lambda: None, lambda: {"log_probs": scores.log_softmax(-1).numpy()})

    def head(self, case: HeadCase) -> Job:
        def losses(x: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            return nn.linear_cross_entropy(x, targets, weight=weight, bias=bias, **self._keywords)

        return head_job(case, losses, torch.float64 if self.is_reference else torch.float32)

    def gemm(self, case: GemmCase) -> Job:
        arrays, latest = case.arrays(), {}
        if self.is_reference:
            y = arrays["x"].astype(np.float64) @ arrays["weight"].T.astype(np.float64)
            return Job(lambda: None, lambda: {"y": y})
        linear = heads.PackedLinear(arrays["weight"], **self._keywords)

        def run() -> None:
            latest["y"] = linear(arrays["x"])

        return Job(run, lambda: latest)


def or_not_offered(prepare: Callable[[Any], Job]) -> Callable[[Case], Job]:
    """What this rnnkit refuses, or does not know yet, is not offered; the message goes into the report."""

    def try_to_prepare(case: Case) -> Job:
        try:
            job = prepare(case)
            job.run()
        except (RnnkitError, TypeError) as error:
            raise NotOffered(f"{type(error).__name__}: {error}") from None
        return job

    return try_to_prepare


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    kernels.set_num_threads(int(sys.argv[1]))
    us = Rnnkit(sys.argv[2])
    jobs = {"LayerCase": us.layer, "SampleCase": us.sample, "HeadCase": us.head, "GemmCase": us.gemm}
    serve(**{kind: or_not_offered(prepare) for kind, prepare in jobs.items()})
