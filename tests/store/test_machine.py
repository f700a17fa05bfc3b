"""A store against a dictionary: whatever is done in whatever order, every version kept shows what it showed.

Mutations caught: tables: `changes` with `>=` for `>`, `removed` with `>=` for `>` or without `since`; `digest` kept
under another removal; `remove` that keeps an id twice; gc: what kept versions were made from forgotten, tags
forgotten, a chunk collected one version early; purge: the ledger's counts not taken again, an epoch not set.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tillage.core.errors import InputMissing, Locked
from tillage.core.rows import ID, ids, without
from tillage.store import index, objects
from tillage.store.gc import collect, owned_objects
from tillage.store.index import KEY, Index
from tillage.store.objects import Stored
from tillage.store.purge import purge
from tillage.store.tables import LEFT, ROWS, Draft, NewChunk, Store
from tillage.store.verify import verify

A, B = "a", "b"
COLUMNS = {"v": "Int64", "text": "String"}
Rows = dict[int, tuple[int, str]]


class Known:
    """One version in the model: what it shows, its ledger, its epoch, what it was made from."""

    def __init__(self, rows: Rows, left: dict[int, str], epoch: int, inputs: dict[str, int]) -> None:
        self.rows, self.left, self.epoch, self.inputs = rows, left, epoch, inputs

    def counts(self) -> dict[str, Any]:
        reasons = list(self.left.values())
        return {
            "in": len(self.rows) + len(reasons),
            "rows": len(self.rows),
            "created": 0,
            "dropped": {r: reasons.count(r) for r in sorted(set(reasons)) if r != "merged"},
            "merged": reasons.count("merged"),
            "consumed": 0,
            "quarantined": {},
        }


def spread(n: int) -> int:
    return n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


def frame_of(rows: Rows) -> pl.DataFrame:
    cells = [(i, v, text) for i, (v, text) in rows.items()]
    return pl.DataFrame(cells, schema={ID: pl.UInt128, "v": pl.Int64, "text": pl.String}, orient="row")


def rows_of(frame: pl.DataFrame) -> Rows:
    found = {i: (v, text) for i, v, text in frame.select(ID, *COLUMNS).rows()} if frame.width > 1 else {}
    assert len(found) == frame.height, "an id is shown twice"
    return found


def entries_of(rows: Rows) -> pl.DataFrame:
    pairs = [(spread(v % 7), i, text) for i, (v, text) in rows.items()]
    return pl.DataFrame(pairs, schema={KEY: pl.UInt128, ID: pl.UInt128, "text": pl.String}, orient="row")


def ledger_of(left: dict[int, str]) -> pl.DataFrame:
    cells = [(i, reason, None, "step", None) for i, reason in left.items()]
    schema = {ID: pl.UInt128, "_reason": pl.String, "_into": pl.UInt128, "_step": pl.String, "_parent": pl.UInt128}
    return pl.DataFrame(cells, schema=schema, orient="row")


@dataclass(frozen=True)
class Change:
    """What one version of `a` changes: new rows by number, others by their places among those that are there."""

    count: int
    changed: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    leaving: dict[int, str] = field(default_factory=dict)
    back: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    both: bool = False


PLACES = st.integers(0, 50)
CHANGES = st.builds(
    Change,
    count=st.integers(0, 6),
    changed=st.sets(PLACES, max_size=4),
    gone=st.sets(PLACES, max_size=4),
    leaving=st.dictionaries(PLACES, st.sampled_from(["old", "merged", "bad"]), max_size=3),
    back=st.lists(PLACES, max_size=2),
    cuts=st.lists(st.integers(0, 20), max_size=3),
    both=st.booleans(),
)


class StoreMachine(RuleBasedStateMachine):
    """Stage `a` is written; stage `b` shows the objects of `a` with rows hidden, as a gate or a Whole does."""

    steps: ClassVar[int] = 0
    versions: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tillage-machine-"))
        self.known: dict[str, dict[int, Known]] = {A: {}, B: {}}
        self.tags: dict[tuple[str, str], int] = {}
        self.next, self.epoch, self.fresh, self.written = 1, 0, 0, 0
        self.swept = True
        self.patch = pytest.MonkeyPatch()
        self.scratch = self._opened("scratch")
        self.store = self._opened("store")

    def _opened(self, name: str) -> Store:
        store = Store(self.folder / name)
        store.catalog.rows("PRAGMA synchronous=OFF")
        return store

    def teardown(self) -> None:
        """At the end of each life, what the rules try for some versions is tried for all."""
        for stage, own in self.known.items():
            kept = [0, *sorted(own)]
            for n, until in enumerate(kept):
                for since in kept[: n + 1]:
                    self.leads(stage, since, until)
            for version in own:
                self.is_of_its_rows(stage, version, [3, 5])
        self.patch.undo()
        self.store.close()
        self.scratch.close()
        shutil.rmtree(self.folder)

    def newest(self, stage: str) -> Known:
        own = self.known[stage]
        return own[max(own)] if own else Known({}, {}, 0, {})

    def put(self, store: Store, frame: pl.DataFrame) -> Stored:
        self.written += 1
        return store.objects.put_frame(f"{self.written:032x}", frame)

    def pieces(self, store: Store, rows: Rows, cuts: list[int]) -> list[NewChunk]:
        every = list(rows.items())
        ends = [0, *sorted(c % (len(every) + 1) for c in cuts), len(every)]
        parts = [dict(every[a:b]) for a, b in pairwise(ends)]
        return [NewChunk(ROWS, self.put(store, frame_of(p))) for p in parts if p]

    def take_out(self, draft: Draft, gone: set[int], part: str = ROWS) -> None:
        for chunk in self.store.chunks(A, part):
            shown = self.store.read(chunk, columns=[])[ID].to_list()
            draft.remove(chunk, ids(i for i in shown if i in gone))

    # -- what may happen ----------------------------------------------------------------------------------------

    @initialize(count=st.integers(0, 12), small=st.sampled_from([0, 1100, objects.SMALL]))
    def first(self, count: int, small: int) -> None:
        self.patch.setattr(objects, "SMALL", small)  # files alone, some files, rows of the catalog alone
        self.write(Change(count, cuts=[3, 7]))

    @rule(change=CHANGES)
    def write(self, change: Change) -> None:
        """New rows, updates, removals, rows that go to the ledger or come back from it: one version."""
        last = self.newest(A)
        there, waiting = sorted(last.rows), sorted(last.left)

        def pick(numbers: Any, among: list[int]) -> list[int]:
            return sorted({among[n % len(among)] for n in numbers}) if among else []

        drop = set(pick(change.gone, there))
        reasons = {i: reason for n, reason in change.leaving.items() for i in pick([n], there) if i not in drop}
        update = [i for i in pick(change.changed, there) if i not in drop | set(reasons)]
        returning = pick(change.back, waiting)
        new = [spread(n) for n in range(self.next, self.next + change.count)]
        self.next += change.count
        added: Rows = {i: (self.next + n, f"row {i % 97}") for n, i in enumerate([*new, *update, *returning])}
        removed = drop | set(reasons) | set(update)

        draft = Draft(A, "change", f"fingerprint {self.written}", columns=COLUMNS)
        self.take_out(draft, removed)
        self.take_out(draft, set(returning), LEFT)
        draft.added += self.pieces(self.store, added, change.cuts)
        if reasons:
            draft.added.append(NewChunk(LEFT, self.put(self.store, ledger_of(reasons))))
        before = entries_of({i: r for i, r in last.rows.items() if i in removed})
        Index(self.store, A, "keys").change(draft, entries_of(added), before)
        rows = {i: r for i, r in last.rows.items() if i not in removed} | added
        left = {i: r for i, r in last.left.items() if i not in returning} | reasons
        more = [self.following()] if change.both else []
        self.commit((draft, Known(rows, left, last.epoch, {})), *more)

    def following(self) -> tuple[Draft, Known]:
        """The next version of `b`, with all that it had and no more: for a commit of two stages."""
        last = self.newest(B)
        return Draft(B, "again", "fingerprint b", columns=COLUMNS), Known(last.rows, {}, last.epoch, last.inputs)

    def commit(self, *drafts: tuple[Draft, Known]) -> None:
        for draft, known in drafts:
            draft.counts, draft.inputs = known.counts(), known.inputs
        made = self.store.commit(*(draft for draft, _ in drafts))
        for version, (_, known) in zip(made, drafts, strict=True):
            self.known[version.stage][version.version] = known
        type(self).versions += len(made)

    @precondition(lambda self: len(self.newest(A).rows) > 1)
    @rule(some=st.sets(st.integers(0, 30), min_size=1, max_size=6), cuts=st.lists(st.integers(0, 30), max_size=1))
    def rewrite(self, some: set[int], cuts: list[int]) -> None:
        """What compaction does: chunks end, and their rows come again in others, in one version of both stages."""
        chunks = self.store.chunks(A)
        merged = [c for n, c in enumerate(chunks) if n in some]
        draft = Draft(A, "compaction", "fingerprint", columns=COLUMNS)
        draft.ended = [c.id for c in merged]
        rows: Rows = {}
        for chunk in merged:
            rows |= rows_of(self.store.read(chunk))
        draft.added = self.pieces(self.store, rows, cuts)
        last = self.newest(A)
        self.commit((draft, Known(last.rows, last.left, last.epoch, {})))

    @precondition(lambda self: self.known[A])
    @rule(hidden=st.sets(st.integers(0, 50), max_size=3))
    def follow(self, hidden: set[int]) -> None:
        """`b` shows the chunks that `a` shows now, by reference."""
        last, at = self.newest(A), max(self.known[A])
        there = sorted(last.rows)
        out = {there[n % len(there)] for n in hidden} if there else set()
        draft = Draft(B, "follow", "fingerprint b", columns=COLUMNS)
        draft.ended = [c.id for c in self.store.chunks(B)]
        for chunk in self.store.chunks(A):
            unseen = [*self.store.removed(chunk), *(i for i in self.store.read(chunk)[ID] if i in out)]
            stored = Stored(chunk.object, chunk.checksum, chunk.size, chunk.rows)
            draft.added.append(NewChunk(ROWS, stored, source=chunk.id, removed=ids(unseen)))
        rows = {i: r for i, r in last.rows.items() if i not in out}
        self.commit((draft, Known(rows, {}, self.newest(B).epoch, {A: at})))

    @rule(stage=st.sampled_from([A, B]), which=st.integers(0, 9), name=st.sampled_from(["good", "better"]))
    def tag(self, stage: str, which: int, name: str) -> None:
        kept = sorted(self.known[stage])
        if kept:
            self.tags[stage, name] = kept[which % len(kept)]
            self.store.catalog.write(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", stage, name, self.tags[stage, name]
            )

    @rule(keep=st.integers(0, 4))
    def gc(self, keep: int) -> None:
        stay: dict[str, set[int]] = {s: set(sorted(own)[-max(keep, 1) :]) for s, own in self.known.items()}
        for (stage, _), version in self.tags.items():
            stay[stage].add(version)
        for version in sorted(stay[B]):  # `b` is made from `a`, and `a` from nothing
            stay[A] |= set(self.known[B][version].inputs.values()) & set(self.known[A])
        before = self.store.objects.files()
        done = collect(self.store, keep)
        gone = {(s, v) for s, own in self.known.items() for v in own if v not in stay[s]}
        assert done.versions == len(gone)
        after = self.store.objects.files()
        assert done.files == len(before) - len(after)
        assert done.bytes == sum(before.values()) - sum(after.values())
        for stage, version in gone:
            del self.known[stage][version]
            for ask in (self.store.frame, self.store.digest):
                with pytest.raises(InputMissing, match="Kept:"):
                    ask(stage, version=version)
            with pytest.raises(InputMissing, match="Kept:"):
                self.store.changes(stage, version)
        assert set(after) == owned_objects(self.store)
        self.swept = True

    @precondition(lambda self: any(v.rows or v.left for own in self.known.values() for v in own.values()))
    @rule(which=st.sets(st.integers(0, 99), min_size=1, max_size=4))
    def purge(self, which: set[int]) -> None:
        """Some of all ids that any version shows or has in its ledger, and one that none has."""
        every = sorted({i for own in self.known.values() for v in own.values() for i in (*v.rows, *v.left)})
        gone = {every[n % len(every)] for n in which} | {spread(10**9)}
        done = purge(self.store, {A: ids(gone), B: ids(gone)}, vacuum=len(which) == 4)
        self.epoch += 1
        assert done.epoch == self.epoch
        query = "SELECT stage, version, last, rows FROM erasures WHERE epoch = ?"
        spans = self.store.catalog.rows(query, self.epoch)
        noted = [(s, v, n) for s, first, last, n in spans for v in self.known.get(s, ()) if first <= v <= last]
        expected = set()
        for stage, own in self.known.items():
            for version, known in own.items():
                shown = len(gone & set(known.rows))
                if shown:
                    expected.add((stage, version, shown))
                    known.epoch = self.epoch
                known.rows = {i: r for i, r in known.rows.items() if i not in gone}
                known.left = {i: r for i, r in known.left.items() if i not in gone}
        assert len(noted) == len(expected)
        assert set(noted) == expected
        for chunk in (c for s in (A, B) for p in self.store.parts(s) for c in self.store.every_chunk(s, p)):
            whole = self.store.objects.get_frame(chunk.object, chunk.checksum)
            assert not gone & set(whole[ID]), "an erased row is still in a file"
            assert not gone & set(self.store.removed(chunk)), "an erased id is still on a list"
            assert set(self.store.removed(chunk)) <= set(whole[ID])

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self._opened("store")

    # -- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def every_version_shows_what_it_showed(self) -> None:
        type(self).steps += 1
        for stage, own in self.known.items():
            versions = self.store.versions(stage)
            assert [v.version for v in versions] == sorted(own)
            for version in versions:
                known = own[version.version]
                assert rows_of(self.store.frame(stage, version=version.version)) == known.rows
                assert self.store.count(stage, version=version.version) == len(known.rows)
                left = self.store.frame(stage, LEFT, version.version)
                assert dict(left.select(ID, "_reason").rows() if left.width > 1 else []) == known.left
                assert version.counts == known.counts()
                assert version.epoch == known.epoch
        entries = self.store.frame(A, "index:keys")
        expected = entries_of(self.newest(A).rows)
        assert sorted(entries.select(expected.columns).rows() if entries.width > 1 else []) == sorted(expected.rows())

    @invariant()
    def nothing_is_found_wrong(self) -> None:
        assert verify(self.store).findings == ()

    @rule(stage=st.sampled_from([A, B]), one=st.integers(0, 20), other=st.integers(0, 20))
    def changes_lead_from_one_version_to_the_other(self, stage: str, one: int, other: int) -> None:
        kept = [0, *sorted(self.known[stage])]
        self.leads(stage, *sorted((kept[one % len(kept)], kept[other % len(kept)])))

    def leads(self, stage: str, since: int, until: int) -> None:
        changes = self.store.changes(stage, since, until)
        state = dict(self.known[stage][since].rows) if since else {}
        for _, gone in changes.removed:
            assert set(gone) <= set(state), "an id that had gone before does not go again"
            assert len(set(gone)) == len(gone)
        for _, frame in self.store.removed_rows(changes):
            for i, row in rows_of(frame).items():
                assert state.pop(i) == row, "a row that went must be told as it stood"
        for _, frame in self.store.added_rows(changes):
            for i, row in rows_of(frame).items():
                assert i not in state
                state[i] = row
        assert state == (self.known[stage][until].rows if until else {})
        assert bool(changes) or since == until or state == (self.known[stage][since].rows if since else {})

    @rule(stage=st.sampled_from([A, B]), which=st.integers(0, 20), cuts=st.lists(st.integers(0, 30), max_size=3))
    def the_digest_is_that_of_the_rows(self, stage: str, which: int, cuts: list[int]) -> None:
        kept = sorted(self.known[stage])
        if kept:
            self.is_of_its_rows(stage, kept[which % len(kept)], cuts)

    def is_of_its_rows(self, stage: str, version: int, cuts: list[int]) -> None:
        """Against a fresh store with the same rows in other chunks and another order."""
        rows = dict(reversed(self.known[stage][version].rows.items()))
        self.fresh += 1
        draft = Draft(f"fresh {self.fresh}", "fresh", "f", columns=COLUMNS)
        draft.added = self.pieces(self.scratch, rows, cuts)
        self.scratch.commit(draft)
        assert self.store.digest(stage, version) == self.scratch.digest(draft.stage)

    @rule(wanted=st.sets(st.integers(0, 6), max_size=3))
    def the_index_finds_the_rows_of_its_keys(self, wanted: set[int]) -> None:
        keys = ids(spread(n) for n in wanted)
        found = Index(self.store, A, "keys").read(keys)
        expected = entries_of({i: r for i, r in self.newest(A).rows.items() if r[0] % 7 in wanted})
        assert sorted(found.select(KEY, ID).rows()) == sorted(expected.select(KEY, ID).rows())


def test_a_store_against_a_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PAGE_ROWS", 4)  # many pages of few rows
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setenv("TILLAGE_KEY", "5a" * 32)
    StoreMachine.steps = StoreMachine.versions = 0
    examples = (settings.default or settings()).max_examples // 12
    run_state_machine_as_test(StoreMachine, settings=settings(max_examples=examples, stateful_step_count=30))
    assert StoreMachine.steps > examples * 10
    assert StoreMachine.versions > examples * 4


def test_a_draft_takes_an_id_out_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    draft = Draft(A, "first", "f", columns=COLUMNS)
    draft.added = [NewChunk(ROWS, store.objects.put_frame("0" * 32, frame_of({i: (i, "") for i in range(5)})))]
    store.commit(draft)
    draft = Draft(A, "second", "f", columns=COLUMNS)
    [chunk] = store.chunks(A)
    draft.remove(chunk, ids([1, 1]))
    draft.remove(chunk, ids([1, 2]))
    draft.remove(chunk, ids())
    store.commit(draft)
    assert store.count(A) == 3
    assert without(store.frame(A), ids([0, 3, 4])).is_empty()
    store.close()


def test_a_draft_that_was_overtaken_is_refused(tmp_path: Path) -> None:
    """A compaction came between its making and its commit: its removals would miss the rows where they are now."""
    store = Store(tmp_path)
    draft = Draft(A, "first", "f", columns=COLUMNS)
    draft.added = [NewChunk(ROWS, store.objects.put_frame("0" * 32, frame_of({i: (i, "") for i in range(5)})))]
    store.commit(draft)
    [chunk] = store.chunks(A)
    late = Draft(A, "late", "f", columns=COLUMNS)
    late.remove(chunk, ids([1]))
    ending = Draft(A, "ending", "f", columns=COLUMNS, ended=[chunk.id])
    compaction = Draft(A, "compaction", "f", columns=COLUMNS, ended=[chunk.id])
    compaction.added = [NewChunk(ROWS, store.objects.put_frame("1" * 32, store.read(chunk)))]
    store.commit(compaction)
    for overtaken in (late, ending):
        with pytest.raises(Locked, match="was changed by someone else"):
            store.commit(Draft(B, "beside", "f"), overtaken)
    assert store.stages() == [A]
    assert (store.count(A), len(store.versions(A))) == (5, 2)
    store.close()
