"""Normalize against plain Python (unicodedata), value by value."""

from __future__ import annotations

import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core import ConfigurationError
from tillage.prepare import Normalize
from tillage.prepare.normalize import Form, normalize_text

ZERO_WIDTH = {
    0xAD, 0x180E, 0xFEFF,
    *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x206A),
}  # fmt: skip


def plain(value: str | None, form: Form, zero_width: bool, spaces: bool, lower: bool) -> str | None:
    if value is None:
        return None
    if zero_width:
        value = "".join(c for c in value if ord(c) not in ZERO_WIDTH)
    value = unicodedata.normalize(form, value)
    if lower:
        value = unicodedata.normalize(form, value.lower())
    return " ".join(value.split()) if spaces else value


# Letters that this Python's Unicode knows: the engine's tables are newer.
known = st.characters(exclude_categories=("Cs", "Cn"))
tricky = st.sampled_from(list("aB 　\t\n\u00a0\u200b\u200d\ufeff\x1c\x85ﬁＡ１，´e\u0301Åİ℻ßΣ각한\u1100\u1161发烧"))
texts = st.none() | st.text(tricky | known, max_size=12) | st.text(st.sampled_from("ab  cD"), max_size=8)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(texts, max_size=8),
    form=st.sampled_from(["NFC", "NFKC"]),
    zero_width=st.booleans(),
    spaces=st.booleans(),
    lower=st.booleans(),
)
def test_equals_plain_python(values: list[str | None], form: Form, zero_width: bool, spaces: bool, lower: bool) -> None:
    series = pl.Series("t", values, dtype=pl.String)
    got = normalize_text(series, form, zero_width=zero_width, spaces=spaces, lower=lower)
    assert got.to_list() == [plain(v, form, zero_width, spaces, lower) for v in values]
    assert series.to_list() == values  # the input is as it was


@settings(max_examples=200, deadline=None)
@given(values=st.lists(texts, max_size=5), lower=st.booleans())
def test_twice_is_once(values: list[str | None], lower: bool) -> None:
    once = normalize_text(pl.Series("t", values, dtype=pl.String), lower=lower)
    assert normalize_text(once, lower=lower).to_list() == once.to_list()


def test_every_zero_width_character_goes() -> None:
    one_each = pl.Series([f"a{chr(c)}b" for c in sorted(ZERO_WIDTH)])
    assert normalize_text(one_each).to_list() == ["ab"] * len(ZERO_WIDTH)
    kept = normalize_text(one_each, zero_width=False)
    assert kept.to_list() == one_each.to_list()


def test_lower_case_is_in_normal_form_too() -> None:
    # J with caron is two characters and j with caron is one, so lowering alone would leave two.
    assert normalize_text(pl.Series(["J\u030c", "\u1e9e"]), lower=True).to_list() == ["\u01f0", "ß"]


def test_all_text_columns_by_default(rows: pl.DataFrame) -> None:
    out = Normalize().apply(rows)
    assert out["text"].to_list() == ["a", "B b", None, "发烧,脖子僵硬", "a", ""]
    assert out.drop("text").equals(rows.drop("text"))
    assert rows["text"][1] == "Ｂ  b"


def test_only_the_columns_named() -> None:
    rows = pl.DataFrame({"a": ["Ａ"], "b": ["Ａ"]})
    assert Normalize(columns=("b",)).apply(rows).row(0) == ("Ａ", "A")


def test_hostile_frames(empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    assert Normalize().apply(empty).schema == empty.schema
    assert Normalize(columns=("text",)).apply(nothing).equals(nothing)


def test_complaints_name_every_column(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'\?\n.*'cty'. Did you mean 'city'"):
        Normalize(columns=("txt", "cty")).apply(rows)
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, and this step needs text"):
        Normalize(columns=("n",)).apply(rows)
    assert Normalize(columns=("text",)).needs() == ("text",)
