"""Extract against Python's own regular expressions."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.prepare import Extract

PATTERN = r"(?P<n>[0-9]+) ?(?P<unit>[a-z]+)?"


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.one_of(st.none(), st.text("12 ab", max_size=6)), min_size=1, max_size=8))
def test_as_python_does(texts: list[str | None]) -> None:
    rows = pl.DataFrame({"text": texts, "unit": ["kept"] * len(texts)}, schema={"text": pl.String, "unit": pl.String})
    out = Extract(column="text", pattern=PATTERN, strict=True).apply(rows)
    for row, text in zip(out.to_dicts(), texts, strict=True):
        found = re.search(PATTERN, text) if text is not None else None
        assert row["n"] == (found["n"] if found else None)
        assert row["unit"] == ((found["unit"] if found else None) or "kept")
        assert row["_reason"] == ("no_match" if text is not None and not found else None)


def test_what_cannot_be() -> None:
    for pattern, said in (("(?P<a>", "linear-time"), ("[0-9]+", "names no group"), (r"(?P<a>x)(?=y)", "linear-time")):
        with pytest.raises(ValidationError, match=said):
            Extract(column="text", pattern=pattern)
    with pytest.raises(ConfigurationError, match="needs text"):
        Extract(column="text", pattern="(?P<n>x)").apply(pl.DataFrame({"text": ["x"], "n": [1]}))
    nothing: dict[str, Any] = {"text": [None]}
    assert Extract(column="text", pattern="(?P<n>x)").apply(pl.DataFrame(nothing)).row(0) == (None, None)
