"""Thresholds by group: each group of people has the share from which the favourable class is predicted for it.

They are chosen on rows that the model had not seen, so that groups have one rate alike: how many are selected, or how
many of those who truly are (or are not) of the class. Among the common rates the one of the best accuracy stands. One
share, one answer: no chance is drawn, as the mixed thresholds of Hardt et al. do, so nobody's answer hangs on a dice;
the price is that rates agree as far as the scores of a group differ, and that equalised odds (two rates at once) is not
offered. What it costs in accuracy the report of the model says. Whether the law lets a group be looked at when one
decides about people is not known here. Cost: one sort a group; the held-out answers cost a training a fold.
Source: Hardt, Price and Srebro, Equality of opportunity in supervised learning, NeurIPS 2016, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tillage.core.errors import BadData
from tillage.core.rows import column
from tillage.learn.learner import Numbers, as_text

LEAST_ROWS = 20
"""Held-out rows that a rate of a group needs; a group with fewer has the threshold of all rows."""

_STEPS = 400
"""Common rates that are tried, less one."""


class Thresholds(BaseModel):
    """What is to be alike, and for whom.

    >>> Thresholds(group="sex", favourable="yes").constraint
    'demographic_parity'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str = Field(min_length=1, description="column whose values are the groups; needed to predict, too")
    favourable: str = Field(min_length=1, description="the class, of two, that people want")
    constraint: Literal["demographic_parity", "true_positive_rate_parity", "false_positive_rate_parity"] = Field(
        "demographic_parity",
        description="the rate that is to be alike: of all selected, or of those who are, or are not",
    )
    objective: Literal["accuracy", "balanced_accuracy"] = Field(
        "accuracy", description="what the common rate makes greatest on rows held back"
    )


def learn_thresholds(
    wanted: Thresholds, classes: list[str], shares: Numbers, target: Numbers, groups: pl.Series
) -> dict[str, Any]:
    """The state: `group`, `favourable` (its place), `constraint`, `rate`, `rows`; `by` group, and of the `others`.

    `shares`: of the favourable class, by models that had not seen the row; `target`: places among `classes`. Raises
    BadData unless there are two classes, `favourable` one of them, and two groups of LEAST_ROWS rows.

    >>> shares, target = np.tile(np.linspace(0, 1, 50), 2), np.tile([0] * 25 + [1] * 25, 2)
    >>> found = learn_thresholds(
    ...     Thresholds(group="g", favourable="y"), ["n", "y"], shares, target, pl.Series(["a"] * 50 + ["b"] * 50))
    >>> round(found["rate"], 1), sorted(found["by"])
    (0.5, ['a', 'b'])
    """
    if len(classes) != 2 or wanted.favourable not in classes:
        raise BadData(
            f"Thresholds by group are of two classes, one of them '{wanted.favourable}'; here are: "
            f"{', '.join(classes)}.",
            fix="Name one of them as 'favourable', or leave 'thresholds' out.",
        )
    hit = target == classes.index(wanted.favourable)
    subset = {"demographic_parity": np.ones_like(hit), "true_positive_rate_parity": hit}.get(wanted.constraint, ~hit)
    names, known = groups.fill_null("").to_numpy(), groups.is_not_null().to_numpy()
    parts = {str(name): known & (names == name) for name in np.unique(names[known])}
    large = {name: part for name, part in parts.items() if np.count_nonzero(part & subset) >= LEAST_ROWS}
    if len(large) < 2:
        raise BadData(
            f"Fewer than two groups of '{wanted.group}' have {LEAST_ROWS} rows to set a threshold by.",
            fix="Name another column as 'group', or leave 'thresholds' out.",
        )
    rates = np.linspace(0.0, 1.0, _STEPS + 1)
    lines = {name: _lines(shares[part & subset], rates) for name, part in large.items()}
    rest = np.ones_like(hit)
    right = np.zeros((2, len(rates)))  # of the class, and of the other: rows that come out right, by rate
    for name, part in large.items():
        right += _right(shares[part], hit[part], lines[name])
        rest &= ~part
    everybody = _lines(shares[subset], rates)
    right += _right(shares[rest], hit[rest], everybody)
    worth = np.array([1.0, 1.0]) if wanted.objective == "accuracy" else 1 / np.bincount(~hit, minlength=2)
    best = int(np.argmax(worth @ right))
    return {
        "group": wanted.group,
        "favourable": classes.index(wanted.favourable),
        "constraint": wanted.constraint,
        "rate": float(rates[best]),
        "others": float(everybody[best]),
        "by": {name: float(line[best]) for name, line in lines.items()},
        "rows": len(hit),
    }


def trivial(wanted: Thresholds, state: Mapping[str, Any]) -> list[str]:
    """A sentence where the thresholds ask nothing of a row: nobody is selected, or everybody.

    >>> len(trivial(Thresholds(group="g", favourable="y"), {"by": {"a": np.inf, "b": np.inf}}))
    1
    """
    lines = set(state["by"].values())
    if lines not in ({np.inf}, {-np.inf}):
        return []
    who, says = ("nobody", "never") if np.inf in lines else ("everybody", "always")
    other = "a model that tells the classes better apart"
    other = f"`objective: balanced_accuracy`, {other}," if wanted.objective == "accuracy" else f"{other},"
    return [
        f"The thresholds by '{wanted.group}' select {who}: '{wanted.favourable}' is {says} predicted. On the rows held "
        f"back no other common rate has a better {wanted.objective.replace('_', ' ')}. Try {other} or none."
    ]


def chosen(state: Mapping[str, Any], shares: Numbers, rows: pl.DataFrame) -> Numbers:
    """The place of the class predicted for each row; `shares`: (rows, 2)."""
    groups = as_text(column(rows, state["group"]))
    at = groups.replace_strict(state["by"], default=state["others"], return_dtype=pl.Float64).fill_null(state["others"])
    favourable = state["favourable"]
    return np.asarray(np.where(shares[:, favourable] >= at.to_numpy(), favourable, 1 - favourable))


def _lines(shares: Numbers, rates: Numbers) -> Numbers:
    """The threshold of each rate: between two neighbouring shares, so that about so many are at or above it."""
    ordered = np.sort(shares)[::-1]
    values, first = np.unique(-ordered, return_index=True)
    above = np.append(first, len(ordered)) / len(ordered)  # the share of rows at or above each line between values
    between = np.concatenate([[np.inf], (-values[:-1] - values[1:]) / 2, [-np.inf]])
    after = np.clip(np.searchsorted(above, rates), 1, len(above) - 1)
    nearer = after - (rates - above[after - 1] <= above[after] - rates)
    return np.asarray(between[nearer])


def _right(shares: Numbers, hit: Numbers, lines: Numbers) -> Numbers:
    """(2, lines): how many rows of the class reach each line, and how many of the other do not."""
    own, other = np.sort(shares[hit]), np.sort(shares[~hit])
    return np.array([len(own) - np.searchsorted(own, lines), np.searchsorted(other, lines)], np.float64)
