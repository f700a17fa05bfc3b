"""How much the pictures of one request may unpack to: a few kilobytes can be a picture of millions of pixels.

What they say of themselves is read before anything is unpacked, so one request takes seconds of the service at most.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tillage.flow.score import Answers
from tillage.media.image import count_pixels
from tillage.serve.bodies import Columns

MOST_PIXELS = 50_000_000
"""Pixels of the pictures of one request; a single picture may have as many as the model takes."""

FEW_HEADS = 16
"""Rows whose pictures' heads are read in the event loop."""

TOO_LARGE = "too_many_pixels"
"""The reason of a row whose picture is more than the request may still unpack."""


def too_large(columns: Columns, raw: Sequence[str]) -> set[int]:
    """The rows, by position, whose pictures would be unpacked beyond what a request may; never the first that has one.

    `raw`: the columns of bytes.

    >>> too_large({"p": [b"no picture", None]}, ["p"])
    set()
    """
    out: set[int] = set()
    used = 0
    for at, values in enumerate(zip(*(columns[name] for name in raw), strict=True)):
        pixels = sum(count_pixels(value) for value in values if isinstance(value, bytes))
        if used and used + pixels > MOST_PIXELS and pixels:
            out.add(at)
        else:
            used += pixels
    return out


def without(columns: Columns, rows: Collection[int]) -> Columns:
    """The columns without some rows.

    >>> without({"a": [1, 2, 3]}, {1})
    {'a': [1, 3]}
    """
    return {name: [v for at, v in enumerate(values) if at not in rows] for name, values in columns.items()}


def refused_among(given: Answers, large: Collection[int]) -> Answers:
    """The answers to the other rows, and between them those to rows whose pictures are too large.

    >>> refused_among(Answers(["a", "b"], [0.5, 1.0], [None, None]), {1}).errors
    [None, 'too_many_pixels', None]
    """

    def spread(values: Sequence[Any], instead: Any) -> list[Any]:
        rest = iter(values)
        return [instead if at in large else next(rest) for at in range(len(values) + len(large))]

    sure = None if given.confidences is None else spread(given.confidences, None)
    more = {name: spread(values, None) for name, values in given.more.items()}
    return Answers(spread(given.predictions, None), sure, spread(given.errors, TOO_LARGE), more)


__all__ = ["FEW_HEADS", "MOST_PIXELS", "TOO_LARGE", "refused_among", "too_large", "without"]
