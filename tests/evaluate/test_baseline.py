"""Baselines against plain Python, and the laws of an exact Fold."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core.errors import BadData, UnknownName
from tillage.core.state import decode, digest, encode
from tillage.evaluate import BaselineModel, NaiveBaseline
from tillage.evaluate.baseline import doubtful

CLASSES = NaiveBaseline(target="y", task="classification")
NUMBERS = NaiveBaseline(target="y", task="regression")

LABELS = st.lists(st.none() | st.sampled_from(["a", "b", "$c", ""]), max_size=10)
FLOATS = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), max_size=10)


def state(fold: NaiveBaseline, values: list[Any]) -> Any:
    dtype = pl.String if fold.task == "classification" else pl.Float64
    return fold.update(fold.start(), pl.DataFrame({"y": pl.Series(values, dtype=dtype)}))


@given(LABELS)
def test_the_commonest_class_is_found(values: list[str | None]) -> None:
    known = sorted(v for v in values if v is not None)
    if known:
        assert CLASSES.finish(state(CLASSES, values)).state["value"] == max(known, key=known.count)


@given(FLOATS)
def test_the_mean_is_rounded_once(values: list[float | None]) -> None:
    known = [Fraction(v) for v in values if v is not None and abs(v) < float("inf")]
    if known:
        assert NUMBERS.finish(state(NUMBERS, values)).state["value"] == float(sum(known) / len(known))


@settings(max_examples=50)
@given(LABELS, LABELS, FLOATS, FLOATS)
def test_states_merge_exactly(a: Any, b: Any, c: Any, d: Any) -> None:
    for fold, one, two in ((CLASSES, a, b), (NUMBERS, c, d)):
        first, second = state(fold, one), state(fold, two)
        before = digest(first)
        whole = digest(state(fold, one + two))
        assert digest(fold.merge(first, second)) == digest(fold.merge(second, first)) == whole
        assert digest(fold.merge(first, fold.start())) == before == digest(first)
        assert digest(decode(encode(first))) == before


def test_of_equals_the_first_by_name() -> None:
    assert CLASSES.finish(state(CLASSES, ["b", "a", "b", "a", "c"])).state["value"] == "a"


def test_it_is_a_map() -> None:
    rows = pl.DataFrame({"_id": [2, 1], "x": [1, 2]})
    model = CLASSES.finish(state(CLASSES, ["b"]))
    assert isinstance(model, BaselineModel)
    assert model.apply(rows).drop("baseline").equals(rows)
    assert model.apply(rows)["baseline"].to_list() == ["b", "b"]
    assert model.apply(rows.clear()).schema["baseline"] == pl.String
    assert NUMBERS.finish(state(NUMBERS, [1.0, 4.0])).apply(rows)["baseline"].to_list() == [2.5, 2.5]


def test_targets_of_any_plain_type_count() -> None:
    rows = pl.DataFrame({"y": [True, True, False]})
    assert CLASSES.finish(CLASSES.update(CLASSES.start(), rows)).state["value"] == "true"
    assert NUMBERS.finish(NUMBERS.update(NUMBERS.start(), rows)).state["value"] == pytest.approx(2 / 3)


def test_what_cannot_be_is_refused() -> None:
    for fold in (CLASSES, NUMBERS):
        with pytest.raises(BadData, match="No row has a value in the target column 'y'"):
            fold.finish(state(fold, [None]))
        with pytest.raises(UnknownName, match="'y'"):
            fold.update(fold.start(), pl.DataFrame({"z": [1]}))
        with pytest.raises(BadData, match="holds List"):
            fold.update(fold.start(), pl.DataFrame({"y": [[1]]}))
    with pytest.raises(BadData, match="not numbers"):
        NUMBERS.update(NUMBERS.start(), pl.DataFrame({"y": ["one"]}))


def test_classes_that_may_be_none_are_doubted() -> None:
    plain = {"yes": 30, "no": 30}
    assert doubtful(plain, "y") == []
    (alike,) = doubtful({**plain, "Yes": 2, " ｎｏ": 2, "n o": 2}, "y")
    assert "' ｎｏ' and 'n o' and 'no'; 'Yes' and 'yes'." in alike
    assert "merge_spellings: {columns: ['y'], edits: 0}" in alike
    (many,) = doubtful({f"{sign}{n}": 2 for n in range(8) for sign in ("a", "A")}, "y")
    assert many.count(" and ") == 6
    assert "; and 3 more." in many
    (empty,) = doubtful({**plain, " ": 5}, "y")
    assert "if(trim(y) = '', null, y)" in empty
    (amounts,) = doubtful({str(n / 4): 9 for n in range(21)}, "y")
    assert "The 21 classes of 'y' are numbers, of 9 training rows each" in amounts
    assert doubtful({str(n): 10 for n in range(21)}, "y") == []
    assert doubtful({str(n): 9 for n in range(20)}, "y") == []
    keys = {f"k{n}": 2 for n in range(21)}
    assert doubtful(keys, "y") == []
    assert doubtful({**keys, "k0": 1}, "y")[0] == "'y' has 21 classes in 41 training rows: is it a key?"
    assert doubtful({**plain, "x": 1}, "y") == ["Only one training row: 'x'. A class needs more to be learnt."]
