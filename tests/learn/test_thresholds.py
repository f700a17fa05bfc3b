"""Thresholds by group beside fairlearn's, and what a plan's report says of their gain and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fairlearn.metrics import (
    demographic_parity_difference,
    false_positive_rate_difference,
    selection_rate,
    true_positive_rate_difference,
)
from fairlearn.postprocessing import ThresholdOptimizer
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from tests.augment.test_balance_groups import people
from tests.flow.world import KEY

from tillage.core.errors import BadData, ConfigurationError, UsageError
from tillage.face.evaluations import evaluation_tables
from tillage.face.rooms import registry
from tillage.flow.configuration import load, parse
from tillage.flow.run import Project
from tillage.learn import TabularClassifier
from tillage.learn.thresholds import LEAST_ROWS, Thresholds, chosen, learn_thresholds

DIFFERENCES = {
    "demographic_parity": demographic_parity_difference,
    "true_positive_rate_parity": true_positive_rate_difference,
    "false_positive_rate_parity": false_positive_rate_difference,
}


class Told(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model whose share of the second class is the first column."""

    def fit(self, *_: Any) -> Told:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, rows: Any) -> Any:
        return np.column_stack([1 - rows[:, 0], rows[:, 0]])


def world(count: int = 4000, seed: int = 0) -> tuple[Any, Any, Any]:
    """Shares, truth, and three groups of which one is favoured."""
    random = np.random.default_rng(seed)
    group = random.choice(["a", "b", "c"], count, p=[0.5, 0.3, 0.2])
    score = random.normal(size=count) + 0.8 * (group == "a")
    hit = score + random.normal(0, 0.8, count) > 0.6
    return 1 / (1 + np.exp(-2 * (score - 0.6))), hit, group


@pytest.mark.parametrize("objective", ["accuracy", "balanced_accuracy"])
@pytest.mark.parametrize("constraint", list(DIFFERENCES))
def test_as_good_as_fairlearns_and_without_chance(constraint: Any, objective: Any) -> None:
    shares, hit, group = world()
    peer = ThresholdOptimizer(
        estimator=Told(), constraints=constraint, objective=f"{objective}_score".replace("y_score_score", "y_score"),
        prefit=True, predict_method="predict_proba", grid_size=1000,
    )  # fmt: skip
    peer.fit(shares[:, None], hit, sensitive_features=group)
    theirs = peer._pmf_predict(shares[:, None], sensitive_features=group)[:, 1]  # the expectation over its chances
    wanted = Thresholds(group="g", favourable="yes", constraint=constraint, objective=objective)
    state = learn_thresholds(wanted, ["no", "yes"], shares, hit.astype(int), pl.Series(group))
    rows = pl.DataFrame({"g": group})
    ours = chosen(state, np.column_stack([1 - shares, shares]), rows) == 1

    def worth(said: Any) -> float:
        right = [said[hit].mean(), 1 - said[~hit].mean()]
        return float(np.mean(right) if objective == "balanced_accuracy" else np.where(hit, said, 1 - said).mean())

    assert DIFFERENCES[constraint](hit, ours, sensitive_features=group) < 0.01
    assert worth(ours) == pytest.approx(worth(theirs), abs=0.005)
    plain = shares >= 0.5
    assert DIFFERENCES[constraint](hit, plain, sensitive_features=group) > 0.1
    if constraint == "demographic_parity":
        assert state["rate"] == pytest.approx(selection_rate(hit, ours), abs=0.005)


def test_small_groups_and_nobodys_have_the_threshold_of_all() -> None:
    shares, hit, group = world(400)
    names = pl.Series([None if n < 9 else "few" if n < 9 + LEAST_ROWS - 1 else g for n, g in enumerate(group)])
    state = learn_thresholds(Thresholds(group="g", favourable="yes"), ["no", "yes"], shares, hit.astype(int), names)
    assert sorted(state["by"]) == ["a", "b", "c"]
    rows = pl.DataFrame({"g": ["few", None, "never seen"]})
    for share, said in ((state["others"] - 1e-9, 0), (state["others"], 1)):
        assert chosen(state, np.array([[1 - share, share]] * 3), rows).tolist() == [said] * 3


def test_a_row_without_group_is_none_of_those_of_the_empty_text() -> None:
    shares, hit, group = world(1200)
    named = pl.Series(["" if g == "a" else g for g in group])
    wanted, kept = Thresholds(group="g", favourable="yes"), group != "c"
    alone = learn_thresholds(wanted, ["no", "yes"], shares[kept], hit[kept].astype(int), named.filter(pl.Series(kept)))
    nulls = pl.select(pl.when(pl.Series(kept)).then(named)).to_series()
    state = learn_thresholds(wanted, ["no", "yes"], shares, hit.astype(int), nulls)
    assert sorted(state["by"]) == ["", "b"]
    for name in ("", "b"):  # the line of its own rows alone, at the common rate
        own = shares[(named == name).to_numpy()]
        assert np.mean(own >= state["by"][name]) == pytest.approx(state["rate"], abs=1.5 / len(own))
    assert sorted(alone["by"]) == sorted(state["by"])


