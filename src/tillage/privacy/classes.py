"""Rows that share a combination of values: their values as codes, and how diverse and how close the secret ones are.

Sources: Machanavajjhala et al., l-diversity, ACM TKDD 1(1), 2007; Li, Li and Venkatasubramanian, t-closeness, ICDE
2007.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]


def coded(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(the place of each value among the different ones, these in order); null is one, NaN is one.

    >>> coded(pl.Series(["b", None, "b"]))[0].to_list()
    [1, 0, 1]
    """
    different = values.unique().sort(nulls_last=False)
    lookup = pl.DataFrame({"v": different}).with_row_index("at")
    placed = pl.DataFrame({"v": values}).join(lookup, on="v", how="left", nulls_equal=True, maintain_order="left")
    return placed["at"], different


def distances(classes: Ints, secret: Ints, counts: Ints, size: int) -> npt.NDArray[np.float64]:
    """Of each class, how far the shares of its values are from those of all rows: half the sum of the differences.

    That is the earth mover's distance where any two values are equally far apart. An empty class is at 0.

    >>> distances(np.array([0, 1]), np.array([0, 1]), np.array([1, 1]), 2).tolist()
    [0.5, 0.5]
    """
    codes = np.unique(secret, return_inverse=True)[1].reshape(-1)
    kinds = int(codes.max(initial=-1)) + 1
    totals = np.bincount(classes, counts, size)
    shares = np.bincount(codes, counts, kinds) / max(int(counts.sum()), 1)
    pairs, place = np.unique(classes * kinds + codes, return_inverse=True)
    held = np.bincount(place.reshape(-1), counts, len(pairs))
    own, kind = pairs // max(kinds, 1), pairs % max(kinds, 1)
    share = held / np.maximum(totals[own], 1)
    # What a class lacks altogether differs by its share in the table: 1 less the shares of what it has.
    differ = np.bincount(own, np.abs(share - shares[kind]), size) + 1 - np.bincount(own, shares[kind], size)
    return np.where(totals > 0, differ / 2, 0.0)


def distance(codes: Ints, counts: Ints, shares: npt.NDArray[np.float64]) -> float:
    """How far the shares of a class's values are from those of all rows, as `distances`; cost: that of the class.

    `codes`: a value of each of its combinations, `counts` the rows of these; `shares`: of each value in the table.

    >>> distance(np.array([0]), np.array([3]), np.array([0.5, 0.5]))
    0.5
    """
    found, place = np.unique(codes, return_inverse=True)
    own = np.bincount(place.reshape(-1), counts) / int(counts.sum())
    return float(np.abs(own - shares[found]).sum() + 1 - shares[found].sum()) / 2


def different(classes: Ints, secret: Ints, size: int) -> Ints:
    """How many different values each class has.

    >>> different(np.array([0, 0, 1]), np.array([5, 7, 5]), 2).tolist()
    [2, 1]
    """
    kinds = int(secret.max(initial=0)) + 1
    return np.bincount(np.unique(classes * kinds + secret) // kinds, minlength=size)
