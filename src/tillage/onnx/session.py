"""A session of ONNX Runtime: what runs a model without the framework that it learnt in.

One thread, since chunks run beside each other, and so that a sum keeps its order. Extra: `pip install
'tillage[encoder]'`. Cost: some milliseconds to open one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tillage.core.errors import BadData, Unavailable

_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Where tensors stand in a model: the number of a field to what it holds, as `onnx.proto` has them."""

_ELSEWHERE = (13, 14)
"""Fields of a tensor that say that its values are in a file: where, and that it is so."""

_DEEPEST = 64


def onnx_session(model: bytes) -> Any:
    """The session that runs a model: `run(None, {input: array})`; raises Unavailable without the library, BadData for a
    model that keeps weights in other files: whoever wrote it would choose what is opened.

    >>> import numpy as np
    >>> from tillage.onnx.graph import Graph, Port
    >>> graph = Graph()
    >>> twice = graph.op("Add", "x", "x")
    >>> made = graph.model("twice", [Port("x", "FLOAT", ("rows",))], {twice: Port("y", "FLOAT", ("rows",))})
    >>> onnx_session(made).run(None, {"x": np.array([1.5], np.float32)})[0].tolist()
    [3.0]
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(
            "Networks are run by onnxruntime, which is not installed.", fix="Run: pip install 'tillage[encoder]'"
        ) from error
    refuse_files(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def refuse_files(model: bytes) -> None:
    """Raise BadData for an ONNX model with a tensor, wherever it stands, whose values are in another file.

    The bytes are walked as protocol buffers, values passed over: it costs milliseconds, and no library.

    >>> refuse_files(bytes([7 << 3 | 2, 6, 5 << 3 | 2, 4, 14 << 3, 1, 14 << 3, 1]))
    Traceback (most recent call last):
    tillage.core.errors.BadData: The ONNX model keeps weights in other files, which are not opened. ...
    """
    waiting = [("model", memoryview(model), 0)]
    while waiting:
        kind, data, depth = waiting.pop()
        if depth > _DEEPEST:
            raise BadData("The ONNX model is nested too deeply.")
        for number, value in _fields(data):
            if kind == "tensor":
                if number in _ELSEWHERE and value != 0:
                    raise BadData(
                        "The ONNX model keeps weights in other files, which are not opened.",
                        fix="Save it as one file: onnx.save_model(model, path, save_as_external_data=False).",
                    )
            elif number in _INSIDE[kind] and isinstance(value, memoryview):
                waiting.append((_INSIDE[kind][number], value, depth + 1))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: number, and an integer or the bytes that it holds."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _broken()
        if size > len(data) - at:
            raise _broken()
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _broken()


def _broken() -> BadData:
    return BadData("It is no ONNX model: its bytes cannot be read as one.")
