"""One function over every value of a column of bytes. What it costs is the function: decoding a picture, a sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import polars as pl

T = TypeVar("T")


class Unreadable(ValueError):
    """The bytes are no image, or no sound, that the library can read."""


def each(values: pl.Series, function: Callable[[int, bytes], T]) -> list[T | None]:
    """What the function makes of each value, given its position and its bytes; null where that is null, or Unreadable.

    >>> each(pl.Series([b"abc", None], dtype=pl.Binary), lambda n, data: len(data))
    [3, None]
    """
    out: list[T | None] = []
    for n, data in enumerate(values.to_list()):
        if data is None:
            out.append(None)
            continue
        try:
            out.append(function(n, data))
        except Unreadable:
            out.append(None)
    return out
