"""Forecasts: nothing later is looked at, what is regular is found, and intervals hold."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core.errors import BadData
from tillage.core.state import digest
from tillage.face.rooms import registry
from tillage.flow.compare import compare
from tillage.flow.configuration import load
from tillage.flow.foreseen import missing_columns
from tillage.flow.results import load_report
from tillage.flow.run import Project
from tillage.learn import Forecaster
from tillage.learn.forecaster import _widths
from tillage.learn.history import NOWHEN, History, looks_of, seasons_of, step_of, ticks_of

HOUR = 3600 * 10**6
START = dt.datetime.fromisoformat("2024-01-01")


def hours(count: int, seed: int = 0) -> pl.DataFrame:
    """A day's and a week's rhythm with noise that is greater at noon."""
    random = np.random.default_rng(seed)
    n = np.arange(count)
    noon = 1 - np.abs(n % 24 - 12) / 12
    y = 100 + 50 * noon - 30 * (n // 24 % 7 >= 5) + random.normal(size=count) * (1 + 5 * noon)
    at = pl.datetime_range(START, START + dt.timedelta(hours=count - 1), "1h", eager=True)
    return pl.DataFrame({"_id": pl.Series(n * 7919 % 2**31, dtype=pl.UInt128), "at": at, "y": y})


def forecaster(**more: Any) -> Forecaster:
    return Forecaster(**{"time": "at", "target": "y", "horizon": 24, "trees": 30, **more})


def test_changing_the_future_changes_nothing_before_it() -> None:
    """Law 10, of features, naive forecasts and the exam: a row sees what was known `horizon` steps before it."""
    rows = hours(1200)
    model = forecaster().compute({"rows": rows[:800]})
    for cut, seen in ((900, 924), (1000, 1024)):
        other = rows.with_columns(y=pl.when(pl.int_range(pl.len()) >= cut).then(-9999.0).otherwise("y"))
        first, _ = model.examined(rows[800:])
        second, _ = model.examined(other[800:])
        said = ["prediction", "prediction_low", "prediction_high", "baseline"]
        assert first[: seen - 800].select(said).equals(second[: seen - 800].select(said))
        assert not first.select(said).equals(second.select(said))
        assert model.examined(rows[800:seen])[0].select(said).equals(first[: seen - 800].select(said))


def test_backtests_learn_from_the_past_alone() -> None:
    rows = hours(1000)
    told = forecaster(backtests=4).compute({"rows": rows}).state["backtests"]
    assert [b["from"] for b in told] == sorted(b["from"] for b in told)
    assert sum(b["rows"] for b in told) == 500
    spoilt = rows.with_columns(y=pl.when(pl.int_range(pl.len()) >= 875).then(-9999.0).otherwise("y"))
    again = forecaster(backtests=4).compute({"rows": spoilt}).state["backtests"]
    assert again[:3] == told[:3]
    assert again[3]["mae"] > 1000


def test_what_is_regular_is_found_and_the_naive_forecast_is_last_weeks() -> None:
    rows = hours(3000)
    model = forecaster(trees=None).compute({"rows": rows[:2500]})
    assert (model.state["step"], model.state["season"]) == (HOUR, 168)
    assert {24, 48, 168, 336} <= set(model.state["lags"])
    found, told = model.examined(rows[2500:])
    assert found["baseline"].to_list() == rows["y"][2500 - 168 : 3000 - 168].to_list()
    off, naive = ((found[c] - found["y"]).abs().mean() for c in ("prediction", "baseline"))
    assert off < 0.85 * naive  # type: ignore[operator]
    assert told["warnings"] == []
    assert 0.84 < told["forecast"]["held"] < 0.96
    width = (found["prediction_high"] - found["prediction_low"]).to_numpy()
    at = found["at"].dt.hour().to_numpy()
    assert width[at == 12].mean() > 3 * width[at == 0].mean()


def test_test_rows_among_the_training_rows_are_warned_of() -> None:
    rows = hours(600)
    model = forecaster().compute({"rows": rows.filter(pl.int_range(pl.len()) % 5 > 0)})
    assert "test_from" in model.examined(rows.filter(pl.int_range(pl.len()) % 5 == 0))[1]["warnings"][0]


@pytest.mark.parametrize("kind", ["text", "date", "whole"])
def test_times_come_in_several_forms(kind: str) -> None:
    rows = hours(400)
    forms = {
        "text": pl.col("at").dt.to_string("%Y-%m-%d %H:%M:%S"),
        "date": pl.date(2020, 1, 1) + pl.duration(days=pl.int_range(pl.len())),
        "whole": pl.int_range(pl.len()),
    }
    model = forecaster(horizon=7).compute({"rows": rows.with_columns(at=forms[kind])})
    assert model.state["step"] == {"text": HOUR, "date": 24 * HOUR, "whole": 1}[kind]
    assert model.state["season"] == {"text": 168, "date": 7, "whole": 7}[kind]
    assert model.apply(rows.with_columns(at=forms[kind]))["prediction"].is_finite().all()


def test_series_do_not_know_of_each_other() -> None:
    rows = hours(500)
    two = pl.concat(
        [
            rows.with_columns(who=pl.lit("a")),
            rows.with_columns(pl.col("y") * 10, who=pl.lit("b"), _id=pl.col("_id") + 1),
        ]
    )
    model = forecaster(series="who").compute({"rows": two})
    later = pl.DataFrame({"at": [START + dt.timedelta(hours=510)] * 3, "who": ["a", "b", "never"]})
    found = model.apply(later)["prediction"]
    assert found[1] > 5 * found[0]
    assert found.is_finite().all()
    assert model.apply(later[:1]).equals(model.apply(later)[:1])


def test_the_order_of_rows_and_equal_times_do_not_show() -> None:
    rows = hours(300)
    double = pl.concat([rows, rows.with_columns(pl.col("_id") + 1, y=pl.col("y") + 2)])
    first = forecaster().compute({"rows": double})
    assert digest(first.state) == digest(forecaster().compute({"rows": double.reverse()}).state)
    place = History(first.state["places"], first.state["times"], first.state["values"], first.state["origin"], HOUR)
    np.testing.assert_allclose(place.grid[0], rows["y"] + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.floats(-9, 9)), min_size=2, max_size=40),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(0, 320),
)
def test_no_feature_looks_past_the_horizon(values: list[tuple[int, float]], step: int, horizon: int, now: int) -> None:
    """However irregular the times: what lies later than `horizon` steps before a row takes no part."""
    ticks, y = np.array([t for t, _ in values]), np.array([v for _, v in values])
    looks, series = looks_of(horizon, []), np.zeros(len(y), np.int64)
    later = ticks > now - horizon * step
    other = np.where(later, 1e6, y)
    row = (np.zeros(1, np.int64), np.array([now]))
    first, second = (History(series, ticks, v, 0, step) for v in (y, other))
    for of in ("features", "naive"):
        np.testing.assert_array_equal(getattr(first, of)(*row, looks), getattr(second, of)(*row, looks))


def test_features_are_what_they_say() -> None:
    y = np.arange(40.0)
    history = History(np.zeros(40, np.int64), np.arange(40), y, 0, 1)
    looks = looks_of(2, [], [2, 5])
    found = history.features(np.zeros(1, np.int64), np.array([30]), looks)[0]
    assert found[:2].tolist() == [28.0, 25.0]
    mean, deviation = found[2:4]
    assert (mean, deviation) == (y[26:29].mean(), pytest.approx(y[26:29].std()))
    assert np.isnan(history.features(np.zeros(1, np.int64), np.array([NOWHEN]), looks)).all()
    assert np.isnan(history.features(np.array([-1]), np.array([30]), looks)).all()


def test_widths_are_quantiles_of_the_errors() -> None:
    """Of 199 errors a tenth of the 200 places for a new one lies outside: the tenth from either end."""
    errors = np.arange(1.0, 200.0)[::-1]
    assert _widths(errors, np.zeros(199, np.int64), 0.9, 1).tolist() == [[10.0, 190.0]]
    assert _widths(errors[:5], np.zeros(5, np.int64), 0.9, 1).tolist() == [[-np.inf, np.inf]]
    slots = (np.arange(199) >= 100).astype(np.int64)
    assert _widths(errors, slots, 0.9, 2)[0].tolist() == [104.0, 195.0]


def test_steps_and_seasons() -> None:
    assert step_of(np.zeros(5, int), np.array([0, 60, 120, 300, 360])) == 60
    assert seasons_of(24 * HOUR, 100, True) == [7]
    assert seasons_of(30 * 24 * HOUR, 100, True) == [12]
    assert seasons_of(HOUR, 200, True) == [24]
    assert seasons_of(HOUR, 200, False) == []
    assert ticks_of(pl.Series([None], dtype=pl.Date))[0].tolist() == [NOWHEN]


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        (hours(50), {"lags": (3,)}, "A lag of 3 looks at what is not known 24 steps ahead"),
        (hours(50).with_columns(at=pl.lit("soon")), {}, "no dates in the form of ISO 8601"),
        (hours(50).with_columns(at=pl.lit(0.5)), {}, "holds Float64, which is no time"),
        (hours(50).with_columns(at=pl.lit(None, dtype=pl.Date)), {}, "0 rows have both a time in 'at'"),
        (hours(50).with_columns(at=pl.int_range(pl.len()) ** 9), {"horizon": 1}, "too irregular"),
    ],
)
def test_what_cannot_be_forecast_is_said(rows: pl.DataFrame, more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData, match=said):
        forecaster(**more).compute({"rows": rows})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"known": ("y",)}, "'known' names 'y'"),
        ({"series": "y"}, "'series' names 'y'"),
        ({"time": "y"}, "'time' names"),
    ],
)
def test_the_target_is_not_among_what_is_known(more: dict[str, Any], said: str) -> None:
    """Its value at the time that is forecast would stand among the features: a perfect score, and nothing learnt."""
    with pytest.raises(ValueError, match=said):
        forecaster(**more)


def test_known_columns_that_say_nothing_are_left_out() -> None:
    """Such as a holiday of which the past has none: there is the past to learn from all the same."""
    rows = hours(200).with_columns(holiday=pl.lit(None, pl.String), open=pl.lit(True))
    bare, more = (forecaster(known=known).compute({"rows": rows}) for known in ((), ("holiday", "open")))
    assert [column["kind"] for column in more.state["known"]] == ["dropped", "dropped"]
    later = rows.tail(5).with_columns(holiday=pl.lit("May Day"))
    assert more.apply(later)["prediction"].equals(bare.apply(later)["prediction"])


TABLES = """\
project: traffic
tables:
  hours: {collect: {files: "data/*.csv"}, key: at}
  past: {from: hours, steps: [{filter: "at < '2024-02-01'"}]}
  later: {from: hours, steps: [{filter: "at >= '2024-02-01'"}]}
