"""Logistic regression of tables of any length: in passes over the rows, in the memory of a chunk.

The optimum of a solver that holds all rows (there is but one), and the same to the last bit in whatever order and
however cut they come. Columns are read as `ridge` reads them. A row that comes or goes costs all passes again: where
rows are forgotten daily `linear_discriminant` is the cheaper relative, where a table is small `tabular_classifier` is
the more able one. Cost: 4,000,000 rows of 20 columns take some two CPU minutes from files to
a tested model, and 734 MB.
Sources: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, section 4.4; those of
`logistic_passes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.keys import fraction
from tillage.core.rows import ID, column
from tillage.core.state import State
from tillage.core.step import MultiPass
from tillage.learn.cells import name_of, read_cells
from tillage.learn.column_learner import FamilyModel
from tillage.learn.columns import ColumnWeights
from tillage.learn.ensemble import ClassifierModel
from tillage.learn.examples import Examples
from tillage.learn.learner import as_text, require_two, solving
from tillage.learn.linear import Logistic
from tillage.learn.logistic_passes import Passes, least
from tillage.learn.moment_learner import CellLearner, slices
from tillage.learn.moments import merged_moments, moments_of, no_moments
from tillage.learn.spread import Spread, spread_of

_CLASS = "class"
_LABEL, _DRAWN = "_label", "_drawn"
_SAMPLE, _SAMPLE_CELLS = 20_000, 1 << 22
"""Rows, and rows times features times scores, from which the first guess and the curvature are taken at most."""

Frames = Callable[[], Iterator[pl.DataFrame]]


class LogisticRegression(CellLearner, MultiPass):
    """Classify rows of numbers, categories and dates by logistic regression, however many they are.

    Numbers are put on a common scale, as the penalty weighs all coefficients alike; a gap counts as the mean and as a
    gap. A text column that is all ISO 8601 dates counts as dates.

    >>> rows = pl.DataFrame({"_id": range(4), "size": [1.0, 2.0, 8.0, 9.0], "y": ["s", "s", "l", "l"]})
    >>> model = LogisticRegression(target="y").compute({"rows": rows})
    >>> model.apply(pl.DataFrame({"size": [7.5, None]}))["prediction"][0]
    'l'
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    regularisation: float = Field(1.0, gt=0, le=1e6, description="C: greater fits the training rows more closely")

    def compute_in_passes(self, rows: Frames) -> LogisticRegressionModel:
        """The model; raises BadData when fewer than two classes are seen, or no column is left."""
        state, sample = self._first_pass(rows)
        flags = [flag for flag in state["flags"] if json.loads(flag)[:2] == ["", _CLASS]]
        classes = sorted(json.loads(flag)[2] for flag in flags)
        require_two(classes, self.target)
        spread = spread_of(state, [])
        columns = ColumnWeights(spread.learnt)

        def examples(frame: pl.DataFrame) -> tuple[Any, Any]:
            known = frame[_LABEL].replace_strict(classes, range(len(classes)), return_dtype=pl.Int64)
            return columns.matrix(frame), known.to_numpy()

        def parts() -> Iterator[tuple[Any, Any]]:
            for frame in rows():
                known = self._known(frame)
                yield from (examples(part) for part in slices(known, spread.mean.tolist()))

        with solving():
            weights, converged = self._least(parts, examples(self._some(sample, spread, classes)), spread, classes)
        return LogisticRegressionModel(
            state={
                "model": "linear",
                "columns": spread.learnt,
                "coefficients": np.ascontiguousarray(weights[:-1]),
                "intercepts": np.ascontiguousarray(weights[-1]),
                "converged": converged,
                "rows": spread.rows,
                "classes": classes,
                "input": list(state["kinds"]),
                "target": self.target,
            }
        )

    def _known(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows whose target is known, and that as `_label`."""
        labels = as_text(column(frame, self.target))
        return frame.with_columns(labels.alias(_LABEL)).filter(pl.col(_LABEL).is_not_null())

    def _first_pass(self, rows: Frames) -> tuple[State, pl.DataFrame]:
        """The moments of the columns, and rows drawn by the hash of their ids, whichever chunk they came in."""
        state, sample = no_moments(), pl.DataFrame()
        for frame in rows():
            known = self._known(frame)
            names = self.inputs(frame)
            for part in slices(known, names):
                cells = read_cells(part, names, self.levels)
                for label in part[_LABEL].unique().sort().to_list():
                    cells.flags[name_of("", _CLASS, label)] = (part[_LABEL] == label).to_numpy()
                state = merged_moments(state, moments_of(cells), self.levels)
            ids = known[ID] if ID in known.columns else pl.Series(range(known.height), dtype=pl.Int64)
            kept = known.select(_LABEL, *names, ids.alias(ID), fraction(ids, "sample").alias(_DRAWN))
            sample = pl.concat([sample, kept], how="diagonal_relaxed") if sample.width else kept
            if sample.height > 2 * _SAMPLE:
                sample = sample.sort(_DRAWN, ID).head(_SAMPLE)
        return state, sample

    def _some(self, sample: pl.DataFrame, spread: Spread, classes: list[str]) -> pl.DataFrame:
        """As many of the rows drawn as the curvature may be taken from, by ascending id."""
        cells = max(1, len(spread.mean)) * (len(classes) if len(classes) > 2 else 1)
        return sample.sort(_DRAWN, ID).head(min(_SAMPLE, max(1000, _SAMPLE_CELLS // cells))).sort(ID)

    def _least(self, parts: Any, sample: Any, spread: Spread, classes: list[str]) -> tuple[Any, bool]:
        """The weights (features + 1, scores), and whether the search came to its end; it begins at the sample's."""
        matrix, target = sample
        known = np.unique(target)
        scores = len(classes) if len(classes) > 2 else 1
        weights = np.zeros((len(spread.mean) + 1, scores))
        if len(known) == len(classes):
            # as strong a penalty for each row as all the rows are under
            strength = self.regularisation * spread.rows / len(target)
            guess = Logistic(strength, 0).learn(Examples(matrix, target, len(classes)))
            weights = np.vstack([guess["coefficients"], guess["intercepts"]])
        squares = np.diag(spread.covariance) + spread.mean**2
        return least(Passes(parts, spread.rows, len(classes), self.regularisation), sample, weights, squares)


class LogisticRegressionModel(FamilyModel, ClassifierModel):
    """Adds `prediction` and `confidence` to rows by a LogisticRegression's state.

    >>> rows = pl.DataFrame({"_id": range(4), "kind": ["a", "b"] * 2, "y": ["1", "2", "1", "2"]})
    >>> LogisticRegression(target="y").compute({"rows": rows}).apply(rows)["prediction"].to_list()
    ['1', '2', '1', '2']
    """
