"""The process that decodes pictures and sounds: bytes in, plain values out, under limits that the kernel keeps.

Run as a script (`python -P decoder.py`), it knows nothing of the project and has no secret of it: decoders are written
in C and are handed what strangers made. A request is a line of JSON (`kind`, `size`, limits) and the bytes; an answer a
line of JSON (values and `size`, or `refused`: reason and message) and the bytes made. Memory is limited for the
process, CPU time for each request; what exceeds either ends the process, and `media` starts another.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from io import BytesIO
from math import gcd
from typing import IO, Any

MEMORY = 3 << 30
"""Bytes of address space, libraries included."""

SECONDS = 20
"""CPU seconds of one request."""

MOST_SAMPLES = 1 << 27
"""Samples of all channels of one sound: 512 MB as float32."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")


class Refused(ValueError):
    """Why a file is no picture or sound: reason and message."""


def picture(data: bytes, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    """Width, height, and the pixels as RGB: three bytes a pixel, row by row, from the top left.

    The size in the header is checked before anything is decoded; of a moving picture the first frame counts, which
    `notes` say; it is turned as EXIF says, and nothing of its metadata is kept; what shines through is laid on white.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # ours is checked below, and refuses where theirs would warn
    if b"<svg" in data[:4096].lower() or data[:512].lstrip()[:5].lower() == b"<?xml":
        raise Refused("svg", "SVG is a program that draws; turn it into PNG.")
    try:
        opened = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused("not_an_image", f"The file is none of {', '.join(FORMATS)}.") from None
    width, height = opened.size
    if width * height > max_pixels:
        raise Refused("image_too_large", f"{width:,} x {height:,} pixels are more than max_pixels ({max_pixels:,}).")
    opened.seek(0)
    opened.load()
    made = _rgb(ImageOps.exif_transpose(opened))
    told = {"notes": [f"Of the pictures in this {opened.format} the first one is read."]} if _has_more(opened) else {}
    return {"width": made.width, "height": made.height, **told}, made.tobytes()


def _has_more(opened: Any) -> bool:
    """Whether another picture follows the first one: of a moving picture, a page, the other eye's. A look, no decoding.

    What follows may be damaged in ways of its own, and is there all the same.
    """
    try:
        return bool(getattr(opened, "is_animated", False))
    except Exception:
        return True


def _rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        solid = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Any) -> Any:
    """Sixteen bits a pixel as eight, to the nearest: Pillow alone would cut everything above 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if image.mode == "F" or int(values.min()) < 0 or int(values.max()) > 65_535:
        raise Refused("unknown_depth", f"Pixels of mode {image.mode} have no range that is known.")
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8))


def sound(data: bytes, sample_rate: int | None) -> tuple[dict[str, Any], bytes]:
    """Rate, channels, samples a channel, and the samples as little-endian float32 in -1 to 1, channels interleaved.

    24 bits are kept exactly. A header that states more than there is, or FLAC that is not what its MD5 says, is
    refused. With `sample_rate` another rate is brought to it (a polyphase filter, Kaiser window of beta 5).
    """
    import numpy as np
    import soundfile

    _plausible(data)
    with soundfile.SoundFile(BytesIO(data)) as file:
        rate, channels, frames = int(file.samplerate), int(file.channels), int(file.frames)
        if frames <= 0:
            raise Refused("no_samples", "The file holds no sample.")
        if frames * channels > MOST_SAMPLES:
            raise Refused(
                "sound_too_long", f"{frames:,} samples in {channels} channels are more than {MOST_SAMPLES:,}."
            )
        if data.startswith(b"fLaC"):
            whole = file.read(dtype="int32", always_2d=True)
            _same_md5(whole, data)
            values = (whole / 2.0**31).astype("<f4")
        else:
            values = file.read(dtype="float32", always_2d=True).astype("<f4")
    if len(values) != frames:
        raise Refused("cut_sound", f"The file states {frames:,} samples and holds {len(values):,}.")
    if not np.isfinite(values).all():
        raise Refused("not_a_number", "A sample is no finite number.")
    if sample_rate is not None and rate != sample_rate:
        from scipy.signal import resample_poly

        common = gcd(rate, sample_rate)
        values = resample_poly(values.astype("<f8"), sample_rate // common, rate // common, axis=0).astype("<f4")
        rate = sample_rate
    return {"sample_rate": rate, "channels": channels, "samples": len(values)}, values.tobytes()


def _plausible(data: bytes) -> None:
    """Raise Refused for what is neither WAV nor FLAC, and for a WAV header that cannot be true."""
    if data.startswith(b"fLaC"):
        return
    if not (data.startswith(b"RIFF") and data[8:12] == b"WAVE"):
        raise Refused("not_a_sound", "The file is neither WAV nor FLAC.")
    at, form = 12, b""
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt ":
            form = data[at + 8 : at + 8 + size]
        elif name == b"data":
            if size > len(data) - at - 8:
                raise Refused(
                    "lying_header", f"The header states {size:,} bytes of sound; {len(data) - at - 8:,} follow."
                )
            break
        at += 8 + size + size % 2
    else:
        raise Refused("cut_sound", "The file ends before its sound begins.")
    if len(form) < 16:
        raise Refused("lying_header", "The header does not say how the sound is written.")
    code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if not channels or not 1 <= rate <= 1_000_000 or (code in (1, 3) and block != channels * ((bits + 7) // 8)):
        raise Refused("lying_header", f"{channels} channels of {bits} bits, {block} bytes a sample, {rate} a second.")


def _same_md5(whole: Any, data: bytes) -> None:
    """Compare the samples with the MD5 that FLAC keeps of them (RFC 9639, 8.2); zeros mean that it keeps none."""
    import numpy as np

    bits = (int.from_bytes(data[20:22], "big") >> 4 & 0x1F) + 1
    kept = data[26:42]
    if not any(kept) or bits % 8:
        return
    narrow = (whole >> (32 - bits)).astype("<i4")
    raw = np.ascontiguousarray(narrow).view(np.uint8).reshape(-1, 4)[:, : bits // 8]
    if hashlib.md5(raw.tobytes(), usedforsecurity=False).digest() != kept:
        raise Refused("bad_digest", "The samples are not what the file's MD5 says.")


def answered(order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """The answer to one request; decoders fail in ways of their own, and each of them means that the file is bad."""
    try:
        if order["kind"] == "picture":
            return picture(data, order["max_pixels"])
        return sound(data, order["sample_rate"])
    except Refused as refused:
        return {"refused": list(refused.args)}, b""
    except ImportError as error:
        return {"missing": str(error.name)}, b""
    except MemoryError:
        return {"refused": ["too_large", "It needs more memory than decoding may take."]}, b""
    except Exception as error:
        return {
            "refused": [f"bad_{order['kind']}", f"It cannot be decoded: {str(error)[:200] or type(error).__name__}."]
        }, b""


def _limit(seconds: int | None) -> None:
    try:
        import resource
    except ImportError:  # not on Windows; there the time that `media` waits is the only limit
        return
    if seconds is None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return
    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = int(spent.ru_utime + spent.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    _limit(None)
    while line := source.readline():
        order = json.loads(line)
        data = source.read(order["size"])
        _limit(SECONDS)
        told, made = answered(order, data)
        sink.write(json.dumps({**told, "size": len(made)}).encode() + b"\n")
        sink.write(made)
        sink.flush()


if __name__ == "__main__":
    import os

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    serve(sys.stdin.buffer, out)
