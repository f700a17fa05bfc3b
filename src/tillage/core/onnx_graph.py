"""Networks as ONNX: a graph written node by node, and a session of ONNX Runtime that runs it on one thread.

So what has learnt answers without the framework that it learnt in. Writing takes milliseconds, a session some more.
One thread, since chunks run beside each other, and so that a sum keeps its order.
Source: ONNX, operator set 20; extra: `pip install 'tillage[encoder]'`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tillage.core.errors import Unavailable

_OPSET, _IR = 20, 10
_FIX = "Run: pip install 'tillage[encoder]'"

Tensors = Mapping[str, Sequence[int | str]]
"""Name to shape; a text is a length that is told when it runs."""


class OnnxGraph:
    """An ONNX graph in the making: nodes in order, each named after its number.

    >>> graph = OnnxGraph()
    >>> made = graph.model("twice", {"x": ["rows"]}, graph.op("Add", "x", "x"), {"y": ["rows"]})
    >>> onnx_session(made).run(None, {"x": np.array([1.5], np.float32)})[0].tolist()
    [3.0]
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError as error:
            raise Unavailable("Networks are written as ONNX, and onnx is not installed.", fix=_FIX) from error
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._kept: list[Any] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The first output of a node."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """All outputs of a node."""
        outputs = [f"{kind}_{len(self._nodes)}_{n}" if n else f"{kind}_{len(self._nodes)}" for n in range(count)]
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs

    def number(self, values: Any) -> str:
        """A constant."""
        name = f"constant_{len(self._kept)}"
        self._kept.append(
            self._onnx.numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name)
        )
        return name

    def whole(self, values: int | Sequence[int]) -> str:
        """A constant of whole numbers."""
        return self.number(np.array(values, dtype=np.int64))

    def model(self, name: str, inputs: Tensors, last: str, output: Tensors, *, whole: bool = False) -> bytes:
        """The bytes of the ONNX model: `last` is what it gives, under the one name of `output`, as float32.

        `whole`: the inputs are Int64, and not float32.
        """
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        [made] = output
        self._nodes.append(helper.make_node("Identity", [last], [made]))
        kind = kinds.INT64 if whole else kinds.FLOAT
        given = [helper.make_tensor_value_info(tensor, kind, list(shape)) for tensor, shape in inputs.items()]
        told = [helper.make_tensor_value_info(made, kinds.FLOAT, list(output[made]))]
        graph = helper.make_graph(self._nodes, name, given, told, self._kept)
        imports = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=_IR, producer_name="tillage")
        return bytes(model.SerializeToString(deterministic=True))


def onnx_session(model: bytes) -> Any:
    """The session that runs a model: `run(None, {input: array})`; raises Unavailable without the library."""
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable("Networks are run by onnxruntime, which is not installed.", fix=_FIX) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
