"""Models of tables as ONNX graphs: raw columns in, the prediction and the shares of the classes out.

Whoever has ONNX Runtime, in whatever language, scores without us and without the library that trained: linear models,
boosted trees, forests, support vector machines, perceptrons, naive Bayes and discriminants; calibrated, and in shards.
Everything is float64 but the sums of trees, which the operator for trees gives as float32: there answers agree with
Python's to 1e-5, elsewhere to 1e-9. A million rows of ten columns and 100 trees take a few CPU seconds.
Source: ONNX, operator set 3 of `ai.onnx.ml` (TreeEnsembleRegressor, LabelEncoder).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tillage.core.state import State
from tillage.learn.columns import PARTS
from tillage.learn.learner import CONFIDENCE, PREDICTION, Numbers
from tillage.learn.onnx_columns import GraphColumns, ports, refused
from tillage.onnx.graph import ML, Graph, Port

SHARES = "shares"
"""The output (rows, classes) of a classifier, its classes in the metadata as JSON."""


def written(states: Sequence[State], classes: Sequence[str] | None, facts: Mapping[str, str]) -> bytes:
    """The ONNX model of one state, or of one a shard; `classes`: None for a model of numbers.

    Inputs: the columns by name (`onnx_columns.ports`). Outputs: `prediction` (text, or float64), and of classes
    `confidence` (rows,) and `shares` (rows, classes). `facts`: its metadata, beside the classes.
    Raises UsageError for what has no operator, Unavailable.
    """
    given = ports([column for state in states for column in state["columns"]])
    made = (PREDICTION,) if classes is None else (PREDICTION, CONFIDENCE, SHARES)
    if called := [port.name for port in given if port.name in made]:
        raise refused(f"column '{called[0]}' is called as an output of the graph is; give it another name")
    graph = Graph()
    found = [_member(graph, state, classes is not None) for state in states]
    if classes is None:
        mean = _mean(graph, found)
        flat = graph.op("Reshape", mean, graph.whole([-1]))
        return graph.model("model", given, {flat: Port(PREDICTION, "DOUBLE", ("rows",))}, facts)
    for at, state in enumerate(states):
        if list(state["classes"]) != list(classes):
            place = {name: k for k, name in enumerate(classes)}
            chosen = np.zeros((len(state["classes"]), len(classes)))
            chosen[np.arange(len(chosen)), [place[name] for name in state["classes"]]] = 1.0
            found[at] = graph.op("MatMul", found[at], graph.number(chosen))
    shares = _mean(graph, found)
    best = graph.op("ArgMax", shares, axis=1, keepdims=0)
    outputs = {
        graph.op("Gather", graph.texts(classes), best): Port(PREDICTION, "STRING", ("rows",), "the class"),
        graph.op("ReduceMax", shares, graph.whole([1]), keepdims=0): Port(CONFIDENCE, "DOUBLE", ("rows",), "its share"),
        shares: Port(SHARES, "DOUBLE", ("rows", len(classes)), "the share of each class"),
    }
    return graph.model("model", given, outputs, {**facts, "classes": json.dumps(list(classes), ensure_ascii=False)})


def _mean(graph: Graph, found: Sequence[str]) -> str:
    total = found[0]
    for one in found[1:]:
        total = graph.op("Add", total, one)
    return graph.op("Div", total, graph.number(np.array([float(len(found))]))) if len(found) > 1 else total


def _member(graph: Graph, state: State, classifier: bool) -> str:
    """Shares (rows, classes), or the number (rows, 1)."""
    columns = GraphColumns(graph, state["columns"])
    scores = _naive_bayes(graph, state, columns) if "prior" in state else _family(graph, state, columns)
    if not classifier:
        return scores
    if len(state["classes"]) == 2 and "prior" not in state and state["model"] != "random_forest":
        scores = graph.op("Concat", graph.op("Sub", scores, scores), scores, axis=1)
    shares = graph.op("Softmax", scores, axis=1)
    return _calibrated(graph, state["calibration"], shares) if "calibration" in state else shares


# -- families -------------------------------------------------------------------------------------------------------


def _family(graph: Graph, state: State, columns: GraphColumns) -> str:
    """Scores on a logarithmic scale (rows, classes), of two classes (but for forests) the second's; or (rows, 1)."""
    name = state["model"]
    if name == "boosted_trees":
        return _boosted(graph, state, columns)
    if name == "random_forest":
        return _forest(graph, state, columns)
    matrix = columns.scaled()
    if name == "linear":
        return _layer(graph, matrix, state["coefficients"], state["intercepts"])
    if name == "svm":
        return _machines(graph, state, matrix)
    for weights, biases in zip(state["weights"][:-1], state["biases"][:-1], strict=True):
        matrix = graph.op("Relu", _layer(graph, matrix, weights, biases))
    return _layer(graph, matrix, state["weights"][-1], state["biases"][-1])


