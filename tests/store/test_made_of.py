"""Which chunks were made from which, and of which nobody can say: what an erasure goes by instead of reading them all.

Mutations caught: `made_of_unknown` without the chunks that name none, or without those that name one which is gone;
`made_of` of the newest version alone, or that asks for five hundred and no more.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tillage.core.rows import ID, ids
from tillage.store.tables import LEFT, ROWS, Chunk, Draft, NewChunk, Store


def add(store: Store, stage: str, sources: list[int | None], part: str = ROWS) -> list[Chunk]:
    """Chunks of a stage, each made from the chunk that is named, in a version that ends all before."""
    draft = Draft(stage, "test", "f", ended=[c.id for c in store.chunks(stage, part)])
    for n, source in enumerate(sources):
        stored = store.objects.put_frame(f"{n:032x}", pl.DataFrame({ID: ids([n])}))
        draft.added.append(NewChunk(part, stored, source=source))
    store.commit(draft)
    return store.chunks(stage, part)


def test_chunks_are_found_by_what_they_were_made_of(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second, third = (chunk.id for chunk in add(store, "a", [None, None, None]))
    [other] = add(store, "b", [None])
    before = add(store, "t", [first, second])
    now = add(store, "t", [second, third, other.id, 999])
    left = add(store, "t", [first], LEFT)
    assert store.made_of("t", ROWS, [second, first]) == [before[0].id, before[1].id, now[0].id]
    assert store.made_of("t", LEFT, [first, third]) == [left[0].id]
    assert store.made_of("t", ROWS, []) == []
    assert store.made_of("t", ROWS, range(1, 2000)) == sorted(c.id for c in (*before, *now))
    assert store.made_of_unknown("t", ROWS, ["a"]) == {now[2].id: other.id, now[3].id: 999}
    assert store.made_of_unknown("t", ROWS, ["a", "b"]) == {now[3].id: 999}
    [none] = add(store, "t", [None])
    assert store.made_of_unknown("t", ROWS, ["a", "b"]) == {now[3].id: 999, none.id: None}
    store.close()
