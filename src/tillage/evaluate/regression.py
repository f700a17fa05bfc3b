"""How well numbers are predicted: r2, mean absolute and root mean squared error, beside the baseline's.

One sort of the test rows, and a bootstrap of a thousand rounds.
Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.rows import ID
from tillage.core.step import Whole
from tillage.evaluate.tested import FEW, as_numbers, tested
from tillage.measure.interval import bootstrap
from tillage.measure.metrics import mae, r2, rmse

_METRICS: dict[str, Callable[..., float]] = {"r2": r2, "mae": mae, "rmse": rmse}
_LESS_IS_BETTER = {"mae", "rmse"}
_MISTAKES = 20
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class RegressionReport(Whole):
    """Scores of predicted numbers, from rows that bear target, `prediction` and `baseline`.

    Rows without a finite target are left out and counted. Intervals are of 95 %, by bootstrap over rows, or over
    whole groups.

    >>> rows = pl.DataFrame({"_id": [1, 2], "y": [1.0, 3.0], "prediction": [1.0, 2.0], "baseline": [2.0, 2.0]})
    >>> report = RegressionReport(target="y").compute({"rows": rows})
    >>> report["metrics"]["mae"], report["baseline"]["mae"]
    (0.5, 1.0)
    """

    target: str = Field(min_length=1, description="column with the true number")
    group: str | None = Field(None, min_length=1, description="column whose equal values belong together")
    seed: int = Field(0, ge=0, lt=2**31, description="of the bootstrap")

    def needs(self) -> tuple[str, ...]:
        return (self.target, "prediction", "baseline") + ((self.group,) if self.group else ())

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
        """`metrics`, `baseline`, `interval`, `rows`, `unlabelled`, `residuals` (quantiles of target - prediction),
        `errors` (the largest), `warnings`: plain values. Raises BadData when no row has a target, or a row has no
        prediction."""
        rows = inputs["rows"]
        kept = (as_numbers(rows, "prediction"), as_numbers(rows, "baseline"))
        frame = tested(rows, as_numbers(rows, self.target), self.group, kept)
        for name in ("prediction", "baseline"):
            silent = frame[name].null_count()
            if silent:
                raise BadData(
                    f"{silent} of {frame.height} test rows have no finite {name}, so no error can be measured.",
                    fix="Mend the model that predicts them.",
                )
        truth, guess, naive = frame["target"], frame["prediction"], frame["baseline"]
        groups = frame["group"] if self.group else None
        metrics = {name: metric(truth, guess) for name, metric in _METRICS.items()}
        baseline = {name: metric(truth, naive) for name, metric in _METRICS.items()}
        interval = {
            name: list(bootstrap(metric, truth, guess, groups=groups, seed=self.seed))
            for name, metric in _METRICS.items()
        }
        residual = frame["target"] - frame["prediction"]
        return {
            "metrics": metrics,
            "baseline": baseline,
            "interval": interval,
            "rows": frame.height,
            "unlabelled": rows.height - frame.height,
            "residuals": {f"{q:g}": residual.quantile(q, "linear") for q in _QUANTILES},
            "errors": _mistakes(frame),
            "warnings": _warnings(frame, baseline, interval),
        }


def _mistakes(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows that are furthest off; of equals, by id."""
    off = (pl.col("target") - pl.col("prediction")).abs().alias("off")
    worst = frame.with_columns(off).filter(pl.col("off") > 0).sort(["off", ID], descending=[True, False])
    return [
        {"id": f"{row_id:032x}", "target": target, "prediction": prediction}
        for row_id, target, prediction in worst.head(_MISTAKES).select(ID, "target", "prediction").iter_rows()
    ]


def _warnings(frame: pl.DataFrame, baseline: Mapping[str, float], interval: Mapping[str, Sequence[float]]) -> list[str]:
    found = []
    if frame.height < FEW:
        found.append(f"Only {frame.height} rows test the model: the intervals are wide.")
    if frame["target"].n_unique() == 1:
        found.append(f"All test rows have the target {frame['target'][0]:g}: r2 says nothing.")
    for name, value in baseline.items():
        low, high = interval[name]
        better = high < value if name in _LESS_IS_BETTER else low > value
        if not better:
            found.append(
                f"The {name} is not better than the baseline's {value:.4g} beyond its interval "
                f"({low:.4g} to {high:.4g})."
            )
    return found
