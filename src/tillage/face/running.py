"""`run` and `replay`: bring tables and models up to date, and say what became of every row."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.failure import described, tell
from tillage.face.following import EVERY, seconds_of
from tillage.face.following import follow as follow_sources
from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile, Processes, Wait, Workers
from tillage.face.page import report_path, write_report
from tillage.face.screen import Screen, many
from tillage.face.summary import show_summary
from tillage.face.watching import Watching

if TYPE_CHECKING:
    from tillage.flow.run import Outcome, Project

FAILED = 10


def run(
    *,
    targets: Annotated[list[str] | None, typer.Argument(help="Tables and models. Default: all.")] = None,
    plan: PlanFile = None,
    wait: Wait = False,
    refit: Annotated[
        list[str] | None,
        typer.Option("--refit", metavar="NAME", help="Fit this step, or those of this table, again; may be repeated."),
    ] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Give the digest of each table and model.")] = False,
    workers: Workers = None,
    processes: Processes = 0,
    follow: Annotated[
        bool, typer.Option("--follow", help="Run again as the sources change, a line a turn, until Ctrl-C or SIGTERM.")
    ] = False,
    span: Annotated[
        str | None, typer.Option("--for", metavar="SPAN", help="With --follow: end after 90s, 10m, 2h.")
    ] = None,
    every: Annotated[
        float, typer.Option("--every", min=0.05, metavar="SECONDS", help="With --follow: between two looks.")
    ] = EVERY,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the page there instead of into the store."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring everything up to date, doing only what changed."""
    screen = Screen(as_json)
    seconds = _seconds(follow, span, report, refit)
    with (
        Watching() as watching,
        open_project(plan, workers=workers, processes=processes, listen=watching.listen) as project,
    ):
        for name in targets or ():
            known("table or model", name, [*project.plan.tables, *project.plan.models])
        for name in refit or ():
            known("fitted step, or table that has one", name, _fitted(project))
        if follow:
            turn = partial(bring_up, project, targets or (), wait=True, digest=digest)
            raise typer.Exit(follow_sources(project, screen, turn, seconds=seconds, every=every))
        value, outcome = bring_up(project, targets or (), wait=wait, refit=refit or (), digest=digest)
        stopped = outcome and (outcome.failed or outcome.waiting)
        code = value["error"]["exit_code"] if "error" in value else FAILED if stopped else 0
        place = None
        changed = bool(outcome and outcome.changed) and bool(project.plan.models)
        missing = bool(project.plan.models) and not report_path(project).exists()
        if "error" not in value and (report or changed or missing):  # a page tells of models; tables have `show`
            place = write_report(project, value, report)
        elif report_path(project).exists():
            place = report_path(project)
        if place is not None:
            value["report"] = str(place)
    for note in value.get("notes", ()):
        screen.say(note)
    if outcome is not None and not outcome.changed and not outcome.failed:
        screen.line("Nothing to do: everything is up to date.")
    show_summary(screen, value, digest=digest)
    if "error" in value:
        tell(value["error"], screen)
    elif outcome is not None and outcome.failed:
        stays = "The last versions stay" if all(name in value["tables"] for name in outcome.failed) else "Not published"
        screen.say(f"Expectations failed: {', '.join(outcome.failed)}. {stays}; what they feed waits.")
    if "report" in value:
        screen.line()
        screen.line(f"Report: {value['report']}")
    screen.result(value)
    if code:
        raise typer.Exit(code)


def _seconds(follow: bool, span: str | None, report: Path | None, refit: list[str] | None) -> float | None:
    """How long to follow; UsageError for options that do not go together."""
    from tillage.core.errors import UsageError

    if span is not None and not follow:
        raise UsageError("--for says how long to --follow.")
    if follow and report is not None:
        raise UsageError("--follow writes no page.", fix="Run once more with --report.")
    if follow and refit:
        raise UsageError("--follow would fit it again at every turn.", fix="Run once with --refit, then follow.")
    return seconds_of(span) if span is not None else None


