"""What a plan may ask of an evaluation, from the plan file to the report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.core.errors import BadData, ConfigurationError
from tillage.face.rooms import registry
from tillage.flow.compare import compare, stored
from tillage.flow.configuration import load, parse
from tillage.flow.cross_validation import HeldOut, held_out
from tillage.flow.judged import Judged, as_stored
from tillage.flow.labelling import to_label
from tillage.flow.plan import Evaluation
from tillage.flow.planner import intents
from tillage.flow.results import load_fitted
from tillage.flow.run import Project
from tillage.flow.stages import SIDE
from tillage.flow.writing import to_yaml
from tillage.store.verify import verify

PLAN = """\
project: judged
tables:
  raw: {{collect: {{files: data.csv}}, key: id}}
models:
  m: {{learn: {learner}, from: raw, target: y{more}}}
"""
TREES = "tabular_classifier, model: boosted_trees, trees: 15, input: [x, z, kind]"


@pytest.fixture(autouse=True)
def same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ids, and so the same split, in every run of the tests."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def world(root: Path, learner: str, more: str = "", count: int = 400) -> Project:
    random = np.random.default_rng(7)
    x, z = random.normal(size=(2, count))
    rows = pl.DataFrame(
        {
            "id": range(count),
            "x": x,
            "z": z,
            "kind": random.choice(["p", "q"], count),
            "y": np.where(x * z + random.normal(0, 0.3, count) > 0, "up", "down"),
            "house": random.integers(0, 40, count),
            "day": [f"2024-{1 + n % 12:02d}-{1 + n % 28:02d}" for n in range(count)],
        }
    )
    root.mkdir(exist_ok=True)
    rows.write_csv(root / "data.csv")
    (root / "tillage.yaml").write_text(PLAN.format(learner=learner, more=more))
    return Project(load(root, registry()), registry())


def report(root: Path, learner: str, more: str = "", count: int = 400) -> dict[str, Any]:
    with world(root, learner, more, count) as project:
        project.run()
        return project.report("m")


def test_a_linear_model_stands_beside_trees_and_not_beside_a_linear_one(tmp_path: Path) -> None:
    found = report(tmp_path / "a", TREES, count=1200)
    linear = found["linear"]
    assert set(linear["metrics"]) == set(found["metrics"]) == set(found["baseline"])
    assert linear["metrics"]["accuracy"] < 0.65 < found["metrics"]["accuracy"], "the sign of a product"
    assert linear["compared"]["p"] < 0.01
    assert linear["note"] == f"learnt from {found['train']:,} rows"
    itself = report(tmp_path / "b", TREES.replace("boosted_trees, trees: 15", "linear"))["linear"]
    assert (itself["metrics"], itself["note"]) == ({}, "the model is itself linear")
    asked = report(tmp_path / "c", TREES, ", evaluate: {linear: false}")["linear"]
    assert (asked["metrics"], asked["rows"]) == ({}, 0)


def test_the_linear_model_learns_from_the_training_side_alone(tmp_path: Path) -> None:
    """A column that tells the class of test rows alone: whoever learnt from them would score by it."""
    with world(tmp_path, TREES) as project:
        project.run()
        before = project.report("m")["linear"]["metrics"]
        side = project.store.frame("m/1").select("id", SIDE)
    path = tmp_path / "data.csv"
    rows = pl.read_csv(path).join(side, on="id")
    tell = pl.when(pl.col(SIDE) == "test").then(pl.col("y")).otherwise(pl.lit("p"))
    rows.with_columns(kind=tell).drop(SIDE).write_csv(path)
    with Project(load(tmp_path, registry()), registry()) as project:
        project.run()
        assert project.report("m")["linear"]["metrics"]["accuracy"] < before["accuracy"] + 0.1


def judged(project: Project) -> Judged:
    fitted, at = load_fitted(project.store, "m", registry()), project.store.latest("m")
    assert at is not None
    return as_stored(project.store, project.plan, project.stages["m"], fitted, at)


def folds(project: Project) -> list[HeldOut]:
    project.run()
    return list(held_out(judged(project), registry()))


def test_each_training_row_is_held_out_once_and_no_test_row_ever(tmp_path: Path) -> None:
    with world(tmp_path, TREES, ", evaluate: {folds: 5}") as project:
        found = folds(project)
        sides = project.store.frame("m/1")
        report = project.report("m")["cross_validation"]
    held = pl.concat([one.rows for one in found], how="diagonal_relaxed")
    assert sorted(held["_id"]) == sorted(sides.filter(pl.col(SIDE) == "train")["_id"])
    sizes = [one.rows.height for one in found]
    assert max(sizes) - min(sizes) <= 2, "classes are spread evenly"
    assert [one.train for one in found] == [held.height - n for n in sizes]
    scores = [(one.rows["y"] == one.said["prediction"]).to_numpy().mean() for one in found]
    assert [fold["metrics"]["accuracy"] for fold in report["folds"]] == pytest.approx(scores)
    assert report["mean"]["accuracy"] == pytest.approx(np.mean(scores))
    assert report["spread"]["accuracy"] == pytest.approx(np.std(scores, ddof=1))
    assert set(report["baseline"]) == set(report["mean"])


def test_a_group_is_held_out_whole(tmp_path: Path) -> None:
    with world(tmp_path, TREES, ", split: {group: house}, evaluate: {folds: 4}") as project:
        found = folds(project)
    houses = [set(one.rows["house"]) for one in found]
    assert sum(map(len, houses)) == len(set().union(*houses)) > 25


@pytest.mark.parametrize(("group", "seeds"), [("street", range(8)), ("house", range(2))])
def test_a_test_part_that_groups_make_smaller_or_larger_is_warned_of(
    tmp_path: Path, group: str, seeds: Iterable[int]
) -> None:
    """Of four streets one has nine rows in ten, so no split comes near a fifth; forty houses do."""
    said: dict[float, bool] = {}
    for seed in seeds:
        more = f", split: {{group: {group}, seed: {seed}}}, evaluate: {{linear: false, explain: false}}"
        with world(tmp_path / str(seed), TREES, more) as project:
            rows = pl.read_csv(tmp_path / str(seed) / "data.csv")
            street = pl.when(pl.col("id") % 10 > 0).then(0).otherwise(pl.col("id") // 10 % 3 + 1)
            rows.with_columns(street=street).write_csv(tmp_path / str(seed) / "data.csv")
            project.run()
            found = project.report("m")
        share = found["test"] / (found["test"] + found["train"] + found["left"].get("leak", 0))
        said[share] = any(f"where 20% were asked for: rows of one '{group}'" in line for line in found["warnings"])
    assert said == {share: not 0.1 <= share <= 0.4 for share in said}
    if group == "street":
        assert min(said) < 0.1
        assert max(said) > 0.4
    else:
        assert not any(said.values())


def test_folds_that_cannot_be_made_are_warned_of(tmp_path: Path) -> None:
    found = report(tmp_path / "few", TREES, ", evaluate: {folds: 20}", count=40)
    assert any("do not make 20 parts" in warning for warning in found["warnings"])
    enough = report(tmp_path / "enough", TREES, ", evaluate: {folds: 4}", count=40)
    assert not any("do not make" in warning for warning in enough["warnings"])


def test_folds_in_time_learn_from_what_was_before(tmp_path: Path) -> None:
    with world(tmp_path, TREES, ", evaluate: {folds: 4, time: day}") as project:
        found = folds(project)
        days = project.store.frame("m/1").filter(pl.col(SIDE) == "train")["day"]
    assert [one.fold for one in found] == [0, 1, 2, 3]
    for one in found:
        assert one.train == int((days < one.rows["day"].min()).sum()), "all that was before, and no more"


def test_near_duplicates_of_a_held_row_are_not_learnt_from(tmp_path: Path) -> None:
    with world(tmp_path, TREES, ", evaluate: {folds: 4}") as project:
        data = pl.read_csv(tmp_path / "data.csv")
        twice = pl.concat([data, data.with_columns(id=pl.col("id") + 1000)])
        twice.write_csv(tmp_path / "data.csv")
        found = folds(project)
    assert all(one.left > 10 for one in found), "twins in other folds leave"
    for one in found:
        assert one.train + one.left + one.rows.height == sum(other.rows.height for other in found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{folds: 1}", "'folds' of 'evaluate' of model 'm'"),
        ("{time: day}", "needs 'folds'"),
        ("{slises: [kind]}", "Did you mean 'slices'?"),
        ("{slices: [3]}", "must be text"),
    ],
)
def test_mistakes_in_evaluate_are_told_with_their_place(given: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(PLAN.format(learner=TREES, more=f", evaluate: {given}"), Path("/p"), registry())
    assert said in str(caught.value)
    assert "tillage.yaml:5:" in str(caught.value)


def test_evaluate_is_written_as_it_was_read() -> None:
    plan = parse(
        PLAN.format(learner=TREES, more=", evaluate: {slices: [kind], folds: 3, time: day, linear: false}"),
        Path("/p"),
        registry(),
    )
    asked = Evaluation(slices=("kind",), folds=3, time="day", linear=False)
    assert plan.models["m"].evaluation == asked
    again = parse(to_yaml(plan, registry()), Path("/p"), registry())
    assert again.models["m"].evaluation == asked


def test_a_column_that_is_not_there_is_told_before_the_run(tmp_path: Path) -> None:
    said = r"no column 'kinds' for its 'slices'. Did you mean 'kind'"
    with (
        world(tmp_path, TREES, ", evaluate: {slices: [kinds]}") as project,
        pytest.raises(ConfigurationError, match=said),
    ):
        project.check(look=True)


def test_python_asks_for_it_too(tmp_path: Path) -> None:
    import tillage as tl

    world(tmp_path, TREES).close()
    with tl.project(tmp_path):
        rows = tl.collect.files("data.csv", key="id")
        learner = tl.learn.TabularClassifier(input=("x", "z"), target="y", model="linear")
        trained = rows.fit(learner, evaluate=tl.Evaluation(slices=("kind",), folds=3))
        report = trained.project.report(trained.name)  # type: ignore[attr-defined]
    assert {one["value"] for one in report["slices"]["asked"]} == {"p", "q"}
    assert len(report["cross_validation"]["folds"]) == 3


OURS = ("prediction", "confidence", "shares", "baseline", "linear", "linear_shares")
"""What models say, and what a user may call a column all the same."""

NAMED = """\
project: garden
tables:
  plants: {{collect: {{files: plants.csv}}, key: id}}
