"""MergeSpellings against pairs compared one by one, and on spellings that people write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prepare.test_repair import edits

from tillage.core import BadData
from tillage.prepare import MergeSpellings
from tillage.text.edits import distance, near_pairs


def merged(values: Sequence[str | None], cut: int = 0, **given: Any) -> list[str | None]:
    rows = pl.DataFrame({"c": list(values)}, schema={"c": pl.String})
    step = MergeSpellings.model_validate({"columns": ["c"], **given})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first)).apply(rows)["c"].to_list()


words = st.text("abAB 12-", max_size=6)


@settings(max_examples=200, deadline=None)
@given(a=words, b=words)
def test_distances_as_by_their_table(a: str, b: str) -> None:
    assert distance(a, b) == edits(a, b)


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(words, max_size=12), within=st.integers(0, 3))
def test_near_pairs_are_all_pairs(texts: list[str], within: int) -> None:
    every = [(i, j, edits(a, b)) for i, a in enumerate(texts) for j, b in enumerate(texts) if i < j]
    assert list(near_pairs(texts, within)) == [(i, j, d) for i, j, d in every if d <= within]


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=30), cut=st.integers(0, 30))
def test_typing_errors_by_hand(values: list[str], cut: int) -> None:
    counts = Counter(values)
    ranked = sorted(counts, key=lambda v: (-counts[v], v))
    into: dict[str, str] = {}
    for wrong in ranked:
        rights = [
            (edits(wrong, right), at, right)
            for at, right in enumerate(ranked)
            if right not in into and counts[right] >= 2 * counts[wrong] and edits(wrong, right) in range(1, 3)
            and len(right) >= 2 * edits(wrong, right)
        ]  # fmt: skip
        if rights:
            into[wrong] = min(rights)[2]
    out = merged(values, cut, edits=2, letters_per_edit=2, ratio=2, ignore=[])
    assert out == [into.get(v, v) for v in values]


def test_signs_case_and_width_make_no_difference() -> None:
    values = ["New York"] * 3 + ["new york", "NEW-YORK", "Ｎｅｗ　Ｙｏｒｋ", "new york.", None, "!", "?"]
    assert merged(values) == ["New York"] * 7 + [None, "!", "?"]
    assert merged(["Straße", "Straße", "STRASSE"]) == ["Straße"] * 3
    assert merged(["Zürich", "Zürich", "Zurich"]) == ["Zürich", "Zürich", "Zurich"]
    assert merged(["Zürich", "Zürich", "Zurich"], ignore=["accents", "case"]) == ["Zürich"] * 3
    assert merged(["York New", "New York", "New York"], ignore=["order", "signs"]) == ["New York"] * 3
    assert merged(["b", "B"]) == ["B", "B"]  # equally frequent: the first by text


def test_chinese_spellings() -> None:
    values = ["北京大学"] * 9 + ["北京 大学", "北京大学。", "（北京大学）", "ＩＢＭ中国", "IBM中国"]
    assert merged(values) == ["北京大学"] * 12 + ["IBM中国"] * 2
    universities = ["华东师范大学"] * 9 + ["华东师泛大学"] + ["华南师范大学"] * 8
    assert merged(universities) == ["华东师范大学"] * 10 + ["华南师范大学"] * 8
    assert merged(["广东省"] * 9 + ["广西省"]) == ["广东省"] * 9 + ["广西省"]  # too short to tell


def test_rare_and_long_enough_and_of_the_same_digits() -> None:
    assert merged(["Boston"] * 5 + ["Bostom"]) == ["Boston"] * 6
    assert merged(["Boston"] * 4 + ["Bostom"]) == ["Boston"] * 4 + ["Bostom"]
    assert merged(["cat"] * 9 + ["car"]) == ["cat"] * 9 + ["car"]
    assert merged(["room 12"] * 9 + ["room 13"]) == ["room 12"] * 9 + ["room 13"]
    assert merged(["room 12"] * 9 + ["room 13"], digits=True) == ["room 12"] * 10
    assert merged(["Boston"] * 9 + ["bostom"], edits=0) == ["Boston"] * 9 + ["bostom"]
    chain = ["aaaaaaaaaa"] * 50 + ["aaaaaaaaab"] * 9 + ["aaaaaaaabb"]
    assert merged(chain) == ["aaaaaaaaaa"] * 59 + ["aaaaaaaabb"]  # nothing follows an error of an error


def test_known_forms_come_first_and_take_their_spellings_along() -> None:
    values = ["NY", "ny", "New York", "N.Y."]
    assert merged(values, forms={"c": {"NY": "New York"}}) == ["New York"] * 4


def test_what_is_no_category_is_refused() -> None:
    with pytest.raises(BadData, match="5 different values"):
        merged(list("abcde"), limit=4)
