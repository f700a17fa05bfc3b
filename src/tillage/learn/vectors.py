"""Columns of vectors, such as the embeddings of texts: each component is a number on the common scale.

What is missing stands at the mean, and has a column of its own that says so. Cost: one pass; 8 bytes a component.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from tillage.core.errors import BadData
from tillage.learn.learner import Numbers


def is_vector(dtype: pl.DataType) -> bool:
    """Whether a column holds vectors of one length.

    >>> is_vector(pl.Array(pl.Float32, 3)), is_vector(pl.List(pl.Float32))
    (True, False)
    """
    return isinstance(dtype, pl.Array) and len(dtype.shape) == 1 and dtype.inner.is_numeric()


def learn_vector(values: pl.Series) -> dict[str, Any] | None:
    """`width`, `mean` and `scale` (float64, a number a component), `missing`; None where nothing varies.

    >>> learn_vector(pl.Series("v", [[1.0, 5.0], [3.0, 5.0]], dtype=pl.Array(pl.Float32, 2)))["scale"].tolist()
    [1.0, 1.0]
    """
    found = _components(values.drop_nulls())
    missing = values.null_count() > 0
    spread = found.std(axis=0)
    if not spread.any() and not missing:
        return None
    mean = found.mean(axis=0)
    return {"width": found.shape[1], "mean": mean, "scale": np.where(spread > 0, spread, 1.0), "missing": missing}


def vector_features(values: pl.Series, learnt: Mapping[str, Any], *, scaled: bool = True) -> Numbers:
    """A column a component, then `missing` where training had it: float64; unless `scaled`, components as they stand.

    Raises BadData for vectors of another length than those that were learnt from.
    """
    if values.dtype == pl.Null:
        values = values.cast(pl.Array(pl.Float32, learnt["width"]))
    if not is_vector(values.dtype) or values.dtype.shape[0] != learnt["width"]:  # type: ignore[attr-defined]
        raise BadData(
            f"Column '{values.name}' was learnt as vectors of {learnt['width']} numbers, and holds {values.dtype}.",
            fix="Make it by the step, and the model, that made it for training.",
        )
    there = values.is_not_null().to_numpy()
    found = np.tile(learnt["mean"], (len(values), 1))
    found[there] = _components(values.drop_nulls())
    if scaled:
        found = (found - learnt["mean"]) / learnt["scale"]
    return np.column_stack([found, ~there]) if learnt["missing"] else found


def _components(values: pl.Series) -> Numbers:
    width = values.dtype.shape[0]  # type: ignore[attr-defined]
    flat = values.explode(empty_as_null=False) if len(values) else pl.Series([], dtype=pl.Float64)
    numbers = flat.cast(pl.Float64).fill_null(0.0).to_numpy()
    return np.where(np.isfinite(numbers), numbers, 0.0).reshape(len(values), width)
