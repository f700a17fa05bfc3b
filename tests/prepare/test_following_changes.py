"""DropDuplicates and DropLeaks: `compute` against plain Python, and `change` against `compute` after every batch."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError, Whole
from tillage.prepare import DropDuplicates, DropLeaks, KeepFirst

Out = TypeVar("Out")
Row = dict[str, Any]
Decisions = dict[int, tuple[str | None, int | None]]

SCHEMA = {"_id": pl.UInt128, "text": pl.String, "x": pl.Float64, "day": pl.String, "split": pl.String}


class Index:
    """Entries in memory, read by key, as the store's index gives them."""

    def __init__(self) -> None:
        self.entries: pl.DataFrame | None = None

    def read(self, keys: pl.Series) -> pl.DataFrame:
        if self.entries is None:
            return pl.DataFrame()
        return self.entries.filter(pl.col("_key").is_in(keys.implode()))

    def recall(self, rows: pl.Series) -> pl.DataFrame:
        assert self.entries is not None
        return self.entries.filter(pl.col("_id").is_in(rows.implode()))

    def keys_of(self, rows: pl.Series) -> pl.Series | None:
        return None

    def known(self) -> bool:
        return self.entries is not None

    def each(self, rows: pl.Series, work: Callable[[pl.DataFrame], Out]) -> Iterator[Out]:
        raise AssertionError("these steps read nothing again")

    def absorb(self, added: pl.DataFrame, removed: pl.DataFrame) -> None:
        base = added.clear() if self.entries is None else self.entries
        self.entries = pl.concat([base.join(removed, on=["_id", "_key"], how="anti"), added])


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def decisions(marked: pl.DataFrame) -> Decisions:
    columns = ("_id", "_reason", "_into") if "_into" in marked.columns else ("_id", "_reason")
    return {row[0]: (row[1], row[2] if len(row) > 2 else None) for row in marked.select(columns).rows()}


def same_float(x: float | None) -> object:
    return None if x is None else "nan" if math.isnan(x) else x + 0.0


def plain_duplicates(rows: list[Row], by_day: bool) -> Decisions:
    groups = defaultdict(list)
    for row in rows:
        groups[row["text"], same_float(row["x"])].append(row)
    out: Decisions = {}
    for group in groups.values():
        order = sorted(group, key=lambda r: (by_day and r["day"] is None, (by_day and r["day"]) or "", r["_id"]))
        out |= {r["_id"]: ("merged", order[0]["_id"]) for r in order[1:]} | {order[0]["_id"]: (None, None)}
    return out


def plain_leaks(rows: list[Row]) -> Decisions:
    def key(row: Row) -> object:
        text = row["text"]
        if text is not None:
            text = " ".join(unicodedata.normalize("NFKC", text).lower().split())
        return text, same_float(row["x"])

    tested = {key(row) for row in rows if row["split"] == "test"}
    return {r["_id"]: ("leak" if r["split"] != "test" and key(r) in tested else None, None) for r in rows}


STEPS: dict[str, tuple[Whole, Callable[[list[Row]], Decisions]]] = {
    "smallest id": (DropDuplicates(columns=("text", "x")), lambda rows: plain_duplicates(rows, by_day=False)),
    "first day": (
        DropDuplicates(columns=("text", "x"), keep=KeepFirst(first="day")),
        lambda rows: plain_duplicates(rows, by_day=True),
    ),
    "leaks": (DropLeaks(columns=("text", "x")), plain_leaks),
}

row_values = st.fixed_dictionaries(
    {
        "text": st.sampled_from(["a", "A ", "Ａ", "", None, "发烧"]),
        "x": st.sampled_from([0.0, -0.0, None, math.nan]),
        "day": st.sampled_from(["2024-01-05", "2023", None]),
        "split": st.sampled_from(["test", "train", "train", None]),
    }
)
row_ids = st.sampled_from([1, 2, 3, 4, 5, 2**64 + 1, 2**127, 2**128 - 1])
batches = st.lists(
    st.tuples(st.dictionaries(row_ids, row_values, max_size=6), st.sets(row_ids, max_size=4)), max_size=6
)


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=60, deadline=None)
@given(batches=batches)
def test_changes_add_up_to_a_computation_from_scratch(name: str, batches: list[Any]) -> None:
    step, oracle = STEPS[name]
    table: dict[int, Row] = {}
    index, known = Index(), Decisions()
    for upserts, removals in batches:
        gone = [table.pop(i) for i in sorted({*upserts, *removals}) if i in table]
        came = [{"_id": i, **values} for i, values in upserts.items()]
        table |= {row["_id"]: row for row in came}

        added, removed = step.entries(frame(came)), step.entries(frame(gone))
        keys = pl.concat([added["_key"], removed["_key"]]).unique()
        touched = set(index.read(keys)["_id"]) if index.entries is not None else set()
        changed = step.change(index, added, removed)
        index.absorb(added, removed)
        assert changed.columns == ["_id", "_reason", "_into"]
        assert changed["_id"].is_unique().all()

        after = decisions(changed)
        assert set(upserts) <= set(after) <= set(table)
        assert set(after) - set(upserts) <= touched  # nothing beyond the touched keys
        assert all(known[i] != after[i] for i in set(after) - set(upserts))  # nor what fares as before
        known = {i: d for i, d in known.items() if i in table} | after

        expected = oracle(list(table.values()))
        assert known == expected
        assert decisions(step.compute({"rows": frame(list(table.values()))})) == expected


