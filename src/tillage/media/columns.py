"""Pictures and sounds in a column of bytes, each read, looked at or changed, and written again as it was.

The bytes are either plain values, laid out as other columns of the row say (as `collect: files` makes them), or whole
files. Plain values cost nothing to read; a file costs its decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import require_type
from tillage.core.errors import ConfigurationError, Problem
from tillage.media.image import MOST_PIXELS, Pixels, decode_image, encode_image, opaque
from tillage.media.sound import PLAIN, Sound, decode_sound, encode_sound, finite
from tillage.media.unreadable import Unreadable

T = TypeVar("T")

Size = Annotated[
    tuple[str, str] | None,
    Field(
        description="columns of the width and the height, where the bytes are plain pixels (red, green, blue), as "
        "collecting files makes them; null: each is a file (PNG, JPEG)"
    ),
]
SIZE = ("width", "height")
Shape = Annotated[
    tuple[str, str, str] | None,
    Field(
        description="columns of the sample rate, the channels and the number of samples, where the bytes are plain "
        "samples (float32), as collecting files makes them; null: each is a file (WAV, FLAC)"
    ),
]
SHAPE = ("sample_rate", "channels", "samples")


class Pictures:
    """The pictures of some rows.

    Where a size is told in columns, bytes whose width and height are both null are a file all the same.

    >>> rows = pl.DataFrame({"p": [bytes(12)], "width": [2], "height": [2]})
    >>> Pictures(rows, "p", SIZE).each(lambda n, pixels: pixels.shape)
    [(2, 2, 3)]
    """

    def __init__(self, rows: pl.DataFrame, column: str, size: tuple[str, str] | None, most: int = MOST_PIXELS) -> None:
        """`most`: pixels above which a file is not unpacked. Raises ConfigurationError for columns that are missing or
        of another type."""
        self.values = _bytes(rows, column, size or (), "size")
        self.plain = size is not None
        self._sizes = [_whole(rows, name) for name in size or ()]
        self._most = most

    def each(self, function: Callable[[int, Pixels], T]) -> list[T | None]:
        """What the function makes of each, given its position; None of null and of what cannot be read."""
        return [None if isinstance(made, Unreadable) else made for made in self.tried(function)]

    def tried(self, function: Callable[[int, Pixels], T]) -> list[T | Unreadable | None]:
        """The same, with why it cannot be read."""
        return _tried(self.values, lambda n, data: function(n, self._read(n, data)))

    def write(self, pixels: Pixels) -> bytes:
        """The pixels as the bytes were: plain, or as PNG."""
        return pixels.tobytes() if self.plain else encode_image(pixels)

    def _read(self, n: int, data: bytes) -> Pixels:
        if not self.plain:
            return decode_image(data, self._most)
        width, height = (sizes[n] for sizes in self._sizes)
        if width is None and height is None:
            pixels = opaque(decode_image(data, self._most))
            return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
        if not width or not height or width < 0 or len(data) != width * height * 3:
            raise Unreadable(f"{len(data)} bytes are no {width} x {height} pixels")
        return np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)


class Sounds:
    """The sounds of some rows.

    >>> rows = pl.DataFrame({"a": [bytes(32)], "sample_rate": [8000], "channels": [2], "samples": [4]})
    >>> Sounds(rows, "a", SHAPE).each(lambda n, sound: sound.samples.shape)
    [(4, 2)]
    """

    def __init__(self, rows: pl.DataFrame, column: str, shape: tuple[str, str, str] | None) -> None:
        """Raises ConfigurationError for columns that are missing or of another type."""
        self.values = _bytes(rows, column, shape or (), "shape")
        self.plain = shape is not None
        self._shapes = [_whole(rows, name) for name in shape or ()]

    def each(self, function: Callable[[int, Sound], T]) -> list[T | None]:
        """What the function makes of each, given its position; None of null and of what cannot be read."""
        made = _tried(self.values, lambda n, data: function(n, self._read(n, data)))
        return [None if isinstance(one, Unreadable) else one for one in made]

    def write(self, sound: Sound) -> bytes:
        """The sound as the bytes were: plain, or as WAV or FLAC."""
        return encode_sound(sound)

    def _read(self, n: int, data: bytes) -> Sound:
        if not self.plain:
            return decode_sound(data)
        rate, channels, samples = (shapes[n] for shapes in self._shapes)
        if (
            not rate
            or not channels
            or samples is None
            or min(rate, channels) < 0
            or len(data) != samples * channels * 4
        ):
            raise Unreadable(f"{len(data)} bytes are no {samples} samples of {channels} channels")
        return Sound(finite(np.frombuffer(data, dtype="<f4").reshape(samples, channels)), rate, PLAIN)


def _tried(values: pl.Series, function: Callable[[int, bytes], T]) -> list[T | Unreadable | None]:
    out: list[T | Unreadable | None] = []
    for n, data in enumerate(values.to_list()):
        if data is None:
            out.append(None)
            continue
        try:
            out.append(function(n, data))
        except Unreadable as error:
            out.append(error)
    return out


def _bytes(rows: pl.DataFrame, column: str, told: tuple[str, ...], parameter: str) -> pl.Series:
    require_type(rows, (column,), "bytes")
    missing = [name for name in told if name not in rows.columns]
    if missing:
        raise ConfigurationError(
            [Problem(f"No column is called '{n}', which is to say how '{column}' is laid out.") for n in missing],
            fix=f"Name the columns in '{parameter}'; or set `{parameter}: null` where each value is a whole file.",
        )
    require_type(rows, told, "numbers")
    return rows[column].cast(pl.Binary)


def _whole(rows: pl.DataFrame, name: str) -> list[Any]:
    return rows[name].cast(pl.Int64, strict=False).to_list()
