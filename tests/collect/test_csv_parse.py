"""The two parsers of records agree wherever both may be asked, and with Python's own."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from tillage.collect import csv as ours

FIELD = st.text(st.characters(codec="utf-8", exclude_characters='\r\n";'), max_size=14)


@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(FIELD, min_size=n, max_size=n), min_size=1, max_size=9)),
       st.sampled_from(["\n", "\r\n"]), st.booleans())  # fmt: skip
def test_without_a_quote_both_read_alike(rows: list[list[str]], mark: str, ended: bool) -> None:
    text = mark.join(";".join(row) for row in rows) + (mark if ended else "")
    names = [f"c{n}" for n in range(len(rows[0]))]
    read = ours.parse(text.encode(), names, ";")
    assert read.rows() == [tuple(field or None for field in row) for row in rows]
    assert read.equals(ours._parse_quoted(text.encode(), names, ";"))


def test_a_quote_in_the_data_is_minded() -> None:
    text = 'a,"x, ""y""\nz"\nb"c,""\n'
    read = ours.parse(text.encode(), ["p", "q"], ",")
    assert read.rows() == [("a", 'x, "y"\nz'), ('b"c', "")]
    assert [tuple(r) for r in csv.reader(io.StringIO(text, newline=""))] == read.rows()
