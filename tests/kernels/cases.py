"""Random layers for the kernel tests, and what they must give: a float64 loop, one row and one step at a time.

Over 400 lines because a case, its arrays and the loop that judges it must be read side by side to be trusted.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnkit.kernels import CELLS, Layer, isa

Arrays = dict[str, Any]

CELL_NAMES = tuple(CELLS)
# What a case is computed in: "bf16" has float32 arrays and precision="bf16". float64 runs on the portable build alone,
# and only for tests.
DTYPES = ("float32", "bf16", "float64") if isa() == "portable" else ("float32", "bf16")
if isa() == "amx":  # elsewhere it is fp32
    DTYPES = (*DTYPES, "fp32_split")
# numerics.md: relative L2 by dtype and kind of tensor
TOLERANCE = {
    "float32": {"value": 1e-6, "input": 2e-6, "weight": 5e-6},
    "float64": {"value": 1e-12, "input": 1e-11, "weight": 1e-11},
    "fp32_split": {"value": 1e-6, "input": 2e-6, "weight": 5e-6},
    "bf16": {"value": 1e-2, "input": 1.5e-2, "weight": 2e-2},
}


@dataclass(frozen=True)
class Case:
    """One layer and one call of it; `arrays()` gives the same random values every time."""

    cell: str
    T: int
    B: int
    I: int
    H: int
    lengths: tuple[int, ...] | None = None
    reverse: bool = False
    bias: bool = True
    ids: bool = False
    upstream: tuple[str, ...] = ("output", "h", "c")  # or "last": the last step of the output only
    seed: int = 0
    dtype: str = "float32"
    zoneout: str = ""  # "share": a number for each part of the state, "mask": a bool array
    masked: bool = False  # a mask on the h that enters the recurrent products
    recompute: bool = False
    normed: bool = False  # layer normalisation

    @property
    def output_size(self) -> int:
        """The width of h and of the output."""
        return max(1, 2 * self.H // 3) if "weight_hr" in CELLS[self.cell].parameters else self.H

    @property
    def part_sizes(self) -> tuple[int, ...]:
        return (self.output_size, self.H)[: len(CELLS[self.cell].parts)]

    def arrays(self) -> Arrays:
        rng = np.random.default_rng([self.seed, self.T, self.B, self.I, self.H])
        # Beyond this gain an ungated network is chaotic: a single rounding grows past every tolerance.
        gain = 0.9 if self.cell.startswith("elman") else 1.5

        def normal(*shape: int, scale: float = 1.0) -> Any:
            return (rng.standard_normal(shape) * scale).astype(np.float64 if self.dtype == "float64" else np.float32)

        scales = {"weight_ih": 1.5 / np.sqrt(self.I), "weight_hh": gain / np.sqrt(self.H), "weight_peephole": 0.1}
        scales["weight_hr"] = 1.0 / np.sqrt(self.H)
        arrays = {name: normal(*shape, scale=scales.get(name, 0.5)) for name, shape in shapes(self).items()}
        for name in arrays:
            if name.startswith("weight_norm"):  # calm gains: a network whose norm restores every scale is chaotic
                arrays[name] = arrays[name].dtype.type(0.6) + arrays[name] / 3
        arrays |= {
            "x": rng.integers(0, self.I, (self.T, self.B)) if self.ids else normal(self.T, self.B, self.I),
            "state": tuple(normal(self.B, size, scale=0.5) for size in self.part_sizes),
            "d_output": normal(self.T, self.B, self.output_size),
            "d_state": tuple(normal(self.B, size) for size in self.part_sizes),
        }
        rates = (0.3, 0.6)[: len(self.part_sizes)]
        masks = [rng.random((self.T, self.B, n)) < rate for n, rate in zip(self.part_sizes, rates, strict=True)]
        arrays["zoneout"] = {"": None, "share": rates, "mask": tuple(masks)}[self.zoneout]
        mask = (rng.random((self.B, self.output_size)) < 0.7) / 0.7
        has_products = "weight_hh" in arrays  # else there is nothing to mask
        arrays["recurrent_mask"] = mask.astype(arrays["weight_ih"].dtype) if self.masked and has_products else None
        if "last" in self.upstream:
            arrays["d_output"][:-1] = 0
        elif "output" not in self.upstream:
            arrays["d_output"] = None
        if not self.bias:
            arrays |= {name: None for name in arrays if name.startswith("bias")}
        arrays["d_state"] = tuple(
            d if part in self.upstream else None
            for part, d in zip(CELLS[self.cell].parts, arrays["d_state"], strict=True)
        )
        return arrays

    def row_lengths(self) -> tuple[int, ...]:
        return (self.T,) * self.B if self.lengths is None else self.lengths


def shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """The shape of each of the cell's parameters by name."""
    cell = CELLS[case.cell]
    sizes = {"G*H": len(cell.gates) * case.H, "3*H": 3 * case.H, "H": case.H, "I": case.I, "P": case.output_size}
    return {name: tuple(sizes[axis] for axis in axes) for name, axes in parameters(case).items()}


