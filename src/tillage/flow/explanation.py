"""Which columns a model goes by: what it loses when one is shuffled, and what each adds to the score of a row.

Shuffling works with any model, and shows what the model needs on rows that it never saw; of columns that say the same
either may be shuffled at little loss. Contributions (Shapley values of boosted trees and of linear models) say what
moved one prediction; neither says what would happen if the world were changed.
Cost: a prediction a column and round on 1,000 rows at most. Source: Breiman, Random forests, Machine Learning 45, 2001;
Fisher, Rudin and Dominici, All models are wrong, but many are useful, JMLR 20, 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from tillage.core.keys import fraction
from tillage.core.rows import ID, ORIGIN, drop_columns
from tillage.flow.judged import Judged, in_its_time, moment_columns, told
from tillage.flow.stages import SIDE

_ROWS, _ROUNDS, _MOST = 1_000, 3, 200
_CELLS = 100_000
"""Rows times columns times rounds that are predicted at most; fewer rows then, down to 100."""
_SHOWN, _BACKGROUND = 200, 1_000
"""Test rows whose contributions are averaged, and training rows that stand for what is not known."""
_LEAST = 1e-15


def importance(judged: Judged, exam: pl.DataFrame) -> dict[str, Any]:
    """By column, the most important first: `loss` added when it is shuffled, and its `spread` over the rounds.

    The loss is the mean log loss of classes (their share of mistakes, where the model tells no shares), or the mean
    absolute error of numbers, as `metric` says. Empty for a model of one column, which has nothing to rank. Columns of
    time are not shuffled for a model of time: the past, too, would be another.
    """
    read = [name for name in judged.fitted.needs() if name in exam.columns]
    moment = moment_columns(judged.fitted)
    names = [name for name in read if name not in moment]
    if not names or not 1 < len(read) <= _MOST:
        return {"metric": "", "rows": 0, "columns": []}
    most = max(100, min(_ROWS, _CELLS // (len(names) * _ROUNDS)))
    rows = exam.sort(ID) if moment else drawn(exam, most)
    metric, loss = _loss(judged, rows)
    whole = loss(rows)
    found: list[dict[str, Any]] = []
    for name in names:
        lost = []
        for turn in range(_ROUNDS):
            order = np.random.Generator(np.random.PCG64([turn, len(found)])).permutation(rows.height)
            lost.append(loss(rows.with_columns(rows[name][order].alias(name))) - whole)
        spread = float(np.std(lost, ddof=1))
        found.append({"column": name, "loss": float(np.mean(lost)), "spread": spread})
    found.sort(key=lambda one: (-one["loss"], one["column"]))
    return {"metric": metric, "rows": rows.height, "whole": whole, "columns": found}


def _loss(judged: Judged, rows: pl.DataFrame) -> tuple[str, Callable[[pl.DataFrame], float]]:
    truth = rows[judged.target]
    if judged.task == "regression":
        numbers = truth.cast(pl.Float64).to_numpy()

        def by_error(seen: pl.DataFrame) -> float:
            said = in_its_time(judged.fitted, seen, judged.task)["prediction"]
            return float(np.nanmean(np.abs(said.to_numpy() - numbers)))

        return "mae", by_error
    classes = (truth.fill_nan(None) if truth.dtype.is_float() else truth).cast(pl.String)

    def by_shares(seen: pl.DataFrame) -> float:
        shares = told(judged.fitted, seen, judged.task)["shares"].struct.unnest()
        each = np.full(seen.height, _LEAST)
        for name in shares.columns:
            here = (classes == name).fill_null(value=False).to_numpy()
            each[here] = shares[name].to_numpy()[here]
        return float(-np.log(np.maximum(each, _LEAST)).mean())

    if "shares" in told(judged.fitted, rows.head(1), judged.task).columns:
        return "log_loss", by_shares

    def by_mistakes(seen: pl.DataFrame) -> float:
        return float((told(judged.fitted, seen, judged.task)["prediction"] != classes).to_numpy().mean())

    return "mistakes", by_mistakes


def contributions(judged: Judged, rows: pl.DataFrame) -> dict[str, Any] | None:
    """`columns`, `values` (rows, columns), `base` (rows,) and `of`: the class whose score it is; None of other models.

    Of more than two classes each row's are those of the score of its predicted class; of two, the second's.
    """
    asked = getattr(judged.fitted, "contributions", None)
    found = asked(rows, _background(judged)) if asked is not None else None
    if found is None:
        return None
    columns, values, base = found
    classes = judged.fitted.state.get("classes", [])
    if values.shape[2] == 1:
        of = [classes[1]] * rows.height if len(classes) == 2 else [judged.target] * rows.height
        return {"columns": columns, "values": values[:, :, 0], "base": np.full(rows.height, base[0]), "of": of}
    of = told(judged.fitted, rows, judged.task)["prediction"].to_list()
    at = np.array([classes.index(name) for name in of], np.int64)
    return {"columns": columns, "values": values[np.arange(rows.height), :, at], "base": base[at], "of": of}


def mean_contributions(judged: Judged, exam: pl.DataFrame) -> list[dict[str, Any]]:
    """By column, the largest first: the mean of the absolute contributions to the scores of test rows."""
    found = contributions(judged, drawn(exam, _SHOWN))
    if found is None or len(found["columns"]) < 2:
        return []
    size = np.abs(found["values"]).mean(axis=0).tolist()
    ranked = sorted(zip(found["columns"], size, strict=True), key=lambda one: (-one[1], one[0]))
    return [{"column": name, "mean_absolute": value} for name, value in ranked]


def _background(judged: Judged) -> pl.DataFrame:
    kept = pl.DataFrame()
    for rows in judged.frames():
        training = drop_columns(rows.filter(pl.col(SIDE) == "train"), ORIGIN)
        kept = drawn(pl.concat([kept, training], how="diagonal_relaxed") if kept.height else training, _BACKGROUND)
    return kept


def drawn(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most so many of the rows, by the hash of their ids, in the order of the ids."""
    if rows.height > most:
        rows = rows[fraction(rows[ID], "explain").arg_sort().head(most)]
    return rows.sort(ID)
