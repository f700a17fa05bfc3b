"""The score on spoilt test rows: it falls with what the model needs, and with nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow.compare import stored
from tillage.flow.configuration import load
from tillage.flow.run import Project

PLAN = """\
project: rough
tables:
  raw: {collect: {files: data.csv}, key: id}
models:
  class: {learn: tabular_classifier, model: linear, from: raw, input: [x, idle, word], target: y,
          split: {test: 0.4}, evaluate: {robustness: true}}
  size:  {learn: tabular_regressor, model: linear, from: raw, input: [x, idle], target: size,
          split: {test: 0.4}, evaluate: {robustness: true}}
  text:  {learn: text_classifier, from: raw, input: word, target: y, split: {test: 0.4}, evaluate: {robustness: true}}
"""
WORDS = {"up": "splendid wonderful marvellous", "down": "horrible dreadful terrible"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("rough")
    random = np.random.default_rng(1)
    x, idle = random.normal(size=(2, 600))
    y = np.where(x > 0, "up", "down")
    word = [f"{random.choice(WORDS[k].split())} item{n}" for n, k in enumerate(y)]
    pl.DataFrame({"id": range(600), "x": x, "idle": idle, "word": word, "y": y, "size": 3 * x}).write_csv(
        root / "data.csv"
    )
    (root / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        with Project(load(root, registry()), registry()) as opened:
            yield opened


def test_what_the_model_needs_costs_and_what_it_does_not_need_does_not(project: Project) -> None:
    found = project.report("size")["robustness"]
    ways = {way["name"]: way for way in found["ways"]}
    exam = stored(project, "size").exam()
    spread = exam["x"].std()
    assert isinstance(spread, float)
    expected = 3 * 0.5 * spread * np.sqrt(2 / np.pi)
    assert ways["noise of 0.5 standard deviations on each number"]["score"] == pytest.approx(expected, rel=0.15)
    assert ways["without 'idle'"]["difference"] == pytest.approx(0, abs=0.01)
    without = ways["without 'x'"]["score"]
    median = project.model("size").state["columns"][0]["median"]
    assert without == pytest.approx(float(np.abs(exam["size"].to_numpy() - 3 * median).mean()), rel=0.05)
    assert found["clean"] < 0.05


def test_typos_cost_a_model_of_words(project: Project) -> None:
    found = project.report("text")["robustness"]
    assert found["metric"] == "accuracy"
    assert [way["name"] for way in found["ways"]] == ["1 typo in each text", "3 typos in each text"]
    one, three = found["ways"]
    assert three["score"] <= one["score"] <= found["clean"]
    assert three["difference"] == pytest.approx(three["score"] - found["clean"])


def test_the_test_rows_stay_as_they_are_and_the_tables_are_shown(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    report = project.report("class")
    names = [way["name"] for way in report["robustness"]["ways"]]
    assert names[0] == "noise of 0.1 standard deviations on each number"
    assert "without 'x'" in names
    assert report["robustness"]["clean"] == pytest.approx(report["metrics"]["accuracy"])
    assert ended(["show", "class", "--plan", str(project.plan.root)]) == 0
    assert "Robustness: clean accuracy" in capsys.readouterr().out
    assert "Robustness: clean accuracy" in (project.plan.root / ".tillage" / "report.html").read_text()
