"""Sounds from outside: a request unpacks so many samples and no more, whatever its files say of themselves."""

from __future__ import annotations

import base64
import time
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.serve.running import Server, tillage
from tillage.media import Sound, encode_sound, resampled
from tillage.media import sound as media
from tillage.media.sound import count_samples
from tillage.media.unreadable import Unreadable
from tillage.serve import unpacking

soundfile = pytest.importorskip("soundfile")

PLAN = """\
project: heard
tables:
  sounds: {collect: {files: sounds.parquet}, key: id}
  measured:
    from: sounds
    steps:
      - log_mel: {shape: null, bands: 4}
      - derive: {columns: {doubled: "mel_00 * 2"}}
models:
  heard: {learn: ridge, from: measured, input: mel_00, target: doubled}
services:
  desk: {model: heard, from: sounds}
"""


def tone(hertz: float, seconds: float = 0.2, rate: int = 16_000) -> bytes:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return encode_sound(Sound(wave.astype(np.float32)[:, None], rate, "WAV"))


@lru_cache(maxsize=4)
def silence(frames: int, rate: int = 48_000) -> bytes:
    """A FLAC of nothing: three bytes a thousand samples."""
    buffer = BytesIO()
    soundfile.write(buffer, np.zeros(frames, dtype=np.int16), rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def written(data: bytes) -> dict[str, Any]:
    return {"audio": base64.b64encode(data).decode()}


def test_samples_are_counted_by_the_head_alone() -> None:
    flac = silence(30_000)
    assert count_samples(flac) == 30_000
    assert count_samples(flac[:200]) == 30_000
    assert count_samples(flac, 16_000) == 30_000, "its own rate is higher"
    assert count_samples(silence(8_000, 8_000), 16_000) == 16_000
    stereo = encode_sound(Sound(np.zeros((70, 2), dtype=np.float32), 8_000))
    assert count_samples(stereo) == 140
    unknown = bytearray(flac)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)  # its head does not say how many: it is never unpacked
    assert count_samples(bytes(unknown)) == 0
    assert [count_samples(data) for data in (b"", b"fLaC", tone(440)[:20])] == [0, 0, 0]


def test_samples_of_a_request_are_counted_and_even_the_first_may_be_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_SAMPLES", 100_000)
    sounds = [silence(90_000), silence(20_000), silence(10_000), None, silence(5_000)]
    many = "too_many_samples"
    assert unpacking.too_large({"a": sounds}, ["a"]) == {1: many, 4: many}
    assert unpacking.too_large({"a": [silence(200_000), silence(20_000)]}, ["a"]) == {0: many}
    assert unpacking.too_large({"a": [silence(10_000, 1_000)]}, ["a"]) == {0: many}, "at 16 kHz they are more"
    assert unpacking.too_large({"a": [b"no sound", b""]}, ["a"]) == {}


def test_what_another_rate_would_make_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Sound(np.zeros((40, 1), dtype=np.float32), 1_000)
    assert resampled(few, 8_000).samples.shape == (320, 1)
    monkeypatch.setattr(media, "MOST_SAMPLES", 319)
    with pytest.raises(Unreadable, match="too long at 8000"):
        resampled(few, 8_000)


def test_a_server_unpacks_no_hour_of_silence(tmp_path: Path) -> None:
    files = pl.DataFrame({"id": range(40), "audio": [tone(200 + 40 * n) for n in range(40)]})
    files.write_parquet(tmp_path / "sounds.parquet")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    tillage(tmp_path, "run")
    with Server(tmp_path) as server:
        good, bomb = written(tone(700)), written(silence(60_000_000))
        [wanted] = server.predict(good)["predictions"]
        assert wanted["prediction"] is not None
        began = time.monotonic()
        [alone] = server.predict(bomb)["predictions"]
        first, *others, last = server.predict(good, *[bomb] * 20, good)["predictions"]
        assert time.monotonic() - began < 5
        assert alone["error"] == "too_many_samples"
        assert first["prediction"] == last["prediction"] == wanted["prediction"]
        assert {row["error"] for row in others} == {"too_many_samples"}
        assert server.end() == 0
