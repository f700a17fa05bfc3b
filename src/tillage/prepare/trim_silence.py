"""Sounds without the silence before and after. The cost is reading and writing the sound."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
from pydantic import Field

from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.media import SHAPE, Shape, Sound, Sounds, trimmed
from tillage.prepare.columns import NewName


class TrimSilence(Map):
    """Cut off what is quiet before the first and after the last loud frame; pauses within stay.

    A frame is loud when its root mean square is less than `below` decibels under that of the loudest frame. A sound
    without any loud frame leaves as `silent`, bytes that are no sound as `unreadable_audio`; null stays.

    >>> import numpy as np
    >>> from tillage.media import encode_sound
    >>> samples = np.zeros((8_000, 1), dtype=np.float32)
    >>> samples[3_000:5_000] = 0.5
    >>> rows = pl.DataFrame({"clip": [encode_sound(Sound(s, 8_000)) for s in (samples, samples * 0)]})
    >>> TrimSilence(column="clip", shape=None, seconds="seconds").apply(rows).select("seconds", "_reason").rows()
    [(0.285, None), (0.0, 'silent')]
    """

    version: ClassVar[int] = 2

    column: str = Field("audio", description="column of sounds, as bytes")
    shape: Shape = SHAPE
    below: float = Field(40, gt=0, le=120, description="decibels under the loudest frame at which silence begins")
    frame: float = Field(0.025, gt=0, le=1, description="length of a frame, in seconds")
    hop: float = Field(0.01, gt=0, le=1, description="from the beginning of a frame to that of the next, in seconds")
    seconds: NewName | None = Field(None, description="column that is added: seconds that are left; null: none")

    def needs(self) -> tuple[str, ...]:
        """The column of sounds, and those of their layout."""
        return (self.column, *(self.shape or ()))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the sounds cut, those that leave marked; raises ConfigurationError, Unavailable."""
        sounds = Sounds(rows, self.column, self.shape)

        def made(_: int, sound: Sound) -> tuple[bytes | None, float, int]:
            part = trimmed(sound, self.below, self.frame, self.hop)
            same = len(part.samples) in (0, len(sound.samples))
            return None if same else sounds.write(part), part.seconds, len((sound if same else part).samples)

        found: list[Any] = sounds.each(made)
        data = pl.Series(self.column, [f and f[0] for f in found], dtype=pl.Binary)
        left = pl.Series([f and f[1] for f in found], dtype=pl.Float64)
        out = rows.with_columns(data.zip_with(data.is_not_null(), sounds.values))
        if self.shape is not None:
            told = pl.Series([f and f[2] for f in found], dtype=pl.Int64)
            out = out.with_columns(pl.coalesce(pl.lit(told), pl.col(self.shape[2])).alias(self.shape[2]))
        out = leave(out, "unreadable_audio", pl.lit(sounds.values.is_not_null() & left.is_null()))
        out = leave(out, "silent", pl.lit((left == 0).fill_null(value=False)))
        return out if self.seconds is None else out.with_columns(left.alias(self.seconds))
