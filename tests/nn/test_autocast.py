"""torch.autocast: layers keep to their weights' dtype; outside of it another dtype is refused with the remedy."""

import pytest
import torch

from rnnkit import nn
from rnnkit.errors import DtypeError
from rnnkit.nn import spec
from rnnkit.state import State

KINDS = ["RNN", "LSTM", "GRU"]


def calls(kind, backend):
    """A layer, a cell and a Recurrent, each with an input and a state, as functions of the dtype of both."""
    torch.manual_seed(0)
    layer, cell = getattr(nn, kind)(4, 6, 2, backend=backend), getattr(nn, kind + "Cell")(4, 6, backend=backend)
    deep = nn.Recurrent(layer.cell.name, 4, 6, backend=backend)
    num_parts = len(spec.CELLS[layer.cell.name].parts)
    x = torch.randn(5, 3, 4).bfloat16()  # what both dtypes can hold
    h = [torch.randn(2, 3, 6).bfloat16() for _ in range(num_parts)]
    table = torch.randn(4, 4).bfloat16()

    def state_of(parts):
        return tuple(parts) if num_parts == 2 else parts[0]

    def recurrent(dtype):
        y, state = deep(x.to(dtype), State([{name: p[0].to(dtype) for name, p in zip("hc", h, strict=False)}]))
        return y, *state.layers[0].values()

    return {
        "layer": lambda dtype: leaves(layer(x.to(dtype), state_of([p.to(dtype) for p in h]))),
        "cell": lambda dtype: leaves(cell(x[0].to(dtype), state_of([p[0].to(dtype) for p in h]))),
        "recurrent": recurrent,
        "embedding": lambda dtype: leaves(deep(torch.arange(4)[:, None], embedding=table.to(dtype))[0]),
    }


def leaves(result):
    return [result] if isinstance(result, torch.Tensor) else [leaf for part in result for leaf in leaves(part)]


@pytest.mark.parametrize("backend", ["native", "spec"])
@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_results_are_those_in_the_weights_dtype(kind, backend):
    for name, call in calls(kind, backend).items():
        want = call(torch.float32)
        for dtype in (torch.bfloat16, torch.float32):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                got = call(dtype)
            assert len(want) == len(got), name
            for w, g in zip(want, got, strict=True):
                assert g.dtype == torch.float32, name
                assert torch.equal(w, g), name


@pytest.mark.parametrize("kind", KINDS)
def test_outside_autocast_another_dtype_is_refused_with_the_remedy(kind):
    for call in calls(kind, "auto").values():
        with pytest.raises(DtypeError, match=r"the weights are torch\.float32.*use .*\.to\("):
            call(torch.bfloat16)


def test_the_gradient_comes_back_in_the_inputs_dtype():
    layer = nn.LSTM(4, 6)
    x = torch.randn(5, 3, 4).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(x)[0].sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.bfloat16 and x.grad.any()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
