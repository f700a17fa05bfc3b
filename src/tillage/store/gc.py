"""Collecting what no kept version needs: old versions, their chunks, files that a killed run left behind.

It waits for running work (runs hold the store's lock shared), so every file without an owner is an orphan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tillage.store.catalog import load
from tillage.store.failpoints import reach
from tillage.store.locate import drop_runs, kept_runs
from tillage.store.objects import AT_ONCE, is_small, sync_folder
from tillage.store.tables import Store

KEEP = 10
"""Versions of each stage that are kept unless asked otherwise."""

PURGING = "purging"
"""Names in the catalog what a purge has replaced, from its commit until the last old byte is gone."""

FEW = 16
"""Names up to which each is looked for in a result; of more, all names in it are found first."""

_NAMED = re.compile(r'"name":"([^"\\]*)"')
"""What is called a name in a result; names of objects need no escape."""


@dataclass(frozen=True)
class Collected:
    """What was removed: versions, files and their bytes; and what could not be."""

    versions: int
    files: int
    bytes: int
    standing: tuple[str, ...] = ()
    """Stages whose newest version was made of an abandoned one: it stays until there is another."""


def collect(store: Store, keep: int = KEEP, abandoned: Collection[str] | None = None) -> Collected:
    """Keep the newest `keep` versions of each stage, tagged ones, and those that kept results were made from.

    Of `abandoned` stages nothing is kept, nor of others the earlier versions that were made of theirs, and no deleted
    value stays in a free page. None: no stage is looked at so; an empty one ends what was begun with others.
    """
    reach("gc.begin")
    whole = abandoned or ()
    made = made_of(store, whole) if abandoned is not None else {}
    kept = kept_versions(store, keep, made) | {stage: set[int]() for stage in whole}
    standing = sorted(stage for stage, versions in made.items() if kept.get(stage, set()) & versions)
    with store.catalog.transaction():
        versions = 0
        for stage in whole:
            store.catalog.write("UPDATE chunks SET ended = added WHERE stage = ? AND ended IS NULL", stage)
            for table in ("sources", "tags"):
                store.catalog.write(f"DELETE FROM {table} WHERE stage = ?", stage)  # noqa: S608
        if abandoned is not None:
            store.catalog.set_meta(PURGING, store.catalog.meta(PURGING) or "[]")  # owed: the vacuum
        for stage in store.stages():
            mine = sorted(kept[stage])
            gone = [v.version for v in store.versions(stage) if v.version not in kept[stage]]
            versions += len(gone)
            store.catalog.write_many(
                "DELETE FROM versions WHERE stage = ? AND version = ?", [(stage, version) for version in gone]
            )
            found = store.catalog.rows(
                "SELECT id, added, ended FROM chunks WHERE stage = ? AND ended IS NOT NULL", stage
            )
            dead = [r["id"] for r in found if not any(r["added"] <= v < r["ended"] for v in mine)]
            for table in ("removals", "digests", "placed"):
                store.catalog.write_many(f"DELETE FROM {table} WHERE chunk = ?", [(c,) for c in dead])  # noqa: S608
            store.catalog.write_many("DELETE FROM chunks WHERE id = ?", [(c,) for c in dead])
            store.catalog.write(
                "DELETE FROM sources WHERE stage = ? AND ended IS NOT NULL AND ended <= ? "
                "AND checksum NOT IN (SELECT checksum FROM tombstones)",  # they say which file the marks are of
                stage,
                mine[0] if mine else 0,
            )
        _drop_dead_runs(store)
        owned = owned_objects(store)
        forget_remembered(store, remembered(store, lambda names: names - owned))
    orphans = sorted(set(store.objects.files()) - owned)
    size = store.objects.delete_small(orphans)
    for name in orphans:
        reach("gc.file")
        size += store.objects.delete(name)
    files = len(orphans)
    erase_replaced(store)
    reach("gc.after")
    return Collected(versions, files, size, tuple(standing))


def kept_versions(store: Store, keep: int, going: Mapping[str, set[int]] | None = None) -> dict[str, set[int]]:
    """Which versions of each stage stay: with each, all that it was made from, back to the source.

    Those that are `going` stay only where the newest version of a stage was made from them, or is one.
    """
    versions, inputs = {stage: store.versions(stage) for stage in store.stages()}, _inputs(store)
    waiting = [(v.stage, v.version) for own in versions.values() for v in own[-max(keep, 1) :]]
    waiting += [(row["stage"], row["version"]) for row in store.catalog.rows("SELECT stage, version FROM tags")]
    if going:
        newest = {(stage, own[-1].version) for stage, own in versions.items()}
        waiting = [at for at in waiting if at in newest or at[1] not in going.get(at[0], ())]
    kept: dict[str, set[int]] = {stage: set() for stage in versions}
    while waiting:
        stage, version = waiting.pop()
        mine = kept.setdefault(stage, set())
        if version not in mine:
            mine.add(version)
            waiting += inputs.get((stage, version), ())
    return kept


def made_of(store: Store, abandoned: Collection[str]) -> dict[str, set[int]]:
    """By stage that is not abandoned: its versions that were made of an abandoned one, through whatever others.

    What the store has nothing of was abandoned before.
    """
    inputs = _inputs(store)
    there = {stage for stage, _ in inputs}.difference(abandoned)
    found: set[tuple[str, int]] = set()
    more = {at for at, own in inputs.items() if any(stage not in there for stage, _ in own)}
    while more:
        found |= more
        more = {at for at, own in inputs.items() if at not in found and not found.isdisjoint(own)}
    out: dict[str, set[int]] = {}
    for stage, version in found:
        if stage in there:
            out.setdefault(stage, set()).add(version)
    return out


def _inputs(store: Store) -> dict[tuple[str, int], list[tuple[str, int]]]:
    """What each version was made from, and the version that the plan pins it to by name."""
    return {
        (v.stage, v.version): [
            *v.inputs.items(),
            *([(v.facts["fit_on"][0], v.facts["fit_on"][1])] if "fit_on" in v.facts else []),
        ]
        for stage in store.stages()
        for v in store.versions(stage)
    }


def owned_objects(store: Store) -> set[str]:
    """The files that a chunk or a locator needs."""
    query = "SELECT object FROM chunks UNION ALL SELECT object FROM pieces"
    return {str(r[0]) for r in store.catalog.rows(query)}


def _owned_among(store: Store, names: Collection[str]) -> set[str]:
    """Those of these files that a chunk or a locator needs."""
    named, found = sorted(names), set[str]()
    for at in range(0, len(named), AT_ONCE):
        some = named[at : at + AT_ONCE]
        for table in ("chunks", "pieces"):
            query = f"SELECT DISTINCT object FROM {table} WHERE object IN ({', '.join('?' * len(some))})"  # noqa: S608
            found.update(str(row[0]) for row in store.catalog.rows(query, *some))
    return found


def erase_replaced(store: Store, *, vacuum: bool = True) -> None:
    """End what a purge began, also one that was killed: delete the objects that it replaced, vacuum the catalog."""
    debt = store.catalog.meta(PURGING)
    if debt is None:
        return
    named = set(load(debt))
    gone = sorted(named - _owned_among(store, named))
    store.objects.delete_small(gone)
    gone = [name for name in gone if not is_small(name)]
    for name in gone:
        store.objects.delete(name)
    for folder in sorted({(store.objects.root / name).parent for name in gone}):
        if folder.exists():
            sync_folder(folder)
    if vacuum:
        reach("purge.vacuum")
        store.catalog.vacuum()
    store.catalog.write("DELETE FROM meta WHERE key = ?", PURGING)


def remembered(store: Store, wanted: Callable[[set[str]], set[str]]) -> list[str]:
    """The keys of the remembered results that name an object which is `wanted`; it tells which of some names are."""
    known = store.catalog.rows("SELECT key, value FROM memo")
    bad = wanted(set(_NAMED.findall("\n".join([value for _, value in known]))))
    if not bad:
        return []
    if len(bad) <= FEW:
        near = [(key, value) for key, value in known if any(name in value for name in bad)]
    else:
        near = [(key, value) for key, value in known if not bad.isdisjoint(_NAMED.findall(value))]
    # more names than the objects', perhaps; to decode a thousand results took as long as to purge a row
    return [str(key) for key, value in near if not bad.isdisjoint(object_names(load(value)))]


def forget_remembered(store: Store, keys: Iterable[str]) -> None:
    """Drop remembered results."""
    store.catalog.write_many("DELETE FROM memo WHERE key = ?", [(key,) for key in keys])


def object_names(value: Any) -> set[str]:
    """The objects that a remembered result names."""
    if isinstance(value, dict):
        own = {str(value["name"])} if {"name", "checksum"} <= value.keys() else set()
        return own.union(*(object_names(v) for v in value.values()))
    return set()


def _drop_dead_runs(store: Store) -> None:
    alive = {int(r[0]) for r in store.catalog.rows("SELECT id FROM chunks")}
    drop_runs(
        store, [run.number for run in kept_runs(store) if run.number is not None and alive.isdisjoint(run.chunks)]
    )