models:
"""
PLAN = f"""{TABLES}\
  flow: {{learn: forecaster, from: past, test_from: later, time: at, target: y, horizon: 24, trees: 100,
    evaluate: {{linear: false}}}}
"""


def test_in_a_plan(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = hours(1000).select(pl.col("at").dt.to_string("%Y-%m-%d %H:%M:%S"), "y")
    rows.write_csv(tmp_path / "data" / "a.csv")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    with Project(load(tmp_path / "tillage.yaml", registry()), registry()) as project:
        project.run()
        told = load_report(project.store, "flow")
    assert told["metrics"]["mae"] < told["baseline"]["mae"]
    assert (told["test"], told["warnings"], told["forecast"]["season"]) == (1000 - 31 * 24, [], 168)


SEVERAL = f"""{TABLES}\
  near: {{learn: forecaster, from: past, test_from: later, time: at, target: y, horizon: 1, trees: 40, known: [event],
    evaluate: {{folds: 3, robustness: true}}}}
  far: {{learn: forecaster, from: past, test_from: later, time: at, target: y, horizon: 48, trees: 40}}
"""


def test_whatever_is_told_of_a_forecast_is_of_rows_as_they_would_have_been_predicted_then(tmp_path: Path) -> None:
    """Of a series that wanders, what was known last autumn says little; what was known an hour ago, much."""
    (tmp_path / "data").mkdir()
    rows = hours(1400)
    random = np.random.default_rng(2)
    event = random.random(1400) < 0.3
    wandering = rows["y"].to_numpy() + np.cumsum(random.normal(0, 3, 1400)) + 60 * event
    said = rows.select(pl.col("at").dt.to_string("%Y-%m-%d %H:%M:%S"), y=pl.Series(wandering), event=pl.Series(event))
    said.write_csv(tmp_path / "data" / "a.csv")
    (tmp_path / "tillage.yaml").write_text(SEVERAL)
    with Project(load(tmp_path / "tillage.yaml", registry()), registry()) as project:
        project.run()
        near, far = (load_report(project.store, name) for name in ("near", "far"))
        by_metric = {one["metric"]: one for one in compare(project, "near", "far")["metrics"]}
    for metric in ("mae", "rmse", "r2"):
        both = by_metric[metric]
        told = (near["metrics"][metric], far["metrics"][metric])
        assert (both["first"], both["second"]) == pytest.approx(told), metric
    assert near["robustness"]["clean"] == pytest.approx(near["metrics"]["mae"])
    assert [way["name"] for way in near["robustness"]["ways"]] == ["without 'event'"]
    [column] = near["importance"]["columns"]
    assert column["column"] == "event"
    assert column["loss"] > 5
    assert near["importance"]["whole"] == pytest.approx(near["metrics"]["mae"])
    found = near["cross_validation"]
    assert (found["time"], [fold["train"] for fold in found["folds"]]) == ("at", [186, 372, 558])
    assert found["mean"]["mae"] < found["baseline"]["mae"]
    assert not any("drawn at random" in warning for warning in near["warnings"])


def test_a_column_that_is_not_there_is_found_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_text(PLAN.replace("time: at", "time: day"))
    plan = load(tmp_path / "tillage.yaml", registry())
    [problem] = missing_columns(plan, plan.models["flow"], {"at": "String", "y": "Float64"}, "past")
    assert problem.message.startswith("Model 'flow': table 'past' has no column 'day' for its 'time'.")
    assert (problem.line, problem.column) == (7, PLAN.splitlines()[6].index("time: at") + len("time: ") + 1)
