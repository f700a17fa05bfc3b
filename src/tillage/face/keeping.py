"""`verify` and `gc`: whether the store is what was written, and freeing what no version needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tillage.face.opening import open_project
from tillage.face.options import AsJson, PlanFile, Wait
from tillage.face.screen import Screen, many

DAMAGED = 70
KEEP = 10
"""As `tillage.store.gc.KEEP`, which is not imported before it is needed; a test holds them equal."""


def verify(
    *,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", metavar="FILE", help="Check a receipt of `forget` instead.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option("--public-key", metavar="KEY", help="Whose receipt it is. Default: the project's own.")
    ] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Read everything back: checksums, counts, receipts. Exits 70 when something is not what was written."""
    from tillage.promises import faulty_receipts
    from tillage.store.verify import verify as read_back

    screen = Screen(as_json)
    if receipt is not None:
        _verify_receipt(screen, receipt, public_key, plan)
        return
    with open_project(plan, ran=True) as project:
        found = read_back(project.store)
        findings = (*found.findings, *faulty_receipts(project.store))
    value = {
        "schema": "tillage.verify/1",
        "ok": not findings,
        "objects": found.objects,
        "bytes": found.bytes,
        "orphans": found.orphans,
        "findings": [asdict(f) for f in findings],
    }
    for finding in findings:
        place = finding.stage + (f" v{finding.version}" if finding.version else "")
        where = ", ".join(p for p in (place, finding.object) if p)
        screen.line(f"DAMAGED  {where}: {finding.message}", style="bold red")
    size = f"{many(found.objects, 'object')}, {many(found.bytes, 'byte')}"
    if findings:
        screen.say(
            f"{many(len(findings), 'finding')} in {size}. Restore these files from a backup, or delete them: "
            "`tillage run` makes the newest versions again, and reads the source again where it must."
        )
    else:
        screen.line(f"ok  {size}: all are what was written.")
    if found.orphans:
        screen.line(f"Of no version: {many(found.orphans, 'file')}; `tillage gc` removes them.")
    screen.result(value)
    if findings:
        raise typer.Exit(DAMAGED)


def _verify_receipt(screen: Screen, file: Path, key: str | None, plan: Path | None) -> None:
    """With a key this needs no project."""
    from tillage.core.errors import InputMissing
    from tillage.flow.receipt import public_key
    from tillage.promises import verify_receipt

    if not file.is_file():
        raise InputMissing(f"There is no file {file}.", fix="Check the path after --receipt.")
    if key is None:
        with open_project(plan, ran=True) as project:
            key = public_key(project.store.keys)
    value = verify_receipt(file.read_bytes(), key)
    screen.line(f"ok  receipt {value['number']} of '{value['project']}', {value['time']}: it is whole, and signed.")
    screen.result({"schema": "tillage.verify-receipt/1", "ok": True, "receipt": value})


def gc(
    *,
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="N", help="Versions of each table to keep.")] = KEEP,
    abandoned: Annotated[
        bool, typer.Option("--abandoned", help="Remove whole tables and models, too, that the plan has no more.")
    ] = False,
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
        gone = project.abandoned() if abandoned else None
        found = collect(project.store, keep, gone)
    targets = sorted({stage.partition("/")[0] for stage in gone or ()} - {*project.plan.tables, *project.plan.models})
    if abandoned:
        screen.line(f"Not in the plan: {', '.join(targets) or 'nothing that there is'}.")
    standing = sorted({stage.partition("/")[0] for stage in found.standing})
    if standing:
        screen.say(
            f"Made of what the plan has no more, and kept, since there is nothing newer: {', '.join(standing)}. "
            "Do `tillage run`, then `tillage gc --abandoned` again."
        )
    screen.line(
        f"Removed {many(found.versions, 'version')} and {many(found.files, 'file')}, {many(found.bytes, 'byte')}."
    )
    screen.result({"schema": "tillage.gc/1", "keep": keep, "abandoned": targets, **asdict(found)})
