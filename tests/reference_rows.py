"""The reference frame of the steps, whole, empty, and without a value: fixtures of several rooms."""

from __future__ import annotations

import polars as pl
import pytest


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "_id": pl.Series([11, 12, 2**127 + 1, 14, 15, 16], dtype=pl.UInt128),
            "id": [1, 2, 3, 4, 5, 6],
            "text": ["a", "Ｂ  b", None, "发烧，脖子僵硬", "a", ""],
            "city": ["x", "test", "x", "北京", "y", "y"],
            "x": [0.5, None, float("nan"), float("inf"), 0.5, -0.0],
            "n": [3, -1, 0, 7, 2, 9],
            "day": ["2024-01-05", "2024-01-04", "2024-02-01", "2023-12-31", "2024-01-01", "2024-01-05"],
        }
    )


@pytest.fixture
def empty(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.clear()


@pytest.fixture
def nothing(rows: pl.DataFrame) -> pl.DataFrame:
    """The reference frame without a single value: every user column is of type Null."""
    return rows.select("_id", *(pl.lit(None).alias(c) for c in rows.columns if c != "_id"))
