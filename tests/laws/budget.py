"""Law 3 by hand: the most rows that a run may read after an edit, from the files and the chunks as they stood before.

    changed rows + rows of re-read files + rows of the chunks and keys touched

What changed is found by comparing files and tables before and after, never by asking the runner. A row counts as
changed, too, when a changed file has its key twice: who wins is settled anew, and the winner is written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from tillage.core.rows import ID
from tillage.flow.run import Project
from tillage.flow.stages import Stage
from tillage.store.digests import content_hashes
from tillage.store.frames import is_frame
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
    parents: dict[int, int] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)
    """Key of a source's row to its _id."""


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
        if "_parent" in frame.columns:
            seen.parents |= dict(frame.filter(pl.col("_parent").is_not_null()).select(ID, "_parent").rows())
        if stage.kind == "source" and stage.table is not None and stage.table.key:
            seen.named = dict(frame.select(pl.col(stage.table.key[0]).cast(pl.String), ID).rows())
        for part in project.store.parts(name):
            for chunk in project.store.chunks(name, part):
                if is_frame(chunk.object):
                    rows = project.store.objects.get_frame(chunk.object, chunk.checksum)
                    keys = rows[KEY].to_list() if part.startswith("index") else []
                    seen.chunks[name].append((chunk, set(rows[ID]), keys))
    return seen


def bound(project: Project, stage: Stage, before: Snapshot, after: Snapshot) -> int:
    """The rows that one stage may touch for what changed between two snapshots."""
    if stage.kind == "gate":
        return 0
    own = _changed(project, stage.name, before, after) if stage.kind != "result" else set()
    if stage.kind == "source":
        return _reading(stage, before, after) + _own(stage, before, own)
    moved: set[int] = set()
    rows = 0
    for source in stage.inputs.values():
        changed = _changed(project, source, before, after)
        moved |= changed
        rows += sum(len(changed & {i for i, _ in snap.rows.get(source, set())}) for snap in (before, after))
    if stage.kind == "result":
        return rows + sum(_of_chunks(s, before, moved) for s in stage.inputs.values())
    if stage.kind == "whole" and not getattr(stage.step, "incremental", False):
        return sum(len(after.rows[s]) for s in stage.inputs.values()) + len(before.rows[stage.name])
    return rows + _own(stage, before, moved | own) + _pages(project, stage, before, after, moved | own)


def _changed(project: Project, name: str, before: Snapshot, after: Snapshot) -> set[int]:
    """Ids of rows of a stage that came, went, became others, or were written again, with all that was made of them."""
    stage = project.stages[name]
    out = {i for i, _ in before.rows.get(name, set()) ^ after.rows[name]}
    if stage.kind == "source":
        return out | _rivals(stage, before, after)
    if stage.kind == "group":
        return out
    for source in stage.inputs.values():
        if project.stages[source].kind != "result":
            out |= _changed(project, source, before, after)
    family = {**before.parents, **after.parents}
    while more := {child for child, parent in family.items() if parent in out} - out:
        out |= more
    return out


def _rivals(stage: Stage, before: Snapshot, after: Snapshot) -> set[int]:
    changed, old, new = _changed_files(stage, before, after)
    keys = Counter(line.split(",")[0] for snap in (old, new) for p in changed & snap.keys() for line in snap[p][1])
    held = Counter(line.split(",")[0] for _, lines in new.values() for line in lines)
    twice = {key for key in keys if held[key] > 1}
    return {snap.named[key] for snap in (before, after) for key in twice if key in snap.named}


def _own(stage: Stage, before: Snapshot, touched: set[int]) -> int:
    """Rows of the stage's chunks that held a touched id, or were made of a chunk that did."""
    sources = {
        chunk.id for name in stage.inputs.values() for chunk, ids, _ in before.chunks.get(name, []) if ids & touched
    }
    return _of_chunks(stage.name, before, touched, sources)


def _of_chunks(name: str, before: Snapshot, touched: set[int], sources: Set[int] = frozenset()) -> int:
    return sum(
        chunk.rows
        for chunk, ids, _ in before.chunks.get(name, [])
        if not chunk.part.startswith("index") and (ids & touched or chunk.source in sources)
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
    rows = 0
    for part in {chunk.part for chunk, _ in index}:
        mine = [chunk for chunk, _ in index if chunk.part == part]
        count = max(chunk.page for chunk in mine)
        bits = count.bit_length() - 1 if count > 0 else 0
        wanted = {(1 << bits) + (key >> (128 - bits) if bits else 0) for key in keys}
        rows += sum(chunk.rows for chunk in mine if chunk.page == DELTA or chunk.page in wanted)
    return rows


def _in_order(project: Project, chunk: Chunk) -> list[int]:
    return project.store.objects.get_frame(chunk.object, chunk.checksum)[ID].to_list()


def _reading(stage: Stage, before: Snapshot, after: Snapshot) -> int:
    """Records of changed files now and before (rows, and what waits beside them), and the rivals of their keys."""
    changed, old, new = _changed_files(stage, before, after)
    records = sum(len(f[1]) for snap in (old, new) for p, f in snap.items() if p in changed)
    if stage.table is None or not stage.table.key:
        return records
    keys = {line.split(",")[0] for snap in (old, new) for p in changed & snap.keys() for line in snap[p][1]}
    held = Counter(line.split(",")[0] for snap in (old, new) for _, lines in snap.values() for line in lines)
    return records + sum(held[key] for key in keys)


def _changed_files(stage: Stage, before: Snapshot, after: Snapshot) -> tuple[set[str], Files, Files]:
    assert stage.table is not None
    folder = "data/" if stage.table.key else "lines/"
    old = {p: f for p, f in before.files.items() if p.startswith(folder)}
    new = {p: f for p, f in after.files.items() if p.startswith(folder)}
    return {p for p in old.keys() | new.keys() if old.get(p) != new.get(p)}, old, new
