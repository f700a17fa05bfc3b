"""The examples' plans on a part of their data: they run where they stand, and beat the naive model."""

from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.face.main import ended
from tillage.face.rooms import project

EXAMPLES = Path(__file__).parents[1] / "examples"


MADE = ("films.csv", "hotels.csv")
"""Of `sentiment`: what its reader makes of copies of the sets."""

FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


def test_each_example_says_what_it_is() -> None:
    assert len(FOLDERS) == 7
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


def laid(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's plan in a folder of its own, with room for its data; its data as they are."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(folder)
    (folder / "data").mkdir()
    shutil.copy(EXAMPLES / name / "tillage.yaml", folder)
    return EXAMPLES / name / "data"


@pytest.mark.parametrize("name", ["disease", "fairness", "traffic"])
def test_data_have_their_licence(name: str) -> None:
    folder = EXAMPLES / name / "data"
    assert (folder / "LICENSE").read_text().startswith("Attribution 4.0 International")
    assert "Creative Commons Attribution 4.0 International" in (folder / "README.md").read_text()
    files = [path for path in folder.iterdir() if path.suffix != ".md" and path.name != "LICENSE"]
    assert all(f"`{path.name}`" in (folder / "README.md").read_text() for path in files)
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_disease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = laid("disease", tmp_path, monkeypatch)
    for name in ("heart.csv", "notes.csv"):
        shutil.copy(at / name, tmp_path / "data")
    with project(tmp_path) as opened:
        opened.run()
        report, notes = opened.report("heart"), opened.report("illness")
        assert "num" not in opened.read("known").columns
        clean = opened.read("clean")
    assert report["train"] + report["test"] + sum(report["left"].values()) == 303
    assert report["metrics"]["accuracy"] > report["baseline"]["accuracy"] + 0.1
    assert report["metrics"]["roc_auc"] > 0.85
    assert report["cross_validation"]["mean"]["accuracy"] > 0.75
    assert ended(["export", "heart", "--onnx", "heart.onnx"]) == 0
    assert 800 < clean.height < 900, "who says the same twice counts once"
    assert notes["train"] + notes["test"] + sum(notes["left"].values()) == clean.height
    assert notes["metrics"]["accuracy"] > notes["baseline"]["accuracy"] + 0.6
    assert notes["metrics"]["accuracy"] < 1, "some notes complain of two illnesses"
    said = {"text": "It burns when I pass water and my water is cloudy.", "illness": "bladder infection"}
    pl.DataFrame([{"id": 1, **said}]).write_csv("new.csv")
    assert ended(["score", "illness", "--input", "new.csv", "--output", "out.csv"]) == 0
    assert pl.read_csv("out.csv")["prediction"].to_list() == [said["illness"]]


def test_the_notes_of_disease_are_what_their_script_makes(tmp_path: Path) -> None:
    at = EXAMPLES / "disease" / "data"
    shutil.copy(at / "make.py", tmp_path)
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "notes.csv").read_bytes() == (at / "notes.csv").read_bytes()
    own = 'index,label,text\n0,Gout,"my toe, ""hot"""\n1,Flu,\u53d1\u70e7\n'
    (tmp_path / "own.csv").write_text(own, encoding="utf-8")
    subprocess.run([sys.executable, "make.py", "own.csv"], cwd=tmp_path, check=True)
    rows = pl.read_csv(tmp_path / "notes.csv").rows()
    assert rows == [(0, 'my toe, "hot"', "Gout"), (1, "\u53d1\u70e7", "Flu")]


def test_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last three of six years: two to learn from, one that is to be told."""
    readings = pl.read_parquet(laid("traffic", tmp_path, monkeypatch) / "metro.parquet")
    readings.filter(pl.col("date_time") >= "2016-01-01").write_parquet(tmp_path / "data" / "metro.parquet")
    with project(tmp_path) as opened:
        opened.run(["flow"])
        report, hours = opened.report("flow"), opened.read("all_hours")
    assert hours["date_time"].is_unique().all()
    christmas = hours.filter(pl.col("day") == "2017-12-25")
    assert christmas["holiday"].unique().to_list() == ["Christmas Day"]
    assert christmas.height > 20
    assert report["metrics"]["mae"] < 0.75 * report["baseline"]["mae"]
    assert 0.8 < report["forecast"]["held"] < 0.97


def test_fairness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a third of the people: parity costs accuracy, opportunity hardly any; each closes the gap that it names."""
    at = laid("fairness", tmp_path, monkeypatch)
    for name in ("train.csv.gz", "test.csv.gz"):
        some = pl.read_csv(at / name).gather_every(3)
        (tmp_path / "data" / name).write_bytes(gzip.compress(some.write_csv().encode(), mtime=0))
    with project(tmp_path) as opened:
        opened.run()
        plain, parity, opportunity = (opened.report(name) for name in ("plain", "parity", "opportunity"))
    gap = plain["fairness"]["columns"][0]["differences"]
    assert gap["selection_rate"] > 0.15
    assert parity["thresholds"]["after"]["differences"]["selection_rate"] < 0.05
    assert opportunity["thresholds"]["after"]["differences"]["true_positive_rate"] < 0.1
    lost = [plain["metrics"]["accuracy"] - other["metrics"]["accuracy"] for other in (parity, opportunity)]
    assert lost[1] < 0.01 < lost[0] < 0.05
    assert sum("'sex' is 'Female'" in warning for warning in plain["warnings"]) == 1
    assert not any("'sex' is 'Female'" in warning for warning in parity["warnings"])


def test_sentiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On made sentences in the layout of both sets, which are not ours to hand on."""
    at = laid("sentiment", tmp_path, monkeypatch)
    assert sorted(path.name for path in at.iterdir() if path.suffix == ".csv" and path.name not in MADE) == []
    shutil.copy(at / "make.py", tmp_path / "data")
    own = tmp_path / "own"
    own.mkdir()
    words = {
        "pos": ("a warm , funny film", "caf\u00e9 charm"),
        "neg": ("a dull , silly film", "clich\u00e9 upon clich\u00e9"),
    }
    for kind, (first, last) in words.items():
        lines = "".join(f"{first} number {n % 89} {last} {n} \n" for n in range(200))
        (own / f"rt-polarity.{kind}").write_bytes(lines.encode("cp1252"))
    reviews = [f"1,\u623f\u95f4\u5f88\u5e72\u51c0{n}\u53f7\u65b9\u4fbf" for n in range(200)]
    reviews += [f'0,"\u670d\u52a1\u592a\u5dee,{n}\u697c\u5f88\u5435\n\u4e0d\u6765\u4e86"' for n in range(100)]
    table = "\ufefflabel,review\n" + "\n".join([*reviews, "1,"]) + "\n"
    (own / "ChnSentiCorp_htl_all.csv.gz").write_bytes(gzip.compress(table.encode(), mtime=0))
    subprocess.run([sys.executable, "data/make.py", "own"], check=True)
    with project(tmp_path) as opened:
        opened.run()
        films, hotels = opened.read("films"), opened.read("hotels")
        reports = [opened.report(name) for name in ("films_mood", "hotels_mood")]
    assert films["mood"].value_counts().sort("mood").rows() == [("bad", 200), ("good", 200)]
    assert films.filter(pl.col("text").str.contains("caf\u00e9")).height == 200
    assert hotels["mood"].value_counts().sort("mood").rows() == [("bad", 100), ("good", 200)]
    assert hotels.filter(pl.col("text").str.contains("\n")).height == 100, "a review may have two lines"
    assert [report["metrics"]["accuracy"] for report in reports] == [1.0, 1.0]
    assert reports[0]["robustness"]
