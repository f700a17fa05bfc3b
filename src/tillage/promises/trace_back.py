"""Back: from rows of a stage to the rows, and the records of the source, that they were made from.

Stages are passed once each, last to first, with all rows that the walk has there, so its cost grows with the stages
and the rows named, not with the ways between them. What a result contributed is named by version: rows stop there.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from tillage.core.rows import ID, INTO, MERGED, PARENT, REASON
from tillage.flow.source import OBJECT, RECORD
from tillage.flow.stages import Stage
from tillage.promises.trace_graph import CARRIED, INFLUENCED, Item, Thread
from tillage.promises.trace_items import Items
from tillage.promises.trace_places import VERDICTS, follows_changes, makes_children, rows_in
from tillage.promises.trace_steps import beside, members, merged_into
from tillage.store.index import KEY
from tillage.store.tables import LEFT, ROWS

Front = dict[tuple[str, int], dict[int, int]]
"""(stage, version) to the rows that the walk has there, each with how many edges it is from the start."""


class Back:
    """One walk back; `limit` rows of a stage are named, the rest counted; `depth` edges are followed (None: all)."""

    def __init__(self, items: Items, thread: Thread, *, limit: int | None, depth: int | None) -> None:
        self.items, self.places, self.thread = items, items.places, thread
        self.limit, self.depth = limit, depth
        self.front: Front = {}
        self.extra: dict[tuple[str, int], list[int]] = {}
        """Rows of a stage beyond the limit, by the stage that they were to be named in."""

    def walk(self, stage: Stage, version: int, row: int) -> None:
        """Follow one row to its end."""
        self.front[stage.name, version] = {row: 0}
        for name in reversed(list(self.places.stages)):
            for at in sorted(v for s, v in self.front if s == name):
                rows = {r: d for r, d in self.front[name, at].items() if self.depth is None or d < self.depth}
                if rows:
                    self._from(self.places.stages[name], at, rows)

    def _from(self, stage: Stage, version: int, rows: dict[int, int]) -> None:
        if stage.kind == "source":
            self._records(stage, version, rows)
        elif stage.kind == "group":
            self._members(stage, version, rows)
        elif stage.kind == "map":
            self._mapped(stage, version, rows)
        elif stage.kind == "gate":
            self._same(stage, version, rows, "passed")
        else:
            self._across(stage, version, rows)
        for row, depth in rows.items():
            self._results(stage, version, row, depth)

    def _step(self, stage: Stage, version: int, row: int, source: str, origin: int, how: str, depth: int) -> None:
        """One carried edge from a row of a stage to a row of a stage before it."""
        number = self.places.seen(stage.name, version, source)
        if number is None:
            return
        front = self.front.setdefault((source, number), {})
        if origin not in front and self.limit is not None and len(front) >= self.limit:
            start = self.items.row_id(stage, version, row)
            self._count(start, source, number, 1)
            return
        front[origin] = min(front.get(origin, depth + 1), depth + 1)
        item = self.items.row(self.places.stages[source], number, origin)
        self.thread.back(self.items.row_id(stage, version, row), item, CARRIED, how)

    def _count(self, start: str, source: str, version: int, more: int, what: str = "more rows") -> None:
        """Rows that are only counted, one node for each row that they were to lead to."""
        identity = f"{source}@{version}:more:{start}"
        before = self.thread.items.get(identity)
        number = more + (int(before.facts["rows"]) if before else 0)
        noun = what if number != 1 else what.replace("rows", "row")
        self.thread.items[identity] = Item(identity, "rows", f"{source} and {number:,} {noun}", {"rows": number})
        self.thread.back(start, self.thread.items[identity], CARRIED, "not named")

    # -- row by row -------------------------------------------------------------------------------------------------

    def _same(self, stage: Stage, version: int, rows: dict[int, int], how: str) -> None:
        for source in rows_in(stage):
            for row, depth in rows.items():
                self._step(stage, version, row, source, row, how, depth)

    def _mapped(self, stage: Stage, version: int, rows: dict[int, int]) -> None:
        how = self.items.steps(stage)
        parents = self._parents(stage, version, rows) if makes_children(stage) else {r: r for r in rows}
        sources = rows_in(stage)
        for source in sources:
            number = self.places.seen(stage.name, version, source)
            if number is None:
                continue
            before = self.places.stages[source]
            here = None  # one input: what came out came in
            if len(sources) > 1:
                here = set(self.places.find(before, number, sorted(set(parents.values())))[ID].to_list())
            for row, depth in rows.items():
                if here is None or parents[row] in here:
                    made = how if parents[row] == row else f"child by {how}"
                    self._step(stage, version, row, source, parents[row], made, depth)

    def _parents(self, stage: Stage, version: int, rows: Iterable[int]) -> dict[int, int]:
        """Each row with the row that came into the stage and that it was made from: itself, or an ancestor."""
        origin = {row: row for row in rows}
        waiting = set(origin)
        while waiting:
            came = set()
            for source in rows_in(stage):
                number = self.places.seen(stage.name, version, source)
                if number is not None:
                    came |= set(self.places.find(self.places.stages[source], number, sorted(waiting))[ID].to_list())
            parent: dict[int, int] = {}
            for part in (ROWS, LEFT):
                frame = self.places.find(stage, version, sorted(waiting - came), part, None)
                if PARENT in frame.columns:
                    parent |= dict(frame.filter(pl.col(PARENT).is_not_null()).select(ID, PARENT).rows())
            origin = {row: parent.get(o, o) if o in waiting else o for row, o in origin.items()}
            waiting = set(parent.values())
        return origin

    def _records(self, stage: Stage, version: int, rows: dict[int, int]) -> None:
        for part, columns in ((ROWS, [OBJECT, RECORD]), (LEFT, None)):
            found = self.places.find(stage, version, rows, part, columns)
            if found.is_empty():
                continue
            for row, ordinal, record in found.select(ID, OBJECT, RECORD).rows():
                place = self.items.place(stage, version, ordinal, row, record) if part == ROWS else record
                item = self.items.record(stage, version, ordinal, place, superseded=part == LEFT)
                self.thread.back(self.items.row_id(stage, version, row), item, CARRIED, self.items.steps(stage))

    # -- across rows ------------------------------------------------------------------------------------------------

    def _members(self, stage: Stage, version: int, rows: dict[int, int]) -> None:
        keyed = self.places.find(stage, version, rows, ROWS, [KEY])
        found = members(self.places, stage, keyed[KEY].to_list(), self.limit)
        how = self.items.steps(stage)
        for row, key in keyed.select(ID, KEY).rows():
            group = found.get(key)
            if group is None:
                continue
            for member, port in group.named:
                self._step(stage, version, row, stage.inputs[port], member, how, rows[row])
            if more := group.total - len(group.named):
                source = stage.inputs[group.named[0][1]]
                self._count(self.items.row_id(stage, version, row), source, version, more, "more rows of this key")

    def _across(self, stage: Stage, version: int, rows: dict[int, int]) -> None:
        how = self.items.steps(stage)
        if not follows_changes(stage):
            for source in rows_in(stage):
                number = self.places.seen(stage.name, version, source)
                if number is None:
                    continue
                here = self.places.find(self.places.stages[source], number, rows)[ID].to_list()
                for row in here:
                    self._step(stage, version, row, source, row, how, rows[row])
                for row in rows:
                    table = self.items.table(source, number)
                    self.thread.back(self.items.row_id(stage, version, row), table, INFLUENCED, f"{how}, of all rows")
            return
        self._same(stage, version, rows, how)
        for keeper, copies in merged_into(self.places, stage, version, rows).items():
            for copy in copies:
                for source in rows_in(stage):
                    self._step(stage, version, keeper, source, copy, "merged into it", rows[keeper])
        self._because(stage, version, rows)

    def _because(self, stage: Stage, version: int, rows: dict[int, int]) -> None:
        """Rows that a Whole took out without merging them: which others it compared them with (as for a leak)."""
        newest = self.places.latest(stage.name)
        if newest is None or newest.version != version:
            return
        left = self.places.find(stage, version, rows, LEFT, None)
        if left.is_empty():
            return
        keeper = pl.col(INTO).is_null() if INTO in left.columns else pl.lit(value=True)
        for row, reason in left.filter((pl.col(REASON) != MERGED) & keeper).select(ID, REASON).rows():
            for source in rows_in(stage):
                number = self.places.seen(stage.name, version, source)
                if number is None:
                    continue
                own = self.places.find(self.places.stages[source], number, [row], ROWS, None)
                others = beside(self.places, stage, own) if own.height else pl.Series(ID, [], dtype=pl.UInt128)
                kept = self.places.find(stage, version, others.head(self.limit or len(others)).to_list())[ID]
                for other in kept.to_list():
                    item = self.items.row(stage, version, other)
                    self.thread.back(self.items.row_id(stage, version, row), item, INFLUENCED, f"{reason}: like it")

    # -- by version -------------------------------------------------------------------------------------------------

    def _results(self, stage: Stage, version: int, row: int, depth: int) -> None:
        """The fitted Maps that a stage used, and the verdicts that it waited for, with the table that each saw."""
        used = sorted(stage.pinned())
        if stage.kind == "gate":
            used.append(stage.inputs[VERDICTS])
        for name in used:
            number = self.places.seen(stage.name, version, name)
            newest = self.places.latest(name)
            number = number if number is not None else newest.version if newest is not None else None
            if number is None:
                continue
            item = self.items.table(name, number)
            how = "checked by" if stage.kind == "gate" else "with what it learnt"
            self.thread.back(self.items.row_id(stage, version, row), item, INFLUENCED, how)
            if self.depth is None or depth + 1 < self.depth:
                self.items.saw(self.thread, name, number)
