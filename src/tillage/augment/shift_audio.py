"""Rows with a sound that begins earlier or later. Reading and writing the sound is the cost."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from tillage.augment.sounds import AugmentAudio
from tillage.media.sound import Samples, Sound


class ShiftAudio(AugmentAudio):
    """Make rows in which a sound is moved in time, by chance; it keeps its length, and silence fills the gap.

    >>> import polars as pl
    >>> from tillage.media import decode_sound, encode_sound
    >>> clip = encode_sound(Sound(np.linspace(0, 0.5, 1000, dtype=np.float32)[:, None], 8_000))
    >>> rows = pl.DataFrame({"clip": [clip], "_id": pl.Series([1], dtype=pl.UInt128)})
    >>> made = decode_sound(ShiftAudio(columns=("clip",), shape=None, most=0.5).apply(rows)["clip"][1]).samples
    >>> len(made), int((made == 0).sum())
    (1000, 315)
    """

    most: float = Field(0.1, gt=0, lt=1, description="greatest shift, as a share of the length")

    def changed(self, sound: Sound, seed: int) -> Samples:
        """The samples moved, later where the shift is above zero."""
        total = len(sound.samples)
        shift = round(((seed >> 11) / (1 << 53) * 2 - 1) * self.most * total)
        out = np.zeros_like(sound.samples)
        if shift >= 0:
            out[shift:] = sound.samples[: total - shift]
        else:
            out[:shift] = sound.samples[-shift:]
        return out
