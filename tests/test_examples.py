"""The examples' plans on a part of their data: they run where they stand, and beat the naive model."""

from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.face.main import ended
from tillage.face.rooms import project

EXAMPLES = Path(__file__).parents[1] / "examples"


FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


def test_each_example_says_what_it_is() -> None:
    assert len(FOLDERS) == 3
    for folder in FOLDERS:
        for name in ("README.md", "tillage.yaml", "data/README.md"):
            assert (folder / name).is_file(), f"{folder.name} has no {name}"
        said = (folder / "README.md").read_text()
        assert f"bash examples/demo.sh examples/{folder.name}" in said


def test_the_demo_does_each_command_in_the_folder_that_is_named(tmp_path: Path) -> None:
    told = tmp_path / "tillage"
    told.write_text('#!/bin/sh\necho "$PWD $*" >> "$0.log"\n')
    told.chmod(0o755)
    around = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    demo = ["bash", str(EXAMPLES / "demo.sh")]
    for folder in FOLDERS:
        subprocess.run([*demo, str(folder)], env=around, capture_output=True, check=True)
    words = ("check", "run", "run", "show", "verify")
    log = (tmp_path / "tillage.log").read_text().splitlines()
    assert log == [f"{folder} {word}" for folder in FOLDERS for word in words]
    alone = subprocess.run(demo, env=around, capture_output=True, text=True, check=False)
    assert alone.returncode != 0
    assert "name the folder of an example" in alone.stderr
    makefile = (EXAMPLES.parent / "Makefile").read_text()
    assert "bash examples/demo.sh examples/customer-service" in makefile


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


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which the lock of deep learning brings"
)
def test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    at = EXAMPLES / "images"
    shutil.copytree(at / "data" / "new", tmp_path / "data" / "new")
    shutil.copy(at / "tillage.yaml", tmp_path)
    with ZipFile(at / "data" / "digits.zip") as whole, ZipFile(tmp_path / "data" / "digits.zip", "w") as part:
        names = sorted(whole.namelist())
        assert len(names) == 1792
        for name in names[::2]:
            part.writestr(name, whole.read(name))
    assert ended(["run"]) == 0
    with project(tmp_path) as opened:
        report = opened.report("digit")
    assert report["test"] > 150
    assert report["metrics"]["accuracy"] > 0.93
    found = []
    for file in sorted((tmp_path / "data" / "new").iterdir()):
        asked = ["score", "digit", "--input", f"data/new/{file.name}", "--output", "out.csv", "--from", "pictures"]
        assert ended(asked) == 0
        found += pl.read_csv("out.csv")["prediction"].to_list()
    assert len(found) == 5
    assert sum(a == b for a, b in zip(found, [9, 0, 8, 9, 8], strict=True)) >= 4
