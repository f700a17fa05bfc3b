"""Sounds: bytes (WAV, FLAC and what else libsndfile reads) to samples and back. Extra: `pip install 'tillage[audio]'`.

Samples are float32 from -1 to 1, frames by channels. What is written has 16 bits a sample: as WAV where the bytes were
WAV or no sample is left, else as FLAC, which loses nothing. Ten seconds at 16 kHz take 1 ms to read or write as FLAC.
Source: libsndfile (LGPL) by soundfile (BSD); RFC 9639 (FLAC).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tillage.core.errors import Unavailable
from tillage.media.unreadable import Unreadable

if TYPE_CHECKING:
    from types import ModuleType

Samples = NDArray[np.float32]

PLAIN = "PLAIN"
"""The format of samples without a file around them: float32, the lowest byte first."""
MOST_SAMPLES = 500_000_000
"""More are refused before they are unpacked, or made by another rate."""


@dataclass(frozen=True)
class Sound:
    """Samples (float32, frames by channels), frames a second, and the format in which they are written again.

    >>> Sound(np.zeros((16_000, 1), dtype=np.float32), 16_000).seconds
    1.0
    """

    samples: Samples
    rate: int
    format: str = "FLAC"

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def mono(self) -> Samples:
        """The mean of the channels."""
        mean: Samples = self.samples.mean(axis=1, dtype=np.float32) if self.samples.shape[1] > 1 else self.samples[:, 0]
        return mean


def decode_sound(data: bytes) -> Sound:
    """The sound in the bytes; raises Unreadable, and Unavailable without the library.

    >>> decode_sound(encode_sound(Sound(np.zeros((8, 2), dtype=np.float32), 8_000))).samples.shape
    (8, 2)
    """
    library = _soundfile()
    try:
        with library.SoundFile(BytesIO(data)) as file:
            if not 0 <= file.frames * file.channels <= MOST_SAMPLES:
                raise Unreadable(f"a sound of {file.frames} frames in {file.channels} channels")
            if _stated(data) > len(data) or len(samples := file.read(dtype="float32", always_2d=True)) < file.frames:
                raise Unreadable("a sound that is cut")
            return Sound(finite(samples), file.samplerate, "WAV" if data[:4] == b"RIFF" else "FLAC")
    except (library.SoundFileError, OSError, ValueError, MemoryError) as error:
        raise Unreadable(str(error)) from None


def finite(samples: Samples) -> Samples:
    """The samples; raises Unreadable where one is no finite number, by which nothing could be heard or measured.

    >>> finite(np.zeros((2, 1), dtype=np.float32)).tolist()
    [[0.0], [0.0]]
    """
    if not np.isfinite(samples).all():
        raise Unreadable("a sample is no finite number")
    return samples


def _stated(data: bytes) -> int:
    """Where the samples of a WAV end, as its head says; libsndfile reads what there is, and says nothing."""
    at = 12
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            return at + 8 + int(size)
        at += 8 + size + size % 2
    return 0


def count_samples(data: bytes, rate: int = 0) -> int:
    """How many samples, in all channels, a file says that it unpacks to, by its head alone; 0 where none would be.

    `rate`: one with fewer a second counts as if it had so many, since it may be brought to them.

    >>> whole = encode_sound(Sound(np.zeros((100, 2), dtype=np.float32), 8_000))
    >>> count_samples(whole), count_samples(whole, 16_000), count_samples(b"?")
    (200, 400, 0)
    """
    try:
        library = _soundfile()
        with library.SoundFile(BytesIO(data)) as file:
            frames, channels, own = int(file.frames), int(file.channels), int(file.samplerate)
    except (Unavailable, OSError, RuntimeError, ValueError, TypeError):  # what cannot be opened is not unpacked either
        return 0
    if not 0 <= frames * channels <= MOST_SAMPLES:  # nor is this
        return 0
    return channels * max(frames, frames * rate // max(own, 1))


def encode_sound(sound: Sound) -> bytes:
    """The sound with 16 bits a sample, what is louder than 1 cut off, unless it is PLAIN; equal ones give equal bytes.

    >>> encode_sound(Sound(np.zeros((8, 1), dtype=np.float32), 8_000, "WAV"))[:4]
    b'RIFF'
    """
    if sound.format == PLAIN:
        return sound.samples.astype("<f4").tobytes()
    buffer = BytesIO()
    whole = np.clip(np.rint(sound.samples * 32768.0), -32768, 32767).astype(np.int16)
    form = sound.format if len(whole) else "WAV"  # libsndfile writes a FLAC of no frame as no byte
    _soundfile().write(buffer, whole, sound.rate, format=form, subtype="PCM_16")
    return buffer.getvalue()


def resampled(sound: Sound, rate: int) -> Sound:
    """The sound at another rate, by a polyphase filter (Kaiser window, beta 5); Unreadable where that is too much.

    >>> resampled(Sound(np.zeros((8_000, 1), dtype=np.float32), 8_000), 16_000).samples.shape
    (16000, 1)
    """
    if rate == sound.rate:
        return sound
    if sound.samples.size * rate > MOST_SAMPLES * sound.rate:
        raise Unreadable(f"a sound of {sound.samples.size} samples, {sound.rate} a second, is too long at {rate}")
    from scipy.signal import resample_poly

    common = gcd(rate, sound.rate)
    up, down = rate // common, sound.rate // common
    made = resample_poly(sound.samples, up, down, axis=0, window=_filter(up, down)).astype(np.float32)
    return replace(sound, samples=made, rate=rate)


@lru_cache(maxsize=16)
def _filter(up: int, down: int) -> Samples:
    """The filter that `resample_poly` would make each time: for 44,100 to 16,000 that takes longer than filtering."""
    from scipy.signal import firwin

    half = 10 * max(up, down)
    taps: Samples = firwin(2 * half + 1, 1.0 / max(up, down), window=("kaiser", 5.0)).astype(np.float32)
    return taps


def trimmed(sound: Sound, below: float, frame: float, hop: float) -> Sound:
    """The sound from the first to the last frame that is less than `below` dB under the loudest; nothing of silence.

    `frame` and `hop` are in seconds; loudness is the root mean square of a frame over all channels.

    >>> quiet, loud = np.zeros((4_000, 1), dtype=np.float32), np.ones((4_000, 1), dtype=np.float32)
    >>> 0.5 <= trimmed(Sound(np.concatenate([quiet, loud, quiet]), 8_000), 40, 0.025, 0.01).seconds < 0.56
    True
    """
    width, step = max(round(frame * sound.rate), 1), max(round(hop * sound.rate), 1)
    total = len(sound.samples)
    energy = np.concatenate([[0.0], np.cumsum((sound.samples.astype(np.float64) ** 2).mean(axis=1))])
    starts = np.arange(0, max(total - width, 0) + step, step)
    ends = np.minimum(starts + width, total)
    starts = np.minimum(starts, total)
    power = (energy[ends] - energy[starts]) / width
    if not total or power.max() <= 0:
        return replace(sound, samples=sound.samples[:0])
    loud = np.flatnonzero(power > power.max() * 10 ** (-below / 10))
    return replace(sound, samples=sound.samples[starts[loud[0]] : ends[loud[-1]]])


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except ImportError:
        raise Unavailable(
            "Sounds are read by soundfile, which is not installed.", fix="Install it: pip install 'tillage[audio]'"
        ) from None
    return soundfile  # type: ignore[no-any-return]
