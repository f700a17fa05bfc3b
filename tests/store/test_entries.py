"""Entries of the locator in the making, against Python's own sort of the same numbers.

Mutations caught: the last share left out, one place too many moved together, shares by the wrong bits, a share that
runs into the next, the chunk's place left out or counted from one.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.core.errors import TillageError
from tillage.core.keys import Keyring
from tillage.core.rows import ID, ids
from tillage.store import entries as making
from tillage.store.entries import Entries, alike, places_of

CHUNKS = st.lists(st.lists(st.integers(0, 2**128 - 1), max_size=40), max_size=6)


def expected(chunks: list[list[int]]) -> list[int]:
    return sorted((i >> 80 << 16) | place for place, chunk in enumerate(chunks) for i in chunk)


@given(CHUNKS, st.integers(0, 300))
def test_any_ids_of_any_number(chunks: list[list[int]], foreseen: int) -> None:
    run = Entries(foreseen)
    for chunk in chunks:
        run.add(ids(chunk))
    assert run.sorted().tolist() == expected(chunks)


@pytest.mark.parametrize("foreseen", [0, 30_000, 100_000])
@pytest.mark.parametrize("bits", [128, 125, 80])
def test_many_ids_evenly_spread_or_all_in_few_shares(foreseen: int, bits: int) -> None:
    draw = np.random.default_rng(bits + foreseen)
    halves = draw.integers(0, 2**64, (2, 30_000), dtype=np.uint64).tolist()
    every = [(hi << 64 | lo) >> (128 - bits) for lo, hi in zip(*halves, strict=True)]
    chunks = [every[:5], every[5:12_000], every[12_000:]]
    run = Entries(foreseen)
    for chunk in chunks:
        run.add(pl.Series(ID, chunk, dtype=pl.UInt128))
    found = run.sorted()
    assert found.tolist() == expected(chunks)
    assert len(alike(found)) >= (bits == 80) * 29_000, "of those all have one prefix"


def test_a_share_that_fills_up_leaves_the_others_as_they_are() -> None:
    chunks = [[(n % 16 << 124) + n for n in range(160)], [(7 << 124) + n for n in range(5000)], [0, 2**128 - 1]]
    run = Entries(160)
    for chunk in chunks:
        run.add(ids(chunk))
    assert run.sorted().tolist() == expected(chunks)


def test_what_stands_twice_is_told_with_its_chunks() -> None:
    run = Entries(6)
    for chunk in ([1 << 80, 5 << 90], [9 << 100], [5 << 90, 2**127]):
        run.add(ids(chunk))
    found = run.sorted()
    same = alike(found)
    assert same.tolist() == [5 << 90 >> 64]
    assert places_of(found, same) == [0, 2]


def test_more_chunks_than_a_run_can_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "LARGEST_RUN", 2)
    run = Entries(3)
    run.add(ids([1]))
    run.add(ids([2]))
    with pytest.raises(TillageError, match="more than 2 chunks"):
        run.add(ids([3]))


def test_halves_that_are_at_hand_give_the_same_entries() -> None:
    frame = pl.DataFrame({"k": range(2000)})
    ring = Keyring("ab" * 32)
    one, other = Entries(2000), Entries(2000)
    one.add(ring.row_ids("t", frame, ("k",)), ring.row_halves("t", frame, ("k",)))
    other.add(ring.row_ids("t", frame, ("k",)))
    assert one.sorted().tolist() == other.sorted().tolist()
