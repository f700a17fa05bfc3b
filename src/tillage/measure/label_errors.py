"""Labels that are probably wrong: confident learning, from shares by models that had not learnt from the row.

A class's threshold is the mean share of that class among rows labelled so, which makes up for a model that is too sure
of some classes. A row is suspected when another class reaches its own threshold with a greater share than the label's.
Cost: one pass over (rows, classes).
Source: Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset labels, JAIR 70, 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Suspects:
    """Rows whose label is suspected, the surest first: their places, the class suggested, and how sure (0 to 1)."""

    places: Numbers
    suggested: Numbers
    margin: Numbers
    """Share of the suggested class less that of the label: a ranking, and no probability."""


def suspected(shares: Numbers, label: Numbers) -> Suspects:
    """`shares`: (rows, classes), each row's by a model that did not learn from it; `label`: the class given, by place.

    >>> shares = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5)
    >>> suspected(shares, np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])).places.tolist()
    [4]
    """
    rows, classes = shares.shape
    counts = np.bincount(label, minlength=classes)
    own = shares[np.arange(rows), label]
    known = counts > 0
    threshold = np.full(classes, np.inf)
    threshold[known] = np.bincount(label, own, classes)[known] / counts[known]
    reached = np.where(shares >= threshold - 1e-12, shares, -1.0)
    best = reached.argmax(axis=1)
    margin = shares[np.arange(rows), best] - own
    wrong = np.flatnonzero((reached.max(axis=1) >= 0) & (best != label) & (margin > 0))
    order = wrong[np.argsort(-margin[wrong], kind="stable")]
    return Suspects(order, best[order], margin[order])
