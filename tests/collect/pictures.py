"""Pictures and sounds for tests, made by Pillow, soundfile and hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import soundfile
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def pixels(width: int = 40, height: int = 24) -> Pixels:
    """A picture that looks different whichever way it is turned."""
    made = np.zeros((height, width, 3), np.uint8)
    made[..., 0] = np.arange(width) * 5
    made[..., 1] = np.arange(height)[:, None] * 9
    made[: height // 3, : width // 3, 2] = 200
    return made


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def picture(form: str = "PNG", **options: Any) -> bytes:
    return encoded(Image.fromarray(pixels()), form, **options)


def with_exif(turn: int) -> bytes:
    """A JPEG with an orientation, and the place where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = turn
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    exif[0x010F] = "SECRETCAMERA"
    return picture("JPEG", quality=100, subsampling=0, exif=exif)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header says this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows or bytes(99)))
        + chunk(b"IEND", b"")
    )


def wave(samples: int = 800) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.sin(np.arange(samples) / 20) * 0.5


def sound(
    values: np.ndarray[Any, Any] | None = None, rate: int = 8000, form: str = "WAV", kind: str = "PCM_16"
) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave() if values is None else values, rate, format=form, subtype=kind)
    return out.getvalue()
