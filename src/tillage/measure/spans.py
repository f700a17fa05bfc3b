"""How well marked parts of texts are found: precision, recall and F1 over spans that agree exactly.

A span counts as found when its label and both of its ends are those of the truth; half of a name is a mistake twice,
one missed and one made up. Counts are summed over all texts before they are divided (micro average). One pass.
Source: Tjong Kim Sang and De Meulder, Introduction to the CoNLL-2003 shared task, CoNLL 2003 (`conlleval`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Counts = npt.NDArray[np.int64]

_ROUNDS = 1000


def span_counts(truth: pl.Series, found: pl.Series) -> Counts:
    """By text: spans found rightly, spans found, spans that there are (texts, 3).

    Both columns are List(String), a text a span (such as `0 5 PERSON`), none twice in a row; null counts as none.

    >>> truth, found = pl.Series([["0 5 A", "9 12 B"], []]), pl.Series([["0 5 A", "9 11 B"], ["1 2 A"]])
    >>> span_counts(truth, found).tolist()
    [[1, 2, 2], [0, 1, 0]]
    """
    listed = pl.List(pl.String)
    frame = pl.DataFrame({"y": truth.cast(listed), "p": found.cast(listed)}).with_columns(pl.all().fill_null([]))
    both = pl.col("y").list.set_intersection("p").list.len()
    sizes = (pl.col("p").list.len(), pl.col("y").list.len())
    return frame.select(both.alias("both"), *sizes).cast(pl.Int64).to_numpy()


def span_precision(counts: Counts) -> float:
    """The share of the spans found that are right; 0 where none was found.

    >>> span_precision(np.array([[1, 2, 2], [0, 1, 0]]))
    0.3333333333333333
    """
    right, found, _ = counts.sum(axis=0).tolist()
    return right / found if found else 0.0


def span_recall(counts: Counts) -> float:
    """The share of the spans there are that were found; 0 where there is none.

    >>> span_recall(np.array([[1, 2, 2], [0, 1, 0]]))
    0.5
    """
    right, _, there = counts.sum(axis=0).tolist()
    return right / there if there else 0.0


def span_f1(counts: Counts) -> float:
    """The harmonic mean of both; 0 where there is nothing and nothing was found.

    >>> span_f1(np.array([[1, 2, 2], [0, 1, 0]]))
    0.4
    """
    right, found, there = counts.sum(axis=0).tolist()
    return 2 * right / (found + there) if found + there else 0.0


def span_intervals(counts: Counts, groups: pl.Series | None = None, *, seed: int = 0) -> dict[str, list[float]]:
    """Of each metric the interval of 95 %: texts, or whole groups of them, are drawn again a thousand times.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).

    >>> low, high = span_intervals(np.array([[1, 1, 2]] * 50 + [[0, 1, 1]] * 50))["precision"]
    >>> 0.3 < low < 0.5 < high < 0.7
    True
    """
    if groups is not None:
        place = groups.rank("dense").to_numpy().astype(np.int64) - 1
        summed = np.zeros((int(place.max()) + 1, 3), np.int64)
        np.add.at(summed, place, counts)
        counts = summed
    random = np.random.Generator(np.random.PCG64(seed))
    units = len(counts)
    drawn = np.stack([np.bincount(random.integers(0, units, units), minlength=units) @ counts for _ in range(_ROUNDS)])
    found = {name: [metric(one[None]) for one in drawn] for name, metric in SPAN_METRICS.items()}
    return {name: np.quantile(values, [0.025, 0.975]).tolist() for name, values in found.items()}


SPAN_METRICS: dict[str, Callable[[npt.NDArray[Any]], float]] = {
    "f1": span_f1, "precision": span_precision, "recall": span_recall,
}  # fmt: skip
"""Metrics of spans by the names that they have in results."""