models:
  tall:
    learn: {{{learner}: {{model: {model}, input: [a, {name}]}}}}
    from: plants
    target: {target}
    {more}
"""


def told_of(root: Path, name: str, learner: str, model: str, target: str, more: str) -> dict[str, Any]:
    root.mkdir()
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 300))
    truth = np.where(a + b + random.normal(0, 0.5, 300) > 0, "yes", "no")
    rows = {"id": range(300), "a": a, name: np.round(b, 1), "hit": truth, "size": 2 * a + b, "g": np.round(3 * a) % 2}
    pl.DataFrame(rows).write_csv(root / "plants.csv")
    (root / "tillage.yaml").write_text(
        NAMED.format(learner=learner, model=model, name=name, target=target, more=more.format(name=name))
    )
    with Project(load(root, registry()), registry()) as project:
        project.run()
        return {k: v for k, v in project.report("tall").items() if k in ("metrics", "baseline", "linear", "slices")}


@pytest.mark.parametrize("model", ["linear", "boosted_trees"])
@pytest.mark.parametrize(("learner", "target", "more"), [
    ("tabular_classifier", "hit", "evaluate: {{slices: [{name}], folds: 2}}"),
    ("tabular_regressor", "size", "split: {{group: {name}}}"),
], ids=["classes", "numbers"])  # fmt: skip
def test_a_column_may_be_called_as_what_models_say(
    tmp_path: Path, learner: str, target: str, more: str, model: str
) -> None:
    wanted = told_of(tmp_path / "plain", "plain", learner, model, target, more)
    for name in OURS:
        got = told_of(tmp_path / name, name, learner, model, target, more)
        for part in ("metrics", "baseline", "linear"):
            assert got[part] == wanted[part], (name, part)
        assert str(got.get("slices")).replace(f"'{name}'", "'plain'") == str(wanted.get("slices"))


TARGETS = """\
project: garden
tables:
  plants: {{collect: {{files: plants.csv}}, key: id}}
