"""Stages that learn: the training side goes to the learner, the test side is looked at once and the look is counted.

No score stands alone: the same report holds the naive baseline, fitted on the same training rows, and an interval.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tillage.core.errors import BadData
from tillage.core.rows import ID
from tillage.core.step import Fit, Fitted, Fold, Sharded, Whole
from tillage.flow.engine import Engine
from tillage.flow.plan import Model, Plan
from tillage.flow.progress import Listener
from tillage.flow.registry import Registry
from tillage.flow.results import Refit, ResultRun
from tillage.flow.sharding import Shards, learn_in_shards
from tillage.flow.stages import SIDE, Stage, features, hidden
from tillage.store.catalog import dump
from tillage.store.tables import Draft, Store

_TOLD = ("model", "compression")
"""What a report takes from the state of a model: the family that was chosen, what making it small cost."""

_SHOWN = ("prediction", "confidence", "shares", "baseline")
"""What an evaluation is shown of what the models added."""


def run_learn(
    store: Store,
    stage: Stage,
    plan: Plan,
    fingerprint: str,
    registry: Registry,
    engine: Engine,
    listen: Listener,
    refit: Refit | None = None,
) -> tuple[Draft | None, int]:
    """Train and evaluate; nothing when the training and test rows stand where they stood."""
    run = ResultRun(store, stage, fingerprint, engine, listen, refit)
    if run.last is not None and run.since == run.until and refit is None:
        return None, 0
    model = _model(stage)
    learner = model.learner
    unseen = hidden(model, plan) - {getattr(learner, "group", None)}
    target = str(learner.target)  # type: ignore[attr-defined]

    def train(rows: pl.DataFrame) -> pl.DataFrame:
        if target not in rows.columns:
            return rows
        return rows.filter((pl.col(SIDE) == "train") & pl.col(target).is_not_null()).drop(unseen, strict=False)

    try:
        fitted, shards = _fit(run, model, train)
    except BadData as error:  # a learner knows columns, not whose they are
        raise BadData(f"Model '{model.name}' (table '{model.table}'): {error.message}", fix=error.fix) from error
    run.publish(fitted, learner, registry)
    report = _evaluate(run, model, fitted, train, registry)
    report |= {told: fitted.state[told] for told in _TOLD if told in fitted.state}
    if shards is not None:
        report |= {"shards": shards.told, "warnings": [*report["warnings"], *shards.warnings]}
    run.report(report)
    run.draft.facts |= {
        k: report[k] for k in ("metrics", "baseline", "interval", "train", "test", "left", "looks", "warnings", "task")
    }
    return run.draft, run.touched


def _fit(run: ResultRun, model: Model, train: Any) -> tuple[Fitted, Shards | None]:
    learner, shards = model.learner, None
    if isinstance(learner, Fold):
        result = learner.finish(run.fold(learner, train))
    elif isinstance(learner, Fit):
        result = learner.finish(run.fit(learner, train))
    elif isinstance(learner, Whole):
        frames = [train(f) for f in run.frames()]
        rows = pl.concat(frames, how="diagonal_relaxed").sort(ID) if frames else pl.DataFrame()
        if rows.is_empty():
            raise BadData(
                "No row is left to train on.",
                fix="See `tillage show`: which step dropped them, and whether the target is empty.",
            )
        if isinstance(learner, Sharded) and learner.in_shards():
            shards = learn_in_shards(run, learner, rows, features(model))
            result = shards.result
        else:
            run.touched += rows.height
            result = learner.compute({"rows": rows})
    else:
        raise TypeError(learner.name())
    if not isinstance(result, Fitted):
        raise TypeError(f"{learner.name()} did not return a fitted Map")
    return result, shards


def _evaluate(run: ResultRun, model: Model, fitted: Fitted, train: Any, registry: Registry) -> dict[str, Any]:
    learner = model.learner
    target = str(learner.target)  # type: ignore[attr-defined]
    task = str(type(learner).task)  # type: ignore[attr-defined]
    baseline = registry.baseline.model_validate({"target": target, "task": task})
    state = baseline.start()
    tests, trained = [], 0
    for rows in run.frames():
        training = train(rows)
        trained += training.height
        state = baseline.update(state, training)
        tests.append(rows.filter((pl.col(SIDE) == "test") & pl.col(target).is_not_null()))
    exam = pl.concat(tests, how="diagonal_relaxed")
    left = _left(run, model)
    value: dict[str, Any] = {"task": task, "train": trained, "test": exam.height, "left": left}
    if exam.is_empty():
        empty: dict[str, Any] = {"metrics": {}, "baseline": {}, "interval": {}, "looks": 0}
        return {**value, **empty, "warnings": ["No row stands on the test side: the model is not evaluated."]}
    naive = baseline.finish(state)
    if not isinstance(naive, Fitted):
        raise TypeError("a naive baseline is a fitted Map")
    rare = naive.state.get("warnings", [])
    group = model.split.group
    keep = [ID, target, *({group} if group else set())]
    seen = [c for c in fitted.needs() if c in exam.columns and c not in keep]
    shown = naive.apply(getattr(fitted, "apply_with_shares", fitted.apply)(exam))
    shown = shown.select(*keep, *seen, *(c for c in _SHOWN if c in shown.columns))
    judging = registry.evaluators[task]
    given = {"target": target, "group": group, "features": seen}
    evaluator = judging.model_validate({name: value for name, value in given.items() if name in judging.model_fields})
    report = evaluator.compute({"rows": shown})  # type: ignore[attr-defined]
    return {**report, **value, "looks": _look(run.store, model), "warnings": [*report.get("warnings", []), *rare]}


def _look(store: Store, model: Model) -> int:
    """Count one more look at this model's test part, and return the count."""
    split = model.split
    exam = dump([split.test, split.group, split.seed, model.test_table])
    with store.catalog.transaction():
        store.catalog.write(
            "INSERT INTO looks VALUES (?, ?, 1) ON CONFLICT (model, exam) DO UPDATE SET count = count + 1",
            model.name,
            exam,
        )
        row = store.catalog.row("SELECT count FROM looks WHERE model = ? AND exam = ?", model.name, exam)
    return int(row[0]) if row else 1


def _left(run: ResultRun, model: Model) -> dict[str, int]:
    """Reason to how many rows of its table the model does not see: the split lets synthetic ones go, then leaks go."""
    dropped: dict[str, int] = {}
    stages = [run.source]
    while stages:
        at = run.store.latest(stages.pop())
        for reason, n in (at.counts.get("dropped", {}) if at else {}).items():
            dropped[reason] = dropped.get(reason, 0) + n
        stages += [source for source in at.inputs if source.startswith(f"{model.name}/")] if at else []
    return dropped


def _model(stage: Stage) -> Model:
    """The stage's model; a learner that holds rows back itself is told the group that its split keeps whole."""
    if stage.model is None:
        raise TypeError(stage.name)
    learner, group = stage.model.learner, stage.model.split.group
    if group is not None and "group" in type(learner).model_fields and learner.group is None:  # type: ignore[attr-defined]
        return stage.model.model_copy(update={"learner": learner.model_copy(update={"group": group})})
    return stage.model
