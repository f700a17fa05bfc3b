"""Columns and linear models of tables against a scikit-learn pipeline, and each kind of column by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tillage.core.errors import BadData
from tillage.learn import TabularClassifier, TabularRegressor
from tillage.learn.choosing import Held
from tillage.learn.columns import ColumnWeights, as_numbers, iso_moments, learn_columns
from tillage.learn.examples import Examples, folds_of


def table(count: int, seed: int, classes: int = 2) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    age, income = random.integers(18, 90, count), random.lognormal(10, 1, count)
    job = random.choice(["chef", "nurse", "smith", "pilot"], count)
    score = age / 30 + np.log(income) / 2 + (job == "pilot") * 2 + random.normal(0, 0.7, count)
    hole = random.random(count) < 0.15
    return pl.DataFrame({"_id": range(count), "age": age, "income": income, "job": job, "score": score}).with_columns(
        pl.when(~pl.Series(hole)).then(pl.col("income")),
        y=pl.Series("y", np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]))).cast(pl.String),
    )


def pipeline(solver: Any) -> Any:
    number = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    with_hole = make_union(number, MissingIndicator(features="all"))
    one_hot = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist")
    return make_pipeline(ColumnTransformer([("a", number, [0]), ("i", with_hole, [1]), ("j", one_hot, [2])]), solver)


def features(rows: pl.DataFrame) -> Any:
    columns = [rows["age"].to_list(), [np.nan if v is None else v for v in rows["income"]], rows["job"].to_list()]
    return np.array(columns, dtype=object).T


@pytest.mark.parametrize("weight", [None, "balanced"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_classifier_is_scikit_learns_pipeline(classes: int, weight: Any) -> None:
    train, test = table(400, 1, classes), table(200, 2, classes)
    train = train.with_columns(job=pl.when(pl.col("_id") == 3).then(pl.lit("once")).otherwise(pl.col("job")))
    test = test.with_columns(job=pl.when(pl.col("_id") < 5).then(pl.lit("never")).otherwise(pl.col("job")))
    learner = TabularClassifier(input=("age", "income", "job"), target="y", model="linear", class_weight=weight)
    model = learner.compute({"rows": train})
    oracle = pipeline(LogisticRegression(max_iter=1000, class_weight=weight, tol=1e-8))
    shares = oracle.fit(features(train), train["y"].to_list()).predict_proba(features(test))
    found = model.apply(test)
    sure = np.sort(shares, axis=1)[:, -1] - np.sort(shares, axis=1)[:, -2] > 1e-2
    assert sure.sum() > 150
    assert found["prediction"].to_numpy()[sure].tolist() == shares.argmax(axis=1)[sure].astype(str).tolist()
    np.testing.assert_allclose(found["confidence"], shares.max(axis=1), atol=2e-3)
    assert model.state["converged"]
    assert (found["prediction"] == test["y"]).mean() > (0.75 if classes == 2 else 0.6)


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_the_regressor_is_scikit_learns_pipeline(alpha: float) -> None:
    train, test = table(300, 3).drop("y"), table(100, 4).drop("y")
    model = TabularRegressor(target="score", model="linear", alpha=alpha).compute({"rows": train})
    oracle = pipeline(Ridge(alpha=alpha, solver="svd")).fit(features(train), train["score"].to_numpy())
    np.testing.assert_allclose(model.apply(test)["prediction"], oracle.predict(features(test)), rtol=1e-6)


def dense(rows: pl.DataFrame, name: str, seen: pl.DataFrame | None = None) -> list[list[float]]:
    learnt = learn_columns(rows, [name])
    found: list[list[float]] = ColumnWeights(learnt).matrix(rows if seen is None else seen).toarray().tolist()
    return found


def kind(values: pl.Series) -> dict[str, Any]:
    rows = pl.DataFrame({"spare": range(len(values)), "v": values})
    return learn_columns(rows, ["spare", "v"])[1]


def test_a_number_by_hand() -> None:
    rows = pl.DataFrame({"n": [1.0, 3.0, None, float("inf"), 2.0]})  # median 2; filled 1 3 2 2 2
    scale = np.sqrt(0.4)
    assert np.allclose(dense(rows, "n"), [[-1 / scale, 0], [1 / scale, 0], [0, 1], [0, 1], [0, 0]])


def test_a_category_by_hand() -> None:
    rows = pl.DataFrame({"c": ["a", "b", "a", "b", "once", None]})
    seen = pl.DataFrame({"c": ["b", "a", "never", None]})
    assert dense(rows, "c", seen) == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    whole = pl.DataFrame({"c": ["a", "b", "a", "b"]})
    assert dense(whole, "c", seen) == [[0, 1], [1, 0], [0, 0], [0, 0]]
    holed = pl.DataFrame({"c": ["a", "b", "a", "b", None]})
    assert dense(holed, "c", seen) == [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_a_date_gives_its_parts() -> None:
    rows = pl.DataFrame({"d": [date(2024, 1, 1), date(2024, 2, 5), date(2024, 12, 2)]}).with_columns(
        pl.col("d").cast(pl.Datetime("us")) + pl.Series([5, 23, 0]) * timedelta(hours=1)
    )
    learnt = learn_columns(rows, ["d"])
    assert learnt[0]["parts"] == ["month", "hour"]  # all are Mondays
    found = ColumnWeights(learnt).matrix(rows).toarray()
    assert found.shape == (3, 1 + 12 + 24)
    assert [np.flatnonzero(row[1:]).tolist() for row in found] == [[0, 12 + 5], [1, 12 + 23], [11, 12]]
    seconds = np.array([d.timestamp() for d in rows["d"].dt.replace_time_zone("UTC")])
    np.testing.assert_allclose(found[:, 0], (seconds - seconds.mean()) / seconds.std())
    missing = ColumnWeights(learnt).matrix(pl.DataFrame({"d": pl.Series([None], dtype=pl.Datetime)})).toarray()
    assert not missing[0, 1:].any()


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01", "2024-02-05", "2024-12-02"],
        ["2024-01-01T00:00", "2024-02-05 00:00:00", "2024-12-02 00:00:00.000000"],
        ["2024-01-01T00:00Z", "2024-02-05 08:00:00.000000000+08", "2024-12-01T18:30:00-0530"],
    ],
)
def test_a_text_that_is_a_date_counts_as_one(texts: list[str]) -> None:
    dates = pl.DataFrame({"d": [date(2024, 1, 1), date(2024, 2, 5), date(2024, 12, 2)]})
    written = pl.DataFrame({"d": texts})
    assert dense(written, "d") == dense(dates, "d")
    assert ColumnWeights(learn_columns(dates, ["d"])).matrix(written).toarray().tolist() == dense(dates, "d")


@given(
    st.datetimes().filter(lambda moment: 2 <= moment.year <= 9998),
    st.integers(-1439, 1439),
    st.sampled_from(["T", " "]),
)
def test_moments_are_those_of_the_library(moment: datetime, minutes: int, between: str) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat(between)
    found = iso_moments(pl.Series([zoned, moment.isoformat(between)])).to_list()
    assert found == [datetime.fromisoformat(zoned).astimezone(UTC).replace(tzinfo=None), moment]


@pytest.mark.parametrize(
    "text",
    ["", "x", "2024-02-30", "2024-2-5", "5.2.2024", "2024-02-05Z", "2024-02-05T08:00+24:00", "2024-02-05T08:00 Z"],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert iso_moments(pl.Series([text, None])).to_list() == [None, None]


def test_a_zone_counts_in_utc() -> None:
    rows = pl.Series("d", [datetime(1970, 1, 1, 12, tzinfo=ZoneInfo("Asia/Shanghai"))])
    assert as_numbers(rows, "date").to_list() == [4 * 3600.0]


def test_times_and_durations_count_in_seconds() -> None:
    assert as_numbers(pl.Series([time(1, 0, 1)]), "time").to_list() == [3601.0]
    assert as_numbers(pl.Series([timedelta(minutes=2)]), "duration").to_list() == [120.0]
    assert as_numbers(pl.Series([True, None]), "truth value").to_list() == [1.0, None]
    assert as_numbers(pl.Series(["TRUE", "false"]), "truth value").to_list() == [1.0, 0.0]


def test_what_a_column_is() -> None:
    prose = [f"the quick {a} jumps over {b} lazy dogs" for a in "abcdefgh" for b in range(8)]
    assert kind(pl.Series(prose))["kind"] == "prose"
    assert kind(pl.Series(["a b c d e", "f g h i j"] * 5))["kind"] == "category"
    assert kind(pl.Series([True, False, None]))["kind"] == "number"
    assert kind(pl.Series(["a", "b", "a"], dtype=pl.Categorical))["kind"] == "category"
    levels = [str(i) + "x" for i in range(51)] * 2
    assert kind(pl.Series(levels))["why"] == "has 51 values seen twice or more, and is no prose"
    assert len(kind(pl.Series(levels[:50] * 2))["levels"]) == 50


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([None, None], "has no value"),
        ([1, 1], "is constant"),
        (["a", "a"], "is constant"),
        ([float("nan"), float("inf")], "has no finite value"),
        (["id1", "id2"], "has no value seen twice"),
        ([[1], [2]], "holds List(Int64)"),
        ([b"1", b"2"], "holds Binary"),
    ],
)
def test_what_cannot_help_is_dropped_and_why(values: list[Any], why: str) -> None:
    found = kind(pl.Series(values))
    assert found["kind"] == "dropped"
    assert why in found["why"]
    with pytest.raises(BadData, match="No column is left"):
        learn_columns(pl.DataFrame({"v": values}), ["v"])


def test_extreme_numbers_stay_finite() -> None:
    rows = pl.DataFrame({"_id": range(6), "x": [1e308, -1e308, 1e-308, 0.0, 5e-324, 1.0], "y": list("ababab")})
    model = TabularClassifier(target="y").compute({"rows": rows})
    far = model.apply(pl.DataFrame({"x": [1e308, -1e308, float("inf")]}))
    assert far["confidence"].is_finite().all()
    small = TabularClassifier(target="y").compute({"rows": rows.with_columns(x=pl.col("_id") * 1e-159)})
    assert small.apply(pl.DataFrame({"x": [1e308]}))["confidence"].is_finite().all()


def test_text_in_place_of_a_number_is_read_or_refused() -> None:
    model = TabularClassifier(input="age", target="y").compute({"rows": table(50, 5)})
    as_text = model.apply(pl.DataFrame({"age": ["20", "80"]}))
    assert as_text.drop("age").equals(model.apply(pl.DataFrame({"age": [20, 80]})).drop("age"))
    with pytest.raises(BadData, match="'age' was learnt as a number, and 1 of its values"):
        model.apply(pl.DataFrame({"age": ["20", "old"]}))


def test_without_input_all_columns_but_ours_and_the_target_are_used() -> None:
    rows = table(60, 6).with_columns(_side=pl.lit("train"))
    assert TabularClassifier(target="y").compute({"rows": rows}).state["input"] == ["age", "income", "job", "score"]
    assert TabularClassifier(target="y").needs() == ("y",)
    assert TabularClassifier(target="y", input="age").needs() == ("age", "y")


def test_targets_that_are_not_finite_teach_nothing() -> None:
    rows = table(50, 7).drop("y")
    odd = rows.with_columns(pl.Series("_id", range(50, 100)), score=pl.lit(float("nan")), age=pl.lit(10**6))
    odd = odd.with_columns(score=pl.when(pl.col("_id") % 2 == 0).then(float("inf")).otherwise(pl.col("score")))
    learner = TabularRegressor(target="score")
    both = learner.compute({"rows": pl.concat([rows, odd.select(rows.columns).cast(rows.schema)])})
    assert both.fingerprint() == learner.compute({"rows": rows}).fingerprint()
    with pytest.raises(BadData, match="not numbers"):
        TabularRegressor(target="job").compute({"rows": rows})


@pytest.mark.parametrize(("rows", "every", "asked"), [(5_000, False, 5), (5_001, False, 1), (5_001, True, 5)])
def test_many_rows_are_asked_in_one_fold_of_five_alone(rows: int, every: bool, asked: int) -> None:
    examples = Examples(np.zeros((rows, 1)), np.arange(rows, dtype=np.float64), 0)
    folds = folds_of(pl.DataFrame({"_id": range(rows)}), examples.target, 0, None, 5)
    parts = Held(folds, every).parts(examples)
    held = np.concatenate([held for _, held in parts])
    assert len(parts) == asked
    assert len(np.unique(held)) == len(held) == pytest.approx(rows * asked / 5, abs=1)
    for seen, held in parts:
        assert sorted([*seen, *held]) == list(range(rows))


@pytest.mark.parametrize("model", ["linear", "boosted_trees"])
def test_a_target_too_large_to_be_learnt_is_refused_and_never_cut(model: Any) -> None:
    rows = pl.DataFrame({"_id": range(40), "x": [float(i) for i in range(40)], "y": [i * 1e300 for i in range(40)]})
    with pytest.raises(BadData, match=r"'y' holds numbers beyond 1e\+38") as caught:
        TabularRegressor(target="y", model=model).compute({"rows": rows})
    assert "derive" in caught.value.fix
    near = rows.with_columns(y=pl.col("x") * 1e36)
    fitted = TabularRegressor(target="y", model=model).compute({"rows": near})
    assert fitted.apply(near)["prediction"].is_finite().all()
