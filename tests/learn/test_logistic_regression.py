"""Logistic regression in passes: scikit-learn's optimum, the same to the last bit however rows are cut."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression as Solver
from sklearn.preprocessing import StandardScaler
from tests.flow.world import KEY, World, small_chunks, update_equals_rebuild
from tests.learn.test_exact_learners import table

import tillage.learn.logistic_regression as module
from tillage.core.errors import BadData
from tillage.core.state import digest
from tillage.face.rooms import project
from tillage.learn import LogisticRegression, TabularClassifier
from tillage.learn.logistic_passes import Passes, least


def features(rows: pl.DataFrame, shape: StandardScaler) -> Any:
    kinds = [(rows["kind"] == kind).to_numpy() for kind in ("x", "y", "z")]
    return np.column_stack([shape.transform(rows.select("a", "b").to_numpy()), *kinds])


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("target", ["high", "two"])
def test_it_is_scikit_learns(target: str, c: float) -> None:
    seen, held = (table(n, s).with_columns(two=pl.col("high") == "2 much") for n, s in ((400, 1), (50, 2)))
    learner = LogisticRegression(target=target, input=("a", "b", "kind"), regularisation=c)
    model = learner.compute({"rows": seen})
    shape = StandardScaler().fit(seen.select("a", "b").to_numpy())
    oracle = Solver(C=c, tol=1e-10, max_iter=10_000).fit(features(seen, shape), seen[target].cast(pl.String))
    np.testing.assert_allclose(model.shares(held), oracle.predict_proba(features(held, shape)), atol=1e-4)
    assert model.state["converged"]
    assert model.state["rows"] == 400


def cut(rows: pl.DataFrame, size: int) -> Any:
    def parts() -> Iterator[pl.DataFrame]:
        return iter([rows[at : at + size] for at in range(0, rows.height, size)])

    return parts


def test_neither_cuts_nor_order_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLE", 40)
    rows = table(600, 5).with_columns(pl.when(pl.col("a") > 4).then("b").alias("b"))
    for target in ("high", "two"):
        learner = LogisticRegression(target=target, input=("a", "b", "kind"))
        whole = rows.with_columns(two=pl.col("high") == "2 much")
        wanted = digest(learner.compute({"rows": whole}).state)
        for size in (90, 599):
            some = whole.sample(fraction=1, shuffle=True, seed=size)
            assert digest(learner.compute_in_passes(cut(some, size)).state) == wanted, (target, size)


def test_a_sample_is_only_where_it_sets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rows of 20,000 give the curvature, and the optimum is that of all; a rare level is none of theirs."""
    rows = table(20_000, 6).with_columns(
        kind=pl.when(pl.col("_id") % 5000 == 1).then(pl.lit("rare")).otherwise("kind"),
        two=pl.when(pl.col("_id") % 5000 == 1).then(pl.col("_id") == 1).otherwise(pl.col("high") == "2 much"),
    )
    learner = LogisticRegression(target="two", input=("a", "b", "kind"))
    full = learner.compute({"rows": rows})
    monkeypatch.setattr(module, "_SAMPLE_CELLS", 1)
    looked = 0

    def parts() -> Iterator[pl.DataFrame]:
        nonlocal looked
        looked += 1
        return iter(rows.iter_slices(4000))

    some = learner.compute_in_passes(parts)
    assert some.state["converged"]
    np.testing.assert_allclose(some.state["coefficients"], full.state["coefficients"], atol=2e-3)
    assert looked < 15
    other = TabularClassifier(target="two", input=("a", "b", "kind"), model="linear").compute({"rows": rows})
    assert (some.apply(rows)["prediction"] == other.apply(rows)["prediction"]).mean() > 0.999


