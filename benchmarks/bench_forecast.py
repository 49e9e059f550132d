"""What a forecaster's step costs, ours beside ONNX Runtime's in one interleaved run, and 10,000 series in a call.

An LSTM of 64 units over 7 lags of a window of 96 hours and the calendar, which says three quantiles of 24 steps ahead;
on one thread. ONNX Runtime runs a graph of the same step: window in, window out, its scaling, lags and calendar within;
it is fed NumPy arrays, as ours is. What is timed has given the same forecasts before. `--cpu` counts processor time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import runtime
from rnnkit.bundle.schema import check_config
from rnnkit.bundle.series import SeriesFacts
from rnnkit.export.gate_order import to_onnx
from rnnkit.state import State

W, H, HORIZON = 96, 64, 24
LAGS, CALENDAR = [0, 1, 2, 23, 24, 47, 95], [[24, 1], [168, 1]]
MODEL = {
    "vocab_size": 0, "embedding_size": 0, "cell": "lstm", "hidden_size": H, "num_layers": 1, "bias": True,
    "window": W, "horizon": HORIZON, "output": "quantiles", "quantile_levels": [0.05, 0.5, 0.95], "num_components": 3,
    "level": "mean", "scale": "window", "lags": LAGS, "calendar": CALENDAR,
    "num_past": 0, "num_future": 0, "num_static": 0, "linear": True, "recursive": False, "log": False,
}  # fmt: skip
_TOLERANCE = 1e-5  # relative, of forecasts of the two
_BEGUN = 20  # a window of one value repeated is scaled by rounding alone, and the layers remember it for some steps


def graph_of(tensors: dict[str, np.ndarray]) -> bytes:
    """As an ONNX model: y [B, 1], window [B, W], clock [B], h and c [1, B, H] -> raw, level, scale, those after."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, *inputs: str, out: str, **more: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [out], **more))
        return out

    axis = constant("axis", np.array([1], np.int64))
    older = node("Slice", "window", constant("one", np.array([1])), constant("end", np.array([W])), axis, out="older")
    window = node("Concat", older, "y", out="next_window", axis=1)
    level = node("ReduceMean", window, axis, out="level", keepdims=1)
    off = node("Sub", window, level, out="off")
    size = node("ReduceMean", node("Abs", window, out="abs"), axis, out="size", keepdims=1)
    deviation = node("Sqrt", node("ReduceMean", node("Mul", off, off, out="sq"), axis, out="var"), out="dev")
    floor = node("Mul", size, constant("floor", np.array(1e-3, "f4")), out="floored")
    positive = node("Max", deviation, floor, out="positive")
    is_zero = node("Equal", positive, constant("zero", np.array(0, "f4")), out="is_zero")
    scale = node("Where", is_zero, constant("unit", np.array(1, "f4")), positive, out="scale")
    scaled = node("Div", off, scale, out="scaled")
    places = W - 1 - np.array(LAGS[::-1], np.int64)
    read = [node("Gather", scaled, constant("lags", places), out="lagged", axis=1)]
    node("Add", "clock", constant("tick", np.array(1, np.int64)), out="next_clock")
    for number, (steps, cycles) in enumerate(CALENDAR):
        angle = 2 * np.pi * cycles * np.arange(steps) / steps
        table = constant(f"table{number}", np.stack([np.sin(angle), np.cos(angle)], 1).astype("f4"))
        at = node("Mod", "next_clock", constant(f"steps{number}", np.array(steps, np.int64)), out=f"at{number}")
        read.append(node("Gather", table, at, out=f"calendar{number}", axis=0))
    x = node("Unsqueeze", node("Concat", *read, out="read", axis=1), constant("first", np.array([0])), out="x")
    weights = [to_onnx("lstm", tensors[f"recurrent.weight_{of}_l0"])[None] for of in ("ih", "hh")]
    bias = np.concatenate([to_onnx("lstm", tensors[f"recurrent.bias_{of}_l0"]) for of in ("ih", "hh")])[None]
    given = [constant(name, value) for name, value in zip("wrb", (*weights, bias), strict=True)]
    nodes.append(helper.make_node("LSTM", [x, *given, "", "h", "c"], ["", "next_h", "next_c"], hidden_size=H))
    hidden = node("Squeeze", "next_h", constant("row", np.array([0])), out="hidden")
    head = [constant("head", tensors["head.weight"]), constant("bias", tensors["head.bias"])]
    said = node("Gemm", hidden, *head, out="said", transB=1)
    node("Gemm", scaled, constant("linear", tensors["autoregression.weight"]), said, out="raw", transB=1)
    real, whole = TensorProto.FLOAT, TensorProto.INT64
    declared = {"y": (real, ["B", 1]), "window": (real, ["B", W]), "clock": (whole, ["B"])}
    state = {"h": (real, [1, "B", H]), "c": (real, [1, "B", H])}
    results = {"raw": (real, ["B", HORIZON * 3]), "level": (real, ["B", 1]), "scale": (real, ["B", 1])}
    results |= {f"next_{name}": of for name, of in (declared | state).items() if name != "y"}
    ends = [
        [helper.make_tensor_value_info(name, *of) for name, of in side.items()] for side in (declared | state, results)
    ]
    graph = helper.make_graph(nodes, "step", *ends, initializer=constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


class OnnxStep:
    """A step of ONNX Runtime on one thread, its state fed back."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph_of(tensors), options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_outputs()]

    def first(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The state of rows before y [B]: a window of it, as ours is read."""
        B = len(y)
        zeros = np.zeros((1, B, H), np.float32)
        return {"window": np.repeat(y[:, None], W, 1), "clock": np.zeros(B, np.int64), "h": zeros, "c": zeros}

    def __call__(self, y: np.ndarray, state: dict[str, np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        raw, level, scale, window, clock, h, c = self._session.run(None, {"y": y[:, None], **state})
        return [raw, level, scale], {"window": window, "clock": clock, "h": h, "c": c}


def check(model: runtime.Forecaster, peer: OnnxStep, generator: np.random.Generator) -> None:
    """Raises: AssertionError where the two do not say the same over 200 steps of three series."""
    y = generator.normal(5, 2, (200, 3)).astype(np.float32)
    state, theirs = model.initial_state(3), peer.first(y[0])
    for number, of in enumerate(y):
        forecast, state = model.step(of, state)
        (raw, level, scale), theirs = peer(of, theirs)
        if number < _BEGUN:
            continue
        for ours, other in ((forecast.raw.reshape(raw.shape), raw), (forecast.level, level), (forecast.scale, scale)):
            error = np.linalg.norm(ours - other) / np.linalg.norm(ours)
            assert error < _TOLERANCE, f"ours and ONNX Runtime's forecasts differ by {error:.1e}; nothing is timed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="processor time in place of the clock's, on a busy machine")
    clock = time.process_time if parser.parse_args().cpu else time.perf_counter
    runtime.set_num_threads(1)
    config = {"format": 1, "kind": "forecaster", "precision": "fp32", "model": MODEL}
    generator = np.random.default_rng(0)
    tensors = {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in check_config(config).items()}
    names = {"past": [], "future": [], "static": []}
    facts = SeriesFacts([], np.zeros((0, 2), "f4"), np.zeros((0, 0), "f4"), ("seconds", 3600, 0, 1), names)
    model = runtime.Forecaster(config, tensors, series=facts)
    peer = OnnxStep(tensors)
    check(model, peer, generator)
    found: dict[tuple[str, int], float] = {}
    for rows, count in ((1, 3000), (10_000, 20)):
        y = generator.normal(size=rows).astype(np.float32)
        states: dict[str, Any] = {"rnnkit": model.initial_state(rows), "onnxruntime": peer.first(y)}
        steps: dict[str, Callable[[np.ndarray, Any], tuple[Any, State | dict[str, np.ndarray]]]]
        steps = {"rnnkit": model.step, "onnxruntime": peer}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(count):
            for name, step in steps.items():  # in turn, so that what else the machine does meets both
                started = clock()
                _, states[name] = step(y, states[name])
                seconds[name].append(clock() - started)
        for name, of in seconds.items():
            found[name, rows] = statistics.median(of) / rows * 1e6
            print(f"{rows:>6} series in a call, {name:>11}: {found[name, rows]:.2f} us for each")
    share = found["rnnkit", 1] / found["onnxruntime", 1]
    print(f"one series: {share:.2f} of ONNX Runtime's time")
    print(
        f"10,000 in a call: {found['rnnkit', 1] / found['rnnkit', 10_000]:.1f} times cheaper per series than one by one"
    )


if __name__ == "__main__":
    main()
