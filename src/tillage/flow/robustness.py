"""What a score is worth where rows are not as clean as those that were learnt from: typos, noise, missing columns.

Test rows are spoilt by the same steps that make rows up for training (`add_typos`, `add_noise`), and each column is
taken away once; the same rows before and after are compared in pairs. A model that learnt from such rows, too
(docs/augmentation.md), should lose less. A network of pictures is attacked, too: by its own gradients (`attacks`).
Cost: a prediction of 1,000 rows at most for each way, and a bootstrap.
Source: Ribeiro et al., Beyond accuracy: behavioral testing of NLP models with CheckList, ACL 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from tillage.core.errors import TillageError
from tillage.core.rows import ID, ORIGIN, PARENT, drop_columns
from tillage.core.step import Map
from tillage.flow.explanation import drawn
from tillage.flow.judged import Judged, in_its_time, moment_columns
from tillage.flow.registry import Registry
from tillage.measure.paired import compared

_ROWS, _COLUMNS = 1_000, 30
"""Test rows, and columns that are taken away one by one, at most."""
_NOISE = (0.1, 0.5)
"""Of a column's standard deviation."""
_TYPOS = (1, 3)
"""Slips a text."""
_VALUES = 50
"""Different texts from which a column is taken to be written by hand, and not chosen from a list."""


def robustness(judged: Judged, exam: pl.DataFrame, registry: Registry) -> dict[str, Any]:
    """`metric`, `rows`, `clean` (the score), and of each of `ways` its `name`, `score`, `difference`, `interval`, `p`.

    `skipped`: ways that these rows, or this installation, have no use for, and why.
    """
    rows = exam.sort(ID) if moment_columns(judged.fitted) else drawn(exam, _ROWS)
    metric = "accuracy" if judged.task == "classification" else "mae"
    truth = rows[judged.target]
    if judged.task == "classification":
        truth = (truth.fill_nan(None) if truth.dtype.is_float() else truth).cast(pl.String).fill_null("(none)")
    else:
        truth = truth.cast(pl.Float64)
    clean = _said(judged, rows)
    ways: list[dict[str, Any]] = []
    skipped: list[str] = []
    for name, answers in _answers(judged, rows, truth, registry):
        try:
            found = compared(metric, truth, answers(), clean)
        except TillageError as error:  # a library that is not installed, or a column that cannot be spoilt so
            skipped.append(f"{name}: {error.message}")
            continue
        kept = {key: found[key] for key in ("difference", "interval", "p", "test")}
        ways.append({"name": name, "score": found["first"], **kept})
    if not ways and not skipped:
        skipped.append("There is no text to misspell, no number to add noise to, and no column that could be missing.")
    score = compared(metric, truth, clean, clean)["first"]
    return {"metric": metric, "rows": rows.height, "clean": score, "ways": ways, "skipped": skipped}


def _answers(
    judged: Judged, rows: pl.DataFrame, truth: pl.Series, registry: Registry
) -> Iterator[tuple[str, Callable[[], pl.Series]]]:
    """Ways by name, and what the model says where rows were spoilt so; of a model that can be attacked, those too."""
    for name, spoil in _ways(judged, rows, registry):
        yield name, lambda spoil=spoil: _said(judged, spoil())  # type: ignore[misc]
    attacks = getattr(judged.fitted, "attacks", None)
    for name, answer in attacks(rows, truth) if attacks is not None else ():
        yield name, lambda answer=answer: _given(answer())  # type: ignore[misc]


def _said(judged: Judged, rows: pl.DataFrame) -> pl.Series:
    """Predictions in the order of the ids; a class that is not given is a mistake."""
    return _given(in_its_time(judged.fitted, rows, judged.task).sort(ID)["prediction"])


def _given(said: pl.Series) -> pl.Series:
    return said.fill_null("(no prediction)") if said.dtype == pl.String else said


def _ways(judged: Judged, rows: pl.DataFrame, registry: Registry) -> Iterator[tuple[str, Any]]:
    seen = [name for name in judged.fitted.needs() if name in rows.columns]
    several, moment = len(seen) > 1, moment_columns(judged.fitted)
    seen = [name for name in seen if name not in moment]
    texts = [c for c in seen if rows.schema[c] == pl.String and rows[c].n_unique() > _VALUES]
    if texts and registry.exports("add_typos"):
        for slips in _TYPOS:
            step = registry.step("add_typos", columns=texts)
            yield (
                f"{slips} typo{'s' if slips > 1 else ''} in each text",
                lambda step=step, n=slips: _times(step, rows, n),
            )
    numbers = {c: _spread(rows[c]) for c in seen if rows.schema[c].is_numeric()}
    numbers = {c: spread for c, spread in numbers.items() if spread > 0}
    if numbers and registry.exports("add_noise"):
        for share in _NOISE:
            steps = [registry.step("add_noise", columns=[c], sd=share * spread) for c, spread in numbers.items()]
            yield f"noise of {share:g} standard deviations on each number", lambda steps=steps: _each(steps, rows)
    if several:
        for name in seen[:_COLUMNS]:
            yield f"without '{name}'", lambda name=name: rows.with_columns(pl.lit(None, rows.schema[name]).alias(name))


def _spread(values: pl.Series) -> float:
    known = values.cast(pl.Float64)
    known = known.filter(known.is_finite())
    spread = known.std() if len(known) > 1 else None
    return float(spread) if isinstance(spread, float) else 0.0


def _each(steps: list[Any], rows: pl.DataFrame) -> pl.DataFrame:
    for step in steps:
        rows = _spoilt(step, rows)
    return rows


def _times(step: Any, rows: pl.DataFrame, times: int) -> pl.DataFrame:
    for turn in range(times):
        rows = _spoilt(step.model_copy(update={"seed": turn}), rows)
    return rows


def _spoilt(step: Map, rows: pl.DataFrame) -> pl.DataFrame:
    """Each row as its child made by the step, under its own id; as it was where there is none."""
    made = step.apply(rows)
    children = made.filter(pl.col(PARENT).is_not_null())
    changed = drop_columns(children.with_columns(pl.col(PARENT).alias(ID)), PARENT, ORIGIN).select(rows.columns)
    left = rows.join(changed.select(ID), on=ID, how="anti")
    return pl.concat([changed, left]).sort(ID)
