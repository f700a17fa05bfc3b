"""Rows of a request become the types of the table, as rows of a file do, or are refused with their path."""

from __future__ import annotations

import json
import time
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.flow.score import typed
from tillage.serve.bodies import columns_of, dumped, in_rows, loaded, require_text, rows_of
from tillage.serve.refusal import Refused
from tillage.serve.service import in_type

SCHEMA: dict[str, pl.DataType] = {
    "n": pl.Int64(), "x": pl.Float64(), "t": pl.String(), "b": pl.Boolean(), "d": pl.Date(), "s": pl.Int32(),
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "made"),
    [
        ("n", 5, 5), ("n", "5", 5), ("n", 5.0, 5), ("n", "", None), ("n", None, None),
        ("x", 5, 5.0), ("x", "5.5", 5.5), ("x", -0.0, -0.0),
        ("t", "a", "a"), ("t", 7, "7"), ("t", 1.5, "1.5"), ("t", True, "true"), ("t", "007", "007"),
        ("b", True, True), ("b", "yes", True), ("b", "0", False),
        ("d", "2026-02-03", date(2026, 2, 3)), ("s", 7, 7),
    ],
)  # fmt: skip
def test_a_value_is_what_the_column_holds(column: str, value: Any, made: Any) -> None:
    found = columns_of([{column: value}, {}], SCHEMA, {})
    assert found[column] == [made, None]
    assert type(found[column][0]) is type(made)
    assert all(found[c] == [None, None] for c in SCHEMA if c != column)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", 1.5), ("n", "x"), ("n", 1 << 63), ("n", True), ("x", "many"), ("x", float("inf")), ("x", float("nan")),
        ("x", 10**400), ("x", "NaN"), ("x", True), ("b", "perhaps"), ("b", 2), ("d", "2026-02-30"), ("d", 5),
        ("s", 1 << 31), ("t", []), ("t", {}), ("n", [1]),
    ],
)  # fmt: skip
def test_another_value_is_refused_with_its_path(column: str, value: Any) -> None:
    with pytest.raises(Refused) as caught:
        columns_of([{}, {column: value}], SCHEMA, {})
    assert caught.value.status == 400
    assert caught.value.field in (f"rows[1].{column}", f"rows[0].{column}")
    assert column in str(caught.value.value())


@given(st.lists(st.one_of(st.none(), st.integers(-9, 9).map(str), st.text(max_size=4), st.floats(-5, 5).map(str))))
def test_text_is_read_as_a_file_would_be(values: list[str | None]) -> None:
    """The oracle is what `score` makes of the same column of text."""
    for column in ("n", "x", "b", "d"):
        frame, errors = typed(pl.DataFrame({column: pl.Series(values, dtype=pl.String)}), SCHEMA)
        first = next((at for at, e in enumerate(errors.to_list()) if e is not None), None)
        rows = [{column: v} for v in values]
        if first is None:
            assert columns_of(rows, SCHEMA, {})[column] == frame[column].to_list()
        else:
            with pytest.raises(Refused) as caught:
                columns_of(rows, SCHEMA, {})
            assert caught.value.field == f"rows[{first}].{column}"


SCALARS = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3))
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))


@given(st.one_of(VALUES, st.lists(st.dictionaries(st.sampled_from(sorted(SCHEMA)), SCALARS, max_size=3), max_size=3)))
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    try:
        columns = columns_of(rows_of(loaded(json.dumps({"rows": value}).encode())), SCHEMA, {})
        require_text(columns, in_rows)
    except Refused as refused:
        status = refused.status
    else:
        made = pl.DataFrame([pl.Series(c, columns[c], dtype=t) for c, t in SCHEMA.items()])
        status = 200 if made.height == len(value) else 0
    assert status in (200, 400, 413)


def test_half_a_character_is_refused_where_it_stands() -> None:
    with pytest.raises(Refused) as caught:
        require_text({"t": ["fine", "三", "\ud800"]}, in_rows)
    assert caught.value.field == "rows[2].t"
    with pytest.raises(Refused) as caught:
        columns_of([{"n": 1}, {"n": "\ud800"}], SCHEMA, {})
    assert caught.value.field == "rows[1].n"


@pytest.mark.parametrize("value", [True, 1234, 0.25, 1e15, "AP8*"])
def test_bytes_are_written_as_text_and_as_nothing_else(value: Any) -> None:
    for rows in ([{"p": value}], [{"p": "AP8="}, {"p": value}], [{"p": b"\0"}, {"p": value}]):
        with pytest.raises(Refused) as caught:
            columns_of(rows, {"p": pl.Binary()}, {})
        assert (caught.value.status, caught.value.field) == (400, f"rows[{len(rows) - 1}].p")


def test_too_many_rows_are_too_large() -> None:
    with pytest.raises(Refused) as caught:
        rows_of({"rows": [{}] * 10_001})
    assert caught.value.status == 413


def test_a_key_that_stands_twice_is_refused_at_once_however_many_there_are() -> None:
    for body in (b'{"rows": [], "rows": [{"t": "a"}]}', b'{"rows": [{"t": "a", "t": "b"}]}'):
        with pytest.raises(Refused, match="stands twice in an object") as caught:
            loaded(body)
        assert caught.value.status == 400
    many = ",".join(f'"{n}":1' for n in range(300_000))
    began = time.process_time()
    with pytest.raises(Refused, match="'299999' stands twice"):
        loaded(f'{{{many},"299999":1}}'.encode())
    assert time.process_time() - began < 20


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    )
)
def test_what_is_written_is_what_the_library_writes(value: Any) -> None:
    assert dumped(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": -float("inf")}]])
def test_what_is_no_number_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        dumped(value)


OWN: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.Int64(), st.integers(-(1 << 63), (1 << 63) - 1)), (pl.Float64(), st.floats()), (pl.String(), st.text()),
    (pl.Boolean(), st.booleans()), (pl.Date(), st.dates()), (pl.Int8(), st.integers(-128, 127)),
    (pl.Float32(), st.floats(width=32)), (pl.Binary(), st.binary()),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "values"), OWN)
@given(data=st.data())
def test_a_column_is_that_of_a_type_that_is_told(
    dtype: pl.DataType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    column = data.draw(st.lists(st.none() | values))
    assert in_type("c", column, dtype).equals(pl.Series("c", column, dtype=dtype), check_dtypes=True, check_names=True)
