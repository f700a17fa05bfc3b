"""What must hold of a step that learns in shards, tried on rows; `flow.laws` tells it with the other laws.

A shard that knows of another's rows would keep what is forgotten there, and no digest would tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import polars as pl

from tillage.core.errors import TillageError
from tillage.core.rows import ID
from tillage.core.state import State, decode, encode
from tillage.core.step import Sharded
from tillage.flow.comparison import outcome, shuffled

SHARDS, SLICES = 3, 2


def apart(step: Sharded, given: dict[str, pl.DataFrame], random: Random) -> Iterator[str]:
    """A shard's rows follow from their ids, its state from its rows, and the result from the states.

    A step whose parameters ask for no shards is tried with some.
    """
    rows = given["rows"]
    if not step.in_shards():
        written = step.model_dump(mode="json", by_alias=True)
        step = type(step).model_validate({**written, "shards": SHARDS, "slices": SLICES})
    parted = step.parted(rows)
    if rows.height:
        lost = rows[random.randrange(rows.height)][ID]
        fewer = step.parted(shuffled(rows.filter(pl.col(ID) != lost[0]), random))
        for number, (before, after) in enumerate(zip(parted, fewer, strict=True)):
            kept = [part.filter(pl.col(ID) != lost[0]) for part in before]
            if any(not a.equals(b) for a, b in zip(kept, after, strict=True)):
                yield f"when one row leaves, shard {number + 1} holds other rows than the rest of those that it held."
                break
    if sorted(i for slices in parted for part in slices for i in part[ID]) != sorted(rows[ID]):
        yield "a row stands in no shard, or in two."
    try:
        states = [_trained(step, slices) for slices in reversed(parted)][::-1]
    except _SpoiltError:
        yield "train changes the state that it was given."
        return
    except TillageError:  # a refusal of these rows, which is compared with that of `compute`
        return
    if outcome(lambda: step.join(states)) != outcome(lambda: step.compute(given)):
        yield "learnt in another order, from states saved and loaded, its shards join to another result."


class _SpoiltError(Exception):
    """A state was changed by who was given it."""


def _trained(step: Sharded, slices: list[pl.DataFrame]) -> State:
    state: Any = None
    for k in range(len(slices)):
        before = encode(state)
        after = step.train(pl.concat(slices[: k + 1]), state)
        if encode(state) != before:
            raise _SpoiltError
        state = decode(encode(after))
    return state
