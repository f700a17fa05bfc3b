"""Rows with a noisy picture. 10 nanoseconds a value, and reading and writing the picture, which noise makes large."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from tillage.augment.chance import normals
from tillage.augment.pictures import AugmentImage
from tillage.media.image import Pixels


class AddImageNoise(AugmentImage):
    """Make rows in which every value of a picture is a little off, by chance (normal, each value for itself).

    How opaque a pixel is stays as it is. Values beyond black and white are cut off.

    >>> import polars as pl
    >>> from tillage.media import decode_image, encode_image
    >>> picture = encode_image(np.full((100, 100, 1), 128, dtype=np.uint8))
    >>> rows = pl.DataFrame({"image": [picture], "_id": pl.Series([1], dtype=pl.UInt128)})
    >>> made = decode_image(AddImageNoise(columns=("image",), size=None, sd=10).apply(rows)["image"][1])
    >>> bool(abs(made.mean() - 128) < 0.5 and abs(made.std() - 10) < 0.5)
    True
    """

    sd: float = Field(10, gt=0, le=255, description="standard deviation of the noise, of values from 0 to 255")

    def changed(self, pixels: Pixels, seed: int) -> Pixels:
        """The pixels with noise."""
        seen = pixels[:, :, :3]
        noise = normals(seed, seen.size).reshape(seen.shape) * np.float32(self.sd)
        noisy = np.clip(np.rint(seen + noise), 0, 255).astype(np.uint8)
        return np.concatenate([noisy, pixels[:, :, 3:]], axis=2) if pixels.shape[2] == 4 else noisy
