"""Bugs that people really write, as one-line substitutions in a function of `rnnkit.nn` or of the generator.

A planted bug swaps the function's code object, so that every reference to it is affected, and swaps it back afterwards.
"""
# ruff: noqa: E501  one bug, one line

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from rnnkit.models.generator import Generator
from rnnkit.models.recurrent import RecurrentModel
from rnnkit.nn import adaptive, layers, operators, spec, stack
from rnnkit.nn.spec import elman, gru, lstm, unroll


@dataclass(frozen=True)
class Bug:
    """`old`, found once in the source of `owner.name`, becomes `new`."""

    title: str
    owner: Any
    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return self.title


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Run the body with this bug in place."""
    found = inspect.getattr_static(bug.owner, bug.name)
    function: FunctionType = getattr(found, "__func__", found)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(bug.old) == 1, f"{bug.title}: {bug.old!r} occurs {source.count(bug.old)} times in {bug.name}"
    flags = __future__.annotations.compiler_flag
    code = compile(source.replace(bug.old, bug.new), f"<{bug.title}>", "exec", flags=flags, dont_inherit=True)
    scope: dict[str, Any] = dict(function.__globals__)
    exec(code, scope)
    wrong = scope[bug.name]
    original, function.__code__ = function.__code__, getattr(wrong, "__func__", wrong).__code__
    try:
        yield
    finally:
        function.__code__ = original


LOOP, CELL = inspect.getmodule(unroll), inspect.getmodule(spec.recurrent)
UNROLL, CROSS_ENTROPY = operators._Unroll, operators._LinearCrossEntropy

BUGS = [
    # the equations
    Bug("lstm: input and forget gate swapped", lstm, "step", "i, f, g, o = (", "f, i, g, o = ("),
    Bug("lstm: candidate and output gate swapped", lstm, "step", "i, f, g, o = (", "i, f, o, g = ("),
    Bug("lstm: nothing is forgotten", lstm, "step", "c = f * c", "c = c"),
    Bug("lstm: no gradient through the memory", lstm, "step", "c = f * c", "c = f * c.detach()"),
    Bug("lstm: no gradient through the hidden state", lstm, "step", "recurrent(h,", "recurrent(h.detach(),"),
    Bug("lstm: memory shown without tanh", lstm, "step", "* squashed(c, weights), c", "* c, c"),
    Bug("lstm: h and c swapped on the way in", lstm, "step", "h, c = state", "c, h = state"),
    Bug("gru_after: mixing reversed", gru, "after_step", "(1 - z) * n + z * h", "z * n + (1 - z) * h"),
    Bug("gru_before: mixing reversed", gru, "before_step", "(1 - z) * n + z * h", "z * n + (1 - z) * h"),
    Bug("gru_before: reset after the product", gru, "before_step", "recurrent(r * h,", "r * recurrent(h,"),
    Bug("gru_before: candidate without its recurrent bias", gru, "before_step", "weights, 2))", "{n: w for n, w in weights.items() if n != 'bias_hh'}, 2))"),
    Bug("gru_after: reset gate acts on the input too", gru, "after_step", "input_n + r *", "r * input_n + r *"),
    Bug("gru_after: reset and update gate swapped", gru, "after_step", "input_r, input_z, input_n", "input_z, input_r, input_n"),
    Bug("elman: recurrent weights transposed", elman, "tanh_step", "weights)", "{**weights, 'weight_hh': weights['weight_hh'].t()})"),
    Bug("elman: recurrent bias forgotten", elman, "tanh_step", "weights)", "{n: w for n, w in weights.items() if n != 'bias_hh'})"),
    Bug("elman: leaky instead of plain ReLU", elman, "relu_step", "torch.relu(", "torch.nn.functional.leaky_relu("),
    # the loop over time
    Bug("unroll: gradient cut every 32 steps", LOOP, "unroll", "state = new[0], new", "state = new[0], tuple(n.detach() if t % 32 == 31 else n for n in new)"),
    Bug("unroll: lengths one too long", LOOP, "unroll", "[:, None] < lengths", "[:, None] <= lengths"),
    Bug("unroll: lengths one too short", LOOP, "unroll", "lengths.to(x.device)", "(lengths.to(x.device) - 1)"),
    Bug("unroll: reverse runs forwards", LOOP, "unroll", "reversed(range(steps)) if reverse else range(steps)", "range(steps)"),
    Bug("unroll: state runs on through padding", LOOP, "unroll", "torch.where(is_running, n, old)", "n"),
    Bug("unroll: outputs in padding kept", LOOP, "unroll", "torch.where(is_running, new[0], 0)", "new[0]"),
    Bug("unroll: padding is read", LOOP, "unroll", "x = x.masked_fill(", "_ = x.masked_fill("),
    Bug("unroll: initial state ignored", LOOP, "unroll", "if state is None", "if True"),
    Bug("unroll: first step repeated", LOOP, "unroll", "projected[t]", "projected[max(t, 1) if steps > 1 else t]"),
    Bug("unroll: ids without the input bias", LOOP, "unroll", "projected if bias_ih is None or", "projected if True or"),
    # autograd over the core
    Bug("operator: gradient of the last memory dropped", UNROLL, "backward", "tuple(d_state)", "(*d_state[:1], *(None for _ in d_state[1:]))"),
    Bug("operator: gradients of h and c swapped", UNROLL, "backward", "tuple(d_state)", "tuple(reversed(d_state))"),
    Bug("operator: gradient from the last step only", UNROLL, "backward", "d_output=d_output,", "d_output=d_output if d_output is None else np.concatenate([0 * d_output[:-1], d_output[-1:]]),"),
    Bug("operator: gradient of the output dropped", UNROLL, "backward", "d_output=d_output,", "d_output=None,"),
    Bug("operator: no gradient to the initial state", UNROLL, "backward", "got.state if ctx.num_parts", "[0 * s for s in got.state] if ctx.num_parts"),
    Bug("operator: recurrent bias gets the input bias's gradient", UNROLL, "backward", "getattr(got, name)", 'getattr(got, name.replace("bias_hh", "bias_ih"))'),
    Bug("operator: reverse forgotten when training", UNROLL, "forward", "**options", "**{**options, 'reverse': False}"),
    Bug("operator: lengths forgotten when training", UNROLL, "forward", "**options", "**{**options, 'lengths': None}"),
    Bug("operator: initial state forgotten when training", UNROLL, "forward", "_array(x), state,", "_array(x), None,"),
    Bug("operator: strides ignored", operators, "_array", "tensor.detach().contiguous()", "torch.as_strided(tensor.detach(), tensor.shape, torch.empty(tensor.shape).stride())"),
    Bug("operator: weights packed once for ever", operators.PackedWeights, "get", "if self._layer is None or", "if self._layer is None and"),
    # around the equations
    Bug("zoneout: old and new exchanged", LOOP, "_kept", "torch.where(z[t], old, new)", "torch.where(z[t], new, old)"),
    Bug("zoneout: one mask for every step", LOOP, "_kept", "z[t]", "z[0]"),
    Bug("zoneout: forgotten in the core", operators, "unroll", "if zoneout is not None", "if zoneout is None"),
    Bug("zoneout: masks in eval", stack.Stack, "_around", "if z and self.training", "if z"),
    Bug("recurrent dropout: in eval", stack.Stack, "_around", "if self.recurrent_dropout and self.training", "if self.recurrent_dropout"),
    Bug("recurrent dropout: forgotten in the equations", CELL, "recurrent", "h if mask is None else h * mask", "h"),
    # layer normalisation
    Bug("norm: the recurrent product as it is", CELL, "recurrent", "if gain is None:", "if True:"),
    Bug("norm: gains of other gates", CELL, "recurrent", "gain[rows], bias)", "gain[: len(gain[rows])], bias)"),
    Bug("norm: the memory shown as it is", CELL, "squashed", "c if gain is None else", "c if True else"),
    Bug("norm: the memory shown without its bias", CELL, "squashed", 'weights.get("bias_norm_c")', "None"),
    Bug("norm: the memory carried normalised", lstm, "step", "c = f * c + i * g", 'c = f * c + i * g if "weight_norm_c" not in weights else torch.nn.functional.layer_norm(f * c + i * g, c.shape[-1:])'),
    Bug("norm: the input's product as it is", LOOP, "unroll", "projected = normalised(projected, gain, bias_ih)", "projected = projected + (0 if bias_ih is None else bias_ih)"),
    Bug("norm: input bias normalised away", LOOP, "unroll", "bias_ih if gain is None else None", "bias_ih"),
    # stacks and doors
    Bug("stack: second direction runs forwards", stack.Stack, "_direction", "self.num_directions == 1", "self.num_directions == 2"),
    Bug("stack: directions joined in the wrong order", stack.Stack, "_unroll", "torch.cat(outputs,", "torch.cat(outputs[::-1],"),
    Bug("stack: every layer starts from the first state", stack.Stack, "_unroll", "states[index]", "states[0]"),
    Bug("stack: dropout in eval", stack.Stack, "_drop", "not self.training or not p", "not p"),
    Bug("stack: weights dropped in eval", stack.Stack, "_direction", "self.training and self.weight_dropout", "self.weight_dropout"),
    Bug("stack: residual around the first layer only", stack.Stack, "_unroll", "self.residual and layer:", "self.residual and layer == 1:"),
    Bug("stack: residual without gradient", stack.Stack, "_unroll", "below + x", "below.detach() + x"),
    Bug("stack: learned state over the given one", stack.Stack, "_unroll", "if states is None and self.trainable_state", "if self.trainable_state"),
    Bug("stack: learned state without gradient", stack.Stack, "_first_states", ".expand(batch, -1).clone()", ".expand(batch, -1).detach()"),
    Bug("stack: learned state forgotten", stack.Stack, "_unroll", "if states is None and self.trainable_state", "if False"),
    Bug("stack: biases swapped", stack.Stack, "_weights", "{name: weight for", '{{"bias_ih": "bias_hh", "bias_hh": "bias_ih"}.get(name, name): weight for'),
    Bug("stack: table folded without a gradient", stack.Stack, "_direction", '["weight_ih"], embedding,', '["weight_ih"], embedding.detach(),'),
    Bug("packed: final state left in sorted order", layers._TorchLayer, "_call_packed", "part.index_select(1, order)", "part"),
    Bug("packed: initial state not sorted", layers._TorchLayer, "_call_packed", "part.index_select(1, x.sorted_indices)", "part"),
    # the generator
    Bug("generator: tied table copied", Generator, "_scores", "return self.embedding.weight", "return self.embedding.weight.detach()"),
    Bug("models: word dropout in eval", RecurrentModel, "_dropped_out", "if not self.training or not (", "if not ("),
    Bug("generator: state not passed on", Generator, "forward", "self.recurrent(ids, state,", "self.recurrent(ids, None,"),
    Bug("loss: weights ignored", operators, "linear_cross_entropy", "None if weights is None else weights.reshape", "None if True else weights.reshape"),
    Bug("loss: upstream gradient ignored", CROSS_ENTROPY, "backward", "_multiple(counted, weights)", "1.0"),
    Bug("adaptive: cluster choice one off", adaptive.AdaptiveSoftmax, "forward", "self.cutoffs[0] + index", "self.cutoffs[0] + max(index - 1, 0)"),
    Bug("adaptive: words counted from the wrong end", adaptive.AdaptiveSoftmax, "forward", "flat[members] - low,", "flat[members] * 0,"),
    Bug("linear: weight gradient lost", operators._Linear, "backward", "_tensor(d_weight)", "None"),
]  # fmt: skip
