"""Linear models of tables: logistic regression for classes, ridge regression for numbers.

The plainest model that stands a chance, and the yardstick for any other: it is read off its coefficients, trains in
seconds (33,000 rows of 14 columns: about 2 CPU seconds), and is convex, so that the same rows give the same model.
Sources: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, sections 3.4.1 and 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.rows import ID
from tillage.core.state import State
from tillage.learn.columns import ColumnWeights, as_numbers, features, inputs_of, learn_columns
from tillage.learn.ensemble import ClassifierModel, RegressorModel, ShardedLearner
from tillage.learn.learner import Numbers, column, labelled, require_two, solving

_ROUNDS = 1000


class TabularClassifier(ShardedLearner):
    """Classify rows of numbers, categories, dates and prose by logistic regression.

    It resumes: from the coefficients of the features that it had, the others at zero.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1.0, 2.0, 8.0, 9.0], "y": ["s", "s", "l", "l"]})
    >>> model = TabularClassifier(target="y").compute({"rows": rows})
    >>> model.apply(pl.DataFrame({"size": [7.5, None]}))["prediction"][0]
    'l'
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"
    resumes: ClassVar[bool] = True

    input: str | tuple[str, ...] | None = Field(
        None, min_length=1, description="columns to learn from; all others than the target unless named"
    )
    regularisation: float = Field(1.0, gt=0, le=1e6, description="C: greater fits the training rows more closely")
    class_weight: Literal["balanced"] | None = Field(None, description="balanced: rare classes weigh more")
    seed: int = Field(0, ge=0, lt=2**31, description="of the solver; this one draws nothing")

    def needs(self) -> tuple[str, ...]:
        return (*_named(self.input), self.target)

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when there are fewer than two classes, or no column to learn from."""
        from sklearn.linear_model import LogisticRegression

        rows, labels = labelled(rows, self.target)
        classes = labels.unique().sort().to_list()
        require_two(classes, self.target)
        names = inputs_of(rows, self.input, self.target)
        learnt = learn_columns(rows, names)
        solver = LogisticRegression(
            C=self.regularisation, class_weight=self.class_weight, max_iter=_ROUNDS, tol=1e-6, random_state=self.seed
        )
        if before is not None and before["classes"] == classes:
            solver.warm_start = True
            solver.coef_, solver.intercept_ = _carried(before, learnt), before["intercepts"]
        matrix = ColumnWeights(learnt).matrix(rows)
        with solving():
            solver.fit(matrix, labels.to_numpy())
        return {
            "columns": learnt,
            "classes": classes,
            "coefficients": np.ascontiguousarray(solver.coef_.T),
            "intercepts": np.asarray(solver.intercept_),
            "converged": bool(np.max(solver.n_iter_) < _ROUNDS),
            "input": names,
            "target": self.target,
        }

    def fitted(self, state: State) -> TabularClassifierModel:
        return TabularClassifierModel(state=state)


class TabularClassifierModel(ClassifierModel):
    """Adds `prediction` and `confidence` to rows by a TabularClassifier's state.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1, 2, 8, 9], "k": ["a", "b", "c", "d"], "y": [0, 0, 1, 1]})
    >>> TabularClassifier(target="y").compute({"rows": rows}).needs()
    ('size',)
    """

    def reads(self) -> tuple[str, ...]:
        return _used(self.state)

    def scores(self, seen: pl.DataFrame) -> Numbers:
        scores = self._columns.matrix(seen) @ self.state["coefficients"] + self.state["intercepts"]
        if scores.shape[1] == 1:  # two classes have one score: the second's, over a first of zero
            scores = np.hstack([np.zeros_like(scores), scores])
        return np.asarray(scores)

    @cached_property
    def _columns(self) -> ColumnWeights:
        return ColumnWeights(self.state["columns"])


class TabularRegressor(ShardedLearner):
    """Predict a number from numbers, categories, dates and prose by ridge regression.

    >>> rows = pl.DataFrame({"_id": range(3), "x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]})
    >>> model = TabularRegressor(target="y", alpha=1e-9).compute({"rows": rows})
    >>> round(model.apply(pl.DataFrame({"x": [3.0]}))["prediction"][0], 6)
    7.0
    """

    task: ClassVar[Literal["classification", "regression"]] = "regression"

    input: str | tuple[str, ...] | None = Field(
        None, min_length=1, description="columns to learn from; all others than the target unless named"
    )
    alpha: float = Field(1.0, gt=0, le=1e9, description="strength of the penalty on squared coefficients")
    seed: int = Field(0, ge=0, lt=2**31, description="of the solver; this one draws nothing")

    def needs(self) -> tuple[str, ...]:
        return (*_named(self.input), self.target)

    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state; raises BadData when fewer than two rows have a number as target, or no column is left."""
        from sklearn.linear_model import Ridge

        rows, numbers = _measured(rows, self.target)
        if rows.height < 2:
            raise BadData(
                f"{rows.height} rows have a number in the target column '{self.target}': two are the least.",
                fix="Look at the filters before the model, and at the column's name and type.",
            )
        names = inputs_of(rows, self.input, self.target)
        learnt = learn_columns(rows, names)
        values = numbers.to_numpy()
        middle, spread = float(values.mean()), float(values.std()) or 1.0
        with solving():
            solver = Ridge(alpha=self.alpha, solver="sparse_cg", tol=1e-10, random_state=self.seed)
            solver.fit(ColumnWeights(learnt).matrix(rows), (values - middle) / spread)
        return {
            "columns": learnt,
            "coefficients": np.asarray(solver.coef_ * spread)[:, None],
            "intercept": float(solver.intercept_ * spread + middle),
            "input": names,
            "target": self.target,
        }

    def fitted(self, state: State) -> TabularRegressorModel:
        return TabularRegressorModel(state=state)


class TabularRegressorModel(RegressorModel):
    """Adds `prediction` (Float64) to rows by a TabularRegressor's state.

    >>> rows = pl.DataFrame({"_id": range(3), "x": [0.0, 1.0, 2.0], "y": [1.0, 1.0, 1.0]})
    >>> TabularRegressor(target="y").compute({"rows": rows}).apply(rows)["prediction"].to_list()
    [1.0, 1.0, 1.0]
    """

    def reads(self) -> tuple[str, ...]:
        return _used(self.state)

    def scores(self, seen: pl.DataFrame) -> Numbers:
        values = self._columns.matrix(seen) @ self.state["coefficients"] + self.state["intercept"]
        return np.asarray(values[:, 0])

    @cached_property
    def _columns(self) -> ColumnWeights:
        return ColumnWeights(self.state["columns"])


def _named(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if names is None else (names,) if isinstance(names, str) else names


def _used(state: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(c["name"] for c in state["columns"] if c["kind"] != "dropped")


def _carried(before: State, learnt: Sequence[Mapping[str, Any]]) -> Numbers:
    """The coefficients of a state, one row a class, at the places that its features have among those learnt now."""
    now, was = features(learnt), features(before["columns"])
    at = {name: place for place, name in enumerate(was)}
    known = [place for place, name in enumerate(now) if name in at]
    carried = np.zeros((before["coefficients"].shape[1], len(now)))
    carried[:, known] = before["coefficients"].T[:, [at[now[place]] for place in known]]
    return carried


def _measured(rows: pl.DataFrame, target: str) -> tuple[pl.DataFrame, pl.Series]:
    """The rows whose target is a finite number, by ascending `_id`, and those numbers."""
    values = column(rows, target)
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise BadData(
            f"The target column '{target}' holds {values.dtype}, not numbers.",
            fix="Name a column of numbers, or use a classifier.",
        )
    known = rows.with_columns(as_numbers(values, "number").alias("_label")).filter(pl.col("_label").is_not_null())
    if ID in known.columns:
        known = known.sort(ID)
    return known.drop("_label"), known["_label"]
