"""The frame that every step's `example()` works on: fixed ones, and drawn ones with everything awkward in them."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
from hypothesis import strategies as st

SCHEMA: dict[str, Any] = {
    "_id": pl.UInt128,
    "id": pl.Int64,
    "text": pl.String,
    "city": pl.String,
    "x": pl.Float64,
    "n": pl.Int64,
    "day": pl.String,
}

TEXTS = (None, "", "a", "A ", "\uff21", "a b c", "a b c", "\u53d1\u70e7 \u5934\u75db", "e\u0301 \u00e9", "a  b")
CITIES = ("Ulm", "\u5317\u4eac", "test", "", "Rome")
FLOATS = (None, 0.0, -0.0, math.nan, 0.5, -3e2, 1e300, 5e-324, math.inf, -math.inf)
ROUNDED = (0.1, 0.2, 0.3, 1e16, -1e16, 3.0)
"""Sums of these depend on their order, unless they are exact."""
DAYS = ("2024-01-05", "2024-02-29", "1999-12-31")

_row = st.tuples(
    st.integers(-5, 40),
    st.one_of(st.sampled_from(TEXTS), st.text(max_size=6)),
    st.sampled_from(CITIES),
    st.one_of(st.sampled_from(FLOATS), st.floats(-1e9, 1e9), st.sampled_from(ROUNDED), st.sampled_from(ROUNDED)),
    st.one_of(st.integers(-4, 6), st.integers(-(2**40), 2**40)),
    st.sampled_from(DAYS),
)
_ids = st.one_of(st.integers(1, 12), st.integers(0, 2**128 - 1))


@st.composite
def frames(draw: st.DrawFn, most: int = 14) -> pl.DataFrame:
    """Up to `most` rows in no order."""
    row_ids = draw(st.lists(_ids, max_size=most, unique=True))
    return pl.DataFrame([(i, *draw(_row)) for i in row_ids], schema=SCHEMA, orient="row")


def reference(rows: int = 40) -> pl.DataFrame:
    """The fixed frame: every awkward value, and enough rows to learn from."""
    made = [
        (
            (i * 2654435761) % 2**32 * 2**64 + i,
            i,
            TEXTS[(i * 7) % len(TEXTS)],
            CITIES[(i * 3 + i // 5) % len(CITIES)],
            FLOATS[(i * 3) % len(FLOATS)] if CITIES[(i * 3 + i // 5) % len(CITIES)] == "test" else ROUNDED[i % 6],
            (i * 5) % 11 - 4,
            DAYS[i % 3],
        )
        for i in range(rows)
    ]
    return pl.DataFrame(made, schema=SCHEMA, orient="row")


EMPTY = pl.DataFrame(schema=SCHEMA)
