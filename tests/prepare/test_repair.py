"""Repair against plain counting, one row at a time; dependencies found against their definition."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.state import decode, encode
from tillage.measure.combinations import Combinations
from tillage.prepare import Repair, Repaired
from tillage.prepare.dependencies import Dependency, find, strength


def learn(rows: pl.DataFrame, *dependencies: str, cut: int = 0, **more: Any) -> Repaired:
    step = Repair.model_validate({"dependencies": dependencies, **more})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first))


def edits(a: str, b: str) -> int:
    """Optimal string alignment by its table."""
    table = [[i + j if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            cost = a[i - 1] != b[j - 1]
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + cost)
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


Row = dict[str, str | None]


def by_hand(
    rows: list[Row], told: list[tuple[tuple[str, ...], str]], support: int, confidence: float, fill: bool
) -> list[Row]:
    """One pass, straight from the description."""
    groups: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for left, right in told:
            key = tuple(row[c] for c in left)
            if None not in key and row[right] is not None:
                groups[left, right, key][str(row[right])] += 1
    out = [dict(row) for row in rows]
    for row, new in zip(rows, out, strict=True):
        for right in {r for _, r in told}:
            weights: Counter[str] = Counter()
            for left, target in told:
                group = groups.get((left, target, tuple(row[c] for c in left)))
                if target != right or not group or sum(group.values()) < support:
                    continue
                most, total = max(group.values()), sum(group.values())
                if most >= confidence * total:
                    for value, n in group.items():
                        if n == most:
                            weights[value] += n * 2**30 // (total + 1)
            best = [v for v, w in weights.items() if w == max(weights.values())]
            own = row[right]
            if best and own not in best and (own is not None or fill):
                new[right] = min(best, key=lambda v: (edits(own or "", v), v))
    return out


cells = st.sampled_from(["a", "b", "ab", "ba", "北京", None])
tables = st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=14)


@settings(max_examples=150, deadline=None)
@given(table=tables, cut=st.integers(0, 14), support=st.integers(2, 3), confidence=st.sampled_from([0.2, 0.5, 0.7]),
       fill=st.booleans())  # fmt: skip
def test_one_pass_as_by_hand(
    table: list[tuple[str | None, ...]], cut: int, support: int, confidence: float, fill: bool
) -> None:
    rows = pl.DataFrame(table, schema=dict.fromkeys("xyz", pl.String), orient="row")
    repaired = learn(
        rows, "x -> y", "y, z -> x", "z -> y", cut=cut, support=support, confidence=confidence, fill=fill, passes=1
    )
    told = [(("x",), "y"), (("y", "z"), "x"), (("z",), "y")]
    assert repaired.apply(rows).to_dicts() == by_hand(rows.to_dicts(), told, support, confidence, fill)


def test_a_left_side_that_was_repaired_finds_its_group() -> None:
    rows = pl.DataFrame(
        {
            "name": ["A"] * 4 + ["B"] * 3,
            "zip": ["1", "1", "1", "x"] + ["2"] * 3,
            "city": ["U", "U", "U", "V"] + ["R"] * 3,
        }
    )
    once = learn(rows, "name -> zip", "zip -> city", passes=1, mark="changed").apply(rows)
    twice = learn(rows, "name -> zip", "zip -> city", mark="changed").apply(rows)
    assert once.row(3) == ("A", "1", "V", "zip")
    assert twice.row(3) == ("A", "1", "U", "city, zip")
    assert twice["changed"].null_count() == 6


def test_several_dependencies_outvote_a_wrong_left_side() -> None:
    rows = pl.DataFrame({"zip": ["1", "1", "1", "2", "2", "2", "2"], "phone": ["8"] * 4 + ["9"] * 3,
                         "name": ["A"] * 4 + ["B"] * 3, "city": ["U"] * 4 + ["R"] * 3})  # fmt: skip
    alone = learn(rows, "zip -> city").apply(rows)
    assert alone["city"].to_list() == ["U", "U", "U", "R", "R", "R", "R"]  # row 3 has the wrong zip
    several = learn(rows, "zip -> city", "phone -> city, zip", "name -> city, zip").apply(rows)
    assert several["city"].to_list() == ["U"] * 4 + ["R"] * 3
    assert several["zip"].to_list() == ["1"] * 4 + ["2"] * 3


def test_the_nearest_of_equally_frequent_values_is_taken_and_one_of_them_stays() -> None:
    rows = pl.DataFrame({"k": ["1"] * 5, "v": ["Boston", "Boston", "Austin", "Austin", "Austim"]})
    assert learn(rows, "k -> v", confidence=0.4).apply(rows)["v"].to_list() == ["Boston"] * 2 + ["Austin"] * 3
    assert learn(rows, "k -> v").apply(rows).equals(rows)  # two of five are no half


def test_weights_count_instead_of_rows() -> None:
    rows = pl.DataFrame({"k": ["1"] * 3, "v": ["a", "b", "b"], "sure": [5, 1, None]})
    assert learn(rows, "k -> v").apply(rows)["v"].to_list() == ["b", "b", "b"]
    assert learn(rows, "k -> v", weight="sure").apply(rows)["v"].to_list() == ["a", "a", "a"]


def test_types_stay_what_they_are() -> None:
    day = dt.date(2024, 1, 5)
    rows = pl.DataFrame(
        {"k": [7, 7, 7], "n": [2**60 + 1, 2**60 + 1, 3], "d": [day, day, None], "b": [True, True, False]}
    )
    out = learn(rows, "k -> n, d, b", fill=True).apply(rows)
    assert out.schema == rows.schema
    assert out.row(2) == (7, 2**60 + 1, day, True)
    changed = rows.with_columns(n=pl.lit("word"))
    learnt = learn(changed, "k -> n")
    with pytest.raises(ConfigurationError, match="Learn it again"):
        learnt.apply(rows.with_columns(n=pl.lit(5)))


def test_nothing_is_learnt_from_an_empty_table_and_a_column_without_values_stays() -> None:
    rows = pl.DataFrame({"k": ["1", "1"], "v": [None, None]})
    assert learn(rows, "k -> v", fill=True).apply(rows).equals(rows)
    seen = pl.DataFrame({"k": ["1", "1"], "v": ["a", "a"]})
    assert learn(seen, "k -> v", fill=True).apply(rows).equals(rows)
    assert learn(seen.clear(), "k -> v").apply(seen).equals(seen)


def test_states_are_equal_however_rows_came() -> None:
    rows = pl.DataFrame({"x": ["b", "a", None, "b"], "y": ["1", None, "2", "1"]})
    c = Combinations(("x", "y"))
    straight = c.update(c.start(), rows, None)
    parts = [c.update(c.start(), rows[[i]], None) for i in (3, 1, 0, 2)]
    merged = c.start()
    for part in parts:
        merged = c.merge(part, merged)
    assert encode(merged) == encode(straight) == encode(decode(encode(straight)))
    assert sorted(c.table(straight).rows(), key=repr) == [("a", None, 1), ("b", "1", 2), (None, "2", 1)]


def every_row(rows: pl.DataFrame) -> pl.DataFrame:
    """The combinations of a table."""
    every = Combinations(rows.columns)
    return every.table(every.update(every.start(), rows, None))


def test_dependencies_are_found_by_their_definition() -> None:
    rows = pl.DataFrame(
        {"zip": ["1"] * 5 + ["2"] * 5, "city": ["U"] * 4 + ["u"] + ["R"] * 5, "same": ["s"] * 9 + ["t"],
         "free": list("abababcccc")}
    )  # fmt: skip
    table = every_row(rows)
    assert strength(table, Dependency(("zip",), "city")) == (10, 0.9, 0.8)  # 9 of 10 agree; 5 are right without it
    assert strength(table, Dependency(("zip",), "same")) == (10, 0.9, 0.0)
    found = set(find(table, rows.columns, most=1, support=0.5, confidence=0.8))
    assert Dependency(("zip",), "city") in found
    assert Dependency(("city",), "zip") in found
    assert not {d for d in found if d.right in {"same", "free"}}
    lone = pl.DataFrame({"zip": ["1", "1", "2"], "city": ["U", "U", "R"]})
    assert strength(every_row(lone), Dependency(("zip",), "city")) == (2, 1.0, 0.0)  # a row alone bears nothing out
    pair = pl.DataFrame({"a": ["0", "0", "1", "1"] * 2, "b": ["0", "1"] * 4, "c": ["00", "01", "10", "11"] * 2})
    table = every_row(pair)
    assert Dependency(("a", "b"), "c") in set(find(table, pair.columns, most=2, support=0.5, confidence=1.0))
    assert Dependency(("a", "b"), "c") not in set(find(table, pair.columns, most=1, support=0.5, confidence=1.0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "name dependencies"),
        ({"dependencies": ["zip"]}, "not of the form"),
        ({"dependencies": ["zip -> "]}, "not of the form"),
        ({"dependencies": ["zip, city -> city"]}, "on both sides"),
    ],
)
def test_errors_say_what_to_do(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Repair.model_validate(given)


def test_unsuitable_columns_are_told() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'city'"):
        learn(pl.DataFrame({"zip": ["1"], "city": ["U"]}), "zip -> cty")
    with pytest.raises(ConfigurationError, match="repair compares texts"):
        learn(pl.DataFrame({"zip": ["1"], "x": [0.5]}), "zip -> x")
    with pytest.raises(ConfigurationError, match="weights are integers"):
        learn(pl.DataFrame({"zip": ["1"], "x": ["a"], "w": [0.5]}), "zip -> x", weight="w")
    rows = pl.DataFrame({"zip": ["1"], "x": ["a"], "seen": [1]})
    with pytest.raises(ConfigurationError, match="one of that name"):
        learn(rows, "zip -> x", mark="seen").apply(rows)
