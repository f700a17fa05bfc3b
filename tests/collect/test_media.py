"""Pictures and sounds: the values against numpy's, what is refused, the process that decodes, and a run over them."""

from __future__ import annotations

import io
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tests.collect.pictures import encoded, picture, pixels, png_of, sound, wave, with_exif
from tests.flow.world import KEY, differences, digests

from tillage.collect import Files, decoder, media
from tillage.core import BadRecord, Unavailable
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.run import Project

Values = np.ndarray[Any, Any]


def read(root: Path, name: str, data: bytes, **options: Any) -> tuple[pl.DataFrame, list[BadRecord]]:
    (root / name).write_bytes(data)
    files = Files(path=name, **options)
    state = files.observe(root, name)
    batches = list(files.read(root, name, files.column_types([state])))
    frame, bad = pl.concat([b.rows for b in batches]), [r for b in batches for r in b.bad]
    assert frame.height + len(bad) == 1
    for record in bad:
        assert (record.record, record.byte_start, record.byte_end) in ((0, 0, len(data)), (-1, 0, len(data)))
    return frame, bad


def shown(root: Path, name: str, data: bytes, **options: Any) -> Values:
    """The picture that a file became."""
    frame, bad = read(root, name, data, **options)
    assert bad == []
    (row,) = frame.to_dicts()
    assert list(row) == ["path", "width", "height", "pixels"]
    assert row["path"] == name
    return np.frombuffer(row["pixels"], "u1").reshape(row["height"], row["width"], 3)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_pixels_come_as_they_are(tmp_path: Path, form: str) -> None:
    if form == "GIF":
        flat = pixels() // 64 * 64  # few enough colours for a palette
        assert np.array_equal(shown(tmp_path, "a.gif", encoded(Image.fromarray(flat).quantize(256), form)), flat)
    else:
        options = {"lossless": True} if form == "WEBP" else {}
        assert np.array_equal(shown(tmp_path, f"a.{form.lower()}", picture(form, **options)), pixels())


