"""Pictures: bytes (PNG, JPEG and what else Pillow reads) to pixels and back. Extra: `pip install 'tillage[image]'`.

Pixels are uint8, rows by columns by channels: 1 (gray), 3 (red, green, blue) or 4 (and how opaque). What is written is
PNG, which loses nothing. A photograph of a megapixel takes 15 ms to read and 40 to write, most of it compression.
Source: Pillow (MIT-CMU); PNG, ISO/IEC 15948; luma, ITU-R BT.601, in the fixed point of Pillow.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tillage.core.errors import Unavailable
from tillage.media.unreadable import TooLarge, Unreadable

if TYPE_CHECKING:
    from types import ModuleType

Pixels = NDArray[np.uint8]

MOST_PIXELS = 100_000_000
"""A larger picture is refused before it is unpacked: a few kilobytes can unpack to gigabytes."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
"""What is read; of the others that Pillow knows, some are programs that it would hand to an interpreter."""

_STRIP = 1 << 18
"""Pixels that are counted with together."""

_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


def decode_image(data: bytes, most: int = MOST_PIXELS) -> Pixels:
    """The pixels (rows, columns, channels), turned as EXIF says; palettes become colours, 16 bits become 8.

    `most`: pixels above which it is not unpacked. Raises Unreadable, Unavailable.

    >>> decode_image(encode_image(np.zeros((2, 3, 1), dtype=np.uint8))).shape
    (2, 3, 1)
    """
    opened = _opened(data, most)
    if opened.mode not in ("L", "RGB", "RGBA"):
        opened = _eight_bits(opened)
    pixels: Pixels = np.asarray(opened)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def count_pixels(data: bytes) -> int:
    """How many pixels a file says that it unpacks to, by its head alone; 0 where it is no picture that can be read.

    >>> count_pixels(encode_image(np.zeros((2, 3, 1), dtype=np.uint8))), count_pixels(b"?")
    (6, 0)
    """
    try:
        opened = _pillow().open(BytesIO(data), formats=FORMATS)
    except Exception:  # a damaged file makes Pillow's readers raise whatever they like; it is not unpacked either
        return 0
    return int(opened.width * opened.height)


def encode_image(pixels: Pixels) -> bytes:
    """The pixels as PNG; the same pixels give the same bytes.

    >>> encode_image(np.zeros((1, 1, 3), dtype=np.uint8))[1:4]
    b'PNG'
    """
    buffer = BytesIO()
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    _pillow().fromarray(np.ascontiguousarray(flat), _CHANNELS[pixels.shape[2]]).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def gray(pixels: Pixels) -> Pixels:
    """The luma of each pixel (rows, columns), 0 to 255; how opaque it is does not count.

    >>> gray(np.full((1, 2, 3), 9, dtype=np.uint8)).tolist()
    [[9, 9]]
    """
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    luma = np.empty(pixels.shape[:2], dtype=np.uint8)
    for strip in _strips(pixels):
        wide = pixels[strip].astype(np.uint32)  # 0.299, 0.587 and 0.114 of 65,536
        luma[strip] = (wide[:, :, 0] * 19595 + wide[:, :, 1] * 38470 + wide[:, :, 2] * 7471 + 32768) >> 16
    return luma


def opaque(pixels: Pixels) -> Pixels:
    """The pixels without how opaque they are (1 or 3 channels): what shines through is laid on white.

    >>> opaque(np.array([[[0, 0, 0, 255], [0, 0, 0, 0]]], dtype=np.uint8)).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    if pixels.shape[2] < 4:
        return pixels
    laid = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    for strip in _strips(pixels):
        cover = pixels[strip][:, :, 3:].astype(np.uint16)  # the sums are 65,152 at most
        laid[strip] = (pixels[strip][:, :, :3] * cover + 255 * (255 - cover) + 127) // 255
    return laid


def _strips(pixels: Pixels) -> list[slice]:
    """Rows of pixels that are counted with together: what is wider than a byte is never the whole of a picture."""
    high = max(1, _STRIP // max(1, pixels.shape[1]))
    return [slice(at, at + high) for at in range(0, pixels.shape[0], high)]


def resized(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """The pixels at another size, by Lanczos.

    >>> resized(np.full((4, 4, 3), 7, dtype=np.uint8), 2, 5).shape
    (2, 5, 3)
    """
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    image = _pillow().fromarray(np.ascontiguousarray(flat), _CHANNELS[pixels.shape[2]])
    out: Pixels = np.asarray(image.resize((columns, rows), _LANCZOS))
    return out[:, :, None] if out.ndim == 2 else out


_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF's orientation to Pillow's number of the transposition that undoes it."""

_LANCZOS = 1
"""Pillow's number for the filter, Image.Resampling.LANCZOS."""


def _opened(data: bytes, most: int) -> Any:
    """The picture, unpacked and turned."""
    pillow = _pillow()
    try:
        with warnings.catch_warnings():  # of many pixels Pillow warns: they are counted here
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            opened = pillow.open(BytesIO(data), formats=FORMATS)
        if opened.width * opened.height > most:
            raise TooLarge(f"a picture of {opened.width} x {opened.height} pixels")
        opened.load()
        turn = _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
        opened = opened if turn is None else opened.transpose(turn)
    except TooLarge:
        raise
    except pillow.DecompressionBombError as error:  # more than twice what Pillow allows, whatever is asked here
        raise TooLarge(str(error)) from None
    except Exception as error:  # a damaged file makes Pillow's readers raise whatever they like
        raise Unreadable(str(error)) from None
    return opened


def _eight_bits(opened: Any) -> Any:
    if opened.mode == "F" or opened.mode.startswith("I"):
        return _pillow().fromarray(_of_deep(np.asarray(opened), opened.mode), "L")
    if opened.mode in ("L", "RGB", "RGBA"):
        return opened
    if opened.mode == "1":
        return opened.convert("L")
    alpha = opened.mode in ("LA", "PA", "La", "RGBa") or "transparency" in opened.info
    return opened.convert("RGBA" if alpha else "RGB")


def _of_deep(values: NDArray[Any], mode: str) -> Pixels:
    """Sixteen bits a pixel as eight, to the nearest, as collecting does; Pillow alone would cut them off at 255."""
    if mode == "F" or int(values.min()) < 0 or int(values.max()) > 65_535:
        raise Unreadable(f"pixels of mode {mode} have no range that is known")
    pixels: Pixels = ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
    return pixels


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        raise Unavailable(
            "Pictures are read by Pillow, which is not installed.", fix="Install it: pip install 'tillage[image]'"
        ) from None
    return Image