def parameters(case: Case) -> dict[str, tuple[str, ...]]:
    """The axes of each parameter of the case's layer by name."""
    cell = CELLS[case.cell]
    return cell.parameters | (cell.norms if case.normed else {})


def make_layer(case: Case, arrays: Arrays | None = None) -> Layer:
    given = arrays or case.arrays()
    weights = {name: given[name] for name in parameters(case)}
    return Layer(case.cell, **weights, precision=case.dtype if case.dtype in ("bf16", "fp32_split") else "fp32")


def run(case: Case, arrays: Arrays | None = None) -> Arrays:
    """Outputs and gradients of the native core, by name."""
    given = arrays or case.arrays()
    layer = make_layer(case, given)
    options: Any = {"lengths": case.lengths, "reverse": case.reverse, "keep_tape": True, "recompute": case.recompute}
    options |= {name: given.get(name) for name in ("zoneout", "recurrent_mask")}
    unrolled = layer.forward(given["x"], given["state"], **options)
    gradients = layer.backward(unrolled.tape, d_output=given["d_output"], d_state=given["d_state"])
    results = {"output": unrolled.output, "d_x": gradients.x}
    for part, value, gradient in zip(CELLS[case.cell].parts, unrolled.state, gradients.state, strict=True):
        results |= {part: value, f"d_{part}0": gradient}
    for name in parameters(case):
        results[f"d_{name}"] = getattr(gradients, name)
    return {name: value for name, value in results.items() if value is not None}


# ---- the reference ----


def to_bf16(v: Any) -> Any:
    """The nearest values with 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(v)
    return np.ldexp(np.rint(mantissa * 256) / 256, exponent)


def sigmoid(v: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(0.5 * v)


@dataclass
class Weights:
    """One gate's rows of the weights, float64, and their gradients; 0 where the cell or layer has none."""

    w: Any
    u: Any
    b: Any
    c: Any
    p: Any  # its peephole
    rounded: Any  # applied to what the products of `pre` multiply
    mask: Any = 1.0  # of the row at work, on what enters the recurrent products
    r: Any = None  # of the output gate: the projection, if the cell has one, and its gradient
    dr: Any = None
    dw: Any = field(init=False)
    du: Any = field(init=False)
    db: Any = field(init=False)
    dc: Any = field(init=False)
    dp: Any = field(init=False)

    def __post_init__(self) -> None:
        weights = (self.w, self.u, self.b, self.c, self.p)
        self.dw, self.du, self.db, self.dc, self.dp = (np.zeros_like(v) for v in weights)

    def pre(self, x: Any, h: Any) -> Any:
        w, x, u, h = map(self.rounded, (self.w, x, self.u, h * self.mask))
        return w @ x + self.b + u @ h + self.c

    def back(self, d: Any, x: Any, h: Any) -> tuple[Any, Any]:
        """Adds the gradients of pre(x, h) to the weights; returns those of x and h."""
        self.dw += np.outer(d, x)
        self.du += np.outer(d, h * self.mask)
        self.db += d
        self.dc += d
        return self.w.T @ d, self.u.T @ d * self.mask


