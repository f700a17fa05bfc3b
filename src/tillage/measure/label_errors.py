"""Labels that are probably wrong: confident learning, from shares by models that had not learnt from the row.

A class's threshold is the mean share of that class among rows labelled so, which makes up for a model that is too sure
of some classes. Rows that reach a threshold are counted by label and by the class they reach; so many of a hundred
rows labelled a as reach b instead are taken for wrong among all rows labelled a ("prune by noise rate"), those whose
share of b is most above that of a. Counting the sure rows alone would miss a flipped label of every row that is as
plain as any, yet below the mean.
Cost: one pass over (rows, classes), and a sort of the rows of each class.
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
    wrong = np.zeros(rows, np.bool_)
    for (given, other), many in np.ndenumerate(_expected(shares, label, threshold, counts)):
        if given != other and many:
            of = np.flatnonzero(label == given)
            above = shares[of, other] - own[of]
            wrong[of[np.argsort(-above, kind="stable")[:many]]] = True
    best = np.where(known, shares, -1.0).argmax(axis=1)
    margin = shares[np.arange(rows), best] - own
    places = np.flatnonzero(wrong & (margin > 0))
    order = places[np.argsort(-margin[places], kind="stable")]
    return Suspects(order, best[order], margin[order])


def _expected(shares: Numbers, label: Numbers, threshold: Numbers, counts: Numbers) -> Numbers:
    """(classes, classes): of the rows labelled as the first, how many are of the second; each row's sum its count."""
    classes = len(counts)
    reached = np.where(shares >= threshold - 1e-12, shares, -1.0)
    sure = reached.max(axis=1) >= 0
    at = label[sure] * classes + reached[sure].argmax(axis=1)
    joint = np.bincount(at, minlength=classes * classes).reshape(classes, classes)
    seen = np.maximum(joint.sum(axis=1), 1)
    return np.asarray(np.rint(joint * (counts / seen)[:, None]), np.int64)
