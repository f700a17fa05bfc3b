"""A network of convolutions as an ONNX graph, written from its weights, so that it answers without PyTorch.

The network is that of `deep/image_network.py` once its normalisations have gone into the convolutions: pairs of 3 x 3
convolutions with rectifiers, halvings between them, a mean over all places, one linear layer.
A picture of 28 by 28 pixels takes a quarter of a millisecond of one processor at a width of 16.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tillage.learn.learner import Numbers
from tillage.onnx.graph import Graph, Port

PAIRS = 3
_SMALLEST = 4
"""Places a side below which nothing is halved."""


def halvings(rows: int, columns: int) -> list[bool]:
    """Of each pair of convolutions, whether a halving follows.

    >>> halvings(28, 28), halvings(8, 8)
    ([True, True, False], [True, False, False])
    """
    found = []
    for n in range(PAIRS):
        halves = n + 1 < PAIRS and min(rows, columns) >= 2 * _SMALLEST
        rows, columns = (rows // 2, columns // 2) if halves else (rows, columns)
        found.append(halves)
    return found


def write_image_graph(
    weights: Mapping[str, Numbers], rows: int, columns: int, facts: Mapping[str, str] | None = None
) -> bytes:
    """The ONNX model: `pictures` float32 (pictures, channels, rows, columns) to `logits` (pictures, classes).

    `weights`: `0.weight`, `0.bias` and so on, the last of them the linear layer's; `facts`: its metadata. Raises
    Unavailable.
    """
    graph = Graph()
    hidden, at = "pictures", 0

    def parts() -> tuple[str, str]:
        return graph.number(weights[f"{at}.weight"]), graph.number(weights[f"{at}.bias"])

    for halves in halvings(rows, columns):
        for _ in range(2):
            hidden = graph.op("Relu", graph.op("Conv", hidden, *parts(), pads=[1, 1, 1, 1]))
            at += 1
        if halves:
            hidden = graph.op("MaxPool", hidden, kernel_shape=[2, 2], strides=[2, 2])
    vector = graph.op("Flatten", graph.op("GlobalAveragePool", hidden))
    logits = graph.op("Gemm", vector, *parts(), transB=1)
    channels, classes = weights["0.weight"].shape[1], len(np.asarray(weights[f"{at}.bias"]))
    given = Port("pictures", "FLOAT", ("pictures", channels, rows, columns))
    return graph.model("images", [given], {logits: Port("logits", "FLOAT", ("pictures", classes))}, facts)
