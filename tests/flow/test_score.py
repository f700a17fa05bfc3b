"""Scoring: types are read as the table recorded them, and no row is lost on the way to the model."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tillage.core import BadData, Fitted, Map, UsageError, leave
from tillage.core.keys import child_ids
from tillage.face.rooms import registry
from tillage.flow import score as scoring
from tillage.flow.score import SLICE, Way, score, typed


def clock(*parts: int) -> datetime:
    """A time without a zone, as tables may hold it."""
    return datetime(*parts[:3], *parts[3:], tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


class Length(Fitted):
    """A model that says how long a text is, and is sure of it."""

    state: dict[str, Any] = Field(default_factory=lambda: {"target": "y"})

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("text").str.len_chars().cast(pl.String).alias("prediction"), confidence=1.0)


class Short(Map):
    """Turns long texts away."""

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return leave(rows, "long", pl.col("text").str.len_chars() > 5)


class Loud(Map):
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(text=pl.col("text") + pl.lit("!"))


class Twice(Map):
    makes_children = True

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        own = rows.with_columns(pl.lit(None, dtype=pl.UInt128).alias("_parent"))
        children = rows.with_columns(rows["_id"].alias("_parent"), child_ids(rows["_id"], "twice"))
        return pl.concat([own, children.select(own.columns)])


SCHEMA: dict[str, pl.DataType] = {"text": pl.String(), "n": pl.Int64(), "y": pl.String()}


def through(*maps: Map) -> Way:
    return Way("raw", SCHEMA, maps)


def test_rows_come_back_as_they_came_in_their_order() -> None:
    rows = pl.DataFrame({"extra": [1, 2, 3], "text": ["abc", "much too long", "de"], "n": ["1", "2", "3"]})
    out = score(through(Short(), Loud()), Length(), rows)
    assert out.columns == ["extra", "text", "n", "prediction", "confidence", "error"]
    assert out.select(rows.columns).equals(rows)
    assert out["prediction"].to_list() == ["4", None, "3"]
    assert out["confidence"].to_list() == [1.0, None, 1.0]
    assert out["error"].to_list() == [None, "long", None]


@given(st.lists(st.tuples(st.text(max_size=8), st.one_of(st.none(), st.integers(-5, 5).map(str), st.text(max_size=3)))))
def test_each_row_has_a_prediction_or_an_error_and_never_both(rows: list[tuple[str, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"text": pl.String, "n": pl.String}, orient="row")
    out = score(through(Short()), Length(), frame)
    assert out.height == len(rows)
    for (text, _), prediction, error in zip(rows, out["prediction"], out["error"], strict=True):
        assert (prediction is None) != (error is None)
        assert prediction is None or prediction == str(len(text))


def test_slices_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"text": [str(i) * (i % 7) for i in range(50)]})
    whole = score(through(Short()), Length(), rows)
    monkeypatch.setattr(scoring, "SLICE", 7)
    assert score(through(Short()), Length(), rows).equals(whole)
    assert SLICE > 7


def test_no_rows_and_no_good_rows() -> None:
    empty = score(through(Short()), Length(), pl.DataFrame(schema={"text": pl.String}))
    assert empty.columns == ["text", "prediction", "confidence", "error"]
    none = score(through(Short()), Length(), pl.DataFrame({"text": ["much too long"]}))
    assert none.row(0) == ("much too long", None, "long")


def test_missing_columns_are_named_all_at_once_with_the_nearest() -> None:
    class Needs(Loud):
        def needs(self) -> tuple[str, ...]:
            return ("text", "n")

    with pytest.raises(BadData) as caught:
        score(through(Needs()), Length(), pl.DataFrame({"txt": ["a"]}))
    assert "Column 'text', which needs needs, is missing; the nearest name is 'txt'." in caught.value.message
    assert "Column 'n'" in caught.value.message


def test_a_column_that_a_map_makes_is_not_missing() -> None:
    class Makes(Map):
        def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
            return rows.with_columns(text=pl.col("n").cast(pl.String))

    assert score(through(Makes()), Length(), pl.DataFrame({"n": [12345]}))["prediction"].to_list() == ["5"]


def test_the_target_may_be_absent_though_a_map_looks_at_it() -> None:
    class Looks(Map):
        def needs(self) -> tuple[str, ...]:
            return ("y",)

        def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
            return rows.with_columns(pl.col("y").fill_null("?"))

    out = score(through(Looks()), Length(), pl.DataFrame({"text": ["ab"]}))
    assert out.columns == ["text", "prediction", "confidence", "error"]
    assert out["prediction"].to_list() == ["2"]


@pytest.mark.parametrize("name", ["prediction", "confidence", "error"])
def test_columns_called_as_answers_come_back_under_another_name(name: str) -> None:
    rows = pl.DataFrame({"text": ["a", "bc"], name: [7, 8], "n": ["1", "2"]})
    out = score(through(), Length(), rows)
    assert out.columns == ["text", f"{name}_given", "n", "prediction", "confidence", "error"]
    assert out[f"{name}_given"].to_list() == [7, 8]
    assert out.drop(f"{name}_given").equals(score(through(), Length(), rows.drop(name)))
    assert score(through(), Length(), rows.clear()).columns == out.columns
    with pytest.raises(UsageError, match=name):
        score(through(), Length(), rows.with_columns(pl.lit(1).alias(f"{name}_given")))
    with pytest.raises(UsageError, match="_id"):
        score(through(), Length(), rows.with_columns(_id=1))


@pytest.mark.parametrize("name", ["prediction", "confidence", "error", "shares"])
@pytest.mark.parametrize("learner", ["ridge", "gaussian_naive_bayes"])
def test_a_model_of_a_column_called_as_an_answer(learner: str, name: str) -> None:
    rows = pl.DataFrame({"_id": pl.Series(range(80), dtype=pl.UInt128), name: [float(n % 9) for n in range(80)]})
    rows = rows.with_columns(x=pl.col(name) * -1, y=pl.col(name) * 2 if learner == "ridge" else pl.col(name) > 4)
    made, answers = [], []
    for called in (name, "plain"):
        seen = rows.rename({name: called})
        step: Any = registry().step(learner, target="y", input=[called, "x"])
        made.append(step.finish(step.update(step.start(), seen)))
        way = Way("raw", {called: pl.Float64(), "x": pl.Float64(), "y": seen.schema["y"]})
        answers.append(score(way, made[-1], seen.select(called, "x")))
    assert answers[0].columns[0] == (name if name == "shares" else f"{name}_given")
    assert answers[0].columns[1:] == answers[1].columns[1:]
    assert ("confidence" in answers[0].columns) == (learner != "ridge")
    assert answers[0].select(answers[0].columns[1:]).equals(answers[1].select(answers[1].columns[1:]))


def test_a_map_that_makes_several_rows_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match="several rows of one"):
        score(through(Twice()), Length(), pl.DataFrame({"text": ["a"]}))


# ---- types


@pytest.mark.parametrize(
    ("given_values", "dtype", "made"),
    [
        (["7", " 8 ", "", None, "007", "3.0"], pl.Int64(), [7, 8, None, None, 7, 3]),
        (["1.5", "1e3", "-2"], pl.Float64(), [1.5, 1000.0, -2.0]),
        ([1.0, 2.0, None], pl.Int64(), [1, 2, None]),
        ([1, 2], pl.Float64(), [1.0, 2.0]),
        ([7, 8], pl.String(), ["7", "8"]),
        ([True, None], pl.String(), ["true", None]),
        (["yes", "FALSE", "1"], pl.Boolean(), [True, False, True]),
        (["2024-02-29"], pl.Date(), [date(2024, 2, 29)]),
        (["2024-02-29", "2024-02-29T10:30"], pl.Datetime("us"), [clock(2024, 2, 29), clock(2024, 2, 29, 10, 30)]),
        (["2024-02-29T10:30:05+02:00"], pl.Datetime("us", "UTC"), [datetime(2024, 2, 29, 8, 30, 5, tzinfo=UTC)]),
        (["2024-02-29 10:30"], pl.Datetime("us", "UTC"), [datetime(2024, 2, 29, 10, 30, tzinfo=UTC)]),
        ([date(2024, 1, 1)], pl.Datetime("us"), [clock(2024, 1, 1)]),
        ([None, None], pl.Int64(), [None, None]),
    ],
)
def test_values_are_read_in_the_recorded_type(given_values: list[Any], dtype: pl.DataType, made: list[Any]) -> None:
    frame, errors = typed(pl.DataFrame({"v": given_values}), {"v": dtype})
    assert frame.schema["v"] == dtype
    assert frame["v"].to_list() == made
    assert errors.to_list() == [None] * len(made)


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        ("abc", pl.Int64(), "'abc' in column 'v' is not a whole number"),
        ("3.5", pl.Int64(), "'3.5' in column 'v' is not a whole number"),
        (3.5, pl.Int64(), "'3.5' in column 'v' is not a whole number"),
        ("9" * 30, pl.Int64(), "is not a whole number"),
        (2.0**60, pl.Int64(), "is not a whole number"),
        ("1e17", pl.Int64(), "is not a whole number"),
        (300, pl.Int8(), "'300' in column 'v' is not a whole number"),
        ("inf", pl.Float64(), "'inf' in column 'v' is not a number"),
        ("maybe", pl.Boolean(), "is not true or false"),
        ("2024-2-5", pl.Date(), "is not a date (YYYY-MM-DD)"),
        ("2023-02-29", pl.Date(), "is not a date (YYYY-MM-DD)"),
        ("2024-02-29T10:30Z", pl.Datetime("us"), "is not a time (ISO 8601)"),
        ("soon", pl.Datetime("us", "UTC"), "is not a time (ISO 8601)"),
        (clock(2024, 1, 1, 5), pl.Date(), "is not a date"),
    ],
)
def test_what_cannot_be_read_is_said_and_not_rounded(value: Any, dtype: pl.DataType, said: str) -> None:
    frame, errors = typed(pl.DataFrame({"v": [value]}), {"v": dtype})
    assert frame["v"].to_list() == [None]
    assert said in errors[0]


def test_every_column_of_a_row_that_fails_is_named() -> None:
    rows = pl.DataFrame({"a": ["x", "1"], "b": ["1", "y"], "c": ["z", "w"]})
    schema: dict[str, pl.DataType] = {"a": pl.Int64(), "b": pl.Int64(), "c": pl.Int64()}
    errors = typed(rows, schema)[1]
    assert errors.to_list() == [
        "'x' in column 'a' is not a whole number; 'z' in column 'c' is not a whole number",
        "'y' in column 'b' is not a whole number; 'w' in column 'c' is not a whole number",
    ]
