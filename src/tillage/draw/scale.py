"""From values to places: a linear scale with round ticks (steps of 1, 2 or 5 times a power of ten)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] onto [start, stop].

    >>> Scale(0, 10, 100, 200)(5)
    150.0
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that span [low, high], about `about` of them; the first is <= low and the last >= high.

    >>> ticks(0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not math.isfinite(low) or not math.isfinite(high) or low > high:
        raise ValueError(f"an axis cannot go from {low} to {high}")
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(first, last + 1)]


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that can be drawn.

    >>> finite([1.0, None, float("nan")])
    [1.0]
    """
    return [v for v in values if v is not None and math.isfinite(v)]