TURNS: dict[int, Callable[[Values], Values]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("turn", TURNS)
def test_pictures_stand_upright(tmp_path: Path, turn: int) -> None:
    plain = np.asarray(Image.open(io.BytesIO(with_exif(1))))
    assert np.array_equal(shown(tmp_path, "a.jpg", with_exif(turn)), TURNS[turn](plain))


def test_nothing_of_the_metadata_is_kept(tmp_path: Path) -> None:
    data = with_exif(6)
    assert b"SECRETCAMERA" in data
    frame, _ = read(tmp_path, "a.jpg", data)
    out = io.BytesIO()
    frame.write_ipc(out)
    assert b"SECRETCAMERA" not in out.getvalue()
    assert len(frame["pixels"][0]) == frame["width"][0] * frame["height"][0] * 3


def test_all_kinds_of_pixels_become_rgb(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    deep = grey.astype(np.uint16) * 257
    assert np.array_equal(shown(tmp_path, "l.png", encoded(Image.fromarray(grey), "PNG")), as_rgb)
    assert np.array_equal(shown(tmp_path, "16.png", encoded(Image.fromarray(deep), "PNG")), as_rgb)
    assert np.array_equal(shown(tmp_path, "16.tif", encoded(Image.fromarray(deep), "TIFF")), as_rgb)
    cmyk = Image.fromarray(pixels()).convert("CMYK")
    assert np.array_equal(shown(tmp_path, "c.tif", encoded(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    few = pixels() // 128 * 128
    palette = Image.fromarray(few).quantize(16)
    assert np.array_equal(shown(tmp_path, "p.png", encoded(palette, "PNG")), few)
    glass = np.dstack([pixels(), np.full((24, 40), 0, np.uint8)])
    glass[:, :20, 3] = 255
    seen = shown(tmp_path, "a.png", encoded(Image.fromarray(glass), "PNG"))
    assert np.array_equal(seen[:, :20], pixels()[:, :20])
    assert (seen[:, 20:] == 255).all(), "what cannot be seen is white, not what was hidden there"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_that_more_pictures_follow_is_said(tmp_path: Path, form: str) -> None:
    frames = [Image.fromarray(np.roll(pixels(), n, axis=1)) for n in range(3)]
    name = f"a.{'jpeg' if form == 'MPO' else form.lower()}"
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    (tmp_path / name).write_bytes(encoded(frames[0], form, save_all=True, append_images=frames[1:], **options))
    (tmp_path / f"one-{name}").write_bytes(encoded(frames[0], "JPEG" if form == "MPO" else form))
    files = Files(path="*")
    more, one = (files.observe(tmp_path, path) for path in (name, f"one-{name}"))
    assert more["notes"] == [f"Of the pictures in this {form} the first one is read."]
    assert "notes" not in one
    (batch,) = files.read(tmp_path, name, files.column_types([more, one]))
    assert batch.rows.height == 1
    assert batch.bad == []


def test_a_run_says_that_more_pictures_follow(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), n) for n in (0, 255)]
    (tmp_path / "a.gif").write_bytes(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    (tmp_path / "tillage.yaml").write_text('project: p\ntables:\n  t: {collect: {files: "*.gif"}}\n', encoding="utf-8")
    with project(tmp_path / "tillage.yaml") as p:
        assert p.run().notes == ["a.gif: Of the pictures in this GIF the first one is read."]
        assert p.run().notes == []


def test_the_first_frame_counts(tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    data = encoded(red, "GIF", save_all=True, append_images=[blue, blue])
    assert (shown(tmp_path, "a.gif", data) == (255, 0, 0)).all()


BAD_PICTURES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "cut JPEG": ("a.jpg", lambda: picture("JPEG")[:-200], "bad_picture"),
    "cut PNG": ("a.png", lambda: picture()[:-60], "bad_picture"),
    "50,000 x 50,000": ("a.png", lambda: png_of(50_000, 50_000), "image_too_large"),
    "2^31 wide": ("a.png", lambda: png_of(2**31 - 1, 2**31 - 1), "image_too_large"),
    "too little in it": ("a.png", lambda: png_of(400, 400), "bad_picture"),
    "SVG": ("a.svg", lambda: b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
    "SVG as PNG": ("a.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
    "text": ("a.jpg", lambda: b"no picture at all", "not_an_image"),
    "magic alone": ("a.png", lambda: b"\x89PNG\r\n\x1a\n", "not_an_image"),
    "floats": ("a.tif", lambda: encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "unknown_depth"),
    "PostScript": ("a.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_bad_pictures(tmp_path: Path, case: str) -> None:
    name, data, reason = BAD_PICTURES[case]
    frame, bad = read(tmp_path, name, data())
    assert [r.reason for r in bad] == [reason]
    assert (bad[0].raw, bad[0].stage) == (data(), "decode")
    assert frame.schema == pl.Schema({"path": pl.String, "width": pl.Int64, "height": pl.Int64, "pixels": pl.Binary})


def test_an_empty_picture_is_a_bad_file(tmp_path: Path) -> None:
    assert [(r.record, r.reason) for r in read(tmp_path, "a.png", b"")[1]] == [(-1, "empty_file")]


def test_a_picture_under_the_name_of_a_table_is_refused(tmp_path: Path) -> None:
    assert [(r.record, r.reason) for r in read(tmp_path, "a.csv", picture())[1]] == [(-1, "unreadable_file")]


def test_the_limit_of_pixels_is_the_users(tmp_path: Path) -> None:
    assert [r.reason for r in read(tmp_path, "a.png", picture(), max_pixels=959)[1]] == ["image_too_large"]
    assert shown(tmp_path, "b.png", picture(), max_pixels=960).shape == (24, 40, 3)


def heard(root: Path, name: str, data: bytes, **options: Any) -> tuple[Values, dict[str, Any]]:
    frame, bad = read(root, name, data, **options)
    assert bad == []
    (row,) = frame.to_dicts()
    assert list(row) == ["path", "sample_rate", "channels", "samples", "audio"]
    return np.frombuffer(row["audio"], "<f4").reshape(row["samples"], row["channels"]), row


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
@pytest.mark.parametrize(("kind", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
@pytest.mark.parametrize("rate", [7_999, 44_100])
def test_samples_come_as_they_are(tmp_path: Path, form: str, kind: str, bits: int, rate: int) -> None:
    stereo = np.stack([wave(), -wave() / 2], axis=1)
    whole = np.round(stereo * 2 ** (bits - 1)).astype(np.int32) << (32 - bits)
    values, row = heard(tmp_path, f"a.{form.lower()}", sound(whole, rate, form, kind))
    assert np.array_equal(values, (whole / 2.0**31).astype("<f4"))
    assert (row["sample_rate"], row["channels"], row["samples"]) == (rate, 2, 800)


def test_sounds_are_brought_to_one_rate(tmp_path: Path) -> None:
    """A tone keeps its pitch: 100 Hz at 7,999 samples a second and at 16,000."""
    tone = np.sin(2 * np.pi * 100 * np.arange(7_999) / 7_999) * 0.5
    values, row = heard(tmp_path, "a.wav", sound(tone, 7_999), sample_rate=16_000)
    assert (row["sample_rate"], row["samples"]) == (16_000, 16_000)
    expected = np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000) * 0.5
    assert np.abs(values[500:-500, 0] - expected[500:-500]).max() < 0.002
    same, _ = heard(tmp_path, "b.wav", sound(tone, 16_000), sample_rate=16_000)
    assert np.abs(same[:, 0] - tone).max() < 1e-4


def lying(data: bytes, at: int, form: str, value: int) -> bytes:
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


WAV = sound()
BAD_SOUNDS = {
    "no samples": ("a.wav", sound(np.zeros(0)), "no_samples"),
    "states more than there is": ("a.wav", lying(WAV, WAV.index(b"data") + 4, "<I", 99_999), "lying_header"),
    "no channel": ("a.wav", lying(WAV, 22, "<H", 0), "lying_header"),
    "block of another size": ("a.wav", lying(WAV, 32, "<H", 3), "lying_header"),
    "no rate": ("a.wav", lying(WAV, 24, "<I", 0), "lying_header"),
    "cut": ("a.wav", WAV[:-100], "lying_header"),
    "cut in the header": ("a.wav", WAV[:30], "cut_sound"),
    "cut FLAC": ("a.flac", sound(form="FLAC")[:-200], "bad_sound"),
    "MP3 named .wav": ("a.wav", b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 200, "not_a_sound"),
    "text": ("a.flac", b"no sound at all", "not_a_sound"),
    "NaN": ("a.wav", sound(np.array([0, np.nan]), kind="FLOAT"), "not_a_number"),
}


@pytest.mark.parametrize("case", BAD_SOUNDS)
def test_bad_sounds(tmp_path: Path, case: str) -> None:
    name, data, reason = BAD_SOUNDS[case]
    frame, bad = read(tmp_path, name, data)
    assert [r.reason for r in bad] == [reason]
    assert bad[0].raw == data
    assert frame.columns == ["path", "sample_rate", "channels", "samples", "audio"]


def test_flac_is_what_its_md5_says(tmp_path: Path) -> None:
    data = bytearray(sound(form="FLAC"))
    data[30] ^= 1
    assert [r.reason for r in read(tmp_path, "a.flac", bytes(data))[1]] == ["bad_digest"]


def test_the_process_that_decodes_is_confined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    media._decoder.close()
    read(tmp_path, "a.png", picture())
    process = media._decoder._process
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    found = {line[:25].strip(): line[26:].split()[0] for line in limits}
    assert found["Max address space"] == str(decoder.MEMORY)
    assert int(found["Max cpu time"]) <= decoder.SECONDS + 5
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert KEY.encode() not in environment


def test_a_file_that_ends_the_process_is_one_bad_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = media.Decoder._started

    def standing_still(self: media.Decoder) -> subprocess.Popen[bytes]:
        process = started(self)
        process.send_signal(signal.SIGSTOP)  # it never answers, so that time alone ends it
        return process

    with monkeypatch.context() as patched:
        patched.setattr(media, "WALL_SECONDS", 0.2)
        patched.setattr(media.Decoder, "_started", standing_still)
        assert [r.reason for r in read(tmp_path, "a.png", picture())[1]] == ["decoder_ended"]
    assert shown(tmp_path, "b.png", picture()).shape == (24, 40, 3)


def test_many_files_share_one_process(tmp_path: Path) -> None:
    data = picture()
    read(tmp_path, "a.png", data)
    process = media._decoder._process
    begun = time.monotonic()
    for i in range(200):
        read(tmp_path, f"{i}.png", data)
    assert media._decoder._process is process
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("module", "extra"), [("PIL", "image"), ("soundfile", "audio")])
def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str) -> None:
    monkeypatch.setattr(media.Decoder, "_exchange", lambda *_: ({"missing": module}, b""))
    with pytest.raises(Unavailable, match=rf"tillage\[{extra}\]"):
        read(tmp_path, "a.png", picture())


PLAN = """\
project: album
tables:
  photos: {collect: {files: "photos/*"}, key: path, max_quarantine: 1}
  wide: {from: photos, steps: [{filter: "width > 30"}]}
  sounds: {collect: {files: "sounds/*"}, max_quarantine: 1}
"""


def test_bytes_go_through_a_run_an_update_and_an_erasure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text(PLAN)
    for folder in ("photos", "sounds"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(7)
    noise = [rng.integers(0, 256, (32, 32 + i, 3), dtype=np.uint8) for i in range(4)]
    for i, one in enumerate(noise):
        (tmp_path / "photos" / f"{i}.png").write_bytes(encoded(Image.fromarray(one), "PNG"))
    (tmp_path / "photos" / "cut.jpg").write_bytes(picture("JPEG")[:-99])
    (tmp_path / "sounds" / "a.wav").write_bytes(sound())
    with project(tmp_path) as p:
        p.run()
        assert p.summary()["tables"]["photos"]["quarantined"] == {"bad_picture": 1}
        rows = p.read("wide").sort("path")
        assert [np.frombuffer(b, "u1").tobytes() for b in rows["pixels"]] == [one.tobytes() for one in noise]
        assert p.read("sounds")["audio"].dtype == pl.Binary
        (tmp_path / "photos" / "0.png").write_bytes(encoded(Image.fromarray(noise[1]), "PNG"))
        (tmp_path / "photos" / "3.png").unlink()
        (tmp_path / "photos" / "cut.jpg").write_bytes(picture("JPEG"))
        p.run()
        assert p.read("photos")["path"].sort().to_list() == [
            "photos/0.png",
            "photos/1.png",
            "photos/2.png",
            "photos/cut.jpg",
        ]
        with Project(p.plan.model_copy(update={"store": tmp_path / "new"}), p.registry) as fresh:
            fresh.run()
            assert differences(digests(p), digests(fresh)) == []


def test_a_forgotten_picture_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tillage.yaml").write_text(PLAN)
    for folder in ("photos", "sounds"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(7)
    for i in range(3):
        one = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        (tmp_path / "photos" / f"{i}.png").write_bytes(encoded(Image.fromarray(one), "PNG"))
    (tmp_path / "sounds" / "a.wav").write_bytes(sound())
    gone = np.asarray(Image.open(tmp_path / "photos" / "1.png")).tobytes()
    assert ended(["run", "--json"]) == 0
    assert holds(tmp_path, gone)
    assert ended(["show", "photos", "--rows", "2"]) == 0
    assert capsys.readouterr().out.count("(3,072 bytes)") == 2
    assert ended(["show", "photos", "--rows", "2", "--json"]) == 0
    where = "path = 'photos/1.png'"
    assert ended(["forget", "photos", "--where", where, "--yes", "--receipt", "r.json", "--json"]) == 0
    assert not holds(tmp_path, gone)
    assert ended(["run", "--json"]) == 0
    assert ended(["verify", "--receipt", "r.json", "--json"]) == 0
    with project(tmp_path) as p:
        assert p.read("wide")["path"].sort().to_list() == ["photos/0.png", "photos/2.png"]


def holds(root: Path, data: bytes) -> bool:
    """Whether any file of the store holds part of these pixels: noise, which no compressor can change."""
    files = [path.read_bytes() for path in (root / ".tillage").rglob("*") if path.is_file()]
    return any(data[at : at + 32] in held for at in range(0, len(data), 32) for held in files)