def test_a_pass_sums_without_rounding() -> None:
    """The gradient equals that of the rounded features and residuals, added up as fractions."""
    random = np.random.default_rng(0)
    matrix, target = random.normal(size=(300, 3)), random.integers(0, 2, 300)
    weights = random.normal(size=(4, 1))
    passes = Passes(lambda: iter([(matrix[:17], target[:17]), (matrix[17:], target[17:])]), 300, 2, 1.0)
    found = passes.loss(weights)
    unit = Fraction(passes._unit)
    whole = np.rint(matrix / passes._unit)
    scores = (np.column_stack([whole * passes._unit, np.ones(300)]) * weights[:, 0]).sum(axis=1)
    residual = np.rint((1 / (1 + np.exp(-scores)) - target) * 2**30)
    for j in range(3):
        total = sum(
            Fraction(int(a)) * unit * Fraction(int(r), 2**30) for a, r in zip(whole[:, j], residual, strict=True)
        )
        wanted = float(total / 300) + passes.penalty * weights[j, 0]
        assert found.gradient[j, 0] == pytest.approx(wanted, rel=1e-12, abs=1e-15)
    losses = np.logaddexp(0, scores) - target * scores
    penalty = passes.penalty / 2 * float((weights[:-1] ** 2).sum())
    assert found.value == pytest.approx(losses.mean() + penalty, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradient_is_that_of_the_loss(classes: int) -> None:
    random = np.random.default_rng(1)
    matrix, target = random.normal(size=(200, 3)), random.integers(0, classes, 200)
    passes = Passes(lambda: iter([(matrix, target)]), 200, classes, 0.1)
    weights = random.normal(size=(4, 1 if classes == 2 else classes))
    found = passes.loss(weights)
    for place in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[place] = 1e-4
        slope = (passes.loss(weights + step).value - passes.loss(weights - step).value) / 2e-4
        assert found.gradient[place] == pytest.approx(slope, abs=2e-5)


def test_a_bad_beginning_is_mended() -> None:
    """From weights that are far off, under a curvature that is all but flat there, steps are made shorter."""
    random = np.random.default_rng(2)
    matrix = random.normal(size=(500, 2))
    target = (matrix[:, 0] + random.normal(size=500) > 0).astype(np.int64)
    passes = Passes(lambda: iter([(matrix, target)]), 500, 2, 1.0)
    far = np.array([[-30.0], [30.0], [5.0]])
    found, converged = least(passes, (matrix, target), far, (matrix**2).mean(axis=0))
    oracle = Solver(tol=1e-10).fit(matrix, target)
    assert converged
    np.testing.assert_allclose(found[:-1, 0], oracle.coef_[0], atol=1e-4)


def test_classes_that_a_line_parts_come_to_an_end() -> None:
    rows = pl.DataFrame({"_id": range(100), "x": range(100), "y": [n > 49 for n in range(100)]})
    model = LogisticRegression(target="y", regularisation=1e6).compute({"rows": rows})
    assert model.apply(rows)["prediction"].to_list() == [str(v).lower() for v in rows["y"]]


def test_what_teaches_nothing_is_refused() -> None:
    rows = pl.DataFrame({"_id": [1, 2], "x": [1.0, 2.0], "y": ["a", None]})
    with pytest.raises(BadData, match="single class 'a'"):
        LogisticRegression(target="y").compute({"rows": rows})
    with pytest.raises(BadData, match="No row has a value"):
        LogisticRegression(target="y").compute({"rows": rows[1:]})
    with pytest.raises(BadData, match="'x' is constant"):
        LogisticRegression(target="y").compute({"rows": rows.with_columns(x=pl.lit(1.0), y=pl.Series(["a", "b"]))})


PLAN = """\
project: passes
tables:
  notes: {collect: {files: {path: "data/*.csv", types: {x: float64}}}, key: id, max_quarantine: 1}
models:
  town: {learn: {logistic_regression: {levels: 3}}, from: notes, input: [x, n, text], target: city,
         split: {test: 0.3, leak: false}}
"""


def test_in_a_plan_an_update_equals_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    update_equals_rebuild(World(tmp_path / "w", 5, PLAN), 4)


def test_a_plan_of_no_row_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    pl.DataFrame({"id": [1], "x": [1], "y": [None]}).write_csv(tmp_path / "a.csv")
    (tmp_path / "tillage.yaml").write_text(
        "project: none\ntables:\n  a: {collect: {files: a.csv}, key: id}\n"
        "models:\n  m: {learn: logistic_regression, from: a, target: y}\n"
    )
    with project(tmp_path) as opened, pytest.raises(BadData, match="No row is left to train on"):
        opened.run()
