"""What a run would do, and why, before it does anything: the sources are looked at, no row is read into the store."""

from __future__ import annotations

from dataclasses import dataclass

from tillage.core.errors import UnknownColumns
from tillage.flow.following import Following, look
from tillage.flow.foreseen import placed
from tillage.flow.results import is_learnt_alike
from tillage.flow.run import Project
from tillage.flow.stages import Stage
from tillage.flow.survey import known, source_of, survey


@dataclass(frozen=True)
class Intent:
    """One stage: whether it would run, why, and how many rows it would read at most (None: not known before)."""

    stage: str
    target: str
    kind: str
    runs: bool
    why: str
    touches: int | None


def intents(project: Project) -> list[Intent]:
    """Every stage in the order of a run."""
    found: dict[str, Intent] = {}
    for stage in project.stages.values():
        found[stage.name] = _source(project, stage) if stage.kind == "source" else _inner(project, stage, found)
    return list(found.values())


def _source(project: Project, stage: Stage) -> Intent:
    if isinstance(source_of(stage), Following):
        return _followed(project, stage)
    last = project.store.latest(stage.name)
    reread = last is not None and last.fingerprint != project.fingerprint(stage)
    try:
        seen = survey(project.store, stage, project.plan.root, reread=reread)
    except UnknownColumns as error:
        raise placed(project.plan, stage.target, error) from error
    rows = sum(int(k.state.get("records", 0)) for k in seen.fresh)
    reasons = []
    if last is None:
        reasons.append(f"first run, {len(seen.fresh)} objects to read")
    elif reread:
        reasons.append("the way it is read changed")
    elif seen.retype:
        reasons.append(f"the type or place of {', '.join(seen.retype)} changes: everything is read again")
    elif seen.fresh:
        reasons.append(f"{len(seen.fresh)} new or changed: {_named([k.path for k in seen.fresh])}")
    if seen.gone:
        reasons.append(f"{len(seen.gone)} gone: {_named([k.path for k in seen.gone])}")
    why = "; ".join(reasons) or "nothing new"
    return Intent(stage.name, stage.target, stage.kind, bool(reasons), why, rows)


def _followed(project: Project, stage: Stage) -> Intent:
    """A source that is asked at the run: what its stamps say, where these cost little; no record is fetched."""
    source, last = source_of(stage), project.store.latest(stage.name)
    held = {k.path: k for k in known(project.store, stage.name)}
    told = source.notes([k.state for k in held.values()]) if isinstance(source, Following) else ()
    asked = isinstance(source, Following) and not source.cheap
    found = [] if asked else look(source, project.store, stage, project.plan.root).found
    fresh = [f.path for f in found if f.path not in held or held[f.path].stamp != f.stamp]
    if last is None:
        why = "first run"
    elif last.fingerprint != project.fingerprint(stage):
        why = "the way it is read changed"
    elif asked:
        why = "it is asked at the run"
    else:
        why = f"{len(fresh)} may be new or changed: {_named(fresh)}" if fresh else ""
    runs, rows = bool(why), None if why else 0
    return Intent(stage.name, stage.target, stage.kind, runs, "; ".join([why or "nothing new", *told]), rows)


def _inner(project: Project, stage: Stage, found: dict[str, Intent]) -> Intent:
    last = project.store.latest(stage.name)
    causes = [found[n] for n in stage.needs() if found[n].runs]
    pinned = stage.kind == "result" and not stage.follows and last is not None

    def intent(runs: bool, why: str, touches: int | None) -> Intent:
        return Intent(stage.name, stage.target, stage.kind, runs, why, touches)

    if last is None:
        return intent(True, "first run", None)
    if "erased" in last.facts:
        return intent(True, "its last version was erased", None)
    if not causes and last.fingerprint != project.fingerprint(stage) and is_learnt_alike(stage, last):
        return intent(True, "its evaluation changed", 0)
    if last.fingerprint != project.fingerprint(stage) and not any(c.kind == "result" for c in causes):
        rows = sum(project.store.count(n) for n in stage.inputs.values())
        return intent(True, "its parameters or code changed", rows)
    if pinned:
        behind = " (its input changes: `tillage run --refit` moves it)" if causes else ""
        return intent(False, f"pinned at version {last.version}{behind}", 0)
    if causes:
        sizes = [c.touches for c in causes]
        return intent(
            True,
            f"{', '.join(sorted({c.target for c in causes}))} changes",
            None if None in sizes else sum(s or 0 for s in sizes),
        )
    moved = [n for n in stage.inputs.values() if (v := project.store.latest(n)) and last.inputs.get(n) != v.version]
    if moved:
        rows = 0
        for name in moved:
            changes = project.store.changes(name, last.inputs.get(name, 0))
            rows += sum(c.rows for c in (*changes.new, *changes.gone)) + sum(len(ids) for _, ids in changes.removed)
        return intent(True, f"{', '.join(moved)} has a newer version", rows)
    return intent(False, "up to date", 0)


def _named(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
