"""Sounds at one rate. The cost is reading and writing the sound, and some 20 nanoseconds a sample of filtering."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.media import decode_sound, each, encode_sound, resampled
from tillage.prepare.columns import NewName, require_type


class ResampleAudio(Map):
    """Bring every sound to one rate, by a polyphase filter that keeps what is above the lower rate's half from folding.

    Bytes that are no sound leave as `unreadable_audio`; null stays, and so does a sound that has the rate already.

    >>> import numpy as np
    >>> from tillage.media import Sound
    >>> clip = encode_sound(Sound(np.zeros((44_100, 1), dtype=np.float32), 44_100))
    >>> out = ResampleAudio(column="clip", rate=16_000).apply(pl.DataFrame({"clip": [clip]}))
    >>> decode_sound(out["clip"][0]).samples.shape
    (16000, 1)
    """

    column: str = Field(description="column of sounds, as bytes")
    rate: int = Field(16_000, ge=1_000, le=768_000, description="frames a second, in Hz")
    rate_column: NewName | None = Field(None, description="column that is set to the rate; null: none")

    def needs(self) -> tuple[str, ...]:
        """The column of sounds."""
        return (self.column,)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the sounds at the rate; raises ConfigurationError, Unavailable."""
        require_type(rows, (self.column,), "bytes")

        def made(_: int, data: bytes) -> bytes:
            sound = decode_sound(data)
            return data if sound.rate == self.rate else encode_sound(resampled(sound, self.rate))

        sounds = rows[self.column].cast(pl.Binary)
        found = pl.Series(self.column, each(sounds, made), dtype=pl.Binary)
        failed = sounds.is_not_null() & found.is_null()
        out = leave(rows.with_columns(found.zip_with(~failed, sounds)), "unreadable_audio", pl.lit(failed))
        if self.rate_column is None:
            return out
        return out.with_columns(pl.when(pl.lit(found.is_not_null())).then(pl.lit(self.rate)).alias(self.rate_column))
