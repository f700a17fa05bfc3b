"""The shares of classes that a model gave, and what they are worth beside shares that know nothing of the row.

The baseline gives each row the classes' shares among the test rows, which is as well as one can do without looking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tillage.measure.ranking import SHARE_METRICS, share_intervals

Numbers = np.ndarray[Any, np.dtype[Any]]

LESS_IS_BETTER = ("log_loss", "brier")


@dataclass(frozen=True)
class Shares:
    """`shares` (rows, classes), and the place of each row's class among `classes`."""

    classes: list[str]
    shares: Numbers
    target: Numbers

    def metrics(self) -> dict[str, float]:
        """Each of `measure.ranking.SHARE_METRICS`."""
        return {name: metric(self.shares, self.target) for name, metric in SHARE_METRICS.items()}

    def baseline(self) -> dict[str, float]:
        """The same of shares that are alike for every row."""
        alike = np.bincount(self.target, minlength=len(self.classes)) / len(self.target)
        known = np.tile(alike, (len(self.target), 1))
        return {name: metric(known, self.target) for name, metric in SHARE_METRICS.items()}

    def intervals(self, groups: pl.Series | None, seed: int) -> dict[str, list[float]]:
        """Of 95 %, by resampling rows, or whole groups; see `measure.ranking`."""
        unit = None if groups is None else groups.rank("dense").to_numpy().astype(np.int64) - 1
        found = share_intervals(self.shares, self.target, unit, seed=seed)
        return {name: list(interval) for name, interval in found.items()}


def shares_of(frame: pl.DataFrame) -> Shares | None:
    """What `frame` (`target`, `prediction`, maybe `shares` or `confidence`) tells of shares; None where it does not.

    Of two classes the confidence says all: what the predicted one has not, the other has. Where all test rows are of
    one class, nothing can be ranked.

    >>> frame = pl.DataFrame({"target": ["a", "b"], "prediction": ["a", "a"], "confidence": [0.75, 0.5]})
    >>> shares_of(frame).shares.tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    known = set(frame["target"])
    if len(known) < 2:
        return None
    if "shares" in frame.columns:
        told = frame["shares"].struct.unnest()
        classes = sorted({*told.columns, *known})
        columns = [told[c].to_numpy() if c in told.columns else np.zeros(frame.height) for c in classes]
        return Shares(classes, np.column_stack(columns), _places(frame["target"], classes))
    classes = sorted({*known, *frame["prediction"]})
    if len(classes) != 2 or "confidence" not in frame.columns or frame["confidence"].null_count():
        return None
    sure = frame["confidence"].to_numpy()
    second = np.where((frame["prediction"] == classes[1]).to_numpy(), sure, 1 - sure)
    return Shares(classes, np.column_stack([1 - second, second]), _places(frame["target"], classes))


def _places(target: pl.Series, classes: list[str]) -> Numbers:
    return target.replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()
