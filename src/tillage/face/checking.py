"""`check` and `plan`: everything that is wrong, and everything that would be done, before it is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tillage.face.opening import open_project, project_of, read_plan
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, many

if TYPE_CHECKING:
    from tillage.flow.plan import Plan


def check(plan: PlanFile = None, as_json: AsJson = False) -> None:
    """Say everything that is wrong with the plan, at once; nothing is run."""
    screen = Screen(as_json)
    read = read_plan(plan)
    with TemporaryDirectory() as nothing:
        ran = (read.store / "catalog.db").is_file()
        beside = read if ran else read.model_copy(update={"store": Path(nothing)})
        with project_of(beside) as project:
            project.check(look=True)
    objects = _inputs(read)
    counted = f"{many(len(read.tables), 'table')}, {many(len(read.models), 'model')}"
    screen.line(f"ok  {read.project}: {counted}")
    for name, found in objects.items():
        screen.line(f"    {name} collects from {many(found, 'object')}")
    screen.result(
        {
            "schema": "tillage.check/1",
            "project": read.project,
            "plan": read.file,
            "ok": True,
            "tables": list(read.tables),
            "models": list(read.models),
            "services": list(read.services),
            "inputs": objects,
        }
    )


def _inputs(plan: Plan) -> dict[str, int]:
    """How many objects each source finds; raises InputMissing, or Denied where one is, with all that find none."""
    from tillage.core.errors import Denied, InputMissing, TillageError
    from tillage.flow.following import Following

    found: dict[str, int] = {}
    missing: list[str] = []
    denied = False
    for name, table in plan.tables.items():
        if table.source is not None and not (isinstance(table.source, Following) and not table.source.cheap):
            try:
                found[name] = len(table.source.scan(plan.root))
            except (InputMissing, Denied) as error:
                missing.append(f"Table '{name}': {error}")
                denied = denied or isinstance(error, Denied)
            except TillageError as error:
                error.at(f"Table '{name}'")
                raise
    if missing:
        raise (Denied if denied else InputMissing)("\n".join(missing))
    return found


def plan(plan: PlanFile = None, as_json: AsJson = False) -> None:
    """Show what a run would do, and why, without doing it."""
    from tillage.flow.planner import intents

    screen = Screen(as_json)
    with open_project(plan) as project:
        found = intents(project)
        name = project.plan.project
    rows = [
        [i.stage, i.kind, "runs" if i.runs else "-", "unknown" if i.touches is None else f"{i.touches:,}", i.why]
        for i in found
    ]
    screen.table(["stage", "kind", "", "reads rows", "why"], rows, right=(3,))
    if not any(i.runs for i in found):
        screen.line("Nothing to do: everything is up to date.")
    screen.result({"schema": "tillage.plan/1", "project": name, "stages": [asdict(i) for i in found]})