def _layer(graph: Graph, matrix: str, weights: Numbers, biases: Numbers) -> str:
    made = graph.op("MatMul", matrix, graph.number(np.asarray(weights, np.float64)))
    return graph.op("Add", made, graph.number(np.asarray(biases, np.float64)[None, :]))


def _machines(graph: Graph, state: State, matrix: str) -> str:
    kept = state["vectors"]
    vectors = np.zeros(kept["shape"])
    vectors[np.repeat(np.arange(len(vectors)), np.diff(kept["starts"])), kept["indices"]] = kept["data"]
    lengths = graph.op("ReduceSum", graph.op("Mul", matrix, matrix), graph.whole([1]), keepdims=1)
    across = graph.op("MatMul", matrix, graph.number(-2 * vectors.T))
    apart = graph.op("Add", graph.op("Add", lengths, graph.number((vectors**2).sum(axis=1)[None, :])), across)
    apart = graph.op("Max", apart, graph.number(np.array([0.0])))
    near = graph.op("Exp", graph.op("Mul", apart, graph.number(np.array([-float(state["gamma"])]))))
    return _layer(graph, near, state["weights"], state["intercepts"])


# -- trees ----------------------------------------------------------------------------------------------------------


def _boosted(graph: Graph, state: State, columns: GraphColumns) -> str:
    """A set of categories has a feature of its own, 0 for its members, so that all nodes compare numbers."""
    matrix, feature, threshold = columns.dense(), state["feature"].copy(), state["threshold"].copy()
    of_sets = np.flatnonzero(state["category"] >= 0)
    width = _width(columns.columns)
    blocks = [matrix]
    for at, learnt in _categories(columns.columns):
        nodes = of_sets[state["feature"][of_sets] == at]
        if not len(nodes):
            continue
        sets = state["category"][nodes]
        values = len(learnt["levels"]) + learnt["other"] + learnt["missing"]
        outside = np.ones((values + 1, len(nodes)), np.bool_)
        for place, number in enumerate(sets.tolist()):
            codes = state["levels"][state["set_starts"][number] : state["set_starts"][number + 1]]
            outside[codes[codes < values], place] = False
        blocks.append(graph.cast(_looked_up(graph, outside, columns.codes(learnt)), "DOUBLE"))
        feature[nodes], threshold[nodes] = width + np.arange(len(nodes)), 0.5
        width += len(nodes)
    classes = len(state.get("classes", ()))
    outputs = classes if classes > 2 else 1
    trees = {**state, "feature": feature, "threshold": threshold}
    whole = graph.op("Concat", *blocks, axis=1) if len(blocks) > 1 else matrix
    return _ensemble(graph, whole, trees, outputs, np.arange(len(state["roots"])) % outputs, "SUM")


def _forest(graph: Graph, state: State, columns: GraphColumns) -> str:
    """Features are compared as float32, as scikit-learn did when the trees were grown."""
    most = float(np.finfo(np.float32).max)
    ends = (graph.number(np.array(value)) for value in (-most, most))
    single = graph.cast(graph.cast(graph.op("Clip", columns.dense(), *ends), "FLOAT"), "DOUBLE")
    means = _ensemble(graph, single, state, state["value"].shape[1], None, "AVERAGE")
    if "classes" not in state:
        return means
    return graph.op("Log", graph.op("Max", means, graph.number(np.array([1e-15]))))


