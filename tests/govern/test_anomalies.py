"""ScoreAnomalies beside scikit-learn's IsolationForest, and its paths by hand."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from tillage.core import BadData, ConfigurationError
from tillage.core.state import digest
from tillage.govern import AnomaliesScored, ScoreAnomalies
from tillage.govern.score_anomalies import grown

Floats = npt.NDArray[np.float64]


def frame(values: Floats) -> pl.DataFrame:
    columns = {f"c{k}": values[:, k] for k in range(values.shape[1])}
    return pl.DataFrame(columns).with_columns(_id=pl.int_range(len(values)).cast(pl.UInt128))


def learn(rows: pl.DataFrame, **given: object) -> AnomaliesScored:
    columns = [c for c in rows.columns if c != "_id"]
    step = ScoreAnomalies.model_validate({"columns": columns, **given})
    return step.finish(step.update(step.start(), rows))


def test_it_finds_what_scikit_learn_finds() -> None:
    random = np.random.default_rng(1)
    usual = np.concatenate([random.normal(0, 1, (500, 3)), random.normal(6, 0.5, (500, 3))])
    strange = random.uniform(-8, 14, (40, 3))
    values, truth = np.concatenate([usual, strange]), np.repeat([0, 1], [1000, 40])
    rows = frame(values)
    scores = learn(rows).apply(rows)["anomaly"].to_numpy()
    peer = -IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(values).score_samples(values)
    assert roc_auc_score(truth, scores) > roc_auc_score(truth, peer) - 0.01 > 0.9
    assert np.corrcoef(scores, peer)[0, 1] > 0.95
    assert abs(float(scores.mean() - peer.mean())) < 0.02  # the same scale


def test_a_path_by_hand() -> None:
    forest = grown(np.array([[0.0], [10.0]]), trees=1, rows=2, seed=0)
    assert forest["usual"] == 1.0
    ends = {"columns": ["x"], "middle": [0.0], "least": [0.0], "most": [10.0], "score": "anomaly", "above": 0.4}
    scored = AnomaliesScored(state={**forest, **ends})
    rows = pl.DataFrame({"x": [0.0, 10.0, None, math.inf]})
    assert scored.apply(rows)["anomaly"].to_list() == [0.5] * 4  # one cut, which is usual for two rows
    assert scored.apply(rows)["_reason"].to_list() == ["anomaly"] * 4
    many = grown(np.arange(256.0)[:, None], trees=1, rows=256, seed=0)
    harmonic = sum(1 / n for n in range(1, 256))
    assert many["usual"] == pytest.approx(2 * harmonic - 2 * 255 / 256, abs=0.01)
    assert many["feature"].shape[1] <= 511


def test_the_forest_is_the_same_however_rows_came() -> None:
    rows = frame(np.random.default_rng(2).normal(size=(400, 2)))
    step = ScoreAnomalies(columns=("c0", "c1"), sample=64, rows=32, trees=10)
    straight = step.finish(step.update(step.start(), rows))
    mixed = step.start()
    for at in (300, 100, 0, 200):
        mixed = step.merge(step.update(step.start(), rows[at : at + 100]), mixed)
    assert digest(step.finish(mixed).state) == digest(straight.state)
    other = ScoreAnomalies(columns=("c0", "c1"), sample=64, rows=32, trees=10, seed=1)
    assert digest(other.finish(mixed).state) != digest(straight.state)


def test_what_is_missing_counts_as_the_median() -> None:
    values = np.random.default_rng(3).normal(size=(300, 1))
    rows = frame(values)
    scored = learn(rows, sample=300)
    asked = pl.DataFrame({"c0": [None, math.nan, float(np.median(values)), 1e9, math.inf, float(values.max())]})
    found = scored.apply(asked)["anomaly"].to_list()
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4] == found[5] > 0.6


def test_errors_say_what_to_do() -> None:
    rows = frame(np.zeros((3, 1)))
    with pytest.raises(BadData, match="nothing to learn from: 0 of 3"):
        learn(rows.with_columns(c0=pl.lit(None)))
    with pytest.raises(BadData, match="at least two rows"):
        learn(rows[:1])
    with pytest.raises(ConfigurationError, match="needs numbers"):
        learn(rows.with_columns(c0=pl.lit("a")))
    with pytest.raises(ConfigurationError, match="one of that name"):
        learn(rows).apply(rows.with_columns(anomaly=1))
    assert learn(rows).apply(rows)["anomaly"].to_list() == [0.5] * 3  # all alike: nobody is unusual


def test_a_range_beyond_the_largest_float_is_cut_as_any() -> None:
    values = np.array([[-1e308], [1e308], [-0.9e308], [0.9e308], [0.8e308], [-0.8e308]])
    huge, small = learn(frame(values)), learn(frame(values / 1e308))
    assert huge.apply(frame(values))["anomaly"].to_list() == pytest.approx(
        small.apply(frame(values / 1e308))["anomaly"].to_list()
    )
