"""JAX: jax_peer.py THREADS [bf16].

The input projected for all steps at once, then `lax.scan`, jitted; gradients by its own autodiff.
In bf16 what a product multiplies is rounded, sums and state stay float32: the usual mixed precision.
"""

from __future__ import annotations

import os
import sys

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if sys.argv[1] != '1' else 'false'}"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn
from worker import Job, LayerCase, NotOffered, serve

DTYPE = jnp.bfloat16 if "bf16" in sys.argv else jnp.float32


def times(x, weight):
    return jnp.matmul(x.astype(DTYPE), weight.T.astype(DTYPE), preferred_element_type=jnp.float32)


def lstm(carry, projected, weight, bias):
    h, c = carry
    i, f, g, o = jnp.split(projected + times(h, weight) + bias, 4, axis=-1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    h = nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru_after(carry, projected, weight, bias):
    (h,) = carry
    x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(times(h, weight) + bias, 3, axis=-1)
    z = nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + nn.sigmoid(x_r + h_r) * h_n) + z * h
    return (h,), h


def gru_before(carry, projected, weight, bias):
    (h,) = carry
    H = h.shape[-1]
    r, z = jnp.split(nn.sigmoid(projected[:, : 2 * H] + times(h, weight[: 2 * H]) + bias[: 2 * H]), 2, axis=-1)
    n = jnp.tanh(projected[:, 2 * H :] + times(r * h, weight[2 * H :]) + bias[2 * H :])
    h = (1 - z) * n + z * h
    return (h,), h


def elman(activation):
    def step(carry, projected, weight, bias):
        h = activation(projected + times(carry[0], weight) + bias)
        return (h,), h

    return step


STEPS = {
    "lstm": lstm,
    "gru_after": gru_after,
    "gru_before": gru_before,
    "elman_tanh": elman(jnp.tanh),
    "elman_relu": elman(nn.relu),
}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "x")


def step_job(case: LayerCase) -> Job:
    arrays = {name: jnp.asarray(value) for name, value in case.arrays().items()}
    weights = tuple(arrays[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))

    @jax.jit
    def step(carry, x, weight_ih, weight_hh, bias_ih, bias_hh):
        return STEPS[case.cell](carry, times(x, weight_ih) + bias_ih, weight_hh, bias_hh)

    outputs, inputs = np.empty((case.T, case.B, case.H), np.float32), list(arrays["x"])

    def run() -> None:
        carry = initial(case)
        for t, x in enumerate(inputs):
            carry, outputs[t] = step(carry, x, *weights)

    return Job(run, lambda: {"y": outputs})


def initial(case: LayerCase):
    zeros = jnp.zeros((case.B, case.H), jnp.float32)
    return (zeros, zeros) if case.cell == "lstm" else (zeros,)


def layer_job(case: LayerCase) -> Job:
    if case.is_ragged:
        raise NotOffered("lax.scan knows no lengths")
    if case.cell not in STEPS:
        raise NotOffered(f"{case.cell} is not written out for JAX")
    if case.mode == "step":
        return step_job(case)
    arrays = {name: jnp.asarray(value) for name, value in case.arrays().items()}
    step = STEPS[case.cell]

    def forward(given):
        projected = times(given["x"], given["weight_ih"]) + given["bias_ih"]
        start = initial(case)
        return lax.scan(lambda c, p: step(c, p, given["weight_hh"], given["bias_hh"]), start, projected)[1]

    def loss(given, upstream):
        y = forward(given)
        return jnp.vdot(y[-1], upstream[-1]) if case.mode == "last" else jnp.vdot(y, upstream), y

    given = {name: arrays[name] for name in WEIGHTS}
    compiled = jax.jit(forward if case.mode == "forward" else jax.grad(loss, has_aux=True))
    latest = {}

    def run() -> None:
        latest["out"] = jax.block_until_ready(
            compiled(given) if case.mode == "forward" else compiled(given, arrays["upstream"])
        )

    def results() -> dict[str, np.ndarray]:
        gradients, y = ({}, latest["out"]) if case.mode == "forward" else latest["out"]
        return {name: np.asarray(value) for name, value in ({"y": y} | gradients).items()}

    return Job(run, results)


if __name__ == "__main__":
    serve(LayerCase=layer_job)