models:
  tall:
    learn: {{{learner}: {{model: linear, input: [a, b, g]}}}}
    from: plants
    target: {name}
    evaluate: {{folds: 3, robustness: true, slices: [{name}]}}
  other: {{learn: {{{learner}: {{model: boosted_trees, trees: 5, input: [a, b]}}}}, from: plants, target: {name},
          split: {{like: tall}}}}
"""


def told_of_target(root: Path, name: str, learner: str) -> dict[str, Any]:
    """All that is measured of a model whose target is called so, and the rows that are worth a label."""
    root.mkdir()
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 300))
    truth: Any = 2 * a + b + random.normal(0, 0.5, 300)
    if learner == "tabular_classifier":
        truth = [None if n % 20 == 0 else "yes" if t > 0 else "no" for n, t in enumerate(truth)]
    pl.DataFrame({"id": range(300), "a": a, "b": b, "g": np.round(3 * a) % 2, name: truth}).write_csv(
        root / "plants.csv"
    )
    (root / "tillage.yaml").write_text(TARGETS.format(learner=learner, name=name))
    with Project(load(root, registry()), registry()) as project:
        project.run()
        report = project.report("tall")
        kept = ("metrics", "baseline", "linear", "slices", "cross_validation", "robustness", "importance", "mistakes")
        found = {part: report.get(part) for part in (*kept, "errors", "contributions")}
        found["compared"] = compare(project, "tall", "other")
        if learner == "tabular_classifier":
            worth = to_label(stored(project, "tall"), registry(), 50)
            found["label"] = [
                (f"{r['_id']:032x}", r["why"], r["given"], r["suggested"], r["doubt"])
                for r in worth.rows.select("_id").hstack(worth.told).iter_rows(named=True)
            ]
    return found


@pytest.mark.parametrize("learner", ["tabular_classifier", "tabular_regressor"])
def test_a_target_may_be_called_as_what_models_say(tmp_path: Path, learner: str) -> None:
    wanted = told_of_target(tmp_path / "plain", "plain", learner)
    assert wanted["cross_validation"]["mean"]
    for name in OURS:
        got = told_of_target(tmp_path / name, name, learner)
        for part, value in wanted.items():
            assert str(got[part]).replace(f"'{name}'", "'plain'") == str(value).replace(f"'{name}'", "'plain'"), (
                name,
                part,
            )


@pytest.mark.parametrize(
    ("learner", "seen"),
    [
        ("tabular_classifier, model: boosted_trees, trees: 15, input: [x, z, kind]", "compute"),
        ("tabular_classifier, model: linear, input: [x, z], shards: 2", "train"),
        ("gaussian_naive_bayes, input: [x, z]", "update"),
    ],
    ids=["whole", "shards", "fold"],
)
def test_another_evaluation_trains_nothing_again(
    learner: str, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = registry().find(learner.split(",", maxsplit=1)[0])
    taught: list[int] = []
    whole = getattr(step, seen)

    def counted(self: Any, *given: Any) -> Any:
        taught.append(1)
        return whole(self, *given)

    monkeypatch.setattr(step, seen, counted)
    evaluate = ", evaluate: {{linear: false, explain: false{}}}"
    with world(tmp_path, learner, evaluate.format("")) as project:
        project.run()
        first = project.summary(digest=True)["models"]["m"]
        assert taught
    taught.clear()
    with world(tmp_path, learner, evaluate.format(", slices: [kind], robustness: true")) as project:
        assert [(i.stage, i.why, i.touches) for i in intents(project) if i.runs] == [("m", "its evaluation changed", 0)]
        outcome = project.run()
        assert (outcome.changed, outcome.touched["m"], taught) == (["m"], 0, [])
        second = project.summary(digest=True)["models"]["m"]
        assert (second["digest"], second["metrics"]) == (first["digest"], first["metrics"])
        assert second["version"] == first["version"] + 1
        assert second["looks"] == first["looks"] + 1, "the test part was looked at again"
        report = project.report("m")
        assert report["robustness"]["ways"]
        assert {one["value"] for one in report["slices"]["asked"]} == {"p", "q"}
        assert ("shards" in report) == (seen == "train")
        assert project.run().changed == []
    with world(tmp_path, learner, evaluate.format(", slices: [house]"), count=450) as project:
        project.run()
        grown = project.summary(digest=True)["models"]["m"]
        assert not verify(project.store).findings
    assert taught, "rows came"
    with world(tmp_path / "fresh", learner, evaluate.format(", slices: [house]"), count=450) as project:
        project.run()
        fresh = project.summary(digest=True)["models"]["m"]
        assert (fresh["digest"], fresh["metrics"]) == (grown["digest"], grown["metrics"])
    taught.clear()
    with world(tmp_path, learner.replace("input: [x, z", "input: [z, x"), evaluate.format(""), count=450) as project:
        project.run()
    assert taught, "another model"


@pytest.mark.parametrize("learner", ["tabular_classifier, model: linear", "gaussian_naive_bayes"])
def test_where_leaks_leave_nothing_to_learn_from_it_is_said(learner: str, tmp_path: Path) -> None:
    """Few columns of few values: every training row is like a test row, and none of them is a copy."""
    with world(tmp_path, f"{learner}, input: [kind]") as project:
        with pytest.raises(BadData, match=r"3\d\d training rows were left out, since a test row has") as caught:
            project.run()
        assert "split: {leak: false}" in caught.value.fix
    (tmp_path / "tillage.yaml").write_text(
        PLAN.format(learner=f"{learner}, input: [kind]", more=", split: {leak: false}")
    )
    with Project(load(tmp_path, registry()), registry()) as project:
        project.run()
        assert project.report("m")["train"] > 300


@pytest.mark.parametrize("learner", ["tabular_classifier, model: linear", "gaussian_naive_bayes"])
def test_the_target_may_be_the_subject_of_the_rows(learner: str, tmp_path: Path) -> None:
    plain = report(tmp_path / "a", learner)
    world(tmp_path / "b", learner).close()
    path = tmp_path / "b" / "tillage.yaml"
    path.write_text(path.read_text().replace("key: id}", "key: id, subject: y}"))
    with Project(load(path, registry()), registry()) as project:
        project.run()
        found = project.report("m")
    assert (found["metrics"], found["left"]) == (plain["metrics"], plain["left"])


def test_rows_without_a_target_are_told(tmp_path: Path) -> None:
    with world(tmp_path / "m", TREES) as project:
        rows = pl.read_csv(tmp_path / "m" / "data.csv")
        gaps = rows.with_columns(pl.when(pl.col("id") % 4 > 0).then("y").alias("y"))
        gaps.write_csv(tmp_path / "m" / "data.csv")
        project.run()
        found = project.report("m")
    assert found["left"] == {"unlabelled": 100}
    assert found["train"] + found["test"] == 300
    assert found["test"] > 0
