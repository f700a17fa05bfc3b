"""Clusters that were planted are found, as scikit-learn finds them; and what is said of them is so."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.preprocessing import StandardScaler

from tillage.core.errors import BadData, ConfigurationError, UnknownName
from tillage.core.state import digest
from tillage.learn import ClusterReport, Hdbscan, Kmeans
from tillage.learn.kmeans import nearest

EVERY: list[Any] = [Kmeans, Hdbscan]


def planted(count: int = 300, seed: int = 0) -> tuple[pl.DataFrame, Any]:
    """Three clouds of unequal size, 3 to 2 to 1."""
    random = np.random.default_rng(seed)
    of = np.repeat([0, 1, 2], [count // 2, count // 3, count - count // 2 - count // 3])
    middle = np.array([[0.0, 0.0], [10.0, 100.0], [-10.0, 120.0]])
    x = middle[of] + random.normal(size=(count, 2)) * [1, 10]
    rows = pl.DataFrame(
        {"_id": pl.Series(np.arange(count) * 7919 % 2**31, dtype=pl.UInt128), "a": x[:, 0], "b": x[:, 1]}
    )
    return rows, of


def fitted(step: Any, rows: pl.DataFrame) -> Any:
    return step.finish(step.update(step.start(), rows))


@pytest.mark.parametrize("cls", EVERY)
def test_what_was_planted_is_found(cls: Any) -> None:
    rows, of = planted()
    model = fitted(cls(columns=("a", "b")), rows)
    found = model.apply(rows)["cluster"]
    assert adjusted_rand_score(of, found.fill_null(-1)) > 0.93
    told = model.state["told"]
    assert [c["cluster"] for c in told["clusters"]] == [0, 1, 2]
    assert [c["rows"] for c in told["clusters"]] == [found.eq(k).sum() for k in range(3)]
    assert told["clusters"][0]["rows"] >= told["clusters"][1]["rows"] >= told["clusters"][2]["rows"]
    points = StandardScaler().fit_transform(rows.select("a", "b").to_numpy())
    inside = found.is_not_null().to_numpy()
    assert told["silhouette"] == pytest.approx(silhouette_score(points[inside], found.drop_nulls()), abs=1e-9)
    assert told["stability"] > 0.9


@pytest.mark.parametrize("cls", EVERY)
def test_order_batches_and_neighbours_do_not_show(cls: Any) -> None:
    rows, _ = planted()
    step = cls(columns=("a", "b"), sample=100)
    whole = fitted(step, rows)
    parts = step.merge(step.update(step.start(), rows[200:]), step.update(step.start(), rows[:200].reverse()))
    assert digest(step.finish(parts).state) == digest(whole.state)
    every = whole.apply(rows)
    assert pl.concat([whole.apply(rows[:7]), whole.apply(rows[7:])]).equals(every)
    assert whole.apply(rows[5:6]).equals(every[5:6])


def test_kmeans_is_scikit_learns() -> None:
    rows, _ = planted(200, 3)
    points = StandardScaler().fit_transform(rows.sort("_id").select("a", "b").to_numpy())
    model = fitted(Kmeans(columns=("a", "b"), clusters=4), rows)
    oracle = KMeans(4, n_init=10, random_state=0).fit(points)
    inertia = ((points[:, None] - model.state["centres"]) ** 2).sum(axis=2).min(axis=1).sum()
    assert inertia == pytest.approx(oracle.inertia_, rel=0.02)


def test_the_nearest_centre_is_the_nearest() -> None:
    random = np.random.default_rng(1)
    points, centres = random.normal(size=(50, 3)), random.normal(size=(7, 3)) * 3
    slow = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert nearest(points, centres).tolist() == slow.tolist()


def test_hdbscan_is_scikit_learns_on_the_rows_that_it_saw() -> None:
    rows, _ = planted(200, 4)
    found = fitted(Hdbscan(columns=("a", "b"), least=10), rows).apply(rows)["cluster"].fill_null(-1)
    points = StandardScaler().fit_transform(rows.select("a", "b").to_numpy())
    labels = HDBSCAN(min_cluster_size=10, min_samples=10, copy=True).fit(points).labels_
    assert (labels < 0).sum() == (found == -1).sum()
    assert adjusted_rand_score(labels, found) == 1.0
    far = pl.DataFrame({"a": [500.0], "b": [0.0]})
    assert fitted(Hdbscan(columns=("a", "b"), least=10), rows).apply(far)["cluster"].to_list() == [None]


def test_a_report_on_any_groups() -> None:
    rows, of = planted(200, 5)
    named = rows.with_columns(group=pl.Series(np.array(["one", "two", None])[of]))
    step = ClusterReport(columns=("a", "b"), cluster="group")
    told = fitted(step, named)
    inside = named.filter(pl.col("group").is_not_null())
    points = StandardScaler().fit_transform(inside.select("a", "b").to_numpy())
    assert told["silhouette"] == pytest.approx(silhouette_score(points, inside["group"]))
    assert {k: v["rows"] for k, v in told["clusters"].items()} == {"one": 100, "two": 66}
    assert (told["rows"], told["none"], told["clusters"]["one"]["share"]) == (200, 34, 0.5)
    assert fitted(step, named.clear())["silhouette"] is None
    assert fitted(step, named.with_columns(a=1.0, b=2.0))["silhouette"] is None


def test_categories_dates_and_gaps_are_compared_too() -> None:
    rows, of = planted(120)
    kinds = rows.with_columns(
        kind=pl.Series(np.array(["x", "y", None])[of]), day=pl.Series(of * 500 + 18_000).cast(pl.Int32).cast(pl.Date)
    )
    found = fitted(Kmeans(columns=("kind", "day"), clusters=3), kinds).apply(kinds)["cluster"]
    assert adjusted_rand_score(of, found) == 1.0


@pytest.mark.parametrize("cls", EVERY)
def test_what_cannot_be_is_said(cls: Any) -> None:
    rows, _ = planted(50)
    step = cls(columns=("a", "b"))
    with pytest.raises(BadData, match="0 rows make no clusters"):
        fitted(step, rows.clear())
    with pytest.raises(UnknownName, match="'b'"):
        fitted(step, rows.drop("b"))
    prose = pl.Series([f"the word {n} is not the word {n + 1}" for n in range(50)])
    with pytest.raises(BadData, match="prose"):
        fitted(cls(columns=("a", "text")), rows.with_columns(text=prose))
    with pytest.raises(ConfigurationError, match="'cluster'"):
        fitted(step, rows).apply(rows.with_columns(cluster=1))


def test_too_few_different_rows_are_refused() -> None:
    rows = pl.DataFrame({"_id": pl.Series([1, 2, 3], dtype=pl.UInt128), "a": [1.0, 1.0, 2.0]})
    with pytest.raises(BadData, match="2 different rows make no 3 clusters"):
        fitted(Kmeans(columns=("a",), clusters=3), rows)
