"""Targets that are not what they should be: what is told of the model stays true, and says what to do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.core.errors import BadData
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow.compare import compare
from tillage.flow.configuration import load
from tillage.flow.run import Project

PLAN = """\
project: odd
tables:
  raw: {{collect: {{files: data.parquet}}, key: id}}
  past: {{from: raw, steps: [{{filter: "id < 300"}}]}}
  late: {{from: raw, steps: [{{filter: "id >= 300"}}]}}
models:
  m: {{learn: {learner}, from: past, test_from: late, input: [x, z], target: y{more}}}
  n: {{learn: {learner}, model: random_forest, trees: 5, from: past, test_from: late, input: [x, z], target: y}}
"""


def world(root: Path, target: Any, learner: str = "tabular_classifier", more: str = "", **columns: Any) -> Project:
    x, z = np.random.default_rng(3).normal(size=(2, 400))
    rows = pl.DataFrame({"id": range(400), "x": x, "z": z, "y": target(x, z), **columns})
    rows.write_parquet(root / "data.parquet")
    (root / "tillage.yaml").write_text(PLAN.format(learner=learner, more=more))
    return Project(load(root, registry()), registry())


@pytest.fixture(autouse=True)
def same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def test_rows_whose_target_is_no_number_are_of_no_part_and_spoil_no_figure(tmp_path: Path) -> None:
    odd = dict(zip(range(5, 400, 10), [math.inf, -math.inf, math.nan, None] * 10, strict=True))

    def target(x: Any, z: Any) -> Any:
        return pl.Series([odd.get(n, value) for n, value in enumerate((2 * x + z).tolist())])

    evaluate = ", evaluate: {folds: 3, robustness: true, slices: [z]}"
    with world(tmp_path, target, "tabular_regressor", evaluate) as project:
        project.run()
        report, both = project.report("m"), compare(project, "m", "n")
    assert (report["train"], report["test"], report["rows"], report["left"]) == (270, 90, 90, {"unlabelled": 40})
    assert sum(fold["test"] for fold in report["cross_validation"]["folds"]) == 270
    assert [one["column"] for one in report["importance"]["columns"]] == ["x", "z"]
    assert all(one["loss"] > 0 for one in report["importance"]["columns"])
    assert math.isfinite(report["importance"]["whole"])
    assert (report["importance"]["rows"], report["robustness"]["rows"], both["rows"]) == (90, 90, 90)


def test_classes_that_are_no_number_are_of_no_part(tmp_path: Path) -> None:
    def target(x: Any, z: Any) -> Any:
        return np.where(np.arange(400) % 10 == 5, np.nan, (x > 0).astype(float))

    with world(tmp_path, target) as project:
        project.run()
        report, both = project.report("m"), compare(project, "m", "n")
    assert (report["train"], report["test"], report["left"], both["rows"]) == (270, 90, {"unlabelled": 40}, 90)


def test_classes_spelt_alike_and_classes_never_learnt_are_warned_of(tmp_path: Path) -> None:
    def target(x: Any, z: Any) -> Any:
        said = np.where(x > 0, np.where(z > 0, "yes", " Yes"), "no").astype(object)
        said[390:] = "perhaps"
        return pl.Series(said, dtype=pl.String)

    with world(tmp_path, target) as project:
        project.run()
        warnings = project.report("m")["warnings"]
    alike = "Classes that differ in blanks or case alone: ' Yes' and 'yes'. If they are one, put a step before the"
    assert sum(alike in told for told in warnings) == 1
    never = (
        "No training row is 'perhaps', and 10 test rows are: these count as mistakes, whatever the model has learnt."
    )
    assert never in warnings


@pytest.mark.filterwarnings("error")
def test_amounts_that_are_taken_for_classes_are_warned_of(tmp_path: Path) -> None:
    with world(tmp_path, lambda x, z: np.round(x + z, 2)) as project:
        project.run()
        warnings = project.report("m")["warnings"]
    assert sum("are numbers, of" in told and "a regressor learns them" in told for told in warnings) == 1


def test_folds_do_not_follow_texts_whose_order_is_not_that_of_time(tmp_path: Path) -> None:
    day = [f"{1 + n // 28 % 12}/{1 + n % 28}/{2012 + n // 336}" for n in range(400)]
    more = ", evaluate: {folds: 3, time: day}"
    project = world(tmp_path, lambda x, z: np.where(x > 0, "a", "b"), more=more, day=day)
    with project, pytest.raises(BadData, match="their order is not that of time") as told:
        project.run()
    assert "parse_dates" in str(told.value.fix)


@pytest.mark.parametrize(
    "day",
    ["2024-{:02d}-{:02d}", "2024-{:02d}", "2024-{:02d}-{:02d} 08:15", "2024-{:02d}-{:02d}T08:15:30.5Z"],
)
def test_folds_follow_texts_that_begin_with_the_year(tmp_path: Path, day: str) -> None:
    days = [day.format(1 + n // 34, 1 + n % 28) for n in range(400)]
    more = ", evaluate: {folds: 3, time: day}"
    with world(tmp_path, lambda x, z: np.where(x > 0, "a", "b"), more=more, day=days) as project:
        project.run()
        assert len(project.report("m")["cross_validation"]["folds"]) == 3


def test_a_mistake_on_a_table_that_only_tests_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with world(tmp_path, lambda x, z: np.where(x + z > 0, "a", "b")) as project:
        project.run()
        mistake = project.report("n")["errors"][0]["id"]
    assert ended(["explain", "m", mistake, "--plan", str(tmp_path)]) == 0
    assert ended(["explain", "m", "--key", "399", "--plan", str(tmp_path)]) == 0
    capsys.readouterr()
    assert ended(["explain", "m", "--key", "400", "--plan", str(tmp_path)]) == 66
    assert "No row of 'past' or 'late' has the key 400." in capsys.readouterr().err
    assert ended(["explain", "m", "word", "--plan", str(tmp_path)]) == 2
    assert ended(["trace", mistake, "--plan", str(tmp_path)]) == 2
    assert f"`tillage trace TABLE {mistake}`. Tables: raw, past, late." in capsys.readouterr().err


def test_what_cannot_be_spoilt_is_said(tmp_path: Path) -> None:
    """A picture, or a single category, asked for robustness has none that is measured."""
    x = np.random.default_rng(1).choice(["p", "q"], 400)
    pl.DataFrame({"id": range(400), "x": x, "y": x}).write_parquet(tmp_path / "data.parquet")
    (tmp_path / "tillage.yaml").write_text(
        "project: odd\ntables:\n  raw: {collect: {files: data.parquet}, key: id}\nmodels:\n"
        "  m: {learn: tabular_classifier, from: raw, input: [x], target: y, split: {leak: false}, "
        "evaluate: {robustness: true}}\n"
    )
    with Project(load(tmp_path, registry()), registry()) as project:
        project.run()
        found = project.report("m")["robustness"]
    assert found["ways"] == []
    assert "no column that could be missing" in found["skipped"][0]


@pytest.mark.parametrize(
    ("stray", "said"), [("inf", "10 of its 300 texts are no number"), ("1.5 EUR", "10 of its 300 texts are no number")]
)
def test_a_few_texts_that_make_a_target_of_numbers_text_are_counted(tmp_path: Path, stray: str, said: str) -> None:
    def target(x: Any, z: Any) -> Any:
        return pl.Series([stray if n % 30 == 5 else str(value) for n, value in enumerate(x)])

    with world(tmp_path, target, "tabular_regressor") as project, pytest.raises(BadData) as told:
        project.run()
    assert said in told.value.message
    assert "parse_numbers" in str(told.value.fix)
