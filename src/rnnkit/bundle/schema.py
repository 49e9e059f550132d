"""What a configuration must say, and which tensors it then demands: checked before anything large is read.

Over 400 lines because every kind of model is checked by the same few rules, which stand below them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnkit.errors import SchemaError, TensorError, VersionError, nearest

FORMAT = 1
PRECISIONS = ("fp32", "fp32_split", "bf16", "int8")  # of the products; on disk matrices are int8 in "int8" alone


class Cell(NamedTuple):
    """Number of gates, parts of the state, and the axes of each parameter by name."""

    gates: int
    parts: tuple[str, ...]
    parameters: dict[str, tuple[str, ...]]


_WITHOUT_STATE = {"weight_ih": ("G*H", "I"), "bias_ih": ("G*H",)}
_WITH_STATE = _WITHOUT_STATE | {"weight_hh": ("G*H", "H"), "bias_hh": ("G*H",)}
# The cells that the run half knows; tests hold them to kernels.CELLS, which bundle cannot see.
CELLS: dict[str, Cell] = {
    "elman_tanh": Cell(1, ("h",), _WITH_STATE),
    "elman_relu": Cell(1, ("h",), _WITH_STATE),
    "lstm": Cell(4, ("h", "c"), _WITH_STATE),
    "lstm_peephole": Cell(4, ("h", "c"), _WITH_STATE | {"weight_peephole": ("3*H",)}),
    "lstm_coupled": Cell(3, ("h", "c"), _WITH_STATE),
    "gru_before": Cell(3, ("h",), _WITH_STATE),
    "gru_after": Cell(3, ("h",), _WITH_STATE),
    "min_gru": Cell(2, ("h",), _WITHOUT_STATE),
    "min_lstm": Cell(3, ("h",), _WITHOUT_STATE),
}
# What a cell becomes with a proj_size P, the width of its h: the core's name for it, and its parameters.
PROJECTED: dict[str, tuple[str, Cell]] = {
    "lstm": (
        "lstm_projected",
        Cell(4, ("h", "c"), _WITH_STATE | {"weight_hh": ("G*H", "P"), "weight_hr": ("P", "H")}),
    )
}
GATES = {name: cell.gates for name, cell in CELLS.items()}
SCHEMES = ("bio", "iob1", "bioes")  # of tags that mark spans; tests hold them to metrics.spans, which bundle cannot see
TARGETS = ("label", "labels", "numbers")  # of a frame; tests hold them to metrics.frames, which bundle cannot see
READOUTS = ("last", "max", "mean", "attention", "states")  # what an acceptor decides by
MAX_NGRAM_ORDER = 8  # tokens in the longest n-gram beside an acceptor's readout
ENCODERS = ("recurrent", "set")  # what reads the source
CONDITIONING = ("state", "concat", "both", "none")  # how a decoder knows the source, beside its attention
ATTENTION = ("none", "dot", "general", "additive")  # tests hold them to models.encoder_decoder_config
ADAPTIVE_DIVISOR = 4  # cluster i of the adaptive softmax has I // 4^i dimensions; tests hold it to nn.AdaptiveSoftmax

Shapes = dict[str, tuple[int, ...]]

_LARGEST = 2**31 - 1


def check_config(config: Any) -> Shapes:
    """The name and shape of every tensor that a configuration demands.

    Raises: SchemaError, naming the key; VersionError for a configuration of another format.
    """
    if not isinstance(config, Mapping):
        raise SchemaError(f"the configuration is a {type(config).__name__}; an object is wanted")
    _check_keys(config, {"format", "kind", "model", "precision"}, set(), "the configuration")
    if type(config["format"]) is not int or config["format"] != FORMAT:
        raise VersionError(f"the configuration has format {config['format']!r}, this rnnkit reads {FORMAT}")
    if not isinstance(config["kind"], str) or config["kind"] not in KINDS:
        raise SchemaError(f"kind {config['kind']!r} is not known; this rnnkit runs {', '.join(KINDS)}")
    if config["precision"] not in PRECISIONS:
        raise SchemaError(f"precision {config['precision']!r} is not known; this rnnkit runs {', '.join(PRECISIONS)}")
    if not isinstance(config["model"], Mapping):
        raise SchemaError("the configuration's model must be an object of sizes and options")
    return KINDS[config["kind"]](config["model"])


def check_tensors(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Hold tensors against what `config` demands.

    Raises: TensorError, naming the first tensor that is missing, left over, or of another shape or dtype.
    """
    shapes = check_config(config)
    for name in sorted(shapes.keys() - tensors.keys()):
        raise TensorError(f"tensor {name} {list(shapes[name])} is missing; the configuration demands it")
    for name in sorted(tensors.keys() - shapes.keys()):
        raise TensorError(f"tensor {name[:80]!r} is left over; no such tensor is in the configured model")
    for name, shape in shapes.items():
        array = tensors[name]
        if array.shape != shape:
            raise TensorError(f"tensor {name} has the shape {list(array.shape)}, the configuration wants {list(shape)}")
        if array.dtype != np.float32:
            raise TensorError(f"tensor {name} has dtype {array.dtype}, float32 is wanted")


