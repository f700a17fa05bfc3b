"""Moments as a linear model needs them: gaps filled, features scaled and centred after the fact, from the exact sums.

Filling a gap with the mean, dividing by the standard deviation and taking the mean off are linear in the features, so
they are done to the sums of products, in integers, and each covariance is rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.core.state import State
from tillage.learn.cells import ALL, LEVEL, MISSING, column_of, name_of, settled
from tillage.learn.columns import PARTS
from tillage.learn.learner import Numbers
from tillage.learn.moments import SQUARES, SUMS, each_rounded, integers
from tillage.measure.exact import rounded


@dataclass(frozen=True)
class Spread:
    """How the features of `columns.features(learnt)` vary, and how they go with what is to be predicted."""

    rows: int
    learnt: list[dict[str, Any]]
    mean: Numbers
    """(features,): of numbers about 0, of truth values their share."""
    covariance: Numbers
    """(features, features), divided by the number of rows."""
    with_targets: Numbers
    """(features, targets): covariance with each target."""
    targets: Numbers
    """(targets,): the mean of each."""


def rows_of(state: State) -> int:
    """How many rows a state of `moments` has seen."""
    at = state["flags"].index(ALL) if ALL in state["flags"] else None
    return 0 if at is None else int(state["counts"][at, at])


def spread_of(state: State, targets: Sequence[str]) -> Spread:
    """The spread of a state of `moments` that has seen rows; `targets`: names of flags or numbers.

    Raises BadData when no column is left to learn from.
    """
    rows = rows_of(state)
    fill, mean, covariance = _filled(state, rows)
    f = len(state["flags"])
    number = {
        name: {"mean": fill[at], "scale": float(np.sqrt(max(covariance[f + at, f + at], 0.0)))}
        for at, name in enumerate(state["numbers"])
    }
    learnt = settled(state, number)
    named, scale, centre = _features(learnt)
    at_name = {name: at for at, name in enumerate([*state["flags"], *state["numbers"]])}
    nowhere = len(at_name)  # a month that no row has: always zero
    chosen = [at_name.get(name, nowhere) for name in named]
    aims = [at_name[name] for name in targets]
    covariance = np.pad(covariance, (0, 1))
    return Spread(
        rows,
        learnt,
        (np.append(mean, 0.0)[chosen] - centre) / scale,
        covariance[np.ix_(chosen, chosen)] / scale / scale[:, None],
        covariance[np.ix_(chosen, aims)] / scale[:, None],
        mean[aims],
    )


def _filled(state: State, rows: int) -> tuple[list[float], Numbers, Numbers]:
    """What fills each number's gaps; means and covariances of flags, then numbers, so filled."""
    counts = state["counts"]
    sums, squares = integers(state["sums"]), integers(state["squares"])
    every = state["flags"].index(ALL)
    known = counts.astype(object)
    fill: list[float] = []
    gaps: dict[int, tuple[int, int]] = {}  # number to the flag of its gaps, and what fills them in units of 2**-SUMS
    for at, name in enumerate(state["numbers"]):
        missing = name_of(column_of(name), MISSING)
        gap = state["flags"].index(missing) if missing in state["flags"] else None
        there = rows - (0 if gap is None else int(counts[gap, gap]))
        value = rounded(int(sums[every, at]), there << SUMS) if there else 0.0
        fill.append(value)
        if gap is not None:
            numerator, denominator = value.as_integer_ratio()
            gaps[at] = gap, (numerator << SUMS) // denominator
    for i, (gap, value) in gaps.items():  # the products with a filled column, row and column in turn
        squares[i, :] += value * sums[gap, :]
        squares[:, i] += value * sums[gap, :]
        for j, (other, also) in gaps.items():
            squares[i, j] += value * also * known[gap, other]
    for i, (gap, value) in gaps.items():
        sums[:, i] += value * known[:, gap]
    total = sums[every, :]
    shares = np.diag(counts).astype(object)
    blocks = (
        each_rounded(rows * known - np.outer(shares, shares), rows * rows),
        each_rounded(rows * sums - np.outer(shares, total), rows * rows << SUMS),
        each_rounded(rows * squares - np.outer(total, total), rows * rows << SQUARES),
    )
    mean = np.concatenate([each_rounded(shares, rows), each_rounded(total, rows << SUMS)])
    return fill, mean, np.block([[blocks[0], blocks[1]], [blocks[1].T, blocks[2]]])


def _features(learnt: Sequence[Mapping[str, Any]]) -> tuple[list[str], Numbers, Numbers]:
    """For each feature of `columns.features` its name here, its scale, and what is taken off it."""
    names: list[str] = []
    scale: list[float] = []
    centre: list[float] = []
    for c in learnt:
        of = c["name"]
        if c["kind"] == "number":
            names.append(c["from"])
            scale.append(c["scale"])
            centre.append(c["mean"])
        else:
            names += [name_of(of, LEVEL, level) for level in c.get("levels", ())]
        if c["kind"] != "dropped" and c["missing"]:
            names.append(name_of(of, MISSING))
        for part in c.get("parts", ()):
            first, last = PARTS[part]
            names += [name_of(of, part, str(value)) for value in range(first, last + 1)]
        scale += [1.0] * (len(names) - len(scale))
        centre += [0.0] * (len(names) - len(centre))
    return names, np.array(scale), np.array(centre)
