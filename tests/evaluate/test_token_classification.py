"""The report on marked texts: figures as counted by hand, mistakes by place alone, and the baseline of CoNLL."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from tests.measure.test_spans import BY_LABEL, FOUND, SEQEVAL, TRUTH

from tillage.core.errors import BadData
from tillage.evaluate import TokenClassificationBaseline, TokenClassificationReport


def judged(truth: list[Any], found: list[Any], **more: Any) -> pl.DataFrame:
    def texts(some: list[Any]) -> list[str | None]:
        return [None if one is None else json.dumps(one) for one in some]

    ids = pl.Series(range(len(truth)), dtype=pl.UInt128)
    said = {"y": texts(truth), "prediction": texts(found), "baseline": ["[]"] * len(truth)}
    return pl.DataFrame({"_id": ids, **said, **more}, schema_overrides={"y": pl.String, "prediction": pl.String})


def test_figures_are_those_of_seqeval_whole_and_by_label() -> None:
    report = TokenClassificationReport(target="y").compute({"rows": judged(TRUTH, FOUND)})
    assert report["metrics"] == pytest.approx(SEQEVAL)
    assert report["baseline"] == {"f1": 0, "precision": 0, "recall": 0}
    found = {one["class"]: (one["precision"], one["recall"], one["support"]) for one in report["per_class"]}
    assert {label: pytest.approx(figures) for label, figures in BY_LABEL.items()} == found
    assert report["spans"] == 25
    for name, value in report["metrics"].items():
        assert report["interval"][name][0] < value < report["interval"][name][1]


def test_mistakes_by_kind_and_place() -> None:
    truth = [[[0, 3, "A"], [5, 9, "B"]], [[0, 2, "A"]], None, [[0, 2, "C"]]]
    found = [[[0, 3, "B"], [5, 8, "B"]], [[0, 2, "A"]], [[0, 1, "A"]], None]
    report = TokenClassificationReport(target="y").compute({"rows": judged(truth, found)})
    assert (report["rows"], report["unlabelled"]) == (3, 1)
    names = report["confusion"]["classes"]
    counts = {
        (a, b): n
        for a, row in zip(names, report["confusion"]["counts"], strict=True)
        for b, n in zip(names, row, strict=True)
        if n
    }
    missed = "(no span)"
    assert counts == {("A", "A"): 1, ("A", "B"): 1, ("B", missed): 1, (missed, "B"): 1, ("C", missed): 1}
    assert [(e["place"], e["target"], e["prediction"]) for e in report["errors"]] == [
        ("0 to 3", "A", "B"), ("5 to 8", None, "B"), ("5 to 9", "B", None), ("0 to 2", "C", None),
    ]  # fmt: skip
    assert any("Never found: 'C'" in warning for warning in report["warnings"])
    assert any("Only 3 rows" in warning for warning in report["warnings"])


def test_the_confidence_of_spans_is_held_against_what_came_true() -> None:
    said = [
        [{"start": 0, "end": 2, "label": "A", "confidence": 0.95}],
        [
            {"start": 0, "end": 2, "label": "A", "confidence": 0.91},
            {"start": 4, "end": 5, "label": "A", "confidence": 0.3},
        ],
    ]
    report = TokenClassificationReport(target="y").compute({"rows": judged([[[0, 2, "A"]], []], said)})
    assert [(b["rows"], b["confidence"], b["accuracy"]) for b in report["calibration"]] == [
        (1, 0.3, 0.0),
        (2, pytest.approx(0.93), 0.5),
    ]


def test_slices_tell_where_it_is_worse() -> None:
    right, wrong = [[0, 2, "A"]], [[0, 1, "A"]]
    frame = judged([right] * 120, [right] * 60 + [wrong] * 60, town=["Ulm"] * 60 + ["Rome"] * 60)
    report = TokenClassificationReport(target="y", slices=("town",)).compute({"rows": frame})
    asked = {one["value"]: (one["score"], one["f1"]) for one in report["slices"]["asked"]}
    assert asked == {"Ulm": (1.0, 1.0), "Rome": (0.0, 0.0)}
    assert any("Worse where 'town' is 'Rome'" in warning for warning in report["warnings"])


def test_not_better_than_looking_up_is_said() -> None:
    frame = judged([[[0, 2, "A"]]] * 40, [[[0, 2, "A"]]] * 20 + [[]] * 20).with_columns(baseline=pl.col("y"))
    warnings = TokenClassificationReport(target="y").compute({"rows": frame})["warnings"]
    assert any("not better than the 1 of looking up what was marked in training" in warning for warning in warnings)


def test_a_linear_model_stands_beside() -> None:
    truth, half = [[[0, 2, "A"]]] * 60, [[[0, 2, "A"]]] * 30 + [[]] * 30
    linear = pl.Series("linear", [json.dumps(spans) for spans in half])
    report = TokenClassificationReport(target="y").compute({"rows": judged(truth, truth).with_columns(linear)})
    assert report["linear"]["metrics"] == {"f1": pytest.approx(2 / 3), "precision": 1.0, "recall": 0.5}
    assert report["linear"]["compared"]["p"] < 0.01
    assert not any("linear" in warning for warning in report["warnings"])
    report = TokenClassificationReport(target="y").compute({"rows": judged(truth, half).with_columns(linear)})
    assert any("not surely better than the 0.6667 of a linear model" in warning for warning in report["warnings"])


def test_no_target_is_refused() -> None:
    with pytest.raises(BadData, match="no row to test the model"):
        TokenClassificationReport(target="y").compute({"rows": judged([None], [[]])})


def test_the_baseline_looks_up_what_was_always_the_same() -> None:
    """As `baseline.cpp` of CoNLL-2003: phrases of one class, the longest of several."""
    step = TokenClassificationBaseline(target="y", input="t")
    texts = ["New York and York", "Ann in May, 张三", "May came", "nobody"]
    spans = [
        [[0, 8, "CITY"], [13, 17, "CITY"]], [[0, 3, "NAME"], [7, 10, "MONTH"], [12, 14, "NAME"]], [[0, 3, "NAME"]], [],
    ]  # fmt: skip
    rows = pl.DataFrame({"t": texts, "y": [json.dumps(s) for s in spans]})
    model = step.finish(step.update(step.start(), rows))
    merged = step.merge(step.update(step.start(), rows[2:]), step.update(step.start(), rows[:2]))
    assert step.finish(merged).state == model.state
    found = model.apply(pl.DataFrame({"t": ["In New York Ann met Anna in May; 我是张三丰", None]}))[
        "baseline"
    ].to_list()
    said = [(s["start"], s["end"], s["label"]) for s in json.loads(found[0])]
    assert said == [(3, 11, "CITY"), (12, 15, "NAME"), (35, 37, "NAME")]
    assert found[1] == "[]"
    with pytest.raises(BadData, match="No row has a span"):
        step.finish(step.update(step.start(), rows[3:]))
