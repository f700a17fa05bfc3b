"""Law 8: a side is for ever, leaks leave the training side alone, looks are counted, and no score stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.flow.world import World, small_chunks
from tillage.flow.run import Project
from tillage.flow.stages import SIDE

PLAN = """\
project: scores
tables:
  notes: {collect: {files: {path: "data/*.csv", types: {x: float64}}}, key: id, max_quarantine: 1}
  clean:
    from: notes
    steps:
      - derive: {columns: {label: "if(text like 'a%', 'yes', 'no')", amount: "n * 2 + coalesce(x, 0)"}}
models:
  alone: {learn: naive_bayes, from: clean, input: text, target: label, split: {test: 0.3}}
  town:  {learn: naive_bayes, from: clean, input: text, target: label, split: {test: 0.4, group: city}}
  value: {learn: tabular_regressor, from: clean, input: [n, city], target: amount, split: {test: 0.3, leak: false}}
"""
CLASSES = {"accuracy", "macro_f1", "roc_auc", "average_precision", "log_loss", "brier"}
METRICS = {"alone": CLASSES, "town": CLASSES, "value": {"r2", "mae", "rmse"}}


def sides(p: Project, model: str) -> pl.DataFrame:
    """Rows of the first stage of a model, each with its side."""
    [first] = [s.name for s in p.stages.values() if s.target == model and s.kind == "map"]
    return p.store.frame(first).select("_id", "city", "text", SIDE)


def check_leaks(p: Project, model: str) -> int:
    """Leaks are training rows that say what a test row says, all of them; no row of the test side is gone."""
    shown = sides(p, model)
    side = dict(shown.select("_id", SIDE).rows())
    [leaks] = [s.name for s in p.stages.values() if s.target == model and s.kind == "whole"]
    left = p.store.frame(leaks, "left")
    gone = left["_id"].to_list() if "_reason" in left.columns else []
    assert {side[i] for i in gone} <= {"train"}
    assert set(left["_reason"] if gone else []) <= {"leak"}
    here = set(p.store.frame(leaks)["_id"])
    assert {i for i, s in side.items() if s == "test"} <= here
    tested = {" ".join((t or "").lower().split()) for t, s in shown.select("text", SIDE).rows() if s == "test"}
    same = {i for i, t in shown.select("_id", "text").rows() if " ".join((t or "").lower().split()) in tested}
    assert set(gone) == {i for i in same if side[i] == "train"}
    return len(gone)


def check_scores(told: dict[str, Any], rows: int) -> None:
    for name, model in told.items():
        assert set(model["metrics"]) == set(model["baseline"]) == set(model["interval"]) == METRICS[name]
        for metric, (low, high) in model["interval"].items():
            assert low <= high, (name, metric)
            assert metric != "accuracy" or low <= model["metrics"][metric] <= high
        assert model["train"] + model["test"] + sum(model["left"].values()) == rows
        assert set(model["left"]) <= {"leak"}
        assert model["looks"] >= 1


def ascii_world(root: Path, seed: int) -> World:
    """Texts that are their own normal form, so that the oracle of leaks needs no Unicode."""
    world = World(root, seed, PLAN)
    world.text = lambda: f"{world.random.choice(('apple', 'ant', 'bee', 'Bee', 'cat'))} {world.random.randint(0, 4)}"  # type: ignore[method-assign]
    world.write_rows(root / "data" / "base.csv", [[str(100 + i), world.text(), "Ulm", "0.5", "1"] for i in range(30)])
    for _ in range(3):
        world.add_file()
    for path in world.files():
        world.write_rows(path, [[r[0], world.text(), *r[2:]] for r in world.read_rows(path)])
    return world


@pytest.mark.parametrize("seed", [91, pytest.param(92, marks=pytest.mark.nightly)])
def test_sides_leaks_looks_and_scores(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = ascii_world(tmp_path / "w", seed)
    alone: dict[int, str] = {}
    town: dict[str, str] = {}
    looks: dict[str, int] = {}
    leaks = both_sides = 0
    with world.open() as p:
        for n in range(4):
            outcome = p.run()
            for row, side in sides(p, "alone").select("_id", SIDE).rows():
                assert alone.setdefault(row, side) == side, "a row has changed its side"
            for city, row, side in sides(p, "town").select("city", "_id", SIDE).rows():
                assert town.setdefault(city or f"row {row}", side) == side, "a group has changed its side"
            leaks += check_leaks(p, "alone") + check_leaks(p, "town")
            both_sides += len(set(alone.values())) == 2
            told = p.summary(outcome)["models"]
            check_scores(told, p.store.count("clean"))
            for name in told:
                seen = looks.get(name, 0) + (name in outcome.changed)
                assert told[name]["looks"] == seen, "each look at the test part counts, and nothing else does"
                looks[name] = seen
            assert p.run().changed == []
            assert {m: v["looks"] for m, v in p.summary()["models"].items()} == looks
            if n < 3:
                world.add_file()
                world.edit()
    assert leaks > 10
    assert both_sides == 4
    assert len(alone) > 60
    assert max(looks.values()) > 1


def test_a_row_that_comes_again_stands_where_it_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = ascii_world(tmp_path / "w", 93)
    base = world.root / "data" / "base.csv"
    rows = world.read_rows(base)
    with world.open() as p:
        p.run(["alone"])
        before = dict(sides(p, "alone").select("_id", SIDE).rows())
        world.write_rows(base, rows[::2])
        p.run(["alone"])
        assert sides(p, "alone").height < len(before)
        world.write_rows(base, rows[::-1])
        p.run(["alone"])
        assert dict(sides(p, "alone").select("_id", SIDE).rows()) == before


def test_a_model_without_test_rows_says_so_and_shows_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", 94, PLAN.replace("test: 0.3", "test: 0.00001"))
    with world.open() as p:
        p.run(["alone"])
        model = p.summary()["models"]["alone"]
        assert (model["metrics"], model["baseline"], model["interval"], model["looks"]) == ({}, {}, {}, 0)
        assert "not evaluated" in model["warnings"][0]
