"""The evaluation of a model: its test part is looked at once, and the look is counted.

No score stands alone: the same report holds the naive baseline, fitted on the same training rows, an interval, and what
a linear model of the same rows scores, unless the model is itself linear. What else a plan asks for is done here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tillage.core.errors import TillageError
from tillage.core.keys import fraction
from tillage.core.rows import ID, ORIGIN, drop_columns
from tillage.core.step import Fitted
from tillage.flow.adjustment import adjustment
from tillage.flow.cross_validation import cross_validated
from tillage.flow.explanation import importance, mean_contributions
from tillage.flow.judged import Judged, beside_baseline, learnt, naive_baseline, told
from tillage.flow.latency import latency
from tillage.flow.plan import Model
from tillage.flow.registry import Registry
from tillage.flow.robustness import robustness
from tillage.flow.stages import SIDE, features
from tillage.store.catalog import dump
from tillage.store.tables import Store

_LINEAR_CELLS, _LINEAR_ROWS = 400_000, 10_000
"""Rows times classes, and rows, that the linear model beside another learns from at most."""

_LINEAR = {
    "classification": "tabular_classifier",
    "regression": "tabular_regressor",
    "token_classification": "structured_perceptron",
}
"""The linear learner of a task."""

_UNLABELLED = "unlabelled"
"""The reason of rows without a target."""

_NAMED = 10
"""Classes that a warning names."""

_MANY_LEAKS = 0.1
"""Share of training rows that repeat a test row, from which it is warned of."""


def evaluate(judged: Judged, registry: Registry) -> dict[str, Any]:
    """The report of a model as plain values; without a test row it says so, and has no score."""
    model, task = judged.model, judged.task
    baseline = naive_baseline(judged, registry)
    state = baseline.start()
    tests, sample, trained = [], pl.DataFrame(), 0
    beside = model.evaluation.linear and not getattr(judged.fitted, "is_linear", False)
    for rows in judged.frames():
        training = rows.filter(pl.col(SIDE) == "train")
        trained += training.height
        state = baseline.update(state, judged.training(training))
        if beside:
            sample = _smallest([sample, training], _LINEAR_ROWS)
        tests.append(drop_columns(rows.filter(pl.col(SIDE) == "test"), ORIGIN))
    exam = pl.concat(tests, how="diagonal_relaxed")
    left = left_out(judged.store, model.name, judged.source)
    unlabelled = judged.store.count(judged.source) - trained - exam.height
    left |= {_UNLABELLED: unlabelled} if unlabelled else {}
    value: dict[str, Any] = {"task": task, "train": trained, "test": exam.height, "left": left}
    leaks = value["left"].get("leak", 0)
    uneven = _uneven(model, exam.height, trained + leaks)
    if exam.is_empty():
        empty: dict[str, Any] = {"metrics": {}, "baseline": {}, "interval": {}, "looks": 0}
        warning = "No row stands on the test side: the model is not evaluated."
        return {**value, **empty, "linear": _no_linear(warning), "warnings": [warning, *uneven]}
    naive = baseline.finish(state)
    if not isinstance(naive, Fitted):
        raise TypeError("a naive baseline is a fitted Map")
    rare = naive.state.get("warnings", [])
    linear, note = linear_model(judged, judged.training(sample), registry)
    report = _judge(judged, exam, naive, linear, registry)
    known = report.pop("linear", None) or _no_linear("")
    value["linear"] = {**known, "rows": min(sample.height, trained) if linear else 0, "note": note}
    if model.evaluation.explain:
        value["importance"] = importance(judged, exam)
        value["contributions"] = mean_contributions(judged, exam)
    adjusted = adjustment(judged, exam, registry)
    if adjusted:
        value["thresholds"] = adjusted
    quick = latency(judged, exam)
    if quick:
        value["latency"] = quick
    if model.evaluation.robustness:
        value["robustness"] = robustness(judged, exam, registry)
    if model.evaluation.folds is not None:
        value["cross_validation"] = cross_validated(judged, registry)
    folds = value.get("cross_validation") or {}
    none = [folds["why"]] if "why" in folds else []
    unlearnt = _unlearnt(exam[judged.target], naive.state["classes"]) if "classes" in naive.state else []
    parted = [*unlearnt, *uneven, *_leaking(_repeats(judged), trained)]
    flattered = _flattered(report, folds) if model.test_table is None else []
    warnings = [*report.get("warnings", []), *rare, *parted, *none, *flattered]
    return {**report, **value, "looks": look(judged.store, model), "warnings": warnings}


def _uneven(model: Model, tested: int, trained: int) -> list[str]:
    """A sentence where whole groups made the test part less than half of what was asked for, or more than twice."""
    asked, found = model.split.test, tested / max(tested + trained, 1)
    if model.split.group is None or model.test_table is not None or asked / 2 <= found <= asked * 2:
        return []
    return [
        f"The test part has {found:.1%} of the rows, where {asked:.0%} were asked for: rows of one "
        f"'{model.split.group}' stay together, and few of them have most rows. Give another 'seed' to 'split', a "
        "column of smaller groups, or the rows to test on by 'test_from'."
    ]


def _unlearnt(truth: pl.Series, learnt: Sequence[str]) -> list[str]:
    """A sentence on test rows of classes that no training row has.

    >>> _unlearnt(pl.Series(["a", "b", "b"]), ["a"])
    ["No training row is 'b', and 2 test rows are: these count as mistakes, whatever the model has learnt."]
    """
    strange = truth.cast(pl.String).filter(~truth.cast(pl.String).is_in(learnt))
    if strange.is_empty():
        return []
    names = strange.unique().sort().to_list()
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
    more = f" or one of {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    one = len(strange) == 1
    are = "1 test row is: it counts as a mistake" if one else f"{len(strange):,} test rows are: these count as mistakes"
    return [f"No training row is {shown}{more}, and {are}, whatever the model has learnt."]


def _repeats(judged: Judged) -> int:
    """Training rows that left since a test row says the same: the last stage before the learner lets them go.

    What was made up of a test row left before, with the split, and says nothing of the data.
    """
    at = judged.store.latest(judged.source) if judged.model.split.leak is not None else None
    return int(at.counts.get("dropped", {}).get("leak", 0)) if at else 0


def _leaking(leaks: int, trained: int) -> list[str]:
    """A sentence where many training rows said what a test row says: the split parts what belongs together."""
    share = leaks / (leaks + trained) if leaks else 0.0
    if share < _MANY_LEAKS:
        return []
    return [
        f"{leaks:,} training rows ({share:.0%}) repeat a test row, and were left out: the data repeat themselves. If "
        "rows belong together, keep them on one side: split: {group: COLUMN}."
    ]


def _flattered(report: dict[str, Any], folds: dict[str, Any]) -> list[str]:
    """A sentence where a test part drawn at random scores better than what was to come, in the order of time."""
    if not folds.get("time") or not folds["mean"]:
        return []
    name = next(name for name in ("accuracy", "f1", "mae") if name in report["metrics"])
    low, high = report["interval"][name]
    mean, score = folds["mean"][name], report["metrics"][name]
    if mean <= high if name == "mae" else low <= mean:
        return []
    return [
        f"In the order of '{folds['time']}', each part from those before it, the {name} is {mean:.4g} (mean of "
        f"{len(folds['folds'])} parts; baseline {folds['baseline'][name]:.4g}), and {score:.4g} on rows drawn at "
        "random: believe the former, if the model is to tell what comes."
    ]


def _judge(
    judged: Judged, exam: pl.DataFrame, naive: Fitted, linear: Fitted | None, registry: Registry
) -> dict[str, Any]:
    """What the room's own report says of the test rows."""
    fitted, target, group = judged.fitted, judged.target, judged.model.split.group
    asked = judged.model.evaluation
    keep = list(dict.fromkeys((ID, target, *((group,) if group else ()), *asked.slices, *asked.sensitive)))
    seen = [c for c in fitted.needs() if c in exam.columns and c not in (ID, target, group)]
    answers, more = _examined(fitted, naive, exam, judged.task)
    said = answers.select("prediction", "baseline", *(c for c in ("confidence", "shares") if c in answers.columns))
    if linear is not None:
        other = told(linear, exam, judged.task)
        shares = [other["shares"].alias("linear_shares")] if "shares" in other.columns else []
        said = said.with_columns(other["prediction"].alias("linear"), *shares)
    rows = exam.select(*keep, *(c for c in seen if c not in keep))
    judging = registry.report_of(judged.task)
    given = {"target": target, "group": group, "features": seen, "slices": asked.slices}
    given |= {"sensitive": asked.sensitive, "favourable": asked.favourable}
    evaluator = judging.model_validate({name: value for name, value in given.items() if name in judging.model_fields})
    found: dict[str, Any] = evaluator.compute({"rows": rows, "said": said})  # type: ignore[attr-defined]
    return {**found, **more, "warnings": [*found.get("warnings", []), *more.get("warnings", [])]}


