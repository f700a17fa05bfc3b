"""The families of models of tables under one name each: what learns, and what answers from a saved state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl

from tillage.learn.boosting import Boosting, boosted_scores
from tillage.learn.columns import ColumnWeights, features
from tillage.learn.examples import Examples, Table
from tillage.learn.forest import Forest, forest_scores
from tillage.learn.learner import Numbers
from tillage.learn.linear import Logistic, Ridge, linear_scores
from tillage.learn.network import Network, network_scores
from tillage.learn.support_vectors import Machines, SupportVectors
from tillage.learn.tree_columns import TreeColumns
from tillage.learn.tree_shap import tree_shap
from tillage.learn.trees import Trees

Name: TypeAlias = Literal["linear", "boosted_trees", "random_forest", "svm", "mlp"]

DENSE = ("boosted_trees", "random_forest")
"""Families that take columns as `TreeColumns` gives them; the others as `ColumnWeights` does."""

Solver: TypeAlias = "Logistic | Ridge | Boosting | Forest | SupportVectors | Network"


def examples_of(table: Table, name: str) -> Examples:
    """The table in the form that the family asks for."""
    return table.dense if name in DENSE else table.sparse


@dataclass(frozen=True)
class Family:
    """One family as it learns, for choosing among them and for the model itself."""

    name: str
    solver: Solver
    rounds: int = 0
    """Of boosted trees: how many."""

    def learn(self, examples: Examples, start: tuple[Numbers, Numbers] | None = None) -> dict[str, Any]:
        """The family's own part of the state."""
        if isinstance(self.solver, Boosting):
            return self.solver.grow(examples, self.rounds)
        if isinstance(self.solver, Logistic):
            return self.solver.learn(examples, start)
        return self.solver.learn(examples)

    def held_out(self, seen: Examples, held: Examples) -> Numbers:
        """Scores of the held rows, by a model of those that are seen."""
        return scoring(self.name, self.learn(seen))(held.matrix, seen.classes)


def scoring(name: str, state: Mapping[str, Any]) -> Callable[[Any, int], Numbers]:
    """What gives the scores of a matrix, from the family's part of a state."""
    if name == "linear":
        return lambda matrix, classes: linear_scores(state, matrix, classes)
    if name == "boosted_trees":
        trees = Trees(state)
        return lambda matrix, classes: boosted_scores(trees, matrix, classes)
    if name == "random_forest":
        forest = Trees(state)
        return lambda matrix, classes: forest_scores(forest, matrix, classes)
    if name == "svm":
        return Machines(state).scores
    return lambda matrix, classes: network_scores(state, matrix, classes)


class Answering:
    """What a saved model says of rows, made ready once."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        dense = state["model"] in DENSE
        self._columns = TreeColumns(state["columns"]) if dense else ColumnWeights(state["columns"])
        self._state = state
        self._scores = scoring(state["model"], state)
        self._classes = len(state.get("classes", ()))

    def scores(self, rows: pl.DataFrame) -> Numbers:
        """(rows, classes) on a logarithmic scale; for numbers (rows,)."""
        return self._scores(self._columns.matrix(rows), self._classes)

    def contributions(self, rows: pl.DataFrame, background: pl.DataFrame) -> tuple[list[str], Numbers, Numbers] | None:
        """Columns, what each adds to the scores of a row (rows, columns, scores), and the base (scores,); of two
        classes there is one score, the second's. None of a family that is no sum of trees or of weights.

        A linear model's are coefficient times distance from the background's mean: its Shapley values, were the columns
        independent.
        """
        outputs = self._classes if self._classes > 2 else 1
        if self._state["model"] == "boosted_trees":
            matrix, behind = self._columns.matrix(rows), self._columns.matrix(background)
            values, base = tree_shap(self._state, matrix, behind, outputs)
            names = [name for name, _ in TreeColumns(self._state["columns"]).names()]
        elif self._state["model"] == "linear":
            matrix, behind = (self._columns.matrix(frame) for frame in (rows, background))
            middle = np.asarray(behind.mean(axis=0)).ravel()
            names = [json.loads(name)[0] for name in features(self._state["columns"])]
            columns = list(dict.fromkeys(names))
            base = middle @ self._state["coefficients"] + self._state["intercepts"]
            parts = [np.array(names) == column for column in columns]
            added = [
                matrix[:, part] @ self._state["coefficients"][part] - middle[part] @ self._state["coefficients"][part]
                for part in map(np.flatnonzero, parts)
            ]
            return columns, np.stack(added, axis=1), np.asarray(base)
        else:
            return None
        columns = list(dict.fromkeys(names))
        summed = [values[:, [n == column for n in names]].sum(axis=1) for column in columns]
        return columns, np.stack(summed, axis=1), base
