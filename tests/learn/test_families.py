"""Each family of models of tables against the library that trains it, and what all of them promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR
from tests.learn.test_every_learner import fit, table

from tillage.core.errors import BadData, UnknownName
from tillage.core.state import decode, digest, encode
from tillage.learn import TabularClassifier, TabularRegressor
from tillage.learn.boosting import Boosting, boosted_scores
from tillage.learn.calibration import calibrated, learn_calibration
from tillage.learn.columns import ColumnWeights
from tillage.learn.examples import Examples, folds_of, groups_of
from tillage.learn.forest import Forest, forest_scores
from tillage.learn.tree_columns import TreeColumns
from tillage.learn.trees import Trees

FAMILIES = ("linear", "boosted_trees", "random_forest", "svm", "mlp")
TASKS: tuple[Any, ...] = (TabularClassifier, TabularRegressor)


def learner(cls: Any, model: str, **more: Any) -> Any:
    small = {"trees": 40} if model in ("boosted_trees", "random_forest") else {}
    return cls(target="y", model=model, **{**small, **more})


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("cls", TASKS)
class TestEvery:
    def test_the_same_again_whatever_the_order(self, cls: Any, model: str) -> None:
        rows = table(120)
        first = digest(fit(learner(cls, model), rows).state)
        assert digest(fit(learner(cls, model), rows.sample(fraction=1, shuffle=True, seed=5)).state) == first

    def test_a_row_is_answered_alone_and_from_a_saved_state(self, cls: Any, model: str) -> None:
        fitted, rows = fit(learner(cls, model), table()), table(40, seed=1).drop("y")
        fitted = type(fitted)(state=decode(encode(fitted.state)))
        whole = fitted.apply(rows)
        assert pl.concat([fitted.apply(rows[i : i + 1]) for i in range(rows.height)]).equals(whole)
        assert fitted.apply(rows.reverse()).reverse().equals(whole)
        assert fitted.apply(rows.clear()).height == 0

    def test_it_learns_and_answers_what_it_never_saw(self, cls: Any, model: str) -> None:
        fitted, rows = fit(learner(cls, model), table(200)), table(200, seed=2)
        guess = fitted.apply(rows)["prediction"].cast(pl.Float64) > 0.5
        assert (guess == (rows["y"] == 1)).sum() > 0.85 * rows.height
        odd = rows.head(4).with_columns(
            pl.Series("kind", [None, "never", "\u4f60", ""]),
            pl.Series("size", [None, float("nan"), float("inf"), -1e308]),
        )
        for unseen in (odd, odd.with_columns(pl.lit(None).alias(c) for c in ("text", "kind", "size", "day", "open"))):
            found = fitted.apply(unseen)["prediction"]
            assert found.null_count() == 0
            assert found.cast(pl.Float64).is_finite().all()
        with pytest.raises(UnknownName, match=fitted.needs()[0]):
            fitted.apply(rows.drop(fitted.needs()[0]))

    def test_the_family_that_was_asked_for_learns(self, cls: Any, model: str) -> None:
        assert fit(learner(cls, model), table()).state["model"] == model


def numbers(rows: int, seed: int, holes: bool = True) -> tuple[Any, Any]:
    """Features of which one has holes and one is a category, and a score that depends on all."""
    random = np.random.default_rng(seed)
    matrix = np.column_stack([random.normal(size=(rows, 3)), random.integers(0, 40, rows)])
    score = matrix[:, 0] * 2 + np.sin(3 * matrix[:, 1]) + (matrix[:, 3] % 3) - 1 + random.normal(0, 0.3, rows)
    if holes:
        matrix[random.random(rows) < 0.2, 0] = np.nan
    return matrix, score


def targets(score: Any, classes: int) -> Any:
    return np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1])) if classes else score


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_boosted_trees_say_what_lightgbm_says(classes: int) -> None:
    import lightgbm

    (matrix, score), (seen, _) = numbers(800, 1), numbers(500, 2)
    seen[:3, 3], seen[3:6, 0] = [-1, 40, 10_000], np.nan
    kinds = [("a", "number"), ("b", "number"), ("c", "number"), ("k", "category")]
    boosting = Boosting(0.1, 15, 3, kinds, {})
    examples = Examples(matrix, targets(score, classes), classes)
    state = boosting.grow(examples, 30)
    made = lightgbm.Dataset(matrix, examples.target, categorical_feature=[3], params={"verbosity": -1})
    booster = lightgbm.train(boosting.parameters(examples), made, 30)
    expected = booster.predict(seen, raw_score=True)
    found = boosted_scores(Trees(state), seen, classes)
    assert state["set_starts"].size > 1, "a category is among the splits"
    assert np.array_equal(found[:, 1] if classes == 2 else found, expected), "to the last bit"
    assert {array.dtype.kind for array in state.values()} <= set("ifb")


def test_a_tree_of_one_leaf_is_a_number() -> None:
    matrix = np.zeros((50, 1))
    state = Boosting(0.1, 15, 0, [("a", "number")], {}).grow(Examples(matrix, np.arange(50.0), 0), 3)
    assert np.allclose(boosted_scores(Trees(state), matrix, 0), 24.5)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_forest_says_what_scikit_learns_says(classes: int) -> None:
    (matrix, score), (seen, _) = numbers(300, 1), numbers(200, 2)
    found = forest_scores(Trees(Forest(10, 5).learn(Examples(matrix, targets(score, classes), classes))), seen, classes)
    if classes:
        oracle = RandomForestClassifier(10, random_state=5).fit(matrix, targets(score, classes))
        assert np.allclose(np.exp(found), np.maximum(oracle.predict_proba(seen), 1e-15), atol=1e-12)
    else:
        plain = RandomForestRegressor(10, random_state=5, max_features=1 / 3).fit(matrix, score)
        assert np.allclose(found, plain.predict(seen), rtol=1e-12)


def as_rows(matrix: Any, target: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {"_id": range(len(matrix)), "a": matrix[:, 0], "b": matrix[:, 1], "c": matrix[:, 2], "y": target}
    )


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_support_vectors_and_networks_say_what_scikit_learns_do(classes: int) -> None:
    (matrix, score), (other, more) = numbers(250, 1, holes=False), numbers(100, 2, holes=False)
    target = targets(score, classes)
    cls: Any = TabularClassifier if classes else TabularRegressor
    rows, seen = as_rows(matrix, target), as_rows(other, targets(more, classes))
    vectors = fit(cls(target="y", model="svm"), rows)
    network = fit(cls(target="y", model="mlp", layers=(8, 4)), rows)
    plain = matrix[:, :3]
    x, z = ((part[:, :3] - plain.mean(axis=0)) / plain.std(axis=0) for part in (matrix, other))
    if not classes:
        middle, spread = target.mean(), target.std()
        svr = SVR(gamma="scale").fit(x, (target - middle) / spread)
        assert np.allclose(vectors.apply(seen)["prediction"], svr.predict(z) * spread + middle, atol=1e-6)
        mlp = MLPRegressor(hidden_layer_sizes=(8, 4), random_state=0)
        with pytest.warns(UserWarning, match="Maximum iterations"):
            mlp.fit(x, (target - middle) / spread)
        assert np.allclose(network.apply(seen)["prediction"], mlp.predict(z) * spread + middle, atol=1e-4)
        return
    answering: Any = vectors._answering  # type: ignore[attr-defined]
    found = answering.scores(seen)
    for k in range(1, 2) if classes == 2 else range(classes):
        svc = SVC(gamma="scale").fit(x, target == k)
        assert np.allclose(found[:, k], svc.decision_function(z), atol=1e-6)
    assert "calibration" in vectors.state
    mlp = MLPClassifier((8, 4), random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        mlp.fit(x, target)
    assert np.allclose(network.apply(seen)["confidence"], mlp.predict_proba(z).max(axis=1), atol=1e-4)


def test_trees_see_columns_as_they_stand() -> None:
    rows = table(120).with_columns(
        prose=pl.format("the number {} of {} them {}", pl.int_range(120) % 9, pl.int_range(120), "kind")
    )
    fitted = fit(learner(TabularClassifier, "boosted_trees"), rows)
    columns = TreeColumns(fitted.state["columns"])
    matrix, names = columns.matrix(rows), columns.names()
    assert matrix.shape == (120, len(names))
    at = {name: place for place, (name, kind) in enumerate(names) if kind in ("number", "category")}
    assert np.array_equal(np.isnan(matrix[:, at["size"]]), rows["size"].is_null().to_numpy())
    assert set(matrix[rows["kind"].is_null().to_numpy(), at["kind"]]) == {3.0}
    assert {kind for name, kind in names if name == "day"} == {"number", "part"}
    words = next(c["words"] for c in fitted.state["columns"] if c["name"] == "prose")
    assert "the" not in words, "it is in every row"
    assert "3" in words


def crossed(rows: int, seed: int) -> pl.DataFrame:
    """What no linear model can tell: whether two numbers have one sign."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    return pl.DataFrame({"_id": range(rows), "a": a, "b": b, "y": (a * b > 0).astype(int)})


