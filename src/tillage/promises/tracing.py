"""The thread, pulled from both ends: from a row back to its source records, and forward to tables and models.

Carried edges go by row_id: a step that keeps ids costs nothing to follow, children name their parent, merged rows their
keeper, a Group's key its rows. A result or a model is an influenced edge, to the table version that it saw.
Cost: one chunk a stage and way, 2 to 4 ms a stage; the first trace after a run may have to build the locator of the
stages where rows come in (8 bytes a row). Memory does not grow with the table beyond that.

A beginning is a row, a whole version of a table or a model (here), a source record (`trace_record`), or the answer of a
server (`trace_prediction`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import polars as pl

from tillage.core.errors import InputMissing, UnknownName, UsageError, unknown_name
from tillage.core.rows import ID, ids
from tillage.flow.run import Project
from tillage.flow.stages import Stage
from tillage.promises.closure import source_tables
from tillage.promises.trace_answers import about_row, about_subject, answered, subject_of
from tillage.promises.trace_back import Back
from tillage.promises.trace_forward import Forward
from tillage.promises.trace_graph import INFLUENCED, Edge, Item, Node, Thread
from tillage.promises.trace_items import Items
from tillage.promises.trace_places import VERDICTS, Places
from tillage.promises.trace_record import as_read, from_record
from tillage.store.locate import holding
from tillage.store.tables import ROWS, Chunk

MOST = 200
"""Rows of one stage that are named; the rest are counted."""

Direction: TypeAlias = Literal["back", "forward", "both"]

__all__ = [
    "MOST",
    "Direction",
    "Edge",
    "Item",
    "Node",
    "Thread",
    "row_of_key",
    "trace",
    "trace_prediction",
    "trace_record",
    "trace_subject",
]


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

    `record` counts from 0, as `trace` prints it. Raises UnknownName when no table reads the object, InputMissing when
    it has no such record.
    """
    asked = _Asked(project, direction, depth, limit)
    where = as_read(project, path)
    return from_record(asked.items, where, record, forward=direction != "back", limit=limit, depth=depth).node()


def trace_prediction(
    project: Project,
    prediction: str,
    *,
    direction: Direction = "both",
    depth: int | None = None,
    limit: int | None = MOST,
) -> Node:
    """The thread of a server's answer, by the id that it gave: the version that answered, and the row it was about.

    Back from both: to the data that the version saw, and to the source record of the row, where the request brought
    its key. Raises InputMissing when the store has no such prediction, UsageError for what is no id of this project.
    """
    asked = _Asked(project, direction, depth, limit)
    thread, model, rows = answered(asked.items, prediction)
    if direction != "forward":
        name, version = model
        if asked.places.version(name, version) is not None:
            asked.made_from(thread, name, version, 1)
        for stage, at, row in rows:
            Back(asked.items, thread, limit=limit, depth=None if depth is None else depth - 1).walk(stage, at, row)
    return thread.node()


def trace_subject(project: Project, name: str, subject: str, *, limit: int | None = MOST) -> Node:
    """The answers of a server to requests that named this subject, or that brought the key of one of its rows.

    `name`: a table that declares a subject, or that is made from one. What was collected of the subject is told by
    `estimate`. Raises UnknownName, UsageError where no subject is declared.
    """
    if name not in project.plan.tables:
        raise UnknownName("table", name, project.plan.tables)
    asked = _Asked(project, "forward", None, limit)
    return about_subject(asked.items, name, subject, limit).node()


def row_of_key(project: Project, name: str, values: Sequence[str]) -> int:
    """The row_id of a key, as text: rows keep the id that the collecting table gave them.

    >>> import tempfile, pathlib, tillage
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "a.csv").write_text("id,n\\n1,5\\n2,6\\n")
    >>> _ = (root / "tillage.yaml").write_text("project: p\\ntables: {notes: {collect: {files: '*.csv'}, key: id}}")
    >>> with tillage.project(root) as project:
    ...     _ = project.run()
    ...     node = trace(project, "notes", row_of_key(project, "notes", ["2"]))
    >>> node.facts["values"], [behind.label for behind in node.back]
    ({'id': 2, 'n': 6}, ['a.csv record 1'])
    """
    if name not in project.plan.tables:
        raise UnknownName("table", name, project.plan.tables)
    origins = [t for t in source_tables(project, name) if t.key]
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
            about_row(self.items, thread, row, subject_of(self.items, stage, version, row), self.limit)
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
        own = f"{name}/"
        erased = store.catalog.row(
            "SELECT max(created) FROM erasures WHERE stage = ? OR substr(stage, 1, ?) = ?", name, len(own), own
        )
        if erased and erased[0]:
            message = f"Table '{name}' neither holds nor ever dropped a row {said}; rows of it were erased "
            message += f"(last on {str(erased[0])[:10]}), and an erased row leaves no thread."
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

    # -- a table or a model -----------------------------------------------------------------------------------------

    def version(self, name: str, version: int) -> Node:
        """The thread of a whole version: what it was made from, back to the objects, and what stands on it."""
        root = self.items.table(name, version)
        thread = Thread(root)
        if self.direction != "forward":
            self.made_from(thread, name, version)
        if self.direction != "back":
            newest = self.places.latest(name)
            if newest is not None and newest.version == version:
                Forward(self.items, thread, limit=self.limit, depth=self.depth).version(name, version)
            for service in self.project.plan.services.values():
                if service.model == name:
                    item = Item(f"service:{service.name}", "service", service.name, {"from": service.table})
                    thread.forward(root.id, item, INFLUENCED, "answers with it")
        return thread.node()

    def made_from(self, thread: Thread, name: str, version: int, depth: int = 0) -> None:
        """Note what a version was made from, back to the objects; `depth`: edges that were followed to it."""
        waiting = [(name, version, depth)]
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
