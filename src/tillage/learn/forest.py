"""Random forests: scikit-learn grows them, arrays keep them.

Hardly anything to set, hard to overfit; larger than boosted trees and a little behind them. Leaves hold rows / LEAF
rows at least, so that a forest of many rows stays small. Missing values go where training sent them; a category is the
number of its level.
Source: Breiman, Random forests, Machine Learning 45, 2001.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.learn.examples import Examples
from tillage.learn.learner import Numbers, solving
from tillage.learn.trees import Grown, Trees

_LEAF = 2000
_LEAST = 1e-15
"""A class that no leaf knows has this share, so that its logarithm is finite."""


@dataclass(frozen=True)
class Forest:
    """How the trees are grown."""

    trees: int
    seed: int

    def learn(self, examples: Examples) -> dict[str, Any]:
        """The arrays of `trees.Grown`, a value a class, or one."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        size = {"min_samples_leaf": max(1, len(examples.target) // _LEAF)}
        if examples.classes:
            solver = RandomForestClassifier(self.trees, random_state=self.seed, max_features="sqrt", **size)
        else:
            solver = RandomForestRegressor(self.trees, random_state=self.seed, max_features=1 / 3, **size)
        with solving():
            solver.fit(_single(examples.matrix), examples.target, sample_weight=examples.weight)
        grown = Grown()
        for tree in solver.estimators_:
            _add(grown, tree.tree_)
        return grown.state()


def forest_scores(trees: Trees, matrix: Numbers, classes: int) -> Numbers:
    """Logarithms of shares (rows, classes); for numbers (classes = 0) the numbers themselves (rows,)."""
    means = trees.means(_single(matrix).astype(np.float64))
    return np.asarray(np.log(np.maximum(means, _LEAST))) if classes else means[:, 0]


def _single(matrix: Numbers) -> Numbers:
    """As float32, in which scikit-learn compares; what is too large for it is cut."""
    most = np.finfo(np.float32).max
    return np.clip(matrix, -most, most).astype(np.float32)


def _add(grown: Grown, tree: Any) -> None:
    inner = tree.children_left >= 0
    number = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1))
    grown.add(
        tree.feature[inner],
        tree.threshold[inner],
        tree.missing_go_to_left[inner],
        np.full(int(inner.sum()), -1),
        number[tree.children_left[inner]],
        number[tree.children_right[inner]],
        tree.value[~inner, 0, :],
        [],
    )
