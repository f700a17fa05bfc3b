"""What every learner promises, over all that the room exports: the same again, each row on its own, state as data."""

from __future__ import annotations

import importlib.util
import inspect
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from tests.text import tiny_encoder

import tillage.learn
from tillage.core.errors import BadData, UnknownName, UsageError
from tillage.core.state import decode, digest, encode
from tillage.core.step import Fitted, Fold, Sharded, Whole
from tillage.learn.learner import Learner

EXPORTED = [getattr(tillage.learn, name) for name in tillage.learn.__all__]
DEEP = {"FineTunedClassifier"}
ELSEWHERE = {"ImageClassifier", "EntityRecognizer", "StructuredPerceptron"}
"""Learners of what a table has not: of pictures, of parts of texts, which files of their own name face."""
WITHOUT = ELSEWHERE | (set() if importlib.util.find_spec("torch") else DEEP)
"""Learners that nobody asks here; those of PyTorch where it is not, since it comes with a lock of its own."""
LEARNERS = [cls for cls in EXPORTED if issubclass(cls, Learner) and cls.__name__ not in WITHOUT]


def in_shards(cls: Any, **more: Any) -> Any:
    """The same learner with other defaults, under the same name."""
    values = {"__module__": cls.__module__, "__annotations__": dict.fromkeys(more, int), **more}
    return type(cls)(cls.__name__, (cls,), values)


SHARDED = [in_shards(cls, shards=3, slices=2) for cls in LEARNERS if issubclass(cls, Sharded)]
EVERY = [pytest.param(cls, id=cls.__name__) for cls in LEARNERS]
EVERY += [pytest.param(cls, id=f"{cls.__name__} in shards") for cls in SHARDED]
ADDED = ("prediction", "confidence", "prediction_low", "prediction_high")
TEXTUAL = {"NaiveBayes", "TextClassifier", *DEEP}


@cache
def encoder() -> str:
    """A folder with a small pretrained encoder."""
    return str(tiny_encoder.write(Path(mkdtemp(prefix="tillage-encoder-"))))


OWN: dict[str, dict[str, Any]] = {
    "Forecaster": {
        "time": "day",
        "known": ("text", "kind", "size", "open"),
        "leaves": 4,
        "trees": 60,
        "learning_rate": 0.2,
    }
}
"""What learners ask for besides a target."""


def learner(cls: Any, **more: Any) -> Any:
    given: dict[str, Any] = {"input": "text"} if cls.__name__ in TEXTUAL else OWN.get(cls.__name__, {})
    if cls.__name__ in DEEP:
        given = given | {"model": encoder(), "epochs": 10, "batch": 16, "learning_rate": 3e-3, "precision": "float32"}
    return cls(target="y", **given, **more)


def table(count: int = 150, seed: int = 0) -> pl.DataFrame:
    """Rows whose target follows from text, number and category, with holes; two Chinese words among them."""
    random = np.random.default_rng(seed)
    size = random.normal(size=count)
    kind = random.choice(["a", "b", "c"], count)
    high = size + (kind == "a") > 0
    words = ["small calm \u5c0f", "big loud \u5927"]
    text = [f"{words[int(h)]} thing {random.integers(5)} of {k}" for h, k in zip(high, kind, strict=True)]
    rows = pl.DataFrame(
        {
            "_id": pl.Series([int(n) * 7919 + 2**70 for n in random.permutation(count)], dtype=pl.UInt128),
            "size": size,
            "kind": kind,
            "text": text,
            "day": pl.date_range(pl.date(2024, 1, 1), pl.date(2025, 12, 31), eager=True)[:count],
            "open": random.random(count) > 0.5,
        }
    )
    hole = pl.Series(random.random(count) < 0.1)
    return rows.with_columns(
        pl.when(~hole).then(pl.col("size", "kind", "text")).name.keep(), y=pl.Series(high.astype(np.int64))
    )


def fit(step: Any, rows: pl.DataFrame) -> Fitted:
    model = step.compute({"rows": rows}) if isinstance(step, Whole) else step.finish(step.update(step.start(), rows))
    assert isinstance(model, Fitted)
    return model


def test_there_are_learners_and_each_gives_an_exported_model() -> None:
    assert {cls.__name__ for cls in LEARNERS} >= {"NaiveBayes", "TextClassifier", "TabularClassifier"}
    for cls in LEARNERS:
        assert issubclass(cls, Fold | Whole)
        assert cls.task in ("classification", "regression")
        assert type(fit(learner(cls), table())) in EXPORTED
        assert not inspect.isabstract(cls)


GRAPHS = [cls for cls in EXPORTED if hasattr(cls, "onnx")]


@pytest.mark.parametrize("cls", GRAPHS)
def test_a_graph_is_asked_for_as_the_command_asks(cls: Any) -> None:
    assert len(GRAPHS) > 8
    inspect.signature(cls.onnx).bind(None, {"tillage.model": "m"})
    inspect.signature(cls.onnx).bind(None)


