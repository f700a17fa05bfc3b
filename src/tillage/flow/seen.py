"""Who saw the rows that are to be forgotten: which chunks hold them, which versions showed them, what must go.

Where a stage's chunks say from which chunk of the input they were made, only those made from a chunk that holds such
rows are opened; elsewhere the locator says where to look. Memory: the row_ids that are to go.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from tillage.core.rows import ID, distinct, ids, only, without
from tillage.flow.children import down, family, made_by_other_plans
from tillage.flow.results import STATES
from tillage.flow.stages import Stage
from tillage.store.index import KEY
from tillage.store.locate import holding
from tillage.store.objects import FEW
from tillage.store.purge import QUARANTINE, Doomed
from tillage.store.tables import LEFT, ROWS, Chunk, Store, unpack

PLACES = "places"
_BYTES = ("result", "learn")


@dataclass(frozen=True)
class Hit:
    """A chunk and the row_ids in its object that are to go."""

    chunk: Chunk
    ids: pl.Series


class Held:
    """Which of the rows that go each object holds: objects never change, so in one erasure each is asked once."""

    def __init__(self, store: Store, gone: pl.Series, past: pl.Series) -> None:
        self.store, self.gone, self.past = store, gone, past
        self._found: dict[str, tuple[pl.Series, pl.Series]] = {}

    def of(self, chunk: Chunk) -> tuple[pl.Series, pl.Series]:
        """The row_ids in a chunk's object that leave every version, and those whose earlier states leave."""
        found = self._found.get(chunk.object)
        if found is None:
            few = len(self.gone) + len(self.past) <= FEW
            here = self.store.objects.get_frame(chunk.object, chunk.checksum, [ID], keep=few)
            found = _among(here, self.gone), _among(here, self.past)
            self._found[chunk.object] = found
        return found


