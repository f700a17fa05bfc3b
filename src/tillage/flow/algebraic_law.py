"""What must hold of a Group that works in parts, tried on rows; `flow.laws` tells it with the other laws.

A partial result stands in the store for rows that are not looked at again: one that adds up wrongly is never noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import polars as pl

from tillage.core.errors import TillageError
from tillage.core.keys import hash_text
from tillage.core.step import Algebraic
from tillage.flow.comparison import cuts, outcome
from tillage.store.frames import packed, unpacked
from tillage.store.index import KEY


def in_parts(step: Algebraic, given: dict[str, pl.DataFrame], random: Random) -> Iterator[str]:
    """Partial results, stored and merged in any order, give what all rows give at once, and count their rows."""
    (port,) = step.ports
    rows = given[port].with_columns(hash_text(given[port], step.key(given[port], port)).alias(KEY))
    if not step.in_parts():
        return
    try:
        whole = outcome(lambda: step.finish(step.partial(rows)))
        for places in cuts(rows.height, random):
            partials = [step.partial(rows[a:b]) for a, b in pairwise(places)]
            merged = _merged(step, partials or [step.partial(rows)], random)
            if outcome(lambda: step.finish(merged)) != whole:  # noqa: B023
                yield f"cut at {places[:8]}, kept and merged it gives other rows than from all rows at once."
            stands = rows.group_by(KEY).agg(pl.len().cast(pl.Int64).alias("_n")).sort(KEY)
            if not merged[[KEY, "_n"]].sort(KEY).equals(stands):
                yield "`_n` is not how many rows a partial result stands for."
    except TillageError:  # a refusal of these rows, which the other laws compare
        return


def _merged(step: Algebraic, partials: list[pl.DataFrame], random: Random) -> pl.DataFrame:
    """All of them in one, two or three at a time, each result stored and read again."""
    while len(partials) > 1:
        random.shuffle(partials)
        together, partials = partials[:3], partials[3:]
        data, suffix = packed(step.merge(pl.concat(together)))
        partials.append(unpacked(data, f"kept.{suffix}"))
    return step.merge(partials[0])
