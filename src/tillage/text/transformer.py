"""Encoders of the BERT family as ONNX graphs, written from their weights: to run one takes no deep-learning framework.

The standard operators of ONNX alone, laid out so that ONNX Runtime fuses them. In eight bits (weights a column each,
activations as they come) a model is a quarter as large and runs about 2.5 times as fast; seven of the eight are used,
so that no processor's sums overflow and each gives the same integers.
Sources: Devlin et al., BERT, NAACL 2019; Liu et al., RoBERTa, 2019; Sanh et al., DistilBERT, 2019; Zafrir et al.,
Q8BERT, 2019 (quantisation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import AfterValidator, Field

from tillage.core.errors import BadData, TillageError
from tillage.onnx.graph import Graph, Port
from tillage.text.pretrained import Pretrained

Array = np.ndarray[Any, np.dtype[Any]]
Weight: TypeAlias = "Array | dict[str, Array]"
"""Numbers as they are; or in eight bits: `values` (int8), and `scale`, what one stands for in each row (float32)."""

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
"""`model_type` of the configurations that can be written as a graph."""

_TOP = 63
_LEFT = ("position_embeddings.weight", "token_type_embeddings.weight")
_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_pytorch_tanh": "tanh", "relu": ""}
_DISTILBERT = {
    "transformer.layer": "encoder.layer",
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_LAYER = (
    *(f"attention.self.{name}" for name in ("query", "key", "value")),
    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip


class Shape:
    """What a configuration says of an encoder, in one family's terms.

    >>> Shape({"model_type": "distilbert", "dim": 8, "n_layers": 1, "n_heads": 2}).width
    8
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Raises BadData for a family that is not known, and for what would make another graph."""
        self.family = str(config.get("model_type"))
        if self.family not in FAMILIES:
            raise BadData(
                f"The model is of the type '{self.family}', which is not known here.",
                fix=f"Take an encoder of one of these: {', '.join(FAMILIES)}.",
            )
        distil = self.family == "distilbert"
        self.width = int(config["dim" if distil else "hidden_size"])
        self.layers = int(config["n_layers" if distil else "num_hidden_layers"])
        self.heads = int(config["n_heads" if distil else "num_attention_heads"])
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.activation = str(config.get("activation" if distil else "hidden_act", "gelu"))
        positions = config.get("position_embedding_type") or "absolute"
        if self.activation not in _ACTIVATIONS or positions != "absolute" or self.width % self.heads:
            raise BadData(
                f"The model's configuration is not known here: activation {self.activation}, positions {positions}.",
                fix="Take another encoder.",
            )
        roberta = self.family not in ("bert", "distilbert")
        self.first_position = int(config.get("pad_token_id", 1) or 0) + 1 if roberta else 0

    def weights(self, given: Mapping[str, Weight]) -> dict[str, Weight]:
        """The encoder's own weights under BERT's names; raises BadData when one is missing."""
        named: dict[str, Weight] = {}
        for name, value in given.items():
            plain = re.sub(r"^(?:bert|roberta|distilbert|model|encoder\.model)\.", "", name)
            if self.family == "distilbert":
                for theirs, ours in _DISTILBERT.items():
                    plain = plain.replace(theirs, ours)
            named[plain.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")] = (
                value
            )
        wanted = ["embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"]
        wanted += [f"embeddings.LayerNorm.{part}" for part in ("weight", "bias")]
        if self.family != "distilbert":
            wanted.append("embeddings.token_type_embeddings.weight")
        layers = (f"encoder.layer.{n}.{name}" for n in range(self.layers) for name in _LAYER)
        wanted += [f"{name}.{part}" for name in layers for part in ("weight", "bias")]
        missing = [name for name in wanted if name not in named]
        if missing:
            raise BadData(
                f"The weights lack {missing[0]} (and {len(missing) - 1} more).", fix="Copy the model's folder anew."
            )
        return {name: named[name] for name in wanted}

    def saved_names(self, names: Iterable[str]) -> dict[str, str]:
        """BERT's names of weights to those that a folder of the family has, as `weights` reads them.

        >>> found = Shape({"model_type": "distilbert", "dim": 8, "n_layers": 1, "n_heads": 2}).saved_names(
        ...     ["encoder.layer.0.attention.output.dense.bias"])
        >>> list(found.values())
        ['distilbert.transformer.layer.0.attention.out_lin.bias']
        """
        found = {}
        for name in names:
            theirs = name
            if self.family == "distilbert":
                for own, ours in sorted(_DISTILBERT.items(), key=lambda pair: -len(pair[1])):
                    theirs = theirs.replace(ours, own)
            top = self.family if self.family in ("bert", "distilbert") else "roberta"
            found[name] = f"{top}.{theirs}"
        return found


def _readable(model: str) -> str:
    try:
        Shape(Pretrained.find(model).config())
    except TillageError as error:
        raise ValueError(str(error)) from error
    return model


EncoderModel: TypeAlias = Annotated[
    str,
    Field(min_length=1, description="folder of the encoder, below the current one or absolute; or package:NAME"),
    AfterValidator(_readable),
]
"""The `model` of a step: an encoder that is there, of a family that can be written as a graph."""


def quantized(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """The same weights with the matrices in eight bits; vectors and positions stay as they are.

    >>> found = quantized({"layer.weight": np.array([[0.0, 6.3], [0.0, 0.0]], np.float32)})["layer.weight"]
    >>> found["values"].tolist(), found["scale"].round(3).tolist()
    ([[0, 63], [0, 0]], [0.10000000149011612, 1.0])
    """
    found: dict[str, Weight] = {}
    for name, values in weights.items():
        if isinstance(values, dict) or values.ndim != 2 or name.endswith(_LEFT):
            found[name] = values
            continue
        top = 127 if name.endswith("word_embeddings.weight") else _TOP
        most = np.abs(values).max(axis=1) / np.float32(top)
        scale = np.where(most > 0, most, np.float32(1)).astype(np.float32)
        found[name] = {"values": np.rint(values / scale[:, None]).astype(np.int8), "scale": scale}
    return found


def whole(weight: Weight) -> Array:
    """A weight as the numbers that it stands for.

    >>> whole({"values": np.array([[2], [3]], np.int8), "scale": np.array([0.5, 1.0], np.float32)}).tolist()
    [[1.0], [3.0]]
    """
    return weight["values"] * weight["scale"][:, None] if isinstance(weight, dict) else np.asarray(weight)


def write_graph(
    config: Mapping[str, Any],
    weights: Mapping[str, Weight],
    *,
    pooling: Literal["mean", "cls", "none"],
    normalize: bool = False,
    head: tuple[Array, Array] | None = None,
    masked: bool = False,
    facts: Mapping[str, str] | None = None,
) -> bytes:
    """The ONNX model: `input_ids` Int64 (texts, tokens) to `vector` Float32 (texts, width), or `logits` by a `head`.

    `weights`: as they stand, or `quantized`. `head`: weights (width, classes) and biases of a linear layer on the
    vector. With the pooling `none` each token has a vector of its own (texts, tokens, width). Texts of one call have
    one length, unless `masked`: then `attention_mask` says, by 1 and 0, which tokens are padding. `facts`: metadata.
    Raises BadData, Unavailable.
    """
    shape = Shape(config)
    graph = _Graph()
    hidden, mask = _encoder(graph, shape, shape.weights(weights), masked)
    if pooling == "none":
        vector = hidden
    elif pooling == "cls":
        vector = graph.op("Gather", hidden, graph.whole(0), axis=1)
    elif mask is None:
        vector = graph.op("ReduceMean", hidden, graph.whole([1]), keepdims=0)
    else:
        shares = graph.op("Div", mask, graph.op("ReduceSum", mask, graph.whole([1]), keepdims=1))
        weighed = graph.op("Mul", hidden, graph.op("Unsqueeze", shares, graph.whole([2])))
        vector = graph.op("ReduceSum", weighed, graph.whole([1]), keepdims=0)
    if normalize:
        vector = graph.op("LpNormalization", vector, axis=-1, p=2)
    if head is not None:
        made, bias = (graph.number(np.asarray(part, np.float32)) for part in head)
        each = pooling == "none"
        vector = (
            graph.op("Add", graph.op("MatMul", vector, made), bias) if each else graph.op("Gemm", vector, made, bias)
        )
    names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    width = shape.width if head is None else len(head[1])
    inputs = [Port(name, "INT64", ("texts", "tokens")) for name in names]
    shaped = ("texts", "tokens", width) if pooling == "none" else ("texts", width)
    output = Port("vector" if head is None else "logits", "FLOAT", shaped)
    return graph.model("encoder", inputs, {vector: output}, facts)


def _encoder(graph: _Graph, shape: Shape, weights: Mapping[str, Weight], masked: bool) -> tuple[str, str | None]:
    """The vectors of the tokens, and the mask as numbers where there is one."""
    mask, barred = None, None
    if masked:
        mask = graph.op("Cast", "attention_mask", to=1)
        closed = graph.op("Sub", graph.number(np.float32(1)), mask)
        far = graph.op("Mul", closed, graph.number(np.float32(-1e9)))
        barred = graph.op("Unsqueeze", far, graph.whole([1, 2]))
    table = np.asarray(weights["embeddings.position_embeddings.weight"])[shape.first_position :]
    if shape.family != "distilbert":
        table = table + np.asarray(weights["embeddings.token_type_embeddings.weight"])[0]
    length = graph.op("Shape", "input_ids", start=1, end=2)
    places = graph.op("Slice", graph.number(table), graph.whole([0]), length, graph.whole([0]))
    hidden = graph.op("Add", graph.table(weights["embeddings.word_embeddings.weight"], "input_ids"), places)
    hidden = graph.norm(hidden, weights, "embeddings.LayerNorm", shape.epsilon)
    for n in range(shape.layers):
        layer = f"encoder.layer.{n}."
        heard = graph.linear(
            _attention(graph, shape, weights, layer, hidden, barred), weights, layer + "attention.output.dense"
        )
        hidden = graph.norm(
            graph.op("Add", heard, hidden), weights, layer + "attention.output.LayerNorm", shape.epsilon
        )
        inner = graph.linear(hidden, weights, layer + "intermediate.dense")
        way = _ACTIVATIONS[shape.activation]
        inner = graph.op("Gelu", inner, approximate=way) if way else graph.op("Relu", inner)
        outer = graph.linear(inner, weights, layer + "output.dense")
        hidden = graph.norm(graph.op("Add", outer, hidden), weights, layer + "output.LayerNorm", shape.epsilon)
    return hidden, mask


def _attention(
    graph: _Graph, shape: Shape, weights: Mapping[str, Weight], layer: str, hidden: str, barred: str | None
) -> str:
    """Multi-head attention of tokens to each other; `barred`: what is added to the scores of padding."""
    names = [f"{layer}attention.self.{part}" for part in ("query", "key", "value")]
    size = shape.width // shape.heads
    shrunk = (np.float32(size**-0.5), np.float32(1), np.float32(1))
    cast = graph.linear(hidden, _side_by_side(weights, names, shrunk), "all")
    apart = graph.op("Reshape", cast, graph.whole([0, 0, 3, shape.heads, size]))
    query, key, value = (
        graph.op("Transpose", graph.op("Gather", apart, graph.whole(n), axis=2), perm=order)
        for n, order in enumerate(([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    )
    scores = graph.op("MatMul", query, key)
    if barred is not None:
        scores = graph.op("Add", scores, barred)
    heard = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    return graph.op("Reshape", graph.op("Transpose", heard, perm=[0, 2, 1, 3]), graph.whole([0, 0, shape.width]))


def _side_by_side(
    weights: Mapping[str, Weight], names: Sequence[str], times: Sequence[np.float32]
) -> dict[str, Weight]:
    """Several linear layers of one input as one, `all`, each times a number."""
    given = [weights[f"{name}.weight"] for name in names]
    biases = [np.asarray(weights[f"{name}.bias"]) * one for name, one in zip(names, times, strict=True)]
    small = [part for part in given if isinstance(part, dict)]
    whole: Weight
    if small:
        scales = [part["scale"] * one for part, one in zip(small, times, strict=True)]
        whole = {"values": np.concatenate([part["values"] for part in small]), "scale": np.concatenate(scales)}
    else:
        whole = np.concatenate([np.asarray(part) * one for part, one in zip(given, times, strict=True)])
    return {"all.weight": whole, "all.bias": np.concatenate(biases)}


class _Graph(Graph):
    """A graph of layers, whose weights may be in eight bits."""

    def table(self, values: Weight, at: str) -> str:
        """The rows of a table."""
        if not isinstance(values, dict):
            return self.op("Gather", self.number(values), at)
        found = self.op("Cast", self.op("Gather", self.number(values["values"]), at), to=1)
        return self.op("Mul", found, self.op("Gather", self.number(values["scale"][:, None]), at))

    def linear(self, hidden: str, weights: Mapping[str, Weight], name: str) -> str:
        """A linear layer."""
        matrix, bias = weights[f"{name}.weight"], self.number(np.asarray(weights[f"{name}.bias"]))
        if not isinstance(matrix, dict):
            return self.op("Add", self.op("MatMul", hidden, self.number(matrix.T)), bias)
        rounded, step, zero = self.ops("DynamicQuantizeLinear", 3, hidden)
        whole = (self.number(matrix["values"].T), zero, self.number(np.int8(0)))
        sums = self.op("Cast", self.op("MatMulInteger", rounded, *whole), to=1)
        return self.op("Add", self.op("Mul", sums, self.op("Mul", step, self.number(matrix["scale"]))), bias)

    def norm(self, hidden: str, weights: Mapping[str, Weight], name: str, epsilon: float) -> str:
        """A layer normalisation."""
        parts = (self.number(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.op("LayerNormalization", hidden, *parts, axis=-1, epsilon=epsilon)