class Seen:
    """The rows that go, wherever the store holds them.

    `gone`: row_ids that leave every version; `past`: row_ids whose earlier states leave, while the newest one stays.
    `current`: the stages whose newest version counts as the newest state of a row. `held`: what is known already.
    """

    def __init__(
        self,
        store: Store,
        stages: Mapping[str, Stage],
        gone: pl.Series,
        past: pl.Series,
        current: Collection[str],
        held: Held | None = None,
    ) -> None:
        self.store, self.stages, self.current = store, stages, set(current)
        self.standing: Collection[str] = self.current
        """Of the stages in `current`, those that stand without these rows by now: a newest version is looked at as
        the newest state of a row where it is theirs."""
        self.gone, self.past = gone, past
        self.held = held or Held(store, gone, past)
        self.versions = store.made_from()
        self.inputs = {name: {i for _, inputs in own for i in inputs} for name, own in self.versions.items()}
        self.order = _sorted(self.inputs, list(stages))
        self.hits: dict[str, list[Hit]] = {}
        self.influenced: set[str] = set()
        """Stages whose other rows may say something of the rows that go: they keep their newest version alone."""
        self.changed: set[str] = set()
        """Fitted steps that learnt otherwise without these rows."""
        self.regrouped: set[str] = set()
        """Stages that showed rows which a Group had made of these rows and others, and stages made of those."""
        self._found: dict[str, pl.Series] = {}
        self._ends: dict[int, float] = {}
        self._state = (-1, -1)
        self._kin: pl.DataFrame | None = None

    def _wanted(self) -> pl.Series:
        return pl.concat([self.gone, self.past]) if len(self.past) else self.gone

    def look(self, stage: str) -> list[Hit]:
        """The chunks of a stage's rows that hold rows to go; its inputs must have been looked at before."""
        if stage not in self.hits:
            self.hits[stage] = list(self._hits(self._candidates(stage)))
        return self.hits[stage]

    def look_everywhere(self) -> None:
        """Look at every stage of the store, in order."""
        for name in self.order:
            self.look(name)

    def shows(self, stage: str, version: int) -> bool:
        """Whether a version of a stage's rows showed any of them, or anything that they had an influence on."""
        if stage in self.influenced:
            return True
        known = self.stages.get(stage)
        if known is not None and known.place:  # a result that expectations are judged by shows what it saw
            return any(number == version and self.saw(inputs) for number, inputs in self.versions.get(stage, ()))
        return any(hit.chunk.added <= version < self._end_of(hit) for hit in self.look(stage))

    def _end_of(self, hit: Hit) -> float:
        """The version from which on a chunk shows none of its rows to go; asked once for all versions."""
        if (state := self.store.catalog.state()) != self._state:  # a stage stands anew: its chunks lost more
            self._ends, self._state = {}, state
        end = self._ends.get(hit.chunk.id)
        if end is None:
            end = math.inf if hit.chunk.ended is None else hit.chunk.ended
            left = hit.ids.to_frame(ID)
            for version, gone in self.store.removal_lists(hit.chunk):
                left = without(left, unpack(gone))
                if left.is_empty():
                    end = min(end, version)
                    break
            self._ends[hit.chunk.id] = end
        return end

    def saw(self, inputs: Mapping[str, int]) -> bool:
        """Whether any of the versions that a version was made from showed them."""
        return any(self.shows(source, number) for source, number in inputs.items())

    def of(self, stage: str, chunk: Chunk) -> pl.Series:
        """The rows to go of one chunk."""
        return next((hit.ids for hit in self.look(stage) if hit.chunk.id == chunk.id), ids())

    def _candidates(self, stage: str) -> list[Chunk]:
        wanted = self._wanted()
        if wanted.is_empty():
            return []
        inputs = self.inputs.get(stage, set())
        far = self.store.made_of_unknown(stage, ROWS, inputs) if inputs else None
        if far is None or None in far.values():
            return holding(self.store, stage, wanted, ROWS)
        held = {hit.chunk.id for source in inputs for hit in self.look(source)}
        return list(self.store.numbered([*far, *self.store.made_of(stage, ROWS, held)]).values())

    def _hits(self, chunks: Iterable[Chunk]) -> Iterable[Hit]:
        for chunk in chunks:
            if chunk.object not in self._found:
                self._found[chunk.object] = self.doomed(chunk)
            if len(self._found[chunk.object]):
                yield Hit(chunk, self._found[chunk.object])

    def doomed(self, chunk: Chunk) -> pl.Series:
        """The row_ids of a chunk's object that go: from all versions, or since the newest state stands elsewhere."""
        going, earlier = self.held.of(chunk)
        return distinct([going, self.not_shown(chunk.object, earlier)]) if len(earlier) else going

    def not_shown(self, name: str, wanted: pl.Series) -> pl.Series:
        """Those of `wanted` that no newest version shows from this object."""
        if wanted.is_empty():
            return wanted
        shown = []
        for row in self.store.catalog.rows("SELECT id FROM chunks WHERE object = ? AND ended IS NULL", name):
            chunk = self.store.chunk(int(row[0]))
            if chunk.stage in self.standing:
                frame = wanted.unique().to_frame(ID)
                shown.append(frame.join(self.store.removed(chunk).to_frame(ID), on=ID, how="anti")[ID])
        if not shown:
            return wanted
        return wanted.to_frame(ID).join(pl.concat(shown).unique().to_frame(ID), on=ID, how="anti")[ID]

    # -- what goes ----------------------------------------------------------------------------------------------------

    def influence(self, name: str) -> bool:
        """Note whether other rows of a stage may say something of the rows that go; its inputs were asked before."""
        stage = self.stages.get(name)
        under = bool(self.influenced & self.inputs.get(name, set()))
        if stage is not None:
            under = under or bool(stage.pinned() & self.changed)
        whole = stage is not None and stage.kind == "whole" and not getattr(stage.step, "incremental", False)
        if whole or self._made_of_many(name) or self._made_otherwise(name):
            under = under or any(self.saw(inputs) for _, inputs in self.versions.get(name, ()))
        if under:
            self.influenced.add(name)
        if name in self.regrouped or self.regrouped & self.inputs.get(name, set()):
            self.regrouped.add(name)
        return under

    def doom(self, before: Mapping[str, int]) -> Doomed:
        """Everything that a purge must take away, once the stages in `current` stand without these rows.

        `before`: the version that each stage had when the erasure began; later ones never saw the rows.
        """
        out = Doomed(ids=self.gone)
        wanted: dict[str, tuple[Chunk, list[pl.Series]]] = {}
        for name in self.order:
            stage = self.stages.get(name)
            if name in self.current and stage is not None and stage.kind == "group":
                self.regroup(name)
            for hit in self.look(name):
                wanted.setdefault(hit.chunk.object, (hit.chunk, []))[1].append(hit.ids)
            for chunk, going in self._beside(name):
                wanted.setdefault(chunk.object, (chunk, []))[1].append(going)
            if self.influence(name):
                self._end(name, before, out)
                for chunk, going in self._hidden(name):
                    wanted.setdefault(chunk.object, (chunk, []))[1].append(going)
            self._results(name, before, out)
        dropped = set(out.chunks)
        out.objects = {
            name: (chunk, distinct(asked))
            for name, (chunk, asked) in wanted.items()
            if chunk.id not in dropped or self._others(name, dropped)
        }
        return out

    def _others(self, name: str, dropped: set[int]) -> bool:
        found = self.store.catalog.rows("SELECT id FROM chunks WHERE object = ?", name)
        return any(int(r[0]) not in dropped for r in found)

    def _made_of_many(self, name: str) -> bool:
        """Rows of a stage that no plan knows any more, and that do not say which rows they were made of."""
        if name in self.current or not self.inputs.get(name):
            return False
        return any(c.source is None for c in self.store.every_chunk(name, ROWS))

    def _made_otherwise(self, name: str) -> bool:
        """Versions by an earlier plan, or by none that is known, in which a row may say something of another.

        A stage of this name then looked across rows, or passed them through a fitted step that is no longer there.
        """
        stage = self.stages.get(name)
        if not self.inputs.get(name) or (stage is not None and stage.kind in _BYTES):
            return False
        alive = name in self.current and stage is not None
        if alive and stage is not None and not made_by_other_plans(self.store, stage):
            return False
        if alive and stage is not None and self._looked_across(name, stage):
            return True
        target = name.partition("/")[0]
        passed = [n for n in self.versions if n.startswith(f"{target}/") and self._is_fitted(n)]
        passed = [n for n in passed if n not in self.stages or not alive or n in self.changed]
        return any(self.saw(inputs) for n in passed for _, inputs in self.versions[n])

    def _looked_across(self, name: str, stage: Stage) -> bool:
        """Whether earlier rows of a stage were made of many by another kind of step than the one that it has now."""
        made = [c for c in self.store.every_chunk(name, ROWS) if c.source is None]
        if stage.kind == "group":
            return not all(self._has_keys(c) for c in made)
        return bool(made)  # of a Whole all are, and one that follows no change is asked of anyway

    def _has_keys(self, chunk: Chunk) -> bool:
        try:
            self.store.objects.get_frame(chunk.object, chunk.checksum, [KEY])
        except pl.exceptions.ColumnNotFoundError:
            return False
        return True

    def _is_fitted(self, name: str) -> bool:
        known = self.stages.get(name)
        if known is not None:
            return known.kind == "result" and not known.follows and not known.place
        return any(v.facts.get("kind") == "map" for v in self.store.versions(name))

    def regroup(self, name: str) -> None:
        """Outputs of a Group that no longer stand: their row_ids join `past`, for what was made of them too.

        So do the keys, which are the ids of the partial results that the rows were in.
        """
        wanted = self._wanted()
        keys = []
        for part in self.store.parts(name):
            if part.startswith("index:"):
                for chunk, _ in self._left_behind(name, part, wanted):
                    entries = self.store.objects.get_frame(chunk.object, chunk.checksum, [KEY, ID])
                    keys.append(only(entries, wanted)[KEY])
        touched = pl.concat(keys).unique() if keys else ids().rename(KEY)
        if touched.is_empty():
            return
        stale = []
        for chunk in self.store.every_chunk(name, ROWS):
            try:
                rows = self.store.objects.get_frame(chunk.object, chunk.checksum, [KEY, ID])
            except pl.exceptions.ColumnNotFoundError:  # of another step, when the plan was another
                continue
            mine = rows.join(touched.to_frame(KEY), on=KEY, how="semi")[ID]
            stale.append(self.not_shown(chunk.object, mine))
        self.regrouped.add(name)
        if self._kin is None:
            self._kin = family(self.store, self.stages)
        old = down(self._kin, pl.concat([ids(), *stale]))  # what Maps made of those outputs beside them goes, too
        self.past = pl.concat([self.past, old, touched.rename(ID)]).unique()
        self.held = Held(self.store, self.gone, self.past)
        self.hits.pop(name, None)
        self._found.clear()
        self._ends.clear()

    def _beside(self, name: str) -> Iterable[tuple[Chunk, pl.Series]]:
        """The ledger, the indexes, the places and the quarantine: (chunk, row_ids that leave it)."""
        wanted = self._wanted()
        if wanted.is_empty():
            return
        for part in self.store.parts(name):
            if part == LEFT or part.startswith("index:"):
                yield from self._left_behind(name, part, wanted)
            elif part in (PLACES, QUARANTINE):
                for hit in self._hits(self.store.every_chunk(name, part)):
                    yield hit.chunk, hit.ids

    def _left_behind(self, name: str, part: str, wanted: pl.Series) -> Iterable[tuple[Chunk, pl.Series]]:
        """The chunks of a part that hold rows to go, and those rows.

        A stage that was brought up to date has taken them out of its living chunks, so the lists of removed ids tell
        without a read which ones hold them; chunks that ended are opened.
        """
        current = name in self.current
        removed = self.store.all_removed(name, part) if current else {}
        for number, chunk in self.store.numbered(removed).items():
            if chunk.ended is None and len(going := distinct([only(removed[number].to_frame(ID), wanted)[ID]])):
                yield chunk, going
        others = self.store.ended_chunks(name, part) if current else self.store.every_chunk(name, part)
        if part == LEFT:
            others = holding(self.store, name, wanted, part, others)
        for hit in self._hits(others):
            yield hit.chunk, hit.ids

    def _hidden(self, name: str) -> Iterable[tuple[Chunk, pl.Series]]:
        """Of a stage that was under the influence: rows that its living chunks hold and show no more."""
        for part in self.store.parts(name):
            if part in (ROWS, LEFT) or part.startswith("index:"):
                removed = self.store.all_removed(name, part)
                for chunk in self.store.chunks(name, part):
                    if chunk.id not in removed or self._stands_elsewhere(chunk, name):
                        continue
                    if len(going := self.not_shown(chunk.object, removed[chunk.id])):
                        yield chunk, going

    def _stands_elsewhere(self, chunk: Chunk, name: str) -> bool:
        """Whether a stage above, that is under no influence, stands on the object: its earlier versions show the rows
        that are hidden here, and they are as they came."""
        above = set(self.order[: self.order.index(name)]) - self.influenced
        return any(own.stage in above for own in self.store.chunks_on(chunk.object))

    def _end(self, name: str, before: Mapping[str, int], out: Doomed) -> None:
        """Every version but the newest loses what it shows; all, where the plan does not bring a new one."""
        alive = name in self.current
        keyed = alive and self.stages[name].kind in ("group", "whole")
        for part in self.store.parts(name):
            left = part.startswith("index:") and not keyed  # of a plan in which the stage looked across rows
            for chunk in self.store.every_chunk(name, part):
                if chunk.ended is not None or not alive or left:
                    out.chunks.append(chunk.id)
        gone = {number for number, _ in self.versions[name] if number <= before.get(name, 0)}
        out.versions.setdefault(name, set()).update(gone)

    def _results(self, name: str, before: Mapping[str, int], out: Doomed) -> None:
        """Results, states and reports of the versions that saw them."""
        parts = [
            part
            for part in self.store.parts(name)
            if not (part in (ROWS, LEFT, PLACES, QUARANTINE) or part.startswith("index:"))
        ]
        bad = {n for n, inputs in self.versions[name] if parts and n <= before.get(name, 0) and self.saw(inputs)}
        if not bad:
            return
        newest = self.versions[name][-1][0]
        chunks = self.store.every_chunk if newest in bad else self.store.ended_chunks  # the newest keeps its own
        for part in parts:
            for chunk in chunks(name, part):
                end = chunk.ended if chunk.ended is not None else newest + 1
                during = any(chunk.added <= version < end for version in bad)
                if during or (part in STATES and chunk.ended is not None):
                    out.chunks.append(chunk.id)
        out.versions.setdefault(name, set()).update(bad)


def _among(rows: pl.DataFrame, wanted: pl.Series) -> pl.Series:
    return distinct([only(rows, wanted)[ID]]) if len(wanted) else wanted


def _sorted(inputs: Mapping[str, set[str]], first: list[str]) -> list[str]:
    """Every stage of the store after what it was made from."""
    done: dict[str, None] = {}

    def visit(name: str, above: frozenset[str]) -> None:
        if name in done or name in above:
            return
        for source in sorted(inputs.get(name, ())):
            visit(source, above | {name})
        if name in inputs:
            done[name] = None

    for name in [*first, *sorted(inputs)]:
        visit(name, frozenset())
    return list(done)
