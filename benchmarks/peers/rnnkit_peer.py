"""rnnkit's layers, called as a user calls them: through torch and its autograd."""

from __future__ import annotations

import sys

import torch
from torch_peer import torch_job
from worker import Case, Job, serve

from rnnkit import kernels, nn


def prepare(case: Case) -> Job:
    layer = nn.Recurrent(case.cell, case.I, case.H)
    return torch_job(case, layer, lambda x, lengths: layer(x, lengths=lengths if case.is_ragged else None)[0])


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    kernels.set_num_threads(int(sys.argv[1]))
    serve(prepare)
