"""Which columns a model goes by, and what moved one prediction, from the plan to the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import permutation_importance

from tests.flow.world import KEY
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow.compare import stored
from tillage.flow.configuration import load
from tillage.flow.explanation import contributions, importance
from tillage.flow.run import Project

PLAN = """\
project: why
tables:
  raw: {collect: {files: data.csv}, key: id}
models:
  trees: {learn: tabular_classifier, model: boosted_trees, trees: 25, from: raw, input: [x, z, idle], target: y,
          split: {test: 0.4}}
  size:  {learn: tabular_regressor, model: linear, from: raw, input: [x, z, idle], target: size, split: {test: 0.4}}
  words: {learn: text_classifier, from: raw, input: text, target: y, split: {leak: false}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("why")
    random = np.random.default_rng(1)
    x, z, idle = random.normal(size=(3, 1000))
    y = np.where(x * 2 + z + random.normal(0, 0.5, 1000) > 0, "up", "down")
    text = [f"{w} note {n % 7}" for n, w in enumerate(y)]
    frame = {"id": range(1000), "x": x, "z": z, "idle": idle, "y": y, "size": 3 * x + z, "text": text}
    pl.DataFrame(frame).write_csv(root / "data.csv")
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        yield root


def opened(folder: Path) -> Project:
    return Project(load(folder, registry()), registry())


class Wrapped(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model of ours as scikit-learn asks one."""

    def __init__(self, model: Any = None) -> None:
        self.model = model
        self.classes_ = np.array(["down", "up"])

    def fit(self, x: Any, y: Any) -> Wrapped:
        return self

    def predict_proba(self, x: Any) -> Any:
        return self.model.shares(pl.DataFrame(x, schema=["x", "z", "idle"]))


def test_importance_is_scikit_learns(folder: Path) -> None:
    with opened(folder) as project:
        judged = stored(project, "trees")
        exam = judged.exam()
        found = importance(judged, exam)
        assert project.report("trees")["importance"] == found
    assert (found["metric"], found["rows"]) == ("log_loss", exam.height)
    assert [one["column"] for one in found["columns"]] == ["x", "z", "idle"]
    matrix = exam.select("x", "z", "idle").to_numpy()
    expected = permutation_importance(
        Wrapped(judged.fitted), matrix, exam["y"].to_numpy(), scoring="neg_log_loss", n_repeats=20, random_state=0
    )
    for one in found["columns"]:
        at = ["x", "z", "idle"].index(one["column"])
        assert one["loss"] == pytest.approx(expected.importances_mean[at], rel=0.2, abs=0.02)


def test_importance_of_numbers_and_of_a_single_column(folder: Path) -> None:
    with opened(folder) as project:
        judged = stored(project, "size")
        found = project.report("size")["importance"]
        assert found["metric"] == "mae"
        by_column = {one["column"]: one["loss"] for one in found["columns"]}
        exam = judged.exam()
        shift = 3 * np.abs(exam["x"].to_numpy() - np.random.default_rng(0).permutation(exam["x"].to_numpy())).mean()
        assert by_column["x"] == pytest.approx(shift, rel=0.15)
        assert abs(by_column["idle"]) < 0.01
        assert project.report("words")["importance"]["columns"] == []


def test_the_report_and_one_row_tell_contributions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(folder) as project:
        report = project.report("trees")
        assert [one["column"] for one in report["contributions"]] == ["x", "z", "idle"]
        judged = stored(project, "trees")
        row = project.read("raw").filter(pl.col("id") == 17)
        found = contributions(judged, row)
        assert found is not None
        share = judged.fitted.apply(row)["confidence"][0]
        second = share if judged.fitted.apply(row)["prediction"][0] == "up" else 1 - share
        assert found["values"][0].sum() + found["base"][0] == pytest.approx(np.log(second / (1 - second)))
        assert project.report("words")["contributions"] == []
    assert ended(["explain", "trees", "--key", "17", "--plan", str(folder), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["of"] == "up"
    assert {c["column"]: c["adds"] for c in value["columns"]} == pytest.approx(
        dict(zip(found["columns"], found["values"][0].tolist(), strict=True))
    )
    assert value["score"] == pytest.approx(value["base"] + sum(c["adds"] for c in value["columns"]))
    assert ended(["explain", "trees", value["row_id"], "--plan", str(folder)]) == 0
    assert "trees says" in capsys.readouterr().out
    assert ended(["explain", "trees", "--key", "none", "--plan", str(folder)]) == 66
    assert ended(["explain", "words", "--key", "17", "--plan", str(folder)]) == 2
    assert ended(["explain", "trees", "--plan", str(folder)]) == 2
    assert ended(["show", "trees", "--plan", str(folder)]) == 0
    assert "Columns that the model goes by" in capsys.readouterr().out
    page = (folder / ".tillage" / "report.html").read_text()
    assert "Columns that the model goes by" in page
