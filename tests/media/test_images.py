"""Pictures against Pillow, imagehash, SciPy, and arithmetic that is plain to see."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from io import BytesIO

import imagehash
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy.ndimage import laplace

from tillage.core.errors import ConfigurationError
from tillage.media import (
    SIZE,
    Pictures,
    band_values,
    clipped_share,
    decode_image,
    dhash,
    encode_image,
    gray,
    phash,
    sharpness,
)
from tillage.media.image import count_pixels, opaque, resized
from tillage.media.unreadable import TooLarge, Unreadable
from tillage.prepare import ImageQuality

NOISE = np.random.default_rng(7)


def smooth(seed: int, shape: tuple[int, int, int] = (40, 60, 3)) -> np.ndarray:
    """A picture with shapes in it, not noise."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (5, 6, shape[2])).astype(np.uint8)
    return resized(low, shape[0], shape[1])


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 3, 4)), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(rows: int, columns: int, channels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, channels)).astype(np.uint8)
    data = encode_image(pixels)
    assert (decode_image(data) == pixels).all()
    assert encode_image(pixels.copy()) == data
    image = Image.open(BytesIO(data))
    assert image.format == "PNG"
    assert (np.asarray(image).reshape(pixels.shape) == pixels).all()


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("RGBA", 4), ("CMYK", 3), ("LA", 4), ("I;16", 1), ("I", 1)],
)
def test_modes_of_pillow(mode: str, channels: int) -> None:
    base = Image.fromarray(smooth(1, (6, 5, 3)))
    if mode == "I;16":
        image = Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5) * 2184)
        wanted = np.rint(np.arange(30).reshape(6, 5, 1) * 2184 / 257)  # as collecting brings 65,535 to 255
        data = saved(image, "PNG")
        assert (decode_image(data) == wanted).all()
        assert (gray(decode_image(data)) == wanted[:, :, 0]).all()
        return
    image = base.convert("L").convert("I") if mode == "I" else base.convert(mode)
    data = saved(image, "TIFF" if mode in ("CMYK", "I") else "PNG")
    assert decode_image(data).shape == (6, 5, channels)


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3), np.float32), np.full((2, 3), 65_536, np.int32), -np.eye(3).astype(np.int32)]
)
def test_pixels_without_a_range_are_no_picture(values: np.ndarray) -> None:
    with pytest.raises(Unreadable, match="no range that is known"):
        decode_image(saved(Image.fromarray(values), "TIFF"))


def test_signs_that_are_drawn_by_how_opaque_they_are_are_told_apart() -> None:
    """Black on nothing, and the nothing black, too: as many a sign is stored."""
    signs = np.zeros((2, 40, 40, 4), dtype=np.uint8)
    signs[0, 10:30, 5:20, 3] = 255
    signs[1, 5:12, :, 3] = 255
    shown = [255 - sign[:, :, 3:] for sign in signs]
    for hashed in (dhash, phash):
        found = [hashed(sign) for sign in signs]
        assert found == [hashed(luma) for luma in shown]
        assert (found[0] ^ found[1]).bit_count() > 4
    rows = pl.DataFrame({"p": [encode_image(sign) for sign in signs]})
    seen = pl.DataFrame({"p": [encode_image(luma) for luma in shown]})
    step = ImageQuality(column="p", size=None, min_sharpness=100, min_brightness=50)
    assert step.apply(rows).drop("p").equals(step.apply(seen).drop("p"))
    assert step.apply(rows)["_reason"].to_list() == [None, None]


