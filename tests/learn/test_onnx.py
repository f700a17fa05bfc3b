"""Models of tables as ONNX: ONNX Runtime says of raw columns what the model says, whatever is missing or new."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest

from tillage.core.errors import UsageError
from tillage.core.step import Fold
from tillage.learn import (
    GaussianNaiveBayes,
    LinearDiscriminant,
    LogisticRegression,
    Ridge,
    TabularClassifier,
    TabularRegressor,
)

COUNT = 400
FAMILIES = ("linear", "boosted_trees", "random_forest", "svm", "mlp")


def table(count: int = COUNT, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    size, kind = random.normal(size=count), random.choice(["a", "b", "c"], count)
    days = [date(1965, 1, 1) + timedelta(days=int(n)) for n in random.integers(0, 30_000, count)]
    moments = [
        datetime.fromisoformat("1999-01-01") + timedelta(seconds=int(n)) for n in random.integers(0, 10**9, count)
    ]
    high = size + (kind == "a") + 0.8 * np.sin([d.month for d in days]) + random.normal(0, 0.3, count)
    return pl.DataFrame(
        {
            "_id": pl.Series(range(count), dtype=pl.UInt128),
            "size": [None if n % 9 == 0 else float(v) for n, v in enumerate(size)],
            "whole": random.integers(-5, 5, count),
            "kind": [None if n % 11 == 0 else str(v) for n, v in enumerate(kind)],
            "many": [f"v{int(n)}" if n < 40 else f"only{at}" for at, n in enumerate(random.integers(0, 50, count))],
            "open": [None if n % 13 == 0 else bool(v) for n, v in enumerate(random.integers(0, 2, count))],
            "day": days,
            "seen": [None if n % 17 == 0 else v for n, v in enumerate(moments)],
            "told": [d.isoformat() for d in reversed(days)],
            "at": [m.time() for m in moments],
            "took": [timedelta(seconds=int(n)) for n in random.integers(0, 9999, count)],
            "two": (high > 0.5).tolist(),
            "three": [("low", "mid", "high")[int(v > 0) + int(v > 1)] for v in high],
            "y": high * 3 + 10,
        }
    )


VECTORS = pl.Series(
    "spot", [None if n % 7 == 0 else [n % 5 / 3, n % 3 / 7] for n in range(COUNT)], dtype=pl.Array(pl.Float64, 2)
)
INPUT = ("size", "whole", "kind", "many", "open", "day", "seen", "told", "at", "took", "spot")
EXACT = ("size", "whole", "kind", "open", "day", "seen", "told", "at", "took")


def fed(rows: pl.DataFrame, session: Any) -> dict[str, Any]:
    """Raw columns as the inputs of the graph ask for them, by what its inputs say."""
    found = {}
    for port in session.get_inputs():
        values = rows[port.name]
        if port.type == "tensor(string)":
            found[port.name] = np.array(values.fill_null("").to_list(), dtype=object)[:, None]
        elif isinstance(values.dtype, pl.Array):
            none = [float("nan")] * values.dtype.shape[0]
            found[port.name] = np.array([none if v is None else v for v in values.to_list()], np.float64)
        else:
            if values.dtype == pl.String:
                values = values.str.to_datetime("%Y-%m-%d")
            if values.dtype in (pl.Date, pl.Datetime):
                values = values.cast(pl.Datetime("us")).to_physical() / 1e6
            elif values.dtype == pl.Time:
                values = values.to_physical() / 1e9
            elif values.dtype == pl.Duration:
                values = values.dt.total_microseconds() / 1e6
            found[port.name] = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()[:, None]
    return found


def answers(data: bytes, rows: pl.DataFrame) -> dict[str, Any]:
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, fed(rows, session)), strict=True))


def new_rows() -> pl.DataFrame:
    """Rows that training had, and rows with whatever it had not."""
    rows = table(60, seed=1)
    strange = table(6, seed=2).with_columns(
        pl.Series("size", [1e200, -1e200, float("inf"), float("nan"), None, 0.0]),
        pl.Series("kind", ["never", None, "", "a", "b", "c"]),
        pl.Series("many", ["never", None, "", "v1", "v2", "v3"]),
        pl.Series(
            "day", [date(1900, 2, 28), date(1600, 3, 1), date(2000, 2, 29), date(2100, 12, 31), None, date(1970, 1, 1)]
        ),
    )
    rows = pl.concat([rows, strange]).with_columns(VECTORS.head(66))
    return rows.with_columns(kind=_empty_is_missing("kind"), many=_empty_is_missing("many"))


def _empty_is_missing(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name))


def fitted(learner: Any, rows: pl.DataFrame) -> Any:
    if isinstance(learner, Fold):
        return learner.finish(learner.update(learner.start(), rows))
    return learner.compute({"rows": rows})


def same(model: Any, rows: pl.DataFrame, within: float) -> None:
    said = model.apply(rows)
    got = answers(model.onnx(), rows)
    if "confidence" not in said.columns:
        np.testing.assert_allclose(got["prediction"], said["prediction"].to_numpy(), rtol=within, atol=within)
        return
    shares = model.shares(rows)
    np.testing.assert_allclose(got["shares"], shares, rtol=0, atol=within)
    np.testing.assert_allclose(got["confidence"], said["confidence"].to_numpy(), rtol=0, atol=within)
    ordered = np.sort(shares, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * within
    assert clear.mean() > 0.9
    assert (got["prediction"] == said["prediction"].to_numpy())[clear].all()


def within(family: str) -> float:
    return 1e-5 if family in ("boosted_trees", "random_forest") else 1e-9


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("family", FAMILIES)
def test_classifiers_say_the_same(family: str, target: str) -> None:
    learner = TabularClassifier(target=target, model=family, input=INPUT, trees=30 if "_" in family else None)
    model = fitted(learner, table().with_columns(VECTORS))
    same(model, new_rows(), within(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_regressors_say_the_same(family: str) -> None:
    learner = TabularRegressor(target="y", model=family, input=INPUT, trees=30 if "_" in family else None)
    same(fitted(learner, table().with_columns(VECTORS)), new_rows(), within(family))


@pytest.mark.parametrize("learner", [
    GaussianNaiveBayes(target="two", input=EXACT), GaussianNaiveBayes(target="three", input=EXACT),
    LinearDiscriminant(target="two", input=EXACT), LinearDiscriminant(target="three", input=EXACT),
    LogisticRegression(target="two", input=EXACT), LogisticRegression(target="three", input=EXACT),
    Ridge(target="y", input=EXACT),
], ids=lambda learner: f"{type(learner).__name__} {learner.target}")  # fmt: skip
def test_exact_learners_say_the_same(learner: Any) -> None:
    same(fitted(learner, table()), new_rows(), 1e-9)


@pytest.mark.parametrize("calibrate", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("target", ["two", "three"])
def test_calibrated_shares_are_the_same(calibrate: Any, target: str) -> None:
    learner = TabularClassifier(target=target, model="linear", input=EXACT, calibrate=calibrate)
    same(fitted(learner, table()), new_rows(), 1e-9)


def test_shards_are_one_graph_whatever_classes_each_knows() -> None:
    rows = table().with_columns(three=pl.when(pl.col("_id") == 7).then(pl.lit("rare")).otherwise("three"))
    model = fitted(TabularClassifier(target="three", model="linear", input=EXACT, shards=3), rows)
    assert len({len(m.state["classes"]) for m in model.members}) == 2
    same(model, new_rows(), 1e-9)
    same(
        fitted(TabularRegressor(target="y", model="boosted_trees", trees=9, input=EXACT, shards=3), rows),
        new_rows(),
        1e-5,
    )


def test_one_row_alone_says_what_it_says_among_others() -> None:
    model = fitted(TabularClassifier(target="two", model="boosted_trees", trees=9, input=EXACT), table())
    rows, data = new_rows(), model.onnx()
    whole = answers(data, rows)["confidence"]
    assert [answers(data, rows[n])["confidence"][0] for n in (0, 40, 65)] == whole[[0, 40, 65]].tolist()


def test_the_same_model_is_the_same_bytes() -> None:
    model = fitted(LinearDiscriminant(target="two", input=EXACT), table())
    assert model.onnx() == model.onnx()


@pytest.mark.parametrize("name", ["constant_0", "MatMul_9", "Cast_1", "Concat_9", "rows", "model", "confident", "a b"])
def test_a_column_may_be_called_as_something_inside(name: str) -> None:
    rows, new = table().rename({"size": name}), new_rows().rename({"size": name})
    same(fitted(TabularClassifier(target="two", model="linear", input=(name, "kind")), rows), new, 1e-9)


@pytest.mark.parametrize("name", ["prediction", "confidence", "shares"])
def test_a_column_called_as_an_output_is_refused(name: str) -> None:
    rows = table().rename({"size": name})
    with pytest.raises(UsageError, match=f"column '{name}' is called as an output"):
        fitted(TabularClassifier(target="two", model="linear", input=(name, "kind")), rows).onnx()
    if name != "prediction":
        model = fitted(TabularRegressor(target="y", model="linear", input=(name, "kind")), rows)
        asked = new_rows().rename({"size": name})
        wanted = model.apply(asked)["prediction"].to_numpy()
        np.testing.assert_allclose(answers(model.onnx(), asked)["prediction"], wanted, rtol=1e-9)


@pytest.mark.parametrize("learner", [
    TabularClassifier(target="two", model="linear", input=("size", "kind")),
    TabularClassifier(target="two", model="boosted_trees", trees=9, input=("size", "kind")),
    GaussianNaiveBayes(target="two", input=("size", "kind")),
], ids=["linear", "trees", "bayes"])  # fmt: skip
def test_where_missing_and_empty_are_two_there_is_no_graph(learner: Any) -> None:
    rows = table().with_columns(kind=pl.col("kind").replace("a", ""))
    with pytest.raises(UsageError, match="the empty text is a value of column 'kind', and missing is another"):
        fitted(learner, rows).onnx()
    whole = rows.with_columns(pl.col("kind").fill_null("b"))
    model, asked = fitted(learner, whole), whole.head(60)
    assert "" in next(c for c in model.state["columns"] if c["name"] == "kind")["levels"]
    same(model, asked, 1e-5)


def test_what_has_no_operator_is_refused_with_the_reason() -> None:
    words = ["the sea is calm and blue", "a loud engine of steel", "leaves fall in the autumn wind"]
    rows = table().with_columns(note=pl.Series([f"{words[n % 3]} number {n % 60}" for n in range(COUNT)]))
    model = fitted(TabularClassifier(target="two", model="linear", input=("size", "note")), rows)
    with pytest.raises(UsageError, match="column 'note' is prose"):
        model.onnx()
