"""A fitted step stays where it was fitted until it is told to move; a model follows its table unless it is pinned."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.core import InputMissing
from tillage.face.rooms import project
from tillage.flow.run import Project

PLAN = """\
project: pins
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  filled:
    from: notes
    steps: [{fill_missing: {columns: [x], with: mean}}]
models:
  bayes: {learn: naive_bayes, from: notes, input: text, target: side, split: {test: 0.4}}
"""


def write(root: Path, name: str, first: int, values: list[str]) -> None:
    (root / "data").mkdir(exist_ok=True)
    lines = [f"{first + i},text {i},{value},{'ab'[i % 2]}" for i, value in enumerate(values)]
    (root / "data" / name).write_text("\n".join(["id,text,x,side", *lines]) + "\n", encoding="utf-8")


def filling(p: Project) -> float:
    """What stands in row 0, which has no value."""
    return float(p.read("filled").filter(pl.col("id") == 0)["x"][0])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    write(tmp_path, "a.csv", 0, ["", "2.0", "4.0", *["3.0"] * 17])
    return tmp_path


def test_a_fitted_step_stays_and_refit_moves_it(root: Path) -> None:
    with project(root) as p:
        p.run()
        assert filling(p) == 3.0
        write(root, "b.csv", 100, ["31.0", "", "31.0"])
        p.run()
        assert filling(p) == 3.0
        assert p.read("filled").filter(pl.col("id") == 101)["x"].to_list() == [3.0]  # new rows, old fit
        [fit] = [s.name for s in p.stages.values() if s.kind == "result"]
        assert len(p.store.versions(fit)) == 1
        outcome = p.run(refit=["fill_missing"])
        assert {fit, "filled"} <= set(outcome.changed)
        assert filling(p) == pytest.approx((57 + 62) / 21)
        assert p.read("filled").filter(pl.col("id") == 101)["x"][0] == filling(p)
        assert len(p.store.versions(fit)) == 2
        assert p.run().changed == []


def test_refit_by_table_equals_a_fresh_project(root: Path) -> None:
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["31.0", "", "31.0"])
        p.run(refit=["filled"])
        kept = p.store.digest("filled")
        plan = p.plan.model_copy(update={"store": root / "fresh"})
        with Project(plan, p.registry) as fresh:
            fresh.run()
            assert fresh.store.digest("filled") == kept


def test_a_pin_survives_the_collection_of_old_versions(root: Path) -> None:
    from tillage.store.gc import collect

    with project(root) as p:
        p.run()
        for n in range(3):
            write(root, f"c{n}.csv", 200 + 10 * n, ["9.0"])
            p.run()
        collect(p.store, keep=1)
        assert filling(p) == 3.0
        write(root, "d.csv", 300, [""])
        p.run()
        assert p.read("filled").filter(pl.col("id") == 300)["x"].to_list() == [3.0]


def test_fit_on_names_the_version(root: Path) -> None:
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["31.0", "", "31.0"])
        p.run()
        versions = [v.version for v in p.store.versions(p.stages["filled"].inputs["rows"])]
        assert len(versions) == 2
    pinned = PLAN.replace("with: mean}}]", f"with: mean}}}}]\n    fit_on: {{fill_missing: {versions[-1]}}}")
    (root / "tillage.yaml").write_text(pinned, encoding="utf-8")
    with project(root) as p:
        p.run(refit=["filled"])
        newer = filling(p)
        assert newer == pytest.approx((57 + 62) / 21)
        write(root, "e.csv", 400, ["1000.0"])
        p.run(refit=["filled"])
        assert filling(p) == newer
    (root / "tillage.yaml").write_text(
        pinned.replace(f"fill_missing: {versions[-1]}", "fill_missing: 77"), encoding="utf-8"
    )
    with project(root) as p, pytest.raises(InputMissing, match="no version 77"):
        p.run(refit=["filled"])


def test_a_model_follows_its_table_unless_it_is_pinned(root: Path) -> None:
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["1.0", "2.0", "3.0"])
        assert "bayes" in p.run().changed
        first = p.store.versions(p.stages["bayes"].inputs["rows"])[0].version
        digest = p.store.versions("bayes")[0].facts["digest"]
    (root / "tillage.yaml").write_text(PLAN.replace("test: 0.4}}", f"test: 0.4}}, fit_on: {first}}}"), encoding="utf-8")
    with project(root) as p:
        p.run()
        assert p.store.versions("bayes")[-1].facts["digest"] == digest
        write(root, "f.csv", 500, ["1.0", "2.0", "3.0"])
        p.run()
        assert p.store.versions("bayes")[-1].facts["digest"] == digest
