"""Two models of one target, compared on the rows that test both, row by row.

Cost: the test rows go through both models once, and a bootstrap of a thousand rounds a metric (`measure.paired`).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tillage.core.errors import InputMissing, UsageError
from tillage.core.rows import ID
from tillage.flow.evaluation import look
from tillage.flow.judged import Judged, as_stored, in_its_time
from tillage.flow.results import load_fitted
from tillage.flow.run import Project
from tillage.measure.paired import compared
from tillage.measure.spans import SPAN_METRICS
from tillage.text.spans import keys_of

_METRICS = {
    "classification": ("accuracy", "macro_f1"),
    "regression": ("mae", "rmse", "r2"),
    "token_classification": tuple(SPAN_METRICS),
}
_FEW = 30


def stored(project: Project, name: str) -> Judged:
    """A model of a project as it stands, with its rows; InputMissing before its first run."""
    at = project.store.latest(name)
    if at is None:
        raise InputMissing(f"Model '{name}' has not been trained yet.", fix="Run `tillage run`.")
    fitted = load_fitted(project.store, name, project.registry)
    return as_stored(project.store, project.plan, project.stages[name], fitted, at)


def compare(project: Project, first: str, second: str) -> dict[str, Any]:
    """`rows` that test both, `groups` (their column, or None), `metrics` (as `measure.paired.compared` gives each) and
    `looks`: a look at each model's test part is counted. Raises UsageError where the two cannot be compared."""
    a, b = stored(project, first), stored(project, second)
    if (a.target, a.task) != (b.target, b.task):
        raise UsageError(
            f"'{first}' learns '{a.target}' ({a.task}) and '{second}' '{b.target}' ({b.task}): they have no score in "
            "common.",
            fix="Compare two models of one target.",
        )
    group = a.model.split.group or b.model.split.group
    frames = [_said(judged, group) for judged in (a, b)]
    both = frames[0].join(frames[1], on=ID, suffix=" of the second").sort(ID)
    if both.height < _FEW:
        raise UsageError(
            f"{both.height} rows test both '{first}' and '{second}'; {_FEW} are the least.",
            fix=f"Give '{second}' the same test rows, `split: {{like: {first}}}`, or both the same `test_from`.",
        )
    unlike = int((both["truth"] != both["truth of the second"]).sum())
    if unlike:
        raise UsageError(
            f"{unlike} of {both.height} rows have another '{a.target}' in '{a.model.table}' than in '{b.model.table}'.",
            fix="Compare models of tables that agree on the target.",
        )
    groups = both["group"] if group is not None else None
    metrics = [
        compared(metric, both["truth"], both["prediction"], both["prediction of the second"], groups)
        for metric in _METRICS[a.task]
    ]
    looks = [look(project.store, judged.model) for judged in (a, b)]
    return {"target": a.target, "rows": both.height, "groups": group, "metrics": metrics, "looks": looks}


def _said(judged: Judged, group: str | None) -> pl.DataFrame:
    """`_id`, `truth`, `prediction` and maybe `group` of the test rows of a model."""
    exam = judged.exam()
    truth, said = exam[judged.target].alias("truth"), in_its_time(judged.fitted, exam, judged.task)["prediction"]
    if judged.task == "token_classification":
        shown = exam.select(ID).hstack([keys_of(truth), keys_of(said)])
    elif judged.task == "classification":
        shown = exam.select(ID).hstack([truth.cast(pl.String), said.fill_null("(no prediction)")])
    else:
        shown = exam.select(ID).hstack([truth.cast(pl.Float64), said])
    if group is None or group not in exam.columns:
        return shown.drop_nulls("truth")
    own = pl.coalesce(pl.col(group).cast(pl.String), pl.format("\0{}", ID))
    return shown.join(exam.select(ID, own.alias("group")), on=ID).drop_nulls("truth")
