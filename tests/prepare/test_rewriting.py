"""The table of actions against the rules of `normalize`, for every code point, and what it must leave to them."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import polars as pl
import pytest
from tests.text.random_texts import twin

from tillage.prepare import normalize
from tillage.prepare.normalize import normalize_text
from tillage.prepare.rewriting import KEEP, LEAVE, Form, actions

EVERY = np.array([code for code in range(0x110000) if not 0xD800 <= code < 0xE000], dtype=np.uint32)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_what_may_join_with_its_neighbours_is_left(form: Form) -> None:
    table = actions(form, False, False, False, False, False, False)
    parts = [unicodedata.decomposition(chr(code)).split() for code in EVERY.tolist()]
    second = {int(part[1], 16) for part in parts if len(part) == 2 and not part[0].startswith("<")}
    marks = {code for code in EVERY.tolist() if unicodedata.combining(chr(code))}
    hangul = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # joined by a rule of their own
    joining = np.array(sorted(second | marks | hangul), dtype=np.uint32)
    assert len(joining) > 800
    assert set(table.of(joining).tolist()) == {LEAVE}
    kept = EVERY[table.of(EVERY) == KEEP]
    assert len(kept) > 200_000
    assert all(unicodedata.is_normalized(form, chr(code)) for code in kept.tolist())


@pytest.mark.parametrize(
    ("form", "lower", "lines"), [*itertools.product(["NFC", "NFKC"], [False, True], [False, True])]
)
def test_every_code_point_is_rewritten_as_by_the_rules(form: Form, lower: bool, lines: bool) -> None:
    settled = actions(form, True, True, True, True, lines, lower).of(EVERY) != LEAVE
    texts = pl.Series([f"a{chr(code)}b {chr(code)}" for code in EVERY[settled].tolist()])
    found = normalize_text(texts, form, full_width=True, lower=lower, lines=lines)
    slow = twin(normalize, lambda: normalize_text(texts, form, full_width=True, lower=lower, lines=lines))
    assert found.equals(slow)
