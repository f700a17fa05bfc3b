"""Vectors as features of tables: against scikit-learn on the components, and what is missing or of another length."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tillage.core.errors import BadData
from tillage.learn import TabularClassifier, TabularRegressor
from tillage.learn.columns import ColumnWeights, features, learn_columns
from tillage.learn.tree_columns import TreeColumns, for_trees

WIDTH = 70


def table(count: int = 200, width: int = WIDTH, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    vectors = random.normal(3, 2, size=(count, width)).astype(np.float32)
    towards = np.random.default_rng(99).normal(size=width)
    score = (vectors - 3) @ towards
    return pl.DataFrame(
        {
            "_id": pl.Series(range(seed * count, (seed + 1) * count), dtype=pl.UInt128),
            "v": pl.Series(vectors, dtype=pl.Array(pl.Float32, width)),
            "y": np.where(score > 0, "up", "down"),
            "n": score,
        }
    )


def test_a_linear_model_is_scikit_learn_s_on_scaled_components() -> None:
    rows, new = table(), table(seed=1)
    model = TabularClassifier(input="v", target="y", model="linear").compute({"rows": rows})
    scaler = StandardScaler().fit(rows["v"].to_numpy().astype(np.float64))
    solver = LogisticRegression(max_iter=1000, tol=1e-6).fit(
        scaler.transform(rows["v"].to_numpy().astype(np.float64)), rows["y"]
    )
    wanted = solver.predict_proba(scaler.transform(new["v"].to_numpy().astype(np.float64))).max(axis=1)
    found = model.apply(new)
    assert np.abs(found["confidence"].to_numpy() - wanted).max() < 1e-4
    assert (found["prediction"] == new["y"]).mean() > 0.8
    alone = pl.concat([model.apply(new[n : n + 1]) for n in range(new.height)])
    assert alone.equals(found)


def test_components_and_what_is_missing() -> None:
    rows = pl.DataFrame(
        {"v": pl.Series([[1.0, 5.0], None, [3.0, 5.0]], dtype=pl.Array(pl.Float32, 2)), "n": [1.0, 2.0, 3.0]}
    )
    learnt = learn_columns(rows, ["v", "n"])
    assert features(learnt)[:3] == ['["v", "component", "0"]', '["v", "component", "1"]', '["v", "missing"]']
    found = ColumnWeights(learnt).matrix(rows).toarray()
    assert found[:, :3].tolist() == [[-1, 0, 0], [0, 0, 1], [1, 0, 0]]
    trees = TreeColumns(for_trees(learnt))
    assert [kind for _, kind in trees.names()] == ["component"] * 3 + ["number"]
    assert trees.matrix(rows)[:, :3].tolist() == [[1, 5, 0], [2, 5, 1], [3, 5, 0]]
    nothing = rows.with_columns(v=pl.lit(None))
    assert ColumnWeights(learnt).matrix(nothing).toarray()[:, :3].tolist() == [[0, 0, 1]] * 3


def test_vectors_of_another_length_and_constant_ones_are_refused() -> None:
    model = TabularClassifier(input="v", target="y", model="linear").compute({"rows": table()})
    with pytest.raises(BadData, match="vectors of 70 numbers, and holds"):
        model.apply(table(width=3))
    with pytest.raises(BadData, match="'v' is constant"):
        TabularClassifier(input="v", target="y").compute({"rows": table().with_columns(v=pl.col("v").first())})


@pytest.mark.parametrize("model", ["auto", "boosted_trees", "svm", "mlp", "random_forest"])
def test_every_family_takes_them(model: Any) -> None:
    rows, new = table(width=4), table(width=4, seed=1)
    sort = TabularClassifier(input="v", target="y", model=model).compute({"rows": rows}).apply(new)
    guess = TabularRegressor(input="v", target="n", model=model).compute({"rows": rows}).apply(new)
    assert (sort["prediction"] == new["y"]).mean() > 0.7
    wrong, spread = guess["prediction"].to_numpy() - new["n"].to_numpy(), new["n"].to_numpy().std()
    assert np.sqrt((wrong**2).mean()) < 0.8 * spread
