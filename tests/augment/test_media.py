"""Pictures and sounds varied: what changed, by how much, and what did not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tillage.augment import AddAudioNoise, AddImageNoise, CropImage, FlipImage, ShiftAudio
from tillage.augment.synthetic import Augment
from tillage.core.rows import PARENT
from tillage.media import Sound, decode_image, decode_sound, encode_image, encode_sound

GRID = np.random.default_rng(2).integers(0, 256, (20, 30, 1)).astype(np.uint8)


def rows(data: list[bytes | None]) -> pl.DataFrame:
    frame = pl.DataFrame({"data": data}, schema={"data": pl.Binary})
    return frame.with_columns(_id=(pl.int_range(frame.height) + 1).cast(pl.UInt128))


def made(step: Augment, data: list[bytes | None]) -> list[bytes]:
    return step.apply(rows(data)).filter(pl.col(PARENT).is_not_null())["data"].to_list()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_flips_are_numpys(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    for direction, wanted in (
        ("horizontal", pixels[:, ::-1]),
        ("vertical", pixels[::-1]),
        ("both", pixels[::-1, ::-1]),
    ):
        step = FlipImage.model_validate({"columns": ["data"], "size": None, "directions": [direction]})
        (data,) = made(step, [encode_image(pixels)])
        assert (decode_image(data) == wanted).all()
    both = FlipImage(columns=("data",), size=None, directions=("horizontal", "vertical"), copies=1)
    ways = [(decode_image(d) == pixels[:, ::-1]).all() for d in made(both, [encode_image(pixels)] * 400)]
    assert 130 < sum(ways) < 270
    assert len(made(both.model_copy(update={"copies": 20}), [encode_image(pixels)])) == 2  # equal ones are made once


def test_what_cannot_be_varied_has_no_child() -> None:
    even = encode_image(np.full((4, 4, 1), 9, dtype=np.uint8))
    assert made(FlipImage(columns=("data",), size=None), [even, b"no picture", None]) == []
    assert made(AddImageNoise(columns=("data",), size=None), [b"no picture", None]) == []
    silence = encode_sound(Sound(np.zeros((80, 1), dtype=np.float32), 8000))
    assert made(AddAudioNoise(columns=("data",), shape=None), [silence, b"no sound", None]) == []


def test_a_crop_is_a_part() -> None:
    picture = GRID
    sizes = set()
    for data in made(CropImage(columns=("data",), size=None, least=0.5, resize=False), [encode_image(picture)] * 60):
        part = decode_image(data)
        sizes.add(part.shape)
        places = [
            (a, b)
            for a in range(21 - part.shape[0])
            for b in range(31 - part.shape[1])
            if (picture[a : a + part.shape[0], b : b + part.shape[1]] == part).all()
        ]
        assert len(places) == 1
        assert abs(part.shape[1] / part.shape[0] - 1.5) < 0.15
        assert 10 <= part.shape[0] <= 20
    assert len(sizes) > 5
    whole = made(CropImage(columns=("data",), size=None, least=0.5), [encode_image(picture)] * 5)
    assert {decode_image(data).shape for data in whole} == {(20, 30, 1)}


def test_noise_on_a_picture_is_normal_and_spares_opacity() -> None:
    pixels = np.full((120, 100, 4), 128, dtype=np.uint8)
    pixels[:, :, 3] = np.arange(100, dtype=np.uint8)
    (data,) = made(AddImageNoise(columns=("data",), size=None, sd=12), [encode_image(pixels)])
    noisy = decode_image(data)
    assert (noisy[:, :, 3] == pixels[:, :, 3]).all()
    off = noisy[:, :, :3].astype(np.float64) - 128
    assert abs(off.mean()) < 0.3
    assert off.std() == pytest.approx(12, rel=0.02)
    assert abs((abs(off) > 24.5).mean() - 0.0412) < 0.004  # two-sided tail of 24.5 / 12 standard deviations
    assert abs(np.corrcoef(off[:, :-1, 0].ravel(), off[:, 1:, 0].ravel())[0, 1]) < 0.03


def test_noise_on_a_sound_has_the_ratio_asked_for() -> None:
    tone = (np.sin(np.arange(20_000) / 7) / 3).astype(np.float32)[:, None].repeat(2, 1)
    for snr in (0, 10, 30):
        (data,) = made(
            AddAudioNoise(columns=("data",), shape=None, snr=snr), [encode_sound(Sound(tone, 16_000, "WAV"))]
        )
        sound = decode_sound(data)
        assert (sound.format, sound.rate, sound.samples.shape) == ("WAV", 16_000, tone.shape)
        noise = sound.samples.astype(np.float64) - tone
        clipped = 10 * np.log10((tone**2).mean() / (noise**2).mean())
        assert clipped == pytest.approx(snr, abs=0.35 if snr == 0 else 0.1)


def test_a_shift_moves_and_keeps_the_length() -> None:
    ramp = (np.arange(1, 1001) / 2000).astype(np.float32)[:, None]
    shifts = []
    for data in made(ShiftAudio(columns=("data",), shape=None, most=0.2), [encode_sound(Sound(ramp, 8000))] * 80):
        moved = decode_sound(data).samples[:, 0]
        assert len(moved) == 1000
        at = int(np.flatnonzero(moved)[0])
        shift = at or -int(round(float(moved[0]) * 2000) - 1)
        shifts.append(shift)
        there = moved[shift:] if shift > 0 else moved[: 1000 + shift]
        assert there == pytest.approx(ramp[: 1000 - shift, 0] if shift > 0 else ramp[-shift:, 0], abs=1e-4)
    assert min(shifts) < -120
    assert max(shifts) > 120
    assert max(map(abs, shifts)) <= 200


def test_plain_pixels_and_samples_stay_plain() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    frame = rows([pixels.tobytes(), b"short"]).rename({"data": "pixels"})
    frame = frame.with_columns(width=pl.lit(30), height=pl.lit(20))
    assert FlipImage().apply(frame)["pixels"][2] == pixels[:, ::-1].tobytes()
    part = CropImage(least=0.5, resize=False).apply(frame).row(2, named=True)
    assert part["width"] < 30
    assert len(part["pixels"]) == part["width"] * part["height"] * 3
    samples = np.linspace(-0.5, 0.5, 600, dtype="<f4").reshape(300, 2)
    heard = rows([samples.tobytes()]).rename({"data": "audio"})
    heard = heard.with_columns(sample_rate=pl.lit(8000), channels=pl.lit(2), samples=pl.lit(300))
    made = np.frombuffer(AddAudioNoise(snr=40).apply(heard)["audio"][1], dtype="<f4").reshape(300, 2)
    assert 0 < abs(made - samples).max() < 0.05
