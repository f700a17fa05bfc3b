"""Pairs of group and class as frequent as if they were independent; and a model that is the fairer for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from tests.flow.world import KEY
from tillage.augment import BalancedGroups, BalanceGroups
from tillage.core.errors import ConfigurationError
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.flow.stages import SIDE


def people(count: int = 4000, seed: int = 0, noise: float = 0.7) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    sex = random.choice(["f", "m"], count, p=[0.4, 0.6])
    skill = random.normal(size=count)
    hired = skill + np.where(sex == "m", 0.9, -0.9) + random.normal(0, noise, count) > 0.3
    return pl.DataFrame({"id": range(count), "sex": sex, "skill": skill, "hired": np.where(hired, "yes", "no")})


def test_rates_are_the_weights_of_kamiran_and_calders() -> None:
    rows = people().with_columns(_id=pl.int_range(4000).cast(pl.UInt128))
    step = BalanceGroups(group="sex", target="hired")
    fitted = step.finish(step.update(step.start(), rows))
    out = fitted.apply(rows)
    share = rows.group_by("sex", "hired").len().with_columns(p=pl.col("len") / 4000)
    weights = {(s, y): (rows["sex"] == s).mean() * (rows["hired"] == y).mean() / p for s, y, _, p in share.rows()}
    least = min(weights.values())
    assert fitted.state["rates"] == pytest.approx(
        {f'{{"g":"{s}","c":"{y}"}}': w / least for (s, y), w in weights.items() if w > least}
    )
    by_sex = dict(out.group_by("sex").agg((pl.col("hired") == "yes").mean()).rows())
    assert by_sex["f"] == pytest.approx(by_sex["m"], abs=0.03), "group and class are independent"
    made = out.filter(pl.col("_parent").is_not_null())
    assert made.height > 500
    assert out.height - made.height == 4000


def test_missing_values_stay_and_most_holds() -> None:
    rows = pl.DataFrame({"g": ["a"] * 50 + ["b"] * 51 + [None], "y": ["p"] * 50 + ["q"] * 50 + ["p", "p"]})
    rows = rows.with_columns(_id=pl.int_range(102).cast(pl.UInt128))
    step = BalanceGroups(group="g", target="y", most=3)
    fitted = step.finish(step.update(step.start(), rows))
    assert isinstance(fitted, BalancedGroups)
    assert max(fitted.state["rates"].values()) == 3
    assert fitted.apply(rows).filter(pl.col("g").is_null()).height == 1
    with pytest.raises(ConfigurationError, match="groups and classes"):
        step.update(step.start(), rows.with_columns(g=pl.lit(0.5)))
    with pytest.raises(ValueError, match="two columns"):
        BalanceGroups(group="g", target="g")


PLAN = """\
project: hiring
tables:
  raw: {collect: {files: data.csv}, key: id}
  even: {from: raw, steps: [{balance_groups: {group: sex, target: hired}}]}
models:
  plain: {learn: tabular_classifier, model: linear, from: raw, input: [sex, skill], target: hired,
          evaluate: {sensitive: [sex], favourable: "yes"}}
  fair:  {learn: tabular_classifier, model: linear, from: even, input: [sex, skill], target: hired,
          evaluate: {sensitive: [sex], favourable: "yes"}, split: {like: plain}}
"""


def weighed_gap(rows: pl.DataFrame, test: pl.Series) -> float:
    """What remains of the gap when scikit-learn's logistic regression is given the weights of Kamiran and Calders."""
    inputs, hired = rows.select(pl.col("sex") == "m", "skill").to_numpy(), (rows["hired"] == "yes").to_numpy()
    seen = rows.filter(~test)
    by_sex, by_class = (dict(seen.group_by(c).agg(pl.len() / seen.height).rows()) for c in ("sex", "hired"))
    pairs = {(s, y): n / seen.height for s, y, n in seen.group_by("sex", "hired").len().rows()}
    weights = [by_sex[s] * by_class[y] / pairs[s, y] for s, y in seen.select("sex", "hired").rows()]
    at = test.to_numpy()
    said = LogisticRegression().fit(inputs[~at], hired[~at], weights).predict(inputs[at])
    men = (rows["sex"] == "m").to_numpy()[at]
    return float(said[men].mean() - said[~men].mean())


def test_a_model_is_the_fairer_for_it_on_people_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    rows = people(12_000, noise=1.0)
    rows.write_csv(tmp_path / "data.csv")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    with Project(load(tmp_path, registry()), registry()) as project:
        project.run()
        plain, fair = (project.report(name) for name in ("plain", "fair"))
        test = project.store.frame("plain/1").filter(pl.col(SIDE) == "test")["id"]
    assert plain["test"] == fair["test"], "copies never test"
    gap = [r["fairness"]["columns"][0]["differences"]["selection_rate"] for r in (plain, fair)]
    assert gap[0] > 0.4
    assert gap[1] < 0.5 * gap[0]
    assert gap[1] == pytest.approx(weighed_gap(rows, rows["id"].is_in(test.to_list())), abs=0.02)
    assert any("is predicted where 'sex' is 'f'" in w for w in plain["warnings"])
    assert fair["metrics"]["accuracy"] > plain["metrics"]["accuracy"] - 0.15