def check_vocabulary(config: Mapping[str, Any], vocab_size: int) -> None:
    """Refuse a tokeniser that is not the model's.

    Raises: SchemaError.
    """
    if not config["model"]["vocab_size"]:
        raise SchemaError("the model reads frames of numbers, not tokens; leave the tokeniser out")
    if vocab_size != config["model"]["vocab_size"]:
        raise SchemaError(
            f"the tokeniser has {vocab_size} tokens, the model {config['model']['vocab_size']}; take both from one run"
        )


_LAYERS = {"vocab_size", "embedding_size", "cell", "hidden_size", "num_layers", "bias"}
_MAY_BE_LEFT_OUT = {"residual", "trainable_state", "zoneout", "proj_size", "layer_norm"}
_OF_TRAINING = {"dropout", "input_dropout", "output_dropout", "locked_dropout", "embedding_dropout", "word_dropout",
                "weight_dropout", "init", "chrono", "forget_bias", "unk_id", "recurrent_dropout",
                "recompute"}  # fmt: skip
_FORWARD, _BOTH = ("",), ("", "_reverse")  # the ends of parameters' names, one for each direction


def _language_model(model: Mapping[str, Any]) -> Shapes:
    _check_keys(model, _LAYERS | {"tied", "softmax", "cutoffs"}, _MAY_BE_LEFT_OUT | _OF_TRAINING, "model")
    V, E = _size(model, "vocab_size"), _size(model, "embedding_size", least=0)
    is_tied = _flag(model, "tied")
    shapes: Shapes = {"embedding.weight": (V, E)} if E else {}
    shapes |= _layers(model, E or V)
    H = output_widths(model)[-1]
    if not is_tied:
        return shapes | _head(model, V, H)
    if not E or model["softmax"] != "full":
        raise SchemaError("model.tied needs an embedding_size above 0 and softmax 'full'")
    if E != H:
        shapes["projection.weight"] = (E, H)
    return shapes | {"head.bias": (V,)}


def _bidirectional_language_model(model: Mapping[str, Any]) -> Shapes:
    shapes, H = _language_model(model), output_widths(model)[-1]
    shapes |= _layers(model, _size(model, "embedding_size", least=0) or _size(model, "vocab_size"), prefix="reverse.")
    return shapes | {"merge.weight": (H, 2 * H), "merge.bias": (H,)}


def _layers(
    model: Mapping[str, Any], input_size: int, ends: tuple[str, ...] = _FORWARD, *, prefix: str = "recurrent."
) -> Shapes:
    """The parameters of recurrent layers, in one direction or both. Raises: SchemaError."""
    widths, has_bias = layer_widths(model), _flag(model, "bias")
    if not isinstance(model["cell"], str) or model["cell"] not in GATES:
        raise SchemaError(
            f"model.cell {model['cell']!r} is not known; this rnnkit runs {', '.join(GATES)}, and in Python what"
            " rnnkit.register_cell was given"
        )
    zoneout_shares(model)
    if "residual" in model and _flag(model, "residual") and (len(widths) == 1 or len(set(widths)) > 1):
        raise SchemaError(f"model.residual needs two layers or more of one width, the widths are {str(widths)[:80]}")
    has_state = "trainable_state" in model and _flag(model, "trainable_state")
    outputs = output_widths(model)
    _, cell = layer_cell(model)
    shapes: Shapes = {}
    for layer, (H, P) in enumerate(zip(widths, outputs, strict=True)):
        sizes = {"G": cell.gates, "H": H, "P": P, "I": len(ends) * outputs[layer - 1] if layer else input_size}
        own = {
            name: tuple(math.prod(sizes.get(factor) or int(factor) for factor in axis.split("*")) for axis in axes)
            for name, axes in layer_parameters(model).items()
            if has_bias or not name.startswith("bias")
        }
        if has_state:
            of_parts = zip(cell.parts, (P, H), strict=False)
            own |= {f"initial_{part}": (size,) for part, size in of_parts}
        shapes |= {f"{prefix}{name}_l{layer}{end}": shape for end in ends for name, shape in own.items()}
    return shapes


