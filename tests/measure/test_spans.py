"""Spans counted as seqeval (1.2.2) counts the same sequences in IOB2; its figures are written here."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tillage.measure.paired import compared
from tillage.measure.spans import SPAN_METRICS, span_counts, span_intervals
from tillage.text.spans import keys_of

P, L, O = "PER", "LOC", "ORG"  # noqa: E741
TRUTH = [
    [[2, 5, P], [6, 9, P]], [[2, 3, O], [8, 9, L]], [[2, 3, O], [3, 6, O]], [[0, 1, O], [2, 4, O], [5, 7, L]],
    [[0, 3, P], [6, 9, L]], [[2, 5, L]], [[0, 2, L], [2, 3, L], [3, 5, P]],
    [[0, 2, L], [4, 5, P], [5, 8, P], [8, 11, P], [11, 12, P]], [], [[1, 4, L], [4, 5, P], [6, 9, P], [9, 10, P]],
    [[4, 6, L]], [],
]  # fmt: skip
FOUND = [
    [[0, 1, P], [6, 9, P]], [[2, 3, O], [8, 9, L], [11, 12, P]], [[2, 3, O], [3, 6, O]],
    [[2, 4, O], [5, 7, L], [7, 8, P]], [[0, 3, P], [6, 9, L]], [[2, 5, L]], [[0, 2, L], [2, 3, L], [3, 4, P]],
    [[0, 2, L], [4, 5, P], [5, 8, P], [8, 10, P], [11, 12, P]], [], [[1, 4, L], [4, 5, P], [5, 6, P], [6, 9, P]],
    [[1, 2, P], [4, 6, L]], [[4, 5, P]],
]  # fmt: skip
SEQEVAL = {"precision": 0.7142857142857143, "recall": 0.8, "f1": 0.7547169811320756}
BY_LABEL = {L: (1.0, 1.0, 9), O: (1.0, 0.8, 5), P: (0.4666666666666667, 0.6363636363636364, 11)}


def series(rows: list[list[list[object]]]) -> pl.Series:
    import json

    return keys_of(pl.Series([json.dumps(row) for row in rows]))


def test_figures_are_those_of_seqeval() -> None:
    counts = span_counts(series(TRUTH), series(FOUND))
    assert {name: metric(counts) for name, metric in SPAN_METRICS.items()} == pytest.approx(SEQEVAL)
    for label, (precision, recall, support) in BY_LABEL.items():
        some = [series([[s for s in row if s[2] == label] for row in rows]) for rows in (TRUTH, FOUND)]
        counts = span_counts(*some)
        assert SPAN_METRICS["precision"](counts) == pytest.approx(precision)
        assert SPAN_METRICS["recall"](counts) == pytest.approx(recall)
        assert counts[:, 2].sum() == support


def test_nothing_and_null() -> None:
    none = pl.Series([[], None], dtype=pl.List(pl.String))
    assert span_counts(none, none).tolist() == [[0, 0, 0]] * 2
    assert [metric(span_counts(none, none)) for metric in SPAN_METRICS.values()] == [0, 0, 0]


def test_intervals_hold_the_score_and_groups_make_them_wider() -> None:
    draw = np.random.default_rng(3)
    right = np.repeat(draw.integers(0, 2, 40), 10)  # ten texts of a group are alike
    counts = np.column_stack([right, np.ones(400, int), np.ones(400, int)])
    groups = pl.Series([f"g{n}" for n in range(40) for _ in range(10)])
    alone, grouped = span_intervals(counts), span_intervals(counts, groups)
    share = right.mean()
    for name in SPAN_METRICS:
        assert alone[name][0] < share < alone[name][1]
        assert grouped[name][1] - grouped[name][0] > 2 * (alone[name][1] - alone[name][0])
    half = 1.96 * np.sqrt(share * (1 - share) / 400)
    assert alone["recall"] == pytest.approx([share - half, share + half], abs=0.01)
    assert span_intervals(counts) == alone


def test_two_are_compared_in_pairs() -> None:
    found = compared("f1", series(TRUTH * 5), series(TRUTH * 5), series(FOUND * 5))
    assert (found["first"], found["second"]) == (1.0, pytest.approx(SEQEVAL["f1"]))
    assert found["p"] < 0.01
    assert "bootstrap" in found["test"]
    assert compared("f1", series(TRUTH), series(FOUND), series(FOUND))["p"] == 1.0
