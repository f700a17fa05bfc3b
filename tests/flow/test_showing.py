"""Rows that are known to stand are found without reading a chunk, but where two chunks may show one.

Mutations caught: removals of a chunk overlooked; an id that two chunks may show given to both, or to none.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tillage.core.rows import ID, ids
from tillage.flow.showing import shown_among
from tillage.store.objects import Objects
from tillage.store.tables import ROWS, Draft, NewChunk, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Chunks of 1, 2, 3 and of 3, 4, 5; the second version takes 2 out of the first and 5 out of the second."""
    made = Store(tmp_path / "store")
    draft = Draft("t", "test", "0")
    for n, shown in enumerate(([1, 2, 3], [3, 4, 5])):
        rows = pl.DataFrame({ID: ids(shown), "n": shown})
        draft.added.append(NewChunk(ROWS, made.objects.put_frame(f"{n:032d}", rows)))
    made.commit(draft)
    later = Draft("t", "test", "0")
    for chunk, gone in zip(made.chunks("t"), (2, 5), strict=True):
        later.remove(chunk, ids([gone]))
    made.commit(later)
    return made


def shown(store: Store, wanted: list[list[int]], columns: tuple[str, ...] = ()) -> dict[int, list[int]]:
    pairs = list(zip(store.chunks("t"), map(ids, wanted), strict=True))
    return {chunk.id: sorted(rows[ID]) for chunk, rows in shown_among(store, pairs, columns)}


def test_a_chunk_shows_what_it_alone_may_show(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> pl.DataFrame:
        raise AssertionError("a chunk was read")

    monkeypatch.setattr(Objects, "get_frame", refused)
    assert shown(store, [[1], [4]]) == {1: [1], 2: [4]}
    assert shown(store, [[1, 2], [5]]) == {1: [1]}  # 2 and 5 were taken out


def test_chunks_that_may_show_the_same_are_read(store: Store) -> None:
    assert shown(store, [[1, 4], [1, 4]]) == {1: [1], 2: [4]}
    assert shown(store, [[1, 3], [3, 4]]) == {1: [1, 3], 2: [3, 4]}


def test_other_columns_are_read(store: Store) -> None:
    pairs = [(chunk, ids([1, 2, 3])) for chunk in store.chunks("t")]
    found = {chunk.id: rows.sort("n")["n"].to_list() for chunk, rows in shown_among(store, pairs, ("n",))}
    assert found == {1: [1, 3], 2: [3]}


def test_nothing_is_shown_of_nothing(store: Store) -> None:
    assert shown_among(store, []) == []
    assert shown(store, [[], []]) == {}
