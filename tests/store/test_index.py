"""The index against a dictionary, under thousands of changes; and what a read or a change may cost.

Mutations caught: index: the number of pages taken as the largest page number + 1 (few keys, many rows); `_remove`
without the deltas; removals of a folded chunk not applied; `weight * 8` as `weight * 80`; a merge of deltas that reads
the pages; `read` of every page.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tillage.core.rows import ID, ids
from tillage.store import index
from tillage.store.index import DELTA, KEY, MANY_DELTAS, PAGE_ROWS, Index, Overlay
from tillage.store.tables import Draft, Store

Entry = tuple[int, int, str]  # key, id, payload
SCHEMA = {KEY: pl.UInt128, ID: pl.UInt128, "payload": pl.String}


def spread(n: int) -> int:
    return (n + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    opened = Store(tmp_path)
    opened.catalog.rows("PRAGMA synchronous=OFF")
    yield opened
    opened.close()


def frame(entries: list[Entry]) -> pl.DataFrame:
    return pl.DataFrame(entries, schema=SCHEMA, orient="row")


def change(store: Store, added: list[Entry], removed: list[Entry]) -> Index:
    """One change, committed; the index as it was used for it."""
    used = Index(store, "t", "keys")
    draft = Draft("t", "change", "fingerprint")
    used.change(draft, frame(added), frame(removed))
    store.commit(draft)
    return used


def read(store: Store, keys: list[int]) -> list[Entry]:
    found = Index(store, "t", "keys").read(ids(keys))
    return sorted(found.select(KEY, ID, "payload").rows()) if found.width == 3 else []


class Model:
    """Each id with its entries: an id comes and goes whole."""

    def __init__(self) -> None:
        self.of: dict[int, list[Entry]] = {}

    def entries(self, keys: list[int]) -> list[Entry]:
        wanted = set(keys)
        return sorted(e for own in self.of.values() for e in own if e[0] in wanted)

    def size(self) -> int:
        return sum(map(len, self.of.values()))


@pytest.mark.parametrize(
    ("keys", "each", "page_rows"), [(3, 1, 64), (2, 2, 8), (40, 2, 64), (3000, 3, 128), (10**6, 1, 64)]
)
def test_against_a_dictionary(
    store: Store, monkeypatch: pytest.MonkeyPatch, keys: int, each: int, page_rows: int
) -> None:
    monkeypatch.setattr(index, "PAGE_ROWS", page_rows)
    draw = random.Random(keys)
    model, number, kinds = Model(), 0, set()
    for step in range(45):
        few = step % 9 != 0
        gone = draw.sample(sorted(model.of), min(len(model.of), draw.choice((0, 1, 5) if few else (0, 40, 400))))
        again = draw.sample(gone, len(gone) // 2)
        fresh = list(range(number, number + draw.choice((0, 1, 4) if few else (300, 900))))
        number += len(fresh)
        removed = [e for i in gone for e in model.of.pop(i)]
        for i in [*again, *map(spread, fresh)]:
            chosen = {spread(draw.randrange(keys)) for _ in range(each)}
            model.of[i] = [(key, i, f"{step}") for key in chosen]
        added = [e for i in [*again, *map(spread, fresh)] for e in model.of[i]]
        change(store, added, removed)
        now = Index(store, "t", "keys")
        kinds |= {"pages"} if now.pages > 1 else set()
        kinds |= {"deltas"} if any(c.page == DELTA for c in now.chunks) else set()
        asked = [spread(draw.randrange(keys)) for _ in range(5)] + [spread(10**9)]
        asked += [e[0] for e in removed[:3]] + [e[0] for e in added[:3]]
        assert read(store, asked) == model.entries(asked), step
        assert read(store, []) == []
        shown = sorted(e for f in store.frames("t", "index:keys") for e in f.select(*SCHEMA).rows())
        assert shown == sorted(e for own in model.of.values() for e in own)
    assert number > 1000
    assert kinds == {"pages", "deltas"}


def test_a_change_of_a_version_before_is_still_there_to_be_seen(store: Store) -> None:
    change(store, [(1, 1, "a"), (2, 2, "a")], [])
    change(store, [(1, 3, "b")], [(2, 2, "a")])
    assert sorted(store.frame("t", "index:keys", 1)[ID]) == [1, 2]
    assert sorted(store.frame("t", "index:keys", 2)[ID]) == [1, 3]


def test_the_last_entry_may_leave(store: Store) -> None:
    change(store, [(1, 1, "a")], [])
    change(store, [], [(1, 1, "a")])
    assert read(store, [1]) == []
    change(store, [(1, 2, "b")], [])
    assert read(store, [1]) == [(1, 2, "b")]


def filled(store: Store, pages: int) -> int:
    """An index of so many full pages; the number of its entries."""
    count = index.PAGE_ROWS * pages
    change(store, [(spread(n), spread(-n - 5), "") for n in range(count)], [])
    assert Index(store, "t", "keys").pages == pages
    return count


def test_only_touched_pages_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PAGE_ROWS", 200)
    filled(store, 16)
    sizes = {c.page: c.rows for c in store.chunks("t", "index:keys")}
    assert sorted(sizes) == list(range(16, 32))
    for n in range(0, 60, 7):
        used = Index(store, "t", "keys")
        assert used.read(ids([spread(n)])).height == 1
        assert used.touched == sizes[16 + (spread(n) >> 124)], "one page, that of the key's top bits"
    used = Index(store, "t", "keys")
    used.read(ids(spread(n) for n in range(2)))
    assert used.touched <= 2 * max(sizes.values())


def test_small_changes_never_read_what_they_do_not_touch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 3: a hundred changes of two entries each read pages for what is removed alone, and never fold."""
    monkeypatch.setattr(index, "PAGE_ROWS", 200)
    count = filled(store, 16)
    base = {c.id for c in store.chunks("t", "index:keys")}
    added = 0
    for n in range(100):
        used = change(store, [(spread(count + 2 * n + k), 7000 + 2 * n + k, "") for k in range(2)], [])
        added += 2
        assert used.touched <= added, "the pages are read for nothing"
        deltas = [c for c in store.chunks("t", "index:keys") if c.page == DELTA]
        assert len(deltas) <= MANY_DELTAS
    assert base <= {c.id for c in store.chunks("t", "index:keys")}
    largest = max(c.rows for c in store.chunks("t", "index:keys") if c.page != DELTA)
    used = change(store, [], [(spread(3), spread(-8), "")])
    assert used.touched <= largest + added
    assert read(store, [spread(3)]) == []
    assert len(read(store, [spread(n) for n in range(count + 200)])) == count + 199


