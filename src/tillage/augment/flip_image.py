"""Rows with a picture turned over. Reading and writing the picture is the cost: 0.1 ms at 28 by 28 pixels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tillage.augment.pictures import AugmentImage
from tillage.media.image import Pixels

Direction = Literal["horizontal", "vertical", "both"]


class FlipImage(AugmentImage):
    """Make rows in which a picture is turned over: left and right change places, or above and below, or both.

    Of several directions each copy takes one by chance. Not for what has a right way round, such as text and digits.

    >>> import numpy as np, polars as pl
    >>> from tillage.media import decode_image, encode_image
    >>> picture = encode_image(np.array([[[1], [2]], [[3], [4]]], dtype=np.uint8))
    >>> rows = pl.DataFrame({"image": [picture], "_id": pl.Series([1], dtype=pl.UInt128)})
    >>> decode_image(FlipImage(columns=("image",), size=None).apply(rows)["image"][1])[:, :, 0].tolist()
    [[2, 1], [4, 3]]
    """

    directions: tuple[Direction, ...] = Field(
        ("horizontal",), min_length=1, description="ways in which a picture may be turned over"
    )

    def changed(self, pixels: Pixels, seed: int) -> Pixels:
        """The pixels turned over."""
        direction = self.directions[(seed >> 1) % len(self.directions)]
        rows = slice(None, None, -1 if direction in ("vertical", "both") else 1)
        columns = slice(None, None, -1 if direction in ("horizontal", "both") else 1)
        return pixels[rows, columns]