def straight(rows: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    return pl.DataFrame({"_id": range(rows), "a": a, "b": b, "y": (a + b + random.normal(0, 1, rows) > 0).astype(int)})


@pytest.mark.parametrize("cls", TASKS)
def test_auto_finds_the_better_one(cls: Any) -> None:
    assert fit(cls(target="y"), crossed(400, 1)).state["model"] == "boosted_trees"
    assert fit(cls(target="y"), straight(400, 1)).state["model"] == "linear"
    assert fit(cls(target="y"), crossed(40, 1)).state["model"] == "linear", "too few rows to ask"
    as_told = fit(cls(target="y", trees=25), crossed(400, 1))
    assert len(as_told.state["roots"]) == 25
    assert digest(as_told.state) == digest(fit(cls(target="y", trees=25, model="boosted_trees"), crossed(400, 1)).state)


def test_many_classes_stay_linear() -> None:
    rows = crossed(400, 1).with_columns(y=pl.col("_id") % 40)
    assert fit(TabularClassifier(target="y"), rows).state["model"] == "linear"


def test_auto_is_what_it_chose() -> None:
    for rows, name in ((crossed(400, 1), "boosted_trees"), (straight(400, 1), "linear")):
        chosen = fit(TabularClassifier(target="y"), rows).state
        assert digest(chosen) == digest(fit(TabularClassifier(target="y", model=name), rows).state)


def test_groups_are_not_torn() -> None:
    """A number that tells the group tells the class of its other rows: of use to trees until groups stay whole."""
    random = np.random.default_rng(1)
    of = np.repeat(np.arange(60), 8)
    high = random.integers(0, 2, 60)[of]
    rows = pl.DataFrame({"_id": range(480), "of": [f"g{n}" for n in of], "place": of * 1.0, "y": high})
    assert fit(TabularClassifier(target="y", input="place"), rows).state["model"] == "boosted_trees"
    step = TabularClassifier(target="y", input="place", group="of")
    assert fit(step, rows).state["model"] == "linear"
    assert step.needs() == ("place", "of", "y")
    assert fit(TabularClassifier(target="y", group="of"), rows).state["input"] == ["place"]
    folds = folds_of(rows, high, 2, groups_of(rows, "of"), 5)
    assert pl.DataFrame({"of": of, "fold": folds}).group_by("of").n_unique()["fold"].max() == 1
    with pytest.raises(UnknownName, match="none"):
        fit(TabularClassifier(target="y", group="none"), rows)


def test_folds_hold_their_share_of_each_class() -> None:
    target = np.array([0] * 50 + [1] * 10 + [2])
    rows = pl.DataFrame({"_id": pl.Series(range(61), dtype=pl.UInt128)})
    folds = folds_of(rows, target, 3, None, 5)
    assert np.bincount(folds[:50]).tolist() == [10] * 5
    assert np.bincount(folds[50:60]).tolist() == [2] * 5
    assert folds[60] == -1
    order = np.random.default_rng(0).permutation(61)
    assert np.array_equal(folds_of(rows[order], target[order], 3, None, 5), folds[order])


def test_a_model_of_another_family_is_not_resumed() -> None:
    rows = straight(300, 1)
    step = TabularClassifier(target="y", model="linear", slices=2)
    forest = fit(TabularClassifier(target="y", model="random_forest", trees=3), rows).state
    assert digest(step.train(rows, forest)) == digest(step.train(rows, None))


def test_monotone_rises_where_it_must() -> None:
    random = np.random.default_rng(1)
    x = random.uniform(0, 10, 500)
    rows = pl.DataFrame({"_id": range(500), "x": x, "k": random.choice(["a", "b"], 500), "y": np.sin(x) + x / 5})
    grid = pl.DataFrame({"x": np.linspace(0, 10, 200), "k": "a"})
    free = fit(TabularRegressor(target="y", model="boosted_trees"), rows).apply(grid)["prediction"].diff().min()
    step = TabularRegressor(target="y", model="boosted_trees", monotone={"x": 1})
    assert fit(step, rows).apply(grid)["prediction"].diff().min() >= 0  # type: ignore[operator]
    assert free < -0.1  # type: ignore[operator]
    with pytest.raises(BadData, match="'monotone' names 'k', which is no column of numbers"):
        fit(TabularRegressor(target="y", model="boosted_trees", monotone={"k": 1}), rows)
    with pytest.raises(ValidationError, match="add 'model: boosted_trees'"):
        TabularRegressor(target="y", monotone={"x": 1})


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("classes", [2, 3])
def test_calibrated_shares_come_true(method: str, classes: int) -> None:
    random = np.random.default_rng(1)
    true = random.dirichlet(np.ones(classes), 4000)
    hit = np.array([random.choice(classes, p=share) for share in true])
    sharp = true**3 / (true**3).sum(axis=1, keepdims=True)  # three times too sure of itself
    state = decode(encode(learn_calibration(sharp[:2000], hit[:2000], method)))
    found = calibrated(state, sharp[2000:])
    assert np.allclose(found.sum(axis=1), 1)
    assert log_loss(hit[2000:], found) < log_loss(hit[2000:], sharp[2000:]) - 0.02
    assert log_loss(hit[2000:], found) < log_loss(hit[2000:], true[2000:]) + 0.03
    if method == "isotonic":
        doubt = 1 / 2002
        oracle = IsotonicRegression(y_min=doubt, y_max=1 - doubt, out_of_bounds="clip").fit(
            sharp[:2000, 1], hit[:2000] == 1
        )
        if classes == 2:
            assert np.allclose(found[:, 1], oracle.predict(sharp[2000:, 1]))


def test_a_calibrated_model_is_less_sure_of_noise() -> None:
    random = np.random.default_rng(1)
    rows = straight(600, 1).with_columns(y=random.integers(0, 2, 600))
    sure = fit(TabularClassifier(target="y", model="random_forest", trees=20), rows).apply(rows)["confidence"].mean()
    step = TabularClassifier(target="y", model="random_forest", trees=20, calibrate="sigmoid")
    put_right = fit(step, rows).apply(rows)["confidence"].mean()
    assert sure > 0.75  # type: ignore[operator]
    assert put_right < 0.6  # type: ignore[operator]


@pytest.mark.parametrize("model", ["boosted_trees", "random_forest", "svm", "mlp"])
def test_rare_classes_weigh_more_when_balanced(model: str) -> None:
    rows = straight(400, 3).filter((pl.col("y") == 0) | (pl.col("_id") % 6 == 0))

    def predicted(weight: Any) -> int:
        found = fit(learner(TabularClassifier, model, class_weight=weight), rows).apply(straight(200, 4))
        return int((found["prediction"] == "1").sum())

    assert predicted("balanced") > predicted(None) or model == "svm"  # calibration undoes the weights of a machine


def test_bounds() -> None:
    for wrong in (
        {"model": "trees"},
        {"trees": 0},
        {"leaves": 1},
        {"layers": ()},
        {"layers": (0,)},
        {"calibrate": "x"},
    ):
        with pytest.raises(ValidationError):
            TabularClassifier.model_validate({"target": "y", **wrong})
    with pytest.raises(BadData, match="20,000 are the most"):
        fit(TabularClassifier(target="y", model="svm"), straight(20_001, 1))


def test_threads_and_hash_seeds_change_nothing() -> None:
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from tests.learn.test_families import FAMILIES, TASKS, digest, fit, learner, table\n"
        "print(json.dumps([digest(fit(learner(c, m), table()).state) for m in FAMILIES for c in TASKS]))"
    )
    own = [digest(fit(learner(c, m), table()).state) for m in FAMILIES for c in TASKS]
    env = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "9"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sys.path)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == own


def test_sparse_and_dense_columns_agree_on_what_there_is() -> None:
    rows = table(100)
    state = fit(learner(TabularClassifier, "svm"), rows).state
    assert ColumnWeights(state["columns"]).matrix(rows).shape[1] == state["vectors"]["shape"][1]
