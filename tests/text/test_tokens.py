"""Tokens against a slow reader of characters, and character n-grams against scikit-learn's."""

from __future__ import annotations

import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from tillage.text.tokens import LONGEST, character_ngrams, long_runs, long_words, words

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cn"]), max_size=30) | st.text(
    "aB 1-\u4e00\u9fff\u00e9_"
)


def slow_words(text: str) -> list[str]:
    found: list[str] = []
    run = ""
    for sign in text:
        if "\u4e00" <= sign <= "\u9fff":
            found, run = [*found, *([run] if run else []), sign], ""
        elif unicodedata.category(sign)[0] in "LMN":
            run += sign
        elif run:
            found, run = [*found, run], ""
    return [*found, run] if run else found


@given(TEXTS)
def test_words_are_those_of_a_slow_reader(text: str) -> None:
    lower = pl.Series([text]).str.to_lowercase()[0]
    assert pl.select(words(pl.lit(text))).item().to_list() == slow_words(lower)


def test_words_of_two_scripts() -> None:
    text = "Caf\u00e9 No.5\u4f60\u597dABC_x \u00bd"
    assert pl.select(words(pl.lit(text))).item().to_list() == [
        *["caf\u00e9", "no", "5", "\u4f60", "\u597d", "abc", "x", "\u00bd"]
    ]


@given(st.lists(st.none() | TEXTS, max_size=8))
def test_long_words_keep_rows_and_order(texts: list[str | None]) -> None:
    series = pl.Series(texts, dtype=pl.String)
    lower = series.str.to_lowercase().to_list()
    expected = [(row, word) for row, text in enumerate(lower) if text is not None for word in slow_words(text)]
    assert long_words(series).rows() == expected


@given(TEXTS)
def test_runs_are_words_with_their_han_neighbours(text: str) -> None:
    found = long_runs(pl.Series([text]))["word"].to_list()
    assert [part for run in found for part in slow_words(run)] == slow_words(pl.Series([text]).str.to_lowercase()[0])
    assert all(len({"\u4e00" <= sign <= "\u9fff" for sign in run}) == 1 for run in found)


def test_a_long_run_of_han_characters_is_cut() -> None:
    assert long_runs(pl.Series(["\u4f60" * (LONGEST + 1) + "\uff0c\u4f60\u597d"]))["word"].to_list() == [
        *["\u4f60" * LONGEST, "\u4f60", "\u4f60\u597d"]
    ]


@given(st.lists(st.text("ab\u00e9", min_size=1, max_size=8), max_size=6))
def test_ngrams_are_those_of_scikit_learn(vocabulary: list[str]) -> None:
    oracle = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), lowercase=False).build_analyzer()
    found = character_ngrams(pl.Series(vocabulary, dtype=pl.String), 2, 5)
    for row, word in enumerate(vocabulary):
        assert sorted(found.filter(pl.col("row") == row)["term"]) == sorted(oracle(word))


def test_a_han_character_has_no_ngrams_and_a_long_word_few() -> None:
    found = character_ngrams(pl.Series(["\u4f60", "a" * 1_000_000]), 2, 5)
    assert found["row"].unique().to_list() == [1]
    assert found.height == sum(LONGEST + 2 - n + 1 for n in range(2, 6))
