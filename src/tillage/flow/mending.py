"""Mending: a stored file that is missing or damaged is made again from what it was made of, by the run that needs it.

The stage that owns it is marked, and so is what follows it row by row, since that would look at the lost rows as they
stood; a marked stage is made anew, in a version of its own, and memory of finished work keeps that cheap. A source is
read again. Looking for what is missing costs one listing of the objects (some 30 ms for 10,000); damage inside a file
is met when it is read. Versions before the newest are not mended: what only they need comes back from a backup alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tillage.flow.stages import Stage
from tillage.store.gc import forget_remembered, remembered
from tillage.store.locate import drop_runs
from tillage.store.purge import drop_damaged
from tillage.store.tables import Store

LOST = "lost"
"""Fingerprint of a version some file of which is missing or damaged: no stage has it, so the stage is made anew."""

_CARRIES = ("map", "group", "whole", "gate")
"""Kinds that look at rows which left their input as they stood."""


def missing(store: Store) -> set[str]:
    """The objects of newest versions that are not there, or not of the size that was written."""
    query = "SELECT DISTINCT object, size FROM chunks WHERE ended IS NULL AND object NOT LIKE 'small/%'"
    wanted = {str(row[0]): int(row[1]) for row in store.catalog.rows(query)}
    there = _listed(store.objects.root) if wanted else {}
    lost = {name for name, size in wanted.items() if there.get(name) != size}
    query = (
        "SELECT DISTINCT c.object FROM chunks c LEFT JOIN small s ON s.name = c.object "
        "WHERE c.ended IS NULL AND c.object LIKE 'small/%' AND s.name IS NULL"
    )
    return lost | {str(row[0]) for row in store.catalog.rows(query)}


def mark_lost(store: Store, stages: Mapping[str, Stage], lost: Iterable[str]) -> list[str]:
    """Mark the stages that must be made anew for want of these objects; the tables and models that own one.

    In one transaction, so that a run which is killed meanwhile is taken up by the next.
    """
    names = set(lost)
    rows = store.catalog.rows("SELECT DISTINCT stage, object FROM chunks WHERE ended IS NULL") if names else []
    owners = {str(row[0]) for row in rows if row[1] in names} & stages.keys()
    found = set(owners)
    for stage in stages.values():
        if stage.kind in _CARRIES and found & set(stage.inputs.values()):
            found.add(stage.name)
    with store.catalog.transaction():
        for name in sorted(found):
            query = "UPDATE versions SET fingerprint = ? WHERE stage = ? AND version = (SELECT max(version) "
            store.catalog.write(query + "FROM versions WHERE stage = ?)", LOST, name, name)
        forget_remembered(store, remembered(store, lambda named: named & names) if names else [])
        pieces = store.catalog.rows("SELECT run, object FROM pieces") if names else []
        drop_runs(store, {int(r["run"]) for r in pieces if r["object"] in names})
    for name in names:
        store.objects.forget(name)
    return sorted({stages[name].target for name in owners})


def let_go(store: Store, stages: Mapping[str, Stage], name: str, read_again: Callable[[Stage], None]) -> list[str]:
    """Make an erasure possible that met a missing or damaged object: what was made from others goes whole, with its

    earlier versions, and is made again; a source is `read_again`, and the versions that showed the object go. What was
    let go of, in words; nothing where no stage stands on the object.
    """
    own = store.chunks_on(name)
    mark_lost(store, stages, [name])
    sources = {c.stage for c in own if c.stage in stages and stages[c.stage].kind == "source"}
    for stage in sorted(sources):
        if any(c.ended is None for c in own if c.stage == stage):
            read_again(stages[stage])
    derived = sorted({c.stage for c in own} - sources)
    with store.catalog.transaction():
        drop_damaged(store, [c for c in store.chunks_on(name) if c.stage in sources])
        drop_damaged(store, [c for s in derived for part in store.parts(s) for c in store.every_chunk(s, part)])
    store.objects.forget(name)
    targets = sorted({s.partition("/")[0] for s in (*sources, *derived)})
    return [f"A stored file of {t} was missing or damaged: earlier versions that needed it are gone." for t in targets]


def _listed(root: Path) -> dict[str, int]:
    """Every file of the folder of objects, with its size."""
    found: dict[str, int] = {}
    with os.scandir(root) as folders:
        for folder in folders:
            if folder.is_dir():
                with os.scandir(folder) as files:
                    found |= {f"{folder.name}/{f.name}": f.stat().st_size for f in files if f.is_file()}
    return found
