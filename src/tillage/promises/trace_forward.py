"""Forward: from rows of a stage to what was made of them, and to all that would not be the same without them.

Carried rows are followed by id. Beside them a stage is *shaken* when rows other than the carried ones may differ
there: a Group's row has another value, a Whole decides otherwise, a fitted Map was learnt from the row. What stands on
a shaken stage is named by version. Carried and shaken together are the forward set that law 4 speaks of. Stages are
passed once each, first to last, with all rows that the walk has there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import polars as pl

from tillage.core.rows import ID, PARENT, REASON, ids, only, without
from tillage.flow.stages import SIDE, Stage
from tillage.promises.trace_graph import CARRIED, INFLUENCED, EdgeKind, Item, Thread
from tillage.promises.trace_items import Items, departures
from tillage.promises.trace_places import CHUNK, VERDICTS, follows_changes, joined, makes_children, pairs, those
from tillage.promises.trace_steps import keys_of, otherwise, outputs
from tillage.store.tables import LEFT, ROWS

Front = dict[int, tuple[int, int]]
"""Row to (its chunk, edges from the start), in the version of its stage that the walk looks at."""


class Forward:
    """One walk forward; `limit` rows of a stage are named, the rest counted; `depth` edges are followed (None: all)."""

    def __init__(self, items: Items, thread: Thread, *, limit: int | None, depth: int | None) -> None:
        self.items, self.places, self.thread = items, items.places, thread
        self.limit, self.depth = limit, depth
        self.front: dict[str, Front] = {}
        self.at: dict[str, int] = {}
        """The version that the walk looks at: of the start the one asked for, else the newest."""
        self.values: dict[str, pl.DataFrame] = {}
        """The rows of the walk by stage, whole where what comes next asks for it."""
        self.shaken: dict[str, int] = {}
        """Stage to the least number of edges by which it is shaken."""

    def rows(self, stage: Stage, version: int, rows: Iterable[int]) -> None:
        """Follow rows of a stage to their end."""
        self.at[stage.name] = version
        found = self.places.find(stage, version, rows, ROWS, None)
        self.values[stage.name] = found
        self.front[stage.name] = {row: (chunk, 0) for row, chunk in pairs(found)}
        left = found.clear()
        if stage.kind in ("source", "whole"):
            left = self.places.find(stage, version, rows, LEFT, None)
        for row, facts in departures(left).items():
            if row in self.front[stage.name]:  # another record of the same key waits, and would take the row's place
                self._edge(stage, row, self.items.table(stage.name, version), INFLUENCED, "another record would show")
                self._shake(stage.name, 0)
            elif "into" in facts:
                self._merged(stage, row, facts)
        self._walk(stage.name)

    def version(self, stage: str, version: int) -> None:
        """Follow a whole version of a stage."""
        self.at[stage] = version
        self.shaken[stage] = 0
        self._walk(stage)

    def _walk(self, start: str) -> None:
        names = list(self.places.stages)
        for name in names[names.index(start) :]:
            if name in self.front or name in self.shaken:
                stage = self.places.stages[name]
                for reader in self.places.readers.get(name, []):
                    self._into(reader, stage)
                for user in self.places.users.get(name, []):
                    self._shaken_by(stage, user, "with what it learnt")

    def _near(self, depth: int) -> bool:
        return self.depth is None or depth < self.depth

    # -- into one reader --------------------------------------------------------------------------------------------

    def _into(self, reader: Stage, stage: Stage) -> None:
        newest = self.places.latest(reader.name)
        if newest is None:
            return
        if reader.inputs.get(VERDICTS) == stage.name:
            if self._near(self.shaken.get(stage.name, 0)):  # a check that fails holds all rows back, and changes none
                item = self.items.table(reader.name, newest.version)
                self.thread.forward(f"{stage.name}@{self.at[stage.name]}", item, INFLUENCED, "lets it pass")
            return
        if stage.name in self.shaken:
            self._shaken_by(stage, reader, "saw" if reader.kind in ("result", "learn") else "made from")
        front = {r: at for r, at in self.front.get(stage.name, {}).items() if self._near(at[1])}
        seen = newest.inputs.get(stage.name)
        if seen != self.at[stage.name] and front:
            front = self._as_seen(reader, newest.version, stage, seen, front)
        if not front:
            return
        self.at[reader.name] = newest.version
        if reader.kind in ("result", "learn"):
            self._learnt(reader, stage, front)
        elif reader.kind == "group":
            self._grouped(reader, stage, front)
        elif reader.kind == "whole" and not follows_changes(reader):
            self._computed(reader, stage, front)
        else:
            self._kept(reader, stage, front)

    def _as_seen(self, reader: Stage, version: int, stage: Stage, seen: int | None, front: Front) -> Front:
        """The rows in the version that a reader saw, which is another than the one looked at; it says so itself."""
        item = self.items.table(reader.name, version)
        facts = {**item.facts, "state": "behind", "saw": f"{stage.name} version {seen} of {self.at[stage.name]}"}
        if reader.kind == "gate" and (failing := self.items.failing(reader)):
            facts |= {"state": "held back", "failing": failing}
            self._shake(reader.name, 1 + min(d for _, d in front.values()))
        for row in front:
            self._edge(stage, row, replace(item, facts=facts), INFLUENCED, "not yet there")
        if seen is None or self.places.version(stage.name, seen) is None:
            return {}
        found = self.places.find(stage, seen, front)
        return {row: (chunk, front[row][1]) for row, chunk in pairs(found)}

    def _seen(self, reader: Stage, stage: Stage) -> int:
        """The version of a stage that its reader was made from."""
        newest = self.places.latest(reader.name)
        return newest.inputs[stage.name] if newest is not None else 0

    def _edge(self, stage: Stage, row: int, item: Item, kind: EdgeKind, how: str) -> None:
        self.thread.forward(self.items.row_id(stage, self.at[stage.name], row), item, kind, how)

    def _carry(
        self,
        stage: Stage,
        row: int,
        reader: Stage,
        made: int,
        chunk: int | None,
        how: str,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """One carried edge to a row of a later stage; `chunk` None: it left there."""
        version, depth = self.at[reader.name], self.front[stage.name][row][1] + 1
        front = self.front.setdefault(reader.name, {})
        if self.limit is not None and made not in front and len(front) >= self.limit:
            self._count(stage, row, reader, 1)
            return
        self._edge(stage, row, self.items.row(reader, version, made, facts), CARRIED, how)
        if chunk is not None and made not in front:
            front[made] = (chunk, depth)

    def _count(self, stage: Stage, row: int, reader: Stage, more: int) -> None:
        identity = f"{reader.name}@{self.at[reader.name]}:more:{self.items.row_id(stage, self.at[stage.name], row)}"
        before = self.thread.items.get(identity)
        number = more + (int(before.facts["rows"]) if before else 0)
        item = Item(identity, "rows", f"{reader.name} and {number:,} more row{'s' * (number != 1)}", {"rows": number})
        self.thread.items[identity] = item
        self._edge(stage, row, item, CARRIED, "not named")
        self._edge(stage, row, self.items.table(reader.name, self.at[reader.name]), INFLUENCED, "with rows not named")
        self._shake(reader.name, self.front[stage.name][row][1] + 1)

    # -- kinds of stage ---------------------------------------------------------------------------------------------

    def _kept(self, reader: Stage, stage: Stage, front: Front) -> None:
        """Maps, gates, and Wholes that only take rows out: rows keep their ids, and chunks name theirs."""
        version, how = self.at[reader.name], self.items.steps(reader)
        chunks = sorted({chunk for chunk, _ in front.values()})
        if makes_children(reader):
            left = self._own(self.places.all_made_from(reader, version, LEFT, chunks), front)
            shown = self._own(self.places.all_made_from(reader, version, ROWS, chunks), front)
        elif reader.kind == "map":
            left = self.places.made_from(reader, version, LEFT, chunks, front, None)
            staying = sorted(set(front) - set(left[ID].to_list()))
            columns = None if self._asked_for_values(reader) else ()
            shown = self.places.made_from(reader, version, ROWS, chunks, staying, columns) if staying else left.clear()
        else:
            left = self.places.find(reader, version, front, LEFT, None)
            shown = self._passed(reader, version, stage, front)
        came = self._origins([shown, left], front)
        for row, chunk in pairs(shown):
            self._carry(stage, came[row], reader, row, chunk, how if row == came[row] else f"child by {how}")
        gone = departures(left)
        for row, facts in gone.items():
            if row in came:
                own = {**facts, "table": reader.target}
                self._carry(stage, came[row], reader, row, None, how if row == came[row] else f"child by {how}", own)
        self.values[reader.name] = shown
        if follows_changes(reader):
            self._decided(reader, stage, front, gone)

    def _passed(self, reader: Stage, version: int, stage: Stage, front: Front) -> pl.DataFrame:
        """The rows that a stage shows of chunks that it took over as they were: nothing is read that was read."""
        found = []
        rows = self._values(stage, self._seen(reader, stage), front)
        objects = {c: self.places.store.chunk(c).object for c in {chunk for chunk, _ in front.values()}}
        for chunk in self.places.store.chunks_from(reader.name, ROWS, objects, self.places.at(reader.name, version)):
            if chunk.source is not None and chunk.object == objects[chunk.source]:
                gone = set(self.places.store.removed(chunk, version).to_list())
                own = those(rows, {row for row, source in pairs(rows) if source == chunk.source and row not in gone})
                place = pl.Series(CHUNK, [chunk.id] * own.height, dtype=pl.Int64)
                found.append(own.clone().replace_column(own.columns.index(CHUNK), place))
            else:  # rows that came back, or that compaction moved
                found.append(self.places.pick(chunk, version, list(front), None))
        return joined(found)

    def _asked_for_values(self, stage: Stage) -> bool:
        """Whether a stage that the rows go to next computes a key from them."""
        for reader in self.places.readers.get(stage.name, []):
            if reader.kind in ("whole", "group", "learn") or (reader.kind == "gate" and self._asked_for_values(reader)):
                return True
        return False

    def _values(self, stage: Stage, version: int, front: Front) -> pl.DataFrame:
        """The rows of the walk as a stage shows them, whole, with `_chunk`."""
        held = self.values.get(stage.name)
        if held is not None and version == self.at[stage.name] and held.width > len((ID, CHUNK)):
            rows = those(held, front)
            if rows.height == len(front):
                return rows
        return self.places.find(stage, version, front, ROWS, None)

    def _own(self, rows: pl.DataFrame, front: Front) -> pl.DataFrame:
        """Those rows of some chunks that the walk has, and those made of them."""
        found = ids(front)
        if PARENT not in rows.columns:
            return only(rows, found)
        while True:
            more = without(rows.filter(pl.col(PARENT).is_in(found.implode())), found)
            if more.is_empty():
                return only(rows, found)
            found = pl.concat([found, more[ID]])

    def _origins(self, frames: list[pl.DataFrame], front: Front) -> dict[int, int]:
        """Each row with the row of the walk that it was made from: itself, or an ancestor."""
        parents: dict[int, int] = {}
        for frame in frames:
            if PARENT in frame.columns:
                parents |= dict(frame.filter(pl.col(PARENT).is_not_null()).select(ID, PARENT).rows())
        out = {row: row for row in front}
        for row in parents:
            origin = row
            while origin not in front and origin in parents:
                origin = parents[origin]
            if origin in front:
                out[row] = origin
        return out

    def _decided(self, reader: Stage, stage: Stage, front: Front, gone: dict[int, dict[str, Any]]) -> None:
        """Rows that a Whole would decide otherwise without these, and the keepers that took these in."""
        version = self.at[reader.name]
        for row, facts in gone.items():
            if "into" in facts and self._near(front[row][1] + 1):
                self._merged(reader, row, facts)
        seen = self._seen(reader, stage)
        rows = self._values(stage, seen, front)
        changed = otherwise(self.places, reader, rows)
        if changed.is_empty():
            return
        nearest = min(depth for _, depth in front.values())
        self._shake(reader.name, nearest + 1)
        first = next(iter(front))
        version_item = self.items.table(reader.name, version)
        for row in front:
            self._edge(stage, row, version_item, INFLUENCED, f"{self.items.steps(reader)} decides by it")
        for row, reason in changed.sort(ID).head(self.limit or changed.height).select(ID, REASON).rows():
            fate = "would stay" if reason is None else f"would leave: {reason}"
            item = self.items.row(reader, version, row, self.items.state(reader, version, row) or {})
            item.facts.pop("values", None)
            self._edge(stage, first, item, INFLUENCED, f"without it {fate}")

    def _merged(self, stage: Stage, row: int, facts: dict[str, Any]) -> None:
        """The keeper of a row that was merged; it would be the same without it, so its thread is its own."""
        version = self.at[stage.name]
        keeper = self.items.row(stage, version, int(str(facts["into"]), 16))
        self.thread.forward(self.items.row_id(stage, version, row), keeper, CARRIED, "merged into")

    def _computed(self, reader: Stage, stage: Stage, front: Front) -> None:
        """A Whole that computes anew: rows may keep their ids, and all the others have seen them."""
        version, how = self.at[reader.name], self.items.steps(reader)
        for row, chunk in pairs(self.places.find(reader, version, front)):
            self._carry(stage, row, reader, row, chunk, how)
        left = self.places.find(reader, version, front, LEFT, None)
        for row, facts in departures(left).items():
            self._carry(stage, row, reader, row, None, how, {**facts, "table": reader.target})
        for row in front:
            self._edge(stage, row, self.items.table(reader.name, version), INFLUENCED, f"{how}, of all rows")
        self._shake(reader.name, 1 + min(depth for _, depth in front.values()))

    def _grouped(self, reader: Stage, stage: Stage, front: Front) -> None:
        """A Group: the rows of the key; without these they would be others, so what stands on them is shaken."""
        version, how = self.at[reader.name], self.items.steps(reader)
        seen = self._seen(reader, stage)
        for port, source in reader.inputs.items():
            if source != stage.name:
                continue
            rows = self._values(stage, seen, front)
            keys = keys_of(reader, port, rows).to_list()
            named: dict[int, tuple[list[tuple[int, int]], int]] = {}
            for row, key in zip(rows[ID].to_list(), keys, strict=True):
                if key not in named:
                    named[key] = outputs(self.places, reader, version, key, self.limit)
                made, total = named[key]
                for new, chunk in made:
                    self._carry(stage, row, reader, new, chunk, how)
                if total > len(made):
                    self._count(stage, row, reader, total - len(made))
                item = self.items.table(reader.name, version)
                self._edge(stage, row, item, INFLUENCED, f"{how} of its key")
        self._shake(reader.name, 1 + min(depth for _, depth in front.values()))

    def _learnt(self, reader: Stage, stage: Stage, front: Front) -> None:
        """A result or a model: the version that saw the row among others."""
        item = self.items.table(reader.name, self.at[reader.name])
        sides: dict[int, str] = {}
        if reader.kind == "learn":
            seen = self._seen(reader, stage)
            rows = self._values(stage, seen, front)
            sides = {row: f"{side} side" for row, side in zip(rows[ID].to_list(), rows[SIDE].to_list(), strict=True)}
        for row, (_, depth) in front.items():
            self._edge(stage, row, item, INFLUENCED, sides.get(row, "saw"))
            self._shake(reader.name, depth + 1)

    # -- by version -------------------------------------------------------------------------------------------------

    def _shake(self, name: str, depth: int) -> None:
        self.shaken[name] = min(self.shaken.get(name, depth), depth)
        newest = self.places.latest(name)
        if name not in self.at and newest is not None:
            self.at[name] = newest.version

    def _shaken_by(self, stage: Stage, reader: Stage, how: str) -> None:
        """What stands on a shaken stage is shaken."""
        newest = self.places.latest(reader.name)
        depth = self.shaken.get(stage.name, 0)
        if newest is None or stage.name not in self.shaken or not self._near(depth):
            return
        start = f"{stage.name}@{self.at[stage.name]}"
        self.thread.items.setdefault(start, self.items.table(stage.name, self.at[stage.name]))
        self.thread.forward(start, self.items.table(reader.name, newest.version), INFLUENCED, how)
        self._shake(reader.name, depth + 1)
