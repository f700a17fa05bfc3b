"""A session of ONNX Runtime: what runs a model without the framework that it learnt in.

One thread, since chunks run beside each other, and so that a sum keeps its order. Extra: `pip install
'tillage[encoder]'`. Cost: some milliseconds to open one.
"""

from __future__ import annotations

from typing import Any

from tillage.core.errors import Unavailable


def onnx_session(model: bytes) -> Any:
    """The session that runs a model: `run(None, {input: array})`; raises Unavailable without the library.

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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
