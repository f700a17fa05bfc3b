"""Raw columns of a table as operators of ONNX: what `columns.py` and `tree_columns.py` do to them, in a graph.

Each column that a model reads is an input of its own, (rows, 1), as scikit-learn's pipelines are exported: numbers as
float64 (a missing one is NaN), dates as seconds since 1970, truth values as 1 and 0, categories as text (a missing one
is empty), vectors as (rows, width). Everything is counted in float64, so that a graph says what Python says. Refused
are prose, for ONNX has no operator for the rules by which its words are cut, and categories both empty and missing.
Source: Hinnant, chrono-compatible low-level date algorithms, 2014 (the month of a day).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tillage.core.errors import UsageError
from tillage.learn.columns import PARTS
from tillage.learn.learner import Numbers
from tillage.onnx.graph import ML, Graph, Port

LARGEST, FURTHEST = 1e150, 1e9
"""As in `columns.py`: numbers beyond the first, and standard deviations beyond the second, are cut."""

UNCUT = "ONNX has no operator for the rules by which its words are cut"

_MEANING = {
    "number": "a number; NaN where it is missing",
    "truth value": "1 for true, 0 for false; NaN where it is missing",
    "date": "seconds since 1970-01-01T00:00:00, of UTC where there is a zone; NaN where it is missing",
    "time": "seconds since midnight; NaN where it is missing",
    "duration": "seconds; NaN where it is missing",
}
_DAY = 86_400.0


def refused(why: str) -> UsageError:
    """The error for a model that no graph can stand for."""
    return UsageError(
        f"This model cannot be written as ONNX: {why}.",
        fix="Use it through `tillage score`, `tillage serve` or from Python.",
    )


def ports(columns: Sequence[Mapping[str, Any]]) -> list[Port]:
    """The inputs for these columns, of one model or of several; refuses what has no operator.

    >>> [port.kind for port in ports([{"name": "k", "kind": "category", "levels": ["a"], "missing": True}])]
    ['STRING']
    """
    found: dict[str, Port] = {}
    for learnt in columns:
        if learnt["kind"] == "dropped":
            continue
        port = _port(learnt)
        if found.setdefault(port.name, port) != port:
            raise refused(f"column '{port.name}' is one thing in one shard and another in the next")
    return list(found.values())


def _port(learnt: Mapping[str, Any]) -> Port:
    name = learnt["name"]
    if learnt["kind"] == "prose":
        raise refused(f"column '{name}' is prose, and {UNCUT}")
    if learnt["kind"] == "category":
        if "" in learnt["levels"] and learnt["missing"]:
            raise refused(
                f"the empty text is a value of column '{name}', and missing is another; a graph has one for both"
            )
        empty = "the empty one is a value" if "" in learnt["levels"] else "empty where it is missing"
        return Port(name, "STRING", ("rows", 1), f"a text; {empty}")
    if learnt["kind"] == "vector":
        return Port(name, "DOUBLE", ("rows", learnt["width"]), "a vector; NaN throughout where it is missing")
    return Port(name, "DOUBLE", ("rows", 1), _MEANING[learnt["dtype"]])


class GraphColumns:
    """Columns as features of a graph, by what `columns.learn_columns` gave."""

    def __init__(self, graph: Graph, columns: Sequence[Mapping[str, Any]]) -> None:
        self._graph = graph
        self.columns = [c for c in columns if c["kind"] != "dropped"]

    def scaled(self) -> str:
        """(rows, features): as `columns.ColumnWeights.matrix`."""
        blocks = [part for learnt in self.columns for part in self._scaled(learnt)]
        return self._graph.op("Concat", *blocks, axis=1)

    def dense(self) -> str:
        """(rows, features): as `tree_columns.TreeColumns.matrix`."""
        blocks = [part for learnt in self.columns for part in self._dense(learnt)]
        return self._graph.op("Concat", *blocks, axis=1)

    def _scaled(self, learnt: Mapping[str, Any]) -> list[str]:
        graph = self._graph
        if learnt["kind"] == "category":
            width = len(learnt["levels"]) + learnt["other"] + learnt["missing"]
            return [graph.cast(graph.op("Equal", self.codes(learnt), graph.whole(list(range(width)))), "DOUBLE")]
        if learnt["kind"] == "vector":
            filled, gone = self._vector(learnt)
            scaled = graph.op("Div", graph.op("Sub", filled, _row(graph, learnt["mean"])), _row(graph, learnt["scale"]))
            return [scaled, gone] if learnt["missing"] else [scaled]
        filled, known = self.number(learnt)
        off = graph.op("Sub", filled, _one(graph, learnt["mean"]))
        scaled = graph.op("Div", off, _one(graph, learnt["scale"]))
        blocks = [graph.op("Clip", scaled, _scalar(graph, -FURTHEST), _scalar(graph, FURTHEST))]
        if learnt["missing"]:
            blocks.append(graph.cast(graph.op("Not", known), "DOUBLE"))
        for name, part in self.parts(learnt, known, -1.0):
            first, last = PARTS[name]
            values = _row(graph, np.arange(first, last + 1, dtype=np.float64))
            blocks.append(graph.cast(graph.op("Equal", part, values), "DOUBLE"))
        return blocks

    def _dense(self, learnt: Mapping[str, Any]) -> list[str]:
        graph = self._graph
        if learnt["kind"] == "category":
            return [graph.cast(self.codes(learnt), "DOUBLE")]
        if learnt["kind"] == "vector":
            filled, gone = self._vector(learnt)
            return [filled, gone] if learnt["missing"] else [filled]
        filled, known = self.number(learnt, absent=float("nan") if learnt["missing"] else None)
        return [filled, *(part for _, part in self.parts(learnt, known, None))]

    def codes(self, learnt: Mapping[str, Any]) -> str:
        """(rows, 1) of Int64: as `columns.category_codes`; the empty text is a missing one unless it is a level."""
        levels = list(learnt["levels"])
        rest = len(levels)
        known = dict(zip(levels, range(rest), strict=True))
        known.setdefault("", rest + learnt["other"] if learnt["missing"] else -1)
        return self._graph.op(
            "LabelEncoder",
            learnt["name"],
            domain=ML,
            keys_strings=list(known),
            values_int64s=list(known.values()),
            default_int64=rest if learnt["other"] else -1,
        )

    def number(self, learnt: Mapping[str, Any], absent: float | None = None) -> tuple[str, str]:
        """(rows, 1): the number, `absent` (by default the median) where there is none; and whether there is one."""
        graph, values = self._graph, learnt["name"]
        known = graph.op("Less", graph.op("Abs", values), _one(graph, float("inf")))
        cut = graph.op("Clip", values, _scalar(graph, -LARGEST), _scalar(graph, LARGEST))
        return graph.op("Where", known, cut, _one(graph, learnt["median"] if absent is None else absent)), known

    def parts(self, learnt: Mapping[str, Any], known: str, absent: float | None) -> list[tuple[str, str]]:
        """(rows, 1) of each part of a date that is learnt from; `absent` where there is no date, or one below all."""
        if not learnt["parts"]:
            return []
        graph = self._graph
        seconds = graph.op("Where", known, learnt["name"], _one(graph, 0.0))
        days = _floor(graph, seconds, _DAY)
        made = {
            "month": lambda: _month(graph, days),
            "weekday": lambda: graph.op(
                "Add", _rest(graph, graph.op("Add", days, _one(graph, 3.0)), 7.0), _one(graph, 1.0)
            ),
            "hour": lambda: _floor(graph, _rest(graph, seconds, _DAY), 3600.0),
        }
        found = []
        for name in learnt["parts"]:
            below = PARTS[name][0] - 1.0 if absent is None else absent
            found.append((name, graph.op("Where", known, made[name](), _one(graph, below))))
        return found

    def _vector(self, learnt: Mapping[str, Any]) -> tuple[str, str]:
        """(rows, width): the vector, its mean where it is missing; and (rows, 1) whether it is, as a number."""
        graph, values = self._graph, learnt["name"]
        none = graph.cast(graph.op("IsNaN", values), "DOUBLE")
        gone = graph.op("ReduceMin", none, graph.whole([1]), keepdims=1)
        finite = graph.op("Less", graph.op("Abs", values), _one(graph, float("inf")))
        filled = graph.op("Where", finite, values, _one(graph, 0.0))
        there = graph.op("Less", gone, _one(graph, 0.5))
        return graph.op("Where", there, filled, _row(graph, learnt["mean"])), gone


def _one(graph: Graph, value: float) -> str:
    return graph.number(np.array([value], dtype=np.float64))


def _scalar(graph: Graph, value: float) -> str:
    return graph.number(np.array(value, dtype=np.float64))


def _row(graph: Graph, values: Numbers) -> str:
    return graph.number(np.asarray(values, dtype=np.float64)[None, :])


def _floor(graph: Graph, values: str, by: float) -> str:
    return graph.op("Floor", graph.op("Div", values, _one(graph, by)))


def _rest(graph: Graph, values: str, by: float) -> str:
    """What is left of the values after whole times `by`: never below zero."""
    return graph.op("Sub", values, graph.op("Mul", _floor(graph, values, by), _one(graph, by)))


def _month(graph: Graph, days: str) -> str:
    """The month, 1 to 12, of days since 1970-01-01."""

    def less(a: str, *others: str) -> str:
        for other in others:
            a = graph.op("Sub", a, other)
        return a

    def plus(a: str, b: str) -> str:
        return graph.op("Add", a, b)

    def times(a: str, by: float) -> str:
        return graph.op("Mul", a, _one(graph, by))

    of_era = _rest(graph, plus(days, _one(graph, 719_468.0)), 146_097.0)  # days since 1 March of a year 400 k
    leaps = plus(
        less(of_era, _floor(graph, of_era, 1460.0), _floor(graph, of_era, 146_096.0)), _floor(graph, of_era, 36_524.0)
    )
    year = _floor(graph, leaps, 365.0)
    whole = plus(less(times(year, 365.0), _floor(graph, year, 100.0)), _floor(graph, year, 4.0))
    of_year = less(of_era, whole)
    shifted = _floor(graph, plus(times(of_year, 5.0), _one(graph, 2.0)), 153.0)  # 0 is March
    early = graph.op("Less", shifted, _one(graph, 10.0))
    return plus(shifted, graph.op("Where", early, _one(graph, 3.0), _one(graph, -9.0)))
