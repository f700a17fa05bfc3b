"""From a record of a source: what each table that reads its object made of it, and where that went.

A record is found by its number: in the ledger (superseded, quarantined), among the rows that moved within the object,
else in the object's chunks, which a first reading lays down in order, so that one or a few are probed before all are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from tillage.core.errors import InputMissing, UnknownName
from tillage.core.rows import ID
from tillage.flow.quarantine import PART as QUARANTINE
from tillage.flow.run import Project
from tillage.flow.source import OBJECT, PLACES, RECORD
from tillage.flow.stages import Stage
from tillage.promises.trace_forward import Forward
from tillage.promises.trace_graph import CARRIED, Item, Thread
from tillage.promises.trace_items import Items
from tillage.promises.trace_places import Places
from tillage.store.catalog import load
from tillage.store.tables import LEFT, ROWS

NAMES = 10_000
"""Paths among which the nearest to a wrong one is looked for."""


def from_record(items: Items, path: str, record: int, *, forward: bool, limit: int | None, depth: int | None) -> Thread:
    """The thread of a record, forward if asked; InputMissing when there is no such record, UnknownName no such file."""
    found = _objects(items.places, path)
    facts: dict[str, Any] = {"object": path, "record": record}
    thread = Thread(Item(f"record:{path}#{record}", "record", f"{path} record {record}", facts))
    seen = False
    for stage, version, ordinal in found:
        facts["sha256"] = items.object(stage.name, version, ordinal)[1]
        for entry in _quarantined(items.places, stage, version, ordinal, record):
            seen = True
            identity = f"{stage.name}@{version}:quarantine#{ordinal}#{record}"
            item = Item(identity, "quarantined", f"{stage.name} quarantine", entry, stage.name, version)
            if forward:
                thread.forward(thread.root, item, CARRIED, "set aside")
        for row, superseded in _rows(items.places, stage, version, ordinal, record):
            seen = True
            if superseded and forward:
                why = {"state": "superseded", "reason": "another record of its key is shown"}
                shown = items.places.find(stage, version, [row], ROWS, [OBJECT, RECORD])
                for number, at in shown.select(OBJECT, RECORD).rows():
                    place = items.place(stage, version, number, row, at)
                    why["shown"] = items.record(stage, version, number, place).label
                item = items.row(stage, version, row, why)
                item = replace(item, id=f"{item.id}/superseded")
                thread.forward(thread.root, item, CARRIED, items.steps(stage))
            elif forward:
                thread.forward(thread.root, items.row(stage, version, row), CARRIED, items.steps(stage))
                walk = Forward(items, thread, limit=limit, depth=None if depth is None else depth - 1)
                walk.rows(stage, version, [row])
    if not seen:
        read = dict.fromkeys(_records(items.places, s, o) for s, _, o in found)
        raise InputMissing(
            f"No table has a record {record} of {path}: it is not there, or it was forgotten.",
            fix=f"{' and '.join(f'{n:,}' for n in read)} records were read, counted from 0.",
        )
    return thread


def as_read(project: Project, path: str) -> str:
    """A path as tables name it: relative to the plan's folder, whether it is given from there or from here."""
    root = project.plan.root.resolve()
    for whole in (root / path, Path(path).absolute()):
        if whole.exists() and whole.resolve().is_relative_to(root):
            return whole.resolve().relative_to(root).as_posix()
    return Path(path).as_posix()


def is_read(project: Project, path: str) -> bool:
    """Whether a table reads this object now."""
    query = "SELECT 1 FROM sources WHERE ended IS NULL AND path = ? LIMIT 1"
    return project.store.catalog.row(query, as_read(project, path)) is not None


def paths(project: Project) -> list[str]:
    """The objects that tables read now, as they name them."""
    query = "SELECT DISTINCT path FROM sources WHERE ended IS NULL ORDER BY path LIMIT ?"
    return [str(row[0]) for row in project.store.catalog.rows(query, NAMES)]


