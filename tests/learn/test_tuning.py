"""Tuning: recorded, the same again, judged on rows held back alone, and better where the defaults are bad."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tillage.core.errors import Unavailable
from tillage.core.state import decode, digest, encode
from tillage.face.rooms import registry
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.learn import TabularClassifier, TabularRegressor
from tillage.learn.tuning import Range, Tune, search


def table(count: int = 200, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 6))
    y = x[:, 0] * x[:, 1] + 0.3 * random.normal(size=count)
    ids = pl.Series(np.arange(count) * 7919 % 2**31, dtype=pl.UInt128)
    of = pl.Series(np.arange(count) // 10)
    frame = pl.DataFrame({f"x{k}": x[:, k] for k in range(6)})
    return frame.with_columns(_id=ids, y=pl.Series(y), high=pl.Series((y > 0).astype(np.int64)), of=of)


@pytest.mark.parametrize("cls", [TabularClassifier, TabularRegressor])
@pytest.mark.parametrize("model", ["auto", "linear", "boosted_trees", "svm"])
def test_every_trial_is_told_and_the_same_again(cls: Any, model: str) -> None:
    rows, target = table(75), "high" if cls is TabularClassifier else "y"
    step = cls(
        target=target,
        input=("x0", "x1", "x2"),
        model=model,
        tune=Tune(trials=6),
        trees=5 if model == "boosted_trees" else None,
    )
    state = step.compute({"rows": rows}).state
    told = state["tuned"]
    assert len(told["trials"]) == 6
    assert told["loss"] <= told["first"]
    assert told["loss"] == min(t["loss"] for t in told["trials"] if not t["pruned"])
    assert all(t["folds"] == 5 or t["pruned"] for t in told["trials"])
    again = step.compute({"rows": rows.reverse()})
    assert digest(again.state) == digest(state)
    assert decode(encode(state))["tuned"] == told
    plain = cls(target=target, input=step.input, model=state["model"], trees=step.trees)
    chosen = {k: v for k, v in told["chosen"].items() if k != "model"}
    by_hand = plain.model_copy(update=chosen).compute({"rows": rows}).state
    assert digest({**by_hand, "tuned": told}) == digest(state)


@pytest.mark.parametrize(
    ("cls", "model", "searched"),
    [
        (TabularClassifier, "linear", {"regularisation"}),
        (TabularRegressor, "linear", {"alpha"}),
        (TabularRegressor, "svm", {"regularisation"}),
        (TabularRegressor, "auto", {"alpha", "learning_rate", "leaves", "model"}),
    ],
)
def test_only_what_makes_a_difference_is_searched(cls: Any, model: str, searched: set[str]) -> None:
    target = "high" if cls is TabularClassifier else "y"
    step = cls(target=target, input=("x0", "x1"), model=model, tune=Tune(trials=2))
    assert set(step.compute({"rows": table(75)}).state["tuned"]["chosen"]) == searched


def test_bad_trials_end_early_and_the_first_is_what_stood() -> None:
    asked: list[float] = []

    def losses(chosen: dict[str, Any]) -> Any:
        for _ in range(4):
            asked.append(chosen["x"])
            yield abs(np.log(chosen["x"] / 3))

    chosen, told = search(Tune(trials=30, seed=3), {"x": Range(1e-3, 1e3)}, {"x": 500.0}, losses)
    assert told["trials"][0]["parameters"] == {"x": 500.0}
    pruned = [t for t in told["trials"] if t["pruned"]]
    assert pruned
    assert sum(t["folds"] for t in told["trials"]) == len(asked) < 120
    assert 1 < chosen["x"] < 9
    assert search(Tune(trials=30, seed=4), {"x": Range(1e-3, 1e3)}, {"x": 500.0}, losses)[1] != told


def test_a_loss_that_is_no_number_is_the_worst(capfd: pytest.CaptureFixture[str]) -> None:
    for bad in (0, 1):
        left = [float("nan") if n == bad else 3.0 - n for n in range(3)]

        def losses(_: dict[str, Any], left: list[float] = left) -> Iterator[float]:
            yield left.pop(0)

        chosen, told = search(Tune(trials=3), {"x": Range(0.1, 10)}, {"x": 1.0}, losses)
        assert chosen == told["trials"][2]["parameters"]
        assert told["loss"] == 1.0
    assert capfd.readouterr().err == ""


def test_it_mends_a_bad_start() -> None:
    """Few leaves and a rate that hardly learns, of a product of two columns."""
    rows, held = table(600), table(400, 1)
    start = TabularRegressor(
        target="y", input=("x0", "x1", "x2"), model="boosted_trees", trees=20, learning_rate=0.005, leaves=2
    )
    better = start.model_copy(update={"tune": Tune(trials=12)})
    errors = [((s.compute({"rows": rows}).apply(held)["prediction"] - held["y"]) ** 2).mean() for s in (start, better)]
    assert errors[1] < 0.8 * errors[0]


def test_groups_are_not_torn_and_test_rows_not_seen(tmp_path: Path) -> None:
    """In a plan: the same model whatever the test rows say, and each trial's folds are whole groups."""
    (tmp_path / "data").mkdir()
    plan = (
        "project: tuned\ntables: {rows: {collect: {files: data/*.csv}, key: id}}\n"
        "models:\n  m: {learn: tabular_classifier, from: rows, target: high, split: {test: 0.3, group: of},\n"
        "      model: linear, tune: {trials: 4}}\n"
    )
    (tmp_path / "tillage.yaml").write_text(plan)
    rows = table(150).drop("_id", "y").with_row_index("id")
    told = []
    for spoilt in (False, True):
        with Project(load(tmp_path / "tillage.yaml", registry()), registry()) as project:
            if spoilt:
                [side] = [s.name for s in project.stages.values() if s.target == "m" and s.kind == "map"]
                split = project.store.frame(side).select("id", "tillage:side")
                marked = rows.with_columns(pl.col("id").cast(pl.Int64)).join(split, on="id")
                rows = marked.with_columns(
                    high=pl.when(pl.col("tillage:side") == "test").then(1 - pl.col("high")).otherwise("high")
                ).drop("tillage:side")
            rows.write_csv(tmp_path / "data" / "a.csv")
            project.run()
            told.append(project.report("m"))
    assert told[0]["tuned"] == told[1]["tuned"]
    assert told[0]["metrics"] != told[1]["metrics"]
    assert len(told[0]["tuned"]["trials"]) == 4


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unavailable, match=r"tillage\[tune\]"):
        search(Tune(), {"x": Range(1, 2)}, {"x": 1.0}, lambda _: iter([0.0]))


@pytest.mark.parametrize("model", ["mlp", "random_forest"])
def test_what_cannot_be_tuned_is_refused(model: Any) -> None:
    with pytest.raises(ValidationError, match=f"nothing of '{model}' is searched"):
        TabularClassifier(target="y", model=model, tune=Tune())
