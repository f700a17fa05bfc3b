"""Contributions against LightGBM's own, and by the definition of the Shapley value."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest

from tillage.learn import TabularClassifier, TabularRegressor, TextClassifier
from tillage.learn.boosting import Boosting
from tillage.learn.examples import Examples
from tillage.learn.tree_shap import tree_shap

KINDS = [("a", "number"), ("b", "number"), ("c", "number"), ("d", "category"), ("e", "number")]


def data(count: int = 500) -> tuple[Any, Any]:
    """Numbers, some missing, and a category; and a score of two of them together."""
    random = np.random.default_rng(0)
    matrix = random.normal(size=(count, 5))
    matrix[random.random((count, 5)) < 0.1] = np.nan
    matrix[:, 3] = random.integers(-1, 5, count)
    score = np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1]) + 2 * (matrix[:, 3] == 2)
    return matrix, score


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_they_are_lightgbms(classes: int) -> None:
    matrix, score = data()
    target = score if not classes else np.digitize(score, [0.3] if classes == 2 else [-0.3, 0.3])
    boosting, examples = Boosting(0.1, 15, 0, KINDS, {}), Examples(matrix, target, classes)
    booster = lightgbm.train(boosting.parameters(examples), boosting._set(examples), 30)
    outputs = classes if classes > 2 else 1
    values, base = tree_shap(boosting.grow(examples, 30), matrix[:60], matrix, outputs)
    expected = np.asarray(booster.predict(matrix[:60], pred_contrib=True)).reshape(60, outputs, 6)
    assert values.transpose(0, 2, 1) == pytest.approx(expected[:, :, :5], abs=1e-10)
    assert base == pytest.approx(expected[0, :, 5])
    raw = np.asarray(booster.predict(matrix[:60], raw_score=True)).reshape(60, outputs)
    assert values.sum(axis=1) + base == pytest.approx(raw)


def test_a_small_tree_by_all_orders_in_which_columns_become_known() -> None:
    """Two columns, known in either order; what is not known follows the background."""
    random = np.random.default_rng(3)
    matrix = random.normal(size=(200, 2))
    examples = Examples(matrix, matrix[:, 0] * matrix[:, 1], 0)
    boosting = Boosting(1.0, 4, 0, KINDS[:2], {})
    booster = lightgbm.train(boosting.parameters(examples), boosting._set(examples), 1)
    (tree,) = booster.dump_model()["tree_info"]

    def expected(node: dict[str, Any], row: Any, known: frozenset[int]) -> float:
        if "leaf_value" in node:
            return float(node["leaf_value"])
        left, right = node["left_child"], node["right_child"]
        if node["split_feature"] in known:
            return expected(left if row[node["split_feature"]] <= node["threshold"] else right, row, known)
        weights = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
        parts = [expected(child, row, known) for child in (left, right)]
        return float(np.average(parts, weights=weights))

    values, _ = tree_shap(boosting.grow(examples, 1), matrix[:10], matrix, 1)
    for row, found in zip(matrix[:10], values[:, :, 0], strict=True):
        for column in (0, 1):
            gains = []
            for order in permutations((0, 1)):
                before = frozenset(order[: order.index(column)])
                gains.append(expected(tree["tree_structure"], row, before | {column}))
                gains[-1] -= expected(tree["tree_structure"], row, before)
            assert found[column] == pytest.approx(np.mean(gains))


def rows_of(count: int = 200) -> pl.DataFrame:
    matrix, score = data(count)
    kind = [None if v < 0 else "pqrst"[int(v)] for v in matrix[:, 3]]
    frame = pl.DataFrame({"_id": range(count), "a": matrix[:, 0], "b": matrix[:, 1], "kind": kind})
    return frame.with_columns(
        pl.col("a", "b").fill_nan(None), y=pl.Series(score), label=pl.Series(np.where(score > 0.3, "up", "down"))
    )


@pytest.mark.parametrize("model", ["linear", "boosted_trees"])
def test_they_add_up_to_the_score_by_column(model: str) -> None:
    rows = rows_of()
    regressor = TabularRegressor(target="y", input=("a", "b", "kind"), model=model, trees=20)
    numbers = regressor.compute({"rows": rows})
    found = numbers.contributions(rows.head(20), rows)
    assert found is not None
    columns, values, base = found
    assert columns == ["a", "b", "kind"]
    predicted = numbers.apply(rows.head(20))["prediction"].to_numpy()
    assert values[:, :, 0].sum(axis=1) + base[0] == pytest.approx(predicted)
    classifier = TabularClassifier(target="label", input=("a", "b", "kind"), model=model, trees=20)
    classes = classifier.compute({"rows": rows})
    found = classes.contributions(rows.head(20), rows)
    assert found is not None
    share = classes.shares(rows.head(20))
    assert found[1][:, :, 0].sum(axis=1) + found[2][0] == pytest.approx(np.log(share[:, 1] / share[:, 0]))


def test_a_linear_models_are_coefficient_times_distance() -> None:
    random = np.random.default_rng(4)
    x, z = random.normal(size=(2, 300))
    rows = pl.DataFrame({"_id": range(300), "x": x, "z": z, "y": 3 * x - z})
    found = TabularRegressor(target="y", model="linear", alpha=1e-9).compute({"rows": rows}).contributions(rows, rows)
    assert found is not None
    assert found[1][:, 0, 0] == pytest.approx(3 * (x - x.mean()), abs=1e-5)
    assert found[1][:, 1, 0] == pytest.approx(-(z - z.mean()), abs=1e-5)


def test_other_models_say_that_they_have_none() -> None:
    rows = rows_of()
    forest = TabularRegressor(target="y", input=("a", "b"), model="random_forest", trees=3).compute({"rows": rows})
    assert forest.contributions(rows, rows) is None
    sharded = TabularRegressor(target="y", input=("a", "b"), model="linear", shards=2).compute({"rows": rows})
    assert sharded.contributions(rows, rows) is None
    texts = rows.with_columns(text=pl.format("{} {}", "kind", "label"))
    assert not hasattr(TextClassifier(input="text", target="label").compute({"rows": texts}), "contributions")
