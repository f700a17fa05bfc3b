"""Naive Bayes over the columns of a table as a Fold: by class a count, a mean and a variance, all from exact sums.

Numbers are taken for normal within a class, categories and the parts of dates for what they are, gaps for a fact of
their own, and columns for independent of each other: which they seldom are, so the confidence is too sure of itself, as
is known of the method. One pass, the cheapest learner of tables; a row that goes costs its chunk and leaves no trace.
Sources: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, section 6.6.3; Manning, Raghavan,
Schuetze, Introduction to Information Retrieval, 2008, section 13.2 (Laplace's smoothing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.rows import column
from tillage.core.state import State
from tillage.learn.cells import ALL, MISSING, Cells, merged_kinds, name_of, read_cells, ruled_out, settled, stays
from tillage.learn.cells import column_of as column_of_name
from tillage.learn.column_learner import ColumnModel
from tillage.learn.columns import PARTS, as_numbers, category_codes, parts_of
from tillage.learn.ensemble import ClassifierModel
from tillage.learn.learner import Numbers, labelled, require_two
from tillage.learn.moment_learner import FoldedColumns, slices
from tillage.learn.moments import SQUARES, SUMS, integers, packed_integers, places
from tillage.measure.exact import rounded
from tillage.measure.products import exact_moments


class GaussianNaiveBayes(FoldedColumns):
    """Classify rows of numbers, categories and dates, each column on its own; exact under any change of the rows.

    State: by class (sorted) and flag the Int64 counts, by class and number the exact sums and sums of squares.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1.0, 2.0, 8.0, 9.0], "y": ["s", "s", "l", "l"]})
    >>> learner = GaussianNaiveBayes(target="y")
    >>> model = learner.finish(learner.update(learner.start(), rows))
    >>> model.apply(pl.DataFrame({"size": [7.5, None]}))["prediction"][0]
    'l'
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    alpha: float = Field(
        1.0, gt=0, le=1e6, description="what is added to each count of a category (1: Laplace), in rows"
    )
    smoothing: float = Field(
        1e-9, gt=0, le=1, description="what is added to a variance within a class, as a share of that of all rows"
    )

    def start(self) -> State:
        none = packed_integers(np.zeros((0, 0), object))
        counts = np.zeros((0, 0), np.int64)
        lists: dict[str, Any] = {name: [] for name in ("out", "classes", "flags", "numbers")}
        return {"kinds": {}, **lists, "counts": counts, "sums": none, "squares": none}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        rows, labels = labelled(rows, self.target)
        names = self.inputs(rows)
        for part in slices(rows.with_columns(labels.alias("_label")), names):
            state = self.merge(state, _of(read_cells(part, names, self.levels), part["_label"]))
        return state

    def merge(self, a: State, b: State) -> State:
        classes = sorted({*a["classes"], *b["classes"]})
        flags, numbers = sorted({*a["flags"], *b["flags"]}), sorted({*a["numbers"], *b["numbers"]})
        counts = np.zeros((len(classes), len(flags)), np.int64)
        sums, squares = (np.full((len(classes), len(numbers)), 0, object) for _ in range(2))
        for state in (a, b):
            k, f, p = (
                places(classes, state["classes"]),
                places(flags, state["flags"]),
                places(numbers, state["numbers"]),
            )
            counts[np.ix_(k, f)] += state["counts"]
            sums[np.ix_(k, p)] += integers(state["sums"])
            squares[np.ix_(k, p)] += integers(state["squares"])
        out = ruled_out({*a["out"], *b["out"]}, flags, self.levels)
        f = [at for at, name in enumerate(flags) if stays(name, out)]
        p = [at for at, name in enumerate(numbers) if stays(name, out)]
        return {
            "kinds": merged_kinds(a["kinds"], b["kinds"]),
            "out": out,
            "classes": classes,
            "flags": [flags[at] for at in f],
            "numbers": [numbers[at] for at in p],
            "counts": counts[:, f],
            "sums": packed_integers(sums[:, p]),
            "squares": packed_integers(squares[:, p]),
        }

    def finish(self, state: State) -> GaussianNaiveBayesModel:
        """The model; raises BadData when fewer than two classes were seen, or no column is left."""
        classes = state["classes"]
        require_two(classes, self.target)
        known = _Known(state, self.alpha, self.smoothing)
        learnt = settled(state, known.numbers)
        rows = known.count(ALL)
        return GaussianNaiveBayesModel(
            state={
                "columns": [{**c, **known.evidence(c)} for c in learnt],
                "classes": classes,
                "prior": np.log(rows / rows.sum()),
                "input": list(state["kinds"]),
                "target": self.target,
            }
        )


def _of(cells: Cells, labels: pl.Series) -> State:
    """The state of some rows."""
    classes, flags, numbers = labels.unique().sort().to_list(), sorted(cells.flags), sorted(cells.numbers)
    one = np.column_stack([(labels == label).to_numpy() for label in classes]) if classes else np.zeros((0, 0), bool)
    counts = [[np.count_nonzero(one[:, k] & cells.flags[name]) for name in flags] for k in range(len(classes))]
    values = np.column_stack([cells.numbers[name] for name in numbers]) if numbers else np.zeros((len(labels), 0))
    sums, squares = exact_moments(one, values)
    return {
        "kinds": cells.kinds,
        "out": cells.out,
        "classes": classes,
        "flags": flags,
        "numbers": numbers,
        "counts": np.array(counts, np.int64).reshape(len(classes), len(flags)),
        "sums": packed_integers(sums),
        "squares": packed_integers(squares),
    }


