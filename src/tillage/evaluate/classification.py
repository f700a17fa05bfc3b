"""How well classes are predicted: accuracy and macro F1 beside the baseline's, by class, and the worst mistakes.

Where the model's shares are known (of two classes the confidence tells them), also ROC AUC and average precision (do
they rank), log loss and Brier score (do they come true), of more than two classes one against the rest.

One sort of the test rows, and a bootstrap of a thousand rounds over counts of (target, prediction).
Sources: Wilson, JASA 22, 1927 (interval of a share); Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field, model_validator

from tillage.core.rows import ID, column
from tillage.core.step import Whole
from tillage.evaluate import yardstick
from tillage.evaluate.fairness import fairness
from tillage.evaluate.fairness import warnings_of as fairness_warnings
from tillage.evaluate.giveaway import giveaways, parts_of_answer
from tillage.evaluate.shares import LESS_IS_BETTER, shares_of
from tillage.evaluate.slices import FEATURE, SLICE, Numbers, slices_of
from tillage.evaluate.slices import warnings_of as slice_warnings
from tillage.evaluate.tested import as_text, few, named, tested
from tillage.measure.interval import bootstrap, wilson
from tillage.measure.metrics import accuracy, confusion, macro_f1, per_class
from tillage.measure.paired import compared

NOTHING = "(no prediction)"
"""Stands for a prediction that is null: a mistake, whatever the target."""

_SENSITIVE = "sensitive "
_FEW_OF_CLASS = 5
_MISTAKES = 20
_BINS = 10


class ClassificationReport(Whole):
    """Scores of predicted classes, from rows that bear target, `prediction`, `baseline` and maybe `confidence`.

    What models say may come as a frame of its own, `said`, row by row beside `rows`: so a user's column may be called
    as one of theirs is. With `linear` (and maybe `linear_shares`), what a linear model predicts, its scores stand
    beside, compared in pairs.

    Rows without a target are left out and counted. Intervals are of 95 %: Wilson's for the accuracy, unless rows
    come in groups; otherwise by bootstrap over rows, or over whole groups (average precision: by halves of them).

    >>> rows = pl.DataFrame({"_id": [1, 2], "y": ["a", "b"], "prediction": ["a", "a"], "baseline": ["a", "a"]})
    >>> report = ClassificationReport(target="y").compute({"rows": rows})
    >>> report["metrics"]["accuracy"], report["baseline"]["accuracy"]
    (0.5, 0.5)
    """

    target: str = Field(min_length=1, description="column with the true class")
    group: str | None = Field(None, min_length=1, description="column whose equal values belong together")
    features: tuple[str, ...] = Field(
        (), description="columns that the model saw, looked at for one that gives all away"
    )
    slices: tuple[str, ...] = Field((), description="columns by whose values the score is told apart")
    sensitive: tuple[str, ...] = Field((), description="columns whose groups are to be treated alike")
    favourable: str | None = Field(None, min_length=1, description="of `sensitive`: the class that people want")
    seed: int = Field(0, ge=0, lt=2**31, description="of the bootstrap")

    @model_validator(mode="after")
    def _favourable_is_named(self) -> ClassificationReport:
        if self.sensitive and self.favourable is None:
            raise ValueError("'sensitive' needs 'favourable', the class that people want")
        return self

    def needs(self) -> tuple[str, ...]:
        group = (self.group,) if self.group else ()
        return (self.target, "prediction", "baseline", *group, *self.features, *self.slices, *self.sensitive)

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
        """`metrics`, `baseline`, `interval`, `rows`, `unlabelled`, `per_class`, `confusion`, `calibration`, `errors`
        (the most confident mistakes), `slices`, maybe `linear` and `fairness`, `warnings`: plain values. Raises BadData
        when no row has a target."""
        rows = inputs["rows"]
        said = inputs.get("said", rows)
        target = as_text(rows, self.target)
        predicted = as_text(said, "prediction").fill_null(NOTHING).rename("prediction")
        kept = [predicted, as_text(said, "baseline").fill_null(NOTHING).rename("baseline")]
        if "confidence" in said.columns:
            kept.append(said["confidence"].cast(pl.Float64).fill_nan(None))
        if "shares" in said.columns:
            kept.append(said["shares"])
        if yardstick.LINEAR in said.columns:
            kept.append(as_text(said, yardstick.LINEAR).fill_null(NOTHING))
        if yardstick.LINEAR_SHARES in said.columns:
            kept.append(said[yardstick.LINEAR_SHARES])
        seen = [column(rows, name).rename(f"{FEATURE}{name}") for name in self.features]
        seen += [column(rows, name).rename(f"{SLICE}{name}") for name in self.slices]
        seen += [column(rows, name).rename(f"{_SENSITIVE}{name}") for name in self.sensitive]
        frame = tested(rows, target, self.group, [*kept, *seen])
        truth, guess, naive = frame["target"], frame["prediction"], frame["baseline"]
        metrics = {"accuracy": accuracy(truth, guess), "macro_f1": macro_f1(truth, guess)}
        baseline = {"accuracy": accuracy(truth, naive), "macro_f1": macro_f1(truth, naive)}
        interval = self._intervals(frame)
        shares = shares_of(frame)
        if shares is not None:
            metrics, baseline = metrics | shares.metrics(), baseline | shares.baseline()
            interval |= shares.intervals(frame["group"] if self.group else None, self.seed)
        by_class = [{"class": c.pop("label"), **c} for c in per_class(truth, guess)]
        classes, counts = confusion(truth, guess)
        sliced = self._slices(frame)
        linear = self._linear(frame, with_shares=shares is not None)
        warnings = _warnings(frame, baseline, interval, by_class)
        if linear:
            warnings += yardstick.warnings_of(linear["compared"], metrics, linear["metrics"])
        fair = self._fairness(frame)
        return {
            "metrics": metrics,
            "baseline": baseline,
            "interval": interval,
            "rows": frame.height,
            "unlabelled": rows.height - frame.height,
            "per_class": by_class,
            "confusion": {"classes": classes, "counts": counts.tolist()},
            "calibration": _calibration(frame),
            "errors": _mistakes(frame),
            "slices": sliced,
            **({"linear": linear} if linear else {}),
            **({"fairness": fair} if fair else {}),
            "warnings": [*warnings, *slice_warnings(sliced), *(fairness_warnings(fair) if fair else ())],
        }

    def _fairness(self, frame: pl.DataFrame) -> dict[str, Any]:
        if not self.sensitive or self.favourable is None:
            return {}
        columns = [frame[f"{_SENSITIVE}{name}"].rename(name) for name in self.sensitive]
        groups = frame["group"] if self.group else None
        return fairness(columns, frame["target"], frame["prediction"], self.favourable, groups)

    def _linear(self, frame: pl.DataFrame, *, with_shares: bool) -> dict[str, Any]:
        """The linear model's scores on the same rows, and whether the model's differ; empty where there is none."""
        if yardstick.LINEAR not in frame.columns:
            return {}
        truth, other = frame["target"], frame[yardstick.LINEAR]
        metrics = {"accuracy": accuracy(truth, other), "macro_f1": macro_f1(truth, other)}
        if with_shares and yardstick.LINEAR_SHARES in frame.columns:
            told = shares_of(frame.select("target", prediction=yardstick.LINEAR, shares=yardstick.LINEAR_SHARES))
            metrics |= told.metrics() if told else {}
        groups = frame["group"] if self.group else None
        found = compared("accuracy", truth, frame["prediction"], other, groups)
        return {"metrics": metrics, "compared": found}

    def _slices(self, frame: pl.DataFrame) -> dict[str, Any]:
        truth, guess = frame["target"], frame["prediction"]

        def more(inside: Numbers) -> dict[str, float]:
            rows = pl.Series(inside)
            return {"macro_f1": macro_f1(truth.filter(rows), guess.filter(rows))}

        return slices_of(
            frame, "accuracy", (truth != guess).to_numpy().astype("float64"), more, grouped=bool(self.group)
        )

    def _intervals(self, frame: pl.DataFrame) -> dict[str, list[float]]:
        truth, guess = frame["target"], frame["prediction"]
        groups = frame["group"] if self.group else None
        if groups is None:
            share = wilson(int((truth == guess).sum()), frame.height)
        else:
            share = bootstrap(accuracy, truth, guess, groups=groups, seed=self.seed)
        macro = bootstrap(macro_f1, truth, guess, groups=groups, seed=self.seed)
        return {"accuracy": list(share), "macro_f1": list(macro)}


def _mistakes(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The mistakes of greatest confidence; of equals, or without confidences, by id."""
    wrong = frame.filter(pl.col("prediction") != pl.col("target"))
    if "confidence" in wrong.columns:
        wrong = wrong.sort(["confidence", ID], descending=[True, False], nulls_last=True)
    else:
        wrong = wrong.with_columns(pl.lit(None, dtype=pl.Float64).alias("confidence"))
    shown = wrong.head(_MISTAKES).select(ID, "target", "prediction", "confidence")
    return [
        {"id": f"{row_id:032x}", "target": target, "prediction": prediction, "confidence": confidence}
        for row_id, target, prediction, confidence in shown.iter_rows()
    ]


