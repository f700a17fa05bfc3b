"""`forget`: rows, and all rows of their subjects, leave every table, version and model; a signed receipt says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, many
from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    from tillage.flow.run import Project


def forget(
    *,
    table: Annotated[str, typer.Argument(help="The table in which the rows are named.")],
    where: Annotated[str | None, typer.Option("--where", metavar="EXPR", help="A condition on its rows.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="VALUE", help="A key; may be repeated (all columns of each key in turn)."),
    ] = None,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", metavar="VALUE", help="A subject; may be repeated.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option("--release", metavar="FILE", help="Read a file as it stands that waits for it."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change, and what it costs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", metavar="FILE", help="Write the signed receipt there.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for runs under way, or exit 75.")] = True,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Erase rows, and all rows of their subjects, from every table, version and model. It cannot be undone."""
    from tillage.core.errors import UsageError

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        known("table", table, project.plan.tables)
        if release is not None:
            if where is not None or key or subject or dry_run:
                raise UsageError("--release stands alone: it decides about a file, not about rows.")
            _release(screen, project, table, release)
            return
        question: dict[str, Any] = {"where": where, "key": tuple(key or ()), "subject": tuple(subject or ())}
        if dry_run or not yes:
            from tillage.promises import estimate

            if not dry_run and (as_json or not sys.stdin.isatty()):
                raise UsageError(
                    "Forgetting cannot be undone, and nobody is here to be asked.",
                    fix="Look with --dry-run first, then add --yes.",
                )
            told = estimate(project, table, **question)
            _show(screen, told)
            if dry_run:
                screen.result(told)
                return
            if not typer.confirm("Erase this for good?", err=True):
                screen.say("Nothing was changed.")
                raise typer.Exit(2)
        told, signed = _forget(project, table, question, wait)
    _done(screen, told, signed)
    if receipt is not None:
        with replacing(receipt) as temporary:
            temporary.write_text(json.dumps(signed, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        screen.line(f"Receipt: {receipt}")
    screen.result({**told, "receipt": signed})


def _forget(project: Project, table: str, question: dict[str, Any], wait: bool) -> tuple[dict[str, Any], Any]:
    from tillage.promises import forget as erase

    return erase(project, table, **question, wait=wait)


def _release(screen: Screen, project: Project, table: str, path: str) -> None:
    from tillage.promises import release_object

    freed = release_object(project, table, path)
    free = f"{many(freed, 'tombstone')} no longer hold{'s' if freed == 1 else ''} for {path}"
    screen.line(f"{free}: the next `tillage run` reads it as it stands.")
    screen.result({"schema": "tillage.release/1", "table": table, "object": path, "tombstones": freed})


def _show(screen: Screen, told: dict[str, Any]) -> None:
    people = f", {many(told['subjects'], 'subject')}" if told["subjects"] else ""
    screen.line(f"{many(told['records'], 'source record')}{people}", style="bold")
    head = ["table", "rows", "keys", "chunks", "quarantined"]
    rows = [[name, *(facts[h] for h in head[1:])] for name, facts in told["tables"].items()]
    if rows:
        screen.table(head, rows, right=(1, 2, 3, 4))
    _answers(screen, told)
    for word, names in (("Trained again", told["models"]), ("Fitted again", told["refits"])):
        if names:
            screen.line(f"{word}: {', '.join(names)}")
    cost = told["cost"]
    seconds = f", about {cost['cpu_s']:,.1f} CPU seconds" if cost["cpu_s"] is not None else ""
    screen.line(f"Cost: {many(cost['rows'], 'row')} to read{seconds}.")
    _untouched(screen, told)
    for note in told["notes"]:
        screen.say(note)


def _untouched(screen: Screen, told: dict[str, Any]) -> None:
    """What the erasure leaves alone: copies that await a decision, and files that were handed out."""
    for copy in told["undecided"]:
        screen.say(f"Undecided: {many(copy['rows'], 'row')} of '{copy['table']}': {copy['why']}. Not touched.")
    for copy in told["handed_out"]:
        gone = "" if copy["there"] else " (not there any more)"
        screen.say(
            f"Handed out: {copy['path']}{gone}, {copy['form']} of '{copy['model']}' version {copy['version']}, "
            f"{copy['created'][:10]}. Not reached: take it back, or write it again."
        )


def _answers(screen: Screen, told: dict[str, Any]) -> None:
    known = told["answers"]
    if known["predictions"]:
        labels = f", {many(known['labels'], 'label')} of them" if known["labels"] else ""
        screen.line(f"Answers of the server: {many(known['predictions'], 'prediction')}{labels}")


def _done(screen: Screen, told: dict[str, Any], signed: dict[str, Any]) -> None:
    screen.line(f"Erased: {many(told['records'], 'source record')} (erasure {signed['epoch']}).", style="bold")
    _answers(screen, told)
    if told["models"]:
        screen.line(f"Trained again: {', '.join(told['models'])}")
    _untouched(screen, told)
    for note in told["notes"]:
        screen.say(note)
    screen.line(f"Public key: {signed['public_key']}")
