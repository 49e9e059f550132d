"""An ONNX graph while it is being written: nodes and weights by name, subgraphs that see the weights of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError, MissingExtraError

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("writing ONNX needs `onnx`", extra="onnx") from error

OPSET = 17  # of 2022, so that runtimes on old machines read it; nothing below needs a later one
IR_VERSION = 8
_MOST_BYTES = 2**31 - 1  # of a protobuf message

_TYPES = {np.dtype(kind): getattr(TensorProto, name) for kind, name in (
    (np.float32, "FLOAT"), (np.int64, "INT64"), (np.int32, "INT32"), (np.uint8, "UINT8"), (np.bool_, "BOOL"),
)}  # fmt: skip
Shape = Sequence[int | str | None]


class Graph:
    """Nodes in the order in which they are written.

    A weight is stored once under its name. A value's name is made here, so that no two are the same in the graph and
    its subgraphs.
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self._root: Graph = self if outer is None else outer._root
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._weights: dict[str, np.ndarray] = {}
        self._numbers: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0

    def input(self, name: str, kind: Any, shape: Shape) -> str:
        """Declare an input; returns its name, as all that follow do."""
        self._inputs.append(_declared(name, kind, shape))
        return name

    def output(self, value: str, name: str, kind: Any, shape: Shape) -> None:
        """Declare that `value` comes out as `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_declared(name, kind, shape))

    def weight(self, name: str, array: np.ndarray) -> str:
        """Store an array."""
        known = self._root._weights.setdefault(name, array)
        assert known is array or np.array_equal(known, array), name
        return name

    def number(self, value: Any, kind: Any = np.int64) -> str:
        """A constant: a number, or a list of numbers."""
        array = np.asarray(value, kind)
        numbers = self._root._numbers
        name = numbers.setdefault((array.dtype.str, array.shape, array.tobytes()), f"constant_{len(numbers)}")
        return self.weight(name, array)

    def cast(self, value: str, kind: Any) -> str:
        """Add a node that converts."""
        return self.op("Cast", value, to=_TYPES[np.dtype(kind)])

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output."""
        return self.ops(operator, *inputs, outputs=1, **attributes)[0]

    def ops(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs."""
        self._root._count += 1
        names = [f"{operator}_{self._root._count}" + (f"_{index}" if index else "") for index in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, name=names[0], **attributes))
        return names

    def subgraph(self) -> Graph:
        """A graph that a node of this one runs, and that sees the weights of this one."""
        return Graph(self)

    def proto(self, name: str) -> onnx.GraphProto:
        """The graph as ONNX has it."""
        weights = [numpy_helper.from_array(np.ascontiguousarray(a), key) for key, a in self._weights.items()]
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs, weights)

    def serialize(self, name: str, *, description: str, metadata: dict[str, str]) -> bytes:
        """The file's bytes, checked by ONNX's own checker, with the shapes of every node.

        Raises: ArgumentError for a model that one ONNX file cannot hold.
        """
        size = sum(array.nbytes for array in self._weights.values())
        if size > _MOST_BYTES - (1 << 20):
            raise ArgumentError(f"the weights take {size:,} bytes, one ONNX file holds 2 GiB; export with int8")
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(self.proto(name), opset_imports=opsets, ir_version=IR_VERSION, producer_name="rnnkit")
        model.doc_string = description
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)


def _declared(name: str, kind: Any, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _TYPES[np.dtype(kind)], list(shape))
