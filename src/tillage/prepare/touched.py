"""How a Whole that decides key by key follows a change: only the keys of rows that came or went are looked at.

The cost is that of the entries under the touched keys, whatever the size of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import polars_hash as plh

from tillage.core.rows import ID, INTO, REASON, only
from tillage.core.step import Keyed

KEY = "_key"

Decide = Callable[[pl.DataFrame], pl.DataFrame]
"""From all entries of some keys to their decisions: `_id`, `_reason`, `_into`, in the order of the entries."""


def content_keys(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """XXH3-128 (UInt128) of the values of these columns, the same in every batch and on every machine.

    Equal values have equal keys: null equals null and differs from the empty text, NaN equals NaN, -0.0 equals 0.0.
    The encoding under the hash is injective, so ("ab", "c") differs from ("a", "bc").

    >>> rows = pl.DataFrame({"x": [0.0, -0.0, 1.0], "t": ["a", "a", None]})
    >>> content_keys(rows, ["x", "t"]).n_unique()
    2
    """
    return rows.select(plh.hash_rows(*columns).alias(KEY)).select(plh.col(KEY).nchash.xxh3_128())[KEY]


def follow(state: Keyed, added: pl.DataFrame, removed: pl.DataFrame, decide: Decide) -> pl.DataFrame:
    """Decisions on every added entry, and on each that stayed and is now decided otherwise.

    An entry that was removed and added again (its payload or its key changed) counts as added.
    """
    keys = pl.concat([added[KEY], removed[KEY]]).unique()
    found = state.read(keys)
    before = found.select(added.columns) if found.height else added.clear()
    stayed = before.join(removed, on=[ID, KEY], how="anti")
    return changed(decide(before), decide(pl.concat([stayed, added], how="vertical_relaxed")), added[ID])


def changed(before: pl.DataFrame, now: pl.DataFrame, added: pl.Series) -> pl.DataFrame:
    """Of the decisions `now`, those on `added` rows and those that were others `before`.

    >>> now = pl.DataFrame({ID: [1, 2], REASON: [None, None], INTO: [None, None]}, schema_overrides={ID: pl.UInt128})
    >>> changed(now, now, pl.Series([2], dtype=pl.UInt128))[ID].to_list()
    [2]
    """
    if before.is_empty():  # as in a first run, where all others are many
        return only(now, added).select(ID, REASON, INTO)
    was = before.rename({REASON: "reason_was", INTO: "into_was"})
    compared = now.join(was, on=ID, how="left", maintain_order="left")
    same = pl.col(REASON).eq_missing(pl.col("reason_was")) & pl.col(INTO).eq_missing(pl.col("into_was"))
    is_added = pl.col(ID).is_in(added.implode())
    return compared.filter(is_added | ~same).select(ID, REASON, INTO)
