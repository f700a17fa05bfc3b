"""Counts and repetition against slow, obvious twins that read one text character by character."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.text.random_texts import twin
from tests.text.slow_reader import phrases, plain_counts, plain_lines, plain_repeated, plain_top, texts
from tillage.text import measures, repetition
from tillage.text import unicode as reading
from tillage.text.measures import COUNTS, measure, tokens
from tillage.text.repetition import LINES, ngram_limits, repeated_lines
from tillage.text.unicode import blocks

HUGE = "word 发烧\n" * 40 + "x" * 100 + "…" * 7


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, max_size=6))
@example([HUGE, "", None, "\n", HUGE])
@example(["....... .. ... .", "a....", "."])
def test_counts_are_those_of_a_slow_reader(values: list[str | None]) -> None:
    series = pl.Series("t", values, dtype=pl.String)
    got = measure(series)
    assert got.columns == list(COUNTS)
    assert twin(measures, lambda: measure(series)).equals(got)
    assert set(got.dtypes) == {pl.Int64}
    assert got.rows() == [plain_counts(value) for value in values]


def test_every_code_point_is_counted_as_the_slow_reader_does() -> None:
    every = [chr(c) for c in range(0x323B0) if not 0xD800 <= c < 0xE000]
    got = measure(pl.Series([f"a{c}b {c}" for c in every])).rows()
    assert [c for c, row in zip(every, got, strict=True) if row != plain_counts(f"a{c}b {c}")] == []


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = pl.Series(["one\ntwo\n", "发烧 头痛", None, "", "x" * 50, HUGE, "last"])
    whole = measure(values)
    monkeypatch.setattr(reading, "BLOCK", 7)
    assert len(list(blocks(values))) > 4
    assert measure(values).equals(whole)


paged = st.lists(st.sampled_from(["a", "b ", " a", "cc\t", "", "", "发烧"]), max_size=9).map("\n".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(paged | texts, max_size=6))
@example(["a\nb\n\na\nb", None, "a\n\na\n \nb"])
def test_repeated_lines_are_those_of_a_slow_reader(values: list[str | None]) -> None:
    series = pl.Series("t", values, dtype=pl.String)
    got = repeated_lines(series)
    assert got.columns == list(LINES)
    assert twin(repetition, lambda: repeated_lines(series)).equals(got)
    # paragraphs are measured through their characters, line feeds included, in both
    assert got.rows() == [pytest.approx(plain_lines(value), abs=1e-12) for value in values]


said = st.lists(st.sampled_from(["a", "bb", "c,", "发", "烧", "…", "the\tend"]), max_size=30).map(" ".join)
limits = st.dictionaries(st.integers(2, 6), st.sampled_from([0.0, 0.1, 0.16, 0.2, 0.35, 0.5, 0.8, 1.0]), max_size=4)


@settings(max_examples=400, deadline=None)
@given(values=st.lists(said | phrases | texts, max_size=6), top=limits, repeated=limits)
@example(values=[HUGE], top={2: 0.2, 4: 0.16}, repeated={5: 0.15, 10: 0.1})
@example(values=["p q r s a b c d e f g h p q r s i j k l"], top={4: 0.3}, repeated={})  # its pairs have 0.2 each
def test_ngrams_are_those_of_a_slow_reader(
    values: list[str | None], top: dict[int, float], repeated: dict[int, float]
) -> None:
    series = pl.Series("t", values, dtype=pl.String)
    for block in blocks(series):
        got_top, got_repeated = ngram_limits(block, tokens(block), top, repeated)
        assert got_top.tolist() == [any(plain_top(v or "", n) > top[n] for n in top) for v in values]
        assert got_repeated.tolist() == [
            any(plain_repeated(v or "", n) > repeated[n] for n in repeated) for v in values
        ]


def test_a_share_counted_by_hand() -> None:
    # The pair "so it" comes four times: 16 of the 33 characters of the words, the comma among them.
    text = "so it goes and so it went and so it is, so it"
    block = next(blocks(pl.Series([text])))
    assert ngram_limits(block, tokens(block), {2: 16 / 33 - 1e-9}, {})[0].tolist() == [True]
    assert ngram_limits(block, tokens(block), {2: 16 / 33 + 1e-9}, {})[0].tolist() == [False]
