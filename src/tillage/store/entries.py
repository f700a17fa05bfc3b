"""Entries of the locator in the making: 8 bytes a row, in 16 shares by their first bits, sorted share by share.

An entry is the top 48 bits of a row_id and the place of its chunk in the low 16. Row_ids are evenly spread, so the
shares fill alike, and a share is sorted in a copy of it: a sixteenth more memory instead of as much again. Polars sorts
what numpy would sort in place, since numpy's way for AVX-512 takes four to five times as long on a processor that
stores compressed vectors slowly (Zen 4): 10,000,000 entries in 0.2 CPU seconds, the shares included, instead of 0.65.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
import polars as pl

from tillage.core.errors import TillageError
from tillage.core.rows import ID, Halves, high

LARGEST_RUN = 1 << 16
"""Chunks a run can tell apart."""

PLACE = np.uint64(0xFFFF)
"""The bits of an entry that number a chunk of its run."""

HIGH48 = ~PLACE

SHARES = 16
_SHARE_BITS = np.uint64(60)

FEW = 1000
"""Entries up to which numpy sorts them; a column of Polars costs 6 microseconds to make."""

PIECE = 1 << 18
"""Entries compared at a time."""


def prefixes(wanted: pl.Series) -> np.ndarray:
    """The top 48 bits of each id, in place."""
    if len(wanted) == 1:  # who forgets or traces one row asks ten times, and a query costs a tenth of a millisecond
        return np.array([wanted[0] >> 64], dtype=np.uint64) & HIGH48
    return wanted.rename(ID).to_frame().select(high(ID))[ID].to_numpy() & HIGH48


def ascending(entries: np.ndarray) -> np.ndarray:
    """The entries sorted, as a copy.

    >>> ascending(np.array([3, 1, 2], dtype=np.uint64)).tolist()
    [1, 2, 3]
    """
    if len(entries) <= FEW:
        return np.sort(entries)
    return pl.Series(entries).sort(multithreaded=False).to_numpy()


class Entries:
    """The entries of a run in the making: 8 bytes a row, set aside at once, so that no part of them is held twice.

    >>> run = Entries(2)
    >>> run.add(pl.Series([5 << 80, 3 << 80], dtype=pl.UInt128))
    >>> [int(e) >> 16 for e in run.sorted()]
    [3, 5]
    """

    def __init__(self, expected: int) -> None:
        """`expected`: about how many rows will come; memory is taken as they do."""
        self._room = -(-expected // SHARES) + 4 * isqrt(expected)  # 16 standard deviations above the mean of a share
        self._entries = np.empty(SHARES * self._room, dtype="<u8")
        self._held = [0] * SHARES
        self._chunks = 0

    def add(self, shown: pl.Series, made: Halves | None = None) -> None:
        """The ids that the next chunk shows; `made`: in halves, where these are at hand.

        Raises TillageError for more chunks than a run can tell apart.
        """
        if self._chunks == LARGEST_RUN:
            raise TillageError(
                f"One reading wrote more than {LARGEST_RUN:,} chunks, too many for a table with a key.",
                fix="Add the files in several runs.",
            )
        entries = prefixes(shown) if made is None else made.hi.to_numpy() & HIGH48
        entries |= np.uint64(self._chunks)
        self._chunks += 1
        shares = (entries >> _SHARE_BITS).astype(np.uint8)
        counts = np.bincount(shares, minlength=SHARES).tolist()
        most = max(held + more for held, more in zip(self._held, counts, strict=True))
        if most > self._room:
            self._widen(max(2 * self._room, most))
        by_share = entries[np.argsort(shares, kind="stable")]
        start = 0
        for share, more in enumerate(counts):
            at = share * self._room + self._held[share]
            self._entries[at : at + more] = by_share[start : start + more]
            self._held[share] += more
            start += more

    def _widen(self, room: int) -> None:
        """More room for each share; ids that are not spread evenly, or more than were expected, ask for it."""
        wider = np.empty(SHARES * room, dtype="<u8")
        for share, held in enumerate(self._held):
            wider[share * room :][:held] = self._entries[share * self._room :][:held]
        self._entries, self._room = wider, room

    def sorted(self) -> np.ndarray:
        """All entries, ascending: the end of the run, as they are moved together where they stand."""
        end = 0
        for share, held in enumerate(self._held):
            own = self._entries[share * self._room :][:held]
            self._entries[end : end + held] = ascending(own)
            end += held
        return self._entries[:end]


def alike(entries: np.ndarray) -> np.ndarray:
    """The prefixes that stand more than once in a run, in pieces, so that memory stays that of the run."""
    found = [_NONE]
    for at in range(0, len(entries) - 1, PIECE):
        some = entries[at : at + PIECE + 1]
        found.append(some[1:][(some[1:] ^ some[:-1]) <= PLACE] & HIGH48)
    return np.concatenate(found)


def places_of(entries: np.ndarray, same: np.ndarray) -> list[int]:
    """The places, ascending, of the chunks that show ids with one of these prefixes."""
    first, stop = np.searchsorted(entries, same), np.searchsorted(entries, same | PLACE, side="right")
    return sorted({int(e) for a, b in zip(first, stop, strict=True) for e in entries[a:b] & PLACE})


_NONE = np.empty(0, dtype="<u8")