@pytest.mark.parametrize(("few", "objective"), [("yes", "accuracy"), ("no", "accuracy"), ("yes", "balanced_accuracy")])
def test_who_selects_nobody_or_everybody_is_warned(few: str, objective: Any) -> None:
    random = np.random.default_rng(0)
    other = "no" if few == "yes" else "yes"
    y = np.where(random.random(600) < 0.02, few, other)
    rows = pl.DataFrame({"_id": range(600), "g": random.choice(["a", "b"], 600), "x": random.random(600), "y": y})
    wanted = {"group": "g", "favourable": "yes", "objective": objective}
    model: Any = TabularClassifier(target="y", model="linear", input="x", thresholds=wanted).compute({"rows": rows})
    said = set(model.apply(rows)["prediction"])
    if objective == "accuracy":
        assert said == {other}
        [warning] = model.state["warnings"]
        who = "nobody: 'yes' is never" if few == "yes" else "everybody: 'yes' is always"
        assert warning.startswith(f"The thresholds by 'g' select {who} predicted.")
    else:
        assert said == {"yes", "no"}
        assert "warnings" not in model.state


def test_scores_alike_are_decided_alike() -> None:
    """A tree has few shares; whoever has the same share, in the same group, has the same answer."""
    shares, hit, group = world()
    few = np.round(shares * 4) / 4
    state = learn_thresholds(
        Thresholds(group="g", favourable="yes"), ["no", "yes"], few, hit.astype(int), pl.Series(group)
    )
    said = chosen(state, np.column_stack([1 - few, few]), pl.DataFrame({"g": group}))
    found = pl.DataFrame({"g": group, "share": few, "said": said}).group_by("g", "share").agg(pl.col("said").n_unique())
    assert found["said"].max() == 1


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="leave 'shards' and 'slices' out"):
        TabularClassifier(target="y", shards=2, thresholds={"group": "g", "favourable": "a"})
    with pytest.raises(ValidationError, match="'group' of 'thresholds' is the target, 'y'"):
        TabularClassifier(target="y", thresholds={"group": "y", "favourable": "a"})
    rows = pl.DataFrame({"_id": range(90), "g": ["p", "q"] * 45, "x": range(90), "y": ["a", "b", "c"] * 30})
    with pytest.raises(BadData, match="of two classes, one of them 'a'; here are: a, b, c"):
        TabularClassifier(target="y", thresholds={"group": "g", "favourable": "a"}).compute({"rows": rows})
    two = rows.with_columns(y=pl.col("y").replace("c", "a"))
    with pytest.raises(BadData, match="Fewer than two groups of 'y2'"):
        TabularClassifier(target="y", thresholds={"group": "y2", "favourable": "a"}, input="x").compute(
            {"rows": two.with_columns(y2=pl.lit("one"))}
        )
    model = TabularClassifier(target="y", thresholds={"group": "g", "favourable": "a"}, input="x").compute(
        {"rows": two}
    )
    assert model.needs() == ("x", "g")
    with pytest.raises(UsageError, match="thresholds by group"):
        model.onnx()
    with pytest.raises(ConfigurationError, match="'g'"):
        model.apply(two.drop("g"))


PLAN = """\
project: hiring
tables:
  raw: {collect: {files: data.csv}, key: id}
models:
  plain: {learn: tabular_classifier, model: linear, from: raw, input: [sex, skill], target: hired,
          evaluate: {sensitive: [sex], favourable: "yes"}}
  fair:  {learn: tabular_classifier, model: linear, from: raw, input: [sex, skill], target: hired,
          thresholds: {group: sex, favourable: "yes"}, split: {like: plain},
          evaluate: {sensitive: [sex], favourable: "yes"}}
"""


@pytest.mark.parametrize("called", ["sex", "prediction", "baseline", "linear"])
def test_the_report_says_what_is_gained_and_what_it_costs(
    called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    people(40_000).rename({"sex": called}).write_csv(tmp_path / "data.csv")
    (tmp_path / "tillage.yaml").write_text(PLAN.replace("sex", called))
    with Project(load(tmp_path, registry()), registry()) as project:
        project.run()
        plain, fair = (project.report(name) for name in ("plain", "fair"))
    told = fair["thresholds"]
    gaps = [r["fairness"]["columns"][0]["differences"]["selection_rate"] for r in (plain, fair)]
    assert gaps[0] > 0.5
    assert gaps[1] < 0.1 * gaps[0], "five standard errors of a difference between 3,200 and 4,800 test rows"
    assert [told[k]["differences"]["selection_rate"] for k in ("before", "after")] == pytest.approx(gaps)
    assert [told[k]["metrics"]["accuracy"] for k in ("before", "after")] == pytest.approx(
        [r["metrics"]["accuracy"] for r in (plain, fair)]
    )
    lost = plain["metrics"]["accuracy"] - fair["metrics"]["accuracy"]
    assert 0.03 < lost < 0.2
    assert told["compared"]["difference"] == pytest.approx(-lost)
    assert told["compared"]["p"] < 1e-6
    assert "thresholds" not in plain
    shown = {table.title: table.lines for table in evaluation_tables(fair)}
    [title] = [title for title in shown if title.startswith(f"Thresholds by '{called}'")]
    assert [line["thresholds"] for line in shown[title]] == ["without", "with"]
    assert "What these thresholds cost" in shown


def test_a_plan_is_checked_where_it_stands() -> None:
    wrong = PLAN.replace('thresholds: {group: sex, favourable: "yes"}', "thresholds: {group: sex, constraint: odds}")
    with pytest.raises(ConfigurationError) as error:
        parse(wrong, Path("tillage.yaml"), registry())
    assert ":8:" in str(error.value)
    assert "favourable" in str(error.value)
    assert "constraint" in str(error.value)
