"""The answers that a server gave about someone: those to requests that brought their key or named them as subject.

Beside these, answers to others that say what nobody but them had said: a class that only their rows bear, by a model
that had learnt it from them. What a request did not say of itself, nobody can look up: see docs/forgetting.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tillage.core.rows import ID, ids, only, without
from tillage.flow.plan import Table
from tillage.flow.run import Project
from tillage.promises.closure import Closure
from tillage.store.locate import candidates
from tillage.store.segments import FOLDER, STAGE, segments
from tillage.store.tables import ROWS, Store

if TYPE_CHECKING:
    from tillage.flow.prediction_table import Kept

__all__ = ["STAGE", "Answers", "answers", "collecting", "marks", "rows_of", "settle"]

# What reads the prediction table is imported where a server has answered: most projects have none, and to forget a row
# of theirs costs little more than these imports.


_NONE = ids()


class Answers(NamedTuple):
    """Predictions that go: their ids, and how many labels came for them."""

    ids: pl.Series = _NONE
    labels: int = 0

    def counts(self) -> dict[str, int]:
        """As a dry run and a receipt tell it."""
        return {"predictions": len(self.ids), "labels": self.labels}


def settle(store: Store) -> None:
    """What a server has logged so far stands in chunks after this, and is purged like them; the caller holds the
    store alone."""
    if segments(store.root / FOLDER):
        from tillage.flow.prediction_table import bring_all

        bring_all(store)


def marks(project: Project, closure: Closure) -> pl.Series:
    """What the prediction table knows someone by: row_ids, and the marks of subjects."""
    from tillage.serve.prediction_ids import Ids

    named = Ids(project.store.keys)
    return pl.concat([closure.gone, ids(named.subject(text) for text in closure.subjects)]).unique()


def answers(project: Project, closure: Closure) -> Answers:
    """The predictions about whoever is meant, and those that repeat what only they had said.

    Where a table collects predictions, its rows among those that go take theirs along.
    """
    if project.store.latest(STAGE) is None and not segments(project.store.root / FOLDER):
        return Answers()
    from tillage.flow.prediction_table import LABELS, kept, predictions_about

    table = kept(project.store)
    own = predictions_about(project.store, marks(project, closure))
    found = pl.concat([own, _repeating(project, closure, table), _collected(project, closure, table)]).unique()
    return Answers(found, only(table.part(LABELS), found).height)


def collecting(project: Project) -> list[Table]:
    """The tables of the plan that collect predictions."""
    from tillage.collect.predictions import Predictions

    return [t for t in project.plan.tables.values() if isinstance(t.source, Predictions)]


def rows_of(project: Project, table: Table, found: pl.Series) -> pl.Series:
    """The row_ids that a table which collects predictions gives to these."""
    names = pl.DataFrame({"id": pl.Series([f"{n:032x}" for n in found.to_list()], dtype=pl.String)})
    return project.store.keys.row_ids(table.name, names, ("id",))


def _collected(project: Project, closure: Closure, table: Kept) -> pl.Series:
    out = [ids()]
    for collects in collecting(project):
        every = table.part(ROWS)[ID]
        both = pl.DataFrame({ID: rows_of(project, collects, every), "prediction": every})
        out.append(only(both, closure.gone)["prediction"].rename(ID))
    return pl.concat(out)


def _repeating(project: Project, closure: Closure, table: Kept) -> pl.Series:
    """Predictions of a class that the rows that go had, and that no other row has now."""
    alone: dict[str, set[str]] = {}
    for name, model in project.plan.models.items():
        target = getattr(model.learner, "target", None)
        if isinstance(target, str) and getattr(model.learner, "task", "classification") == "classification":
            alone[name] = _said(project, model.table, target, closure.gone)
    repeats = pl.lit(value=False)
    for name, said in alone.items():
        repeats |= (pl.col("model") == name) & pl.col("prediction").is_in(sorted(said))
    return table.part(ROWS).filter(repeats)[ID] if any(alone.values()) else ids()


def _said(project: Project, table: str, column: str, gone: pl.Series) -> set[str]:
    """Values of a column, as text, that these rows bore in any version, and that no other row bears."""
    store = project.store
    theirs: set[str] = set()
    for chunk, near in candidates(store, table, gone, ROWS):
        try:
            rows = store.objects.get_frame(chunk.object, chunk.checksum, [ID, column])
        except pl.exceptions.ColumnNotFoundError:  # an earlier version, before the column was made
            continue
        theirs |= set(only(rows, near)[column].cast(pl.String).drop_nulls().to_list())
    for rows in store.frames(table, columns=[column]) if theirs else ():
        theirs -= set(without(rows, gone)[column].cast(pl.String).drop_nulls().to_list())
    return theirs