@pytest.mark.parametrize("cls", EVERY)
class TestEvery:
    def test_a_graph_bears_what_it_is_told_or_is_refused(self, cls: Any) -> None:
        model = fit(learner(cls), table())
        write = getattr(model, "onnx", None)
        if write is None:
            return
        try:
            data = write({"tillage.model": "m"})
        except UsageError:
            return
        assert ("tillage.model", "m") in [(p.key, p.value) for p in onnx.load_from_string(data).metadata_props]

    def test_the_same_again_whatever_the_order(self, cls: Any) -> None:
        rows = table()
        before = rows.clone()
        first = digest(fit(learner(cls), rows).state)
        assert digest(fit(learner(cls), rows).state) == first
        assert digest(fit(learner(cls), rows.sample(fraction=1, shuffle=True, seed=5)).state) == first
        assert digest(fit(learner(cls), rows.with_columns(y=1 - pl.col("y"))).state) != first
        assert rows.equals(before)

    def test_rows_without_target_teach_nothing(self, cls: Any) -> None:
        rows = table()
        none = rows.head(20).with_columns(
            pl.lit(None, dtype=pl.Int64).alias("y"), text=pl.lit("unheard"), _id=pl.col("_id") + 1
        )
        assert digest(fit(learner(cls), pl.concat([none, rows])).state) == digest(fit(learner(cls), rows).state)

    def test_a_model_is_a_map(self, cls: Any) -> None:
        model, rows = fit(learner(cls), table()), table(60, seed=1).drop("y")
        before = rows.clone()
        whole = model.apply(rows)
        assert rows.equals(before)
        assert whole.drop(*ADDED, strict=False).equals(rows)
        assert set(model.needs()) <= set(rows.columns)
        single = pl.concat([model.apply(rows[i : i + 1]) for i in range(rows.height)])
        uneven = pl.concat([model.apply(rows[:7]), model.apply(rows[7:])])
        assert single.equals(whole)
        assert uneven.equals(whole)
        assert model.apply(rows.reverse()).reverse().equals(whole)

    def test_predictions_have_their_types(self, cls: Any) -> None:
        model = fit(learner(cls), table())
        for rows in (table(20, seed=1), table(20, seed=1).clear(), table(5).drop("_id", "y")):
            found = model.apply(rows)
            assert found.height == rows.height
            assert found["prediction"].null_count() == 0
            if cls.task == "classification":
                assert found.schema["prediction"] == pl.String
                assert found.schema["confidence"] == pl.Float64
                assert set(found["prediction"]) <= {"0", "1"}
                assert found["confidence"].is_between(0.5, 1).all()
            else:
                assert found.schema["prediction"] == pl.Float64
                assert found["prediction"].is_finite().all()

    def test_it_learns(self, cls: Any) -> None:
        rows = table(200, seed=2)
        guess = fit(learner(cls), table()).apply(rows)["prediction"].cast(pl.Float64) > 0.5
        assert (guess == (rows["y"] == 1)).sum() > 0.85 * rows.height

    def test_the_state_is_data(self, cls: Any) -> None:
        model, rows = fit(learner(cls), table()), table(30, seed=3)
        again = type(model)(state=decode(encode(model.state)))
        assert again.apply(rows).equals(model.apply(rows))
        assert again.fingerprint() == model.fingerprint()

    def test_nulls_and_things_never_seen_are_predicted(self, cls: Any) -> None:
        rows = table(4).with_columns(
            pl.Series("text", [None, "", "\u4f60\u597d " * 50, "\U0001f600"]),
            pl.Series("kind", [None, "never", "\u4f60", ""]),
            pl.Series("size", [None, float("nan"), float("inf"), -1e308]),
        )
        found = fit(learner(cls), table()).apply(rows)
        assert found["prediction"].null_count() == 0
        assert (
            found.select(pl.selectors.by_name("confidence", "prediction", require_all=False))
            .null_count()
            .sum_horizontal()[0]
            == 0
        )
        nothing = rows.with_columns(pl.lit(None).alias(c) for c in ("text", "kind", "size", "day", "open"))
        assert fit(learner(cls), table()).apply(nothing)["prediction"].null_count() == 0

    def test_a_column_that_is_not_there_is_named(self, cls: Any) -> None:
        model = fit(learner(cls), table())
        with pytest.raises(UnknownName, match=model.needs()[0]):
            model.apply(table(3).drop(model.needs()[0]))
        with pytest.raises(UnknownName, match="'y'"):
            fit(learner(cls), table().drop("y"))

    def test_no_rows_are_refused(self, cls: Any) -> None:
        for rows in (table().clear(), table().with_columns(y=pl.lit(None, dtype=pl.Int64))):
            with pytest.raises(BadData, match="'y'"):
                fit(learner(cls), rows)

    def test_one_class_is_refused_and_named(self, cls: Any) -> None:
        rows = table().with_columns(y=pl.lit(7))
        if cls.task == "classification":
            with pytest.raises(BadData, match="single class '7'"):
                fit(learner(cls), rows)
        else:
            assert set(fit(learner(cls), rows).apply(rows)["prediction"].round(9)) == {7.0}

    def test_a_class_of_one_row_is_learnt(self, cls: Any) -> None:
        rows = table().with_columns(y=pl.when(pl.col("_id") == pl.col("_id").min()).then(9).otherwise(pl.col("y")))
        model = fit(learner(cls), rows)
        if cls.task == "classification":
            assert model.state["classes"] == ["0", "1", "9"]
        assert model.apply(rows).height == rows.height

    def test_inputs_of_nothing_are_refused_or_lead_to_the_prior(self, cls: Any) -> None:
        rows = table().with_columns(
            pl.lit(None, dtype=pl.String).alias(c) for c in ("text", "kind", "size", "day", "open")
        )
        if cls.__name__ == "NaiveBayes":
            assert fit(learner(cls), rows).apply(rows)["confidence"].n_unique() == 1
        else:
            with pytest.raises(BadData, match="text" if cls.__name__ != "Forecaster" else "a time in 'day'"):
                fit(learner(cls), rows)
