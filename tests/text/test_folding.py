"""Folding against the Unicode database, character by character; the gate against folding itself."""

from __future__ import annotations

import sys
import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tillage.text.folding import DASHES, KEPT, NOT_PLAIN, fold, places

AWKWARD = st.text(
    st.sampled_from("a1 ，：\u200b\ufeff１Ａ＠ﬁ\u0661－\u2013中\u00a0é\U0001f600½") | st.characters(), max_size=20
)


def test_known_forms() -> None:
    assert fold("ＡＢ＠ｃ．ｃｏｍ") == "AB@c.com"
    assert fold("\u0661\u0662\u0663") == "123"
    assert fold("138\u200b1234\u00ad5678") == "13812345678"
    assert fold("1\u20132\u22123") == "1-2-3"
    assert fold("你好，电话：") == "你好，电话："


def test_the_gate_sees_every_character_that_folding_changes_and_passes_common_text() -> None:
    every = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]
    seen = pl.Series(every).str.contains(NOT_PLAIN).to_list()
    missed = [c for c, gated in zip(every, seen, strict=True) if not gated and fold(c) != c]
    assert missed == []
    assert not pl.Series(["Plain text, café — “quoted”, 你好，世界。：《书》…！？"]).str.contains(NOT_PLAIN)[0]


@given(AWKWARD)
def test_places_lead_back_to_the_character_that_a_folded_one_came_from(text: str) -> None:
    folded, at = fold(text), places(text)
    assert len(at) == len(folded) + 1
    assert at[-1] == len(text)
    assert at == sorted(at)
    assert all(char in fold(text[place]) for char, place in zip(folded, at, strict=False))


@given(AWKWARD)
def test_a_folded_character_is_nfkc_but_for_what_is_named(text: str) -> None:
    for char in text:
        if char in KEPT or char in DASHES or unicodedata.decimal(char, None) is not None or not fold(char):
            continue
        assert fold(char) == unicodedata.normalize("NFKC", char)
