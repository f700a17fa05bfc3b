"""What a model marked in texts is personal data too: found, counted, replaced, whole, and once."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core.errors import BadData, ConfigurationError
from tillage.flow.laws import check_step
from tillage.privacy import FindPii, PiiReport, Redact, Span
from tillage.privacy.marks import with_marks

MARKS = {"t": {"column": "prediction", "labels": {"PERSON": "name", "FAC": "place"}}}


def rows(*given: tuple[str | None, list[Any] | None]) -> pl.DataFrame:
    texts, spans = [t for t, _ in given], [None if s is None else json.dumps(s) for _, s in given]
    ids = pl.Series(range(len(given)), dtype=pl.UInt128)
    return pl.DataFrame({"_id": ids, "t": texts, "prediction": spans}, schema_overrides={"t": pl.String}).cast(
        {"prediction": pl.String}
    )


ANN = ("Ann, 13812345678, of Ulm", [[0, 3, "PERSON"], [21, 24, "GPE"]])
LI = ("请找张三丰，a@b.cn", [[2, 5, "PERSON"]])


def test_marks_are_found_beside_what_has_a_form() -> None:
    frame = rows(ANN, LI, ("fine", []), ("nobody looked", None), (None, [[0, 3, "PERSON"]]))
    found = FindPii(spans=MARKS).apply(frame)
    assert found["pii"].to_list() == ["name, phone", "email, name", None, None, None]
    assert found["prediction"].equals(frame["prediction"])
    told = PiiReport(spans=MARKS)
    assert told.finish(told.update(told.start(), frame))["columns"]["t"]["name"] == {
        "rows": 2,
        "found": 2,
        "share": 0.4,
    }


def test_marks_are_replaced_and_their_places_with_them() -> None:
    step = Redact(spans=MARKS)
    done = step.apply(rows(ANN, LI, ("fine", []), (None, None)))
    assert done["t"].to_list() == ["[NAME], [PHONE], of Ulm", "请找[NAME]，[EMAIL]", "fine", None]
    assert done["prediction"].null_count() == 4
    assert step.apply(done).equals(done)
    lists = rows(ANN).with_columns(
        prediction=pl.Series([[{"start": 0, "end": 3, "label": "PERSON"}, {"start": 21, "end": 24, "label": "FAC"}]])
    )
    assert step.apply(lists)["t"].to_list() == ["[NAME], [PHONE], of [PLACE]"]
    keyed = Redact(spans=MARKS, replacement="<{token}>").with_key(bytes(32))
    tokens = keyed.apply(rows(("Ann", [[0, 3, "PERSON"]]), ("ANN!", [[0, 3, "PERSON"]])))["t"].to_list()
    assert tokens[1] == f"{tokens[0]}!"


def test_what_stands_instead_of_a_mark_is_not_looked_into() -> None:
    step = Redact(spans=MARKS, words={"word": ("NAME", "Ann")})
    done = step.apply(rows(("Lee and NAME", [[0, 3, "PERSON"]])))
    assert done["t"].to_list() == ["[NAME] and [WORD]"]
    assert step.apply(done).equals(done)


def test_nothing_that_a_mark_covers_is_left() -> None:
    """A mark that a number cuts in two is replaced on both sides; one beyond the text to its end."""
    frame = rows(
        ("Ann 13812345678 Lee", [[0, 19, "PERSON"]]), ("Ann", [[-4, 30, "PERSON"]]), ("Ann", [[5, 9, "PERSON"]])
    )
    assert Redact(spans=MARKS).apply(frame)["t"].to_list() == ["[NAME] [PHONE] [NAME]", "[NAME]", "Ann"]


def test_confidence_and_labels_choose() -> None:
    sure = [{"start": 0, "end": 3, "label": "PERSON", "confidence": 0.9}]
    sure += [{"start": 4, "end": 7, "label": "PERSON", "confidence": 0.2}, {"start": 8, "end": 11, "label": "GPE"}]
    frame = rows(("Ann Lee Ulm", sure))
    chosen = {"t": {**MARKS["t"], "confidence": 0.5}}
    assert Redact(spans=MARKS).apply(frame)["t"].to_list() == ["[NAME] [NAME] Ulm"]
    assert Redact(spans=chosen).apply(frame)["t"].to_list() == ["[NAME] Lee Ulm"]
    just = {"t": {**MARKS["t"], "confidence": 0.9}}
    assert Redact(spans=just).apply(frame)["t"].to_list() == ["[NAME] Lee Ulm"]


SPAN = st.builds(lambda a, n: Span(a, a + n, "name"), st.integers(0, 18), st.integers(1, 9))


@settings(max_examples=200, deadline=None)
@given(st.lists(SPAN, max_size=4), st.lists(SPAN, max_size=5))
def test_all_that_was_found_or_marked_is_covered_once(found: list[Span], marks: list[Span]) -> None:
    text = "ab cd efg hij klm nop qrs tuv"
    apart: list[Span] = []
    for span in sorted(found):
        if not apart or apart[-1].end <= span.start:
            apart.append(span)
    both = with_marks(text, tuple(apart), marks)
    assert all(a.end <= b.start for a, b in pairwise(both))
    assert set(apart) <= set(both)
    covered = {at for span in both for at in range(span.start, span.end)}
    wanted = {at for span in (*apart, *marks) for at in range(span.start, span.end)}
    assert {at for at in wanted if text[at] != " "} <= covered <= wanted


def test_laws_with_marks() -> None:
    frame = rows(ANN, LI, ("[NAME] Ann", [[7, 10, "PERSON"]]), ("", []), (None, None))
    for step in (FindPii(spans=MARKS), FindPii(spans=MARKS, leave=True), Redact(spans=MARKS), PiiReport(spans=MARKS)):
        assert [str(b) for b in check_step(step, frame)] == []


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigurationError, match="No column is called 'prediction'"):
        Redact(spans=MARKS).apply(rows(ANN).drop("prediction"))
    with pytest.raises(BadData, match="'prediction' holds no list of spans in 1 of 1 rows"):
        Redact(spans=MARKS).apply(rows(ANN).with_columns(prediction=pl.lit("no")))
    for labels in ({}, {"PERSON": "A1"}):
        with pytest.raises(ValidationError):
            Redact(spans={"t": {"column": "prediction", "labels": labels}})
