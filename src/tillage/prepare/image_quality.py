"""How sharp, how bright and how clipped a picture is; those beyond the limits leave. Cost: reading the picture."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.media import SIZE, Pictures, Size, clipped_share, gray, opaque, sharpness
from tillage.media.image import Pixels
from tillage.prepare.columns import NewName


class ImageQuality(Map):
    """Add what tells of blur and exposure, and let pictures beyond the limits go, each with its reason.

    Sharpness is the variance of the Laplacian of the luma: it depends on size and subject, so look at your own
    pictures before you set a limit (100 is usual for photographs of some hundred pixels a side). Brightness is the
    mean luma, 0 to 255; clipped is the share of pixels that are black or white. What shines through is laid on white.
    Bytes that are no picture leave as `unreadable_image`; null stays.

    >>> import numpy as np
    >>> from tillage.media import encode_image
    >>> flat, grid = np.full((8, 8, 1), 90, dtype=np.uint8), np.tile([[[0], [200]]], (8, 4, 1)).astype(np.uint8)
    >>> rows = pl.DataFrame({"image": [encode_image(flat), encode_image(grid), b"?"]})
    >>> out = ImageQuality(column="image", size=None, min_sharpness=100).apply(rows)
    >>> out.select("sharpness", "brightness", "clipped", "_reason").rows()
    [(0.0, 90.0, 0.0, 'blurred'), (160000.0, 100.0, 0.5, None), (None, None, None, 'unreadable_image')]

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.
    """

    version: ClassVar[int] = 2

    column: str = Field("pixels", description="column of pictures, as bytes")
    size: Size = SIZE
    sharpness: NewName | None = Field("sharpness", description="column that is added: the variance; null: none")
    brightness: NewName | None = Field(
        "brightness", description="column that is added: mean luma, 0 to 255; null: none"
    )
    clipped: NewName | None = Field("clipped", description="column that is added: the share, 0 to 1; null: none")
    min_sharpness: float | None = Field(None, ge=0, description="less leaves as `blurred`; none: no limit")
    min_brightness: float | None = Field(None, ge=0, le=255, description="less leaves as `too_dark`; none: no limit")
    max_brightness: float | None = Field(None, ge=0, le=255, description="more leaves as `too_bright`; none: no limit")
    max_clipped: float | None = Field(None, ge=0, le=1, description="more leaves as `clipped`; none: no limit")

    def needs(self) -> tuple[str, ...]:
        """The column of pictures, and those of their size."""
        return (self.column, *(self.size or ()))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns added, those that leave marked; raises ConfigurationError, Unavailable."""
        pictures = Pictures(rows, self.column, self.size)
        found = pictures.each(lambda _, pixels: _measured(pixels))
        names = ("sharpness", "brightness", "clipped")
        told = {n: pl.Series(n, [f and f[k] for f in found], dtype=pl.Float64) for k, n in enumerate(names)}
        out = leave(rows, "unreadable_image", pl.lit(pictures.values.is_not_null() & told["sharpness"].is_null()))
        for reason, beyond in self._limits(told):
            out = leave(out, reason, pl.lit(beyond.fill_null(value=False)))
        wanted = {"sharpness": self.sharpness, "brightness": self.brightness, "clipped": self.clipped}
        return out.with_columns(told[n].alias(name) for n, name in wanted.items() if name is not None)

    def _limits(self, told: dict[str, pl.Series]) -> list[tuple[str, pl.Series]]:
        out = []
        if self.min_sharpness is not None:
            out.append(("blurred", told["sharpness"] < self.min_sharpness))
        if self.min_brightness is not None:
            out.append(("too_dark", told["brightness"] < self.min_brightness))
        if self.max_brightness is not None:
            out.append(("too_bright", told["brightness"] > self.max_brightness))
        if self.max_clipped is not None:
            out.append(("clipped", told["clipped"] > self.max_clipped))
        return out


def _measured(pixels: Pixels) -> tuple[float, float, float]:
    luma = gray(opaque(pixels))
    return sharpness(luma), float(luma.sum(dtype="int64") / max(luma.size, 1)), clipped_share(luma)
