"""Anonymity by brute force: classes compared row by row, every choice of levels tried, every level checked to nest."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise, product
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.privacy import AnonymityReport, Anonymize, Hierarchy

COLUMNS: dict[str, Hierarchy] = {
    "age": Hierarchy(ranges=(5, 20)),
    "zip": Hierarchy(prefix=(2, 1)),
    "job": Hierarchy(tree={"care": ["nurse", "doctor"], "craft": {"wood": ["joiner"], "stone": ["mason"]}}),
}
person = st.tuples(
    st.integers(18, 60),
    st.sampled_from(["111", "112", "121", "911", None]),
    st.sampled_from(["nurse", "doctor", "joiner", "mason", "pilot", None]),
    st.sampled_from(["flu", "cold", "gout", None]),
)
people = st.lists(person, max_size=30)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {"age": pl.Int64, "zip": pl.String, "job": pl.String, "ill": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(_id=pl.int_range(pl.len()).cast(pl.UInt128))


def classes(rows: list[tuple[Any, ...]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for *known, ill in rows:
        found[tuple(known)].append(ill)
    return found


def far(ills: list[Any], all_ills: list[Any]) -> float:
    own, every = Counter(ills), Counter(all_ills)
    return sum(abs(own[v] / len(ills) - every[v] / len(all_ills)) for v in every) / 2


@settings(max_examples=150, deadline=None)
@given(
    rows=people,
    k=st.integers(2, 4),
    diverse=st.integers(1, 3),
    t=st.sampled_from([1.0, 0.5, 0.2]),
    suppress=st.sampled_from([0.0, 0.1, 0.4]),
)
def test_nobody_stands_out(rows: list[tuple[Any, ...]], k: int, diverse: int, t: float, suppress: float) -> None:
    step = Anonymize(columns=COLUMNS, k=k, sensitive=("ill",), l=diverse, t=t, suppress=suppress)
    out = step.compute({"rows": frame(rows)})
    kept = out.filter(pl.col("_reason").is_null()).select("age", "zip", "job", "ill").rows()
    every = [row[-1] for row in kept]
    for ills in classes(kept).values():
        assert len(ills) >= k
        assert len(set(ills) - {None}) >= diverse
        assert far(ills, every) <= t + 1e-9
    left = out.filter(pl.col("_reason").is_not_null()).select("age", "zip", "job", "ill").rows()
    for ills in classes(left).values() if t == 1 else ():
        assert len(ills) < k or len(set(ills) - {None}) < diverse
    assert out["_id"].to_list() == list(range(len(rows)))
    assert out["ill"].to_list() == [row[-1] for row in rows]


def test_closeness_is_to_the_rows_that_stay() -> None:
    """When A has left, D is too far from the rest, which it was not before."""
    ills = {"A": "x" * 20, "C": "a" * 20 + "b" * 20, "D": "x" * 6 + "aabb"}
    rows = frame([(20, zone, "nurse", ill) for zone, values in ills.items() for ill in values])
    step = Anonymize(columns={"zip": Hierarchy()}, k=2, sensitive=("ill",), t=0.38, suppress=1.0)
    assert far([*ills["D"]], [*"".join(ills.values())]) < 0.38
    out = step.compute({"rows": rows})
    assert set(out.filter(pl.col("_reason").is_null())["zip"]) == {"C"}


@settings(max_examples=60, deadline=None)
@given(rows=people, k=st.integers(2, 3), suppress=st.sampled_from([0.0, 0.2]))
def test_the_levels_are_the_best_of_the_minimal_ones(rows: list[tuple[Any, ...]], k: int, suppress: float) -> None:
    given_rows = frame(rows)
    heights = [h.height for h in COLUMNS.values()]
    fits: dict[tuple[int, ...], float] = {}
    for node in product(*(range(h + 1) for h in heights)):
        labels = [h.labels(given_rows[c], level) for (c, h), level in zip(COLUMNS.items(), node, strict=True)]
        found = classes([*zip(*labels, given_rows["ill"], strict=True)])
        stay = sum(len(ills) for ills in found.values() if len(ills) >= k)
        if len(rows) - stay <= suppress * len(rows):
            share = stay / len(rows) if rows else 1
            fits[node] = 1 - share * (1 - sum(n / h for n, h in zip(node, heights, strict=True)) / 3)
    out = Anonymize(columns=COLUMNS, k=k, suppress=suppress).compute({"rows": given_rows})
    minimal = [n for n in fits if not any(m != n and all(a <= b for a, b in zip(m, n, strict=True)) for m in fits)]
    wanted = min(minimal, key=lambda n: (round(fits[n], 9), n)) if minimal else tuple(heights)
    for (column, hierarchy), level in zip(COLUMNS.items(), wanted, strict=True):
        assert out[column].to_list() == hierarchy.labels(given_rows[column], level).to_list()


NAN = float("nan")
VALUES: list[tuple[Hierarchy, st.SearchStrategy[Any]]] = [
    (COLUMNS["age"], st.none() | st.integers(-(2**40), 2**40)),
    (
        Hierarchy(ranges=(0.1, 0.3, 0.9)),
        st.none() | st.floats(-10, 10) | st.sampled_from([0.3, 0.9, -0.0, float("nan")]),
    ),
    (COLUMNS["zip"], st.none() | st.text("12北", max_size=4)),
    (COLUMNS["job"], st.none() | st.sampled_from(["nurse", "doctor", "joiner", "mason", "pilot"])),
    (Hierarchy(dates=("month", "quarter", "year", "decade")), st.none() | st.dates(dt.date(1900, 1, 1))),
    (Hierarchy(), st.none() | st.text(max_size=2)),
]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), which=st.integers(0, len(VALUES) - 1))
def test_levels_nest(data: st.DataObject, which: int) -> None:
    hierarchy, values = VALUES[which]
    drawn = data.draw(st.lists(values, min_size=2, max_size=12))
    series = pl.Series("c", drawn, strict=False)
    labels = [hierarchy.labels(series, level).to_list() for level in range(hierarchy.height + 1)]
    assert labels[-1] == ["*"] * len(drawn)
    for fine, coarse in pairwise(labels):
        into: dict[Any, Any] = {}
        for a, b in zip(fine, coarse, strict=True):
            assert into.setdefault(a, b) == b
    if which != 5:
        for level, texts in enumerate(labels):
            told = hierarchy.levels(pl.Series(texts, dtype=pl.String)).to_list()
            known = [(text, n) for text, n in zip(texts, told, strict=True) if text not in {None, "other"}]
            assert all(n <= level for _, n in known)
            if which in {0, 1, 4} and level:
                assert all(n == level for _, n in known)


def test_what_each_level_says() -> None:
    day = pl.Series([dt.date(2024, 11, 5)])
    dates = Hierarchy(dates=("month", "quarter", "year", "decade"))
    assert [dates.labels(day, n).item() for n in range(6)] == ["2024-11-05", "2024-11", "2024-Q4", "2024", "2020s", "*"]
    job = COLUMNS["job"]
    assert [job.labels(pl.Series(["joiner"]), n).item() for n in range(4)] == ["joiner", "wood", "craft", "*"]
    assert [job.labels(pl.Series(["nurse"]), n).item() for n in range(4)] == ["nurse", "nurse", "care", "*"]
    assert [job.labels(pl.Series(["pilot"]), n).item() for n in range(4)] == ["pilot", "other", "other", "*"]
    tenths = Hierarchy(ranges=(0.1,)).labels(pl.Series([0.3, -0.05]), 1).to_list()
    assert tenths == ["[0.3, 0.4)", "[-0.1, 0)"]
    assert Hierarchy(prefix=(3,)).labels(pl.Series(["35233", "35"]), 1).to_list() == ["352**", "35"]


@settings(max_examples=60, deadline=None)
@given(rows=people, cut=st.integers(0, 30))
def test_the_report_as_by_hand(rows: list[tuple[Any, ...]], cut: int) -> None:
    table = frame(rows).with_columns(pl.col("age").cast(pl.String))
    step = AnonymityReport(columns=COLUMNS, sensitive=("ill",))
    first, second = (step.update(step.start(), part) for part in (table[:cut], table[cut:]))
    told = step.finish(step.merge(second, first))
    found = classes(rows)
    assert told["classes"] == len(found)
    if not rows:
        assert told["k"] is None
        return
    sizes = [len(ills) for ills in found.values()]
    every = [row[-1] for row in rows]
    assert told["k"] == min(sizes)
    assert told["l"] == {"ill": min(len(set(ills) - {None}) for ills in found.values())}
    assert told["t"]["ill"] == pytest.approx(max(far(ills, every) for ills in found.values()))
    assert told["discernibility"] == sum(n * n for n in sizes)
    assert told["average_class"] == len(rows) / len(found)
    assert told["alone"] == sizes.count(1) / len(rows)


def test_the_loss_is_that_of_the_levels() -> None:
    rows = frame([(20 + n, "111", "nurse", "flu") for n in range(20)])
    out = Anonymize(columns=COLUMNS, k=5).compute({"rows": rows})
    step = AnonymityReport(columns=COLUMNS)
    loss = step.finish(step.update(step.start(), out))["loss"]
    assert loss == {"age": 1 / 3, "zip": 0.0, "job": 0.0, "mean": 1 / 9}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ranges": [5, 7]}, "multiple of the one before"),
        ({"ranges": [-1]}, "greater than 0"),
        ({"prefix": [1, 3]}, "shorter than the one before"),
        ({"dates": ["year", "month"]}, "from fine to coarse"),
        ({"ranges": [5], "prefix": [1]}, "in one way"),
        ({"tree": {"a": ["x"], "b": ["x"]}}, "two places"),
        ({"tree": {"a": 7}}, "neither a mapping"),
    ],
)
def test_hierarchies_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Hierarchy.model_validate(given)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValidationError, match="name them"):
        Anonymize(columns=COLUMNS, l=2)
    with pytest.raises(ValidationError, match="cannot be sensitive as well"):
        Anonymize(columns=COLUMNS, sensitive=("age",))
    with pytest.raises(ValidationError, match="fewer levels"):
        Anonymize(columns={f"c{n}": COLUMNS["age"] for n in range(12)})
    with pytest.raises(ConfigurationError, match="Did you mean 'age'"):
        Anonymize(columns={"aged": Hierarchy()}).compute({"rows": frame([])})
    with pytest.raises(ConfigurationError, match="ranges need numbers"):
        Anonymize(columns={"zip": Hierarchy(ranges=(5,))}).compute({"rows": frame([(20, "1", "nurse", None)])})
    with pytest.raises(ConfigurationError, match="needs dates"):
        Anonymize(columns={"age": Hierarchy(dates=("year",))}).compute({"rows": frame([(20, "1", "nurse", None)])})


def test_the_two_zeros_are_one_class() -> None:
    step = AnonymityReport(columns={"x": Hierarchy()})
    told = step.finish(step.update(step.start(), pl.DataFrame({"x": [0.0, -0.0]})))
    assert (told["k"], told["classes"]) == (2, 1)
