"""The keyed index: entries (`_key`, `_id`, payload) by hashed key, in pages that are read for touched keys only.

It is a part of its stage like any other: a page is a chunk, a change is one delta chunk plus removed ids, and when the
deltas weigh an eighth of the pages they are folded in. Keys are uniform 128-bit hashes; a page is their top bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import TypeVar

import numpy as np
import polars as pl

from tillage.core.rows import ID, drop_columns, high, only, without
from tillage.store.objects import Stored
from tillage.store.tables import Chunk, Draft, NewChunk, Store

KEY = "_key"
PAGE_ROWS = 256
MOST_PAGES = 256
DELTA = -1
MANY_DELTAS = 12
HELD_BYTES = 128 << 20
"""Pages that a change has read are kept up to this size in all: a Whole may ask again while it follows a chain."""
MANY = 8
"""Chunks from which on it pays to ask at once what was taken out of all chunks."""
AT_ONCE = 1 << 16
"""Entries looked through at a time: one by one, a hundred pages would cost more in queries than in entries."""


_NONE = pl.Series(ID, dtype=pl.UInt128)

Out = TypeVar("Out")
Each = Callable[[Callable[[tuple[int, int]], NewChunk], Iterable[tuple[int, int]]], Iterable[NewChunk]]
"""What `map` does, and an engine's `each` on several threads."""


