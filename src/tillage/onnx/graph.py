"""ONNX graphs in the making: operators one after another, constants, and the model that holds them.

The only file that imports onnx (`pip install 'tillage[encoder]'`). Nodes are named after their number, so that the same
graph has the same bytes. Cost: that of the constants, which are copied once.
Source: the Open Neural Network Exchange, operator sets 20 (`ai.onnx`) and 3 (`ai.onnx.ml`), IR version 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from tillage.core.errors import Unavailable

ML = "ai.onnx.ml"
"""The domain of the operators of classical learning."""

_OPSETS = {"": 20, ML: 3}
_IR = 10

_OWN = "_"
"""What names inside a graph begin with, and no column does: an input is called as its column is."""

Kind: TypeAlias = Literal["INT64", "FLOAT", "DOUBLE", "STRING"]


@dataclass(frozen=True)
class Port:
    """An input or an output: its name, what its tensor holds, its shape (a text is a size of any length).

    >>> Port("age", "FLOAT", ("rows", 1)).shape
    ('rows', 1)
    """

    name: str
    kind: Kind
    shape: tuple[int | str, ...]
    meaning: str = ""
    """What is to be given, or comes, as a sentence for people."""


class Graph:
    """An ONNX graph in the making.

    >>> graph = Graph()
    >>> last = graph.op("Add", "x", graph.number(np.array([1.0])))
    >>> made = graph.model("sum", [Port("x", "DOUBLE", ("rows",))], {last: Port("y", "DOUBLE", ("rows",))})
    >>> isinstance(made, bytes)
    True
    """

    def __init__(self) -> None:
        self._onnx = _library()
        self._nodes: list[Any] = []
        self._kept: list[Any] = []
        self._domains: set[str] = {""}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The first output of a node; `domain` beside the attributes names another operator set."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """All outputs of a node."""
        self._domains.add(attributes.get("domain", ""))
        name = f"{_OWN}{kind}_{len(self._nodes)}"
        outputs = [f"{name}_{n}" if n else name for n in range(count)]
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs

    def number(self, values: Any) -> str:
        """A constant."""
        name = f"{_OWN}constant_{len(self._kept)}"
        self._kept.append(self.tensor(values, name))
        return name

    def whole(self, values: int | Sequence[int]) -> str:
        """A constant of whole numbers."""
        return self.number(np.array(values, dtype=np.int64))

    def texts(self, values: Sequence[str]) -> str:
        """A constant of texts."""
        name = f"{_OWN}constant_{len(self._kept)}"
        encoded = [value.encode() for value in values]
        self._kept.append(self._onnx.helper.make_tensor(name, self._onnx.TensorProto.STRING, [len(encoded)], encoded))
        return name

    def cast(self, values: str, kind: Literal[Kind, "BOOL"]) -> str:
        """The values as another kind of number."""
        return self.op("Cast", values, to=getattr(self._onnx.TensorProto, kind))

    def tensor(self, values: Any, name: str = "") -> Any:
        """An array as an attribute takes it."""
        return self._onnx.numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name)

    def model(
        self, name: str, inputs: Sequence[Port], outputs: Mapping[str, Port], facts: Mapping[str, str] | None = None
    ) -> bytes:
        """The bytes of the ONNX model; `outputs`: by what the node gave; `facts`: its metadata."""
        helper = self._onnx.helper
        for last, port in outputs.items():
            self._nodes.append(helper.make_node("Identity", [last], [port.name]))
        ports = [[self._value(port) for port in some] for some in (inputs, outputs.values())]
        graph = helper.make_graph(self._nodes, name, *ports, self._kept)
        imports = [helper.make_opsetid(domain, _OPSETS[domain]) for domain in sorted(self._domains)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=_IR, producer_name="tillage")
        if facts:
            helper.set_model_props(model, dict(sorted(facts.items())))
        return bytes(model.SerializeToString(deterministic=True))

    def _value(self, port: Port) -> Any:
        kind = getattr(self._onnx.TensorProto, port.kind)
        return self._onnx.helper.make_tensor_value_info(port.name, kind, list(port.shape), port.meaning)


def checked(model: bytes) -> bytes:
    """The model, once ONNX's own checker finds nothing; raises its ValidationError, which no graph of ours may.

    >>> graph = Graph()
    >>> last = graph.op("Neg", "x")
    >>> made = graph.model("less", [Port("x", "FLOAT", ("rows",))], {last: Port("y", "FLOAT", ("rows",))})
    >>> checked(made) == made
    True
    """
    _library().checker.check_model(model, full_check=True)
    return model


def ports_of(model: bytes) -> tuple[list[Port], list[Port]]:
    """The inputs and outputs that a model names.

    >>> graph = Graph()
    >>> last = graph.op("Neg", "x")
    >>> made = graph.model("less", [Port("x", "FLOAT", ("rows",))], {last: Port("y", "FLOAT", ("rows",))})
    >>> [port.name for some in ports_of(made) for port in some]
    ['x', 'y']
    """
    library = _library()
    kinds: dict[int, Kind] = {
        getattr(library.TensorProto, kind): kind for kind in ("INT64", "FLOAT", "DOUBLE", "STRING")
    }
    graph = library.load_from_string(model).graph
    found = []
    for some in (graph.input, graph.output):
        sizes = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in some]
        found.append(
            [
                Port(v.name, kinds[v.type.tensor_type.elem_type], tuple(n), v.doc_string)
                for v, n in zip(some, sizes, strict=True)
            ]
        )
    return found[0], found[1]


def _library() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise Unavailable(
            "Graphs are written as ONNX, and onnx is not installed.", fix="Run: pip install 'tillage[encoder]'"
        ) from error
    return onnx
