"""A model as an evaluation meets it: in its plan, with its rows, and how one like it is learnt outside of any stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from tillage.core.rows import ID, ORIGIN, drop_columns
from tillage.core.step import Fit, Fitted, Fold, Step, Whole
from tillage.flow.plan import Model, Plan
from tillage.flow.results import ResultRun
from tillage.store.tables import ROWS


@dataclass(frozen=True)
class Judged:
    """What an evaluation is of: a model as it was fitted, in a plan."""

    run: ResultRun
    plan: Plan
    model: Model
    fitted: Fitted
    unseen: frozenset[str]
    """Columns that the learner must not see."""

    @property
    def target(self) -> str:
        """The column that is learnt."""
        return str(self.model.learner.target)  # type: ignore[attr-defined]

    @property
    def task(self) -> str:
        """`classification` or `regression`."""
        return str(type(self.model.learner).task)  # type: ignore[attr-defined]

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows of both sides whose target is known, chunk by chunk; those made up bear `_origin`."""
        run = self.run
        for chunk in run.store.chunks(run.source, ROWS, run.until):
            rows = drop_columns(run.rows(chunk), "_object", "_record", "_key", "_parent")
            yield rows.filter(pl.col(self.target).is_not_null())

    def training(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows as the learner sees them."""
        return drop_columns(rows.drop(self.unseen, strict=False), ORIGIN)


def told(fitted: Fitted, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with all that a model says of them: `shares` as well, where it has them."""
    said: pl.DataFrame = getattr(fitted, "apply_with_shares", fitted.apply)(rows)
    return said


def learnt(learner: Step, rows: pl.DataFrame) -> Fitted:
    """The model of these rows alone, outside of any stage; whatever the learner's kind."""
    rows = rows.sort(ID)
    if isinstance(learner, Fold | Fit):
        result = learner.finish(learner.update(learner.start(), rows))
    elif isinstance(learner, Whole):
        result = learner.compute({"rows": rows})
    else:
        raise TypeError(learner.name())
    if not isinstance(result, Fitted):
        raise TypeError(f"{learner.name()} did not return a fitted Map")
    return result