class Index:
    """One index of one stage, as it stands at the stage's newest version; changes go into the stage's next draft."""

    def __init__(self, store: Store, stage: str, name: str) -> None:
        self.store, self.stage, self.part = store, stage, f"index:{name}"
        self.chunks = store.chunks(stage, self.part)
        self.touched = 0
        """Entries read so far."""
        self._held: dict[int, pl.DataFrame] = {}
        self._room = HELD_BYTES
        self._whole: pl.DataFrame | None = None
        """All entries, once all have been read and held."""
        self._gone: dict[int, pl.Series] | None = None
        largest = max((c.page for c in self.chunks), default=DELTA)
        self.pages = 1 << (largest.bit_length() - 1) if largest > 0 else 0

    def read(self, keys: pl.Series, *, ids: bool = True) -> pl.DataFrame:
        """All entries under `keys`; without `_id`, half of what an entry weighs, when it is not asked for."""
        if not self.chunks:
            return pl.DataFrame(schema={KEY: pl.UInt128, ID: pl.UInt128})
        wanted = keys.unique().implode()
        pages = set(self._page(keys, self.pages).unique().to_list()) if self.pages else set()
        touched = [c for c in self.chunks if c.page == DELTA or c.page in pages]
        found = []
        for rows in self._frames(touched, ids=ids):
            own = rows.filter(pl.col(KEY).is_in(wanted))
            if own.height:
                found.append(own)
        return (
            pl.concat(found, how="diagonal_relaxed")
            if found
            else pl.DataFrame(schema={KEY: pl.UInt128, ID: pl.UInt128})
        )

    def whole(self, keys: pl.Series) -> bool:
        """Whether `read` of these keys would read nearly every page there is."""
        return bool(self.pages) and self._page(keys, self.pages).n_unique() * 8 >= self.pages * 7

    def of(self, rows: pl.Series) -> pl.DataFrame:
        """All entries of the rows with these ids, which are looked for on every page."""
        wanted = rows.unique()
        return pl.concat([only(entries, wanted) for entries in self._frames(self.chunks)], how="diagonal_relaxed")

    def change(self, draft: Draft, added: pl.DataFrame, removed: pl.DataFrame, each: Each = map) -> None:
        """Take `removed` entries out and put `added` in, as part of `draft`; `each`: does work on each of many pages.

        An id leaves whole: `removed` must hold all entries of each id in it, `added` those that it has from now on.
        """
        if removed.height:
            self._remove(draft, removed)
        deltas = [c for c in self.chunks if c.page == DELTA]
        weight = sum(c.rows for c in deltas) + added.height
        base = sum(c.rows for c in self.chunks) - sum(c.rows for c in deltas)
        if not self.chunks or weight * 8 > base:
            self._fold(draft, added, each)
        elif len(deltas) >= MANY_DELTAS:
            whole = self._gather(draft, deltas, added)
            if whole.height:
                draft.added.append(NewChunk(self.part, self._put(draft, whole, DELTA), DELTA))
        elif added.height:
            draft.added.append(NewChunk(self.part, self._put(draft, added, DELTA), DELTA))

    def _remove(self, draft: Draft, removed: pl.DataFrame) -> None:
        for chunk in self.chunks:
            if chunk.page == DELTA:
                here = only(self._entries(chunk), removed[ID].unique())[ID].unique()
                draft.remove(chunk, here)
                removed = without(removed, here)
        if removed.height and self.pages:  # what is in no delta is in its page, which need not be read for it
            by_page = removed.select(ID, self._page(removed[KEY], self.pages).alias("page")).unique()
            going = {int(page): rows[ID] for (page,), rows in by_page.partition_by("page", as_dict=True).items()}
            for chunk in self.chunks:
                if chunk.page in going:
                    draft.remove(chunk, going[chunk.page])

    def _gather(self, draft: Draft, chunks: list[Chunk], added: pl.DataFrame) -> pl.DataFrame:
        """End these chunks; what they show beside `added`."""
        kept = []
        for chunk in chunks:
            frame = self._entries(chunk)
            gone = draft.removals.pop(chunk.id, None)
            kept.append(frame if gone is None else frame.join(gone.rename(ID).to_frame(), on=ID, how="anti"))
            draft.ended.append(chunk.id)
        self._held.clear()
        self._whole = None
        return pl.concat([*kept, added], how="diagonal_relaxed") if kept else added

    def _fold(self, draft: Draft, added: pl.DataFrame, each: Each) -> None:
        whole = self._gather(draft, self.chunks, added)
        if whole.is_empty():
            return
        pages = 1
        while pages < MOST_PAGES and pages * PAGE_ROWS < whole.height:
            pages *= 2
        numbers = self._page(whole[KEY], pages).to_numpy()
        order = np.argsort((numbers - pages).astype(np.uint16), kind="stable")  # within a page as they came
        numbers = numbers[order]
        begins = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()

        def page(part: tuple[int, int]) -> NewChunk:  # a sorted copy of all would be held beside what is there
            start, end = part
            number = int(numbers[start])
            return NewChunk(self.part, self._put(draft, whole[order[start:end]], number), number)

        draft.added += each(page, pairwise([*begins, whole.height]))

    def _put(self, draft: Draft, rows: pl.DataFrame, page: int) -> Stored:
        key = sha256(f"{self.stage}\n{self.part}\n{page}\n{draft.fingerprint}".encode()).hexdigest()[:32]
        return self.store.objects.put_frame(key, rows)

    def _frames(self, chunks: Sequence[Chunk], *, ids: bool = True) -> Iterator[pl.DataFrame]:
        """Frames that hold the entries of these chunks at least: all in one, once all are held."""
        if self._whole is not None:
            yield self._whole
            return
        if self._gone is None and len(chunks) >= MANY:
            self._gone = self.store.all_removed(self.stage, self.part)
        frames = []
        for rows in _joined((self._entries(c, ids=ids) for c in chunks), AT_ONCE):
            frames.append(rows)
            yield rows
        if ids and len(self._held) == len(self.chunks) >= MANY:
            self._whole = pl.concat(frames, how="diagonal_relaxed")
            self._held.clear()

    def _removed(self, chunk: Chunk) -> pl.Series:
        """The ids taken out of a chunk."""
        return self.store.removed(chunk) if self._gone is None else self._gone.get(chunk.id, _NONE)

    def _entries(self, chunk: Chunk, *, ids: bool = True) -> pl.DataFrame:
        if chunk.id in self._held:
            return self._held[chunk.id]
        gone = self._removed(chunk)
        whole = ids or len(gone) > 0
        rows = self.store.objects.get_frame(chunk.object, chunk.checksum, but=None if whole else ID)
        rows = without(rows, gone) if whole else rows
        self.touched += rows.height
        size = int(rows.estimated_size())
        if whole and size <= self._room:
            self._held[chunk.id] = rows
            self._room -= size
        return rows

    @staticmethod
    def _page(keys: pl.Series, pages: int) -> pl.Series:
        """Of 2^b pages, number 2^b + the key's top b bits, so that a number tells how many there are."""
        bits = pages.bit_length() - 1
        top = keys.rename(KEY).to_frame().select(high(KEY))[KEY]
        first = (top // (1 << (64 - bits))).cast(pl.Int64) if bits else pl.zeros(len(keys), pl.Int64, eager=True)
        return first + pages


def _joined(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in fewer frames, of `rows` rows or a little more."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(f.height for f in held) >= rows:
            yield pl.concat(held, how="diagonal_relaxed")
            held = []
    if held:
        yield pl.concat(held, how="diagonal_relaxed")


class Overlay:
    """An index that is not stored yet, or a change laid over one: what a law or a first run uses.

    >>> Overlay().read(pl.Series([1], dtype=pl.UInt128)).height
    0
    """

    def __init__(
        self,
        entries: pl.DataFrame | None = None,
        recalled: Sequence[str] = (),
        came: pl.DataFrame | None = None,
    ) -> None:
        """`recalled`: columns that `read` leaves out; `came`: the rows that come with the change."""
        self.entries = entries if entries is not None else pl.DataFrame(schema={KEY: pl.UInt128, ID: pl.UInt128})
        self.recalled = tuple(recalled)
        self.came = came

    def known(self) -> bool:
        """Whether there is any entry."""
        return self.entries.height > 0

    def each(self, rows: pl.Series, work: Callable[[pl.DataFrame], Out]) -> Iterator[Out]:
        """What `work` makes of the rows that came."""
        if self.came is not None:
            yield work(only(self.came, rows))

    def read(self, keys: pl.Series) -> pl.DataFrame:
        """All entries under `keys`."""
        found = self.entries.join(keys.unique().rename(KEY).to_frame(), on=KEY, how="semi")
        return drop_columns(found, *self.recalled)

    def recall(self, rows: pl.Series) -> pl.DataFrame:
        """All entries of the rows with these ids, whole."""
        return only(self.entries, rows)

    def keys_of(self, rows: pl.Series) -> pl.Series | None:
        """The keys under which these rows stand, if columns are recalled."""
        return only(self.entries, rows)[KEY] if self.recalled else None
