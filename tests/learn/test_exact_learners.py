"""The learners that are Folds over columns against scikit-learn's, and that a row which goes leaves nothing behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge as Solver
from sklearn.naive_bayes import CategoricalNB, GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tillage.core.errors import BadData
from tillage.core.state import digest
from tillage.learn import GaussianNaiveBayes, LinearDiscriminant, Ridge

LEARNERS: list[Any] = [Ridge, GaussianNaiveBayes, LinearDiscriminant]


def table(count: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    a, b = random.normal(5, 2, count), random.exponential(1000, count)
    kind = random.choice(["x", "y", "z"], count)
    amount = 3 * a - b / 500 + 4 * (kind == "y") + random.normal(0, 0.5, count)
    return pl.DataFrame(
        {
            "_id": pl.Series(range(count), dtype=pl.UInt128),
            "a": a,
            "b": b,
            "kind": kind,
            "y": amount,
            "high": np.where(amount > 15, "2 much", np.where(amount > 11, "1 some", "0 little")),
        }
    )


def learnt(learner: Any, rows: pl.DataFrame) -> Any:
    return learner.finish(learner.update(learner.start(), rows))


@pytest.mark.parametrize("alpha", [1e-6, 1.0, 300.0])
def test_ridge_is_scikit_learns(alpha: float) -> None:
    seen, held = table(200, 1), table(50, 2)
    model = learnt(Ridge(target="y", input=("a", "b", "kind"), alpha=alpha), seen)
    shape = StandardScaler().fit(seen.select("a", "b").to_numpy())

    def matrix(rows: pl.DataFrame) -> Any:
        kinds = [(rows["kind"] == kind).to_numpy() for kind in ("x", "y", "z")]
        return np.column_stack([shape.transform(rows.select("a", "b").to_numpy()), *kinds])

    oracle = Solver(alpha=alpha, solver="svd").fit(matrix(seen), seen["y"])
    np.testing.assert_allclose(model.apply(held)["prediction"], oracle.predict(matrix(held)), rtol=1e-9)


def test_gaps_are_filled_with_the_mean_and_are_a_feature() -> None:
    hole = pl.Series(np.random.default_rng(3).random(200) < 0.2)
    seen = table(200, 1).with_columns(pl.when(~hole).then("a").alias("a"))
    model = learnt(Ridge(target="y", input=("a", "b"), alpha=1.0), seen)
    filled = seen.with_columns(pl.col("a").fill_null(pl.col("a").mean()), gap=pl.col("a").is_null().cast(pl.Float64))
    scaled = StandardScaler().fit_transform(filled.select("a", "b").to_numpy())
    matrix = np.column_stack([scaled, filled["gap"]])
    oracle = Solver(alpha=1.0, solver="svd").fit(matrix, seen["y"])
    np.testing.assert_allclose(model.apply(seen)["prediction"], oracle.predict(matrix), rtol=1e-9)


@pytest.mark.parametrize("smoothing", [1e-9, 0.1])
def test_gaussian_naive_bayes_is_scikit_learns(smoothing: float) -> None:
    seen, held = table(200, 1), table(50, 2)
    model = learnt(GaussianNaiveBayes(target="high", input=("a", "b"), smoothing=smoothing), seen)
    oracle = make_pipeline(StandardScaler(), GaussianNB(var_smoothing=smoothing))
    oracle.fit(seen.select("a", "b").to_numpy(), seen["high"])
    shares = oracle.predict_proba(held.select("a", "b").to_numpy())
    np.testing.assert_allclose(model.shares(held), shares, rtol=1e-7, atol=1e-12)


def test_its_categories_are_counted() -> None:
    seen, held = table(200, 1), table(50, 2)
    model = learnt(GaussianNaiveBayes(target="high", input="kind", alpha=0.5), seen)
    codes = {"x": 0, "y": 1, "z": 2}
    oracle = CategoricalNB(alpha=0.5).fit(seen.select(pl.col("kind").replace_strict(codes)).to_numpy(), seen["high"])
    shares = oracle.predict_proba(held.select(pl.col("kind").replace_strict(codes)).to_numpy())
    np.testing.assert_allclose(model.shares(held), shares, rtol=1e-12)


@pytest.mark.parametrize("target", ["high", "two"])
def test_linear_discriminant_is_scikit_learns(target: str) -> None:
    seen, held = (table(n, s).with_columns(two=pl.col("high") == "2 much") for n, s in ((200, 1), (50, 2)))
    model = learnt(LinearDiscriminant(target=target, input=("a", "b"), alpha=1e-9), seen)
    oracle = LinearDiscriminantAnalysis(solver="lsqr").fit(seen.select("a", "b").to_numpy(), seen[target])
    shares = oracle.predict_proba(held.select("a", "b").to_numpy())
    np.testing.assert_allclose(model.shares(held), shares, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("cls", LEARNERS)
def test_a_world_without_the_row_has_the_same_model(cls: Any) -> None:
    """Whatever was unheard of but for that row is gone as well: its level, its gap, its many values."""
    learner = cls(target="y" if cls is Ridge else "high", levels=3)
    rows = table(30, 4).with_columns(pl.lit("2024-01-05").alias("day"), pl.lit(None, dtype=pl.Float64).alias("late"))
    rows = rows.drop("high" if cls is Ridge else "y")
    odd = rows[:1].with_columns(
        pl.lit(99, dtype=pl.UInt128).alias("_id"),
        kind=pl.lit("w"),
        day=pl.lit("never"),
        a=pl.lit(None, dtype=pl.Float64),
        late=pl.lit(1e300),
    )
    parts = [learner.update(learner.start(), part) for part in (rows[:10], rows[10:])]
    with_it = learner.merge(learner.merge(parts[0], learner.update(learner.start(), odd)), parts[1])
    without = learner.merge(parts[1], parts[0])
    assert digest(without) == digest(learner.update(learner.start(), rows.reverse()))
    assert digest(with_it) == digest(learner.update(learner.start(), pl.concat([odd, rows])))
    first, second = learner.finish(with_it).state, learner.finish(without).state
    kinds = [{c["name"]: c["kind"] for c in s["columns"]} for s in (first, second)]
    assert (kinds[0]["kind"], kinds[0]["day"], kinds[0]["late"]) == ("dropped", "category", "number")
    assert (kinds[1]["kind"], kinds[1]["day"], kinds[1]["late"]) == ("category", "dropped", "dropped")
    assert digest(second) == digest(learnt(learner, rows).state) != digest(first)


@pytest.mark.parametrize("cls", LEARNERS)
def test_dates_teach_month_weekday_and_hour(cls: Any) -> None:
    hours = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 30), "1h", eager=True)
    rush = hours.dt.hour() >= 12
    rows = pl.DataFrame({"_id": range(len(hours)), "at": hours, "y": rush.cast(pl.Int64)})
    for frame in (rows, rows.with_columns(pl.col("at").dt.to_string("%Y-%m-%dT%H:%M"))):
        model = learnt(cls(target="y", levels=20), frame)
        assert [(c["kind"], c["dtype"], c["parts"]) for c in model.state["columns"]] == [
            ("number", "date", ["weekday", "hour"])
        ]
        right = (model.apply(frame)["prediction"].cast(pl.Float64) > 0.5) == rush
        assert right.mean() > 0.95


@pytest.mark.parametrize("cls", LEARNERS)
def test_a_column_of_two_minds_is_refused(cls: Any) -> None:
    learner = cls(target="high" if cls is not Ridge else "y", input=("a",))
    state = learner.update(learner.start(), table(5, 0))
    both = learner.update(state, table(5, 0).with_columns(pl.lit("many").alias("a")))
    with pytest.raises(BadData, match="'a' holds number in some rows and text in others"):
        learner.finish(both)


def test_the_group_of_a_split_is_no_feature() -> None:
    assert learnt(Ridge(target="y", group="kind"), table(20, 0)).needs() == ("a", "b", "high")
