"""Hashes of 64 bits that differ in few of them, found by bands without a miss, and followed through changes.

Pairs within a band are compared by the number of bits that differ: a nanosecond each. With d + 1 bands of 64 / (d + 1)
bits, n hashes spread evenly make n^2 / 2^(1 + 64 / (d + 1)) pairs a band: 10^5 hashes, 3 million at distance 4.
Source: Norouzi, Punjani, Fleet, Fast search in Hamming space with multi-index hashing, CVPR 2012.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

from tillage.core.rows import ID
from tillage.core.step import Keyed
from tillage.media import band_values
from tillage.prepare.touched import KEY

HASH = "hash"

Hashes = NDArray[np.uint64]

_BLOCK = 2048
"""Rows of a square of pairs that are compared at once: 32 MB."""


def banded(rows: pl.DataFrame, bands: int) -> pl.DataFrame:
    """Entries of rows with `_id` and `hash`: one under each band of the hash; one under the `_id` where it is null.

    >>> rows = pl.DataFrame({"_id": pl.Series([1, 2], dtype=pl.UInt128), "hash": pl.Series([5, None], dtype=pl.UInt64)})
    >>> banded(rows, 3).height
    4
    """
    known = rows[HASH].is_not_null().to_numpy()
    counts = np.where(known, bands, 1)
    every = rows[np.repeat(np.arange(rows.height), counts)]
    values = np.zeros(int(counts.sum()), dtype=np.uint64)
    numbers = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    values[np.repeat(known, counts)] = band_values(rows[HASH].drop_nulls().to_numpy(), bands).reshape(-1)
    keys = pl.DataFrame({"n": numbers, "v": values}).select(plh.hash_rows("n", "v").alias(KEY))
    hashed = keys.select(plh.col(KEY).nchash.xxh3_128())
    return every.with_columns(pl.when(pl.col(HASH).is_null()).then(ID).otherwise(hashed[KEY]).alias(KEY)).select(
        ID, KEY, pl.exclude(ID, KEY)
    )


def clusters(hashes: pl.Series, distance: int) -> pl.Series:
    """The number of the cluster of each hash: those linked, directly or not, by at most `distance` bits; null of null.

    >>> clusters(pl.Series([0, 0b1, 0b11, 0b1111000, None], dtype=pl.UInt64), 1).to_list()
    [0, 0, 0, 1, None]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    distinct = hashes.drop_nulls().unique().sort()
    values = distinct.to_numpy()
    pairs = _alike(values, distance)
    links = coo_array((np.ones(len(pairs[0]), dtype=np.int8), pairs), shape=(len(values), len(values)))
    labels = connected_components(links, directed=False)[1] if len(values) else np.zeros(0, dtype=np.int32)
    known = pl.DataFrame({HASH: distinct, "cluster": labels.astype(np.int64)}, schema_overrides={HASH: pl.UInt64})
    return hashes.rename(HASH).to_frame().join(known, on=HASH, how="left", maintain_order="left")["cluster"]


def _alike(values: Hashes, distance: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all pairs of (distinct) hashes that differ in at most so many bits; a pair may come again."""
    one, other = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    bands = band_values(values, distance + 1)
    for n in range(distance + 1 if distance else 0):
        order = np.argsort(bands[:, n], kind="stable")
        ends = np.flatnonzero(np.r_[np.diff(bands[order, n]) != 0, True]) + 1
        for start, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
            members = order[start:end]
            for at in range(0, len(members) if len(members) > 1 else 0, _BLOCK):
                some = members[at : at + _BLOCK]
                near = np.bitwise_count(values[some][:, None] ^ values[members[at:]][None, :]) <= distance
                rows, columns = np.nonzero(near)
                one.append(some[rows])
                other.append(members[at:][columns])
    return np.concatenate(one), np.concatenate(other)


def reached(state: Keyed, moved: pl.DataFrame, distance: int) -> pl.DataFrame:
    """The rows that stood before in the clusters which rows that came or went belong to, or come to belong to.

    `moved`: those rows, with `_id`, `hash` and what else an entry holds. The index is asked again as long as a cluster
    grows.
    """
    bands = distance + 1
    standing = _read(state, moved.filter(pl.col(HASH).is_null())[ID].unique(), moved)
    inside = frontier = moved[HASH].drop_nulls().unique()
    known, asked = inside, pl.Series(KEY, [], dtype=pl.UInt128)
    while len(frontier):
        keys = banded(frontier.to_frame(HASH).with_columns(pl.lit(0, dtype=pl.UInt128).alias(ID)), bands)[KEY].unique()
        found = _read(state, keys.filter(~keys.is_in(asked.implode())), moved)
        asked = pl.concat([asked, keys])
        standing = pl.concat([standing, found]).unique(ID, maintain_order=True)
        known = pl.concat([known, found[HASH]]).unique()
        labels = pl.DataFrame({HASH: known, "cluster": clusters(known, distance)})
        mine = labels.filter(pl.col(HASH).is_in(inside.implode()))["cluster"]
        wider = labels.filter(pl.col("cluster").is_in(mine.unique().implode()))[HASH]
        frontier = wider.filter(~wider.is_in(inside.implode()))
        inside = wider
    return standing.filter(pl.col(HASH).is_null() | pl.col(HASH).is_in(inside.implode()))


def _read(state: Keyed, keys: pl.Series, like: pl.DataFrame) -> pl.DataFrame:
    found = state.read(keys) if len(keys) else like.clear()
    return found.select(like.columns).unique(ID, maintain_order=True) if found.height else like.clear()
