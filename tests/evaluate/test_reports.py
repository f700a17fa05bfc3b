"""Reports against scikit-learn and scipy; nothing without a baseline; the same for any order of rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from sklearn import metrics as oracle

from tillage.core.errors import BadData, UnknownName
from tillage.evaluate import ClassificationReport, RegressionReport


def classified(count: int = 300, seed: int = 0, hits: float = 0.8) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    truth = random.choice(["a", "b", "c"], count, p=[0.5, 0.3, 0.2])
    guess = np.where(random.random(count) < hits, truth, random.choice(["a", "b", "c"], count))
    return pl.DataFrame(
        {
            "_id": pl.Series([int(n) + 2**80 for n in random.permutation(count)], dtype=pl.UInt128),
            "y": truth,
            "prediction": guess,
            "baseline": "a",
            "confidence": random.random(count),
            "patient": random.integers(0, 20, count),
        }
    )


def measured(count: int = 200, seed: int = 0, noise: float = 0.5) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    truth = random.normal(3, 2, count)
    return pl.DataFrame(
        {
            "_id": pl.Series([int(n) for n in random.permutation(count)], dtype=pl.UInt128),
            "y": truth,
            "prediction": truth + random.normal(0, noise, count),
            "baseline": 3.0,
            "patient": random.integers(0, 20, count),
        }
    )


CLASSES, NUMBERS = ClassificationReport(target="y"), RegressionReport(target="y")


def report(step: Any, rows: pl.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = step.compute({"rows": rows})
    return found


def test_class_scores_are_scikit_learns() -> None:
    rows = classified()
    found = report(CLASSES, rows)
    truth, guess, naive = (rows[c].to_list() for c in ("y", "prediction", "baseline"))
    for key, said in (("metrics", guess), ("baseline", naive)):
        assert found[key]["accuracy"] == pytest.approx(oracle.accuracy_score(truth, said))
        assert found[key]["macro_f1"] == pytest.approx(oracle.f1_score(truth, said, average="macro", zero_division=0))
    assert found["confusion"]["classes"] == ["a", "b", "c"]
    assert found["confusion"]["counts"] == oracle.confusion_matrix(truth, guess).tolist()
    columns = oracle.precision_recall_fscore_support(truth, guess)
    for position, row in enumerate(found["per_class"]):
        expected = [column[position] for column in columns]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(expected)
        assert row["class"] == "abc"[position]
    assert found["rows"] == 300
    assert found["unlabelled"] == 0


def shared(count: int, classes: int, seed: int = 0) -> pl.DataFrame:
    """Rows with the shares of each class, of which the model makes its prediction."""
    random = np.random.default_rng(seed)
    names = [f"c{k}" for k in range(classes)]
    shares = random.dirichlet(np.ones(classes), count)
    truth = [names[random.choice(classes, p=share)] for share in shares]
    return pl.DataFrame(
        {
            "_id": pl.Series(range(count), dtype=pl.UInt128),
            "y": truth,
            "prediction": [names[k] for k in shares.argmax(axis=1)],
            "confidence": shares.max(axis=1),
            "baseline": "c0",
            "shares": pl.DataFrame(shares, schema=names).to_struct("shares"),
            "patient": random.integers(0, 20, count),
        }
    )


def test_shares_are_judged_as_scikit_learn_does() -> None:
    rows = shared(300, 2)
    found = report(CLASSES, rows)
    truth, second = (rows["y"] == "c1").to_numpy(), rows["shares"].struct.field("c1").to_numpy()
    assert found["metrics"]["roc_auc"] == pytest.approx(oracle.roc_auc_score(truth, second))
    assert found["metrics"]["average_precision"] == pytest.approx(oracle.average_precision_score(truth, second))
    assert found["metrics"]["log_loss"] == pytest.approx(oracle.log_loss(truth, second))
    assert found["metrics"]["brier"] == pytest.approx(oracle.brier_score_loss(truth, second))
    alike = np.full(300, truth.mean())
    assert found["baseline"]["roc_auc"] == 0.5
    assert found["baseline"]["average_precision"] == pytest.approx(truth.mean())
    assert found["baseline"]["log_loss"] == pytest.approx(oracle.log_loss(truth, alike))
    assert found["baseline"]["brier"] == pytest.approx(oracle.brier_score_loss(truth, alike))
    assert report(CLASSES, rows.drop("shares"))["metrics"] == pytest.approx(found["metrics"]), "the confidence says it"
    many = shared(300, 4)
    places, told = many["y"].str.slice(1).cast(pl.Int64).to_numpy(), many["shares"].struct.unnest().to_numpy()
    expected = oracle.roc_auc_score(places, told, multi_class="ovr")
    assert report(CLASSES, many)["metrics"]["roc_auc"] == pytest.approx(expected)
    assert "roc_auc" not in report(CLASSES, many.drop("shares"))["metrics"]
    unseen = many.with_columns(y=pl.when(pl.col("y") == "c3").then(pl.lit("new")).otherwise("y"))
    assert report(CLASSES, unseen)["metrics"]["log_loss"] > 5
    assert "roc_auc" not in report(CLASSES, rows.filter(pl.col("y") == "c1"))["metrics"]


def test_shares_have_intervals_and_are_warned_of() -> None:
    for step in (CLASSES, ClassificationReport(target="y", group="patient")):
        found = report(step, shared(400, 3))
        assert set(found["interval"]) == set(found["metrics"])
        assert all(low < found["metrics"][name] < high for name, (low, high) in found["interval"].items())
        assert not found["warnings"]
    noise = shared(400, 2).with_columns(y=pl.Series(np.random.default_rng(1).choice(["c0", "c1"], 400)))
    told = " ".join(report(CLASSES, noise)["warnings"])
    for name in ("roc_auc", "log_loss", "brier"):
        assert f"The {name} is not better than the baseline's" in told


def test_a_column_that_gives_the_target_away_is_named() -> None:
    rows = shared(200, 2).with_columns(
        code=pl.when(pl.col("y") == "c0").then(pl.lit("x")).otherwise(pl.lit("z")),
        size=pl.when(pl.col("y") == "c0").then(pl.int_range(200)).otherwise(1000 + pl.int_range(200)),
        other=pl.int_range(200) % 7,
        words=pl.format("text {}", pl.int_range(200)),
    )
    step = ClassificationReport(target="y", features=("code", "size", "other", "words"))
    named = [w for w in report(step, rows)["warnings"] if "nearly without fail" in w]
    assert [w.split("'")[1] for w in named] == ["code", "size"]
    few = [w for w in report(step, rows.head(15))["warnings"] if "nearly without fail" in w]
    assert few == [], "chance does as much"


def test_the_interval_of_accuracy_is_wilsons() -> None:
    rows = classified()
    hits = int((rows["y"] == rows["prediction"]).sum())
    expected = binomtest(hits, rows.height).proportion_ci(method="wilson")
    assert report(CLASSES, rows)["interval"]["accuracy"] == pytest.approx([expected.low, expected.high])


def test_intervals_hold_the_score_and_narrow_with_rows() -> None:
    few, many = report(CLASSES, classified(60)), report(CLASSES, classified(3000))
    for found in (few, many):
        for name, (low, high) in found["interval"].items():
            assert low < found["metrics"][name] < high
    for name in ("accuracy", "macro_f1"):
        assert np.ptp(many["interval"][name]) < np.ptp(few["interval"][name]) / 3


def test_rows_that_hang_together_widen_the_interval() -> None:
    rows = classified(300).with_columns(
        prediction=pl.when(pl.col("patient") < 14).then(pl.col("y")).otherwise(pl.lit("z"))
    )
    alone = report(CLASSES, rows)["interval"]["accuracy"]
    grouped = report(ClassificationReport(target="y", group="patient"), rows)["interval"]["accuracy"]
    assert np.ptp(grouped) > 2 * np.ptp(alone)
    off = measured().with_columns(prediction=pl.col("y") + pl.col("patient") / 5)
    one, both = (report(RegressionReport(target="y", group=g), off)["interval"]["mae"] for g in (None, "patient"))
    assert np.ptp(both) > 1.5 * np.ptp(one)


def test_rows_without_a_group_stand_alone() -> None:
    rows = classified(300).with_columns(patient=pl.lit(None, dtype=pl.Int64))
    grouped = report(ClassificationReport(target="y", group="patient"), rows)["interval"]["accuracy"]
    assert np.ptp(grouped) == pytest.approx(np.ptp(report(CLASSES, rows)["interval"]["accuracy"]), rel=0.2)


def test_the_mistakes_are_the_surest_ones() -> None:
    rows = classified()
    wrong = rows.filter(pl.col("y") != pl.col("prediction")).sort("confidence", descending=True).head(20)
    found = report(CLASSES, rows)["errors"]
    assert [int(e["id"], 16) for e in found] == wrong["_id"].to_list()
    assert [(e["target"], e["prediction"], e["confidence"]) for e in found] == wrong.select(
        "y", "prediction", "confidence"
    ).rows()
    assert all(len(e["id"]) == 32 for e in found)
    bare = report(CLASSES, rows.drop("confidence"))
    assert bare["errors"][0]["confidence"] is None
    assert bare["calibration"] == []
    ids = [int(e["id"], 16) for e in bare["errors"]]
    assert ids == sorted(rows.filter(pl.col("y") != pl.col("prediction"))["_id"].to_list())[:20]


def test_calibration_counts_by_tenths() -> None:
    rows = pl.DataFrame(
        {
            "_id": range(5),
            "y": ["a", "a", "b", "b", "b"],
            "prediction": ["a", "b", "b", "b", "b"],
            "baseline": "b",
            "confidence": [0.95, 1.0, 0.5, 0.55, None],
        }
    )
    assert report(CLASSES, rows)["calibration"] == [
        {"from": 0.5, "to": 0.6, "rows": 2, "confidence": pytest.approx(0.525), "accuracy": 1.0},
        {"from": 0.9, "to": 1.0, "rows": 2, "confidence": pytest.approx(0.975), "accuracy": 0.5},
    ]


def test_numbers_are_scikit_learns() -> None:
    rows = measured()
    found = report(NUMBERS, rows)
    for key, said in (("metrics", rows["prediction"]), ("baseline", rows["baseline"])):
        assert found[key]["r2"] == pytest.approx(oracle.r2_score(rows["y"], said))
        assert found[key]["mae"] == pytest.approx(oracle.mean_absolute_error(rows["y"], said))
        assert found[key]["rmse"] == pytest.approx(oracle.mean_squared_error(rows["y"], said) ** 0.5)
    for name, (low, high) in found["interval"].items():
        assert low < found["metrics"][name] < high
    left = (rows["y"] - rows["prediction"]).to_numpy()
    assert list(found["residuals"].values()) == pytest.approx(np.quantile(left, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist())
    assert [int(e["id"], 16) for e in found["errors"]] == [rows["_id"][int(at)] for at in np.argsort(-abs(left))[:20]]
    assert found["warnings"] == []


@pytest.mark.parametrize(("step", "rows"), [(CLASSES, classified()), (NUMBERS, measured())])
class TestBoth:
    def test_the_same_for_any_order(self, step: Any, rows: pl.DataFrame) -> None:
        tied = rows.with_columns(confidence=pl.lit(0.5)) if "confidence" in rows.columns else rows
        for group in (None, "patient"):
            ordered = type(step)(target="y", group=group)
            expected = json.dumps(report(ordered, tied), allow_nan=False)
            for seed in range(3):
                shuffled = tied.sample(fraction=1, shuffle=True, seed=seed)
                assert json.dumps(report(ordered, shuffled), allow_nan=False) == expected

    def test_it_is_plain_json_with_a_baseline_and_an_interval_a_score(self, step: Any, rows: pl.DataFrame) -> None:
        found = report(step, rows)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert found["metrics"].keys() == found["baseline"].keys() == found["interval"].keys()
        with pytest.raises(UnknownName, match="'baseline'"):
            step.compute({"rows": rows.drop("baseline")})

    def test_rows_without_target_are_counted_apart(self, step: Any, rows: pl.DataFrame) -> None:
        bare = rows.with_columns(pl.lit(None, dtype=rows.schema["y"]).alias("y"), _id=pl.col("_id") + 5000)
        found, expected = report(step, pl.concat([bare, rows])), report(step, rows)
        assert found.pop("unlabelled") == rows.height
        assert expected.pop("unlabelled") == 0
        assert found == expected
        with pytest.raises(BadData, match="no row to test"):
            step.compute({"rows": bare})

    def test_the_seed_moves_the_interval_and_nothing_else(self, step: Any, rows: pl.DataFrame) -> None:
        one, two = report(step, rows), report(type(step)(target="y", seed=1), rows)
        assert one.pop("interval") != two.pop("interval")
        assert one == two

    def test_one_row_is_reported_with_a_warning(self, step: Any, rows: pl.DataFrame) -> None:
        found = report(step, rows.head(1))
        assert found["rows"] == 1
        assert any("Only 1 row tests" in w for w in found["warnings"])

    def test_what_it_needs_is_said(self, step: Any, rows: pl.DataFrame) -> None:
        assert set(step.needs()) == {"y", "prediction", "baseline"}
        assert type(step)(target="y", group="patient").needs()[-1] == "patient"
        with pytest.raises(UnknownName, match="pation"):
            type(step)(target="y", group="pation").compute({"rows": rows})


def test_warnings_of_classes() -> None:
    assert report(CLASSES, classified())["warnings"] == []
    same = report(CLASSES, classified(hits=0.0).with_columns(prediction=pl.lit("a")))["warnings"]
    assert [w.split(" not better")[0] for w in same[1:]] == ["The accuracy is", "The macro_f1 is"]
    assert same[0] == "Never predicted: 'b', 'c'."
    rare = classified().with_columns(y=pl.when(pl.col("_id") < 2**80 + 3).then(pl.lit("rare")).otherwise(pl.col("y")))
    said = " ".join(report(CLASSES, rare)["warnings"])
    assert "Fewer than 5 test rows: 'rare'" in said
    one = classified().with_columns(y=pl.lit("a"))
    assert "All test rows are of the class 'a'." in report(CLASSES, one)["warnings"]


def test_a_missing_prediction_is_a_mistake() -> None:
    rows = classified().with_columns(prediction=pl.when(pl.col("patient") > 3).then(pl.col("y")))
    found = report(CLASSES, rows)
    silent = rows["prediction"].null_count()
    assert found["metrics"]["accuracy"] == pytest.approx(1 - silent / rows.height)
    assert f"{silent} rows have no prediction; they count as mistakes." in found["warnings"]
    assert found["errors"][0]["prediction"] == "(no prediction)"


def test_warnings_of_numbers() -> None:
    bad = report(NUMBERS, measured().with_columns(prediction=pl.col("baseline") + 0.01))["warnings"]
    assert [w.split(" is not better")[0] for w in bad] == ["The r2", "The mae", "The rmse"]
    level = report(NUMBERS, measured().with_columns(y=pl.lit(3.0)))
    assert "All test rows have the target 3: r2 says nothing." in level["warnings"]
    with pytest.raises(BadData, match="200 of 200 test rows have no finite prediction"):
        report(NUMBERS, measured().with_columns(prediction=pl.lit(float("nan"))))


def test_classes_that_are_numbers_are_compared_as_text() -> None:
    rows = pl.DataFrame({"_id": [1, 2], "y": [1, 2], "prediction": ["1", "1"], "baseline": ["1", "1"]})
    assert report(CLASSES, rows)["metrics"]["accuracy"] == 0.5


def test_a_part_of_the_answer_and_another_scale_are_warned_of() -> None:
    rows = classified(300).with_columns(
        y=pl.when(pl.int_range(300) < 40).then(pl.lit("c")).otherwise(pl.lit("a")),
        heat=(pl.int_range(300) < 25).cast(pl.Int64),
        load=pl.int_range(300) % 2,
    )
    found = report(ClassificationReport(target="y", features=("heat", "load")), rows)["warnings"]
    assert sum("Each of the 25 test rows where 'heat' is '1' is 'c'" in w for w in found) == 1
    assert not any("'load'" in w for w in found)
    numbers = measured().with_columns(fahrenheit=32 + 1.8 * pl.col("y"), near=pl.col("y") + pl.col("patient"))
    found = report(RegressionReport(target="y", features=("fahrenheit", "near")), numbers)["warnings"]
    assert [w for w in found if "on another scale" in w] == [
        "Column 'fahrenheit' is the target on another scale. Is it known when the model will be asked?"
    ]
