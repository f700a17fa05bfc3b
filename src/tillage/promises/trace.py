"""The thread, pulled from both ends: from a row back to its source records, and forward to tables and models.

Carried edges go by row_id: a step that keeps ids costs nothing to follow, children name their parent, merged rows their
keeper, a Group's key its rows. A result or a model is an influenced edge, to the table version that it saw.
Cost: one chunk a stage and way, some 5 ms a stage; the first trace after a run builds the locator of the tables where
rows come in (8 bytes a row). Memory does not grow with the table beyond that.

A beginning is a row, a source record, a table or a model; each is one function here, and a scored row will be one more
(the model version that its prediction record names, and the rows behind the request).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars as pl

from tillage.core.errors import InputMissing, UnknownName, UsageError, unknown_name
from tillage.core.rows import ID, ids
from tillage.flow.plan import Table
from tillage.flow.quarantine import PART as QUARANTINE
from tillage.flow.run import Project
from tillage.flow.source import OBJECT, PLACES, RECORD
from tillage.flow.stages import Stage
from tillage.promises.trace_back import Back
from tillage.promises.trace_forward import Forward
from tillage.promises.trace_graph import CARRIED, INFLUENCED, Edge, Item, Node, Thread
from tillage.promises.trace_items import Items
from tillage.promises.trace_places import VERDICTS, Places
from tillage.store.locate import holding
from tillage.store.tables import LEFT, ROWS, Chunk

MOST = 200
"""Rows of one stage that are named; the rest are counted."""

Direction: TypeAlias = Literal["back", "forward", "both"]

__all__ = ["MOST", "Direction", "Edge", "Item", "Node", "Thread", "row_of_key", "trace", "trace_record"]


def trace(
    project: Project,
    name: str,
    row: int | None = None,
    *,
    version: int | None = None,
    direction: Direction = "both",
    depth: int | None = None,
    limit: int | None = MOST,
) -> Node:
    """The thread of a row of a table (by `_id`), or of a whole table or model.

    `version`: of the table or model (default: the newest); `depth`: edges that are followed at most; `limit`: rows of
    one stage that are named, the others are counted (None: all are named). Raises UnknownName, InputMissing when the
    row or version is not there, UsageError for a number that cannot be a row_id.
    """
    if row is not None and name in project.plan.models:
        raise UsageError(f"'{name}' is a model and has no rows.", fix=f"Run `tillage trace {name}`, or name a table.")
    if name not in project.plan.tables and name not in project.plan.models:
        raise UnknownName("table or model", name, {*project.plan.tables, *project.plan.models})
    if row is not None and not 0 <= row < 1 << 128:
        raise UsageError("A row_id has 128 bits: 32 hexadecimal digits.", fix=f"`tillage show {name}` prints row_ids.")
    asked = _Asked(project, direction, depth, limit)
    number = _version(asked.places, name, version)
    return asked.version(name, number) if row is None else asked.row(name, number, row, given=version is not None)


def trace_record(
    project: Project,
    path: str,
    record: int,
    *,
    direction: Direction = "both",
    depth: int | None = None,
    limit: int | None = MOST,
) -> Node:
    """The thread of a record of a source's object: the row that it became in each table that reads the object.

    `record` counts as `trace` prints it. Raises InputMissing when no table reads the object, or it has no such record.
    """
    return _Asked(project, direction, depth, limit).record(path, record)


def row_of_key(project: Project, name: str, values: Sequence[str]) -> int:
    """The row_id of a key, as text: rows keep the id that the collecting table gave them."""
    if name not in project.plan.tables:
        raise UnknownName("table", name, project.plan.tables)
    origins = [t for t in _collecting(project, name) if t.key]
    if not origins:
        raise UsageError(f"No table behind '{name}' declares a key.", fix="Give the row_id that `tillage show` prints.")
    if len(origins) > 1:
        named = ", ".join(t.name for t in origins)
        raise UsageError(f"'{name}' comes from several tables with keys: {named}.", fix="Trace it in one of them.")
    origin = origins[0]
    if len(values) != len(origin.key):
        raise UsageError(
            f"The key of '{origin.name}' has {len(origin.key)} columns ({', '.join(origin.key)}), got {len(values)}.",
            fix=f"Give {' '.join(f'--key {c.upper()}' for c in origin.key)}.",
        )
    frame = pl.DataFrame({column: [value] for column, value in zip(origin.key, values, strict=True)})
    return int(project.store.keys.row_ids(origin.name, frame, origin.key)[0])


def _collecting(project: Project, name: str) -> list[Table]:
    found: dict[str, Table] = {}
    waiting = [name]
    while waiting:
        table = project.plan.tables[waiting.pop()]
        if table.source is not None:
            found[table.name] = table
        waiting += [source for _, source in table.inputs]
    return list(found.values())


def _version(places: Places, name: str, version: int | None) -> int:
    newest = places.latest(name)
    if newest is None:
        what = "Model" if name in places.project.plan.models else "Table"
        raise InputMissing(f"{what} '{name}' has no version yet.", fix="Run `tillage run`.")
    if version is None:
        return newest.version
    if places.version(name, version) is None:
        kept = ", ".join(str(v.version) for v in places.store.versions(name))
        gone = "was never made" if version > newest.version or version < 1 else "is not kept any more"
        raise InputMissing(f"Version {version} of '{name}' {gone}.", fix=f"Name one that is kept: --version {kept}.")
    return version


class _Asked:
    """One question and what bounds its answer."""

    def __init__(self, project: Project, direction: Direction, depth: int | None, limit: int | None) -> None:
        if direction not in ("back", "forward", "both"):
            message = unknown_name("direction", direction, ("back", "forward", "both"))
            raise UsageError(message)
        for what, value in (("depth", depth), ("limit", limit)):
            if value is not None and value < 1:
                raise UsageError(f"'{what}' must be at least 1, got {value}.")
        self.project, self.direction, self.depth, self.limit = project, direction, depth, limit
        self.places = Places(project)
        self.items = Items(self.places)

    # -- a row ------------------------------------------------------------------------------------------------------

    def row(self, name: str, version: int, row: int, *, given: bool) -> Node:
        """The thread of a row of a table."""
        stage, at, facts = self._holding(name, version, row, newer=not given)
        return self._follow(stage, at, row, self.items.row(stage, at, row, facts))

    def _follow(self, stage: Stage, version: int, row: int, root: Item) -> Node:
        thread = Thread(root)
        if self.direction != "forward":
            Back(self.items, thread, limit=self.limit, depth=self.depth).walk(stage, version, row)
        if self.direction != "back":
            Forward(self.items, thread, limit=self.limit, depth=self.depth).rows(stage, version, [row])
        return thread.node()

    def _holding(self, name: str, version: int, row: int, *, newer: bool) -> tuple[Stage, int, Mapping[str, Any]]:
        """The last stage of the table that shows the row, or that saw it leave."""
        chain = self._chain(name, version)
        if newer:  # rows that a gate holds back stand before it, in a newer version
            own = [s for s in self.places.stages.values() if s.target == name and s.kind not in ("result", "learn")]
            for stage in reversed(own):
                newest = self.places.latest(stage.name)
                if newest is not None and (stage, newest.version) not in chain:
                    chain.append((stage, newest.version))
        for stage, at in chain:
            facts = self.items.state(stage, at, row)
            if facts is not None:
                return stage, at, facts
        raise self._not_there(name, row)

    def _chain(self, name: str, version: int) -> list[tuple[Stage, int]]:
        """The table's own stages that made this version, last to first."""
        out = [(self.places.stages[name], version)]
        while True:
            stage, at = out[-1]
            inner = [s for p, s in stage.inputs.items() if p != VERDICTS and s.startswith(f"{name}/")]
            number = self.places.seen(stage.name, at, inner[0]) if inner else None
            if number is None:
                return out
            out.append((self.places.stages[inner[0]], number))

    def _not_there(self, name: str, row: int) -> InputMissing:
        """Why a row cannot be traced: it went with a version, was erased, or was never there."""
        store, said = self.places.store, f"{row:032x}"
        for stage in reversed([s for s in self.places.stages.values() if s.target == name and s.kind != "result"]):
            every = store.every_chunk(stage.name, ROWS)
            last = 0
            for chunk in holding(store, stage.name, ids([row]), ROWS, every):
                last = max(last, self._last_shown(chunk, row))
            if last and self.places.version(stage.name, last) is not None:
                where = f"tillage trace {name} {said} --version {self._showing(name, stage.name, last)}"
                return InputMissing(f"The row {said} has left table '{name}' since.", fix=f"Run `{where}`.")
        erased = store.catalog.row(
            "SELECT sum(rows), max(created) FROM erasures WHERE stage = ? OR stage LIKE ?", name, f"{name}/%"
        )
        if erased and erased[0]:
            message = f"Table '{name}' neither holds nor ever dropped a row {said}; {erased[0]:,} of its rows were "
            message += f"erased (last on {str(erased[1])[:10]}), and an erased row leaves no thread."
            return InputMissing(message, fix=f"`tillage show {name} --rows 5` prints rows that it has.")
        return InputMissing(
            f"Table '{name}' neither holds nor ever dropped a row {said}.",
            fix=f"`tillage show {name} --rows 5` prints row_ids.",
        )

    def _last_shown(self, chunk: Chunk, row: int) -> int:
        """The last version in which a chunk showed a row; 0 when it never did."""
        store = self.places.store
        if row not in set(store.objects.get_frame(chunk.object, chunk.checksum, [ID])[ID].to_list()):
            return 0
        kept = [v.version for v in store.versions(chunk.stage)]
        alive = [v for v in kept if chunk.added <= v and (chunk.ended is None or v < chunk.ended)]
        return max((v for v in alive if row not in set(store.removed(chunk, v).to_list())), default=0)

    def _showing(self, name: str, stage: str, version: int) -> int:
        """The version of a table that stands on a version of one of its stages."""
        for at in reversed(self.places.store.versions(name)):
            if any(s.name == stage and v == version for s, v in self._chain(name, at.version)):
                return at.version
        return version

    # -- a record ---------------------------------------------------------------------------------------------------

    def record(self, path: str, record: int) -> Node:
        """The thread of a source record."""
        found = self._objects(path)
        root = Item(f"record:{path}#{record}", "record", f"{path} record {record}", {"object": path, "record": record})
        thread, seen = Thread(root), False
        for stage, version, ordinal in found:
            root.facts["sha256"] = self.items.object(stage.name, version, ordinal)[1]
            bad = self._quarantined(stage, version, ordinal, record)
            for facts in bad:
                item = Item(f"{stage.name}@{version}:bad#{record}", "quarantined", f"{stage.name} quarantine", facts)
                thread.forward(root.id, item, CARRIED, "set aside")
            rows = self._rows_of_record(stage, version, ordinal, record)
            seen = seen or bool(rows or bad)
            for row, superseded in rows:
                self._from_record(thread, stage, version, row, superseded=superseded)
        if not seen:
            records = [str(self._records(s, v, o)) for s, v, o in found]
            raise InputMissing(
                f"{path} has no record {record} in any table.",
                fix=f"It was read as {' and '.join(dict.fromkeys(records))} records, counted from 0.",
            )
        return thread.node()

    def _from_record(self, thread: Thread, stage: Stage, version: int, row: int, *, superseded: bool) -> None:
        if self.direction == "back":
            return
        facts = {"state": "superseded", "reason": "another record of the same key wins"} if superseded else None
        item = self.items.row(stage, version, row, facts)
        thread.forward(thread.root, item, CARRIED, self.items.steps(stage))
        if superseded:
            item = self.items.row(stage, version, row)
            item = Item(f"{item.id}/shown", item.kind, item.label, {**item.facts, "by": "another record"})
            thread.forward(self.items.row_id(stage, version, row), item, INFLUENCED, "would take its place")
            return
        depth = None if self.depth is None else self.depth - 1
        if depth is None or depth > 0:
            Forward(self.items, thread, limit=self.limit, depth=depth).rows(stage, version, [row])

    def _objects(self, path: str) -> list[tuple[Stage, int, int]]:
        """(source stage, its version, number of the object) of each table that reads an object."""
        out = []
        names: set[str] = set()
        for stage in self.places.stages.values():
            newest = self.places.latest(stage.name) if stage.kind == "source" else None
            if newest is None:
                continue
            query = "SELECT ordinal, path FROM sources WHERE stage = ? AND ended IS NULL AND path = ?"
            found = self.places.store.catalog.rows(query, stage.name, path)
            out += [(stage, newest.version, int(r[0])) for r in found]
            if not found:
                listed = "SELECT path FROM sources WHERE stage = ? AND ended IS NULL ORDER BY path LIMIT 10000"
                names |= {str(r[0]) for r in self.places.store.catalog.rows(listed, stage.name)}
        if not out:
            known = names | {*self.project.plan.tables, *self.project.plan.models}
            raise (
                UnknownName("table, model or source file", path, known)
                if known
                else InputMissing("Nothing has been run yet.", fix="Run `tillage run`.")
            )
        return out

    def _records(self, stage: Stage, version: int, ordinal: int) -> int:
        counted = 0
        for part in (ROWS, LEFT, QUARANTINE):
            for chunk in self.places.store.chunks_of_origin(stage.name, part, ordinal):
                rows = self.places.read(chunk, version, [OBJECT])
                counted += int((rows[OBJECT] == ordinal).sum())
        return counted

    def _quarantined(self, stage: Stage, version: int, ordinal: int, record: int) -> list[dict[str, Any]]:
        out = []
        columns = [OBJECT, "record", "byte_start", "byte_end", "stage", "reason", "column", "expires"]
        for chunk in self.places.store.chunks_of_origin(stage.name, QUARANTINE, ordinal):
            rows = self.places.read(chunk, version, columns)
            for bad in rows.filter((pl.col(OBJECT) == ordinal) & (pl.col("record") == record)).iter_rows(named=True):
                facts = {"table": stage.target, "state": "quarantined", "reason": bad["reason"], "step": bad["stage"]}
                facts |= {"column": bad["column"]} if bad["column"] else {}
                facts |= {"bytes": [bad["byte_start"], bad["byte_end"]], "expires": str(bad["expires"])}
                out.append(facts)
        return out

    def _rows_of_record(self, stage: Stage, version: int, ordinal: int, record: int) -> list[tuple[int, bool]]:
        """(row, whether another record of its key stands in its place) of a record; nearly always one."""
        store = self.places.store
        moved: dict[int, int] = {}
        for chunk in self.places.chunks(stage.name, PLACES, version):
            if chunk.page == ordinal:
                moved |= dict(self.places.read(chunk, version, [RECORD]).select(ID, RECORD).rows())
        here = pl.col(OBJECT) == ordinal
        out: list[tuple[int, bool]] = []
        for chunk in store.chunks_of_origin(stage.name, LEFT, ordinal):
            rows = self.places.read(chunk, version, [OBJECT, RECORD])
            out += [(row, True) for row in rows.filter(here & (pl.col(RECORD) == record))[ID].to_list()]
        elsewhere = [row for row, at in moved.items() if at == record]
        if elsewhere or out:
            return [(row, False) for row in elsewhere] + out
        for chunk in self._likely(store.chunks_of_origin(stage.name, ROWS, ordinal), version, ordinal, record):
            rows = self.places.read(chunk, version, [OBJECT, RECORD])
            for row in rows.filter(here & (pl.col(RECORD) == record))[ID].to_list():
                if row not in moved:
                    return [(row, False)]
        return []

    def _likely(self, chunks: list[Chunk], version: int, ordinal: int, record: int) -> list[Chunk]:
        """The chunks in the order in which they are worth reading: a first reading lays records down in order."""
        low, high, probed = 0, len(chunks), []
        while low < high:
            middle = (low + high) // 2
            probed.append(chunks[middle])
            rows = self.places.read(chunks[middle], version, [OBJECT, RECORD])
            own = rows.filter(pl.col(OBJECT) == ordinal)[RECORD]
            least, most = own.min(), own.max()
            if not isinstance(least, int) or not isinstance(most, int) or least <= record <= most:
                break
            low, high = (middle + 1, high) if most < record else (low, middle)
        first = list(reversed(probed))
        return first + [c for c in chunks if c not in first]

    # -- a table or a model -----------------------------------------------------------------------------------------

    def version(self, name: str, version: int) -> Node:
        """The thread of a whole version: what it was made from, back to the objects, and what stands on it."""
        root = self.items.table(name, version)
        thread = Thread(root)
        if self.direction != "forward":
            self._made_from(thread, name, version)
        if self.direction != "back":
            newest = self.places.latest(name)
            if newest is not None and newest.version == version:
                Forward(self.items, thread, limit=self.limit, depth=self.depth).version(name, version)
            for service in self.project.plan.services.values():
                if service.model == name:
                    item = Item(f"service:{service.name}", "service", service.name, {"from": service.table})
                    thread.forward(root.id, item, INFLUENCED, "answers with it")
        return thread.node()

    def _made_from(self, thread: Thread, name: str, version: int) -> None:
        waiting = [(name, version, 0)]
        while waiting:
            stage, at, depth = waiting.pop(0)
            if self.depth is not None and depth >= self.depth:
                continue
            waiting += [(s, v, depth + 1) for s, v in self.items.saw(thread, stage, at)]
            self._read_from(thread, stage, at)

    def _read_from(self, thread: Thread, stage: str, version: int) -> None:
        """The objects that a version of a source was read from."""
        alive = "FROM sources WHERE stage = ? AND added <= ? AND (ended IS NULL OR ended > ?)"
        catalog, values = self.places.store.catalog, (stage, version, version)
        total = catalog.row(f"SELECT count(*) {alive}", *values)
        most = -1 if self.limit is None else self.limit
        start = f"{stage}@{version}"
        for row in catalog.rows(f"SELECT path, checksum {alive} ORDER BY path LIMIT ?", *values, most):
            item = Item(f"object:{row[0]}", "object", str(row[0]), {"sha256": row[1]})
            thread.back(start, item, INFLUENCED, "read")
        more = (int(total[0]) if total else 0) - len(thread.of("back", start))
        if most >= 0 and more > 0:
            item = Item(f"{start}:more", "rows", f"{stage} and {more:,} more objects", {"objects": more})
            thread.back(start, item, INFLUENCED, "not named")


def beginning(project: Project, path: str) -> str:
    """A path as the catalog names it: relative to the plan's folder."""
    given = Path(path)
    root = project.plan.root.resolve()
    for candidate in (given, Path.cwd() / given):
        whole = candidate if candidate.is_absolute() else root / candidate
        if whole.exists() and whole.resolve().is_relative_to(root):
            return whole.resolve().relative_to(root).as_posix()
    return given.as_posix()
