"""Rows with noise laid over a sound. 5 nanoseconds a sample, and reading and writing the sound."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from tillage.augment.chance import normals
from tillage.augment.sounds import AugmentAudio
from tillage.media.sound import Samples, Sound


class AddAudioNoise(AugmentAudio):
    """Make rows in which white noise is laid over a sound, so loud that the sound is `snr` decibels louder.

    Silence stays silence.

    >>> import polars as pl
    >>> from tillage.media import decode_sound, encode_sound
    >>> tone = np.sin(np.arange(16_000, dtype=np.float32) / 5)[:, None] / 4
    >>> rows = pl.DataFrame({"clip": [encode_sound(Sound(tone, 16_000))], "_id": pl.Series([1], dtype=pl.UInt128)})
    >>> made = decode_sound(AddAudioNoise(columns=("clip",), shape=None, snr=20).apply(rows)["clip"][1]).samples
    >>> bool(abs(10 * np.log10((tone**2).mean() / ((made - tone) ** 2).mean()) - 20) < 0.2)
    True
    """

    snr: float = Field(20, ge=-20, le=80, description="ratio of signal to noise, in decibels")

    def changed(self, sound: Sound, seed: int) -> Samples:
        """The samples with noise."""
        power = float((sound.samples.astype(np.float64) ** 2).mean()) if sound.samples.size else 0.0
        loud = np.float32(np.sqrt(power * 10 ** (-self.snr / 10)))
        noisy: Samples = sound.samples + normals(seed, sound.samples.size).reshape(sound.samples.shape) * loud
        return noisy
