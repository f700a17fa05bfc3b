"""A model that keeps weights in other files is refused before ONNX Runtime sees it, wherever it hides them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tillage.core.errors import BadData
from tillage.onnx.session import onnx_session, refuse_files

onnx = pytest.importorskip("onnx")


def elsewhere(name: str = "w") -> Any:
    tensor = onnx.TensorProto(name=name, data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def graph(nodes: list[Any], initializers: list[Any] | None = None) -> Any:
    value = onnx.helper.make_tensor_value_info
    return onnx.helper.make_graph(nodes, "g", [value("x", 1, [4])], [value("y", 1, [4])], initializers or [])


def model(made: Any) -> bytes:
    opset = [onnx.helper.make_opsetid("", 17)]
    return bytes(onnx.helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString())


ADD = onnx.helper.make_node("Add", ["x", "w"], ["y"])


def as_weight() -> Any:
    return graph([ADD], [elsewhere()])


def as_constant() -> Any:
    node = onnx.helper.make_node("Constant", [], ["w"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(elsewhere())
    return graph([node, ADD])


def in_a_branch() -> Any:
    node = onnx.helper.make_node("If", ["x"], ["y"])
    node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(as_constant())
    return graph([node])


def as_sparse() -> Any:
    made = graph([ADD])
    made.sparse_initializer.add(dims=[4]).values.CopyFrom(elsewhere())
    return made


def without_saying_so() -> Any:
    tensor = elsewhere()
    tensor.ClearField("data_location")
    return graph([ADD], [tensor])


@pytest.mark.parametrize("made", [as_weight, as_constant, in_a_branch, as_sparse, without_saying_so])
def test_weights_in_other_files_are_refused(made: Callable[[], Any]) -> None:
    with pytest.raises(BadData, match="other files"):
        onnx_session(model(made()))


def test_a_function_of_the_model_is_looked_through() -> None:
    whole = onnx.ModelProto.FromString(model(graph([ADD], [])))
    whole.functions.add(name="f").node.append(as_constant().node[0])
    with pytest.raises(BadData, match="other files"):
        refuse_files(whole.SerializeToString())


def test_what_holds_its_weights_is_run() -> None:
    weights = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    weights.data_location = onnx.TensorProto.DEFAULT
    said = onnx_session(model(graph([ADD], [weights]))).run(None, {"x": np.ones(4, np.float32)})[0]
    assert said.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("data", [b"\x3a\xff", b"\x3b", b"\x38" + b"\xff" * 12, b"\x3a\x05ab"])
def test_what_is_no_model_is_told(data: bytes) -> None:
    with pytest.raises(BadData, match="no ONNX model"):
        refuse_files(data)


def test_nesting_has_an_end() -> None:
    data = b""
    for _ in range(200):
        for number in (6, 5, 1):
            size, head = len(data), bytearray([number << 3 | 2])
            while size > 127:
                head.append(size & 127 | 128)
                size >>= 7
            data = bytes(head) + bytes([size]) + data
    size, head = len(data), bytearray([7 << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    with pytest.raises(BadData, match="too deeply"):
        refuse_files(bytes(head) + bytes([size]) + data)
