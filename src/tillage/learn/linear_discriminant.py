"""Linear discriminant analysis as a Fold: a linear classifier from exact sums, that forgets a row for a chunk's work.

Classes are taken for normal clouds of one shape in different places; then the log odds are linear in the features, and
all that is needed are means and one covariance. Close to logistic regression in accuracy where features are not very
skewed, in one pass, with the memory of a chunk; categories and gaps count as in `ridge`.
Sources: Fisher, Annals of Eugenics 7, 1936; Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009,
section 4.3.
"""

from __future__ import annotations

import json
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.state import State
from tillage.learn.cells import name_of, read_cells
from tillage.learn.column_learner import FamilyModel
from tillage.learn.ensemble import ClassifierModel
from tillage.learn.learner import labelled, require_two
from tillage.learn.moment_learner import MomentLearner, slices, solved
from tillage.learn.moments import moments_of
from tillage.learn.spread import rows_of, spread_of

_CLASS = "class"


class LinearDiscriminant(MomentLearner):
    """Classify rows of numbers, categories and dates by a linear model; exact under any change of the rows.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1.0, 2.0, 8.0, 9.0], "y": ["s", "s", "l", "l"]})
    >>> learner = LinearDiscriminant(target="y")
    >>> model = learner.finish(learner.update(learner.start(), rows))
    >>> model.apply(pl.DataFrame({"size": [7.5, None]}))["prediction"][0]
    'l'
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    alpha: float = Field(
        1.0, gt=0, le=1e9, description="what is added to each feature's variance, in rows of its scale"
    )

    def update(self, state: State, rows: pl.DataFrame) -> State:
        rows, labels = labelled(rows, self.target)
        names = self.inputs(rows)
        for part in slices(rows.with_columns(labels.alias("_label")), names):
            cells = read_cells(part, names, self.levels)
            for label in part["_label"].unique().sort().to_list():
                cells.flags[name_of("", _CLASS, label)] = (part["_label"] == label).to_numpy()
            state = self.merge(state, moments_of(cells))
        return state

    def finish(self, state: State) -> LinearDiscriminantModel:
        """The model; raises BadData when fewer than two classes were seen, or no column is left."""
        flags = [flag for flag in state["flags"] if json.loads(flag)[:2] == ["", _CLASS]]
        by_class = sorted((json.loads(flag)[2], flag) for flag in flags)
        classes = [label for label, _ in by_class]
        require_two(classes, self.target)
        spread, rows = spread_of(state, [flag for _, flag in by_class]), rows_of(state)
        away = spread.with_targets / spread.targets  # each class's mean, less that of all
        within = spread.covariance - (away * spread.targets) @ away.T
        weights = solved(within, away, self.alpha / rows)
        reached = away + spread.mean[:, None]
        intercepts = np.log(spread.targets) - (weights * (reached - away / 2)).sum(axis=0)
        if len(classes) == 2:
            weights, intercepts = weights[:, 1:] - weights[:, :1], intercepts[1:] - intercepts[:1]
        return LinearDiscriminantModel(
            state={
                "model": "linear",
                "columns": spread.learnt,
                "coefficients": np.ascontiguousarray(weights),
                "intercepts": intercepts,
                "rows": rows,
                "classes": classes,
                "input": list(state["kinds"]),
                "target": self.target,
            }
        )


class LinearDiscriminantModel(FamilyModel, ClassifierModel):
    """Adds `prediction` and `confidence` to rows by a LinearDiscriminant's state.

    >>> rows = pl.DataFrame({"_id": range(4), "kind": ["a", "b"] * 2, "y": ["1", "2", "1", "2"]})
    >>> learner = LinearDiscriminant(target="y")
    >>> learner.finish(learner.update(learner.start(), rows)).apply(rows)["prediction"].to_list()
    ['1', '2', '1', '2']
    """
