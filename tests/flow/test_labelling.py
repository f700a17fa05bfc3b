"""Doubted labels and rows without one, from the plan to the page, and labels back as a source."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow.compare import stored
from tillage.flow.configuration import load
from tillage.flow.labelling import to_label
from tillage.flow.run import Project
from tillage.flow.stages import SIDE

PLAN = """\
project: labels
tables:
  notes: {collect: {files: data.csv}, key: id}
models:
  topic: {learn: text_classifier, from: notes, input: text, target: y}
  size:  {learn: tabular_regressor, from: notes, input: [flipped], target: n, split: {leak: false}}
"""
BACK = """\
project: labels
tables:
  notes: {collect: {files: data.csv}, key: id}
  given: {collect: {files: "labels/*.csv"}, key: id}
  labelled:
    from: {left: notes, right: given}
    steps:
      - join: {on: [id], take: [new_label]}
      - derive: {columns: {y: "coalesce(new_label, y)"}}
models:
  topic: {learn: text_classifier, from: labelled, input: text, target: y}
"""
COUNT = 1800
WORDS = {"plant": "leaf root soil seed bloom stem", "engine": "piston valve fuel gear clutch oil"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """COUNT rows of which a tenth is labelled wrongly, and 60 without a label, half of them of both topics."""
    root = tmp_path_factory.mktemp("labels")
    random = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for at in range(COUNT + 60):
        truth = ("plant", "engine")[at % 2]
        words = list(random.choice(WORDS[truth].split(), 5)) + [f"w{random.integers(0, 60)}" for _ in range(3)]
        if at >= COUNT + 30:
            words = [*random.choice(WORDS["plant"].split(), 3), *random.choice(WORDS["engine"].split(), 3)]
        flipped = at < COUNT and random.random() < 0.1
        label = None if at >= COUNT else ("engine", "plant")[at % 2] if flipped else truth
        text = " ".join(words) + (" <script>alert(1)</script>" if at == COUNT + 40 else "") + f" no{at}"
        rows.append({"id": f"k{at}", "text": text, "y": label, "flipped": str(flipped).lower(), "n": at})
    pl.DataFrame(rows).write_csv(root / "data.csv")
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        yield root


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    assert ended(["label", "topic", "--plan", str(folder), "--output", str(folder / "out"), "--rows", "90"]) == 0
    return folder / "out"


def test_flipped_labels_are_found_with_precision(folder: Path) -> None:
    with Project(load(folder, registry()), registry()) as project:
        found = to_label(stored(project, "topic"), registry(), 1000)
        sides = project.store.frame("topic/1")
    doubted = found.rows.hstack(found.told).filter(pl.col("given").is_not_null())
    assert doubted.height == found.suspected
    assert set(doubted["_id"]) <= set(sides.filter(pl.col(SIDE) == "train")["_id"]), "no test row is looked at"
    right = (doubted["flipped"] == "true").to_numpy()
    every = sides.filter((pl.col(SIDE) == "train") & (pl.col("flipped") == "true")).height
    assert right.mean() > 0.9
    assert right.sum() / every > 0.9
    truth = ["plant" if n % 2 == 0 else "engine" for n in doubted["n"]]
    assert (doubted["suggested"] == pl.Series(truth)).to_numpy()[right].all()


def test_rows_that_tear_the_model_come_first(folder: Path) -> None:
    with Project(load(folder, registry()), registry()) as project:
        found = to_label(stored(project, "topic"), registry(), 1000)
    bare = found.rows.filter(found.told["given"].is_null())
    assert bare.height == found.unlabelled == 60
    assert (bare["n"].head(20).to_numpy() >= COUNT + 30).mean() > 0.8, "rows of both topics"
    assert found.told["given"].is_null().to_list()[:4] == [False, True, False, True], "by turns"


def test_the_files_hold_what_a_person_needs(written: Path) -> None:
    shown = pl.read_csv(written / "to_label.csv")
    assert shown.columns == ["row_id", "id", "why", "given", "suggested", "doubt", "new_label", "text"]
    assert shown.height == 90
    assert shown["new_label"].null_count() == 90
    lines = [json.loads(line) for line in (written / "to_label.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == shown["id"].to_list()


def test_the_page_is_safe_and_asks_no_network(written: Path) -> None:
    page = (written / "label.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert "alert(1)" not in script
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=", page)
    assert page.count("<fieldset") == 90
    keys = [json.loads(k.replace("&#34;", '"').replace("&quot;", '"')) for k in re.findall(r'data-key="([^"]*)"', page)]
    assert all(len(key) == 1 and key[0].startswith("k") for key in keys)


def test_labels_come_back_as_a_source(folder: Path, written: Path, tmp_path: Path) -> None:
    shown = pl.read_csv(written / "to_label.csv")
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.csv").write_bytes((folder / "data.csv").read_bytes())
    (tmp_path / "tillage.yaml").write_text(BACK)
    with (tmp_path / "labels" / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)  # as the page writes it
        writer.writerow(["id", "new_label"])
        writer.writerows(zip(shown["id"], shown["suggested"], strict=True))
    with Project(load(tmp_path, registry()), registry()) as project:
        project.run()
        labelled = project.read("labelled")
        scores = project.report("topic")["metrics"]
    assert labelled.height == COUNT + 60
    given = dict(zip(shown["id"], shown["suggested"], strict=True))
    assert all(y == given[k] for k, y in labelled.select("id", "y").rows() if k in given)
    with Project(load(folder, registry()), registry()) as project:
        before = project.report("topic")["metrics"]
    assert scores["accuracy"] > before["accuracy"]


def test_models_without_shares_of_classes_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["label", "size", "--plan", str(folder)]) == 2
    assert "labels are classes" in capsys.readouterr().err
