"""Types: the narrowest that changes no value, merged in any order, and casts that say which cells do not fit."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.collect import types
from tillage.collect.types import ClashError, Column, cast, dtype_of, infer, name_of, union, why_text

CASES: dict[str, list[list[str | None]]] = {
    "null": [[None], [None, None]],
    "int64": [["0"], ["-5", None], ["9223372036854775807"], ["-9223372036854775808"], ["1", ""]],
    "float64": [["0.1"], ["1.10"], ["1e5"], ["1E-5", "3"], [".5"], ["-0.0"], ["0.30000000000000004"],
                ["1.5", "9007199254740991"]],
    "text": [
        ["007"], ["-0"], ["+5"], [" 5"], ["5 "], ["1_000"], ["1,000"], ["0x10"], ["nan"], ["NaN"], ["inf"],
        ["Infinity"],
        ["1e400"], ["1e-400"], ["5."], ["."], ["-"], ["1e"], ["00.5"], ["1.5", "007"], ["1.5", "-0"], ["1.5", "1.5.5"],
        [str(2**63)], [str(2**70)], ["12345678901234567890.123"], ["1.5", "9007199254740993"], ["1.5", str(2**60)],
        ["true"], ["2024-01-01"], ["1e-99999999999999999999"], ["٣"],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), [(k, v) for k, cases in CASES.items() for v in cases])
@pytest.mark.parametrize("ahead", [0, 20, 3000])
def test_the_narrowest_type(kind: str, values: list[str | None], ahead: int) -> None:
    """`ahead`: so many plain numbers come first, so that neither the sample nor the short way decides."""
    lead = ["2.5" if kind == "float64" or (kind == "text" and "." in str(values)) else "7"] * ahead
    if kind == "null" and ahead:
        lead = [None] * ahead  # type: ignore[list-item]
    if "1e400" in values or "1e-400" in values:
        lead = ["2.5"] * ahead
    column, typed = infer(pl.Series("c", lead + values, dtype=pl.String))
    assert column.type == kind
    assert len(typed) == len(lead) + len(values)


NUMBERS = st.one_of(
    st.integers(-(2**64), 2**64).map(str),
    st.floats(allow_nan=True).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.from_regex(r"-?[0-9]{1,19}(\.[0-9]{0,19})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["007", "+5", "-0", "", ".5", "5.", " 1", "1e400", "x"]),
    st.none(),
)


@settings(max_examples=300)
@given(st.lists(NUMBERS, max_size=6))
def test_no_value_changes(values: list[str | None]) -> None:
    column, typed = infer(pl.Series("c", values, dtype=pl.String))
    for was, is_ in zip(values, typed.to_list(), strict=True):
        if isinstance(is_, str) or is_ is None:
            assert is_ == was or (is_ is None and was == "" and column.empty)
        else:
            assert was is not None
            assert Decimal(repr(is_)) == Decimal(was)
            assert not was.lstrip("-").startswith("0") or was.lstrip("-")[:2] in ("0", "0.", "0e", "0E")


@settings(max_examples=300)
@given(st.lists(st.lists(NUMBERS, max_size=3), min_size=1, max_size=4))
def test_parts_merge_to_the_whole(parts: list[list[str | None]]) -> None:
    whole = infer(pl.Series("c", [v for p in parts for v in p], dtype=pl.String))[0]
    columns = [infer(pl.Series("c", p, dtype=pl.String))[0] for p in parts]
    for order in (columns, columns[::-1]):
        merged = Column()
        for column in order:
            merged = merged.merge(column)
        assert merged.final() == whole.final()


KINDS = [
    "null",
    "int64",
    "float64",
    "text",
    "bool",
    "Int8",
    "Float32",
    "date",
    "datetime",
    "Datetime(ns, UTC)",
    "Decimal(10, 2)",
    "UInt64",
]


@pytest.mark.parametrize("a", KINDS)
@pytest.mark.parametrize("b", KINDS)
def test_merging_has_no_order(a: str, b: str) -> None:
    one, other = Column(a).merge(Column(b)), Column(b).merge(Column(a))
    assert one == other
    assert Column(a).merge(Column(a)) == Column(a)
    for c in KINDS:
        assert Column(a).merge(Column(b)).merge(Column(c)) == Column(a).merge(Column(b).merge(Column(c)))


def test_what_cannot_merge_names_both_files() -> None:
    states = [("a.parquet", {"x": Column("Datetime(us)")}), ("b.parquet", {"x": Column("datetime")})]
    with pytest.raises(ClashError, match=r"column 'x' of a\.parquet and b\.parquet"):
        union(states)
    with pytest.raises(ClashError, match="bytes"):
        union([("a", {"x": Column("Binary")}), ("b", {"x": Column("text")})])


def test_columns_come_in_the_order_in_which_they_are_seen() -> None:
    assert list(union([("a", {"x": Column(), "y": Column()}), ("b", {"z": Column(), "x": Column()})])) == [
        "x",
        "y",
        "z",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *types.DTYPES,
        "Int8",
        "UInt64",
        "Float32",
        "Time",
        "Binary",
        "Datetime(ns)",
        "Datetime(us)",
        "Duration(ms)",
        "Decimal(38, 9)",
    ],
)
def test_names_of_types_round_trip(name: str) -> None:
    assert name_of(dtype_of(name)) == name


@pytest.mark.parametrize("name", ["Object", "Datetime(s)", "int", ""])
def test_other_names_are_no_types(name: str) -> None:
    with pytest.raises(ValueError, match="no type is called"):
        dtype_of(name)


DECLARED: list[tuple[str, list[str | None], list[object], list[int]]] = [
    ("int64", ["007", " 5 ", "+3", "x", "1.5", None, ""], [7, 5, 3, None, None, None, None], [3, 4]),
    ("float64", ["1", "1e400", "nan", "1,5", ""], [1.0, None, None, None, None], [1, 2, 3]),
    ("bool", ["true", "No", "1", "maybe"], [True, False, True, None], [3]),
    ("date", ["2024-02-29", "2023-02-29", "2024-1-5"], [date(2024, 2, 29), None, None], [1, 2]),
    (
        "datetime",
        ["2024-01-02", "2024-01-02T10:00", "2024-01-02 10:00:01.25+08:00", "2024-01-02T10:00:00Z",
         "2024-01-02T10:00:00.1234567", "x"],
        [
            datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, 10, tzinfo=UTC),
            datetime(2024, 1, 2, 2, 0, 1, 250_000, tzinfo=UTC), datetime(2024, 1, 2, 10, tzinfo=UTC), None, None,
        ],
        [4, 5],
    ),
    ("text", ["007", "", None], ["007", "", None], []),
]  # fmt: skip


@pytest.mark.parametrize(("to", "values", "expected", "lost"), DECLARED)
def test_declared_types(to: str, values: list[str | None], expected: list[object], lost: list[int]) -> None:
    made, found = cast(pl.Series("c", values, dtype=pl.String), to, declared=True)
    assert (made.to_list(), found) == (expected, lost)


def test_a_type_that_was_observed_takes_no_other_value() -> None:
    """The file may have changed between observing and reading."""
    assert cast(pl.Series("c", ["1", "007", "-0", "", "x"]), "int64")[1] == [1, 2, 4]
    assert cast(pl.Series("c", ["1.5", "nan", "x"]), "float64")[1] == [1, 2]
    assert cast(pl.Series("c", ["", "x"]), "null")[1] == [1]


def test_between_types() -> None:
    made, lost = cast(pl.Series("c", [1, 2**60]), "float64")
    assert (made.to_list(), lost) == ([1.0, None], [1])
    assert cast(pl.Series("c", [1.0, 1.5]), "int64")[1] == [1]
    assert cast(pl.Series("c", [True, None]), "text")[0].to_list() == ["true", None]
    assert cast(pl.Series("c", [2**60]), "text")[0].to_list() == [str(2**60)]
    with pytest.raises(ClashError):
        cast(pl.Series("c", [b"x"]), "text")


WHY: dict[str | None, list[list[str | None]]] = {
    "'inf' stands": [["1", "inf"], ["inf", "1.5", None, ""], [*["1"] * 20, "inf", "NaN"]],
    "'-Infinity' stands": [["1e5", "-Infinity"]],
    "'NaN' stands": [["NaN", "0.5"], ["7", "NaN", str(2**70)]],
    "beyond 64 bits": [[str(2**63)], ["7", None, str(-(2**63) - 1)], ["0.5", str(2**70)]],
    "more digits": [["12345678901234567890.123"], ["1", "0.1234567890123456789"], [str(2**53 + 1), "0.5"]],
    None: [["Ulm"], ["1", "Ulm"], ["1", "inf", "Ulm"], ["nan", "nan"], ["007", "inf"], ["-0", str(2**70)], ["1_000"]],
}
"""What is said of columns that are text, though numbers stand in them."""


@pytest.mark.parametrize(("why", "values"), [(why, values) for why, some in WHY.items() for values in some])
def test_why_numbers_are_text(why: str | None, values: list[str | None]) -> None:
    series = pl.Series("c", values, dtype=pl.String)
    assert infer(series)[0].type == "text"
    said = why_text(series)
    assert said is None if why is None else said is not None and why in said
    if said is not None:
        made, lost = cast(series, "float64", declared=True)
        assert [made[at] is None for at in lost] == [True] * len(lost)
        assert bool(lost) == ("set such records aside" in said)
