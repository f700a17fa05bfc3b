"""Steps that learn from some rows alone know what they would know if there were no others."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError
from tests.laws.frames import reference

import tillage.prepare
from tillage.core import ConfigurationError
from tillage.core.state import digest
from tillage.face.rooms import project
from tillage.prepare import Scale
from tillage.prepare.column_fold import RowFold

STEPS = sorted(
    (
        step
        for name in tillage.prepare.__all__
        if inspect.isclass(step := getattr(tillage.prepare, name)) and issubclass(step, RowFold)
    ),
    key=lambda step: step.__name__,
)


def test_the_steps_that_learn_are_found() -> None:
    assert [step.name() for step in STEPS] == [
        "bin", "clip_outliers", "drop_outliers", "encode", "fill_missing", "fill_nearest", "merge_spellings", "repair",
        "scale",
    ]  # fmt: skip


def rows_with_sides() -> pl.DataFrame:
    rows = reference()
    place = pl.int_range(pl.len())
    few = pl.when(place % 3 == 1).then(pl.when(place < 12).then(pl.lit("train")).otherwise(pl.lit("test")))
    return rows.with_columns(side=few)  # and null


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_only_the_chosen_rows_are_learnt_from(kind: Any) -> None:
    rows, every = rows_with_sides(), kind.example()
    step = kind.model_validate({**every.params(), "learn_from": "side = 'train'"})
    first, second = (step.update(step.start(), part) for part in (rows[:7], rows[7:]))
    alone = every.finish(every.update(every.start(), rows.filter(pl.col("side") == "train")))
    fitted = step.finish(step.merge(second, first))
    assert digest(fitted.state) == digest(alone.state)
    assert "side" in step.needs()
    assert "side" not in fitted.needs()
    if every.params().get("edges") in (None, ()):  # whose edges are given, learns nothing
        whole = every.finish(every.update(every.start(), rows))
        assert digest(fitted.state) != digest(whole.state)


def test_a_condition_that_does_not_suit_is_told() -> None:
    with pytest.raises(ValidationError, match="learn_from"):
        Scale.model_validate({"columns": ["x"], "learn_from": "side ="})
    step = Scale(columns=("x",), learn_from="sides = 'train'")
    with pytest.raises(ConfigurationError, match=r"'sides'\. Did you mean 'side'"):
        step.update(step.start(), rows_with_sides())


PLAN = """\
project: sides
tables:
  raw: {collect: {files: "data/*.csv"}, key: id}
  ready:
    from: raw
    steps:
      - split: {test: 0.3, salt: guess}
      - scale: {columns: [x], learn_from: "split = 'train'"}
models:
  guess: {learn: ridge, from: ready, input: [x], target: y, split: {test: 0.3}}
"""


def test_the_rows_that_test_a_model_are_those_that_were_not_learnt_from(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = [f"{n},{n * n % 101},{3 * n % 17}" for n in range(200)]
    (tmp_path / "data/a.csv").write_text("id,x,y\n" + "\n".join(lines) + "\n")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    with project(tmp_path) as p:
        p.run()
        rows = p.read("ready").join(p.read("raw").select("id", before="x"), on="id")
        train, test = rows.filter(split="train"), rows.filter(split="test")
        assert train["x"].to_list() == pytest.approx(
            ((train["before"] - train["before"].mean()) / train["before"].std(ddof=0)).to_list()
        )
        told = p.report("guess")
        left = sum(told["left"].values())  # leaks: what it trains on equals some of what it tests on
        assert (told["train"] + left, told["test"]) == (train.height, test.height)
