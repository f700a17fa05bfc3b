"""Sounds as numbers to learn from: the logarithm of their energy in bands of the mel scale (see `media/mel.py`)."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.media import SHAPE, MelSpectrum, Shape, Sound, Sounds, resampled
from tillage.media.mel import Scale
from tillage.prepare.columns import NewName


class LogMel(Map):
    """Add the log mel spectrum of a sound: mean and deviation of each band over time, and frame by frame if wanted.

    `PREFIX_00` is the mean of the lowest band's natural logarithm, `PREFIX_sd_00` its standard deviation. With `frames`
    a column holds the whole spectrum as the bytes of a NumPy file (float32, frames by bands; `numpy.load` reads it).
    Sounds of another rate are resampled first; channels are averaged. Bytes that are no sound leave as
    `unreadable_audio`; null gives nulls.

    >>> from tillage.media import encode_sound
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000).astype(np.float32)[:, None] / 2
    >>> rows = pl.DataFrame({"clip": [encode_sound(Sound(tone, 8_000))]})
    >>> out = LogMel(column="clip", shape=None, rate=8_000, bands=10, frames="mel").apply(rows)
    >>> means = out.select(f"mel_0{n}" for n in range(10)).row(0)
    >>> means.index(max(means)), np.load(BytesIO(out["mel"][0])).shape
    (1, (101, 10))

    Source: Davis and Mermelstein, IEEE Transactions on Acoustics, Speech, and Signal Processing 28 (4), 1980.
    """

    version: ClassVar[int] = 2

    column: str = Field("audio", description="column of sounds, as bytes")
    shape: Shape = SHAPE
    rate: int = Field(16_000, ge=1_000, le=768_000, description="rate to which sounds are brought first, in Hz")
    bands: int = Field(
        40,
        ge=1,
        le=512,
        description="bands of the mel scale; one too narrow for a frequency of the window stays at -23.03",
    )
    window: float = Field(0.025, gt=0, le=1, description="length of a frame, in seconds")
    hop: float = Field(0.01, gt=0, le=1, description="from the beginning of a frame to that of the next, in seconds")
    low: float = Field(0, ge=0, description="lower end of the lowest band, in Hz")
    high: float | None = Field(None, gt=0, description="upper end of the highest band, in Hz; none: half the rate")
    scale: Scale = Field(
        "slaney", description="mel scale: slaney (linear to 1 kHz, bands of equal area) or htk (peaks 1)"
    )
    prefix: NewName | None = Field("mel", description="beginning of the names of the columns of figures; null: none")
    frames: NewName | None = Field(None, description="column for the spectrum frame by frame; null: none")

    @model_validator(mode="after")
    def _has_somewhere_to_go(self) -> Self:
        if self.prefix is None and self.frames is None:
            raise ValueError("neither 'prefix' nor 'frames' is given, so nothing would be kept")
        if self.low >= (self.high or self.rate / 2) or (self.high or 0) > self.rate / 2:
            raise ValueError(f"'low' < 'high' <= {self.rate / 2:g}, half of the rate, must hold")
        return self

    def needs(self) -> tuple[str, ...]:
        """The column of sounds, and those of their layout."""
        return (self.column, *(self.shape or ()))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns added, those that leave marked; raises ConfigurationError, Unavailable."""
        sounds = Sounds(rows, self.column, self.shape)
        spectrum = _spectrum(
            self.rate, max(round(self.window * self.rate), 2), max(round(self.hop * self.rate), 1), self.bands,
            self.low, self.high, self.scale,
        )  # fmt: skip

        def made(_: int, sound: Sound) -> tuple[Any, Any, bytes | None]:
            found = spectrum.log(resampled(sound, self.rate).mono())
            mean, sd = found.mean(axis=0, dtype=np.float64), found.std(axis=0, dtype=np.float64)
            return mean, sd, _file(found) if self.frames is not None else None

        found = sounds.each(made)
        there = pl.Series([f is not None for f in found], dtype=pl.Boolean)
        out = leave(rows, "unreadable_audio", pl.lit(sounds.values.is_not_null() & ~there))
        if self.prefix is not None:
            width = len(str(self.bands - 1)) if self.bands > 100 else 2
            for at, name in ((0, self.prefix), (1, f"{self.prefix}_sd")):
                some = [f[at] for f in found if f is not None]
                table = np.full((rows.height, self.bands), np.nan)
                table[there.to_numpy()] = np.array(some).reshape(len(some), self.bands)
                columns = (pl.Series(f"{name}_{n:0{width}d}", table[:, n]) for n in range(self.bands))
                out = out.with_columns(c.zip_with(there, pl.Series([None], dtype=pl.Float64)) for c in columns)
        if self.frames is None:
            return out
        return out.with_columns(pl.Series(self.frames, [f and f[2] for f in found], dtype=pl.Binary))


@lru_cache(maxsize=8)
def _spectrum(
    rate: int, window: int, hop: int, bands: int, low: float, high: float | None, scale: Scale
) -> MelSpectrum:
    return MelSpectrum(rate, window, hop, bands, low, high, scale, unit_area=scale == "slaney")


def _file(found: Any) -> bytes:
    buffer = BytesIO()
    np.save(buffer, found, allow_pickle=False)
    return buffer.getvalue()
