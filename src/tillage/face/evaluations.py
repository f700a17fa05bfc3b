"""What an evaluation found beyond the scores, as titled tables: the same for the screen and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tillage.face.summary import figure


@dataclass(frozen=True)
class Titled:
    """A title, and lines of the same fields."""

    title: str
    lines: Sequence[Mapping[str, Any]]


def evaluation_tables(report: Mapping[str, Any]) -> list[Titled]:
    """The tables of a report, those that have lines.

    >>> [t.title for t in evaluation_tables({"linear": {"compared": {"metric": "accuracy", "difference": 0.1,
    ...     "interval": [0.0, 0.2], "p": 0.04, "test": "McNemar, exact"}}})]
    ['Beside a linear model']
    """
    found = [
        table
        for part in (_linear, _slices, _fairness, _thresholds, _folds, _columns, _robustness)
        for table in part(report)
    ]
    return [table for table in found if table.lines]


def _linear(report: Mapping[str, Any]) -> Iterator[Titled]:
    pair = (report.get("linear") or {}).get("compared")
    if pair:
        yield Titled("Beside a linear model", [compared_line(pair)])


def compared_line(pair: Mapping[str, Any]) -> dict[str, Any]:
    """One paired comparison as a line."""
    low, high = pair["interval"]
    return {
        "metric": pair["metric"],
        "difference": figure(pair["difference"]),
        "95 % interval": f"{figure(low)} to {figure(high)}",
        "p": _chance(pair["p"]),
        "test": pair["test"],
    }


def _slices(report: Mapping[str, Any]) -> Iterator[Titled]:
    sliced = report.get("slices") or {}
    metric = sliced.get("metric", "score")
    for title, key in (("By slice, as asked", "asked"), ("Slices that are surely worse", "worst")):
        lines = [
            {
                "column": one["column"],
                "value": one["value"],
                "test rows": one["rows"],
                metric: figure(one["score"]),
                "95 % interval": " to ".join(map(figure, one["interval"])),
                "of the rest": figure(one["rest"]),
                "worse by chance (p)": "too few rows" if one["p"] is None else _chance(one["p"]),
            }
            for one in sliced.get(key) or ()
        ]
        looked = f" (of {sliced['looked']:,} looked at)" if key == "worst" and lines else ""
        yield Titled(f"{title}{looked}", lines)


def _fairness(report: Mapping[str, Any]) -> Iterator[Titled]:
    found = report.get("fairness") or {}
    for one in found.get("columns") or ():
        lines: list[dict[str, Any]] = [
            {
                "group": group["value"],
                "test rows": group["rows"],
                "selected": figure(group["selection_rate"]),
                "95 % interval": " to ".join(map(figure, group["interval"])),
                **{name.replace("_", " "): figure(group[name]) for name in _RATES},
            }
            for group in one["groups"]
        ]
        for name, over in (("greatest difference", one["differences"]), ("least ratio", one["ratios"])):
            rates = {rate.replace("_", " "): figure(over[rate]) for rate in _RATES}
            lines.append(
                {"group": name, "test rows": "", "selected": figure(over["selection_rate"]), "95 % interval": ""}
            )
            lines[-1] |= rates
        yield Titled(f"Groups by '{one['column']}': who is predicted to be '{found['favourable']}'", lines)


def _thresholds(report: Mapping[str, Any]) -> Iterator[Titled]:
    found = report.get("thresholds")
    if not found:
        return
    lines = []
    for title, key in (("without", "before"), ("with", "after")):
        one = found[key]
        rates = {f"difference in {rate.replace('_', ' ')}": figure(gap) for rate, gap in one["differences"].items()}
        lines.append({"thresholds": title, **rates, "accuracy": figure(one["metrics"]["accuracy"])})
    by = ", ".join(f"{name} {value:.3g}" for name, value in found["by"].items())
    yield Titled(
        f"Thresholds by '{found['group']}' ({found['constraint'].replace('_', ' ')} of '{found['favourable']}'; {by}), "
        "on the test rows",
        lines,
    )
    yield Titled("What these thresholds cost", [compared_line(found["compared"])])


_RATES = ("true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")


def _chance(p: float) -> str:
    return figure(p) if p >= 0.001 else "< 0.001"


def _folds(report: Mapping[str, Any]) -> Iterator[Titled]:
    found = report.get("cross_validation") or {}
    mean, folds = found.get("mean") or {}, found.get("folds") or []
    ordered = f", in the order of '{found['time']}'" if found.get("time") else ""
    yield Titled(
        f"Cross-validation on the training rows, {len(folds)} folds{ordered}",
        [
            {
                "metric": name,
                "mean": figure(value),
                "spread (standard deviation)": figure(found["spread"][name]),
                "baseline": figure(found["baseline"][name]),
                "by fold": ", ".join(figure(fold["metrics"][name]) for fold in folds),
            }
            for name, value in mean.items()
        ],
    )


def _columns(report: Mapping[str, Any]) -> Iterator[Titled]:
    found = report.get("importance") or {}
    added = {one["column"]: one["mean_absolute"] for one in report.get("contributions") or ()}
    yield Titled(
        f"Columns that the model goes by ({found.get('rows', 0):,} test rows)",
        [
            {
                "column": one["column"],
                f"{found['metric']} added when shuffled": figure(one["loss"]),
                "spread": figure(one["spread"]),
                **({"mean contribution to the score": figure(added.get(one["column"], 0.0))} if added else {}),
            }
            for one in found.get("columns") or ()
        ],
    )


def _robustness(report: Mapping[str, Any]) -> Iterator[Titled]:
    found = report.get("robustness") or {}
    lines = [
        {
            "test rows with": way["name"],
            found["metric"]: figure(way["score"]),
            "difference": figure(way["difference"]),
            "95 % interval": " to ".join(map(figure, way["interval"])),
            "p": _chance(way["p"]),
        }
        for way in found.get("ways") or ()
    ]
    if lines:
        yield Titled(
            f"Robustness: clean {found['metric']} {figure(found['clean'])} on {found['rows']:,} test rows", lines
        )
    yield Titled("Robustness: not measured", [{"why": why} for why in found.get("skipped") or ()])
