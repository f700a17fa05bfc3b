"""What the steps that vary sounds have in common: bytes are read, varied by a seed, and written at the same rate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl

from tillage.augment.chance import Chance
from tillage.augment.synthetic import Augment
from tillage.media import Sound, decode_sound, each, encode_sound
from tillage.media.sound import Samples


class AugmentAudio(Augment):
    """An Augment of sounds in columns of bytes; bytes that are no sound stay, and have no variation."""

    kind: ClassVar[str] = "bytes"

    @abstractmethod
    def changed(self, sound: Sound, seed: int) -> Samples:
        """The samples varied (frames, channels), by the 64 bits of a seed."""

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The sounds varied, as WAV where they were WAV, else as FLAC."""
        return {c: self._varied(rows[c].cast(pl.Binary), chance, n) for n, c in enumerate(self.columns)}

    def _varied(self, sounds: pl.Series, chance: Chance, what: int) -> pl.Series:
        seeds = chance.bits(what=what).tolist()

        def varied(n: int, data: bytes) -> bytes:
            sound = decode_sound(data)
            made = self.changed(sound, seeds[n])
            return data if np.array_equal(made, sound.samples) else encode_sound(replace(sound, samples=made))

        found = pl.Series(sounds.name, each(sounds, varied), dtype=pl.Binary)
        return found.zip_with(found.is_not_null(), sounds)
