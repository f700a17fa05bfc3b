"""Exact, mergeable statistics of columns; metrics of predictions and their intervals."""

from tillage.measure.counts import Counts
from tillage.measure.distinct import Distinct
from tillage.measure.extremes import Extremes
from tillage.measure.interval import bootstrap, wilson
from tillage.measure.metrics import METRICS, accuracy, confusion, macro_f1, mae, per_class, r2, rmse
from tillage.measure.quantiles import Quantiles
from tillage.measure.ranks import Ranks
from tillage.measure.sample import Sample
from tillage.measure.statistic import Statistic
from tillage.measure.sums import Moments, Sum
from tillage.measure.value_counts import ValueCounts

__all__ = [
    "METRICS",
    "Counts",
    "Distinct",
    "Extremes",
    "Moments",
    "Quantiles",
    "Ranks",
    "Sample",
    "Statistic",
    "Sum",
    "ValueCounts",
    "accuracy",
    "bootstrap",
    "confusion",
    "macro_f1",
    "mae",
    "per_class",
    "r2",
    "rmse",
    "wilson",
]