def step(cell: str, gates: list[Weights], x: Any, state: list[Any]) -> tuple[list[Any], Any]:
    """One step of one row: the new state and what its gradient needs."""
    h = state[0]
    if cell.startswith("elman"):
        y = np.tanh(gates[0].pre(x, h)) if cell == "elman_tanh" else np.maximum(gates[0].pre(x, h), 0)
        return [y], (x, h, y)
    if cell in ("lstm", "lstm_projected"):
        i, f, o = (sigmoid(gates[n].pre(x, h)) for n in (0, 1, 3))
        g = np.tanh(gates[2].pre(x, h))
        c = f * state[1] + i * g
        m = o * np.tanh(c)
        return [m if cell == "lstm" else gates[3].r @ m, c], (x, h, state[1], i, f, g, o, c)
    if cell == "lstm_peephole":
        i, f = (sigmoid(gates[n].pre(x, h) + gates[n].p * state[1]) for n in (0, 1))
        g = np.tanh(gates[2].pre(x, h))
        c = f * state[1] + i * g
        o = sigmoid(gates[3].pre(x, h) + gates[3].p * c)
        return [o * np.tanh(c), c], (x, h, state[1], i, f, g, o, c)
    if cell == "lstm_coupled":
        i, o = (sigmoid(gates[n].pre(x, h)) for n in (0, 2))
        g = np.tanh(gates[1].pre(x, h))
        c = (1 - i) * state[1] + i * g
        return [o * np.tanh(c), c], (x, h, state[1], i, g, o, c)
    if cell == "min_gru":
        z, n = sigmoid(gates[0].pre(x, h)), gates[1].pre(x, h)
        return [(1 - z) * n + z * h], (x, h, z, n)
    if cell == "min_lstm":
        i, f, g = sigmoid(gates[0].pre(x, h)), sigmoid(gates[1].pre(x, h)), gates[2].pre(x, h)
        return [(f * h + i * g) / (f + i)], (x, h, i, f, g)
    r, z = (sigmoid(gates[n].pre(x, h)) for n in (0, 1))
    if cell == "gru_before":
        n = np.tanh(gates[2].pre(x, r * h))
        return [(1 - z) * n + z * h], (x, h, r, z, n, None)
    q = gates[2].u @ (h * gates[2].mask) + gates[2].c
    n = np.tanh(gates[2].w @ x + gates[2].b + r * q)
    return [(1 - z) * n + z * h], (x, h, r, z, n, q)


def step_back(cell: str, gates: list[Weights], saved: Any, d: list[Any]) -> tuple[Any, list[Any]]:
    """Gradients of x and of the state before, from those of the new state."""
    dh = d[0]
    if cell.startswith("elman"):
        x, h, y = saved
        dx, dh = gates[0].back(dh * (1 - y * y) if cell == "elman_tanh" else dh * (y > 0), x, h)
        return dx, [dh]
    if cell in ("lstm", "lstm_projected"):
        x, h, c_before, i, f, g, o, c = saved
        if cell == "lstm_projected":
            gates[3].dr += np.outer(dh, o * np.tanh(c))
            dh = gates[3].r.T @ dh
        dc = d[1] + dh * o * (1 - np.tanh(c) ** 2)
        pre = dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * np.tanh(c) * o * (1 - o)
        parts = [gate.back(p, x, h) for gate, p in zip(gates, pre, strict=True)]
        return sum(p[0] for p in parts), [sum(p[1] for p in parts), dc * f]
    if cell == "lstm_peephole":
        x, h, c_before, i, f, g, o, c = saved
        d_o = dh * np.tanh(c) * o * (1 - o)
        dc = d[1] + dh * o * (1 - np.tanh(c) ** 2) + d_o * gates[3].p
        d_i, d_f = dc * g * i * (1 - i), dc * c_before * f * (1 - f)
        for gate, pre, seen in ((0, d_i, c_before), (1, d_f, c_before), (3, d_o, c)):
            gates[gate].dp += pre * seen
        parts = [gate.back(p, x, h) for gate, p in zip(gates, (d_i, d_f, dc * i * (1 - g * g), d_o), strict=True)]
        return sum(p[0] for p in parts), [sum(p[1] for p in parts), dc * f + d_i * gates[0].p + d_f * gates[1].p]
    if cell == "lstm_coupled":
        x, h, c_before, i, g, o, c = saved
        dc = d[1] + dh * o * (1 - np.tanh(c) ** 2)
        pre = dc * (g - c_before) * i * (1 - i), dc * i * (1 - g * g), dh * np.tanh(c) * o * (1 - o)
        parts = [gate.back(p, x, h) for gate, p in zip(gates, pre, strict=True)]
        return sum(p[0] for p in parts), [sum(p[1] for p in parts), dc * (1 - i)]
    if cell == "min_gru":
        x, h, z, n = saved
        parts = [gate.back(p, x, h) for gate, p in zip(gates, (dh * (h - n) * z * (1 - z), dh * (1 - z)), strict=True)]
        return sum(p[0] for p in parts), [dh * z]
    if cell == "min_lstm":
        x, h, i, f, g = saved
        slope = dh * (h - g) / (f + i) ** 2  # of f / (f + i), up to i and f
        pre = -slope * f * i * (1 - i), slope * i * f * (1 - f), dh * i / (f + i)
        parts = [gate.back(p, x, h) for gate, p in zip(gates, pre, strict=True)]
        return sum(p[0] for p in parts), [dh * f / (f + i)]
    x, h, r, z, n, q = saved
    dz, dn, dh_before = dh * (h - n) * z * (1 - z), dh * (1 - z) * (1 - n * n), dh * z
    if cell == "gru_before":
        dx, d_reset = gates[2].back(dn, x, r * h)
        dr, dh_before = d_reset * h * r * (1 - r), dh_before + d_reset * r
    else:
        g = gates[2]
        g.dw += np.outer(dn, x)
        g.db += dn
        g.du += np.outer(dn * r, h * g.mask)
        g.dc += dn * r
        dx, dr, dh_before = g.w.T @ dn, dn * q * r * (1 - r), dh_before + g.u.T @ (dn * r) * g.mask
    for gate, p in ((gates[0], dr), (gates[1], dz)):
        more_dx, more_dh = gate.back(p, x, h)
        dx, dh_before = dx + more_dx, dh_before + more_dh
    return dx, [dh_before]


KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_peephole")


def gate_weights(case: Case, given: Arrays, rounded: Any = np.asarray) -> list[Weights]:
    """The weights of every gate in float64."""
    H, num_gates = case.H, len(CELLS[case.cell].gates)

    def per_gate(name: str) -> list[Any]:
        width = (case.output_size,) if name == "weight_hh" else ()
        value = np.zeros((num_gates * H, *width)) if given.get(name) is None else np.asarray(given[name], np.float64)
        if name == "weight_peephole" and len(value) < num_gates * H:  # i f o of i f g o
            value = np.insert(value, [2 * H] * H, 0)
        return np.split(value, num_gates)

    gates = [Weights(*parts, rounded) for parts in zip(*map(per_gate, KINDS), strict=True)]
    if "weight_hr" in given:
        gates[3].r = np.asarray(given["weight_hr"], np.float64)
        gates[3].dr = np.zeros_like(gates[3].r)
    return gates


def reference(case: Case, arrays: Arrays | None = None) -> Arrays:
    """What `run` must give, in float64; worked out once for all precisions that start from the same arrays."""
    return loop(case, arrays) if arrays is not None else dict(remembered(of_all_precisions(case)))


def of_all_precisions(case: Case) -> Case:
    """The case with the same arrays and reference that stands for them all."""
    dtype = case.dtype if case.dtype == "float64" or on_rounded_values(case) else "float32"
    return replace(case, dtype=dtype, recompute=False)


@functools.cache
def remembered(case: Case) -> Arrays:
    results = loop(case, case.arrays())
    for value in results.values():
        value.flags.writeable = False
    return results


def on_rounded_values(case: Case) -> bool:
    """In bf16 a pre-activation near the kink of a ReLU may fall on its other side, and its gradient with it: such a
    case is held to the products of rounded values. All others are held to the exact ones."""
    return (case.cell, case.dtype) == ("elman_relu", "bf16")


