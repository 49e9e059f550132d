"""Options: what every recurrent layer here takes beside torch.nn's arguments, and how its parameters then start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from rnnkit.errors import ConfigError, DtypeError
from rnnkit.nn.dropout import check_probability
from rnnkit.nn.spec import CellSpec

INITS = ("uniform", "orthogonal")


class Options(TypedDict, total=False):
    """Keywords of `Recurrent`, `RNN`, `LSTM` and `GRU`; left out, the layer is torch.nn's. Dropouts act in training.

    With x the input and layer l = 1 … L:

        x_0 = drop(x, input_dropout)        x_l = layer_l(drop(x_{l-1}, dropout))   (for l = 1: layer_1(x_0))
        y = drop(x_L, output_dropout)       residual, for l ≥ 2: x_l = x_{l-1} + layer_l(drop(x_{l-1}, dropout))

    Keys:
        input_dropout, output_dropout: probabilities. locked_dropout: these two and `dropout` draw one mask per call and
            row instead of one per step (Gal and Ghahramani 2016, arXiv:1512.05287).
        weight_dropout: probability of each element of every `weight_hh`; one mask per call, the rest scaled by 1/(1−p).
            The weights are then packed anew at every call (Merity, Keskar and Socher 2018, arXiv:1708.02182).
        zoneout: probability that a unit keeps its old value at a step, for all parts of the state or one for each, as
            (h, c); in eval mode the expectation, z∘old + (1 − z)∘new. An LSTM's h comes from the new c (Krueger et al.
            2017, arXiv:1606.01305). Its masks are a byte for each unit and step, in steps of 2⁻¹⁶.
        recurrent_dropout: probability of each unit of the h that enters the recurrent products; one mask per call, row,
            layer and direction (Gal and Ghahramani 2016). What a gate carries on past the products stays whole.
        layer_norm: the products W x and U h are normalised over all of their gates before the bias, each with a gain
            `weight_norm_ih`, `weight_norm_hh` `[G*H]`; of a memory c, h shows tanh(gain∘norm(c) + bias) with
            `weight_norm_c`, `bias_norm_c` `[H]`, while c is carried as it is. Gains start at 1; 1e-5 is added to every
            variance. Of gru_before r and z are one product, n another (Ba, Kiros and Hinton 2016, arXiv:1607.06450).
        recompute: keep only the states for backward, and compute the gates again there: the same bits, for a third more
            time and the memory of the states alone.
        residual: add to a layer's output what it reads (without its dropout), from the second layer on; the state is
            that of the layer alone. The layers must be equally wide (He et al. 2016; Wu et al. 2016, arXiv:1609.08144).
        trainable_state: the state that a sequence starts from when none is given is learned: parameters
            `initial_h_l0` `[H]`, …, zero at first.
        init: of every `weight_hh`: "uniform" as torch, or "orthogonal", each gate's block on its own (Saxe et al. 2014,
            arXiv:1312.6120).
        forget_bias: `bias_ih` of the forget gate at the start; its `bias_hh` is then 0 (Jozefowicz et al. 2015).
        chrono: T, the longest dependency expected, in steps: the bias of the forget gate starts at log u, u uniform in
            1..T−1, that of the input gate at −log u; for a GRU that of the update gate, which keeps the state here,
            at log u (Tallec and Ollivier 2018, arXiv:1804.11188, eq. 13 and 16).
    """

    input_dropout: float
    output_dropout: float
    locked_dropout: bool
    weight_dropout: float
    zoneout: float | tuple[float, ...]
    recurrent_dropout: float
    layer_norm: bool
    recompute: bool
    residual: bool
    trainable_state: bool
    init: Literal["uniform", "orthogonal"]
    forget_bias: float | None
    chrono: int | None


DEFAULTS: Options = {
    "input_dropout": 0.0,
    "output_dropout": 0.0,
    "locked_dropout": False,
    "weight_dropout": 0.0,
    "zoneout": 0.0,
    "recurrent_dropout": 0.0,
    "layer_norm": False,
    "recompute": False,
    "residual": False,
    "trainable_state": False,
    "init": "uniform",
    "forget_bias": None,
    "chrono": None,
}


def checked_options(cell: CellSpec, given: Any, *, bias: bool, widths: tuple[int, ...]) -> dict[str, Any]:
    """All options with their defaults. Raises: TypeError for an unknown one; ConfigError, DtypeError, naming it."""
    if unknown := sorted(given.keys() - DEFAULTS.keys()):
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}; layers take {', '.join(DEFAULTS)}")
    options: dict[str, Any] = {**DEFAULTS, **given}
    options["zoneout"] = checked_zoneout(cell, options["zoneout"])
    for name in ("input_dropout", "output_dropout", "weight_dropout", "recurrent_dropout"):
        options[name] = check_probability(name, options[name])
    for name in ("locked_dropout", "residual", "trainable_state", "recompute", "layer_norm"):
        if not isinstance(options[name], bool):
            raise DtypeError(f"{name} must be True or False, got {type(options[name]).__name__}")
    if options["init"] not in INITS:
        raise ConfigError(f"init={options['init']!r} does not exist; choose one of {', '.join(INITS)}")
    dropouts = ((name, options[name]) for name in ("weight_dropout", "recurrent_dropout"))
    for name, is_asked in (*dropouts, ("init", options["init"] != "uniform")):
        if is_asked and "weight_hh" not in cell.parameters:
            raise ConfigError(f"{name}={options[name]!r} acts on weight_hh, cell {cell.name} has none; leave it out")
    if options["residual"]:
        check_residual(widths)
    if options["forget_bias"] is not None or options["chrono"] is not None:
        check_gate_bias(cell, bias=bias, forget_bias=options["forget_bias"], chrono=options["chrono"])
    return options


def checked_zoneout(cell: CellSpec, value: Any) -> Any:
    """A probability, or one for each part of the cell's state. Raises: ConfigError."""
    if not isinstance(value, (tuple, list)):
        return check_probability("zoneout", value)
    if len(value) != len(cell.parts):
        raise ConfigError(
            f"zoneout={tuple(value)} has {len(value)} values, the state of cell {cell.name} has the parts "
            f"{', '.join(cell.parts)}; give one number, or one for each"
        )
    return tuple(check_probability(f"zoneout of {part}", z) for part, z in zip(cell.parts, value, strict=True))