def _examined(fitted: Fitted, naive: Fitted, exam: pl.DataFrame, task: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """What both models say of the test rows, and what more there is to report.

    A model of time is `examined`: each row as it would have been predicted then, beside a naive forecast of its own.
    """
    examined = getattr(fitted, "examined", None)
    if examined is None:
        return beside_baseline(fitted, naive, exam, task), {}
    shown, more = examined(exam)
    return shown.select("prediction", "baseline"), dict(more)


def linear_model(judged: Judged, training: pl.DataFrame, registry: Registry) -> tuple[Fitted | None, str]:
    """A linear model of (at most some of) the same rows, and what there is to say of it; None where there is none."""
    if not judged.model.evaluation.linear:
        return None, "left out, as the plan asks"
    if getattr(judged.fitted, "is_linear", False):
        return None, "the model is itself linear"
    name = _LINEAR[judged.task]
    if not registry.exports(name):
        return None, f"there is no {name} to make one"
    classes = training[judged.target].n_unique() if judged.task == "classification" else 1
    most = max(1_000, min(_LINEAR_ROWS, _LINEAR_CELLS // max(1, classes)))
    rows = _smallest([training], most)
    inputs = list(features(judged.model)) or None
    wanted: dict[str, Any] = {"target": judged.target}
    if judged.task == "token_classification":
        wanted["input"] = features(judged.model)[0]
    else:
        wanted |= {"model": "linear", "group": judged.model.split.group, "input": inputs}
    try:
        return learnt(registry.step(name, **wanted), rows), f"learnt from {rows.height:,} rows"
    except TillageError as error:  # pictures and sounds, say, have no column that it could weigh
        return None, f"there is none: {error.message}"


def _no_linear(note: str) -> dict[str, Any]:
    return {"metrics": {}, "rows": 0, "note": note}


def _smallest(frames: list[pl.DataFrame], most: int) -> pl.DataFrame:
    """At most so many of the rows, drawn by the hash of their ids."""
    rows = pl.concat([f for f in frames if f.height], how="diagonal_relaxed") if any(map(len, frames)) else frames[-1]
    if rows.height <= most:
        return rows
    drawn = fraction(rows[ID], "linear").arg_sort().head(most).sort()
    return rows[drawn]


def look(store: Store, model: Model) -> int:
    """Count one more look at this model's test part, and return the count."""
    split = model.split
    like = [split.like] if split.like else []
    exam = dump([split.test, split.group, split.seed, model.test_table, *like])
    with store.catalog.transaction():
        store.catalog.write(
            "INSERT INTO looks VALUES (?, ?, 1) ON CONFLICT (model, exam) DO UPDATE SET count = count + 1",
            model.name,
            exam,
        )
        row = store.catalog.row("SELECT count FROM looks WHERE model = ? AND exam = ?", model.name, exam)
    return int(row[0]) if row else 1


def left_out(store: Store, model: str, source: str) -> dict[str, int]:
    """Reason to how many rows of its table a model does not see: the split lets synthetic ones go, then leaks go.

    `source`: the stage whose rows it learns from.
    """
    dropped: dict[str, int] = {}
    stages = [source]
    while stages:
        at = store.latest(stages.pop())
        for reason, n in (at.counts.get("dropped", {}) if at else {}).items():
            dropped[reason] = dropped.get(reason, 0) + n
        stages += [source for source in at.inputs if source.startswith(f"{model}/")] if at else []
    return dropped
