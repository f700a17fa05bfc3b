"""Shingles against a regular expression and tuples of tokens: the slow, obvious twin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from unicodedata import category

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.text import shingles as made
from tillage.text.shingles import BLOCK, blocks, sets

SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
TOKEN = re.compile(f"[\u4e00-\u9fff]|[^{re.escape(SPACES)}\u4e00-\u9fff]+")


def twin(text: str | None) -> list[tuple[str, ...]]:
    """Each shingle as the tuple of its tokens, repeated ones repeated."""
    found = TOKEN.findall((text or "").lower())
    return [tuple(found[i : i + 5]) for i in range(max(len(found) - 4, 1))]


def same(texts: Sequence[str | None]) -> None:
    """As many shingles as the twin has, and one hash for one tuple and one tuple for one hash."""
    found = made(pl.Series(texts, dtype=pl.String))
    expected = [twin(t) for t in texts]
    assert np.diff(found.starts).tolist() == [len(e) for e in expected]
    pairs = set(zip([g for e in expected for g in e], found.hashes.tolist(), strict=True))
    assert len(pairs) == len({g for g, _ in pairs}) == len({h for _, h in pairs})
    assert [a.dtype for a in found] == ["uint64", "int64"]


letters = st.sampled_from([*"aAbzZ09.,-_", *SPACES, *"发烧一鿿丿㐀䶿ꀀ豈éÉßǅΣσς🙂\u200b\ufeff\x1c\x00、。，"])
texts = st.lists(st.one_of(st.none(), st.text(letters, max_size=40)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(texts=texts)
def test_shingles_are_those_of_the_twin(texts: list[str | None]) -> None:
    same(texts)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from("aB 发\u3000"), max_size=60), max_size=12))
def test_long_texts_of_few_letters(texts: list[str]) -> None:
    same(texts)


def test_every_character_of_the_first_plane_parts_words_or_does_not() -> None:
    """Those that this Python's Unicode knows: Polars' is newer, and has lower cases for some that it does not."""
    points = [chr(p) for p in range(1, 0x10000) if category(chr(p)) not in {"Cs", "Cn"}]
    same([f"x{p}y a b c d" for p in points])


@pytest.mark.parametrize("piece", ["word ", "词语，", "Ünï\u3000"])
def test_a_batch_does_not_show(piece: str) -> None:
    texts = [f"{n} " + piece * (n % 400) for n in range(2_000)] + [piece * (BLOCK // 4)] + ["", "end"]
    series = pl.Series(texts)
    assert len(list(blocks(series))) > 2
    whole = made(series)
    for n in (0, 1, 399, 1_999, 2_000, 2_001, 2_002):
        alone = made(series[n : n + 1]).hashes
        assert alone.tolist() == whole.hashes[whole.starts[n] : whole.starts[n + 1]].tolist()


def test_blocks_hold_every_text_once() -> None:
    series = pl.Series(["a" * BLOCK, "", "b" * (BLOCK * 2), None, "c"])
    assert pl.concat(list(blocks(series))).to_list() == series.to_list()
    assert list(blocks(series.clear())) == []
    assert made(series.clear()).starts.tolist() == [0]


def test_hashes_are_the_same_for_ever() -> None:
    """What an index holds was made by another run, perhaps by another version: a change here must be told there."""
    hashes = made(pl.Series(["one two three four five", "发烧", ""])).hashes
    assert hashes.tolist() == GOLDEN


@pytest.mark.parametrize("by", ["here", "twin"])
@settings(max_examples=100, deadline=None)
@given(some=st.one_of(texts, st.lists(st.text(st.sampled_from("aB 发\u3000"), max_size=60), max_size=12)))
def test_sets_are_the_distinct_shingles_sorted(by: str, some: list[str | None]) -> None:
    series = pl.Series(some, dtype=pl.String)
    every = made(series)
    with pytest.MonkeyPatch.context() as patch:
        if by == "twin":
            patch.setattr(import_module("tillage.text.shingles"), "compiled", None)
        found = sets(series)
    for n, text in enumerate(some):
        own = found.hashes[found.starts[n] : found.starts[n + 1]].tolist()
        assert own == sorted(set(every.hashes[every.starts[n] : every.starts[n + 1]].tolist()))
        assert len(own) == len(set(twin(text)))
    assert len(found.starts) == len(some) + 1
    assert found.starts[-1] == len(found.hashes)


GOLDEN = [9599373195608615632, 6606894014367951587, 16271763815681133433]
