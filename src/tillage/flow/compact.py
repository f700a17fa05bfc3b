"""Compaction: many small chunks of a table become few, together with all that was made of them row by row.

It runs no step and changes no digest: rows move between objects, states of Folds are merged, and whoever had seen the
table's newest version is noted as having seen the compacted one, except who is pinned to a version by name: that one
stays where it is, and `gc` keeps it. Versions before it keep their chunks until `gc`. A reader who stands further back
sees the moved rows go and come again, which is correct and merely costs more.

What a Fit reads is left as it is: it takes rows in the order of their commits, which a moved row would lose, and a
replay would then learn something else than was learnt. Such a table keeps a chunk a commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import polars as pl

from tillage.core.state import decode, encode
from tillage.core.step import Fit, Fold
from tillage.flow.chunking import chunk_rows
from tillage.flow.results import STATE, merged
from tillage.flow.stages import Stage
from tillage.store.catalog import dump
from tillage.store.failpoints import reach
from tillage.store.objects import Stored
from tillage.store.tables import LEFT, ROWS, Chunk, Draft, NewChunk, Store, Version

SLACK = 24
"""Small chunks that a table may have beyond what its size asks for."""

ROW_WISE = ("map", "gate", "whole")


@dataclass(frozen=True)
class Merge:
    """Chunks of one part of a stage that become one object."""

    stage: str
    part: str
    chunks: tuple[Chunk, ...]
    stored: Stored
    group: int
    """Number of the group of source chunks that this comes from."""


def compact(store: Store, stages: Mapping[str, Stage]) -> list[str]:
    """Compact every table that needs it; the names of the stages that were rewritten."""
    done: list[str] = []
    in_order = _read_in_order(stages)
    for stage in stages.values():
        if stage.name in in_order:
            continue
        if stage.kind in ("source", "group") or (stage.kind == "whole" and not _follows(stage)):
            done += _compact_stage(store, stage, stages)
    return done


def _follows(stage: Stage) -> bool:
    return bool(getattr(stage.step, "incremental", False))


def _read_in_order(stages: Mapping[str, Stage]) -> set[str]:
    """What a Fit reads in the order of commits, and what that is made of row by row: its chunks say who came when."""
    found: set[str] = set()
    for stage in reversed(list(stages.values())):
        if isinstance(stage.step, Fit) or (stage.name in found and stage.kind in ROW_WISE):
            found |= set(stage.inputs.values())
    return found


def _compact_stage(store: Store, stage: Stage, stages: Mapping[str, Stage]) -> list[str]:
    groups = small_groups(store, stage.name)
    if not groups:
        return []
    merges = [_merge_rows(store, stage.name, ROWS, group, n) for n, group in enumerate(groups)]
    _derive(store, stage.name, groups, stages, merges)
    with store.catalog.transaction():
        rewritten = _commit(store, merges, stages)
        reach("compact.commit")
    return rewritten


def small_groups(store: Store, stage: str) -> list[tuple[Chunk, ...]]:
    """Runs of small chunks, each to become one; none while there are few."""
    chunks = store.chunks(stage, ROWS)
    live = {c.id: c.rows - len(store.removed(c)) for c in chunks} if len(chunks) > SLACK else {}
    size = chunk_rows(sum(live.values()))
    small = [c for c in chunks if live.get(c.id, size) <= size // 2]
    if len(small) <= SLACK:
        return []
    groups: list[tuple[Chunk, ...]] = []
    group: list[Chunk] = []
    weight = 0
    for chunk in small:
        if group and weight + live[chunk.id] > size:
            groups.append(tuple(group))
            group, weight = [], 0
        group.append(chunk)
        weight += live[chunk.id]
    groups.append(tuple(group))
    return [g for g in groups if len(g) > 1]


def _merge_rows(store: Store, stage: str, part: str, chunks: Sequence[Chunk], group: int) -> Merge:
    whole = pl.concat([store.read(c) for c in chunks], how="diagonal_relaxed")
    key = sha256(dump(["compact", stage, part, [c.object for c in chunks]]).encode()).hexdigest()[:32]
    return Merge(stage, part, tuple(chunks), store.objects.put_frame(key, whole), group)


def _derive(
    store: Store, source: str, groups: Sequence[tuple[Chunk, ...]], stages: Mapping[str, Stage], merges: list[Merge]
) -> None:
    """The same merges for all that stands on these chunks, row by row or state by state."""
    for stage in stages.values():
        if source not in stage.inputs.values() or stage.pin is not None or not _is_current(store, stage, source):
            continue
        parts = (ROWS, LEFT) if stage.kind in ROW_WISE else (STATE,)
        mine: list[tuple[Chunk, ...]] = []
        for n, group in enumerate(groups):
            members = {c.id for c in group}
            for part in parts:
                own = tuple(c for c in store.chunks(stage.name, part) if c.source in members)
                if not own:
                    continue
                if part == STATE:
                    merges.append(_merge_states(store, stage, own, n))
                else:
                    merges.append(_merge_rows(store, stage.name, part, own, n))
                if part == ROWS:
                    mine.append(own)
        if mine and stage.kind in ROW_WISE:
            _derive(store, stage.name, mine, stages, merges)


def _merge_states(store: Store, stage: Stage, chunks: Sequence[Chunk], group: int) -> Merge:
    step = stage.step
    if not isinstance(step, Fold):
        raise TypeError(stage.name)
    total = merged(step, [decode(data) for data in store.objects.get_many([(c.object, c.checksum) for c in chunks])])
    key = sha256(dump(["compact", stage.name, [c.object for c in chunks]]).encode()).hexdigest()[:32]
    return Merge(stage.name, STATE, tuple(chunks), store.objects.put(key, encode(total), "state"), group)


def _is_current(store: Store, stage: Stage, source: str) -> bool:
    mine, theirs = store.latest(stage.name), store.latest(source)
    return mine is not None and theirs is not None and mine.inputs.get(source) == theirs.version


def _commit(store: Store, merges: Sequence[Merge], stages: Mapping[str, Stage]) -> list[str]:
    """Write the merges as the next version of each stage that has some; inside a transaction.

    In the plan's order: a stage that stands on the compacted table by two ways comes after both, and once.
    """
    root = merges[0].stage
    merged: dict[str, list[Merge]] = {}
    for m in merges:
        merged.setdefault(m.stage, []).append(m)
    renamed: dict[int, int] = {}
    moved: dict[str, tuple[int, int]] = {}
    """Stage to its version before and after."""
    for name, stage in stages.items():
        last = store.latest(name)
        if last is None:
            continue
        seen = {s: moved[s] for s in stage.inputs.values() if s in moved}
        current = {s: after for s, (before, after) in seen.items() if last.inputs.get(s) == before}
        if current and stage.pin is None:
            last = replace(last, inputs={**last.inputs, **current})
            store.set_inputs(last)
        own = merged.get(name, [])
        if name != root and stage.kind not in ROW_WISE:
            _replace_states(store, name, own, renamed)
        elif own:
            moved[name] = last.version, _next_version(store, last, own, renamed).version
    return list(moved)


def _next_version(store: Store, last: Version, own: Sequence[Merge], renamed: dict[int, int]) -> Version:
    draft = Draft(
        last.stage, "compaction", last.fingerprint, dict(last.inputs), dict(last.counts), last.columns, dict(last.facts)
    )
    draft.ended = [c.id for m in own for c in m.chunks]
    for m in own:
        source = m.chunks[0].source
        moved = renamed.get(source) if source is not None else None
        origins = sorted({o for c in m.chunks for o in store.origins(c)})
        draft.added.append(NewChunk(m.part, m.stored, source=moved, origins=tuple(origins)))
    [made] = store.commit(draft)
    fresh = [c for c in store.chunks(last.stage, ROWS) if c.added == made.version]
    for m, chunk in zip([m for m in own if m.part == ROWS], fresh, strict=True):
        renamed.update({c.id: chunk.id for c in m.chunks})
    return made


def _replace_states(store: Store, stage: str, merges: Sequence[Merge], renamed: dict[int, int]) -> None:
    for m in merges:
        source = renamed[m.chunks[0].source or 0]
        store.replace_chunks(m.chunks, NewChunk(m.part, m.stored, source=source))
