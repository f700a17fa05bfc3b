"""Rows with a part of a picture. Reading and writing the picture is the cost: 0.15 ms at 28 by 28 pixels."""

from __future__ import annotations

from pydantic import Field

from tillage.augment.chance import stream
from tillage.augment.pictures import AugmentImage
from tillage.media.image import Pixels, resized


class CropImage(AugmentImage):
    """Make rows with a part of a picture, drawn by chance in size and place, as wide for its height as the whole.

    >>> import numpy as np, polars as pl
    >>> from tillage.media import decode_image, encode_image
    >>> picture = encode_image(np.arange(48, dtype=np.uint8).reshape(6, 8, 1))
    >>> rows = pl.DataFrame({"image": [picture], "_id": pl.Series([1], dtype=pl.UInt128)})
    >>> decode_image(CropImage(columns=("image",), size=None, least=0.5, resize=False).apply(rows)["image"][1]).shape
    (5, 7, 1)
    """

    least: float = Field(0.8, gt=0, lt=1, description="least share of each side that stays, 0 to 1")
    resize: bool = Field(True, description="bring the part to the size of the whole; else it is smaller")

    def changed(self, pixels: Pixels, seed: int) -> Pixels:
        """A part of the pixels."""
        size, down, right = ((int(word) >> 11) / (1 << 53) for word in stream(seed, 3))
        share = self.least + (1 - self.least) * size
        rows, columns = (max(round(side * share), 1) for side in pixels.shape[:2])
        top, left = int(down * (pixels.shape[0] - rows + 1)), int(right * (pixels.shape[1] - columns + 1))
        part = pixels[top : top + rows, left : left + columns]
        return resized(part, pixels.shape[0], pixels.shape[1]) if self.resize else part
