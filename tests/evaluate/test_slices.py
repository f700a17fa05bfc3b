"""Slices: what a part of the rows scores, and no alarm where chance does as much."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tillage.evaluate import ClassificationReport, RegressionReport
from tillage.evaluate.slices import Losses, slices


def rows_of(count: int, seed: int, **columns: Any) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    truth = random.choice(["a", "b"], count)
    ids = pl.Series(random.permutation(count).tolist(), dtype=pl.UInt128)
    base = {"_id": ids, "y": truth, "prediction": truth, "baseline": "a"}
    return pl.DataFrame({**base, **columns})


def wrong(rows: pl.DataFrame, where: pl.Expr, share: float, seed: int = 5) -> pl.DataFrame:
    """So large a share of those rows is predicted wrongly."""
    hit = pl.Series(np.random.default_rng(seed).random(rows.height) < share)
    other = pl.when(pl.col("y") == "a").then(pl.lit("b")).otherwise(pl.lit("a"))
    return rows.with_columns(prediction=pl.when(where & hit).then(other).otherwise("prediction"))


def test_a_planted_weakness_is_named_with_support_and_interval() -> None:
    random = np.random.default_rng(0)
    columns = {f"c{k}": random.choice(["p", "q", "r"], 1200) for k in range(6)}
    rows = wrong(rows_of(1200, 1, **columns), pl.lit(value=True), 0.1)
    rows = wrong(rows, pl.col("c2") == "q", 0.3, seed=6)
    found = ClassificationReport(target="y", features=tuple(columns)).compute({"rows": rows})
    assert [(s["column"], s["value"]) for s in found["slices"]["worst"]] == [("c2", "q")]
    (worst,) = found["slices"]["worst"]
    inside = rows.filter(pl.col("c2") == "q")
    hits = int((inside["y"] == inside["prediction"]).sum())
    assert worst["rows"] == inside.height
    assert worst["score"] == pytest.approx(hits / inside.height)
    expected = stats.binomtest(hits, inside.height).proportion_ci(method="wilson")
    assert worst["interval"] == pytest.approx([expected.low, expected.high])
    assert found["slices"]["looked"] == 18
    assert sum("Worse where 'c2' is 'q'" in w for w in found["warnings"]) == 1


def test_no_wolf_is_cried_where_nothing_is_worse() -> None:
    cried = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        value = (random.random(600) < 0.2).astype(float)
        seen = [pl.Series(f"c{k}", random.choice(["p", "q", "r", "s"], 600)) for k in range(8)]
        cried += bool(slices([], seen, Losses("accuracy", value), lambda inside: {})["worst"])
    assert cried <= 6, "5 % of 60 worlds would be 3"


def test_few_rows_and_small_differences_are_not_named() -> None:
    seen = [pl.Series("c", ["p"] * 19 + ["q"] * 981)]
    value = np.array([1.0] * 19 + [0.0] * 981)
    assert slices([], seen, Losses("accuracy", value), lambda inside: {})["worst"] == []
    value = np.tile([1.0, 0.0], 50_000)
    value[:1500:2] = 1.0
    value[1:1500:2] = np.arange(750) % 8 == 0
    seen = [pl.Series("c", ["p"] * 1500 + ["q"] * 98_500)]
    found = slices([], seen, Losses("accuracy", value), lambda inside: {})
    assert found["worst"] == [], "surely worse, but by an eighth"
    (p,) = [s["p"] for s in slices(seen, [], Losses("accuracy", value), lambda i: {})["asked"] if s["value"] == "p"]
    assert p < 0.01


def test_rows_of_one_group_are_not_many_witnesses() -> None:
    """One poor group of 60 rows within a slice: rows would be sure, its group is one."""
    group = np.repeat(np.arange(20), 60)
    value = np.where(group == 3, 1.0, 0.0)
    value[::10] = 1.0
    seen = [pl.Series("c", np.where(group < 10, "p", "q"))]
    assert slices([], seen, Losses("accuracy", value), lambda inside: {})["worst"]
    assert not slices([], seen, Losses("accuracy", value, group), lambda inside: {})["worst"]


def test_slices_asked_for_are_all_shown_numbers_by_quarter() -> None:
    rows = rows_of(400, 3, age=np.arange(400) % 97, town=["Ulm", None, "Rome", "Rome"] * 100)
    rows = wrong(rows, pl.col("town") == "Rome", 0.5)
    found = ClassificationReport(target="y", slices=("age", "town")).compute({"rows": rows})["slices"]
    assert [(s["value"], s["rows"]) for s in found["asked"] if s["column"] == "town"] == [
        ("Rome", 200), ("(missing)", 100), ("Ulm", 100),
    ]  # fmt: skip
    ages = [s for s in found["asked"] if s["column"] == "age"]
    assert len(ages) == 4
    assert sum(s["rows"] for s in ages) == 400
    low = rows.filter(pl.col("age") <= rows["age"].quantile(0.25, "nearest"))
    (first,) = [s for s in ages if s["value"].startswith("up to")]
    assert first["rows"] == low.height
    assert first["score"] == pytest.approx((low["y"] == low["prediction"]).mean())
    assert all(s["macro_f1"] <= 1 for s in found["asked"])


def test_numbers_are_sliced_by_their_error() -> None:
    random = np.random.default_rng(8)
    noise = random.normal(0, 1, 900)
    kind = np.tile(["x", "y", "z"], 300)
    truth = random.normal(0, 5, 900)
    rows = pl.DataFrame(
        {
            "_id": pl.Series(range(900), dtype=pl.UInt128),
            "y": truth,
            "prediction": truth + noise * np.where(kind == "z", 2, 1),
            "baseline": 0.0,
            "kind": kind,
        }
    )
    found = RegressionReport(target="y", features=("kind",), slices=("kind",)).compute({"rows": rows})
    assert [s["value"] for s in found["slices"]["worst"]] == ["z"]
    (z,) = [s for s in found["slices"]["asked"] if s["value"] == "z"]
    off = np.abs(noise[kind == "z"] * 2)
    assert z["score"] == pytest.approx(off.mean())
    expected = stats.t.interval(0.95, 299, off.mean(), stats.sem(off))
    assert z["interval"] == pytest.approx(list(expected))


def test_a_linear_model_stands_beside_and_is_compared_in_pairs() -> None:
    rows = wrong(rows_of(500, 4), pl.lit(value=True), 0.1)
    rows = rows.with_columns(linear=wrong(rows_of(500, 4), pl.lit(value=True), 0.25, seed=9)["prediction"])
    found = ClassificationReport(target="y").compute({"rows": rows})
    a, b = ((rows["y"] == rows[c]).to_numpy() for c in ("prediction", "linear"))
    assert found["linear"]["metrics"]["accuracy"] == pytest.approx(b.mean())
    compared = found["linear"]["compared"]
    alone = (int((a & ~b).sum()), int((b & ~a).sum()))
    assert compared["p"] == pytest.approx(stats.binomtest(alone[0], sum(alone)).pvalue)
    assert compared["difference"] == pytest.approx(a.mean() - b.mean())
    assert not any("linear model" in w for w in found["warnings"])
    same = ClassificationReport(target="y").compute({"rows": rows.with_columns(prediction="linear")})
    assert any("not surely better than" in w for w in same["warnings"])
    turned = ClassificationReport(target="y").compute({"rows": rows.with_columns(prediction="linear", linear="y")})
    assert any("surely worse than" in w for w in turned["warnings"])
    assert "linear" not in ClassificationReport(target="y").compute({"rows": rows.drop("linear")})
