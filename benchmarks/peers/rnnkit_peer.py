"""rnnkit as a user calls it: layers through torch and its autograd, steps and sampling through the run half."""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch_peer import torch_job
from worker import Job, LayerCase, SampleCase, serve

from rnnkit import LanguageModel, kernels, nn, text
from rnnkit.kernels.recurrent import Layer


def layer_job(case: LayerCase) -> Job:
    if case.mode == "step":
        return step_job(case)
    layer = nn.Recurrent(case.cell, case.I, case.H)
    return torch_job(case, layer, lambda x, lengths: layer(x, lengths=lengths if case.is_ragged else None)[0])


def step_job(case: LayerCase) -> Job:
    arrays = case.arrays()
    weights = {name: arrays[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    layer, outputs = Layer(case.cell, **weights), np.empty((case.T, case.B, case.H), np.float32)

    def run() -> None:
        state = None
        for t, x in enumerate(arrays["x"]):
            outputs[t], state = layer.step(x, state)

    return Job(run, lambda: {"y": outputs})


def sample_job(case: SampleCase) -> Job:
    arrays = case.arrays()
    ids = arrays.pop("ids")
    model = {"vocab_size": case.vocab_size, "embedding_size": 0, "cell": "lstm", "hidden_size": case.H, "bias": True}
    model |= {"num_layers": case.num_layers, "tied": False, "softmax": "full", "cutoffs": []}
    config = {"format": 1, "kind": "language_model", "model": model, "precision": "fp32"}
    characters = "".join(chr(ord("0") + i) for i in range(case.vocab_size))
    tokenizer = text.CharTokenizer(characters, with_unknown=False)
    loaded = LanguageModel.from_parts(config, arrays, tokenizer)

    def run() -> None:
        for _ in loaded.generate("0", max_new_tokens=case.num_tokens, seed=1):
            pass

    return Job(run, lambda: {"log_probs": loaded(ids[:, None])[0][:, 0]})


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    kernels.set_num_threads(int(sys.argv[1]))
    serve(layer=layer_job, sample=sample_job)
