"""`verify` and `gc`: whether the store is what was written, and freeing what no version needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tillage.face.opening import open_project
from tillage.face.options import AsJson, PlanFile, Wait
from tillage.face.screen import Screen, many

DAMAGED = 70
KEEP = 10
"""As `tillage.store.gc.KEEP`, which is not imported before it is needed; a test holds them equal."""


def verify(plan: PlanFile = None, as_json: AsJson = False) -> None:
    """Read everything back: checksums, counts. Exits 70 when something is not what was written."""
    from tillage.store.verify import verify as read_back

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        found = read_back(project.store)
    value = {
        "schema": "tillage.verify/1",
        "ok": not found.findings,
        "objects": found.objects,
        "bytes": found.bytes,
        "orphans": found.orphans,
        "findings": [asdict(f) for f in found.findings],
    }
    for finding in found.findings:
        place = finding.stage + (f" v{finding.version}" if finding.version else "")
        where = ", ".join(p for p in (place, finding.object) if p)
        screen.line(f"DAMAGED  {where}: {finding.message}", style="bold red")
    size = f"{many(found.objects, 'object')}, {many(found.bytes, 'byte')}"
    if found.findings:
        screen.say(
            f"{many(len(found.findings), 'finding')} in {size}. Restore these files from a backup; "
            "if the raw data is still there, a new store can be made from it with `tillage run`."
        )
    else:
        screen.line(f"ok  {size}: all are what was written.")
    if found.orphans:
        screen.line(f"Of no version: {many(found.orphans, 'file')}; `tillage gc` removes them.")
    screen.result(value)
    if found.findings:
        raise typer.Exit(DAMAGED)


def gc(
    *,
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="N", help="Versions of each table to keep.")] = KEEP,
    plan: PlanFile = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Remove old versions and the files that no kept version needs."""
    from tillage.flow.run import STORE_LOCK
    from tillage.store.gc import collect
    from tillage.store.locks import hold

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project, hold(project.store.root / "locks", [STORE_LOCK], wait=wait):
        found = collect(project.store, keep)
    screen.line(
        f"Removed {many(found.versions, 'version')} and {many(found.files, 'file')}, {many(found.bytes, 'byte')}."
    )
    screen.result({"schema": "tillage.gc/1", "keep": keep, **asdict(found)})
