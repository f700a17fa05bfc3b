"""Rows of one key that contradict: cell by cell against plain counting, and those that leave; keep the last."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.keys import hash_text
from tillage.prepare import DropConflicts, DropDuplicates, ResolveConflicts

cell = st.sampled_from(["a", "b", "北京", None])
table = st.lists(st.tuples(st.sampled_from(["k", "l", None]), cell, st.none() | st.integers(0, 4)), max_size=12)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    out = pl.DataFrame(rows, schema={"k": pl.String, "v": pl.String, "day": pl.Int64}, orient="row")
    return out.with_columns(_id=pl.int_range(pl.len()).cast(pl.UInt128)).with_columns(
        hash_text(out, ["k"]).alias("_key")
    )


def chosen(policy: str, cells: list[tuple[str, int | None]]) -> str | None:
    if not cells:
        return None
    count = Counter(v for v, _ in cells)
    days = {v: [d for w, d in cells if w == v and d is not None] for v in count}
    last = {v: max(d, default=-1) for v, d in days.items()}
    first = {v: min(d, default=99) for v, d in days.items()}
    ranked = {
        "majority": lambda v: (-count[v], -last[v], v),
        "last": lambda v: (-last[v], v),
        "first": lambda v: (first[v], v),
        "least": lambda v: v,
        "greatest": lambda v: tuple(-ord(c) for c in v),
    }[policy]
    return min(count, key=ranked)


@settings(max_examples=100, deadline=None)
@given(rows=table, policy=st.sampled_from(["majority", "first", "last", "least", "greatest"]))
def test_each_cell_as_by_hand(rows: list[tuple[Any, ...]], policy: str) -> None:
    step = ResolveConflicts.model_validate({"by": ["k"], "cells": policy, "order": "day", "conflicts": "differ"})
    groups: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    out = step.apply({"rows": frame(rows)})
    assert sorted(out["k"].to_list(), key=repr) == sorted(groups, key=repr)
    for k, v, _, differ in out.drop("_key").rows():
        cells = [(row[1], row[2]) for row in groups[k] if row[1] is not None]
        assert v == chosen(policy, cells)
        columns = {"v": {v for v, _ in cells}, "day": {row[2] for row in groups[k]} - {None}}
        assert differ == (", ".join(c for c in ("v", "day") if len(columns[c]) > 1) or None)


@settings(max_examples=100, deadline=None)
@given(rows=table)
def test_rows_that_contradict_leave(rows: list[tuple[Any, ...]]) -> None:
    out = DropConflicts(by=("k",), columns=("v",)).compute({"rows": frame(rows)})
    says: dict[Any, set[Any]] = defaultdict(set)
    for k, v, _ in rows:
        says[k].add(v)
    assert out["_reason"].to_list() == ["conflict" if len(says[k]) > 1 else None for k, _, _ in rows]


def test_the_last_row_of_a_key_stays() -> None:
    rows = pl.DataFrame({"k": list("aaaabb"), "day": [3.0, None, float("nan"), 5.0, None, float("nan")]})
    rows = rows.with_columns(_id=pl.int_range(6).cast(pl.UInt128))
    last = DropDuplicates.model_validate({"columns": ["k"], "keep": {"last": "day"}}).compute({"rows": rows})
    first = DropDuplicates.model_validate({"columns": ["k"], "keep": {"first": "day"}}).compute({"rows": rows})
    assert last["_into"].to_list() == [3, 3, 3, None, 5, None]
    assert first["_into"].to_list() == [None, 0, 0, 0, 5, None]


def test_numbers_that_are_equal_do_not_contradict() -> None:
    rows = pl.DataFrame({"k": ["a", "a", "a"], "x": [0.0, -0.0, float("nan")], "_key": [1, 1, 1]})
    out = ResolveConflicts(by=("k",), conflicts="differ").apply({"rows": rows})
    assert out.drop("_key").row(0) == ("a", 0.0, None)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValidationError, match="need 'order'"):
        ResolveConflicts.model_validate({"by": ["k"], "cells": "last"})
    with pytest.raises(ValidationError, match="column of the key"):
        ResolveConflicts.model_validate({"by": ["k"], "columns": {"k": "least"}})
    with pytest.raises(ValidationError, match="column of the key"):
        DropConflicts(by=("k",), columns=("k",))
    with pytest.raises(ConfigurationError, match="one of that name"):
        ResolveConflicts(by=("k",), conflicts="v").apply({"rows": frame([("a", "b", 1)])})


@pytest.mark.parametrize("policy", ["majority", "last", "first", "least", "greatest"])
def test_a_column_without_any_value_stays_so(policy: str) -> None:
    rows = pl.DataFrame({"k": ["a", "a"], "v": [None, None], "day": [1, 2]}).with_columns(
        _id=pl.int_range(2).cast(pl.UInt128)
    )
    rows = rows.with_columns(hash_text(rows, ["k"]).alias("_key"))
    step = ResolveConflicts.model_validate({"by": ["k"], "order": "day", "columns": {"v": policy}})
    assert step.apply({"rows": rows})["v"].to_list() == [None]
