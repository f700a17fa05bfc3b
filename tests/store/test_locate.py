"""Where a row is: the locator against a dictionary, while runs are built, merged, outlived and purged.

Mutations caught: locate: `_merge` that keeps dead chunks on its list (a purge then never reads them), or places of
the runs before not added up; `HIGH48` one bit shorter or longer; `side="left"` twice; runs of a purged object kept;
`covered` ignored (each look-up builds all again); a piece that begins within a prefix, or one entry late; equal entries
that leave together.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tillage.core.rows import ID, ids
from tillage.store import locate as locating
from tillage.store.gc import collect
from tillage.store.locate import MANY_RUNS, holding, locate
from tillage.store.purge import purge
from tillage.store.tables import LEFT, ROWS, Draft, NewChunk, Store


def spread(n: int) -> int:
    return (n + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    opened = Store(tmp_path)
    opened.catalog.rows("PRAGMA synchronous=OFF")
    yield opened
    opened.close()


def commit(
    store: Store, *pieces: list[int], gone: set[int] | None = None, ended: list[int] | None = None, part: str = ROWS
) -> None:
    draft = Draft("t", "change", "f", ended=ended or [])
    for chunk in store.chunks("t", part) if gone else []:
        draft.remove(chunk, ids(i for i in store.read(chunk)[ID] if i in (gone or ())))
    for piece in pieces:
        stored = store.objects.put_frame(f"{random.Random(repr(piece)).getrandbits(128):032x}", frame(piece))
        draft.added.append(NewChunk(part, stored))
    store.commit(draft)


def frame(piece: list[int]) -> pl.DataFrame:
    return pl.DataFrame({ID: ids(piece), "n": [i % 1000 for i in piece]})


def found(store: Store, wanted: list[int], part: str = ROWS) -> dict[int, int]:
    """Each id with the chunk that it was found in."""
    out: dict[int, int] = {}
    for chunk, rows in locate(store, "t", ids(wanted), part):
        assert rows.height, "a chunk without a row is no find"
        for i, n in rows.select(ID, "n").rows():
            assert i not in out
            assert n == i % 1000, "the row is told whole"
            out[i] = chunk.id
    return out


def runs(store: Store) -> list[str]:
    """The first piece of each run."""
    query = "SELECT p.object FROM runs r JOIN pieces p ON p.run = r.id AND p.first = 0 WHERE r.stage = 't' ORDER BY "
    return [str(r[0]) for r in store.catalog.rows(query + "r.id")]


@pytest.mark.parametrize("piece", [locating.PIECE_ENTRIES, 16])
def test_against_a_dictionary(store: Store, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(locating, "PIECE_ENTRIES", piece)
    draw, number, most, merged = random.Random(7), 0, 0, 0
    shown: dict[int, int] = {}
    for step in range(60):
        before = runs(store)
        every = sorted(shown)
        if step % 13 == 12:  # compaction of some chunks
            chunks = draw.sample(store.chunks("t"), min(4, len(store.chunks("t"))))
            rows = [i for c in chunks for i in store.read(c)[ID]]
            commit(store, rows, ended=[c.id for c in chunks])
        elif step % 17 == 16:
            purge(store, {"t": ids(draw.sample(every, 5))}, vacuum=False)
        elif step % 11 == 10:
            collect(store, keep=2)
        else:
            gone = set(draw.sample(every, min(len(every), 4)))
            back = sorted(gone)[: len(gone) // 2]
            pieces = [[spread(number + 10 * k + n) for n in range(10)] for k in range(draw.randint(0, 3))]
            number += 10 * len(pieces)
            commit(store, *pieces, *([back] if back else []), gone=gone)
        shown = {i: c.id for c in store.chunks("t") for i in store.read(c)[ID]}
        wanted = [spread(draw.randrange(number + 20)) for _ in range(25)]
        assert found(store, wanted) == {i: shown[i] for i in wanted if i in shown}, step
        now = runs(store)
        assert len(now) <= MANY_RUNS
        most, merged = max(most, len(now)), merged + (len(now) < len(before))
    assert number > 300
    assert most == MANY_RUNS
    assert merged >= 2, "runs were never merged"
    assert found(store, sorted(shown)) == shown


def test_only_chunks_that_hold_an_id_are_read(store: Store) -> None:
    commit(store, *[[spread(100 * k + n) for n in range(100)] for k in range(20)])
    chunks = store.chunks("t")
    for k in (0, 7, 19):
        wanted = ids([spread(100 * k + 5), spread(100 * k + 6), spread(10**9)])
        assert [c.id for c in holding(store, "t", wanted, ROWS, chunks)] == [chunks[k].id]
    assert holding(store, "t", ids([spread(10**9)]), ROWS, chunks) == []
    assert holding(store, "t", ids(), ROWS, chunks) == []


@pytest.mark.parametrize("piece", [locating.PIECE_ENTRIES, 3, 1])
def test_ids_that_look_alike_in_their_first_48_bits_are_told_apart(
    store: Store, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(locating, "PIECE_ENTRIES", piece)
    top = 0xABCDEF012345 << 80
    alike = [top, top + 1, top + (1 << 79), top + (1 << 80) - 1]
    near = [top - 1, top + (1 << 80), 0, 2**128 - 1]
    commit(store, *[[i] for i in alike + near])
    numbers = {i: c.id for c, i in zip(store.chunks("t"), alike + near, strict=True)}
    for i in alike + near:
        assert found(store, [i]) == {i: numbers[i]}
    assert found(store, [top + 2, top + (1 << 78), 1]) == {}
    assert len(holding(store, "t", ids([top + 2]), ROWS, store.chunks("t"))) == len(alike), "so many are read for it"
    assert holding(store, "t", ids([top + (2 << 80)]), ROWS, store.chunks("t")) == []


def test_a_run_is_built_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, [spread(1)], [spread(2)])
    found(store, [spread(1)])
    kept = runs(store)
    assert len(kept) == 1
    store.close()
    again = Store(store.root)
    read: list[str] = []
    whole = again.objects.get

    def noting(name: str, checksum: str) -> bytes:
        read.append(name)
        return whole(name, checksum)

    monkeypatch.setattr(again.objects, "get", noting)
    assert len(found(again, [spread(2)])) == 1
    assert runs(again) == kept
    assert sorted(read) == sorted([kept[0], again.chunks("t")[1].object])
    again.close()


def test_a_look_up_reads_and_a_purge_writes_the_pieces_it_is_about(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locating, "PIECE_ENTRIES", 50)
    rows = [spread(n) for n in range(1000)]
    commit(store, *[rows[n : n + 100] for n in range(0, 1000, 100)])
    found(store, rows[:1])
    before = store.catalog.rows("SELECT object, entries FROM pieces ORDER BY first")
    assert [r["entries"] for r in before] == [50] * 20
    store.close()
    again = Store(store.root)
    read: list[str] = []
    whole = again.objects.get

    def noting(name: str, checksum: str) -> bytes:
        read.append(name)
        return whole(name, checksum)

    monkeypatch.setattr(again.objects, "get", noting)
    gone = sorted(rows)[60:63]
    assert found(again, gone).keys() == set(gone)
    assert [name for name in read if name.endswith(".run")] == [before[1]["object"]]
    purge(again, {"t": ids(gone)}, vacuum=False)
    after = again.catalog.rows("SELECT object, entries FROM pieces ORDER BY first")
    assert [a["object"] == b["object"] for a, b in zip(after, before, strict=True)] == [n != 1 for n in range(20)]
    assert after[1]["entries"] == 47
    assert found(again, rows).keys() == set(rows) - set(gone)
    assert set(again.objects.files()) & {before[1]["object"]} == set(), "the old piece is deleted"
    again.close()


def test_who_may_only_read_finds_without_keeping_a_run(store: Store) -> None:
    commit(store, [spread(n) for n in range(50)], [spread(n) for n in range(50, 90)])
    first, second = store.chunks("t")
    store.catalog.read_only = True
    assert found(store, [spread(3), spread(70)]) == {spread(3): first.id, spread(70): second.id}
    assert store.catalog.rows("SELECT * FROM runs") == []
    store.catalog.read_only = False
    assert found(store, [spread(70)]) == {spread(70): second.id}
    assert len(store.catalog.rows("SELECT * FROM runs")) == 1


def test_entries_that_are_equal_leave_one_for_one(store: Store) -> None:
    """Rows of one chunk whose ids look alike have equal entries."""
    alike = [(5 << 80) + n for n in range(7)]
    commit(store, [*alike, spread(1)])
    found(store, [spread(1)])
    purge(store, {"t": ids(alike[2:6])}, vacuum=False)
    [piece] = store.catalog.rows("SELECT entries FROM pieces")
    assert piece["entries"] == 4
    assert found(store, alike).keys() == {*alike[:2], alike[6]}


def test_parts_have_their_own_runs(store: Store) -> None:
    commit(store, [spread(1)])
    commit(store, [spread(2)], part=LEFT)
    assert found(store, [spread(1), spread(2)]).keys() == {spread(1)}
    assert found(store, [spread(1), spread(2)], LEFT).keys() == {spread(2)}


def test_what_is_not_committed_is_not_found(store: Store) -> None:
    commit(store, [spread(1)])
    store.objects.put_frame("f" * 32, frame([spread(2)]))
    assert found(store, [spread(1), spread(2)]).keys() == {spread(1)}
