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
from tillage.core.rows import ID, column
from tillage.core.step import Whole
from tillage.evaluate import yardstick
from tillage.evaluate.giveaway import straight_lines
from tillage.evaluate.slices import FEATURE, SLICE, Numbers, slices_of
from tillage.evaluate.slices import warnings_of as slice_warnings
from tillage.evaluate.tested import as_numbers, few, tested
from tillage.measure.interval import bootstrap
from tillage.measure.metrics import mae, r2, rmse
from tillage.measure.paired import compared

_METRICS: dict[str, Callable[..., float]] = {"r2": r2, "mae": mae, "rmse": rmse}
_LESS_IS_BETTER = {"mae", "rmse"}
_MISTAKES = 20
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class RegressionReport(Whole):
    """Scores of predicted numbers, from rows that bear target, `prediction` and `baseline`.

    Rows without a finite target are left out and counted. Intervals are of 95 %, by bootstrap over rows, or over
    whole groups. With `linear`, what a linear model predicts, its scores stand beside, compared in pairs.

    >>> rows = pl.DataFrame({"_id": [1, 2], "y": [1.0, 3.0], "prediction": [1.0, 2.0], "baseline": [2.0, 2.0]})
    >>> report = RegressionReport(target="y").compute({"rows": rows})
    >>> report["metrics"]["mae"], report["baseline"]["mae"]
    (0.5, 1.0)
    """

    target: str = Field(min_length=1, description="column with the true number")
    group: str | None = Field(None, min_length=1, description="column whose equal values belong together")
    features: tuple[str, ...] = Field((), description="columns that the model saw, looked at for the worst slices")
    slices: tuple[str, ...] = Field((), description="columns by whose values the score is told apart")
    seed: int = Field(0, ge=0, lt=2**31, description="of the bootstrap")

    def needs(self) -> tuple[str, ...]:
        group = (self.group,) if self.group else ()
        return (self.target, "prediction", "baseline", *group, *self.features, *self.slices)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
        """`metrics`, `baseline`, `interval`, `rows`, `unlabelled`, `residuals` (quantiles of target - prediction),
        `errors` (the largest), `slices`, maybe `linear`, `warnings`: plain values. Raises BadData when no row has a
        target, or a row has no prediction."""
        rows = inputs["rows"]
        said = inputs.get("said", rows)
        judged = ["prediction", "baseline", *([yardstick.LINEAR] if yardstick.LINEAR in said.columns else [])]
        kept = [as_numbers(said, name) for name in judged]
        kept += [column(rows, name).rename(f"{FEATURE}{name}") for name in self.features]
        kept += [column(rows, name).rename(f"{SLICE}{name}") for name in self.slices]
        frame = tested(rows, as_numbers(rows, self.target), self.group, kept)
        for name in judged:
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
        sliced = self._slices(frame)
        warnings = _warnings(frame, baseline, interval)
        seen = [frame[c].rename(c.removeprefix(FEATURE)) for c in frame.columns if c.startswith(FEATURE)]
        warnings += [
            f"Column '{name}' is the target on another scale. Is it known when the model will be asked?"
            for name in straight_lines(seen, truth)
        ]
        linear: dict[str, Any] = {}
        if yardstick.LINEAR in frame.columns:
            other = frame[yardstick.LINEAR]
            linear = {"metrics": {name: metric(truth, other) for name, metric in _METRICS.items()}}
            linear["compared"] = compared("mae", truth, guess, other, groups)
            warnings += yardstick.warnings_of(linear["compared"], metrics, linear["metrics"])
        return {
            "metrics": metrics,
            "baseline": baseline,
            "interval": interval,
            "rows": frame.height,
            "unlabelled": rows.height - frame.height,
            "residuals": {f"{q:g}": residual.quantile(q, "linear") for q in _QUANTILES},
            "errors": _mistakes(frame),
            "slices": sliced,
            **({"linear": linear} if linear else {}),
            "warnings": [*warnings, *slice_warnings(sliced)],
        }

    def _slices(self, frame: pl.DataFrame) -> dict[str, Any]:
        truth, guess = frame["target"], frame["prediction"]

        def more(inside: Numbers) -> dict[str, float]:
            rows = pl.Series(inside)
            return {"rmse": rmse(truth.filter(rows), guess.filter(rows))}

        return slices_of(frame, "mae", (truth - guess).abs().to_numpy(), more, grouped=bool(self.group))


def _mistakes(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows that are furthest off; of equals, by id."""
    off = (pl.col("target") - pl.col("prediction")).abs().alias("off")
    worst = frame.with_columns(off).filter(pl.col("off") > 0).sort(["off", ID], descending=[True, False])
    return [
        {"id": f"{row_id:032x}", "target": target, "prediction": prediction}
        for row_id, target, prediction in worst.head(_MISTAKES).select(ID, "target", "prediction").iter_rows()
    ]


def _warnings(frame: pl.DataFrame, baseline: Mapping[str, float], interval: Mapping[str, Sequence[float]]) -> list[str]:
    found = few(frame)
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
