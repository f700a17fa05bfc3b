"""Two models on the rows that test both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from tests.flow.world import KEY
from tillage.core.errors import ConfigurationError, UsageError
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow.compare import compare, stored
from tillage.flow.configuration import load, parse
from tillage.flow.run import Project
from tillage.flow.stages import SIDE
from tillage.flow.writing import to_yaml

PLAN = """\
project: pair
tables:
  raw: {collect: {files: data.csv}, key: id}
models:
  trees: {learn: tabular_classifier, model: boosted_trees, trees: 20, from: raw, input: [x, z], target: y,
          split: {test: 0.4}}
  plain: {learn: tabular_classifier, model: linear, from: raw, input: [x, z], target: y, split: {like: trees}}
  apart: {learn: tabular_classifier, model: linear, from: raw, input: [x, z], target: y, split: {test: 0.05}}
  house: {learn: tabular_regressor, model: linear, from: raw, input: [x, z], target: size, split: {group: g}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("pair")
    random = np.random.default_rng(1)
    x, z = random.normal(size=(2, 500))
    y = np.where(x * z > 0, "up", "down")
    pl.DataFrame({"id": range(500), "x": x, "z": z, "y": y, "size": x + z, "g": np.arange(500) % 50}).write_csv(
        root / "data.csv"
    )
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)  # the same ids, and so the same split, in every run of the tests
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        yield root


def opened(folder: Path) -> Project:
    return Project(load(folder, registry()), registry())


def test_a_split_that_is_like_another_has_the_same_test_rows(folder: Path) -> None:
    with opened(folder) as project:
        trees, plain, apart = (project.store.frame(f"{m}/1").select("_id", SIDE) for m in ("trees", "plain", "apart"))
    assert trees.sort("_id").equals(plain.sort("_id"))
    assert not trees.sort("_id").equals(apart.sort("_id"))


def test_trees_are_surely_better_and_the_test_is_exact(folder: Path) -> None:
    with opened(folder) as project:
        looks = [project.report(m)["looks"] for m in ("trees", "plain")]
        found = compare(project, "trees", "plain")
        said: dict[str, Any] = {}
        for name in ("trees", "plain"):
            judged = stored(project, name)
            exam = judged.exam()
            said[name] = dict(zip(exam["_id"], judged.fitted.apply(exam)["prediction"] == exam["y"], strict=True))
    alone = [sum(said["trees"][i] > said["plain"][i] for i in said["trees"]), 0]
    alone[1] = sum(said["plain"][i] > said["trees"][i] for i in said["trees"])
    accuracy, macro = found["metrics"]
    assert found["rows"] == len(said["trees"]) == len(said["plain"])
    assert accuracy["p"] == pytest.approx(binomtest(alone[0], sum(alone)).pvalue)
    assert accuracy["p"] < 0.001
    assert accuracy["difference"] == pytest.approx((alone[0] - alone[1]) / found["rows"])
    assert macro["interval"][0] > 0
    assert found["looks"] == [n + 1 for n in looks], "it was a look at both"


def test_models_that_share_too_few_test_rows_are_refused_with_the_mend(folder: Path) -> None:
    with opened(folder) as project:
        with pytest.raises(UsageError, match=r"split: \{like: trees\}"):
            compare(project, "trees", "apart")
        with pytest.raises(UsageError, match="no score in common"):
            compare(project, "trees", "house")


def test_the_command_tells_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["compare", "trees", "plain", "--plan", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "rows that test both" in out
    assert "McNemar, exact" in out
    assert ended(["compare", "trees", "plain", "--plan", str(folder), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["schema"] == "tillage.compare/1"
    assert {m["metric"] for m in value["metrics"]} == {"accuracy", "macro_f1"} <= set(value["baseline"])
    assert ended(["compare", "trees", "trees", "--plan", str(folder)]) == 2


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("{like: nobody}", "No model is called 'nobody'"),
        ("{like: plain}", "itself like another"),
        ("{like: trees, test: 0.3}", "means nothing beside 'like'"),
        ("{like: apart}", "itself like another"),
    ],
)
def test_mistakes_in_like_are_told(split: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(PLAN.replace("split: {test: 0.05}", f"split: {split}"), Path("/p"), registry())
    assert said.lower() in str(caught.value).lower()
    assert "tillage.yaml:8:" in str(caught.value)


def test_like_is_written_as_it_was_read() -> None:
    plan = parse(PLAN, Path("/p"), registry())
    assert plan.models["plain"].split.test == 0.4
    assert "like: trees" in to_yaml(plan, registry())
    assert parse(to_yaml(plan, registry()), Path("/p"), registry()) == plan
