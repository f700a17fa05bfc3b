"""Sounds against soundfile, sums by hand, and figures of librosa 0.11."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import polars as pl
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.augment import AddAudioNoise, ShiftAudio
from tillage.media import SHAPE, MelSpectrum, Sound, decode_sound, encode_sound, resampled, trimmed
from tillage.media.mel import Scale, to_hertz, to_mel
from tillage.media.unreadable import Unreadable
from tillage.prepare import LogMel, ResampleAudio, TrimSilence


def tone(hertz: float, seconds: float = 1.0, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


@given(st.sampled_from(("WAV", "FLAC")), st.integers(1, 3), st.integers(0, 50), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(form: str, channels: int, frames: int, seed: int) -> None:
    whole = np.random.default_rng(seed).integers(-32768, 32768, (frames, channels)).astype(np.int16)
    data = encode_sound(Sound((whole / 32768).astype(np.float32), 8000, form))
    read, rate = soundfile.read(BytesIO(data), dtype="int16", always_2d=True)
    assert rate == 8000
    assert (read == whole).all()
    again = decode_sound(data)
    assert (again.format, again.rate) == (form if frames else "WAV", 8000)
    assert again.samples.shape == (frames, channels)
    assert encode_sound(again) == data


def test_too_loud_is_cut_off_and_no_sound_is_said_to_be_none() -> None:
    loud = decode_sound(encode_sound(Sound(np.array([[2.0], [-2.0]], dtype=np.float32), 8000)))
    assert loud.samples[:, 0].tolist() == [32767 / 32768, -1]
    for data in (b"", b"no sound", encode_sound(Sound(tone(440)[:, None], 8000))[:30]):
        with pytest.raises(Unreadable):
            decode_sound(data)


@pytest.mark.parametrize(
    ("form", "kind"), [("WAV", "PCM_16"), ("WAVEX", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")]
)
def test_a_sound_that_is_cut_is_no_sound(form: str, kind: str) -> None:
    buffer = BytesIO()
    soundfile.write(buffer, tone(440), 8000, format=form, subtype=kind)
    data = buffer.getvalue()
    assert decode_sound(data).samples.shape == (8000, 1)
    assert decode_sound(data + b"junk").samples.shape == (8000, 1)
    for end in (len(data) - 2, len(data) // 2):
        with pytest.raises(Unreadable):
            decode_sound(data[:end])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("plain", [False, True])
def test_a_sound_with_a_sample_that_is_no_number_is_no_sound(value: float, plain: bool) -> None:
    samples = tone(440)
    samples[7] = value
    buffer = BytesIO()
    soundfile.write(buffer, samples, 8000, format="WAV", subtype="FLOAT")
    data = samples.tobytes() if plain else buffer.getvalue()
    rows = pl.DataFrame({"audio": [data], "sample_rate": [8000], "channels": [1], "samples": [8000]})
    rows = rows.with_columns(_id=pl.int_range(1).cast(pl.UInt128))
    shape = SHAPE if plain else None
    for step in (ResampleAudio(shape=shape), TrimSilence(shape=shape), LogMel(shape=shape)):
        out = step.apply(rows)
        assert (out["_reason"].to_list(), out["audio"].to_list()) == (["unreadable_audio"], [data]), step
    for made in (AddAudioNoise(shape=shape), ShiftAudio(shape=shape)):
        assert made.apply(rows)["audio"].to_list() == [data], made


@pytest.mark.parametrize(("old", "new"), [(8000, 16000), (16000, 8000), (44100, 16000), (16000, 44100)])
def test_a_tone_stays_a_tone_at_another_rate(old: int, new: int) -> None:
    made = resampled(Sound(tone(1000, 0.5, old)[:, None], old), new).samples[:, 0]
    assert len(made) == new // 2
    inner = slice(len(made) // 10, -len(made) // 10)
    assert abs(made - tone(1000, 0.5, new))[inner].max() < 0.003
    high = resampled(Sound(tone(7000, 0.5, 44100)[:, None], 44100), 8000).samples[200:-200]
    assert abs(high).max() < 0.01  # does not fold to 1,000 Hz


def test_trimming_finds_the_loud_part() -> None:
    quiet = np.random.default_rng(1).standard_normal(4000).astype(np.float32) * 1e-4
    sound = np.concatenate([quiet, tone(500, 0.5), np.zeros(3000, np.float32)])[:, None]
    found = trimmed(Sound(sound, 8000), 40, 0.025, 0.01).samples
    assert 4000 <= len(found) <= 4000 + 2 * 200
    assert len(trimmed(Sound(sound, 8000), 90, 0.025, 0.01).samples) > 8000  # noise at 77 dB under it counts
    assert len(trimmed(Sound(sound * 0, 8000), 40, 0.025, 0.01).samples) == 0
    short = Sound(tone(500, 0.01)[:, None], 8000)
    assert len(trimmed(short, 40, 0.025, 0.01).samples) == 80
    assert len(trimmed(Sound(sound[:0], 8000), 40, 0.025, 0.01).samples) == 0


# ---- mel


def test_mel_scales_are_the_published_ones() -> None:
    # librosa.mel_frequencies(n_mels=12, fmin=0, fmax=11025)
    wanted = [0, 302.488, 604.977, 907.465, 1241.748, 1696.334, 2317.338, 3165.681, 4324.591, 5907.761, 8070.506, 11025]
    assert MelSpectrum(22050, 512, 256, 10).edges == pytest.approx(wanted, abs=6e-4)
    assert to_mel(np.array([700.0]), "htk")[0] == pytest.approx(781.17, abs=5e-3)  # 2595 log10(2)
    scales: tuple[Scale, ...] = ("slaney", "htk")
    for scale in scales:
        hertz = np.array([0.0, 60, 999, 1000, 1001, 8000])
        assert to_hertz(to_mel(hertz, scale), scale) == pytest.approx(hertz, abs=1e-9)


def test_a_spectrum_of_librosa() -> None:
    # librosa.feature.melspectrogram(y=tone, sr=8000, n_fft=256, hop_length=128, n_mels=6, pad_mode="constant")[:, 30]
    wanted = [2.532757, 1.7503531, -16.08686, -20.49956, -23.02585, -23.02585]
    found = MelSpectrum(8000, 256, 128, 6).log(tone(440))
    assert found.shape == (63, 6)
    assert found[30] == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("count", [0, 1, 99, 1000])
def test_the_spectrum_the_slow_way(scale: Scale, count: int) -> None:
    mel = MelSpectrum(8000, 200, 80, 7, 100, 3500, scale, unit_area=scale == "slaney")
    samples = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    found = mel.power(samples)
    assert found.shape == (1 + count // 80, 7)
    padded = np.concatenate([np.zeros(100), samples.astype(np.float64), np.zeros(300)])
    first, last = to_mel(np.array([100.0, 3500.0]), scale).tolist()
    corners = to_hertz(np.linspace(first, last, 9), scale)
    for n, frame in enumerate(found):
        part = padded[80 * n : 80 * n + 200]
        k, t = np.arange(101)[:, None], np.arange(200)[None, :]
        hann = np.sin(np.pi * np.arange(200) / 200) ** 2
        power = abs((part * hann * np.exp(-2j * np.pi * k * t / 200)).sum(axis=1)) ** 2
        for band in range(7):
            low, middle, high = corners[band : band + 3]
            weights = [
                max(0, min((f - low) / (middle - low), (high - f) / (high - middle))) for f in np.arange(101) * 40
            ]
            area = 2 / (high - low) if scale == "slaney" else 1
            assert frame[band] == pytest.approx((power * weights).sum() * area, rel=1e-4, abs=1e-6)


def test_a_band_too_narrow_for_a_frequency_stays_at_the_floor() -> None:
    """Bands of 128 at 8 kHz are 18 Hz apart at the low end, and the frequencies of 25 ms are 40."""
    mel = MelSpectrum(8000, 200, 80, 128)
    found = mel.log(np.random.default_rng(1).standard_normal(8000).astype(np.float32))
    empty = (found == np.log(np.float32(1e-10))).all(axis=0).tolist()
    ends = list(zip(mel.edges, mel.edges[2:], strict=False))
    assert empty == [not any(low < hertz < high for hertz in range(0, 4001, 40)) for low, high in ends]
    assert sum(empty) == 6
