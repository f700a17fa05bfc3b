"""How good predictions are: of classes (accuracy, F1, confusion) and of numbers (r2, mae, rmse).

Classes are turned into integers once; everything else is counting. 0.1 CPU seconds a million texts.
Source of the definitions: scikit-learn, model evaluation; a quotient of nothing is 0 there and here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.core.errors import UsageError

Column: TypeAlias = "pl.Series | Sequence[Any] | npt.NDArray[Any]"
"""Labels or numbers, one a row."""


MAX_CLASSES = 5_000
"""Of a confusion matrix: 200 MB."""


def accuracy(y: Column, p: Column) -> float:
    """The share of predictions `p` that equal the truth `y`.

    >>> accuracy(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    0.75
    """
    _, true, predicted = codes(y, p)
    return int(np.count_nonzero(true == predicted)) / len(true)


def macro_f1(y: Column, p: Column) -> float:
    """The mean of F1 over all classes that occur in `y` or `p`, each with the same weight.

    >>> macro_f1(["a", "a", "b"], ["a", "b", "b"])
    0.6666666666666666
    """
    labels, true, predicted = codes(y, p)
    return mean_f1(*_class_counts(len(labels), true, predicted))


def mean_f1(hits: npt.NDArray[Any], true: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """Macro F1 from counts by class: predicted rightly, occurring, predicted; classes with neither do not count.

    >>> mean_f1(np.array([1, 0]), np.array([1, 1]), np.array([2, 0]))
    0.3333333333333333
    """
    both = true + predicted
    present = both > 0
    return float(math.fsum(2 * hits[present] / both[present]) / np.count_nonzero(present))


def confusion(y: Column, p: Column) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """(labels in order, matrix): row i, column j counts the rows of class i that were predicted as class j.

    >>> labels, matrix = confusion(["a", "b", "b"], ["a", "a", "b"])
    >>> labels, matrix.tolist()
    (['a', 'b'], [[1, 0], [1, 1]])
    """
    labels, true, predicted = codes(y, p)
    if len(labels) > MAX_CLASSES:
        raise UsageError(
            f"A confusion matrix of {len(labels):,} classes is too large; the limit is {MAX_CLASSES:,}.",
            fix="Use `per_class`, or is the target a number?",
        )
    cells = np.bincount(true * len(labels) + predicted, minlength=len(labels) ** 2)
    return labels, cells.reshape(len(labels), -1).astype(np.int64)


def per_class(y: Column, p: Column) -> list[dict[str, Any]]:
    """For each class in order: label, precision, recall, f1 (0 to 1) and support (its rows in `y`).

    >>> per_class(["a", "b", "b"], ["a", "a", "b"])[0]
    {'label': 'a', 'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'support': 1}
    """
    labels, true, predicted = codes(y, p)
    counts = zip(labels, *(c.tolist() for c in _class_counts(len(labels), true, predicted)), strict=True)
    return [
        {
            "label": label,
            "precision": hit / said if said else 0.0,
            "recall": hit / there if there else 0.0,
            "f1": 2 * hit / (there + said),
            "support": there,
        }
        for label, hit, there, said in counts
    ]


def r2(y: Column, p: Column) -> float:
    """The share of the variance of `y` that `p` explains: 1 at best, 0 for its mean, negative when worse than that.

    Where `y` is constant: 1 for perfect predictions, else 0.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    true, predicted = pairs(y, p)
    mean = math.fsum(true) / len(true)
    left, total = math.fsum((true - predicted) ** 2), math.fsum((true - mean) ** 2)
    return 1 - left / total if total else float(left == 0)


def mae(y: Column, p: Column) -> float:
    """The mean absolute error, in the unit of `y`.

    >>> mae([1, 2], [2, 4])
    1.5
    """
    true, predicted = pairs(y, p)
    return math.fsum(np.abs(true - predicted)) / len(true)


def rmse(y: Column, p: Column) -> float:
    """The root of the mean squared error, in the unit of `y`.

    >>> rmse([1, 2], [2, 9])
    5.0
    """
    true, predicted = pairs(y, p)
    return math.sqrt(math.fsum((true - predicted) ** 2) / len(true))


METRICS: dict[str, Callable[[Column, Column], float]] = {
    "accuracy": accuracy, "macro_f1": macro_f1, "r2": r2, "mae": mae, "rmse": rmse,
}  # fmt: skip
"""Metrics by the names that they have in results."""


def _class_counts(
    classes: int, true: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """By class: predicted rightly, occurring, predicted."""
    hits, there, said = (np.bincount(c, minlength=classes) for c in (true[true == predicted], true, predicted))
    return hits, there, said


def codes(y: Column, p: Column) -> tuple[list[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(all labels in order, `y` and `p` as places in that list); raises UsageError when they do not go together.

    >>> labels, true, predicted = codes(["b", "a"], ["b", "c"])
    >>> labels, true.tolist(), predicted.tolist()
    (['a', 'b', 'c'], [1, 0], [1, 2])
    """
    true, predicted = _columns(y, p)
    try:
        both = pl.concat([true.to_frame(), predicted.to_frame()], how="vertical_relaxed")["v"]
    except pl.exceptions.PolarsError:
        raise UsageError(
            f"Labels of type {true.dtype} and predictions of type {predicted.dtype} cannot be compared.",
            fix="Give both the same type.",
        ) from None
    labels = both.unique().sort()
    place = (
        both.to_frame()
        .join(labels.to_frame().with_row_index("place"), on="v", how="left", maintain_order="left")["place"]
        .cast(pl.Int64)
    )
    numbered = place.to_numpy()
    return labels.to_list(), numbered[: len(true)], numbered[len(true) :]


def pairs(y: Column, p: Column) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """`y` and `p` as float64; raises UsageError unless both are finite numbers.

    >>> pairs([1], [2.5])
    (array([1.]), array([2.5]))
    """
    true, predicted = _columns(y, p)
    for name, column in (("truth", true), ("predictions", predicted)):
        if not column.dtype.is_numeric() or not column.cast(pl.Float64).is_finite().all():
            raise UsageError(f"The {name} must be finite numbers.", fix="Use a metric of classes, or mend the column.")
    return true.cast(pl.Float64).to_numpy(), predicted.cast(pl.Float64).to_numpy()


def _columns(y: Column, p: Column) -> tuple[pl.Series, pl.Series]:
    true, predicted = (c.rename("v") if isinstance(c, pl.Series) else pl.Series("v", c) for c in (y, p))
    if len(true) != len(predicted) or not len(true):
        raise UsageError(
            f"There are {len(predicted)} predictions for {len(true)} true values; a metric needs as many, and some."
        )
    if true.null_count() or predicted.null_count():
        raise UsageError("A metric cannot use missing values.", fix="Leave rows without truth or prediction out.")
    return true, predicted
