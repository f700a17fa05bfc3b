"""A fitted step stays where it was fitted until it is told to move; a model follows its table unless it is pinned."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.core.errors import ConfigurationError
from tillage.face.rooms import project, registry
from tillage.flow import chunking
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.store.gc import collect

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


def pinned(root: Path, version: int, plan: str = PLAN) -> None:
    at = plan.index("models:")
    (root / "tillage.yaml").write_text(f"{plan[:at]}    fit_on: {{fill_missing: {version}}}\n{plan[at:]}", "utf-8")


BEHIND = PLAN.replace("steps: [{fill", "steps: [{normalize: {columns: [text]}}, {fill")
"""A hidden stage of Maps lies between the table that the plan names and the fitted step."""

COLLECTS = """\
project: pins
tables:
  filled:
    collect: {files: "data/*.csv"}
    key: id
    steps: [{normalize: {columns: [text]}}, {fill_missing: {columns: [x], with: mean}}]
models:
  bayes: {learn: naive_bayes, from: filled, input: text, target: side, split: {test: 0.4}}
"""


@pytest.mark.parametrize("plan", [PLAN, BEHIND])
def test_fit_on_counts_the_versions_of_the_table_that_the_plan_names(root: Path, plan: str) -> None:
    (root / "tillage.yaml").write_text(plan, encoding="utf-8")
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["31.0", "", "31.0"])
        p.run(["notes"])  # version 2 of notes, which the hidden stage never sees
        write(root, "c.csv", 200, ["61.0"])
        p.run()
        assert p.store.versions("notes")[-1].version == 3
    means = {1: 3.0, 3: pytest.approx((57 + 62 + 61) / 22)}
    for version, mean in means.items():
        pinned(root, version, plan)
        with project(root) as p:
            p.run()
            assert filling(p) == mean
            write(root, f"e{version}.csv", 400 + version, ["1000.0"])
            p.run(refit=["filled"])
            assert filling(p) == mean
    pinned(root, 77, plan)
    write(root, "z.csv", 900, ["5.0"])
    with project(root) as p:
        before = p.store.versions("notes")[-1].version
        with pytest.raises(
            ConfigurationError, match=r"version 77 of 'notes' is not there; there are versions 1, .*3"
        ) as caught:
            p.run()
        assert [(x.line, x.column) for x in caught.value.problems] == [(7, 28)]
        assert p.store.versions("notes")[-1].version == before, "nothing ran"


def test_a_version_that_the_table_never_saw_is_refused(root: Path) -> None:
    (root / "tillage.yaml").write_text(BEHIND, encoding="utf-8")
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["31.0"])
        p.run(["notes"])
        write(root, "c.csv", 200, ["61.0"])
        p.run()
    pinned(root, 2, BEHIND)
    with (
        project(root) as p,
        pytest.raises(ConfigurationError, match="was never seen by table 'filled'; there are versions 1 an"),
    ):
        p.run()


def test_fit_on_of_a_table_that_collects_counts_its_own_versions(root: Path) -> None:
    (root / "tillage.yaml").write_text(COLLECTS, encoding="utf-8")
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["31.0", "", "31.0"])
        p.run()
        p.run(refit=["filled"])  # version 3 of the table, of the second version of its source
        assert p.store.versions("filled")[-1].version == 3
        second = filling(p)
        write(root, "c.csv", 200, ["61.0"])
        p.run()
    for version, mean in {1: 3.0, 3: second}.items():
        pinned(root, version, COLLECTS)
        with project(root) as p:
            p.run()
            assert filling(p) == mean


def test_a_first_run_makes_the_version_1_that_it_is_pinned_to(root: Path) -> None:
    pinned(root, 1)
    with project(root) as p:
        p.check()
        p.run()
        assert filling(p) == 3.0
    pinned(root, 2)
    with (
        Project(load(root / "tillage.yaml", registry()).model_copy(update={"store": root / "new"}), registry()) as p,
        pytest.raises(ConfigurationError, match="version 2 of 'notes' is not there; there is none yet"),
    ):
        p.check()


def test_a_model_follows_its_table_unless_it_is_pinned(root: Path) -> None:
    with project(root) as p:
        p.run()
        write(root, "b.csv", 100, ["1.0", "2.0", "3.0"])
        assert "bayes" in p.run().changed
        digest = p.store.versions("bayes")[0].facts["digest"]
    (root / "tillage.yaml").write_text(PLAN.replace("test: 0.4}}", "test: 0.4}, fit_on: 1}"), encoding="utf-8")
    with project(root) as p:
        p.run()
        assert p.store.versions("bayes")[-1].facts["digest"] == digest
        write(root, "f.csv", 500, ["1.0", "2.0", "3.0"])
        p.run()
        assert p.store.versions("bayes")[-1].facts["digest"] == digest


@pytest.mark.parametrize("plan", [PLAN, BEHIND])
def test_compaction_and_gc_leave_a_pinned_version_where_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    monkeypatch.setattr(chunking, "LEAST_ROWS", 6)
    settled = plan.replace("test: 0.4}}", "test: 0.4}, fit_on: 3}")
    (root / "tillage.yaml").write_text(plan, encoding="utf-8")
    with project(root) as p:
        p.run()
        for n in range(2):
            write(root, f"b{n}.csv", 100 + 10 * n, ["10.0"])
            p.run()
    pinned(root, 3, settled)
    monkeypatch.setattr("tillage.flow.compact.SLACK", 1)
    with project(root) as p:
        p.run()
        assert [v.why for v in p.store.versions("notes")][3:] == ["compaction"]
        mean = pytest.approx((57 + 20) / 21)
        assert filling(p) == mean
        bayes = p.store.latest("bayes")
        for n in range(3):
            write(root, f"c{n}.csv", 200 + 10 * n, ["9.0"])
            p.run()
            collect(p.store, keep=1)
        assert next(v.version for v in p.store.versions("notes")) == 3, "gc keeps what the plan names"
        p.run(refit=["filled"])
        assert filling(p) == mean
        assert p.store.latest("bayes") == bayes, "not trained again"
        p.check()
    pinned(root, 2, settled)
    with (
        project(root) as p,
        pytest.raises(
            ConfigurationError, match=r"version 2 of 'notes' is not there; there (is version|are versions) 3"
        ),
    ):
        p.check()
