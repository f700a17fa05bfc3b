"""Sound as the ear hears it: the energy in bands that widen with pitch, frame by frame, in logarithms.

A short-time Fourier transform (Hann window, frames centred on multiples of the hop, silence beyond the ends), its
power, triangles on the mel scale.
Sources: Slaney, Auditory Toolbox, 1998 (scale and unit area); Young et al., The HTK Book, section 5.4 (the other one).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["slaney", "htk"]
Floats = NDArray[np.float64]

_LINEAR = 200 / 3
"""Slaney's scale has a step for every so many Hz, up to 1,000 Hz."""
_BREAK, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27
FLOOR = 1e-10
"""The least power, so that silence has a logarithm."""


def to_mel(hertz: Floats, scale: Scale) -> Floats:
    """Pitch in mel.

    >>> to_mel(np.array([1000.0]), "slaney").tolist(), to_mel(np.array([1000.0]), "htk").round(2).tolist()
    ([15.0], [999.99])
    """
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    high = _BREAK_MEL + np.log(np.maximum(hertz, _BREAK) / _BREAK) / _LOG_STEP
    return np.where(hertz < _BREAK, hertz / _LINEAR, high)


def to_hertz(mel: Floats, scale: Scale) -> Floats:
    """The inverse of `to_mel`.

    >>> to_hertz(np.array([3.0, 42.0]), "slaney").round(3).tolist()
    [200.0, 6400.0]
    """
    if scale == "htk":
        hertz: Floats = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
        return hertz
    return np.where(mel < _BREAK_MEL, mel * _LINEAR, _BREAK * np.exp(_LOG_STEP * (mel - _BREAK_MEL)))


@dataclass(frozen=True)
class MelSpectrum:
    """How spectra are taken: `rate` in Hz, `window` and `hop` in samples, `bands` from `low` to `high` Hz.

    `unit_area`: each triangle is divided by its width (Slaney), else its peak is 1.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    >>> found = MelSpectrum(8000, 256, 128, 20).log(tone)
    >>> found.shape, int(found[10].argmax())
    ((63, 20), 8)
    """

    rate: int
    window: int
    hop: int
    bands: int
    low: float = 0.0
    high: float | None = None
    scale: Scale = "slaney"
    unit_area: bool = True

    @cached_property
    def edges(self) -> Floats:
        """The corners of the triangles in Hz, two more than bands, equally far apart in mel."""
        top = self.rate / 2 if self.high is None else self.high
        ends = to_mel(np.array([self.low, top]), self.scale)
        return to_hertz(np.linspace(ends[0], ends[1], self.bands + 2), self.scale)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """How much each frequency counts in each band: frequencies by bands."""
        bins = np.fft.rfftfreq(self.window, 1 / self.rate)
        corners = self.edges
        widths = np.diff(corners)
        ramps = corners[None, :] - bins[:, None]
        rising, falling = -ramps[:, :-2] / widths[:-1], ramps[:, 2:] / widths[1:]
        found = np.maximum(0, np.minimum(rising, falling))
        if self.unit_area:
            found *= 2.0 / (corners[2:] - corners[:-2])
        return found.astype(np.float32)

    @cached_property
    def _hann(self) -> NDArray[np.float32]:
        return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)).astype(np.float32)

    def power(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The power in each band: frames by bands; a frame for every hop that begins, and one more at a full last."""
        from scipy.fft import rfft

        half = self.window // 2
        padded = np.concatenate([np.zeros(half, np.float32), samples, np.zeros(half, np.float32)])
        if len(padded) < self.window:
            padded = np.concatenate([padded, np.zeros(self.window - len(padded), np.float32)])
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        spectrum = rfft(frames * self._hann, axis=1)
        energy = spectrum.real**2 + spectrum.imag**2
        banded: NDArray[np.float32] = energy @ self.weights
        return banded

    def log(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The natural logarithm of `power`, which is taken as 1e-10 where it is less."""
        return np.log(np.maximum(self.power(samples), np.float32(FLOOR)))
