"""What all learners share: which rows they learn from, and what a prediction looks like.

A learner takes rows and gives a Map. Rows whose target is null teach nothing and are left out; a target with fewer
than two classes is refused before any training, since no score could mean anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from tillage.core.errors import BadData
from tillage.core.rows import ID, column
from tillage.core.step import Sharded, Step

Numbers = np.ndarray[Any, np.dtype[Any]]
"""A numeric array; its shape and kind are said where it is used."""

PREDICTION = "prediction"
CONFIDENCE = "confidence"


class Learner(Step):
    """Base of the learners: rows in, a fitted Map out that adds `prediction` (and `confidence`, 0 to 1)."""

    task: ClassVar[Literal["classification", "regression", "token_classification"]]
    tells_steps: ClassVar[bool] = False
    """Whether it learns step by step, and tells of each (`core.training_records`)."""

    target: str = Field(min_length=1, description="column to learn; rows where it is null are left out")

    @model_validator(mode="before")
    @classmethod
    def _exact_without_shards(cls, given: Any) -> Any:
        asked = [name for name in ("shards", "slices") if isinstance(given, dict) and name in given]
        if asked and not issubclass(cls, Sharded):
            raise ValueError(f"it forgets a row exactly and trains nothing again, so leave '{asked[0]}' out")
        return given

    @model_validator(mode="after")
    def _target_is_no_input(self) -> Self:
        named = getattr(self, "input", None)
        if self.target in ((named,) if isinstance(named, str) else named or ()):
            raise ValueError(f"'input' names '{self.target}', the target: a model that sees the answer learns nothing")
        return self


def as_text(values: pl.Series) -> pl.Series:
    """The values as text, null and NaN as null; raises BadData for lists, structs and bytes, which have no one text.

    >>> as_text(pl.Series("n", [1.5, float("nan"), None])).to_list()
    ['1.5', None, None]
    """
    dtype = values.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise BadData(
            f"Column '{values.name}' holds {dtype}, which is neither text nor a number.",
            fix="Derive a column of text or numbers from it, and name that one.",
        )
    if dtype.is_float():
        values = values.fill_nan(None)
    return values if dtype == pl.String else values.cast(pl.String)


def joined_text(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The columns of each row as one text, a line a column; a null counts as the empty text.

    >>> joined_text(pl.DataFrame({"a": ["x", None], "b": [1, 2]}), ["a", "b"]).to_list()
    ['x\\n1', '\\n2']
    """
    texts = [as_text(column(rows, c)) for c in columns]
    filled = [text.fill_null("") if text.null_count() else text for text in texts]
    if len(filled) == 1:  # one text in a request: a query costs more than reading it
        return filled[0].alias("text")
    return pl.DataFrame(filled).select(pl.concat_str(pl.all(), separator="\n").alias("text"))["text"]


def labelled(rows: pl.DataFrame, target: str) -> tuple[pl.DataFrame, pl.Series]:
    """The rows whose target is known, by ascending `_id`, and their targets as text.

    The order is that of the ids, so that what is learnt does not depend on the order in which rows come.

    >>> rows = pl.DataFrame({"_id": [2, 1, 3], "y": ["b", "a", None]})
    >>> labelled(rows, "y")[1].to_list()
    ['a', 'b']
    """
    known = rows.with_columns(as_text(column(rows, target)).alias("_label")).filter(pl.col("_label").is_not_null())
    if ID in known.columns:
        known = known.sort(ID)
    return known.drop("_label"), known["_label"].rename(target)


def require_two(classes: Sequence[str], target: str) -> None:
    """Raises BadData unless there are at least two classes.

    >>> require_two(["yes"], "bought")
    Traceback (most recent call last):
    tillage.core.errors.BadData: Column 'bought' has the single class 'yes': there is nothing to tell apart. ...
    """
    if not classes:
        raise BadData(
            f"No row has a value in the target column '{target}'.",
            fix="Look at the filters before the model, and at the column's name.",
        )
    if len(classes) == 1:
        raise BadData(
            f"Column '{target}' has the single class '{classes[0]}': there is nothing to tell apart.",
            fix="Add rows of another class, or name another target.",
        )


@contextmanager
def solving() -> Iterator[None]:
    """One BLAS thread, since sums over several differ in the last bits from run to run.

    Warnings that a solver has not converged are silent here: states say `converged`; of many classes reports warn.

    >>> with solving():
    ...     float(np.ones(2) @ np.ones(2))
    2.0
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        yield


def softmax(scores: Numbers) -> Numbers:
    """Each row of scores as shares that sum to one; the largest score is taken off first, so nothing overflows.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def with_prediction(rows: pl.DataFrame, classes: Sequence[str], scores: Numbers) -> pl.DataFrame:
    """The rows with the class of the greatest score (of equals, the first) and its share under softmax.

    `scores`: (rows, classes), on a logarithmic scale.

    >>> with_prediction(pl.DataFrame({"a": [1]}), ["x", "y"], np.array([[0.0, 0.0]])).row(0)
    (1, 'x', 0.5)
    """
    best = scores.argmax(axis=1)
    return _chosen(rows, classes, best, softmax(scores))


def with_shares(rows: pl.DataFrame, classes: Sequence[str], shares: Numbers, best: Numbers) -> pl.DataFrame:
    """The rows with the class at the place `best` and its share.

    `shares`: (rows, classes), each row's sum 1.

    >>> with_shares(pl.DataFrame({"a": [1]}), ["x", "y"], np.array([[0.25, 0.75]]), np.array([1])).row(0)
    (1, 'y', 0.75)
    """
    return _chosen(rows, classes, best, shares)


def _chosen(rows: pl.DataFrame, classes: Sequence[str], best: Numbers, shares: Numbers) -> pl.DataFrame:
    share = shares[np.arange(len(best)), best]
    added = [
        pl.Series(PREDICTION, [classes[place] for place in best.tolist()], dtype=pl.String),
        pl.Series(CONFIDENCE, share, dtype=pl.Float64),
    ]
    if PREDICTION in rows.columns or CONFIDENCE in rows.columns:
        return rows.with_columns(added)
    return rows.hstack(added)  # without a query, which costs half a millisecond however few the rows are
