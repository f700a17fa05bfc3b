"""Association rules: what is bought together, counted exactly over all baskets.

Frequent sets are grown item by item, each kept as the bits of the baskets that hold it; a set that is too rare has no
larger ones that are not, so the search ends early. Cost: a count of bits for each candidate: 20,000 baskets of 1,000
frequent items take some seconds, and rarer items cost the most.
Sources: Agrawal and Srikant, Fast algorithms for mining association rules, VLDB 1994; Zaki, Scalable algorithms for
association mining (Eclat), IEEE TKDE 12, 2000; Brin, Motwani, Ullman, Tsur, Dynamic itemset counting, SIGMOD 1997
(lift).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.errors import BadData, UnknownName
from tillage.core.step import Group

KEY = "_key"
BETWEEN = "; "
"""Between the items of `if_items`, which are sorted."""

_MANY = 1_000_000
"""Frequent sets beyond which the limits are too low to be of use."""

Bits = np.ndarray[Any, np.dtype[np.uint8]]


class AssociationRules(Group):
    """A table of rules: who has `if_items` (with "; " between) also has `then_item`; a row a rule, by value of `by`.

    `baskets`: how many have all of them; `support`: their share of all baskets; `confidence`: their share of those that
    have `if_items`; `lift`: that share over the share of `then_item` among all (1: no connection). An item counts once
    a basket; rows without a basket or an item count nowhere.

    >>> rows = pl.DataFrame({"_key": [1] * 5, "bill": [1, 1, 2, 2, 3], "what": ["tea", "milk", "tea", "milk", "tea"]})
    >>> rules = AssociationRules(basket="bill", item="what", support=0.5, min_baskets=2, confidence=0.6, lift=0.0)
    >>> rules.apply({"rows": rows}).select("if_items", "then_item", "baskets", "confidence", "lift").rows()[0]
    ('milk', 'tea', 2, 1.0, 1.0)
    """

    basket: str = Field(min_length=1, description="column that says which rows belong together, such as an invoice")
    item: str = Field(min_length=1, description="column of what is in it, such as a product")
    by: Columns = Field((), description="columns whose values are looked at apart, such as a country")
    support: float = Field(0.01, gt=0, le=1, description="least share of baskets that have all items of a rule, 0 to 1")
    min_baskets: int = Field(5, ge=1, description="least baskets that have all items of a rule, whatever their share")
    confidence: float = Field(0.2, ge=0, le=1, description="least share of baskets in which the rule holds, 0 to 1")
    lift: float = Field(1.0, ge=0, description="least lift of a rule")
    items: int = Field(3, ge=2, le=6, description="most items of a rule, both sides together")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(basket="n", item="text", by=("city",), support=0.1, min_baskets=1, confidence=0.0, lift=0.0)

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.by, self.basket, self.item)))

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        """The columns in `by`; none: all rows have one key."""
        for name in self.needs():
            if name not in rows.columns:
                raise UnknownName("column", name, rows.columns)
        return self.by

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """The rules, sorted by key, the greatest lift first; BadData where the limits let too many sets through."""
        frame = rows["rows"]
        self.key(frame, "rows")
        told = (pl.col(self.basket).cast(pl.String).alias("_basket"), pl.col(self.item).cast(pl.String).alias("_item"))
        plain = frame.select(KEY, *self.by, *told)
        schema = {KEY: pl.UInt128, **{c: frame.schema[c] for c in self.by}, **_SCHEMA}
        made = []
        for part in plain.partition_by(KEY, maintain_order=True):
            own = self._rules(part.filter(pl.col("_basket").is_not_null() & pl.col("_item").is_not_null()))
            first = part.select(KEY, *(pl.col(c).sort().first() for c in self.by)).head(1)
            made.append(
                own.select(*(pl.lit(first[c]).first().alias(c) for c in first.columns), *_SCHEMA).cast(
                    pl.Schema(schema)
                )
            )
        found = pl.concat(made) if made else pl.DataFrame(schema=schema)
        order = [KEY, "lift", "confidence", "support", "if_items", "then_item"]
        return found.sort(order, descending=[False, True, True, True, False, False])

    def _rules(self, rows: pl.DataFrame) -> pl.DataFrame:
        pairs = rows.select("_basket", "_item").unique()
        total = pairs["_basket"].n_unique()
        counts = dict(self._frequent(pairs, total)) if total else {}
        names = pairs["_item"].unique().sort().to_list()
        found = []
        for items, n in counts.items():
            for then in items if len(items) > 1 else ():
                rest = tuple(i for i in items if i != then)
                sure = n / counts[rest]
                lift = sure / (counts[then,] / total)
                if sure >= self.confidence and lift >= self.lift:
                    found.append((BETWEEN.join(names[i] for i in rest), names[then], n, n / total, sure, lift))
        return pl.DataFrame(found, schema=_SCHEMA, orient="row")

    def _frequent(self, pairs: pl.DataFrame, total: int) -> Iterator[tuple[tuple[int, ...], int]]:
        """Sets of items (their places by name, ascending) that enough baskets have, and how many have them."""
        least = max(self.min_baskets, int(np.ceil(self.support * total - 1e-9)))
        item = (pairs["_item"].rank("dense") - 1).to_numpy()
        basket = (pairs["_basket"].rank("dense") - 1).to_numpy()
        often = np.flatnonzero(np.bincount(item) >= least)
        held: dict[tuple[int, ...], Bits] = {}
        for i in often.tolist():
            present = np.zeros(total, np.bool_)
            present[basket[item == i]] = True
            held[i,] = np.packbits(present)
        seen = 0
        while held:
            for items, bits in held.items():
                seen += 1
                if seen > _MANY:
                    raise BadData(
                        f"More than {_MANY:,} sets of '{self.item}' are in {self.support:.2%} of {total:,} baskets.",
                        fix="Raise 'support' or 'min_baskets', or ask for fewer 'items'.",
                    )
                yield items, _count(bits)
            held = dict(_larger(held, least)) if len(next(iter(held))) < self.items else {}


_SCHEMA: dict[str, Any] = {
    "if_items": pl.String,
    "then_item": pl.String,
    "baskets": pl.Int64,
    "support": pl.Float64,
    "confidence": pl.Float64,
    "lift": pl.Float64,
}


def _larger(held: Mapping[tuple[int, ...], Bits], least: int) -> Iterator[tuple[tuple[int, ...], Bits]]:
    """Sets of one item more: two that differ in the last alone, if all their parts are frequent and it is, too."""
    by_start: dict[tuple[int, ...], list[int]] = {}
    for items in held:
        by_start.setdefault(items[:-1], []).append(items[-1])
    for start, lasts in by_start.items():
        for a, b in combinations(sorted(lasts), 2):
            items = (*start, a, b)
            if all(items[:k] + items[k + 1 :] in held for k in range(len(start))):
                bits = held[*start, a] & held[*start, b]
                if _count(bits) >= least:
                    yield items, bits


def _count(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum())
