"""Pieces of a text: put together they are the text again."""

from __future__ import annotations

import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core.errors import Unavailable
from tillage.text.pieces import Chinese, joined, pieces

_texts = st.text(
    st.one_of(st.characters(), st.sampled_from("ab'\u2019 \t,.1\u0301\u6211\u4eec\u7684\u9152\u5e97")), max_size=30
)


@given(st.lists(st.one_of(st.none(), _texts), max_size=6), st.sampled_from(("words", "characters")))
@settings(max_examples=150, deadline=None)
def test_pieces_make_the_text_again(texts: list[str | None], chinese: Chinese) -> None:
    values = pl.Series(texts, dtype=pl.String)
    cut = pieces(values, chinese)
    assert joined(cut, values).to_list() == texts
    assert cut["row"].is_sorted()
    assert (cut["piece"].str.len_bytes() > 0).all()
    for piece, is_word in cut.select("piece", "is_word").rows():
        assert is_word == (piece[0].isalnum() or (not piece[0].isascii() and is_word))


def test_words_and_what_stands_between() -> None:
    text = "Don\u2019t 'quote' caf\u00e9-bar 3.5\u2026"
    assert pieces(pl.Series([text]))["piece"].to_list() == [
        "Don\u2019t", " '", "quote", "' ", "caf\u00e9", "-", "bar", " ", "3", ".", "5", "\u2026",
    ]  # fmt: skip
    mixed = pl.Series(["iPhone\u5f88\u597d\u7528ok"])
    assert pieces(mixed, "characters")["piece"].to_list() == ["iPhone", "\u5f88", "\u597d", "\u7528", "ok"]
    assert pieces(pl.Series(["\u6211\u4eec\u7684\u9152\u5e97"]))["piece"].to_list() == [
        "\u6211\u4eec",
        "\u7684",
        "\u9152\u5e97",
    ]


def test_without_jieba_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(Unavailable, match="rjieba") as caught:
        pieces(pl.Series(["\u6211\u4eec"]))
    assert "tillage[chinese]" in caught.value.fix
    assert pieces(pl.Series(["we"])).height == 1