def _ensemble(graph: Graph, matrix: str, state: Mapping[str, Any], outputs: int, of: Numbers | None, way: str) -> str:
    """(rows, outputs); `of`: the output to which each tree adds, or None where each leaf has a value for all."""
    roots, inner = state["roots"], len(state["feature"])
    grown = roots >= 0
    sizes = np.zeros(len(roots), np.int64)
    sizes[grown] = np.diff(np.append(roots[grown], inner))
    tree = np.concatenate([np.repeat(np.arange(len(roots)), sizes), np.repeat(np.arange(len(roots)), sizes + 1)])
    first_node, first_leaf = np.cumsum(sizes) - sizes, np.cumsum(sizes + 1) - (sizes + 1)
    leaves = np.arange(len(state["value"]))
    of_node, of_leaf = tree[:inner], tree[inner:]
    number = np.concatenate([np.arange(inner) - first_node[of_node], leaves - first_leaf[of_leaf] + sizes[of_leaf]])

    def child(side: str) -> Numbers:
        to = state[side]
        found = np.where(to >= 0, number[np.maximum(to, 0)], number[inner + np.where(to < 0, ~to, 0)])
        return np.concatenate([found, np.zeros(len(leaves), np.int64)])

    order = np.lexsort((number, tree))  # the nodes of a tree stand together, its root first
    target, output = (leaves, of[of_leaf]) if of is not None else np.nonzero(state["value"])
    if of is None and outputs == 1:
        target, output = leaves, np.zeros(len(leaves), np.int64)
    weights = state["value"][target, 0 if of is not None else output]
    padded = {
        name: np.concatenate([state[name], np.zeros(len(leaves))]) for name in ("threshold", "feature", "missing_left")
    }
    modes = np.array(["BRANCH_LEQ"] * inner + ["LEAF"] * len(leaves))
    made = graph.op(
        "TreeEnsembleRegressor",
        matrix,
        domain=ML,
        n_targets=outputs,
        aggregate_function=way,
        post_transform="NONE",
        nodes_treeids=tree[order].tolist(),
        nodes_nodeids=number[order].tolist(),
        nodes_modes=modes[order].tolist(),
        nodes_featureids=padded["feature"][order].astype(np.int64).tolist(),
        nodes_values_as_tensor=graph.tensor(padded["threshold"][order].astype(np.float64)),
        nodes_missing_value_tracks_true=padded["missing_left"][order].astype(np.int64).tolist(),
        nodes_truenodeids=child("left")[order].tolist(),
        nodes_falsenodeids=child("right")[order].tolist(),
        target_treeids=of_leaf[target].tolist(),
        target_nodeids=number[inner + target].tolist(),
        target_ids=np.asarray(output).tolist(),
        target_weights_as_tensor=graph.tensor(np.asarray(weights, np.float64)),
    )
    return graph.cast(made, "DOUBLE")


def _width(columns: Sequence[Mapping[str, Any]]) -> int:
    return sum(_features(c) for c in columns)


def _features(learnt: Mapping[str, Any]) -> int:
    """How many features of a tree a column has."""
    if learnt["kind"] == "vector":
        return int(learnt["width"] + learnt["missing"])
    return 1 + len(learnt["parts"]) if learnt["kind"] == "number" else 1


