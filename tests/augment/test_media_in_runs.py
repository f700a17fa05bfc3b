"""Pictures and sounds as bytes in a column: through source, store, digest, changes, forgetting, and into a model."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest

from tests.flow.world import differences, digests, small_chunks
from tillage.core.rows import ID, ORIGIN
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.media import Sound, decode_image, encode_image, encode_sound
from tillage.promises import forget
from tillage.store.verify import verify

PLAN = """\
project: media
tables:
  raw: {collect: {files: "data/*.parquet"}, key: id, subject: id}
  good:
    from: raw
    steps:
      - image_quality: {column: image, size: null, min_sharpness: 20}
      - trim_silence: {column: clip, shape: null, seconds: seconds}
      - drop_image_duplicates: {column: image, size: null, distance: 3}
      - log_mel: {column: clip, shape: null, rate: 8000, bands: 4}
  more:
    from: good
    steps:
      - flip_image: {columns: [image], size: null}
      - add_image_noise: {columns: [image], size: null, sd: 5, copies: 2}
      - add_audio_noise: {columns: [clip], shape: null}
      - shift_audio: {columns: [clip], shape: null}
      - select: {columns: [name, label, sharpness, brightness, mel_00, image, clip]}
models:
  kinds: {learn: naive_bayes, from: more, input: name, target: label, split: {test: 0.3}}
"""


class Gallery:
    """A folder of Parquet files with pictures and sounds, some of them alike, and edits of it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, Random(seed)
        self.noise = np.random.default_rng(seed)
        self.pictures = [
            self.noise.integers(0, 256, (8, 9, 1)).repeat(3, 0).repeat(3, 1).astype(np.uint8) for _ in range(30)
        ]
        (root / "data").mkdir(parents=True)
        (root / "tillage.yaml").write_text(PLAN, encoding="utf-8")
        for n in range(3):
            self.write(n)

    def write(self, n: int) -> None:
        first = 20 * n
        ids = sorted(self.random.sample(range(first, first + 20), 14))
        frame = pl.DataFrame(
            {
                "id": ids,
                "name": [f"number {i}" for i in ids],
                "label": ["even" if i % 2 == 0 else "odd" for i in ids],
                "image": [self.picture() for _ in ids],
                "clip": [self.clip() for _ in ids],
            },
            schema={"id": pl.Int64, "name": pl.String, "label": pl.String, "image": pl.Binary, "clip": pl.Binary},
        )
        frame.write_parquet(self.root / "data" / f"{n}.parquet")

    def picture(self) -> bytes | None:
        kind = self.random.random()
        if kind < 0.1:
            return None if kind < 0.05 else b"no picture"
        if kind < 0.2:
            return encode_image(np.full((24, 27, 1), 99, dtype=np.uint8))
        pixels = self.random.choice(self.pictures)
        return encode_image(np.clip(pixels + self.noise.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8))

    def clip(self) -> bytes | None:
        if self.random.random() < 0.1:
            return None
        tone = np.sin(np.arange(1600, dtype=np.float32) * self.random.uniform(0.05, 1)) * 0.5
        return encode_sound(Sound(np.concatenate([np.zeros(400, np.float32), tone])[:, None], 8000))

    def open(self, store: str = ".tillage") -> Project:
        steps = registry().within(self.root)
        plan = load(self.root / "tillage.yaml", steps)
        return Project(plan.model_copy(update={"store": self.root / store}), steps)


def test_updates_are_rebuilds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    gallery = Gallery(tmp_path / "g", 1)
    with gallery.open() as kept:
        kept.run()
        good = kept.summary()["tables"]["good"]
        assert set(good["dropped"]) >= {"blurred"}
        assert good["merged"] > 0
        for n in range(2):
            gallery.write(gallery.random.randrange(4))
            outcome = kept.run()
            with gallery.open(f"rebuild{n}") as fresh:
                fresh.run()
                assert differences(digests(kept, outcome), digests(fresh)) == [], n
            assert not verify(kept.store).findings


def test_what_is_forgotten_is_in_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    gallery = Gallery(tmp_path / "g", 3)
    with gallery.open() as p:
        p.run()
        more = p.store.frame("more")
        someone = more.filter(pl.col(ORIGIN).is_not_null())[ORIGIN][0]
        own = p.read("raw").filter(pl.col(ID) == someone)
        family = more.filter((pl.col(ID) == someone) | (pl.col(ORIGIN) == someone))
        assert family.height > 3
        assert all(decode_image(data).shape == (24, 27, 1) for data in family["image"])
        forget(p, "raw", subject=[str(own["id"][0])])
        for stage in p.stages:
            frame = p.store.frame(stage)
            for column in {"image", "clip"} & set(frame.columns):
                held = set(frame[column].drop_nulls())
                assert not held & set(family[column].drop_nulls()), (stage, column)
                assert not held & set(own[column].drop_nulls()), (stage, column)
        assert not verify(p.store).findings