def test_the_keeper_that_leaves_gives_its_place_to_the_next() -> None:
    step = DropDuplicates(columns=("text",))
    rows = frame([{"_id": i, "text": "a"} for i in (5, 6, 7)])
    index = Index()
    index.absorb(step.entries(rows), step.entries(rows.clear()))
    changed = step.change(index, step.entries(rows.clear()), step.entries(rows[:1]))
    assert decisions(changed) == {6: (None, None), 7: ("merged", 6)}


def test_keys_do_not_depend_on_the_batch() -> None:
    rows = frame([{"_id": 1, "text": "a"}, {"_id": 2, "text": None}])
    for step in (DropDuplicates(columns=("text",)), DropLeaks(columns=("text",))):
        assert step.entries(rows)["_key"][0] == step.entries(rows[:1])["_key"][0]
    swapped = DropDuplicates().entries(rows.select("_id", "day", "x", "text", "split"))
    assert swapped.equals(DropDuplicates().entries(rows))


def test_joined_texts_are_not_confused() -> None:
    rows = pl.DataFrame({"_id": pl.Series([1, 2, 3], dtype=pl.UInt128), "a": ["ab", "a", None], "b": ["c", "bc", ""]})
    assert DropDuplicates().compute({"rows": rows})["_reason"].null_count() == 3


def test_order_of_rows_and_input_are_left_alone(rows: pl.DataFrame) -> None:
    before = rows.clone()
    for step in (DropDuplicates.example(), DropLeaks.example()):
        out = step.compute({"rows": rows})
        assert out.select(rows.columns).equals(before)
        shuffled = step.compute({"rows": rows[::-1]})
        assert decisions(shuffled) == decisions(out)
    assert DropDuplicates.example().compute({"rows": rows})["_into"].to_list() == [15, None, None, None, None, None]


def test_nan_then_null_come_last_in_keep_first() -> None:
    rows = pl.DataFrame({"_id": pl.Series([1, 2, 3], dtype=pl.UInt128), "t": ["a"] * 3, "x": [None, math.nan, 9.0]})
    step = DropDuplicates(columns=("t",), keep=KeepFirst(first="x"))
    assert step.compute({"rows": rows})["_into"].to_list() == [3, 3, None]
    assert step.compute({"rows": rows[:2]})["_into"].to_list() == [2, None]


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    for step in (DropDuplicates.example(), DropDuplicates(), DropLeaks.example()):
        assert step.compute({"rows": empty}).schema == step.compute({"rows": rows}).schema
        assert step.compute({"rows": nothing}).height == 6
    assert DropDuplicates().compute({"rows": nothing})["_into"].drop_nulls().unique().to_list() == [11]
    assert DropLeaks.example().compute({"rows": nothing})["_reason"].null_count() == 6
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        DropDuplicates(columns=("txt",)).compute({"rows": rows})
    with pytest.raises(ConfigurationError, match="'split'"):
        DropLeaks(columns=("text",)).compute({"rows": rows})


def test_what_no_similarity_is() -> None:
    for similarity in (0, 2):
        with pytest.raises(ValidationError, match="0.1" if similarity < 1 else "1"):
            DropLeaks(similarity=similarity)


def test_needs_and_the_words_of_a_plan() -> None:
    step = DropDuplicates.model_validate({"columns": ["text"], "keep": {"first": "day"}})
    assert step.needs() == ("text", "day")
    assert DropLeaks(columns=("text",)).needs() == ("text", "split")
    with pytest.raises(ValidationError):
        DropDuplicates.model_validate({"keep": "largest"})
    with pytest.raises(ValidationError, match="tells the sides apart"):
        DropLeaks(columns=("split",))