def _calibration(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Tenths of the confidence that hold rows: their bounds, rows, mean confidence and share of hits."""
    if "confidence" not in frame.columns:
        return []
    tenth = (pl.col("confidence") * _BINS).floor().clip(0, _BINS - 1).cast(pl.Int64)
    bins = (
        frame.filter(pl.col("confidence").is_not_null())
        .group_by(tenth.alias("tenth"), maintain_order=True)
        .agg(
            pl.len().alias("rows"),
            pl.col("confidence").mean(),
            (pl.col("prediction") == pl.col("target")).mean().alias("accuracy"),
        )
        .sort("tenth")
    )
    return [
        {
            "from": b["tenth"] / _BINS,
            "to": (b["tenth"] + 1) / _BINS,
            "rows": b["rows"],
            "confidence": b["confidence"],
            "accuracy": b["accuracy"],
        }
        for b in bins.iter_rows(named=True)
    ]


def _warnings(
    frame: pl.DataFrame,
    baseline: Mapping[str, float],
    interval: Mapping[str, Sequence[float]],
    by_class: Sequence[Mapping[str, Any]],
) -> list[str]:
    found = few(frame)
    rare = [c["class"] for c in by_class if 0 < c["support"] < _FEW_OF_CLASS]
    if rare:
        found.append(f"Fewer than {_FEW_OF_CLASS} test rows: {named(rare)}. Their figures say little.")
    if frame["target"].n_unique() == 1:
        found.append(f"All test rows are of the class '{frame['target'][0]}'.")
    unseen = sorted(set(frame["target"]) - set(frame["prediction"]))
    if unseen:
        found.append(f"Never predicted: {named(unseen)}.")
    silent = int((frame["prediction"] == NOTHING).sum())
    if silent:
        found.append(f"{silent} rows have no prediction; they count as mistakes.")
    found += [
        f"The {name} is not better than the baseline's {value:.4g} beyond its interval "
        f"({interval[name][0]:.4g} to {interval[name][1]:.4g})."
        for name, value in baseline.items()
        if (interval[name][1] >= value if name in LESS_IS_BETTER else interval[name][0] <= value)
    ]
    seen = [frame[name].rename(name.removeprefix(FEATURE)) for name in frame.columns if name.startswith(FEATURE)]
    sure = giveaways(seen, frame["target"])
    found += [
        f"Column '{name}' alone tells the target nearly without fail. Is it known when the model will be asked?"
        for name in sure
    ]
    found += [
        f"Each of the {rows:,} test rows where '{name}' is '{value}' is '{label}': is it a part of the answer?"
        for name, value, label, rows in parts_of_answer([s for s in seen if s.name not in sure], frame["target"])
    ]
    return found