def check_residual(widths: tuple[int, ...]) -> None:
    """Refuse residual connections that do not exist or do not fit. Raises: ConfigError."""
    if len(widths) == 1:
        raise ConfigError("residual=True acts from the second layer on and there is one; set num_layers=2 or leave it")
    if len(set(widths)) > 1:
        raise ConfigError(f"residual=True needs layers of one width, hidden_size is {list(widths)}; make them equal")


def check_gate_bias(cell: CellSpec, *, bias: bool, forget_bias: float | None, chrono: int | None) -> None:
    """Refuse a start of the gates' biases that the cell cannot have. Raises: ConfigError."""
    name = "forget_bias" if chrono is None else "chrono"
    if forget_bias is not None and chrono is not None:
        raise ConfigError(f"forget_bias={forget_bias} and chrono={chrono} both set the forget gate; leave one out")
    if chrono is not None and (isinstance(chrono, bool) or not isinstance(chrono, int) or chrono < 3):
        raise ConfigError(f"chrono={chrono!r} must be the longest dependency in steps, an integer of at least 3")
    if not bias:
        raise ConfigError(f"{name} sets a bias and the layer has none; set bias=True or leave {name} out")
    if chrono is None and "f" not in cell.gates:
        raise ConfigError(f"forget_bias={forget_bias} needs a forget gate, cell {cell.name} has none; leave it out")
    if chrono is not None and not _signs(cell):
        raise ConfigError(f"chrono={chrono} needs a gate that keeps the state, cell {cell.name} has none; leave it out")


def start_parameters(
    cell: CellSpec,
    weights: Mapping[str, Tensor],
    *,
    hidden_size: int,
    init: str,
    forget_bias: float | None,
    chrono: int | None,
) -> None:
    """Draw one layer's parameters, by their names without `_l0`: first as torch.nn does, then what was asked for."""
    for name, parameter in weights.items():
        if name.startswith(("initial_", "bias_norm_")):
            nn.init.zeros_(parameter)
        elif name.startswith("weight_norm_"):
            nn.init.ones_(parameter)
        else:
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
    if init == "orthogonal":
        _make_orthogonal(weights["weight_hh"].detach().split(hidden_size))
    if forget_bias is not None:
        _set_gate(cell, weights, "f", forget_bias)
    if chrono is not None:
        log = torch.empty_like(weights["bias_ih"][:hidden_size]).uniform_(1, chrono - 1).log_()
        for gate, sign in _signs(cell).items():
            _set_gate(cell, weights, gate, sign * log)


def _make_orthogonal(blocks: Sequence[Tensor]) -> None:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the bits of LAPACK's QR depend on their number
    try:
        for block in blocks:
            nn.init.orthogonal_(block)
    finally:
        torch.set_num_threads(num_threads)


def _set_gate(cell: CellSpec, weights: Mapping[str, Tensor], gate: str, value: Any) -> None:
    """The sum of both biases of a gate becomes `value`."""
    index = cell.gates.index(gate)
    with torch.no_grad():
        for name in ("bias_ih", "bias_hh"):
            if name in weights:
                weights[name].view(len(cell.gates), -1)[index] = value if name == "bias_ih" else 0.0


def _signs(cell: CellSpec) -> dict[str, int]:
    """The gates that chrono initialisation sets, and the sign of their bias."""
    if "f" in cell.gates:
        return {gate: sign for gate, sign in (("f", 1), ("i", -1)) if gate in cell.gates}
    return {"z": 1} if cell.name in ("gru_before", "gru_after") else {}
