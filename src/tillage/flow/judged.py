"""A model as an evaluation meets it: in its plan, with its rows, and how one like it is learnt outside of any stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from tillage.core.rows import ID, INTO, ORIGIN, REASON, drop_columns
from tillage.core.step import Fit, Fitted, Fold, Step, Whole
from tillage.flow.plan import Model, Plan
from tillage.flow.registry import Registry
from tillage.flow.stages import SIDE, Stage, hidden
from tillage.store.tables import ROWS, Store, Version

_AT_ONCE = 32_768
"""Rows that a model is asked about at once: what it makes of a row on the way may weigh many times the row."""


@dataclass(frozen=True)
class Judged:
    """What an evaluation is of: a model as it was fitted, in a plan."""

    store: Store
    source: str
    """The stage whose rows it learnt from and is tested on."""
    rows: Callable[[], Iterator[pl.DataFrame]]
    """The rows of that stage as the model met them, chunk by chunk."""
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
        """`classification`, `regression` or `token_classification`."""
        return str(type(self.model.learner).task)  # type: ignore[attr-defined]

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows of both sides whose target is known, chunk by chunk; those made up bear `_origin`."""
        for rows in self.rows():
            known = drop_columns(rows, "_object", "_record", "_key", "_parent")
            yield known.filter(self._has_target(known.schema[self.target]))

    def _has_target(self, dtype: pl.DataType) -> pl.Expr:
        """Where a row's target can be learnt, and a prediction compared with it: no NaN is, nor an infinite number."""
        target = pl.col(self.target)
        if self.task == "regression":
            return target.cast(pl.Float64).is_finite().fill_null(value=False)
        return target.is_not_null() & target.is_not_nan() if dtype.is_float() else target.is_not_null()

    def exam(self) -> pl.DataFrame:
        """The test side."""
        frames = [drop_columns(f.filter(pl.col(SIDE) == "test"), ORIGIN) for f in self.frames()]
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(schema={ID: pl.UInt128})

    def training(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows as the learner sees them."""
        return drop_columns(rows.drop(self.unseen, strict=False), ORIGIN)


def as_stored(store: Store, plan: Plan, stage: Stage, fitted: Fitted, at: Version) -> Judged:
    """A model as a version of its stage keeps it, with the rows that this version was made from."""
    if stage.model is None:
        raise TypeError(stage.name)
    source = stage.inputs["rows"]
    until = at.inputs[source]

    def rows() -> Iterator[pl.DataFrame]:
        return (store.read(chunk, until) for chunk in store.chunks(source, ROWS, until))

    model = told_its_group(stage.model)
    unseen = hidden(model, plan) - {getattr(model.learner, "group", None)}
    return Judged(store, source, rows, plan, model, fitted, frozenset(unseen))


def told_its_group(model: Model) -> Model:
    """The model; its learner, where it holds rows back itself, is told the group that its split keeps whole."""
    learner, group = model.learner, model.split.group
    if group is not None and "group" in type(learner).model_fields and learner.group is None:  # type: ignore[attr-defined]
        return model.model_copy(update={"learner": learner.model_copy(update={"group": group})})
    return model


def naive_baseline(judged: Judged, registry: Registry) -> Fold:
    """The naive model of what a model learns, to be fitted on the same rows."""
    cls = registry.baseline_of(judged.task)
    given = {"target": judged.target, "task": judged.task, "input": getattr(judged.model.learner, "input", None)}
    return cls.model_validate({name: value for name, value in given.items() if name in cls.model_fields})


def told(fitted: Fitted, rows: pl.DataFrame, task: str) -> pl.DataFrame:
    """All that a model says of the rows, row by row: `_id`, `prediction`, and of classes `confidence` and `shares`,
    where it has them; with `_reason` where it turns rows away.

    None of the rows' own columns is among them: a user may call one of theirs `prediction` as well.
    """
    apply = getattr(fitted, "apply_with_shares", fitted.apply)
    if rows.height > _AT_ONCE:
        parts = rows.iter_slices(_AT_ONCE)
        return pl.concat([_told(apply(part), task, fitted) for part in parts], how="diagonal_relaxed")
    return _told(apply(rows), task, fitted)


def _told(said: pl.DataFrame, task: str, fitted: Fitted) -> pl.DataFrame:
    names = [ID, REASON, INTO, "prediction"]
    if task != "regression":
        names += ["confidence", *(["shares"] if hasattr(fitted, "apply_with_shares") else [])]
    return said.select(name for name in names if name in said.columns)


def in_its_time(fitted: Fitted, rows: pl.DataFrame, task: str) -> pl.DataFrame:
    """What a model says of rows that test it: as `told` gives it, or, of a model of time, what it would have said then.

    The latter knows of each row what was before it, so it must be given all rows, and not a sample of them.
    """
    examined = getattr(fitted, "examined", None)
    return told(fitted, rows, task) if examined is None else examined(rows)[0].select(ID, "prediction")


def moment_columns(fitted: Fitted) -> tuple[str, ...]:
    """The columns that say where a row stands in time, by which a model of time finds the past; else none."""
    return tuple(getattr(fitted, "moment", ()))


def beside_baseline(fitted: Fitted, naive: Fitted, rows: pl.DataFrame, task: str) -> pl.DataFrame:
    """What a model says of the rows as `in_its_time` gives it, and what the naive one does as `baseline`.

    The naive forecast of a model of time is its own: the value one season before.
    """
    examined = getattr(fitted, "examined", None)
    if examined is not None:
        shown: pl.DataFrame = examined(rows)[0].select(ID, "prediction", "baseline")
        return shown
    read = [name for name in naive.needs() if name in rows.columns]
    return told(fitted, rows, task).hstack([naive.apply(rows.select(ID, *read))["baseline"]])


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
