"""Ridge regression as a Fold: exact sums of products, so a row that comes costs itself and one that goes its chunk.

The same coefficients as a solver that sees all rows at once gives to its precision, and the same to the last bit in
whatever order and however cut the rows come, or after any were taken back: nothing of a forgotten row is left. One
pass; the memory is that of a chunk and of the sums (see `moments.py`), never of the table.
Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, section 3.4.1.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.state import State
from tillage.learn.cells import name_of, read_cells
from tillage.learn.column_learner import FamilyModel
from tillage.learn.columns import measured
from tillage.learn.ensemble import RegressorModel
from tillage.learn.moment_learner import MomentLearner, slices, solved
from tillage.learn.moments import moments_of
from tillage.learn.spread import rows_of, spread_of

TARGET = name_of("", "target")


class Ridge(MomentLearner):
    """Predict a number by a weighted sum of numbers, categories and dates; exact under any change of the rows.

    Numbers are put on a common scale, as `alpha` weighs all coefficients alike; a gap counts as the mean and as a gap.
    A text column that is all ISO 8601 dates counts as dates.

    >>> rows = pl.DataFrame({"_id": range(3), "x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.0]})
    >>> learner = Ridge(target="y", alpha=1e-9)
    >>> model = learner.finish(learner.merge(*(learner.update(learner.start(), r) for r in (rows[:1], rows[1:]))))
    >>> round(model.apply(pl.DataFrame({"x": [3.0]}))["prediction"][0], 6)
    7.0
    """

    task: ClassVar[Literal["classification", "regression"]] = "regression"

    alpha: float = Field(1.0, gt=0, le=1e9, description="strength of the penalty on squared coefficients, in rows")

    def update(self, state: State, rows: pl.DataFrame) -> State:
        rows, numbers = measured(rows, self.target)
        names = self.inputs(rows)
        for part in slices(rows.with_columns(numbers.alias("_label")), names):
            cells = read_cells(part, names, self.levels)
            cells.numbers[TARGET] = part["_label"].to_numpy()
            state = self.merge(state, moments_of(cells))
        return state

    def finish(self, state: State) -> RidgeModel:
        """The model; raises BadData when fewer than two rows have a number as target, or no column is left."""
        rows = rows_of(state)
        if rows < 2:
            raise BadData(
                f"{rows} rows have a number in the target column '{self.target}': two are the least.",
                fix="Look at the filters before the model, and at the column's name and type.",
            )
        spread = spread_of(state, [TARGET])
        weights = solved(spread.covariance, spread.with_targets, self.alpha / rows)
        return RidgeModel(
            state={
                "model": "linear",
                "columns": spread.learnt,
                "coefficients": weights,
                "intercepts": spread.targets - spread.mean @ weights,
                "rows": rows,
                "input": list(state["kinds"]),
                "target": self.target,
            }
        )


class RidgeModel(FamilyModel, RegressorModel):
    """Adds `prediction` (Float64) to rows by a Ridge's state: coefficients by feature, on the common scale.

    >>> rows = pl.DataFrame({"_id": range(4), "kind": ["a", "b"] * 2, "y": [1.0, 3.0, 1.0, 3.0]})
    >>> learner = Ridge(target="y", alpha=1e-9)
    >>> learner.finish(learner.update(learner.start(), rows)).apply(rows)["prediction"].round(6).to_list()
    [1.0, 3.0, 1.0, 3.0]
    """
