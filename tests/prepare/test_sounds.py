"""Sounds as rows: at one rate, without silence, as numbers."""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tillage.core.errors import Unavailable
from tillage.media import MelSpectrum, Sound, decode_sound, encode_sound
from tillage.prepare import LogMel, ResampleAudio, TrimSilence


def clip(hertz: float, rate: int = 8000, form: str = "FLAC", seconds: float = 0.5) -> bytes:
    t = np.arange(int(rate * seconds)) / rate
    return encode_sound(Sound((np.sin(2 * np.pi * hertz * t) / 2).astype(np.float32)[:, None], rate, form))


ROWS = pl.DataFrame({"clip": [clip(440), clip(440, 16000, "WAV"), b"no sound", None, clip(440, seconds=0)]})


def test_all_sounds_come_to_one_rate() -> None:
    out = ResampleAudio(column="clip", shape=None, rate=16000).apply(ROWS)
    assert out["_reason"].to_list() == [None, None, "unreadable_audio", None, None]
    assert [decode_sound(out["clip"][n]).rate for n in (0, 1, 4)] == [16000, 16000, 16000]
    assert out["clip"][1] == ROWS["clip"][1]  # byte for byte, where nothing was to do
    assert out["clip"][2:4].to_list() == [b"no sound", None]
    one, other = (decode_sound(out["clip"][n]).samples[100:-100] for n in (0, 1))
    assert abs(one - other).max() < 0.003


def test_silence_goes_and_a_silent_sound_leaves() -> None:
    tone = decode_sound(clip(300)).samples
    held = np.concatenate([np.zeros((2000, 1), np.float32), tone, np.zeros((900, 1), np.float32)])
    silent = encode_sound(Sound(held * 0, 8000))
    rows = pl.DataFrame({"clip": [encode_sound(Sound(held, 8000)), silent, b"no sound", None, clip(300)]})
    out = TrimSilence(column="clip", shape=None, seconds="left").apply(rows)
    assert out["_reason"].to_list() == [None, "silent", "unreadable_audio", None, None]
    assert out["left"].to_list() == pytest.approx([0.55, 0, None, None, 0.5], abs=0.03)
    assert out["clip"][1] == silent
    assert len(decode_sound(out["clip"][0]).samples) == round(out["left"][0] * 8000)


def test_log_mel_is_the_mean_and_deviation_of_the_spectrum() -> None:
    step = LogMel(
        column="clip", shape=None, rate=8000, bands=12, window=0.032, hop=0.016, frames="spectrum", low=50, high=3900
    )
    out = step.apply(ROWS)
    assert out["_reason"].to_list() == [None, None, "unreadable_audio", None, None]
    assert [c for c in out.columns if c.startswith("mel")][:2] == ["mel_00", "mel_01"]
    assert sum(c.startswith("mel_sd_") for c in out.columns) == 12
    wanted = MelSpectrum(8000, 256, 128, 12, 50, 3900).log(decode_sound(ROWS["clip"][0]).mono())
    held = np.load(BytesIO(out["spectrum"][0]), allow_pickle=False)
    assert (held == wanted).all()
    assert out.select("mel_03", "mel_sd_03").row(0) == pytest.approx(
        (wanted[:, 3].mean(), wanted[:, 3].std()), rel=1e-5
    )
    assert out["mel_03"].to_list()[2:4] == [None, None]
    loud = [max(range(12), key=lambda n: out[f"mel_{n:02d}"][row]) for row in (0, 1)]
    assert loud[0] == loud[1] == int(np.searchsorted(MelSpectrum(8000, 256, 128, 12, 50, 3900).edges[1:], 440) - 0.5)


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="nothing would be kept"):
        LogMel(column="clip", shape=None, prefix=None)
    with pytest.raises(ValidationError, match="half of the rate"):
        LogMel(column="clip", shape=None, rate=8000, high=5000)


def test_plain_samples_and_what_says_how_they_lie() -> None:
    samples = np.concatenate([np.zeros(1000), np.sin(np.arange(4000) / 3), np.zeros(1000)]).astype("<f4")
    stereo = np.stack([samples, samples / 2], axis=1)
    rows = pl.DataFrame(
        {
            "audio": [stereo.tobytes(), b"too short", None],
            "sample_rate": [8000, 8000, 8000],
            "channels": [2, 2, 2],
            "samples": [6000, 6000, 6000],
        }
    )
    cut = TrimSilence().apply(rows)
    assert cut["_reason"].to_list() == [None, "unreadable_audio", None]
    assert 4000 <= cut["samples"][0] <= 4400
    assert cut["samples"].to_list()[1:] == [6000, 6000]
    left = np.frombuffer(cut["audio"][0], dtype="<f4").reshape(-1, 2)
    start = int(np.flatnonzero((stereo[:, 0] == left[300, 0]) & (stereo[:, 1] == left[300, 1]))[0]) - 300
    assert (left == stereo[start : start + len(left)]).all()  # bit for bit
    twice = ResampleAudio(rate=16000).apply(cut)
    assert twice["sample_rate"].to_list() == [16000, 8000, 8000]
    assert twice["samples"][0] == 2 * cut["samples"][0]
    assert len(twice["audio"][0]) == twice["samples"][0] * 2 * 4
    told = LogMel(rate=8000, bands=5).apply(rows)
    file = encode_sound(Sound(stereo, 8000))
    other = LogMel(column="audio", shape=None, rate=8000, bands=5).apply(pl.DataFrame({"audio": [file]}))
    assert told.select("mel_01", "mel_02").row(0) == pytest.approx(other.select("mel_01", "mel_02").row(0), abs=1e-3)


def test_without_soundfile_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(Unavailable) as caught:
        TrimSilence(column="clip", shape=None).apply(ROWS)
    assert "tillage[audio]" in caught.value.fix
