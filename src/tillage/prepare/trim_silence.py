"""Sounds without the silence before and after. The cost is reading and writing the sound."""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import Field

from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.media import decode_sound, each, encode_sound, trimmed
from tillage.prepare.columns import NewName, require_type


class TrimSilence(Map):
    """Cut off what is quiet before the first and after the last loud frame; pauses within stay.

    A frame is loud when its root mean square is less than `below` decibels under that of the loudest frame. A sound
    without any loud frame leaves as `silent`, bytes that are no sound as `unreadable_audio`; null stays.

    >>> import numpy as np
    >>> from tillage.media import Sound
    >>> samples = np.zeros((8_000, 1), dtype=np.float32)
    >>> samples[3_000:5_000] = 0.5
    >>> rows = pl.DataFrame({"clip": [encode_sound(Sound(s, 8_000)) for s in (samples, samples * 0)]})
    >>> TrimSilence(column="clip", seconds="seconds").apply(rows).select("seconds", "_reason").rows()
    [(0.285, None), (0.0, 'silent')]
    """

    column: str = Field(description="column of sounds, as bytes")
    below: float = Field(40, gt=0, le=120, description="decibels under the loudest frame at which silence begins")
    frame: float = Field(0.025, gt=0, le=1, description="length of a frame, in seconds")
    hop: float = Field(0.01, gt=0, le=1, description="from the beginning of a frame to that of the next, in seconds")
    seconds: NewName | None = Field(None, description="column that is added: seconds that are left; null: none")

    def needs(self) -> tuple[str, ...]:
        """The column of sounds."""
        return (self.column,)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the sounds cut, those that leave marked; raises ConfigurationError, Unavailable."""
        require_type(rows, (self.column,), "bytes")

        def made(_: int, data: bytes) -> tuple[bytes, float]:
            sound = decode_sound(data)
            part = trimmed(sound, self.below, self.frame, self.hop)
            same = len(part.samples) in (0, len(sound.samples))
            return data if same else encode_sound(part), part.seconds

        sounds = rows[self.column].cast(pl.Binary)
        found: list[Any] = each(sounds, made)
        cut = pl.Series(self.column, [f and f[0] for f in found], dtype=pl.Binary)
        left = pl.Series("seconds", [f and f[1] for f in found], dtype=pl.Float64)
        failed = sounds.is_not_null() & cut.is_null()
        out = leave(rows.with_columns(cut.zip_with(~failed, sounds)), "unreadable_audio", pl.lit(failed))
        out = leave(out, "silent", pl.lit((left == 0).fill_null(value=False)))
        return out if self.seconds is None else out.with_columns(left.alias(self.seconds))
