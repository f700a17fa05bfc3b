"""How much the pictures and sounds of one request may unpack to: a few kilobytes can be millions of pixels or samples.

What they say of themselves is read before anything is unpacked, so one request takes seconds of the service at most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tillage.flow.score import Answers
from tillage.media.image import count_pixels
from tillage.media.sound import count_samples
from tillage.serve.bodies import Columns

MOST_PIXELS = 50_000_000
"""Pixels of the pictures of one request; a single picture may have as many as the model takes."""

MOST_SAMPLES = 50_000_000
"""Samples of the sounds of one request, in all channels: 17 minutes at 48 kHz. No honest sound of a body is longer."""

LEAST_RATE = 16_000
"""Samples a second that a sound of fewer counts as having: models bring it to a rate like that."""

FEW_HEADS = 16
"""Rows whose heads of pictures and sounds are read in the event loop."""

PIXELS, SAMPLES = "too_many_pixels", "too_many_samples"
"""The reasons of a row whose picture or sound is more than the request may still unpack."""


def too_large(columns: Columns, raw: Sequence[str]) -> dict[int, str]:
    """The rows, by position, whose pictures or sounds would be unpacked beyond what a request may, and why.

    The first picture is never among them; a sound is, however few others there are. `raw`: the columns of bytes.

    >>> too_large({"p": [b"no picture", None]}, ["p"])
    {}
    """
    out: dict[int, str] = {}
    all_pixels = all_samples = 0
    for at, values in enumerate(zip(*(columns[name] for name in raw), strict=True)):
        pixels = samples = 0
        for value in values:
            if isinstance(value, bytes):
                seen = count_pixels(value)
                pixels += seen
                samples += 0 if seen else count_samples(value, LEAST_RATE)
        if pixels and all_pixels and all_pixels + pixels > MOST_PIXELS:
            out[at] = PIXELS
        elif samples and all_samples + samples > MOST_SAMPLES:
            out[at] = SAMPLES
        else:
            all_pixels += pixels
            all_samples += samples
    return out


def without(columns: Columns, rows: Collection[int]) -> Columns:
    """The columns without some rows.

    >>> without({"a": [1, 2, 3]}, {1})
    {'a': [1, 3]}
    """
    return {name: [v for at, v in enumerate(values) if at not in rows] for name, values in columns.items()}


def refused_among(given: Answers, large: Mapping[int, str]) -> Answers:
    """The answers to the other rows, and between them those to rows that are too large, with the reason.

    >>> refused_among(Answers(["a", "b"], [0.5, 1.0], [None, None]), {1: PIXELS}).errors
    [None, 'too_many_pixels', None]
    """
    total = len(given.errors) + len(large)

    def spread(values: Sequence[Any]) -> list[Any]:
        rest = iter(values)
        return [None if at in large else next(rest) for at in range(total)]

    sure = None if given.confidences is None else spread(given.confidences)
    more = {name: spread(values) for name, values in given.more.items()}
    errors = [large.get(at, error) for at, error in enumerate(spread(given.errors))]
    return Answers(spread(given.predictions), sure, errors, more)


__all__ = ["FEW_HEADS", "PIXELS", "SAMPLES", "refused_among", "too_large", "without"]
