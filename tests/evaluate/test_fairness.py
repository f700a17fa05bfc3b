"""Groups treated alike or not: the rates against fairlearn, and no alarm where chance does as much."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fairlearn import metrics as oracle

from tillage.evaluate import ClassificationReport
from tillage.evaluate.fairness import fairness


def rows_of(seed: int, gap: float, count: int = 900) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    group = random.choice(["f", "m", "x"], count, p=[0.45, 0.45, 0.1])
    truth = random.random(count) < np.where(group == "f", 0.4 - gap, 0.4)
    said = np.where(random.random(count) < 0.8, truth, random.random(count) < 0.3)
    classes = np.array(["no", "yes"])
    return pl.DataFrame(
        {
            "_id": pl.Series(random.permutation(count).tolist(), dtype=pl.UInt128),
            "y": classes[truth.astype(int)],
            "prediction": classes[said.astype(int)],
            "baseline": "no",
            "sex": group,
        }
    )


def report(rows: pl.DataFrame, **settings: Any) -> dict[str, Any]:
    step = ClassificationReport.model_validate({"target": "y", "sensitive": ["sex"], "favourable": "yes", **settings})
    found: dict[str, Any] = step.compute({"rows": rows})
    return found


@pytest.mark.parametrize(("favourable", "warned"), [("Yes", True), ("yes", False), ("no", False)])
def test_a_favourable_class_that_nobody_has_is_warned_of(favourable: str, warned: bool) -> None:
    """Misspelt, it would make all groups look alike: no differences, and all accuracies 1."""
    told = report(rows_of(0, 0.0), favourable=favourable)["warnings"]
    assert any(f"No test row is '{favourable}' or predicted to be" in each for each in told) is warned


def test_rates_differences_and_ratios_are_fairlearns() -> None:
    rows = rows_of(0, 0.2)
    (found,) = report(rows)["fairness"]["columns"]
    truth, said, sex = (
        rows[c].to_numpy() == "yes" if c != "sex" else rows[c].to_numpy() for c in ("y", "prediction", "sex")
    )
    rates = {
        "selection_rate": oracle.selection_rate,
        "true_positive_rate": oracle.true_positive_rate,
        "false_positive_rate": oracle.false_positive_rate,
        "false_negative_rate": oracle.false_negative_rate,
    }
    frame = oracle.MetricFrame(metrics=rates, y_true=truth, y_pred=said, sensitive_features=sex)
    for group in found["groups"]:
        for rate in rates:
            assert group[rate] == pytest.approx(frame.by_group.loc[group["value"], rate]), (group["value"], rate)
    for rate in rates:
        assert found["differences"][rate] == pytest.approx(frame.difference()[rate])
        assert found["ratios"][rate] == pytest.approx(frame.ratio()[rate])
    parity = oracle.demographic_parity_difference(truth, said, sensitive_features=sex)
    odds = oracle.equalized_odds_difference(truth, said, sensitive_features=sex)
    assert found["differences"]["selection_rate"] == pytest.approx(parity)
    assert found["differences"]["equalized_odds"] == pytest.approx(odds)
    assert [g["value"] for g in found["groups"]][-1] == "x", "those with most rows first"


def test_a_group_that_is_selected_less_is_warned_of_and_a_small_one_does_not_count() -> None:
    rows = rows_of(1, 0.25)
    found = report(rows)
    assert found["fairness"]["columns"][0]["worst"]["value"] == "f"
    assert sum("'yes' is predicted where 'sex' is 'f'" in w for w in found["warnings"]) == 1
    few = pl.concat([rows.filter(pl.col("sex") != "x"), rows.filter(pl.col("sex") == "x").head(19)])
    (column,) = report(few.with_columns(prediction=pl.when(pl.col("sex") == "x").then(pl.lit("no")).otherwise("y")))[
        "fairness"
    ]["columns"]
    assert column["groups"][-1]["selection_rate"] == 0
    assert column["ratios"]["selection_rate"] > 0


def test_no_wolf_is_cried_where_groups_are_alike() -> None:
    cried = sum(any("is predicted where" in w for w in report(rows_of(seed, 0.0))["warnings"]) for seed in range(30))
    assert cried <= 2


def test_a_group_without_the_class_has_no_rate_and_missing_is_a_group() -> None:
    y = pl.Series(["no"] * 30 + ["yes", "no"] * 15)
    sex = pl.Series("sex", [None] * 30 + ["m"] * 30)
    (found,) = fairness([sex], y, y, "yes", None)["columns"]
    missing = next(g for g in found["groups"] if g["value"] == "(missing)")
    assert missing["true_positive_rate"] is None
    assert missing["false_positive_rate"] == 0
    assert found["differences"]["true_positive_rate"] is None


def test_sensitive_needs_the_class_that_people_want() -> None:
    with pytest.raises(ValueError, match="favourable"):
        ClassificationReport(target="y", sensitive=("sex",))


def test_the_most_selected_group_must_be_large_enough_to_be_one() -> None:
    """One lucky person is no group that others could be treated worse than."""
    said = pl.Series(["yes"] * 450 + ["no"] * 550 + ["yes"] * 390 + ["no"] * 610 + ["yes"])
    sex = pl.Series("sex", ["f"] * 1000 + ["m"] * 1000 + ["x"])
    (found,) = fairness([sex], said, said, "yes", None)["columns"]
    assert found["ratios"]["selection_rate"] == pytest.approx(0.39 / 0.45)
    assert found["worst"] is None