def _objects(places: Places, path: str) -> list[tuple[Stage, int, int]]:
    """(source stage, its version, number of the object) of each table that reads an object."""
    out: list[tuple[Stage, int, int]] = []
    for stage in places.stages.values():
        newest = places.latest(stage.name) if stage.kind == "source" else None
        if newest is None:
            continue
        own = "FROM sources WHERE stage = ? AND ended IS NULL"
        for row in places.store.catalog.rows(f"SELECT ordinal {own} AND path = ?", stage.name, path):
            out.append((stage, newest.version, int(row[0])))  # noqa: PERF401
    if out:
        return out
    names = paths(places.project)
    if not names:
        raise InputMissing("No table has read a file yet.", fix="Run `tillage run`.")
    raise UnknownName("source file", path, names)


def _records(places: Places, stage: Stage, ordinal: int) -> int:
    query = "SELECT state FROM sources WHERE stage = ? AND ordinal = ? AND ended IS NULL"
    found = places.store.catalog.row(query, stage.name, ordinal)
    state = load(found[0]) if found else {}
    return int(state.get("records", 0)) if isinstance(state, dict) else 0


def _quarantined(places: Places, stage: Stage, version: int, ordinal: int, record: int) -> list[dict[str, Any]]:
    out = []
    columns = [OBJECT, "record", "byte_start", "byte_end", "stage", "reason", "column", "expires"]
    for chunk in places.store.chunks_of_origin(stage.name, QUARANTINE, ordinal):
        rows = places.read(chunk, version, columns)
        for bad in rows.filter((pl.col(OBJECT) == ordinal) & (pl.col("record") == record)).iter_rows(named=True):
            facts = {"table": stage.target, "state": "quarantined", "reason": bad["reason"], "step": bad["stage"]}
            facts |= {"column": bad["column"]} if bad["column"] else {}
            out.append({**facts, "bytes": [bad["byte_start"], bad["byte_end"]], "expires": str(bad["expires"])})
    return out


def _rows(places: Places, stage: Stage, version: int, ordinal: int, record: int) -> list[tuple[int, bool]]:
    """(row, whether another record of its key is shown instead) of a record: one, or none."""
    moved: dict[int, int] = {}
    for chunk in places.chunks(stage.name, PLACES, version):
        if chunk.page == ordinal:
            moved |= dict(places.read(chunk, version, [RECORD]).select(ID, RECORD).rows())
    for row, at in moved.items():
        if at == record:
            return [(row, False)]
    for chunk in places.store.chunks_of_origin(stage.name, LEFT, ordinal):
        _, _, waiting = places.at_record(chunk, version, ordinal, record)
        if waiting is not None:
            return [(waiting, True)]
    for row in _standing(places, stage, version, ordinal, record):
        if row not in moved:
            return [(row, False)]
    return []


def _standing(places: Places, stage: Stage, version: int, ordinal: int, record: int) -> Iterator[int]:
    """The rows that chunks show for a record, the likeliest chunk first: as far in as the record is in its file."""
    chunks = places.store.chunks_of_origin(stage.name, ROWS, ordinal)
    low, high, probed = 0, len(chunks), set()
    middle = min(len(chunks) - 1, len(chunks) * record // max(_records(places, stage, ordinal), 1))
    while low < high:
        probed.add(chunks[middle].id)
        least, most, row = places.at_record(chunks[middle], version, ordinal, record)
        if row is not None:
            yield row
        if least <= record <= most or most < least:
            break
        low, high = (middle + 1, high) if most < record else (low, middle)
        nearest = low if most < record else high - 1
        middle = nearest if len(probed) == 1 else (low + high) // 2
    for chunk in chunks:  # a later change put it elsewhere, or it is in no row
        if chunk.id not in probed:
            _, _, row = places.at_record(chunk, version, ordinal, record)
            if row is not None:
                yield row