def layer_parameters(model: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The axes of every parameter of a recurrent layer by name; biases are there if the layer has them.

    Raises: SchemaError.
    """
    _, cell = layer_cell(model)
    if "layer_norm" not in model or not _flag(model, "layer_norm"):
        return cell.parameters
    norms: dict[str, tuple[str, ...]] = {"weight_norm_ih": ("G*H",)}
    norms |= {"weight_norm_hh": ("G*H",)} if "weight_hh" in cell.parameters else {}
    norms |= {"weight_norm_c": ("H",), "bias_norm_c": ("H",)} if "c" in cell.parts else {}
    return cell.parameters | norms


def zoneout_shares(model: Mapping[str, Any]) -> tuple[float, ...] | None:
    """What stays of each part of the state at every step, or None for nothing. Raises: SchemaError."""
    value, parts = model.get("zoneout", 0.0), CELLS[model["cell"]].parts
    shares = tuple(value) if isinstance(value, list | tuple) else (value,) * len(parts)
    if len(shares) != len(parts) or not all(type(z) in (int, float) and 0 <= z < 1 for z in shares):
        raise SchemaError(
            f"model.zoneout is {str(value)[:80]}; wanted is a number 0 <= z < 1, or one for each of {', '.join(parts)}"
        )
    return shares if any(shares) else None


def layer_cell(model: Mapping[str, Any]) -> tuple[str, Cell]:
    """The core's name of the layers' cell, and what it is."""
    name = model["cell"]
    return PROJECTED[name] if model.get("proj_size") else (name, CELLS[name])


def output_widths(model: Mapping[str, Any]) -> list[int]:
    """The width of h, and so of the output, of each recurrent layer. Raises: SchemaError."""
    widths, size = layer_widths(model), model.get("proj_size")
    if size is None:
        return widths
    if model["cell"] not in PROJECTED:
        raise SchemaError(f"model.proj_size goes with the cell {', '.join(PROJECTED)}, not with {model['cell']!r}")
    if type(size) is not int or not 1 <= size < min(widths):
        raise SchemaError(
            f"model.proj_size is {str(size)[:40]}; null or a size below hidden_size {min(widths)} is wanted"
        )
    return [size] * len(widths)


def layer_widths(model: Mapping[str, Any]) -> list[int]:
    """The width of each recurrent layer. Raises: SchemaError."""
    num_layers, value = _size(model, "num_layers", most=1000), model["hidden_size"]
    if not isinstance(value, list | tuple):
        return [_size(model, "hidden_size")] * num_layers
    if len(value) != num_layers or not all(type(width) is int and 1 <= width <= _LARGEST for width in value):
        raise SchemaError(
            f"model.hidden_size is {str(value)[:80]}; wanted is a size, or {num_layers}, one for each layer"
        )
    return list(value)


def _window_mlp(model: Mapping[str, Any]) -> Shapes:
    sizes = {"vocab_size", "begin_id", "order", "embedding_size", "hidden_size"}
    _check_keys(model, sizes | {"direct", "softmax", "cutoffs"}, {"dropout"}, "model")
    V, E, H = _size(model, "vocab_size"), _size(model, "embedding_size"), _size(model, "hidden_size")
    _size(model, "begin_id", least=0, most=V - 1)
    width = (_size(model, "order", least=2, most=1000) - 1) * E
    features = H + (width if _flag(model, "direct") else 0)
    shapes = {"embedding.weight": (V, E), "hidden.weight": (H, width), "hidden.bias": (H,)}
    return shapes | _head(model, V, features)


def _acceptor(model: Mapping[str, Any]) -> Shapes:
    words, width = _words(model)
    may = {"multi_label", *_SPELLING, *_FEATURES, *_NGRAMS}
    shapes, F, C = _reader(model, {"readout"}, may=may, more_inputs=width)
    shapes |= words
    order, num_ngrams = _together(model, _NGRAMS)
    if order > MAX_NGRAM_ORDER:
        raise SchemaError(f"model.ngram_order is {order}; at most {MAX_NGRAM_ORDER} is wanted")
    shapes |= {"ngrams.weight": (num_ngrams, C)} if order else {}
    if "multi_label" in model:
        _flag(model, "multi_label")
    readout = model["readout"]
    if (
        not isinstance(readout, list | tuple)
        or not readout
        or any(kind not in READOUTS for kind in readout)
        or len(set(readout)) < len(readout)
    ):
        raise SchemaError(
            f"model.readout {str(readout)[:80]} must be a list of different ones of {', '.join(READOUTS)}"
        )
    if "attention" in readout:
        shapes |= {"attention.weight": (F, F), "attention.bias": (F,), "attention.score": (1, F)}
    features = sum(states_width(model) if kind == "states" else F for kind in readout)
    return shapes | {"head.weight": (C, features), "head.bias": (C,)}


def states_width(model: Mapping[str, Any]) -> int:
    """The width of the states of all layers together, in one direction or both. Raises: SchemaError."""
    _, cell = layer_cell(model)
    parts = zip(output_widths(model), layer_widths(model), strict=True)
    return (1 + model["bidirectional"]) * sum(sum((P, H)[: len(cell.parts)]) for P, H in parts)


def _transducer(model: Mapping[str, Any]) -> Shapes:
    words, more_inputs = _words(model)
    targets = model.get("targets", "label")
    if not isinstance(targets, str) or targets not in TARGETS:
        raise SchemaError(f"model.targets {str(targets)[:40]!r} is not known; one of {', '.join(TARGETS)}")
    picture, layers, kernel, width = _pictures(model)
    own, more = {*_SPELLING, "crf", "scheme"}, {*_FEATURES, "outside_bias", "targets", *_PICTURES}
    least = 2 if targets == "label" else 1
    shapes, F, C = _reader(model, own, may=more, more_inputs=width or more_inputs, least_labels=least)
    shapes |= words
    if targets != "label" and (model["crf"] or model["scheme"] is not None or model.get("vocab_size")):
        raise SchemaError(f"model.targets is {targets!r}, which goes with frames, and with neither crf nor scheme")
    if targets == "numbers":
        shapes |= {"target_scale.mean": (C,), "target_scale.deviation": (C,)}
    if picture:
        shapes |= {"scale.mean": picture[2:], "scale.deviation": picture[2:]}
        for number, (O, before) in enumerate(zip(layers, (picture[2], *layers), strict=False)):
            shapes |= {
                f"cnn.layers.{number}.weight": (O, kernel, kernel, before), f"cnn.layers.{number}.bias": (O,)
            }  # fmt: skip
    bias = model.get("outside_bias", 0.0)
    if type(bias) not in (int, float) or not math.isfinite(bias) or (bias and model["scheme"] is None):
        raise SchemaError(f"model.outside_bias is {str(bias)[:40]}; a finite number is wanted, with a scheme of spans")
    if model["scheme"] not in (None, *SCHEMES):
        raise SchemaError(f"model.scheme {str(model['scheme'])[:40]!r} is not known; null or {', '.join(SCHEMES)}")
    if _flag(model, "crf"):
        shapes |= {"crf.start": (C,), "crf.end": (C,), "crf.transition": (C, C)}
    return shapes | {"head.weight": (C, F), "head.bias": (C,)}


_SPELLING = ("num_characters", "character_embedding_size", "character_hidden_size")
_FEATURES = ("num_features", "features_per_word", "feature_embedding_size")
_NGRAMS = ("ngram_order", "num_ngrams")


def _words(model: Mapping[str, Any]) -> tuple[Shapes, int]:
    """The tensors of what is read of a word beside its embedding, and its width. Raises: SchemaError."""
    K, Q, S = _together(model, _SPELLING)
    R, N, J = _together(model, _FEATURES)
    shapes: Shapes = {"features.weight": (R, J)} if R else {}
    if K:
        shapes |= {"characters.embedding.weight": (K, Q)}
        spelled = {"cell": "lstm", "hidden_size": S, "num_layers": 1, "bias": True}
        shapes |= _layers(spelled, Q, _BOTH, prefix="characters.recurrent.")
    return shapes, 2 * S + N * J


def _together(model: Mapping[str, Any], names: tuple[str, ...]) -> list[int]:
    """Sizes that are all 0, as where they are left out, or none of them. Raises: SchemaError."""
    sizes = [_size(model, name, least=0) if name in model else 0 for name in names]
    if any(sizes) and not (all(sizes) and model.get("vocab_size")):
        raise SchemaError(f"model.{', model.'.join(names)} are {str(sizes)[1:-1]}; they go together, and with tokens")
    return sizes


_PICTURES = ("frame_shape", "cnn_channels", "cnn_kernel")  # a transducer of none may leave them out
CNN_STRIDE = 2  # of the layers that read pictures; tests hold it to models.frame_cnn, which bundle cannot see


def _pictures(model: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Height, width and channels of frames that are pictures, the channels of every layer that reads them, its window,
    and what the last one gives beyond I; without pictures nothing. Raises: SchemaError.
    """
    shape, layers, kernel = model.get("frame_shape", ()), model.get("cnn_channels", ()), model.get("cnn_kernel", 3)
    sizes = [shape, layers, [kernel]]
    if not all(isinstance(of, list | tuple) and all(type(n) is int and 1 <= n <= _LARGEST for n in of) for of in sizes):
        raise SchemaError(f"model.{', model.'.join(_PICTURES)} must be sizes, not {str(sizes)[:80]}")
    if not shape and not layers:
        return (), (), kernel, 0
    if len(shape) != 3 or math.prod(shape) != model.get("input_size") or not layers or kernel % 2 == 0:
        raise SchemaError(
            f"model.frame_shape {str(shape)[:40]}, model.cnn_channels {str(layers)[:40]}, model.cnn_kernel {kernel}: "
            "wanted are height, width and channels, input_size numbers in all, some layers, and an odd window"
        )
    height, width, _ = shape
    for _ in layers:
        height, width = -(-height // CNN_STRIDE), -(-width // CNN_STRIDE)
    return tuple(shape), tuple(layers), kernel, height * width * layers[-1] - math.prod(shape)


def _reader(
    model: Mapping[str, Any],
    own: set[str],
    *,
    may: set[str] | frozenset[str] = frozenset(),
    more_inputs: int = 0,
    least_labels: int = 2,
) -> tuple[Shapes, int, int]:
    """The tensors of what an acceptor and a transducer have in common, the width D*H that is read of it, and C.

    own: further keys that the configuration must have. may: those that it may have. more_inputs: what is read
    beside an embedding, or in place of a frame. least_labels: of C.
    """
    own = own | {"num_labels", "input_size", "bidirectional"}
    _check_keys(model, _LAYERS | own, _MAY_BE_LEFT_OUT | _OF_TRAINING | may | {"label_smoothing"}, "model")
    V, I = _size(model, "vocab_size", least=0), _size(model, "input_size", least=0)
    if bool(V) == bool(I):
        raise SchemaError(f"model.vocab_size is {V}, model.input_size {I}; one is 0: a model reads tokens or frames")
    E = _size(model, "embedding_size", least=1 if V else 0, most=_LARGEST if V else 0)
    ends = _BOTH if _flag(model, "bidirectional") else _FORWARD
    shapes: Shapes = {"embedding.weight": (V, E)} if V else {"scale.mean": (I,), "scale.deviation": (I,)}
    shapes |= _layers(model, (E or I) + more_inputs, ends)
    return shapes, len(ends) * output_widths(model)[-1], _size(model, "num_labels", least=least_labels)


_OF_DECODER = {
    "source_vocab_size", "shared_embedding", "encoder_size", "encoder_layers", "bidirectional", "conditioning",
    "attention", "attention_size", "input_feeding", "tied",
}  # fmt: skip


def _encoder_decoder(model: Mapping[str, Any]) -> Shapes:
    may = {"label_smoothing", "scheduled_sampling", "copying", "coverage", "encoder"}
    _check_keys(model, _LAYERS | _OF_DECODER, _MAY_BE_LEFT_OUT | _OF_TRAINING | may, "model")
    V, E, H = (_size(model, name) for name in ("vocab_size", "embedding_size", "hidden_size"))
    S = _size(model, "source_vocab_size")
    encoder = model.get("encoder", "recurrent")
    for name, known in (("encoder", ENCODERS), ("conditioning", CONDITIONING), ("attention", ATTENTION)):
        value = model.get(name, encoder)
        if not isinstance(value, str) or value not in known:
            raise SchemaError(f"model.{name} {str(value)[:40]!r} is not known; one of {', '.join(known)}")
    kind, conditioning = model["attention"], model["conditioning"]
    copies, coverage = "copying" in model and _flag(model, "copying"), model.get("coverage", 0.0)
    if type(coverage) not in (int, float) or not 0 <= coverage < 1000 or (coverage and kind != "additive"):
        raise SchemaError(f"model.coverage is {str(coverage)[:40]}; a number of at least 0, with attention 'additive'")
    attends, feeds, is_shared = kind != "none", _flag(model, "input_feeding"), _flag(model, "shared_embedding")
    if (not attends and (feeds or copies or conditioning == "none")) or model.get("proj_size"):
        raise SchemaError("model: input_feeding, copying and conditioning 'none' need an attention; proj_size is null")
    if (is_shared or copies) and S != V:
        raise SchemaError(f"model: shared_embedding and copying need one vocabulary, there are {S} and {V} tokens")
    ends = _BOTH if _flag(model, "bidirectional") else _FORWARD
    W = len(ends) * _size(model, "encoder_size")
    of_encoder = {"hidden_size": model["encoder_size"], "num_layers": model["encoder_layers"]}
    shapes: Shapes = {"embedding.weight": (V, E)}
    shapes |= {} if is_shared else {"source_embedding.weight": (S, E)}
    if encoder == "set":
        if ends == _BOTH or model["encoder_layers"] != 1:
            raise SchemaError("model.encoder 'set' has no order to read: bidirectional is false, encoder_layers 1")
        shapes |= {"encoder.weight": (W, E), "encoder.bias": (W,)}
    else:
        shapes |= _layers({**model, **of_encoder}, E, ends, prefix="encoder.")
    inputs = E + H * feeds + (W if conditioning in ("concat", "both") else 0)
    shapes |= _layers(model, inputs, prefix="decoder.")
    if conditioning in ("state", "both") and (ends == _BOTH or W != H or encoder == "set"):
        for layer in range(_size(model, "num_layers")):
            for part in layer_cell(model)[1].parts:
                shapes |= {f"bridge.{layer}.{part}.weight": (H, W), f"bridge.{layer}.{part}.bias": (H,)}
    if kind == "dot" and W != H:
        raise SchemaError(f"model.attention 'dot' needs encodings of hidden_size {H} numbers, they have {W}")
    if kind == "general":
        shapes["key.weight"] = (H, W)
    K = 0
    if kind == "additive":
        K = _size(model, "attention_size")
        shapes |= {"query.weight": (K, H), "key.weight": (K, W), "key.bias": (K,), "score": (K,)}
    shapes |= {"coverage": (K,)} if coverage else {}
    shapes |= {"copy.weight": (1, H), "copy.bias": (1,)} if copies else {}
    if attends:
        shapes["combine.weight"] = (H, W + H)
    if not _flag(model, "tied"):
        return shapes | {"head.weight": (V, H), "head.bias": (V,)}
    return shapes | ({"projection.weight": (E, H)} if E != H else {}) | {"head.bias": (V,)}


LEVELS, SCALES = ("last", "mean", "series", "zero"), ("window", "series")  # what a forecaster subtracts and divides by
# By what a forecaster says of a step: how many numbers; None: as many as the configuration has of that name.
FORECASTS: dict[str, int | str] = {
    "point": 1, "quantiles": "quantile_levels", "normal": 2, "student_t": 3, "negative_binomial": 2, "mixture": 3
}  # fmt: skip


def _forecaster(model: Mapping[str, Any]) -> Shapes:
    own = {"window", "horizon", "output", "quantile_levels", "num_components", "level", "scale", "lags", "calendar"}
    own |= {"num_past", "num_future", "num_static", "linear", "recursive", "log"}
    _check_keys(model, _LAYERS | own, _MAY_BE_LEFT_OUT | _OF_TRAINING | {"gap"}, "model")
    W, h, _M = (_size(model, name, most=1 << 20) for name in ("window", "horizon", "num_components"))
    P, F, S = (_size(model, name, least=0) for name in ("num_past", "num_future", "num_static"))
    if model["vocab_size"] or model["embedding_size"]:
        raise SchemaError("model.vocab_size and model.embedding_size of a forecaster are 0: it reads numbers")
    for name, known in (("output", FORECASTS), ("level", LEVELS), ("scale", SCALES)):
        if not isinstance(model[name], str) or model[name] not in known:
            raise SchemaError(f"model.{name} {str(model[name])[:40]!r} is not known; one of {', '.join(known)}")
    levels, lags, calendar = (model[name] for name in ("quantile_levels", "lags", "calendar"))
    if not _rises(levels, float, 0, 1) or not levels:
        raise SchemaError(f"model.quantile_levels {str(levels)[:80]} must rise between 0 and 1")
    if not _rises(lags, int, -1, W):
        raise SchemaError(f"model.lags {str(lags)[:80]} must rise within 0..{W - 1}")
    is_pairs = isinstance(calendar, list | tuple) and all(
        isinstance(of, list | tuple) and len(of) == 2 for of in calendar
    )
    if not is_pairs or not all(type(n) is int and 1 <= n <= 1 << 24 for of in calendar for n in of):
        raise SchemaError(f"model.calendar {str(calendar)[:80]} must be pairs of sizes: steps, and cycles in them")
    if _flag(model, "log") and model["output"] not in ("point", "quantiles"):
        raise SchemaError(f"model.log goes with points and quantiles, not with output {model['output']!r}")
    h = 1 if _flag(model, "recursive") else h
    shapes = _layers(model, len(lags) + 2 * len(calendar) + P + F * h + S)
    if model.get("gap") is not None:
        _size(model, "gap", least=0, most=P - 1)
        others = len(layer_cell(model)[1].parts) - 1  # beside h, which may be projected
        shapes["decay"] = (sum(output_widths(model)) + others * sum(layer_widths(model)),)
    for name, size in (("past", P), ("future", F), ("static", S)):
        shapes |= {f"{name}_scale.mean": (size,), f"{name}_scale.deviation": (size,)} if size else {}
    outputs = h * forecast_size(model)
    if _flag(model, "linear"):
        shapes["autoregression.weight"] = (outputs, W)
    return shapes | {"head.weight": (outputs, output_widths(model)[-1]), "head.bias": (outputs,)}


def _simulator(model: Mapping[str, Any]) -> Shapes:
    own = {"num_inputs", "num_outputs", "input_lags", "output_lags", "delay", "linear"}
    _check_keys(model, _LAYERS | own, _MAY_BE_LEFT_OUT | _OF_TRAINING, "model")
    I, O, n = (_size(model, name, most=1 << 16) for name in ("num_inputs", "num_outputs", "input_lags"))
    m, _d = (_size(model, name, least=0, most=1 << 16) for name in ("output_lags", "delay"))
    if model["vocab_size"] or model["embedding_size"]:
        raise SchemaError("model.vocab_size and model.embedding_size of a simulator are 0: it reads numbers")
    R = n * I + m * O
    shapes = _layers(model, R)
    for name, size in (("input", I), ("output", O)):
        shapes |= {f"{name}_scale.mean": (size,), f"{name}_scale.deviation": (size,)}
    shapes |= {"linear.weight": (O, R)} if _flag(model, "linear") else {}
    return shapes | {"head.weight": (O, output_widths(model)[-1]), "head.bias": (O,)}


def forecast_size(model: Mapping[str, Any]) -> int:
    """The numbers that a forecaster says of each step."""
    size = FORECASTS[model["output"]]
    if isinstance(size, str):
        return len(model[size])
    return size * (model["num_components"] if model["output"] == "mixture" else 1)


def _rises(values: Any, kind: type, low: float, high: float) -> bool:
    """Whether these are a list of numbers of one kind that rise between two others."""
    return (
        isinstance(values, list | tuple)
        and all(type(one) is kind and low < one < high for one in values)
        and all(one < later for one, later in itertools.pairwise(values))
    )


_OF_TRANSFORMER = {
    "vocab_size", "source_vocab_size", "shared_embedding", "hidden_size", "num_heads", "feedforward_size",
    "encoder_layers", "num_layers", "tied",
}  # fmt: skip


def _transformer(model: Mapping[str, Any]) -> Shapes:
    _check_keys(model, _OF_TRANSFORMER, {"dropout", "label_smoothing"}, "model")
    V, S, D, M = (_size(model, name) for name in ("vocab_size", "source_vocab_size", "hidden_size", "feedforward_size"))
    is_shared = _flag(model, "shared_embedding")
    if D % 2 or D % _size(model, "num_heads") or (is_shared and S != V):
        raise SchemaError(
            f"model: hidden_size {D} is even and a multiple of num_heads, and shared_embedding needs one vocabulary"
        )
    shapes: Shapes = {"embedding.weight": (V, D)} | ({} if is_shared else {"source_embedding.weight": (S, D)})
    for side, count, parts in (
        ("encoder", _size(model, "encoder_layers"), ("self_attn",)),
        ("decoder", _size(model, "num_layers"), ("self_attn", "multihead_attn")),
    ):
        for layer in range(count):
            own: Shapes = {"linear1.weight": (M, D), "linear1.bias": (M,)}
            own |= {"linear2.weight": (D, M), "linear2.bias": (D,)}
            for part in parts:
                own |= {f"{part}.in_proj_weight": (3 * D, D), f"{part}.in_proj_bias": (3 * D,)}
                own |= {f"{part}.out_proj.weight": (D, D), f"{part}.out_proj.bias": (D,)}
            for number in range(1, 2 + len(parts)):
                own |= {f"norm{number}.weight": (D,), f"norm{number}.bias": (D,)}
            shapes |= {f"{side}.{layer}.{name}": shape for name, shape in own.items()}
        shapes |= {f"{side}_norm.weight": (D,), f"{side}_norm.bias": (D,)}
    return shapes | {"head.bias": (V,)} | ({} if _flag(model, "tied") else {"head.weight": (V, D)})


KINDS: dict[str, Callable[[Mapping[str, Any]], Shapes]] = {
    "language_model": _language_model,
    "bidirectional_language_model": _bidirectional_language_model,
    "window_mlp": _window_mlp,
    "acceptor": _acceptor,
    "transducer": _transducer,
    "encoder_decoder": _encoder_decoder,
    "transformer": _transformer,
    "forecaster": _forecaster,
    "simulator": _simulator,
}


def _head(model: Mapping[str, Any], V: int, width: int) -> Shapes:
    """The tensors of a softmax over V tokens on `width` features."""
    cutoffs = model["cutoffs"]
    if not isinstance(cutoffs, (list, tuple)) or not all(type(cutoff) is int for cutoff in cutoffs):
        raise SchemaError(f"model.cutoffs {str(cutoffs)[:80]} must be a list of integers")
    if model["softmax"] == "full" and not cutoffs:
        return {"head.weight": (V, width), "head.bias": (V,)}
    if model["softmax"] != "adaptive":
        raise SchemaError(f"model.softmax {model['softmax']!r} is 'full' without cutoffs, or 'adaptive' with them")
    bounds = [*cutoffs, V]
    if not cutoffs or bounds[0] < 1 or any(low >= high for low, high in itertools.pairwise(bounds)):
        raise SchemaError(f"model.cutoffs {str(list(cutoffs))[:80]} must rise within 1..{V - 1}")
    if width // ADAPTIVE_DIVISOR ** len(cutoffs) < 1:
        raise SchemaError(f"model.cutoffs has {len(cutoffs)} clusters, too many for {width} dimensions")
    shapes: Shapes = {"head.head.weight": (bounds[0] + len(cutoffs), width)}
    for index, (low, high) in enumerate(itertools.pairwise(bounds)):
        narrow = width // ADAPTIVE_DIVISOR ** (index + 1)
        shapes[f"head.tail.{index}.0.weight"] = (narrow, width)
        shapes[f"head.tail.{index}.1.weight"] = (high - low, narrow)
    return shapes


def _check_keys(values: Mapping[str, Any], required: set[str], optional: set[str], where: str) -> None:
    for key in sorted(required - values.keys()):
        raise SchemaError(f"{where} lacks the key {key}")
    for key in sorted(values.keys() - required - optional):
        near = nearest(key, sorted(required | optional))
        raise SchemaError(f"{where} has the unknown key {key[:80]!r}" + (f"; is it {near}?" if near else ""))


def _size(values: Mapping[str, Any], name: str, *, least: int = 1, most: int = _LARGEST) -> int:
    value = values[name]
    if type(value) is not int or not least <= value <= most:
        raise SchemaError(f"model.{name} is {str(value)[:40]}; an integer from {least} to {most} is wanted")
    return value


def _flag(values: Mapping[str, Any], name: str) -> bool:
    if type(values[name]) is not bool:
        raise SchemaError(f"model.{name} is {str(values[name])[:40]}; true or false is wanted")
    return values[name]
