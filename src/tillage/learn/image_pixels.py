"""Pictures as a small network looks at them: all of one size, grey or in colours, and moved a little in training.

A picture of another shape keeps its ratio; what is left over beside it repeats the pixels of its edge. The size follows
from the middle of the pictures' sizes, so that pictures of one size stay as they are, to the pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from tillage.core.keys import fraction
from tillage.core.rows import ID
from tillage.learn.deep.trainer import torch
from tillage.learn.learner import Numbers
from tillage.media import Pictures, gray, opaque, resized
from tillage.media.image import Pixels

_LARGEST, _SMALLEST = 64, 8
"""Pixels of the longer side that are looked at where nothing else is said, and of any side."""

_SAMPLE = 1_000
"""Pictures whose sizes are looked at."""

_JUDGED = 256
"""Pictures that are looked at together where nothing is learnt."""


@dataclass(frozen=True)
class Frame:
    """What is looked at: so many rows and columns of pixels, 1 channel or 3, less their mean, over their deviation.

    >>> Frame(2, 4).fitted(np.array([[[7], [9]]], np.uint8))[:, :, 0].tolist()
    [[7, 7, 9, 9], [7, 7, 9, 9]]
    """

    rows: int
    columns: int
    channels: int = 3
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def key(self) -> tuple[int, int, int]:
        """What pictures that are looked at have in common."""
        return self.rows, self.columns, self.channels

    @classmethod
    def of(cls, packed: Mapping[str, Any]) -> Frame:
        """The frame of a state."""
        rows, columns, channels = (int(packed[name]) for name in ("rows", "columns", "channels"))
        return cls(rows, columns, channels, tuple(packed["mean"]), tuple(packed["deviation"]))

    def packed(self) -> dict[str, Any]:
        """The frame as plain values."""
        values = {"rows": self.rows, "columns": self.columns, "channels": self.channels}
        return {**values, "mean": list(self.mean), "deviation": list(self.deviation)}

    def fitted(self, pixels: Pixels) -> Pixels:
        """A picture at this size: (rows, columns, channels of its own, without how opaque it is)."""
        pixels = opaque(pixels)
        rows, columns = pixels.shape[:2]
        if (rows, columns) == (self.rows, self.columns):
            return pixels
        times = min(self.rows / rows, self.columns / columns)
        small = resized(pixels, *(max(1, round(side * times)) for side in (rows, columns)))
        over = [most - side for most, side in zip((self.rows, self.columns), small.shape, strict=False)]
        return np.pad(small, [*((n // 2, n - n // 2) for n in over), (0, 0)], mode="edge")

    def coloured(self, pixels: Sequence[Pixels], how: str) -> tuple[Frame, Pixels]:
        """Fitted pictures in one array (pictures, rows, columns, channels), and the frame that has their channels.

        `how`: grey, rgb, or auto: grey where no pixel has a colour.
        """
        channels = {"grey": 1, "rgb": 3}.get(how) or (3 if any(_has_colour(one) for one in pixels) else 1)
        frame = replace(self, channels=channels)
        return frame, np.stack([frame._in_channels(one) for one in pixels])

    def scaled(self, pixels: Pixels) -> Frame:
        """The frame that knows the mean and the deviation of these pictures, by channel."""
        flat = pixels.reshape(-1, pixels.shape[3])
        count = max(1, len(flat))
        sums = [flat[:, n].sum(dtype=np.int64) / count for n in range(flat.shape[1])]  # exact: whole numbers
        squares = [np.square(flat[:, n], dtype=np.int64).sum() / count for n in range(flat.shape[1])]
        spread = [max(1.0, float(np.sqrt(max(0.0, s - m * m)))) for s, m in zip(squares, sums, strict=True)]
        return replace(self, mean=tuple(map(float, sums)), deviation=tuple(spread))

    def looked_at(self, pixels: Pixels) -> Pixels:
        """A picture of any size as it is looked at: (rows, columns, channels)."""
        return self._in_channels(self.fitted(pixels))

    def normalized(self, pixels: Pixels) -> Numbers:
        """Pictures (pictures, rows, columns, channels) as float32, about 0 in the middle and 1 wide."""
        mean, deviation = (np.array(part, np.float32) for part in (self.mean, self.deviation))
        return np.asarray((pixels.astype(np.float32) - mean) / deviation)

    def _in_channels(self, pixels: Pixels) -> Pixels:
        if pixels.shape[2] == self.channels:
            return pixels
        return gray(pixels)[:, :, None] if self.channels == 1 else np.repeat(pixels, 3, axis=2)


def frame_of(rows: pl.DataFrame, column: str, size: tuple[str, str] | None, most: int, resolution: int | None) -> Frame:
    """The frame for the pictures of some rows: of their middle height and width, the longer side at most `resolution`.

    Without `resolution` pictures are shrunk to 64 at most, and never made larger.
    """
    if rows.height > _SAMPLE and ID in rows.columns:
        rows = rows[fraction(rows[ID], "sizes").arg_sort().head(_SAMPLE)]
    sizes = [one for one in Pictures(rows, column, size, most).each(lambda _, pixels: pixels.shape[:2]) if one]
    if not sizes:
        return Frame(_SMALLEST, _SMALLEST)
    height, width = (float(np.median([one[n] for one in sizes])) for n in range(2))
    longest = max(height, width)
    times = (resolution or min(_LARGEST, longest)) / longest
    return Frame(max(_SMALLEST, round(height * times)), max(_SMALLEST, round(width * times)))


class ImageTask:
    """Pictures as they are looked at, and the place of each one's class: the loss of some, and what is judged by."""

    def __init__(self, frame: Frame, pixels: Pixels, target: Numbers, shift: float, flip: Sequence[str]) -> None:
        """`pixels`: (pictures, rows, columns, channels). `shift`, `flip`: what may be done to one in training."""
        self._frame, self._pixels, self._flip = frame, pixels, flip
        self._target = torch().from_numpy(np.array(target))
        self._shift = [round(shift * side) for side in (frame.rows, frame.columns)]

    def loss(self, network: Any, some: Numbers) -> Any:
        """Cross-entropy, summed over the pictures of these numbers, which training moves and turns over by chance."""
        library = torch()
        if not len(some):  # a process of several that has no part of this batch
            return sum(value.sum() for value in network.parameters() if value.requires_grad) * 0.0
        pixels = self._moved(self._pixels[some]) if network.training else self._pixels[some]
        given = library.from_numpy(self._frame.normalized(pixels)).permute(0, 3, 1, 2)
        wanted = self._target[library.from_numpy(some)]
        return library.nn.functional.cross_entropy(network(given).float(), wanted, reduction="sum")

    def mean(self, network: Any, some: Numbers) -> float:
        """The mean loss of pictures that are not learnt from."""
        parts = [some[at : at + _JUDGED] for at in range(0, len(some), _JUDGED)]
        return sum(float(self.loss(network, part)) for part in parts) / len(some)

    def _moved(self, pixels: Pixels) -> Pixels:
        """Each picture moved and turned over by the trainer's draw; the edge is repeated where it has left."""
        places = []
        for side, most, way in zip(pixels.shape[1:3], self._shift, ("vertical", "horizontal"), strict=True):
            at = np.arange(side) - self._drawn(len(pixels), 2 * most + 1)[:, None] + most
            if way in self._flip:
                at = np.where(self._drawn(len(pixels), 2)[:, None] == 1, side - 1 - at, at)
            places.append(np.clip(at, 0, side - 1))
        which = np.arange(len(pixels))[:, None, None]
        return np.asarray(pixels[which, places[0][:, :, None], places[1][:, None, :]])

    @staticmethod
    def _drawn(count: int, below: int) -> Numbers:
        return np.asarray(torch().randint(below, (count,)).numpy())


def _has_colour(pixels: Pixels) -> bool:
    return pixels.shape[2] == 3 and bool((pixels != pixels[:, :, :1]).any())
