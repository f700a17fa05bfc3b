"""Sounds at one rate. The cost is reading and writing the sound, and some 20 nanoseconds a sample of filtering."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.media import SHAPE, Shape, Sound, Sounds, resampled


class ResampleAudio(Map):
    """Bring every sound to one rate, by a polyphase filter that keeps what is above the lower rate's half from folding.

    Bytes that are no sound leave as `unreadable_audio`; null stays, and so does a sound that has the rate already. The
    columns that say how plain samples are laid out follow.

    >>> import numpy as np
    >>> from tillage.media import decode_sound, encode_sound
    >>> clip = encode_sound(Sound(np.zeros((44_100, 1), dtype=np.float32), 44_100))
    >>> out = ResampleAudio(column="clip", shape=None, rate=16_000).apply(pl.DataFrame({"clip": [clip]}))
    >>> decode_sound(out["clip"][0]).samples.shape
    (16000, 1)
    """

    version: ClassVar[int] = 2

    column: str = Field("audio", description="column of sounds, as bytes")
    shape: Shape = SHAPE
    rate: int = Field(16_000, ge=1_000, le=768_000, description="frames a second, in Hz")

    def needs(self) -> tuple[str, ...]:
        """The column of sounds, and those of their layout."""
        return (self.column, *(self.shape or ()))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the sounds at the rate; raises ConfigurationError, Unavailable."""
        sounds = Sounds(rows, self.column, self.shape)

        def made(_: int, sound: Sound) -> tuple[bytes | None, int]:
            other = resampled(sound, self.rate)
            return None if other is sound else sounds.write(other), len(other.samples)

        found = sounds.each(made)
        data = pl.Series(self.column, [f and f[0] for f in found], dtype=pl.Binary)
        told = pl.Series([f and f[1] for f in found], dtype=pl.Int64)
        out = rows.with_columns(data.zip_with(data.is_not_null(), sounds.values))
        if self.shape is not None:
            rate, _, samples = self.shape
            read = pl.lit(told.is_not_null())
            out = out.with_columns(
                pl.when(read).then(pl.lit(self.rate, dtype=pl.Int64)).otherwise(rate).alias(rate),
                pl.when(read).then(pl.lit(told)).otherwise(samples).alias(samples),
            )
        return leave(out, "unreadable_audio", pl.lit(sounds.values.is_not_null() & told.is_null()))
