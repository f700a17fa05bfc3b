"""The examples' plans on a part of their data: they run where they stand, and beat the naive model."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.face.rooms import project

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_each_example_says_what_it_is() -> None:
    for folder in (path for path in EXAMPLES.iterdir() if path.is_dir()):
        for name in ("README.md", "tillage.yaml", "demo.sh", "data/README.md"):
            assert (folder / name).is_file(), f"{folder.name} has no {name}"


def test_maintenance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    at = EXAMPLES / "maintenance"
    (tmp_path / "data").mkdir()
    shutil.copy(at / "tillage.yaml", tmp_path)
    shutil.copy(at / "data" / "rul.csv", tmp_path / "data")
    for name, engines in (("train.csv.gz", 25), ("test.csv.gz", 40)):
        some = pl.read_csv(at / "data" / name).filter(pl.col("unit") <= engines)
        (tmp_path / "data" / name).write_bytes(gzip.compress(some.write_csv().encode(), mtime=0))
    with project(tmp_path) as opened:
        opened.run()
        report = opened.report("life")
        learnt = opened.store.frame("learnt")
    assert report["test"] == 40
    assert learnt["left"].max() == 125
    assert learnt.filter(pl.col("cycle") == pl.col("last"))["left"].to_list() == [0] * 25
    first = learnt.filter(pl.col("cycle") == 1)
    assert first["s2_10"].null_count() == 25  # nothing is known before the first flight
    assert report["metrics"]["rmse"] < 0.7 * report["baseline"]["rmse"]