def test_deltas_that_weigh_too_much_are_folded_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PAGE_ROWS", 200)
    count = filled(store, 4)
    change(store, [(spread(count + n), n, "") for n in range(count // 8)], [])
    assert sum(c.rows for c in store.chunks("t", "index:keys") if c.page == DELTA) == count // 8
    change(store, [(spread(2 * count), 10**6, "")], [])
    chunks = store.chunks("t", "index:keys")
    assert DELTA not in {c.page for c in chunks}
    assert sum(c.rows for c in chunks) == count + count // 8 + 1


def test_pages_of_the_size_that_is_used(store: Store) -> None:
    """With the real size of a page: the whole width of a key's upper half counts."""
    keys = [0, 1, 2**64 - 1, 2**64, 2**127 - 1, 2**127, 2**128 - 1]
    change(store, [(keys[n % 7], spread(n), "") for n in range(PAGE_ROWS * 2 + 7)], [])
    now = Index(store, "t", "keys")
    assert now.pages == 4
    for n, key in enumerate(keys):
        assert len(read(store, [key])) == sum(m % 7 == n for m in range(PAGE_ROWS * 2 + 7))


def test_what_was_read_whole_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PAGE_ROWS", 64)
    count = filled(store, 32)
    change(store, [(spread(-n - 100), n, "new") for n in range(3)], [(spread(7), spread(-12), "")])
    used = Index(store, "t", "keys")
    every = used.read(ids(spread(n) for n in range(count)))
    assert every.height == count - 1
    assert used.touched == count + 2  # three came, one left
    assert used.of(ids([0, 1, spread(-11), spread(-12)]))[ID].sort().to_list() == [0, 1, spread(-11)]
    assert used.read(ids([spread(-100), spread(8), spread(7)])).height == 2
    assert used.touched == count + 2


def test_an_overlay_reads_like_an_index() -> None:
    overlay = Overlay(frame([(1, 1, "a"), (2, 1, "a"), (1, 2, "b")]))
    assert sorted(overlay.read(ids([1, 1, 9])).rows()) == [(1, 1, "a"), (1, 2, "b")]
    assert overlay.read(ids()).is_empty()
