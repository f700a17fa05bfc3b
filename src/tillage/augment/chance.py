"""Chance that belongs to a row: each draw follows from (salt, `_id`, place), and from nothing else.

So it does not matter in which chunk, order or process a row is met, nor whether it is met again. A row costs one
128-bit hash, a draw 5 nanoseconds.
Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (SplitMix64, its finaliser).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tillage.core.keys import child_ids
from tillage.core.rows import ID, low

Places = NDArray[np.int64]

_GOLDEN, _SILVER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Chance:
    """The draws of some rows, told apart by a salt (what for) and by places within a row (which word, which pixel).

    >>> ids = pl.Series([7, 8], dtype=pl.UInt128)
    >>> one, other = Chance(ids, "noise:0").uniform(), Chance(ids.reverse(), "noise:0").uniform()
    >>> bool((one == other[::-1]).all() and one[0] != one[1])
    True
    """

    def __init__(self, ids: pl.Series, salt: str) -> None:
        hashed = child_ids(ids, f"chance:{salt}").to_frame(ID)
        self.seeds: NDArray[np.uint64] = hashed.select(low(ID)).to_series().to_numpy().astype(np.uint64)

    def bits(self, rows: Places | None = None, places: Places | int = 0, what: int = 0) -> NDArray[np.uint64]:
        """64 random bits for each place of each of these rows (positions; none: all); `what`: another draw there."""
        seeds = self.seeds if rows is None else self.seeds[rows]
        with np.errstate(over="ignore"):
            at = (np.asarray(places).astype(np.uint64) + np.uint64(1)) * _GOLDEN
            return _mixed(seeds + at + np.uint64(what) * _SILVER)

    def uniform(self, rows: Places | None = None, places: Places | int = 0, what: int = 0) -> NDArray[np.float64]:
        """Numbers in [0, 1), as `bits` are drawn."""
        return (self.bits(rows, places, what) >> np.uint64(11)).astype(np.float64) / float(1 << 53)

    def below(
        self, limits: Places, rows: Places | None = None, places: Places | int = 0, what: int = 0
    ) -> NDArray[np.int64]:
        """A whole number from 0 to below each limit (1 at least), as `bits` are drawn."""
        return np.minimum((self.uniform(rows, places, what) * limits).astype(np.int64), limits - 1)


def stream(seed: int, count: int) -> NDArray[np.uint64]:
    """`count` random words of 64 bits that follow from a seed: the noise of one picture, or of one sound.

    >>> int(stream(3, 2)[1]) == int(stream(3, 5)[1])
    True
    """
    with np.errstate(over="ignore"):
        return _mixed(np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


def normals(seed: int, count: int) -> NDArray[np.float32]:
    """`count` draws of the standard normal distribution in steps of 1/65536 of probability, so within 4.3 of 0.

    Four draws come out of one word of 64 bits by a table, which takes a nanosecond each.

    >>> bool(abs(normals(1, 40_000).mean()) < 0.02 and abs(normals(1, 40_000).std() - 1) < 0.02)
    True
    """
    words = stream(seed, -(-count // 4)).view(np.uint16)[:count]
    return _quantiles()[words]


@lru_cache(maxsize=1)
def _quantiles() -> NDArray[np.float32]:
    from scipy.special import ndtri

    table: NDArray[np.float32] = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)
    return table


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    mixed: NDArray[np.uint64] = words ^ (words >> np.uint64(31))
    return mixed
