"""Whether a model treats groups of people alike: how often each is given the favourable class, and with what mistakes.

By group: the share selected (predicted to be of the favourable class), the true and false positive rates, the false
negative rate, and accuracy; over groups the greatest difference and the least ratio. No model can equal all of them
where groups differ in their share of the class (Kleinberg et al., ITCS 2017): which one matters is for people to say.
Groups of fewer than 20 test rows are shown, but differences and ratios leave them out.
Sources: Barocas, Hardt and Narayanan, Fairness and Machine Learning, 2023, chapter 3; Hardt, Price and Srebro, NeurIPS
2016 (equalised odds); the four-fifths rule: 29 CFR 1607.4 (D). Cost: one pass a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tillage.evaluate.slices import MISSING, SURE, chance
from tillage.measure.interval import wilson
from tillage.measure.paired import greater_mean, holm

LEAST_ROWS = 20
FOUR_FIFTHS = 0.8
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")


def fairness(
    columns: Sequence[pl.Series], truth: pl.Series, predicted: pl.Series, favourable: str, groups: pl.Series | None
) -> dict[str, Any]:
    """`favourable`, and of each of `columns` its `groups` (those with most rows first), `differences` and `ratios`.

    A rate whose rows are none (no row of a group is truly of the class) is None. `worst`: the group that is selected
    surely less than the rest, by less than four fifths of the most selected group's rate; None where there is none.

    >>> y = pl.Series(["yes", "no"] * 40)
    >>> sex = pl.Series("sex", ["f"] * 40 + ["m"] * 40)
    >>> said = pl.Series(["no"] * 40 + ["yes", "no"] * 20)
    >>> found = fairness([sex], y, said, "yes", None)["columns"][0]
    >>> found["differences"]["selection_rate"], found["ratios"]["selection_rate"], found["worst"]["value"]
    (0.5, 0.0, 'f')
    """
    places = None if groups is None else groups.rank("dense").to_numpy().astype("int64") - 1
    chosen, positive = predicted == favourable, truth == favourable
    told: list[dict[str, Any]] = []
    chances: list[tuple[int, int, float]] = []
    for at, column in enumerate(columns):
        values = (column.fill_nan(None) if column.dtype.is_float() else column).cast(pl.String).fill_null(MISSING)
        counts = values.rename("v").value_counts(name="rows").sort(["rows", "v"], descending=[True, False])
        by_group: list[dict[str, Any]] = []
        for value in counts["v"]:
            inside = values == value
            by_group.append({"value": value, **_rates(chosen.filter(inside), positive.filter(inside))})
            if by_group[-1]["rows"] >= LEAST_ROWS:
                turned_away = (~chosen).to_numpy().astype("float64")
                chances.append((at, len(by_group) - 1, greater_mean(inside.to_numpy(), turned_away, places)))
        told.append({"column": column.name, "groups": by_group, **_over(by_group), "worst": None})
    for (at, of, _), p in zip(chances, holm([p for *_, p in chances]), strict=True):
        one = told[at]["groups"][of]
        most = max(g["selection_rate"] for g in told[at]["groups"] if g["rows"] >= LEAST_ROWS)
        ratio = one["selection_rate"] / most if most else 1.0
        before = told[at]["worst"]
        if p < SURE and ratio < FOUR_FIFTHS and (before is None or ratio < before["ratio"]):
            told[at]["worst"] = {"value": one["value"], "rows": one["rows"], "ratio": ratio, "p": p}
    return {"favourable": favourable, "columns": told}


def _rates(chosen: pl.Series, positive: pl.Series) -> dict[str, Any]:
    rows, selected = len(chosen), int(chosen.sum())
    hits, of_class = int((chosen & positive).sum()), int(positive.sum())
    others = rows - of_class
    right = int((chosen == positive).sum())
    return {
        "rows": rows,
        "selection_rate": selected / rows,
        "interval": list(wilson(selected, rows)),
        "true_positive_rate": hits / of_class if of_class else None,
        "false_positive_rate": (selected - hits) / others if others else None,
        "false_negative_rate": (of_class - hits) / of_class if of_class else None,
        "accuracy": right / rows,
    }


def _over(by_group: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Greatest less least, and least over greatest, of each rate; and of equalised odds, the worse of its two rates."""
    large = [g for g in by_group if g["rows"] >= LEAST_ROWS]
    differences: dict[str, float | None] = {}
    ratios: dict[str, float | None] = {}
    for rate in RATES:
        known = [g[rate] for g in large if g[rate] is not None]
        differences[rate] = max(known) - min(known) if len(known) > 1 else None
        ratios[rate] = None if len(known) < 2 else min(known) / max(known) if max(known) else 1.0
    odds = [differences[rate] for rate in ("true_positive_rate", "false_positive_rate")]
    known_odds = [d for d in odds if d is not None]
    differences["equalized_odds"] = max(known_odds) if known_odds else None
    return {"differences": differences, "ratios": ratios}


def warnings_of(found: Mapping[str, Any]) -> list[str]:
    """A sentence for each column in which a group is surely selected less than four fifths as often as another; one
    alone where no row is of the favourable class or predicted to be, so that all groups look alike.

    >>> half = {"selection_rate": 0.5, "true_positive_rate": 1.0}
    >>> warnings_of({"favourable": "yes", "columns": [{"column": "sex", "groups": [half], "worst": {"value": "f",
    ...     "rows": 40, "ratio": 0.5, "p": 0.001}}]})[0]
    "'yes' is predicted where 'sex' is 'f' (40 test rows) 0.5 times as often as in the group with most; p = 0.001."
    """
    groups = [group for column in found["columns"] for group in column["groups"]]
    if groups and all(not g["selection_rate"] and g["true_positive_rate"] is None for g in groups):
        return [
            f"No test row is '{found['favourable']}' or predicted to be: what is told of groups says nothing. Is "
            "'favourable' written as in the target?"
        ]
    return [
        f"'{found['favourable']}' is predicted where '{c['column']}' is '{c['worst']['value'][:40]}' "
        f"({c['worst']['rows']:,} test rows) {c['worst']['ratio']:.2g} times as often as in the group with most; "
        f"{chance(c['worst']['p'])}."
        for c in found["columns"]
        if c["worst"]
    ]
