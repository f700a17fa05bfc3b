"""64 bits that say how a picture looks: pictures that look alike differ in few of them.

Shrinking the picture is the cost (by Pillow, extra `image`); the hash itself takes some 10 microseconds. All
pictures of one colour have one hash, whatever the colour. What shines through is laid on white: a sign is often drawn
by how opaque its pixels are, all of one colour.
Sources: Krawetz, "Kind of like that" (2013, dHash) and "Looks like it" (2011, pHash), hackerfactor.com; Zauner,
Implementation and benchmarking of perceptual image hash functions, 2010.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tillage.media.image import Pixels, gray, opaque, resized

BITS = 64
_COSINES = 2 * np.cos(np.pi / 64 * np.outer(np.arange(8), 2 * np.arange(32) + 1))
"""The first 8 rows of the cosine transform (type II) of 32 values."""


def dhash(pixels: Pixels) -> int:
    """Whether luma rises from each pixel to the next one of its row, in 8 rows of 9: robust to light and size.

    >>> hex(dhash(np.arange(72, dtype=np.uint8).reshape(8, 9, 1)))
    '0xffffffffffffffff'
    """
    small = _shrunk(pixels, 8, 9)
    return _packed(small[:, 1:] > small[:, :-1])


def phash(pixels: Pixels) -> int:
    """Which of the 8 by 8 lowest frequencies of the cosine transform, of 32 by 32 pixels, lie above their median.

    >>> hex(phash(np.full((8, 8, 1), 30, dtype=np.uint8)))
    '0x8000000000000000'
    """
    # Rounded, so that what is nothing but the last bit (of a picture of one colour) counts as nothing.
    low = np.round(_COSINES @ _shrunk(pixels, 32, 32).astype(np.float64) @ _COSINES.T, 6)
    return _packed(low > np.median(low))


def _shrunk(pixels: Pixels, rows: int, columns: int) -> Pixels:
    return resized(gray(opaque(pixels))[:, :, None], rows, columns)[:, :, 0]


def _packed(bits: NDArray[np.bool_]) -> int:
    """The bits row by row, the first one the highest."""
    return int.from_bytes(np.packbits(bits.reshape(-1)).tobytes(), "big")


def band_values(hashes: NDArray[np.uint64], bands: int) -> NDArray[np.uint64]:
    """Each hash cut into bands of (nearly) equal width: the value of each, hashes by bands.

    Of two hashes that differ in fewer bits than there are bands, one band at least is equal: no pair is missed.

    >>> band_values(np.array([0xF00000000000000A], dtype=np.uint64), 2).tolist()
    [[4026531840, 10]]
    """
    edges = [BITS * n // bands for n in range(bands + 1)]
    out = np.empty((len(hashes), bands), dtype=np.uint64)
    for n in range(bands):
        width = edges[n + 1] - edges[n]
        out[:, n] = (hashes >> np.uint64(BITS - edges[n + 1])) & np.uint64((1 << width) - 1)
    return out
