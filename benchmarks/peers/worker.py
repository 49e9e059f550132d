"""The inside of a peer's process: cases come in as lines of JSON, seconds go out. NumPy only; every peer imports this.

A peer's script ends in `serve(LayerCase=prepare, ...)`, where `prepare(case)` returns a Job, or raises NotOffered with
the reason.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

GATES = {"lstm": 4, "lstm_projected": 4, "gru_before": 3, "gru_after": 3, "elman_tanh": 1, "elman_relu": 1}


class NotOffered(Exception):
    """This peer has no such case; the message says what is missing."""


@dataclass(frozen=True)
class LayerCase:
    """A layer of one cell over [T, B, I].

    mode: "forward"; "train", with all gradients of sum(y * upstream), the weights new at every run; "last", those of
    the last step's term; or "step", T calls of one step each, the state fed back. options: keywords of
    rnnkit.nn.Recurrent. The h of "lstm_projected" is half as wide as its memory.
    """

    cell: str
    mode: str
    B: int
    T: int
    I: int
    H: int
    is_ragged: bool = False
    options: dict[str, object] = field(default_factory=dict)

    @property
    def output_size(self) -> int:
        """The width of y."""
        return self.H // 2 if self.cell == "lstm_projected" else int(self.options.get("proj_size", self.H))

    @property
    def flop(self) -> float:
        """Of the products: 2·G·H·(I + P) for every step, and 2·P·H of a projection; three times that with gradients."""
        weights = self.H * (
            GATES[self.cell] * (self.I + self.output_size) + (self.output_size if self.output_size != self.H else 0)
        )
        return (1 if self.mode in ("forward", "step") else 3) * 2.0 * int(self.lengths().sum()) * weights

    def lengths(self) -> np.ndarray:
        """[B], uniform in 1..T with one row of the whole length, longest first as PackedSequence likes it best."""
        if not self.is_ragged:
            return np.full(self.B, self.T)
        lengths = np.sort(np.random.default_rng(1).integers(1, self.T + 1, self.B))[::-1].astype(np.int64)
        lengths[0] = self.T
        return lengths

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights in torch's layout (of the cells that peers have), input, upstream gradient: the same everywhere."""
        rng = np.random.default_rng(0)
        arrays = {}
        if self.cell in GATES:
            rows, bound = GATES[self.cell] * self.H, self.H**-0.5
            shapes = {
                "weight_ih": (rows, self.I),
                "weight_hh": (rows, self.output_size),
                "bias_ih": (rows,),
                "bias_hh": (rows,),
            }
            shapes |= {"weight_hr": (self.output_size, self.H)} if self.output_size != self.H else {}
            arrays = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
        arrays["x"] = rng.standard_normal((self.T, self.B, self.I), np.float32)
        arrays["upstream"] = rng.standard_normal((self.T, self.B, self.output_size), np.float32)
        return arrays


@dataclass(frozen=True)
class SampleCase:
    """`num_tokens` characters drawn from a language model: one-hot input, LSTM layers, a softmax over `vocab_size`."""

    num_layers: int
    H: int
    vocab_size: int = 65
    num_tokens: int = 200

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights by the names of a bundle, and `ids` [50]: a text whose scores every peer must agree on."""
        rng, bound = np.random.default_rng(0), self.H**-0.5
        shapes: dict[str, tuple[int, ...]] = {"head.weight": (self.vocab_size, self.H), "head.bias": (self.vocab_size,)}
        for layer in range(self.num_layers):
            width = self.H if layer else self.vocab_size
            shapes |= {f"recurrent.weight_ih_l{layer}": (4 * self.H, width)}
            shapes |= {f"recurrent.weight_hh_l{layer}": (4 * self.H, self.H)}
            shapes |= {f"recurrent.bias_{kind}_l{layer}": (4 * self.H,) for kind in ("ih", "hh")}
        arrays = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
        return arrays | {"ids": rng.integers(0, self.vocab_size, 50)}


@dataclass(frozen=True)
class HeadCase:
    """The summed cross-entropy of a linear layer over `rows` hidden vectors, with all gradients."""

    rows: int
    inputs: int
    vocab_size: int

    @property
    def flop(self) -> float:
        return 6.0 * self.rows * self.inputs * self.vocab_size

    def arrays(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        arrays = {"x": rng.standard_normal((self.rows, self.inputs), np.float32)}
        arrays["weight"] = rng.standard_normal((self.vocab_size, self.inputs), np.float32) * self.inputs**-0.5
        arrays["weight"] = arrays["weight"].astype(np.float32)
        arrays["bias"] = rng.standard_normal(self.vocab_size, np.float32)
        return arrays | {"targets": rng.integers(0, self.vocab_size, self.rows)}


@dataclass(frozen=True)
class GemmCase:
    """The machine's own rate: y = x Wᵀ of square matrices."""

    size: int

    @property
    def flop(self) -> float:
        return 2.0 * self.size**3

    def arrays(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {name: rng.standard_normal((self.size, self.size), np.float32) for name in ("x", "weight")}


Case = LayerCase | SampleCase | HeadCase | GemmCase
KINDS = {kind.__name__: kind for kind in (LayerCase, SampleCase, HeadCase, GemmCase)}


@dataclass(frozen=True)
class Job:
    """A prepared case. `run` does it once; `results` gives what it computed, `y` and gradients by parameter."""

    run: Callable[[], object]
    results: Callable[[], dict[str, np.ndarray]]


def serve(**prepare: Callable[..., Job]) -> None:
    """Answer requests until stdin ends. What libraries print goes to stderr, so that stdout carries answers alone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    jobs: dict[str, Job] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, object] = {}
        if request["do"] == "prepare":
            try:
                if request["kind"] not in prepare:
                    raise NotOffered(f"no {request['kind']}")
                job = prepare[request["kind"]](KINDS[request["kind"]](**request["case"]))
                job.run()
                np.savez(request["results"], **job.results())
                jobs[request["job"]] = job
            except NotOffered as error:
                answer["not_offered"] = str(error)
        elif request["do"] == "forget":
            jobs.clear()
        else:
            run, times = jobs[request["job"]].run, request["times"]
            clock = time.process_time if request["is_cpu_time"] else time.perf_counter
            start = clock()
            for _ in range(times):
                run()
            answer["seconds"] = (clock() - start) / times
        print(json.dumps(answer), file=answers, flush=True)