def _categories(columns: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """The place of its feature, and the column, of each category."""
    places = np.cumsum([0, *(_features(c) for c in columns)]).tolist()
    return [(at, c) for at, c in zip(places, columns, strict=False) if c["kind"] == "category"]


def _looked_up(graph: Graph, table: Numbers, codes: str) -> str:
    """(rows, columns): the rows of a table that the codes (rows, 1) name; its last where a code is below zero."""
    none = graph.op("Less", codes, graph.whole([0]))
    known = graph.op("Where", none, graph.whole([len(table) - 1]), codes)
    return graph.op("Gather", graph.number(table), graph.op("Reshape", known, graph.whole([-1])))


# -- naive Bayes, calibration ---------------------------------------------------------------------------------------


def _naive_bayes(graph: Graph, state: State, columns: GraphColumns) -> str:
    """Scores (rows, classes): the prior, and what each cell adds."""
    total = graph.number(np.asarray(state["prior"], np.float64)[None, :])
    for learnt in columns.columns:
        for added in _evidence(graph, learnt, columns):
            total = graph.op("Add", total, added)
    return total


def _evidence(graph: Graph, learnt: Mapping[str, Any], columns: GraphColumns) -> list[str]:
    def shares(table: Numbers, codes: str) -> str:
        return _looked_up(graph, np.vstack([table.T, np.zeros(len(table))]), codes)

    if learnt["kind"] == "category":
        return [shares(learnt["shares"], columns.codes(learnt))]
    filled, known = columns.number(learnt, absent=learnt["mean"])
    found = []
    if "means" in learnt:
        off = graph.op("Sub", filled, graph.number(learnt["means"][None, :]))
        square = graph.op("Div", graph.op("Mul", off, off), graph.number(learnt["variances"][None, :]))
        half = graph.op("Mul", graph.op("Min", square, graph.number(np.array([1e300]))), graph.number(np.array([-0.5])))
        normal = graph.op("Sub", half, graph.number(np.log(learnt["variances"])[None, :] / 2))
        found.append(graph.op("Where", known, normal, graph.number(np.zeros((1, len(learnt["means"]))))))
    if "gap" in learnt:
        found.append(shares(learnt["gap"], graph.cast(graph.op("Not", known), "INT64")))
    for name, part in columns.parts(learnt, known, None):
        first = graph.number(np.array([float(PARTS[name][0])]))
        found.append(shares(learnt[name], graph.cast(graph.op("Sub", part, first), "INT64")))
    return found


def _calibrated(graph: Graph, state: Mapping[str, Any], shares: str) -> str:
    """As `calibration.calibrated`."""
    curves = state["curves"]
    places = [1] if len(curves) == 1 else list(range(len(curves)))
    parts = [graph.op("Gather", shares, graph.whole([k]), axis=1) for k in places]
    way = _sigmoid if state["method"] == "sigmoid" else _risen
    found = [way(graph, part, *curve) for part, curve in zip(parts, curves, strict=True)]
    one = graph.number(np.array([1.0]))
    if len(found) == 1:
        return graph.op("Concat", graph.op("Sub", one, found[0]), found[0], axis=1)
    whole = graph.op("Max", graph.op("Concat", *found, axis=1), graph.number(np.array([1e-12])))
    return graph.op("Div", whole, graph.op("ReduceSum", whole, graph.whole([1]), keepdims=1))


def _sigmoid(graph: Graph, share: str, slope: float, intercept: float) -> str:
    one = graph.number(np.array([1.0]))
    inside = graph.op("Clip", share, *(graph.number(np.array(end)) for end in (1e-12, 1 - 1e-12)))
    odds = graph.op("Sub", graph.op("Log", inside), graph.op("Log", graph.op("Sub", one, inside)))
    raised = graph.op(
        "Add", graph.op("Mul", odds, graph.number(np.array([slope]))), graph.number(np.array([intercept]))
    )
    return graph.op("Div", one, graph.op("Add", one, graph.op("Exp", graph.op("Neg", raised))))


def _risen(graph: Graph, share: str, at: Numbers, height: Numbers) -> str:
    """Straight lines between the corners, level beyond the ends: the share is moved along each as far as it goes."""
    found = graph.number(np.array([[float(height[0])]]))
    if len(at) < 2:
        return graph.op("Add", graph.op("Mul", share, graph.number(np.array([0.0]))), found)
    width, rise = np.diff(at)[None, :], np.diff(height)[None, :]
    along = graph.op("Div", graph.op("Sub", share, graph.number(at[None, :-1])), graph.number(width))
    held = graph.op("Clip", along, *(graph.number(np.array(end)) for end in (0.0, 1.0)))
    risen = graph.op("ReduceSum", graph.op("Mul", held, graph.number(rise)), graph.whole([1]), keepdims=1)
    return graph.op("Add", risen, found)
