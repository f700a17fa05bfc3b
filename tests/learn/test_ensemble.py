"""Learners in shards against their members taken one by one, averaged by hand; and what a shard cannot learn."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from tests.learn.test_every_learner import WITHOUT, fit, learner, table

import tillage.learn
from tillage.core.errors import BadData
from tillage.core.keys import fraction
from tillage.core.state import digest
from tillage.core.step import Sharded
from tillage.learn import NaiveBayes, TabularClassifier, TabularRegressor, TextClassifier
from tillage.learn.columns import ColumnWeights, features, learn_columns

SHARDED = [
    cls for name in tillage.learn.__all__ if isinstance(cls := getattr(tillage.learn, name), type)
    if issubclass(cls, Sharded) and name not in WITHOUT
]  # fmt: skip


def shard_of(rows: pl.DataFrame, shards: int) -> list[int]:
    return [int(x * shards) for x in fraction(rows["_id"], "shard")]


def test_there_are_seven() -> None:
    named = {"FineTunedClassifier", "ImageClassifier", "TextClassifier", "TabularClassifier", "TabularRegressor"}
    named |= {"EntityRecognizer", "StructuredPerceptron"}
    assert {cls.__name__ for cls in SHARDED} | WITHOUT == named
    assert {cls.__name__ for cls in SHARDED if cls.resumes} == {"TabularClassifier"}


@pytest.mark.parametrize("cls", SHARDED)
def test_the_answer_is_the_mean_of_models_of_each_shard_alone(cls: Any) -> None:
    rows, exam = table(200), table(60, seed=1)
    of = pl.Series(shard_of(rows, 3))
    assert sorted(of.unique()) == [0, 1, 2]
    alone = [fit(learner(cls), rows.filter(of == n)) for n in range(3)]
    found = fit(learner(cls, shards=3), rows).apply(exam)
    if cls.task == "regression":
        mean = np.mean([m.apply(exam)["prediction"].to_numpy() for m in alone], axis=0)
        assert np.allclose(found["prediction"].to_numpy(), mean, rtol=1e-12)
        return
    said = [m.apply(exam) for m in alone]
    second = np.mean([np.where(s["prediction"] == "1", s["confidence"], 1 - s["confidence"]) for s in said], axis=0)
    assert found["prediction"].to_list() == ["1" if p > 0.5 else "0" for p in second]
    assert np.allclose(found["confidence"].to_numpy(), np.maximum(second, 1 - second), rtol=1e-12)


@pytest.mark.parametrize("cls", SHARDED)
def test_a_row_shows_in_its_shard_alone(cls: Any) -> None:
    rows = table(150)
    before = fit(learner(cls, shards=4, slices=3), rows).state["shards"]
    for gone in (0, 77):
        after = fit(learner(cls, shards=4, slices=3), rows.filter(pl.int_range(pl.len()) != gone)).state["shards"]
        changed = [n for n in range(4) if digest(before[n]) != digest(after[n])]
        assert changed == [shard_of(rows, 4)[gone]]


def test_a_shard_holds_about_its_share_whatever_the_ids() -> None:
    n = 20_000
    rows = pl.DataFrame({"_id": pl.Series(range(n), dtype=pl.UInt128)})
    parted = TabularClassifier(target="y", shards=10, slices=4).parted(rows)
    sizes = [part.height for slices in parted for part in slices]
    assert sum(sizes) == n
    assert np.abs(np.array(sizes) - n / 40).max() < 5 * (n / 40) ** 0.5
    assert [len(s) for s in TextClassifier(input="t", target="y", shards=10, slices=4).parted(rows)] == [1] * 10


def test_classes_that_a_shard_has_not_seen_get_nothing_from_it() -> None:
    rows = table(150)
    of = pl.Series(shard_of(rows, 3))
    rows = rows.with_columns(y=pl.when(of == 0).then(pl.lit("zero") + pl.col("y").cast(pl.String)).otherwise("y"))
    model = fit(TabularClassifier(target="y", shards=3), rows)
    assert model.state["classes"] == ["0", "1", "zero0", "zero1"]
    assert [m["classes"] for m in model.state["shards"]] == [["zero0", "zero1"], ["0", "1"], ["0", "1"]]
    found = model.apply(rows)
    assert set(found["prediction"]) <= {"0", "1"}  # two of three say so
    assert found["confidence"].max() <= 2 / 3 + 1e-12  # type: ignore[operator]


def test_a_shard_of_one_class_takes_no_part() -> None:
    rows = table(150)
    of = pl.Series(shard_of(rows, 3))
    rows = rows.with_columns(y=pl.when(of == 1).then(7).otherwise("y"))
    step = TabularClassifier(target="y", shards=3, slices=2)
    states = [step.train(pl.concat(slices), None) for slices in step.parted(rows)]
    told = [step.refused(state) for state in states]
    assert told[0] is told[2] is None
    assert "single class '7'" in str(told[1])
    assert len(step.join(states).state["shards"]) == 2
    with pytest.raises(BadData, match=r"None of the 90 shards could learn\. .* Or use fewer shards"):
        fit(TabularClassifier(target="y", shards=90), table(9))


def test_slices_that_cannot_learn_do_not_keep_later_ones_from_it() -> None:
    rows = table(150)
    step = TabularClassifier(target="y", slices=3)
    early = pl.concat(step.parted(rows)[0][:2])["_id"]
    rows = rows.with_columns(y=pl.when(pl.col("_id").is_in(early.implode())).then(1).otherwise("y"))
    sliced, plain = fit(step, rows), fit(TabularClassifier(target="y"), rows)
    assert "shards" not in sliced.state
    assert digest(sliced.state) == digest(plain.state), "nothing was learnt that could be resumed"


def test_resumed_is_near_what_is_learnt_straight_on() -> None:
    rows = table(150).drop("text")
    plain, sliced = (fit(TabularClassifier(target="y", model="linear", slices=n), rows) for n in (1, 4))
    assert digest(plain.state) != digest(sliced.state)
    for name in ("coefficients", "intercepts"):
        assert np.allclose(plain.state[name], sliced.state[name], atol=2e-3)
    assert sliced.state["columns"] == plain.state["columns"]


def test_a_feature_has_a_name_for_each_column_of_the_matrix() -> None:
    rows = table(150).with_columns(prose=pl.format("the number {} of them all", "_id"), const=1)
    learnt = learn_columns(rows, ["size", "kind", "day", "open", "prose", "const"])
    assert {c["kind"] for c in learnt} == {"number", "category", "prose", "dropped"}
    names = features(learnt)
    assert len(names) == len(set(names)) == ColumnWeights(learnt).matrix(rows).shape[1]
    matrix = ColumnWeights(learnt).matrix(rows).toarray()
    b, march = (rows["kind"] == "b").fill_null(value=False), rows["day"].dt.month() == 3
    assert (matrix[:, names.index('["kind", "level", "b"]')] == b.to_numpy()).all()
    assert (matrix[:, names.index('["day", "month", "3"]')] == march.to_numpy()).all()


def test_an_exact_learner_says_that_it_needs_no_shards() -> None:
    with pytest.raises(ValidationError, match="forgets a row exactly and trains nothing again, so leave 'shards' out"):
        NaiveBayes.model_validate({"input": "text", "target": "y", "shards": 3})


def test_bounds() -> None:
    for wrong in ({"shards": 0}, {"shards": 1001}, {"slices": 0}, {"slices": 101}):
        with pytest.raises(ValidationError):
            TabularRegressor.model_validate({"target": "y", **wrong})


def test_the_place_of_an_id_is_for_ever() -> None:
    """Another hash would move every row, and no kept state would be recalled."""
    found = TabularClassifier(target="y", shards=1000).parted(
        pl.DataFrame({"_id": pl.Series([int(hashlib.sha256(b"a").hexdigest()[:30], 16)], dtype=pl.UInt128)})
    )
    assert [n for n, slices in enumerate(found) if slices[0].height] == [735]
