"""The thread, pulled from both ends: from a row back to its source records, and forward to tables and models.

Carried edges go by row_id: a step that keeps ids costs nothing to follow, children name their parent, merged rows their
keeper, a Group's key its rows. A result or a model is an influenced edge, to the table version that it saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import polars_hash as plh

from tillage.core.errors import InputMissing, UnknownName
from tillage.core.keys import hash_text
from tillage.core.rows import ID, INTO, MERGED, PARENT, REASON, high, ids, low
from tillage.core.step import Group
from tillage.flow.keyed import INDEX, PORT
from tillage.flow.run import Project
from tillage.flow.source import OBJECT, PLACES, RECORD
from tillage.flow.stages import Stage
from tillage.flow.survey import known
from tillage.store.index import KEY, Index
from tillage.store.locate import locate
from tillage.store.tables import LEFT, ROWS

MOST = 50
"""Rows of one group that are named; the rest are counted."""


@dataclass(frozen=True)
class Node:
    """One thing on the thread: a row, a source record, a ledger entry, a table, a model; with what leads to it."""

    kind: str
    label: str
    facts: dict[str, Any] = field(default_factory=dict)
    back: tuple[Node, ...] = ()
    forward: tuple[Node, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kind": self.kind,
            "label": self.label,
            "facts": self.facts,
            "back": [n.to_dict() for n in self.back],
            "forward": [n.to_dict() for n in self.forward],
        }


def trace(project: Project, name: str, row: int | None = None) -> Node:
    """The thread of a row of a table (by `_id`), or of a model; InputMissing when the row was never there."""
    if name in project.plan.models and row is None:
        return _model(project, name)
    if name not in project.plan.tables:
        raise UnknownName("table or model", name, {*project.plan.tables, *project.plan.models})
    if row is None:
        return _table(project, name)
    stage = _holding(project, name, row)
    walk = _Walk(project)
    return Node(
        "row",
        f"{name} {row:032x}",
        walk.state(stage, row),
        tuple(walk.back(stage, row)),
        tuple(walk.forward(stage, row)),
    )


def find(project: Project, table: str, values: dict[str, str]) -> pl.Series:
    """The `_id`s of the rows of a table whose columns hold these values (as text)."""
    wanted = pl.all_horizontal(pl.col(c).cast(pl.String) == v for c, v in values.items())
    found = [f.filter(wanted)[ID] for f in project.store.frames(table, columns=list(values))]
    return pl.concat(found) if found else ids()


def _holding(project: Project, table: str, row: int) -> Stage:
    """The last stage of the table that shows the row, or that saw it leave."""
    own = [s for s in project.stages.values() if s.target == table and s.kind not in ("result", "learn")]
    for part in (ROWS, LEFT):
        for stage in reversed(own):
            if locate(project.store, stage.name, ids([row]), part):
                return stage
    raise InputMissing(
        f"Table '{table}' neither holds nor ever dropped a row {row:032x}.",
        fix=f"`tillage show {table} --rows 5` prints row_ids.",
    )


class _Walk:
    """One walk along the carried edges; a stage is read where the row is, and nowhere else."""

    def __init__(self, project: Project) -> None:
        self.project, self.store, self.stages = project, project.store, project.stages

    def state(self, stage: Stage, row: int) -> dict[str, Any]:
        """What the row is in a stage: its values, or why it left."""
        for _, rows in locate(self.store, stage.name, ids([row])):
            values = rows.row(0, named=True)
            return {"state": "kept", "values": {c: _plain(v) for c, v in values.items() if not c.startswith("_")}}
        for _, rows in locate(self.store, stage.name, ids([row]), LEFT):
            entry = rows.row(0, named=True)
            into = entry.get(INTO)
            facts = {"state": "left", "reason": entry[REASON], "step": entry.get("_step")}
            return {**facts, "into": f"{into:032x}"} if into is not None else facts
        return {"state": "absent"}

    def back(self, stage: Stage, row: int) -> Iterator[Node]:
        """What the row was made from, one step back, each with what that was made from."""
        if stage.kind == "source":
            yield from self._records(stage, row)
            return
        if stage.kind == "group":
            yield from self._members(stage, row)
            return
        origin = self._parent(stage, row)
        for source in self._sources(stage):
            held = self._there(source, origin)
            if held:
                yield self._node(source, origin, back=True)
        if stage.kind == "whole":
            yield from self._merged_into(stage, row)

    def forward(self, stage: Stage, row: int) -> Iterator[Node]:
        """What was made of the row, and which results saw it."""
        for reader in self.stages.values():
            if stage.name not in reader.inputs.values():
                continue
            if reader.kind in ("result", "learn"):
                yield from self._influenced(reader, stage)
            elif reader.kind == "group":
                yield from self._group_rows(reader, stage, row)
            else:
                for own in [row, *self._children(reader, row)]:
                    if self._there(reader, own):
                        yield self._node(reader, own, back=False)

    def _node(self, stage: Stage, row: int, *, back: bool) -> Node:
        more = tuple(self.back(stage, row) if back else self.forward(stage, row))
        label = f"{stage.name} {row:032x}"
        facts = self.state(stage, row)
        return Node("row", label, facts, back=more) if back else Node("row", label, facts, forward=more)

    def _there(self, stage: Stage, row: int) -> bool:
        return any(locate(self.store, stage.name, ids([row]), part) for part in (ROWS, LEFT))

    def _sources(self, stage: Stage) -> list[Stage]:
        return [self.stages[s] for p, s in stage.inputs.items() if p != "verdicts"]

    def _parent(self, stage: Stage, row: int) -> int:
        for part in (ROWS, LEFT):
            for _, rows in locate(self.store, stage.name, ids([row]), part):
                if stage.children and PARENT in rows.columns and rows[PARENT][0] is not None:
                    return int(rows[PARENT][0])
        return row

    def _children(self, stage: Stage, row: int) -> list[int]:
        if not stage.children:
            return []
        out: list[int] = []
        for frame in self.store.frames(stage.name):
            if PARENT in frame.columns:
                out += frame.filter(pl.col(PARENT) == row)[ID].to_list()
        return out

    def _merged_into(self, stage: Stage, row: int) -> Iterator[Node]:
        for frame in self.store.frames(stage.name, LEFT):
            for other in frame.filter((pl.col(INTO) == row) & (pl.col(REASON) == MERGED))[ID].to_list():
                for source in self._sources(stage):
                    yield self._node(source, other, back=True)

    def _records(self, stage: Stage, row: int) -> Iterator[Node]:
        objects = {k.ordinal: k for k in known(self.store, stage.name)}
        for part in (ROWS, LEFT):
            for _, rows in locate(self.store, stage.name, ids([row]), part):
                for entry in rows.select(OBJECT, RECORD).rows():
                    record = self._place(stage, entry[0], row, entry[1])
                    held = objects[entry[0]]
                    facts = {"object": held.path, "record": record, "sha256": held.checksum}
                    yield Node("record", f"{held.path} record {record}", facts)

    def _place(self, stage: Stage, ordinal: int, row: int, record: int) -> int:
        for chunk in self.store.chunks(stage.name, PLACES, page=ordinal):
            moved = self.store.read(chunk).filter(pl.col(ID) == row)
            if moved.height:
                return int(moved[RECORD][0])
        return record

    def _members(self, stage: Stage, row: int) -> Iterator[Node]:
        for _, rows in locate(self.store, stage.name, ids([row])):
            entries = Index(self.store, stage.name, INDEX).read(rows[KEY])
            for member in entries.sort(ID).head(MOST).select(ID, PORT).rows():
                yield self._node(self.stages[stage.inputs[member[1]]], member[0], back=True)
            if entries.height > MOST:
                yield Node("rows", f"and {entries.height - MOST:,} more rows of this key", {"rows": entries.height})

    def _group_rows(self, reader: Stage, stage: Stage, row: int) -> Iterator[Node]:
        step = reader.step
        if not isinstance(step, Group):
            return
        for port, source in reader.inputs.items():
            for _, rows in locate(self.store, stage.name, ids([row])) if source == stage.name else ():
                keys = hash_text(rows, step.key(rows, port))
                for n in range(MOST):
                    unit = pl.DataFrame({"k": keys}).select(
                        plh.hash_rows(low("k"), high("k"), pl.lit(n, pl.Int64)).alias("u")
                    )
                    hashed = unit.select(plh.col("u").nchash.xxh3_128().alias("u"))["u"]
                    made = int(self.store.keys.key_ids(reader.target, hashed)[0])
                    if not self._there(reader, made):
                        break
                    yield self._node(reader, made, back=False)

    def _influenced(self, reader: Stage, stage: Stage) -> Iterator[Node]:
        last = self.store.latest(reader.name)
        if last is None:
            return
        seen = last.inputs.get(stage.name)
        kind = "model" if reader.kind == "learn" else "result"
        facts = {"version": last.version, "saw": f"{stage.name} version {seen}", "digest": last.facts.get("digest")}
        yield Node(kind, f"{reader.name} version {last.version}", {"edge": "influenced", **facts})


def _model(project: Project, name: str) -> Node:
    last = project.store.latest(name)
    if last is None:
        raise InputMissing(f"Model '{name}' has no version yet.", fix="Run `tillage run`.")
    facts = {k: last.facts.get(k) for k in ("digest", "metrics", "baseline", "train", "test", "left")}
    return Node("model", f"{name} version {last.version}", facts, _inputs(project, name, last.version))


def _table(project: Project, name: str) -> Node:
    last = project.store.latest(name)
    if last is None:
        raise InputMissing(f"Table '{name}' has no version yet.", fix="Run `tillage run`.")
    return Node("table", f"{name} version {last.version}", dict(last.counts), _inputs(project, name, last.version))


def _inputs(project: Project, stage: str, version: int) -> tuple[Node, ...]:
    out = []
    at = project.store.version(stage, version)
    for name, seen in sorted(at.inputs.items()):
        before = project.store.version(name, seen)
        kind = project.stages[name].kind if name in project.stages else "stage"
        facts: dict[str, Any] = {"why": before.why}
        facts |= {k: before.counts[k] for k in ("in", "rows") if k in before.counts}
        out.append(Node(kind, f"{name} version {seen}", facts, _inputs(project, name, seen)))
    if not at.inputs:
        out += [Node("object", k.path, {"sha256": k.checksum}) for k in known(project.store, stage)]
    return tuple(out)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)