def bring_up(
    project: Project,
    targets: Any = (),
    *,
    wait: bool = False,
    refit: Any = (),
    replay: Any = (),
    digest: bool = False,
) -> tuple[dict[str, Any], Outcome | None]:
    """Run, and give the `tillage.run/1` object; where a stage could not be made it tells how things stand, and
    has `error` besides, with the errors of further stages among the notes."""
    from tillage.core.errors import TillageError

    try:
        outcome = project.run(tuple(targets), wait=wait, refit=tuple(refit), replay=tuple(replay))
    except TillageError as error:
        told = project.outcome
        if error not in told.errors:
            raise
        value = {**project.summary(told, digest=digest), "error": described(error)}
        notes = [*told.notes, *map(str, told.errors[1:])]
        return {**value, **({"notes": notes} if notes else {})}, None
    value = project.summary(outcome, digest=digest)
    if outcome.notes:
        value["notes"] = list(outcome.notes)
    if outcome.failed:
        value["failed"] = list(outcome.failed)
    if outcome.waiting:
        value["waiting"] = list(outcome.waiting)
        value["notes"] = [*value.get("notes", ()), *(_waits(place) for place in outcome.waiting)]
    return value, outcome


def _waits(place: str) -> str:
    table, _, path = place.partition(": ")
    return (
        f"{path} changed after records of it were forgotten, so it was not read: table '{table}' shows it as it was. "
        f"Take those records out of the file, then run `tillage forget {table} --release {path}`."
    )


def _fitted(project: Project) -> set[str]:
    """What --refit may name: a fitted step, its table, or its stage."""
    found: set[str] = set()
    for stage in project.stages.values():
        if stage.kind == "result" and not (stage.follows or stage.place):
            found |= {stage.name, stage.target, stage.name.partition("-")[2]}
    return found


def replay(
    *,
    table: Annotated[str, typer.Argument(help="A table that collects.")],
    plan: PlanFile = None,
    wait: Wait = False,
    workers: Workers = None,
    processes: Processes = 0,
    as_json: AsJson = False,
) -> None:
    """Read the quarantined records of a table again, after a fix."""
    from tillage.core.errors import UsageError

    screen = Screen(as_json)
    with (
        Watching() as watching,
        open_project(plan, workers=workers, processes=processes, listen=watching.listen, ran=True) as project,
    ):
        known("table", table, project.plan.tables)
        if project.plan.tables[table].source is None:
            collecting = [name for name, t in project.plan.tables.items() if t.source is not None]
            raise UsageError(
                f"Table '{table}' collects nothing, so none of its records is in quarantine.",
                fix=f"Name a table that collects: {', '.join(collecting) or 'the plan has none'}.",
            )
        before, stood = _quarantined(project, table), project.store.latest(table)
        value, outcome = bring_up(project, (table,), wait=wait, replay=(table,))
        after = _quarantined(project, table)
        moved = stood is None or bool(project.store.changes(table, stood.version))
    returned = sum(before.values()) - sum(after.values())
    told = {
        "schema": "tillage.replay/1",
        "table": table,
        "before": before,
        "after": after,
        "returned": returned,
        "run": value,
    }
    if not before:
        screen.line(f"Table '{table}' has no record in quarantine.")
    else:
        still = sum(after.values())
        came = f"{many(max(returned, 0), 'row')} came back" if returned > 0 else "None came back"
        screen.line(f"{came}; {still:,} of {sum(before.values()):,} still in quarantine{_why(after)}.")
    if outcome is not None and moved:
        screen.line("What the table feeds waits for `tillage run`.")
    screen.result(told)
    if "error" in value:
        tell(value["error"], screen)
        raise typer.Exit(value["error"]["exit_code"])
    if outcome is not None and outcome.failed:
        raise typer.Exit(FAILED)


def _quarantined(project: Project, table: str) -> dict[str, int]:
    tables = project.summary()["tables"]
    found: dict[str, int] = dict(tables[table]["quarantined"]) if table in tables else {}
    return found


def _why(reasons: dict[str, int]) -> str:
    return f" ({', '.join(f'{reason} {n:,}' for reason, n in reasons.items())})" if reasons else ""