def loop(case: Case, given: Arrays) -> Arrays:
    """One row and one step at a time."""
    T, B, I, P = case.T, case.B, case.I, case.output_size
    names = CELLS[case.cell].parts
    gates = gate_weights(case, given, to_bf16 if on_rounded_values(case) else np.asarray)
    x = np.eye(I)[given["x"]] if case.ids else np.asarray(given["x"], dtype=np.float64)
    d_output = np.zeros((T, B, P)) if given["d_output"] is None else np.asarray(given["d_output"], dtype=np.float64)
    results: Arrays = {"output": np.zeros((T, B, P)), "d_x": np.zeros((T, B, I))}
    for part, size in zip(names, case.part_sizes, strict=True):
        results |= {part: np.zeros((B, size)), f"d_{part}0": np.zeros((B, size))}
    for row, length in enumerate(case.row_lengths()):
        times = range(length)[::-1] if case.reverse else range(length)
        state, saved = [np.asarray(part[row], dtype=np.float64) for part in given["state"]], []
        if given.get("recurrent_mask") is not None:
            for gate in gates:
                gate.mask = np.asarray(given["recurrent_mask"][row], dtype=np.float64)
        for t in times:
            z = kept_shares(given, len(names), t, row)
            new, kept = step(case.cell, gates, x[t, row], state)
            state = [share * old + (1 - share) * part for share, old, part in zip(z, state, new, strict=True)]
            saved.append(kept)
            results["output"][t, row] = state[0]
        d = [
            np.zeros(size) if ds is None else np.asarray(ds[row], dtype=np.float64)
            for size, ds in zip(case.part_sizes, given["d_state"], strict=True)
        ]
        for t, kept in zip(reversed(times), reversed(saved), strict=True):
            d[0] = d[0] + d_output[t, row]
            z = kept_shares(given, len(names), t, row)
            past = [share * part for share, part in zip(z, d, strict=True)]
            into = [(1 - share) * part for share, part in zip(z, d, strict=True)]
            results["d_x"][t, row], d = step_back(case.cell, gates, kept, into)
            d = [part + more for part, more in zip(d, past, strict=True)]
        for part, value, gradient in zip(names, state, d, strict=True):
            results[part][row], results[f"d_{part}0"][row] = value, gradient
    if case.ids:
        del results["d_x"]
    for name, kind in zip(KINDS, ("dw", "du", "db", "dc", "dp"), strict=True):
        if given.get(name) is not None:
            with_it = [gate for gate in gates if kind != "dp" or gate is not gates[2]]
            results[f"d_{name}"] = np.concatenate([getattr(gate, kind) for gate in with_it])
    if "weight_hr" in given:
        results["d_weight_hr"] = gates[3].dr
    return results


def kept_shares(given: Arrays, num_parts: int, t: int, row: int) -> list[Any]:
    """How much of the old state stays at this step, for each part."""
    if given.get("zoneout") is None:
        return [0.0] * num_parts
    return [z if isinstance(z, float) else z[t, row].astype(np.float64) for z in given["zoneout"]]


# ---- the verdict ----


def nudged(arrays: Arrays, seed: int) -> Arrays:
    """Every float32 value moved by up to half a unit in its last place: another draw of the same roundings."""
    rng = np.random.default_rng(seed)

    def near(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(near(part) for part in value)
        if getattr(value, "dtype", None) != np.float32:
            return value
        return (value * (1 + 2.0**-24 * rng.uniform(-1, 1, value.shape))).astype(np.float32)

    return {name: near(value) for name, value in arrays.items()}


def relative_error(want: Any, got: Any) -> float:
    if want.shape != got.shape or not np.isfinite(got).all():
        return float("inf")
    if not want.any():
        return float(np.abs(got).max(initial=0))
    return float(np.linalg.norm(want - got.astype(np.float64)) / np.linalg.norm(want))


def kind_of(name: str) -> str:
    return "weight" if "weight" in name or "bias" in name else "input" if name.startswith("d_") else "value"


def check_close(case: Case, want: Arrays, got: Arrays, limits: dict[str, float] | None = None) -> None:
    """Fails with the name, error and tolerance of every tensor that is off."""
    assert want.keys() == got.keys(), f"{case}: want {sorted(want)}, got {sorted(got)}"
    lines = []
    for name in want:
        tolerance = (limits or {}).get(name, TOLERANCE[case.dtype][kind_of(name)])
        if not (error := relative_error(want[name], got[name])) <= tolerance:
            lines.append(f"{case}: {name} is off by {error:.2e} > {tolerance:.0e}")
    assert not lines, "\n".join(lines)


def check_equal(want: Arrays, got: Arrays) -> None:
    """Fails with the name of every tensor that differs in any bit (NaN equals NaN)."""
    assert want.keys() == got.keys()

    def parts(value: Any) -> list[Any]:
        return [np.asarray(part) for part in (value if isinstance(value, tuple) else (value,))]

    pairs = [(n, *pair) for n in want for pair in zip(parts(want[n]), parts(got[n]), strict=True)]
    different = [name for name, left, right in pairs if not np.array_equal(left, right, equal_nan=True)]
    assert not different, f"not bit-equal: {different}"


__all__ = [
    "CELL_NAMES",
    "DTYPES",
    "Case",
    "check_close",
    "check_equal",
    "make_layer",
    "nudged",
    "of_all_precisions",
    "parameters",
    "reference",
    "relative_error",
    "replace",
    "run",
]
