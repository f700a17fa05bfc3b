"""Cross-validation of a model on its training rows: each part is predicted by a model of the others.

The test part is not touched, so nothing is looked at twice. Parts respect what the split respects: rows of one group
stay together, a row made up goes with the row behind it, and what is too near a held-out row is not learnt from. With a
column of time the parts follow each other, and each is predicted from those before it alone. Classes are spread evenly.
Cost: the training, once a fold.
Sources: Stone, Cross-validatory choice, JRSS B 36, 1974; Bergmeir and Benitez, Information Sciences 191, 2012 (time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev
from typing import Any

import polars as pl

from tillage.core.errors import BadData
from tillage.core.keys import fraction
from tillage.core.rows import ID, ORIGIN, drop_columns, split_left
from tillage.core.step import Fitted
from tillage.flow.judged import Judged, beside_baseline, learnt, naive_baseline
from tillage.flow.registry import Registry
from tillage.flow.stages import SIDE, leak_step
from tillage.measure.metrics import accuracy, macro_f1, mae, r2, rmse
from tillage.measure.spans import SPAN_METRICS, span_counts
from tillage.text.spans import keys_of


def _of_spans(metric: Callable[[Any], float], truth: pl.Series, said: pl.Series) -> float:
    return metric(span_counts(truth, said))


_METRICS: dict[str, dict[str, Callable[[Any, Any], float]]] = {
    "classification": {"accuracy": accuracy, "macro_f1": macro_f1},
    "regression": {"r2": r2, "mae": mae, "rmse": rmse},
    "token_classification": {name: partial(_of_spans, metric) for name, metric in SPAN_METRICS.items()},
}
_FOLD = "_fold"
_YEAR_FIRST = r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}.*)?)?)?$"
FOLD, NAIVE = "fold", "baseline"


def cross_validated(judged: Judged, registry: Registry) -> dict[str, Any]:
    """`folds` (train, test, left as leaks, metrics, baseline), and of each metric `mean` and `spread` over them.

    `spread`: the standard deviation of the folds' scores; None of a single one. `why`: there is no fold at all.
    """
    metrics = _METRICS[judged.task]
    folds: list[dict[str, Any]] = []
    for held in held_out(judged, registry):
        truth = _known(held.rows[judged.target], judged.task)
        scores = {
            who: {name: metric(truth, _known(held.said[said], judged.task)) for name, metric in metrics.items()}
            for who, said in (("metrics", "prediction"), ("baseline", NAIVE))
        }
        folds.append({"fold": held.fold, "train": held.train, "test": held.rows.height, "left": held.left, **scores})
    if not folds:
        why = (
            f"There is no cross-validation: the training rows do not make {judged.model.evaluation.folds} parts. Each "
            "takes two rows, and there must be two groups, or two times, where 'group' or 'time' is named."
        )
        return {"folds": [], "mean": {}, "spread": {}, "baseline": {}, "why": why}
    values = {name: [fold["metrics"][name] for fold in folds] for name in metrics}
    naive = {name: fmean(fold["baseline"][name] for fold in folds) for name in metrics}
    spread = {name: stdev(v) if len(v) > 1 else None for name, v in values.items()}
    return {
        "folds": folds,
        "mean": {name: fmean(v) for name, v in values.items()},
        "spread": spread,
        "baseline": naive,
        "time": _time(judged),
    }


@dataclass(frozen=True)
class HeldOut:
    """One fold: the rows held out, and what a model of the others says of them."""

    fold: int
    train: int
    """Rows that were learnt from."""
    rows: pl.DataFrame
    said: pl.DataFrame
    """Row by row, of the model as `judged.told` gives it, and of the baseline `baseline`; no column of the rows."""
    left: int
    """Training rows left out, since they repeat a held-out one."""


def held_out(judged: Judged, registry: Registry) -> Iterator[HeldOut]:
    """The folds one by one."""
    frames = [rows.filter(pl.col(SIDE) == "train") for rows in judged.frames()]
    rows = pl.concat(frames, how="diagonal_relaxed").sort(ID) if frames else pl.DataFrame({ID: []})
    count = judged.model.evaluation.folds or 5
    time = _time(judged)
    if rows.height < 2 * count:
        return
    rows = rows.with_columns(_by_time(rows, time, count) if time is not None else _by_hash(rows, judged, count))
    rows = _beside_their_origin(rows)
    leaks = leak_step(judged.model, judged.plan, registry)
    baseline = naive_baseline(judged, registry)
    real = pl.col(ORIGIN).is_null() if ORIGIN in rows.columns else pl.lit(value=True)
    for number in range(count):
        seen = rows.filter(pl.col(_FOLD) < number if time is not None else pl.col(_FOLD) != number)
        held = rows.filter((pl.col(_FOLD) == number) & real)
        if time is not None and judged.model.split.group is not None:
            group = judged.model.split.group
            seen = seen.filter(~pl.col(group).is_in(held[group].implode()).fill_null(value=False))
        if not held.height or not seen.height:
            continue
        before = seen.height
        if leaks is not None:
            side = [seen.with_columns(pl.lit("train").alias(SIDE)), held.with_columns(pl.lit("test").alias(SIDE))]
            kept = split_left(leaks.compute({"rows": drop_columns(pl.concat(side), ORIGIN)}))[0]
            seen = kept.filter(pl.col(SIDE) == "train")
        seen = judged.training(drop_columns(seen, _FOLD))
        try:
            model = learnt(judged.model.learner, seen)
        except BadData:
            if time is None:
                raise
            continue  # the first part may be of one class alone
        naive = baseline.finish(baseline.update(baseline.start(), seen))
        if not isinstance(naive, Fitted):
            raise TypeError("a naive baseline is a fitted Map")
        held = drop_columns(held, _FOLD, ORIGIN)
        said = beside_baseline(model, naive, held, judged.task)
        yield HeldOut(number, seen.height, held, said, before - seen.height)


def _time(judged: Judged) -> str | None:
    """The column by which folds follow each other: the one that is named, or that of a learner of time."""
    return judged.model.evaluation.time or getattr(judged.model.learner, "time", None)


def _known(values: pl.Series, task: str) -> pl.Series:
    """Classes as text, as learners take them; numbers as they are; spans as texts, each a place and a label."""
    if task == "token_classification":
        return keys_of(values)
    if task == "regression":
        return values.cast(pl.Float64)
    return (values.fill_nan(None) if values.dtype.is_float() else values).cast(pl.String).fill_null("(none)")


def _by_hash(rows: pl.DataFrame, judged: Judged, count: int) -> pl.Series:
    """The fold of each row by the hash of its group, else of its id, class by class, so that parts are alike."""
    group = judged.model.split.group
    own = pl.col(ID).cast(pl.String)
    if group is not None:
        named = rows.select(pl.coalesce(pl.col(group).cast(pl.String), pl.lit("\0") + own)).to_series()
        units = pl.DataFrame({"unit": named, "u": fraction(named, "fold")})
        place = (pl.col("u").rank("dense").cast(pl.Int64) - 1) % count
        return units.select(place.alias(_FOLD))[_FOLD]
    drawn = rows.select(pl.col(judged.target).alias("y"), fraction(rows[ID], "fold").alias("u"))
    place = (pl.col("u").rank("ordinal").cast(pl.Int64) - 1) % count
    if judged.task == "classification":
        shift = pl.col("y").rank("dense").cast(pl.Int64)  # or every small class would put its first row into fold 0
        place = (pl.col("u").rank("ordinal").over("y").cast(pl.Int64) - 1 + shift) % count
    return drawn.select(place.alias(_FOLD))[_FOLD]


def _by_time(rows: pl.DataFrame, time: str, count: int) -> pl.Series:
    """Parts of about the same size one after another in time, -1 the first, which is only learnt from."""
    _require_order(rows[time])
    if rows[time].null_count():
        raise BadData(
            f"Column '{time}', by which the folds follow each other, has {rows[time].null_count():,} rows without one.",
            fix="Leave those rows out with a filter, or name another column.",
        )
    first = pl.col(time).rank("min").cast(pl.Int64) - 1  # rows of one moment stay together
    return rows.select((first * (count + 1) // rows.height - 1).alias(_FOLD))[_FOLD]


def _require_order(times: pl.Series) -> None:
    """Raises BadData unless the order of the values is that of time: 9/30/2012 would come after 10/1/2013."""
    if times.dtype.is_temporal() or times.dtype.is_numeric():
        return
    if times.dtype == pl.String and bool(times.drop_nulls().str.contains(_YEAR_FIRST).all()):
        return
    found = "texts that do not begin as 2024-02-05 does" if times.dtype == pl.String else str(times.dtype)
    raise BadData(
        f"Column '{times.name}', by which the folds follow each other, holds {found}: their order is not that of time.",
        fix="Put `parse_dates` before the model, or name a column of dates, times or numbers.",
    )


def _beside_their_origin(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that were made up, in the fold of the real row behind them."""
    if ORIGIN not in rows.columns:
        return rows
    where = rows.filter(pl.col(ORIGIN).is_null()).select(pl.col(ID).alias(ORIGIN), pl.col(_FOLD).alias("_of"))
    joined = rows.join(where, on=ORIGIN, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("_of", _FOLD).alias(_FOLD)).drop("_of")