class _Known:
    """What a state says of each column."""

    def __init__(self, state: State, alpha: float, smoothing: float) -> None:
        self._state, self._alpha, self._smoothing = state, alpha, smoothing
        sums, squares = integers(state["sums"]), integers(state["squares"])
        self.numbers: dict[str, dict[str, Any]] = {}
        for at, name in enumerate(state["numbers"]):
            there = (self.count(ALL) - self.count(name_of(column_of_name(name), MISSING))).tolist()
            mean, variance = _normal(int(sums[:, at].sum()), int(squares[:, at].sum()), sum(there))
            own = [_normal(*each) for each in zip(sums[:, at].tolist(), squares[:, at].tolist(), there, strict=True)]
            means = [m if n else mean for (m, _), n in zip(own, there, strict=True)]
            spreads = [v if n else variance for (_, v), n in zip(own, there, strict=True)]
            self.numbers[name] = {
                "mean": mean,
                "scale": float(np.sqrt(variance)),
                "means": np.array(means),
                "variances": np.array(spreads) + smoothing * variance,
            }

    def count(self, flag: str) -> Numbers:
        """(classes,): how many rows have the flag."""
        flags = self._state["flags"]
        return (
            self._state["counts"][:, flags.index(flag)] if flag in flags else np.zeros_like(self._state["counts"][:, 0])
        )

    def evidence(self, learnt: Mapping[str, Any]) -> dict[str, Any]:
        """What a column's cells say for each class, as logarithms."""
        name, found = learnt["name"], {}
        if learnt["kind"] == "category":
            names = [name_of(name, "level", level) for level in learnt["levels"]]
            return {"shares": self._shares([self.count(n) for n in [*names, *self._gap(learnt)]])}
        if learnt["kind"] == "number":
            number = self.numbers[learnt["from"]]
            if number["scale"]:
                found = {"means": number["means"], "variances": number["variances"]}
            for part in learnt["parts"]:
                first, last = PARTS[part]
                values = range(first, last + 1)
                found[part] = self._shares([self.count(name_of(name, part, str(value))) for value in values])
            if learnt["missing"]:
                gone = self.count(name_of(name, MISSING))
                found["gap"] = self._shares([self.count(ALL) - gone, gone])
        return found

    def _gap(self, learnt: Mapping[str, Any]) -> list[str]:
        return [name_of(learnt["name"], MISSING)] if learnt["missing"] else []

    def _shares(self, counts: Sequence[Numbers]) -> Numbers:
        """(classes, values): the logarithm of each value's smoothed share in a class."""
        table = np.column_stack(counts) + self._alpha
        return np.asarray(np.log(table / table.sum(axis=1, keepdims=True)))


def _normal(total: int, squares: int, rows: int) -> tuple[float, float]:
    """Mean and variance (divided by n), each rounded once; zeros of no rows."""
    if not rows:
        return 0.0, 0.0
    return rounded(total, rows << SUMS), rounded(rows * squares - total * total, rows * rows << SQUARES)


class GaussianNaiveBayesModel(ColumnModel, ClassifierModel):
    """Adds `prediction` and `confidence` by a GaussianNaiveBayes state; a cell never seen in training says nothing.

    >>> rows = pl.DataFrame({"_id": range(3), "kind": ["a", "b", "b"], "y": ["x", "z", "z"]})
    >>> learner = GaussianNaiveBayes(target="y")
    >>> model = learner.finish(learner.update(learner.start(), rows))
    >>> round(model.apply(pl.DataFrame({"kind": ["never"]}))["confidence"][0], 6)
    0.666667
    """

    def scores(self, seen: pl.DataFrame) -> Numbers:
        found = np.tile(self.state["prior"], (seen.height, 1))
        for learnt in self.state["columns"]:
            if learnt["kind"] == "category":
                found += _looked_up(learnt["shares"], category_codes(column(seen, learnt["name"]), learnt))
            elif learnt["kind"] == "number":
                found += _of_number(column(seen, learnt["name"]), learnt)
        return found


def _of_number(values: pl.Series, learnt: Mapping[str, Any]) -> Numbers:
    numbers = as_numbers(values, learnt["dtype"])
    gone = numbers.is_null().to_numpy()
    found = np.zeros((len(values), 1))
    if "means" in learnt:
        variance = learnt["variances"]
        off = numbers.fill_null(learnt["mean"]).to_numpy()[:, None] - learnt["means"]
        with np.errstate(over="ignore"):
            normal = -np.minimum(off * off / variance, 1e300) / 2 - np.log(variance) / 2
        found = np.where(gone[:, None], 0.0, normal)
    if "gap" in learnt:
        found = found + _looked_up(learnt["gap"], gone.astype(np.int64))
    for name, part in parts_of(values) if learnt["parts"] else []:
        if name in learnt["parts"]:
            first, _ = PARTS[name]
            found = found + _looked_up(learnt[name], part.cast(pl.Int64).fill_null(first - 1).to_numpy() - first)
    return found


def _looked_up(shares: Numbers, codes: Numbers) -> Numbers:
    """(rows, classes): the column of `shares` (classes, values) that each code names; zeros below 0."""
    known = np.maximum(codes, 0)
    return np.where(codes[:, None] < 0, 0.0, shares.T[known])
