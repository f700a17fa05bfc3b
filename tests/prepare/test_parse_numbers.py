"""ParseNumbers against values worked out by hand, the SI brochure, and numbers written out by Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.prepare import ParseNumbers
from tillage.prepare.units import UNITS, find_unit, step_between


def read(texts: Sequence[str | None], unit: str = "", **given: Any) -> pl.DataFrame:
    step = ParseNumbers.model_validate({"columns": {"t": unit}, **given})
    return step.apply(pl.DataFrame({"t": texts}, schema={"t": pl.String}))


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("12 kg", "kg", 12), ("5 lb", "kg", 2.26796185), ("500g", "kg", 0.5),
        ("3斤", "kg", 1.5), ("5千克", "g", 5000), ("1,234.5", "", 1234.5),
        ("1 234 567", "", 1234567), ("1'234", "", 1234), ("12%", "", 0.12), ("12%", "%", 12),
        ("3‰", "%", 0.3), ("￥1,200", "CNY", 1200), ("¥ 1.2万", "CNY", 12_000),
        ("3.5亿元", "CNY", 350_000_000), ("１２ＫＧ", "kg", 12), ("-$5.50", "USD", -5.5),
        ("$-5.50", "USD", -5.5), ("\u22127 m", "cm", -700), ("+2", "", 2),
        ("98.6 °F", "°C", 37), ("37℃", "°F", 98.6), ("0 K", "°C", -273.15),
        ("6 ft", "m", 1.8288), ("12 in", "cm", 30.48), ("1 mi", "km", 1.609344),
        ("5㎡", "m2", 5), ("1亩", "m2", 2000 / 3), ("90 min", "h", 1.5), ("2周", "天", 14),
        ("1 GiB", "B", 2**30), ("1.5e3 mg", "g", 1.5), (".5", "", 0.5), ("7.", "", 7),
        ("10千瓦时", "J", 3.6e7), ("0.1万", "", 1000), ("1gal", "l", 3.785411784),
        ("100 Kcal", "kJ", 418.4), ("2000万亿", "", 2e15),
    ],
)  # fmt: skip
def test_by_hand(text: str, unit: str, value: float) -> None:
    out = read([text, f"  {text} "], unit)
    assert out["t"].to_list() == pytest.approx([value] * 2, rel=1e-14, abs=1e-12)
    assert out["_reason"].to_list() == [None, None]


@pytest.mark.parametrize("text", ["heavy", "1,5", "12,34,567", "1.2.3", "--5", "-$-5", "kg", "5-6", "1e999", "$5 USD"])
def test_what_is_no_number(text: str) -> None:
    assert read([text], "USD").rows() == [(None, "not_a_number")]


@pytest.mark.parametrize(
    ("text", "unit"), [("3 m", "kg"), ("5 furlong", "m"), ("$5", "EUR"), ("5 kg", ""), ("12%", "kg"), ("5 m2", "m")]
)
def test_another_unit(text: str, unit: str) -> None:
    assert read([text], unit).rows() == [(None, "other_unit")]
    assert read([text], unit, failing="null").rows() == [(None,)]


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(st.floats(-1e15, 1e15).map(lambda v: round(v, 2)), max_size=8),
    decimal=st.sampled_from([".", ","]),
    unit=st.sampled_from(["", " kg", "kg"]),
)
def test_what_is_written_is_read(values: list[float], decimal: str, unit: str) -> None:
    swap = str.maketrans(",.", ".,") if decimal == "," else {}
    plain = [f"{v!r}".translate(swap) + unit for v in values]
    grouped = [f"{v:,.2f}".translate(swap) + unit for v in values]
    for texts in (plain, grouped):
        assert read(texts, "kg", decimal=decimal)["t"].to_list() == values


def test_nothing_and_numbers(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    assert read(["", " ", None], "kg").rows() == [(None, None)] * 3
    for frame in (nothing, empty):
        out = ParseNumbers(columns={"text": "kg"}).apply(frame)
        assert out.schema["text"] == pl.Float64
        assert out["text"].null_count() == frame.height
    assert ParseNumbers(columns={"n": "kg"}).apply(pl.DataFrame({"n": [3]})).rows() == [(3.0,)]


def test_every_unit_is_found_and_turned_there_and_back() -> None:
    assert len(UNITS) > 200
    for name, unit in UNITS.items():
        assert find_unit(name) == unit
        for other in UNITS.values():
            if other.dimension == unit.dimension:
                (there, more), (back, less) = step_between(unit, other), step_between(other, unit)
                assert there * back == 1
                assert back * more + less == 0
    assert find_unit("MB") != find_unit("mb") or find_unit("mb") == find_unit("MB")
    with pytest.raises(ValueError, match="mass cannot be turned into length"):
        step_between(UNITS["kg"], UNITS["m"])


def test_no_two_units_share_a_name_but_for_its_case() -> None:
    folded: dict[str, set[Any]] = {}
    for name, unit in UNITS.items():
        folded.setdefault(name.lower(), set()).add(unit)
    assert {name for name, units in folded.items() if len(units) > 1} == set()


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'b' holds Boolean, and parse_numbers needs text"):
        ParseNumbers(columns={"b": "kg"}).apply(rows.with_columns(b=True))
    with pytest.raises(ValidationError, match="No unit is called 'kilos'"):
        ParseNumbers(columns={"text": "kilos"})
    step = ParseNumbers.example()
    assert ParseNumbers.model_validate(step.params()) == step