@pytest.mark.parametrize("data", [b"", b"no picture", encode_image(smooth(1))[:200], b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_image(data)


def test_a_small_file_that_unpacks_to_a_huge_picture_is_not_unpacked() -> None:
    ihdr = b"\x00\x00\x00\x0dIHDR" + (40_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    import zlib

    bomb = b"\x89PNG\r\n\x1a\n" + ihdr + zlib.crc32(ihdr[4:]).to_bytes(4, "big")
    with pytest.raises(Unreadable):
        decode_image(bomb)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF"])
def test_hashes_are_those_of_imagehash(seed: int, form: str) -> None:
    image = Image.fromarray(smooth(seed, (40, 60, 3)) if seed % 2 else smooth(seed, (33, 20, 1))[:, :, 0])
    data = saved(image, form)
    opened = Image.open(BytesIO(data))
    assert f"{dhash(decode_image(data)):016x}" == str(imagehash.dhash(opened))
    assert f"{phash(decode_image(data)):016x}" == str(imagehash.phash(opened))


@pytest.mark.parametrize("shape", [(1, 1), (700, 900), (3, 300_000), (300_000, 3)])
def test_pixels_are_counted_with_by_strips_and_come_out_the_same(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (*shape, 4), dtype=np.uint8)
    cover = pixels[:, :, 3:].astype(np.int64)
    laid = (pixels[:, :, :3] * cover + 255 * (255 - cover) + 127) // 255
    assert (opaque(pixels) == laid).all()
    luma = np.asarray(Image.fromarray(np.ascontiguousarray(pixels[:, :, :3])).convert("L"))
    assert (gray(pixels) == luma).all()


def test_a_picture_is_laid_on_white_in_little_more_memory_than_it_takes() -> None:
    pixels = np.full((3000, 3000, 4), 200, dtype=np.uint8)
    tracemalloc.start()
    try:
        for function in (opaque, gray):
            tracemalloc.reset_peak()
            function(pixels)
            assert tracemalloc.get_traced_memory()[1] < 1.2 * pixels.nbytes
    finally:
        tracemalloc.stop()


def test_pixels_are_counted_by_the_head_alone() -> None:
    whole = encode_image(np.zeros((300, 200, 3), dtype=np.uint8))
    assert count_pixels(whole) == count_pixels(whole[:60]) == 60_000
    for form in ("JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        assert count_pixels(saved(Image.new("RGB", (30, 20)), form)) == 600
    assert [count_pixels(data) for data in (b"", b"\x89PNG", b"no picture")] == [0, 0, 0]


def test_hashes_outlive_size_light_and_compression() -> None:
    for seed in range(8):
        picture = Image.fromarray(smooth(seed, (80, 120, 3)))
        others = [
            saved(picture.resize((60, 40)), "PNG"),
            saved(picture.point([min(255, int(v * 0.9 + 10)) for v in range(256)] * 3), "PNG"),
            saved(picture, "JPEG", quality=60),
        ]
        for hashed in (dhash, phash):
            own = hashed(decode_image(saved(picture, "PNG")))
            assert max((own ^ hashed(decode_image(other))).bit_count() for other in others) <= 6
            assert (own ^ hashed(np.asarray(picture)[:, ::-1])).bit_count() > 12


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=12), st.integers(0, 12))
def test_hashes_that_differ_in_fewer_bits_than_bands_share_one(value: int, flipped: set[int], more: int) -> None:
    other = value ^ sum(1 << bit for bit in flipped)
    bands = len(flipped) + 1 + more
    cut = band_values(np.array([value, other], dtype=np.uint64), bands)
    assert (cut[0] == cut[1]).any()
    widths = [64 * (n + 1) // bands - 64 * n // bands for n in range(bands)]
    back = 0
    for width, part in zip(widths, cut[0].tolist(), strict=True):
        back = back << width | part
    assert back == value


def test_sharpness_is_the_variance_of_scipys_laplacian() -> None:
    for luma in (smooth(3)[:, :, 0], NOISE.integers(0, 256, (31, 17)).astype(np.uint8)):
        inner = laplace(luma.astype(np.float64))[1:-1, 1:-1]
        assert sharpness(luma) == pytest.approx(inner.var(), rel=1e-12)
    assert sharpness(NOISE.integers(0, 256, (2, 9)).astype(np.uint8)) == 0
    blurred = np.asarray(Image.fromarray(luma).resize((8, 15)).resize((17, 31)))
    assert sharpness(blurred) < sharpness(luma) / 20


def test_luma_and_clipping() -> None:
    pixels = NOISE.integers(0, 256, (50, 50, 3)).astype(np.uint8)
    exact = pixels @ np.array([0.299, 0.587, 0.114])
    assert abs(gray(pixels) - exact).max() <= 1
    assert clipped_share(np.array([[0, 1, 2], [253, 254, 255]], dtype=np.uint8)) == pytest.approx(4 / 6)


def test_plain_pixels_are_read_as_their_columns_say() -> None:
    pixels = NOISE.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    data = [pixels.tobytes()] * 5 + [None]
    rows = pl.DataFrame({"p": data, "w": [6, 4, 5, None, -6, 6], "h": [4, 6, 5, 4, -4, 4]})
    found = Pictures(rows, "p", ("w", "h")).each(lambda n, found: found.copy())
    assert found[0] is not None
    assert (found[0] == pixels).all()
    assert found[1] is not None
    assert found[1].shape == (6, 4, 3)
    assert found[2:] == [None] * 4
    with pytest.raises(ConfigurationError, match="set `size: null` where each value is a whole file"):
        Pictures(rows, "p", ("width", "h"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_is_turned_as_its_exif_says(orientation: int) -> None:
    picture = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = BytesIO()
    picture.save(buffer, "PNG", exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(buffer.getvalue()))))
    assert np.array_equal(decode_image(buffer.getvalue())[:, :, 0], wanted)


@pytest.mark.parametrize(
    "data", [b"P6\n1 1\n255\n\0\0\0", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"]
)
def test_what_pillow_knows_besides_is_not_opened(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_image(data)


def test_a_picture_of_too_many_pixels_is_told_apart() -> None:
    data = encode_image(np.zeros((10, 10, 1), dtype=np.uint8))
    assert decode_image(data, 100).shape == (10, 10, 1)
    with pytest.raises(TooLarge, match="10 x 10"):
        decode_image(data, 99)


@pytest.mark.parametrize("side", [9_500, 10_001, 50_000])
def test_what_unpacks_to_a_bomb_is_too_large_and_says_nothing_else(side: int) -> None:
    """Pillow warns beyond 89 million pixels, and raises an error of its own beyond 179."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(TooLarge):
            decode_image(data, 25_000_000)
    assert said == []
    rows = pl.DataFrame({"p": [data]})
    assert isinstance(
        Pictures(rows, "p", None).tried(lambda _, pixels: 0)[0], TooLarge if side > 10_000 else Unreadable
    )


def test_plain_pixels_and_files_stand_side_by_side() -> None:
    """A value whose size is null is a file: red, green, blue without how opaque it is, as plain pixels are."""
    grey, clear = np.full((2, 3, 1), 7, np.uint8), np.zeros((1, 1, 4), np.uint8)
    values = [bytes(range(6)), encode_image(grey), encode_image(clear), bytes(6), encode_image(grey)]
    rows = pl.DataFrame({"p": values, "width": [2, None, None, 2, None], "height": [1, None, None, None, 3]})
    found = Pictures(rows, "p", SIZE).tried(lambda _, pixels: pixels.tolist())
    assert found[0] == [[[0, 1, 2], [3, 4, 5]]]
    assert found[1] == [[[7, 7, 7]] * 3] * 2
    assert found[2] == [[[255, 255, 255]]]
    assert all(isinstance(one, Unreadable) for one in found[3:])
