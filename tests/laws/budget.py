"""Law 3 by hand: the most rows that a run may read after an edit, from the files and the chunks as they stood before.

    changed rows + rows of re-read files + rows of the chunks and keys touched

What changed is found by comparing files and tables before and after, never by asking the runner.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from tillage.core.rows import ID
from tillage.flow.run import Project
from tillage.flow.stages import Stage
from tillage.store.digests import content_hashes
from tillage.store.index import DELTA, KEY
from tillage.store.tables import Chunk

Contents = set[tuple[int, int]]
Files = dict[str, tuple[bytes, list[str]]]


@dataclass
class Snapshot:
    """A project between two runs: its files, and what each stage showed, in which chunks."""

    files: Files
    rows: dict[str, Contents] = field(default_factory=dict)
    chunks: dict[str, list[tuple[Chunk, set[int], list[int]]]] = field(default_factory=dict)
    """Each chunk with its ids, and for an index its keys."""


def snapshot(project: Project, root: Path) -> Snapshot:
    """Everything that the bound is computed from."""
    files: Files = {}
    for path in sorted([*root.glob("data/*"), *root.glob("lines/*")]):
        text = path.read_bytes()
        lines = text.decode().splitlines()
        files[path.relative_to(root).as_posix()] = (text, lines[1:] if path.suffix == ".csv" else lines)
    seen = Snapshot(files)
    for name, stage in project.stages.items():
        if stage.kind in ("result", "learn"):
            continue
        frame = project.store.frame(name)
        hashes = content_hashes(frame) if frame.width > 1 else pl.Series([], dtype=pl.UInt128)
        seen.rows[name] = set(zip(frame[ID], hashes, strict=True))
        seen.chunks[name] = []
        for part in project.store.parts(name):
            for chunk in project.store.chunks(name, part):
                if chunk.object.endswith(".parquet"):
                    rows = project.store.objects.get_frame(chunk.object, chunk.checksum)
                    keys = rows[KEY].to_list() if part.startswith("index") else []
                    seen.chunks[name].append((chunk, set(rows[ID]), keys))
    return seen


def bound(project: Project, stage: Stage, before: Snapshot, after: Snapshot) -> int:
    """The rows that one stage may touch for what changed between two snapshots."""
    if stage.kind == "gate":
        return 0
    if stage.kind == "source":
        return _reading(stage, before, after) + _own(stage, before, _changed(stage.name, before, after))
    came_or_went: Contents = set()
    for source in stage.inputs.values():
        came_or_went |= before.rows.get(source, set()) ^ after.rows.get(source, set())
    touched = {i for i, _ in came_or_went}
    if stage.kind == "result":
        return len(came_or_went) + sum(_of_chunks(s, before, touched) for s in stage.inputs.values())
    if stage.kind == "whole" and not getattr(stage.step, "incremental", False):
        return sum(len(after.rows[s]) for s in stage.inputs.values()) + len(before.rows[stage.name])
    touched |= _changed(stage.name, before, after)
    return len(came_or_went) + _own(stage, before, touched) + _pages(project, stage, before, after, touched)


def _changed(stage: str, before: Snapshot, after: Snapshot) -> set[int]:
    return {i for i, _ in before.rows.get(stage, set()) ^ after.rows[stage]}


def _own(stage: Stage, before: Snapshot, touched: set[int]) -> int:
    """Rows of the stage's chunks that held a touched id (or, for a Map, a parent's or child's: the same chunk)."""
    return _of_chunks(stage.name, before, touched)


def _of_chunks(name: str, before: Snapshot, touched: set[int]) -> int:
    return sum(
        chunk.rows for chunk, ids, keys in before.chunks.get(name, []) if not chunk.part.startswith("index") and ids & touched
    )


def _pages(project: Project, stage: Stage, before: Snapshot, after: Snapshot, touched: set[int]) -> int:
    """Entries of the index pages of touched keys, and of the small chunks that wait to be folded in."""
    index = [(c, keys) for c, _, keys in before.chunks.get(stage.name, []) if c.part.startswith("index")]
    if not index:
        return 0
    keys = {
        key
        for snap in (before, after)
        for chunk, ids, own in snap.chunks[stage.name]
        if chunk.part.startswith("index") and ids & touched
        for i, key in zip(_in_order(project, chunk), own, strict=True)
        if i in touched
    }
    count = max(chunk.page for chunk, _ in index)
    bits = count.bit_length() - 1 if count > 0 else 0
    wanted = {(1 << bits) + (key >> (128 - bits) if bits else 0) for key in keys}
    return sum(chunk.rows for chunk, _ in index if chunk.page == DELTA or chunk.page in wanted)


def _in_order(project: Project, chunk: Chunk) -> list[int]:
    return project.store.objects.get_frame(chunk.object, chunk.checksum)[ID].to_list()


def _reading(stage: Stage, before: Snapshot, after: Snapshot) -> int:
    """Records of changed files now and before (rows, and what waits beside them), and the rivals of their keys."""
    assert stage.table is not None
    keyed = bool(stage.table.key)
    folder = "data/" if keyed else "lines/"
    old = {p: f for p, f in before.files.items() if p.startswith(folder)}
    new = {p: f for p, f in after.files.items() if p.startswith(folder)}
    changed = {p for p in old.keys() | new.keys() if old.get(p) != new.get(p)}
    records = sum(len(f[1]) for snap in (old, new) for p, f in snap.items() if p in changed)
    if not keyed:
        return records
    keys = {line.split(",")[0] for snap in (old, new) for p in changed & snap.keys() for line in snap[p][1]}
    held = Counter(line.split(",")[0] for snap in (old, new) for _, lines in snap.values() for line in lines)
    return records + sum(held[key] for key in keys)
