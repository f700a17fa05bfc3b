"""Pictures that look alike become one, whatever their size, format or compression: the others leave as merged into it.

A picture is hashed to 64 bits; two are alike when at most `distance` bits differ. Each row has an entry under every one
of `distance` + 1 bands of its hash, and of two hashes alike one band at least is equal (the pigeonhole principle), so
none is missed. The cost is reading each picture once; 40 bytes of state a band; a change costs the clusters it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tillage.core.rows import ID, INTO, MERGED, REASON, leave
from tillage.core.step import Keyed, Whole
from tillage.media import SIZE, Pictures, Size, dhash, phash
from tillage.prepare.columns import require
from tillage.prepare.drop_duplicates import KeepFirst
from tillage.prepare.near_hashes import HASH, banded, clusters, reached
from tillage.prepare.touched import KEY, changed

_ORDER = "order"


class DropImageDuplicates(Whole):
    """Of pictures that look alike one stays; each other leaves with reason `merged` and the keeper's `_id` in `_into`.

    Alike is passed on: if a is like b and b like c, all three are one. Rows whose bytes are no picture, or null, stay.
    Pictures with little in them (a sign on white) have hashes of little content: look at what goes before you raise
    `distance`. What shines through is laid on white. All pictures of a single colour are alike.

    >>> import numpy as np
    >>> from tillage.media import encode_image
    >>> ramp = np.arange(0, 240, 10, dtype=np.uint8)[None, :, None].repeat(12, axis=0)
    >>> pictures = [encode_image(p) for p in (ramp, ramp[:, ::-1], ramp[::2, ::2] + np.uint8(5))]
    >>> rows = pl.DataFrame({"image": pictures, "_id": pl.Series([7, 8, 9], dtype=pl.UInt128)})
    >>> DropImageDuplicates(column="image", size=None).compute({"rows": rows}).select("_reason", "_into").rows()
    [(None, None), (None, None), ('merged', 7)]

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions, 2010.
    """

    version: ClassVar[int] = 2
    incremental: ClassVar[bool] = True

    column: str = Field("pixels", description="column of pictures, as bytes")
    size: Size = SIZE
    hash: Literal["dhash", "phash"] = Field(
        "dhash", description="dhash: from pixel to pixel, fast; phash: lowest frequencies, firmer against noise"
    )
    distance: int = Field(4, ge=0, le=12, description="greatest number of bits, of 64, in which alike pictures differ")
    keep: Literal["smallest_id"] | KeepFirst = Field(
        "smallest_id", description="which row stays: the smallest _id, or the first by a column"
    )

    def needs(self) -> tuple[str, ...]:
        """The column of pictures, those of their size, and the one that chooses the keeper."""
        return tuple(dict.fromkeys([self.column, *(self.size or ()), *self._order()]))

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """All rows in their order, those that leave marked with `_reason` and `_into`."""
        rows = inputs["rows"]
        decisions = self._decide(_once(self.entries(rows)))
        marked = rows.join(decisions.select(ID, INTO), on=ID, how="left", maintain_order="left")
        return leave(marked, MERGED, pl.col(INTO).is_not_null())

    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`_id`, `_key` (a band of the hash) and `hash`, an entry a band; one under its own `_id` where none is."""
        pictures = Pictures(rows, self.column, self.size)
        require(rows, self.needs())
        hashed = dhash if self.hash == "dhash" else phash
        found = pictures.each(lambda _, pixels: hashed(pixels))
        order = [pl.col(c).alias(_ORDER) for c in self._order()]
        plain = rows.select(ID, pl.Series(HASH, found, dtype=pl.UInt64), *order)
        return banded(plain, self.distance + 1)

    def decides_by_key(self) -> bool:
        """Pictures are merged along chains."""
        return False

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions on the added rows, and on those of the clusters reached that now fare otherwise."""
        now, gone = _once(added), _once(removed)
        before = reached(state, pl.concat([now, gone], how="vertical_relaxed"), self.distance)
        stayed = before.join(gone.select(ID), on=ID, how="anti")
        after = pl.concat([stayed, now], how="vertical_relaxed")
        return changed(self._decide(before), self._decide(after), now[ID])

    def _order(self) -> tuple[str, ...]:
        return (self.keep.first,) if isinstance(self.keep, KeepFirst) else ()

    def _decide(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Decisions on rows with their hash, whose clusters are complete."""
        labelled = rows.with_columns(clusters(rows[HASH], self.distance).alias("cluster"))
        ordered = labelled.sort([_ORDER, ID] if _ORDER in rows.columns else [ID], nulls_last=True)
        keeper = pl.when(pl.col("cluster").is_null()).then(ID).otherwise(pl.col(ID).first().over("cluster"))
        merged = pl.when(pl.col("keeper") != pl.col(ID))
        return ordered.with_columns(keeper.alias("keeper")).select(
            ID, merged.then(pl.lit(MERGED)).alias(REASON), merged.then("keeper").otherwise(None).alias(INTO)
        )


def _once(entries: pl.DataFrame) -> pl.DataFrame:
    """The rows behind entries."""
    return entries.drop(KEY).unique(ID, keep="first", maintain_order=True)
