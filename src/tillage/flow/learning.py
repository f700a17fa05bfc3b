"""Stages that learn: the training side goes to the learner, the test side to the evaluation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import polars as pl

from tillage.core.errors import BadData
from tillage.core.rows import ID
from tillage.core.step import Fit, Fitted, Fold, MultiPass, Sharded, Whole
from tillage.flow.engine import Engine
from tillage.flow.evaluation import evaluate, left_out
from tillage.flow.judged import Judged, told_its_group
from tillage.flow.plan import Model, Plan
from tillage.flow.progress import Listener
from tillage.flow.registry import Registry
from tillage.flow.results import LEARNT, Refit, ResultRun, load_fitted
from tillage.flow.sharding import Shards, learn_in_shards
from tillage.flow.stages import SIDE, Stage, features, hidden
from tillage.flow.tracking import tracked
from tillage.store.tables import ROWS, Draft, Store

_KEPT = ("metrics", "baseline", "linear", "interval", "train", "test", "left", "looks", "warnings", "task")
"""What a version says of its model without the report being read."""

_TOLD = ("model", "compression", "tuned")
"""What a report takes from the state of a model: the family chosen, what making it small cost, the trials."""


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
    """Train and evaluate; nothing when the training and test rows stand where they stood.

    Where the plan asks for another evaluation, and for nothing else, the model stays as it is.
    """
    run = ResultRun(store, stage, fingerprint, engine, listen, refit)
    stays = run.last is not None and run.since == run.until and refit is None
    if stays and run.last is not None and run.last.fingerprint == fingerprint:
        return None, 0
    if stage.model is None:
        raise TypeError(stage.name)
    _give_back()
    model = told_its_group(stage.model)
    learner = model.learner
    unseen = hidden(model, plan) - {getattr(learner, "group", None)}
    target = str(learner.target)  # type: ignore[attr-defined]

    def train(rows: pl.DataFrame) -> pl.DataFrame:
        if target not in rows.columns:
            return rows
        return rows.filter((pl.col(SIDE) == "train") & pl.col(target).is_not_null()).drop(unseen, strict=False)

    shards, untracked = None, list[str]()
    if stays and not (isinstance(learner, Sharded) and learner.in_shards()):  # shards are recalled, and told of
        fitted = load_fitted(store, stage.name, registry)
        run.draft.why = "evaluation changed"
    else:
        try:
            with tracked(model.track, store.root, plan.project, model.name) as untracked:
                fitted, shards = _fit(run, model, train)
        except BadData as error:  # a learner knows columns, not whose they are
            said, fix = _leaks_told(left_out(store, model.name, run.source), error)
            raise BadData(f"Model '{model.name}' (table '{model.table}'): {said}", fix=fix) from error
    run.publish(fitted, learner, registry)

    def rows() -> Iterator[pl.DataFrame]:
        return (run.rows(chunk) for chunk in store.chunks(run.source, ROWS, run.until))

    judged = Judged(store, run.source, rows, plan, model, fitted, frozenset(unseen))
    report = evaluate(judged, registry)
    report |= {told: fitted.state[told] for told in _TOLD if told in fitted.state}
    states = (fitted.state, *fitted.state.get("shards", ()))
    told = (w for state in states for w in state.get("warnings", ()))
    report["warnings"] = [*report["warnings"], *told, *untracked]
    if shards is not None:
        report |= {"shards": shards.told, "warnings": [*report["warnings"], *shards.warnings]}
    run.report(report)
    run.draft.facts |= {k: report[k] for k in _KEPT} | {LEARNT: stage.learns()}
    return run.draft, run.touched


def _leaks_told(left: dict[str, int], error: BadData) -> tuple[str, str]:
    """What an error of training says, and what to do; where rows were left out as leaks, they may be what is missing.

    In a table of few columns with few values each, rows look alike that are not the same case.
    """
    if not left.get("leak"):
        return error.message, error.fix
    said = f"{left['leak']:,} training rows were left out, since a test row has the same input (`leak`)."
    fix = "If rows that look alike are different cases, keep them: split: {leak: false}."
    return f"{error.message} {said}", f"{fix} {error.fix}".strip()


def _fit(run: ResultRun, model: Model, train: Any) -> tuple[Fitted, Shards | None]:
    learner, shards = model.learner, None
    if isinstance(learner, Fold):
        result = learner.finish(run.fold(learner, train))
    elif isinstance(learner, Fit):
        result = learner.finish(run.fit(learner, train))
    elif isinstance(learner, MultiPass):
        seen = sum(train(f).height for f in run.frames())
        if not seen:
            raise _no_row(run)
        run.touched += seen
        result = learner.compute_in_passes(lambda: map(train, run.frames()))
    elif isinstance(learner, Whole):
        frames = [train(f) for f in run.frames()]
        rows = pl.concat(frames, how="diagonal_relaxed").sort(ID) if frames else pl.DataFrame()
        if rows.is_empty():
            raise _no_row(run)
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


def _give_back() -> None:
    """Let the system have what reading sources left in Arrow's pool, before learning asks for memory of its own."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()


def _no_row(run: ResultRun) -> BadData:
    at = run.store.latest(run.source)
    dropped = at.counts["dropped"] if at is not None else {}
    gone = ", ".join(f"{n:,} left as {reason}" for reason, n in dropped.items())
    return BadData(
        f"No row is left to train on{f': {gone}' if gone else ''}.",
        fix="See `tillage show`: which step dropped them, whether the target is empty, and how large `split` is.",
    )
