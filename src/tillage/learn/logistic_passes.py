"""Logistic loss and its gradient over rows that come in chunks, and its least value in a few passes over them.

A pass sums over all rows in whole numbers: features and residuals are rounded to fixed places and multiplied in digits
whose sums no float64 rounds, so neither chunks nor their order show. Newton's steps take the curvature from a sample,
which is enough for a digit or two a pass (sub-sampled Newton), and what earlier steps met refines it (L-BFGS).
Cost: a pass reads all rows; few are needed, since the first guess is the optimum of the sample.
Sources: Roosta-Khorasani and Mahoney, Sub-sampled Newton methods, Mathematical Programming 174, 2019; Nocedal and
Wright, Numerical Optimization, 2006, algorithms 3.1, 5.2 and 7.4; Boehning, Annals of the Institute of Statistical
Mathematics 44, 1992 (the bound on the curvature).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.learn.learner import Numbers

Part = tuple[Any, Numbers]
"""Some rows: features, CSR or dense (rows, features), and the place of each row's class."""

_DIGIT, _RESIDUAL, _LOSS = 16, 15, 30
"""Bits of a feature's lower digit and of a residual's, and places of a loss below the point."""
_MOST_LOSS = 2.0**11
_AT_ONCE = 1 << 21
"""Rows times features that are looked at together."""
_PASSES = 40
_SMALL = 1e-6
"""The gradient of the mean loss, in its greatest part, at which the search ends."""
_KEPT = 8
"""Steps that are remembered to refine the curvature."""
_THIN = 20.0
"""Sum of squares of a feature in the sample below which its curvature is taken from the bound."""


@dataclass(frozen=True)
class Loss:
    """The penalised loss of weights, and its gradient, both over the number of rows."""

    value: float
    gradient: Numbers
    """(features + 1, scores), that of the intercepts last."""


class Passes:
    """The loss over all rows: mean logistic loss + |coefficients|^2 / (2 C rows)."""

    def __init__(self, parts: Callable[[], Iterable[Part]], rows: int, classes: int, c: float) -> None:
        """`parts`: gives all rows again; `rows`: how many they are; `c`: inverse strength of the penalty."""
        self._parts, self.rows, self.classes = parts, rows, classes
        self.penalty = 1 / (c * rows)
        reach = int(np.ceil(np.log2(max(rows, 2)) / 2)) + 1  # no standard score is beyond the root of the rows
        self._unit = 2.0 ** (reach - 15 - _DIGIT)

    def loss(self, weights: Numbers) -> Loss:
        """One pass. `weights`: (features + 1, scores), the intercepts last."""
        digits = np.zeros((2, 2, *weights.shape), np.int64)
        total = 0
        for matrix, target in self._parts():
            width = max(1, matrix.shape[1])
            for at in range(0, matrix.shape[0], max(1024, _AT_ONCE // width)):
                some = slice(at, at + max(1024, _AT_ONCE // width))
                whole = self._whole(matrix[some])
                residual, losses = _residuals(weights, whole * self._unit, target[some])
                total += int(np.rint(np.minimum(losses, _MOST_LOSS) * 2.0**_LOSS).astype(np.int64).sum())
                digits += _products(whole, np.rint(residual * 2.0 ** (2 * _RESIDUAL)))
        gradient = np.zeros(weights.shape)
        for k in (0, 1):
            for m in (0, 1):
                gradient += digits[k, m] * 2.0 ** (_DIGIT * (1 - k) + _RESIDUAL * (1 - m))
        gradient *= self._unit * 2.0 ** (-2 * _RESIDUAL) / self.rows
        if (
            weights.shape[1] > 1
        ):  # what is added to all scores alike changes no share, and rounding must not wander there
            gradient -= gradient.mean(axis=1, keepdims=True)
        gradient[:-1] += self.penalty * weights[:-1]
        value = total / 2**_LOSS / self.rows + self.penalty / 2 * float((weights[:-1] ** 2).sum())
        return Loss(value, gradient)

    def _whole(self, matrix: Any) -> Numbers:
        """(features + 1, rows): the features as whole multiples of the unit, and 1 for the intercept."""
        dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
        found = np.empty((dense.shape[1] + 1, dense.shape[0]))
        np.rint(dense.T / self._unit, out=found[:-1])
        found[-1] = 1 / self._unit
        return found


def _products(whole: Numbers, residual: Numbers) -> Numbers:
    """Int64 (2, 2, features, scores): the sums over rows of products of upper and lower digits; none is rounded."""
    upper = np.rint(whole * 2.0**-_DIGIT)
    high = np.rint(residual * 2.0**-_RESIDUAL)
    found = [[a @ b.T for b in (high, residual - high * 2.0**_RESIDUAL)] for a in (upper, whole - upper * 2.0**_DIGIT)]
    return np.array(found).astype(np.int64)


def _residuals(weights: Numbers, features: Numbers, target: Numbers) -> tuple[Numbers, Numbers]:
    """(scores, rows): share less truth; (rows,): losses. Sums run feature by feature, so rows know none of the others.

    `features`: (features + 1, rows).
    """
    scores = np.zeros((weights.shape[1], features.shape[1]))
    for feature, weight in zip(features, weights, strict=True):
        scores += weight[:, None] * feature
    if weights.shape[1] == 1:
        (z,) = scores
        one = np.exp(-np.abs(z))
        share = np.where(z >= 0, 1 / (1 + one), one / (1 + one))
        return (share - target)[None, :], np.log1p(one) + np.maximum(z, 0) - target * z
    row = np.arange(scores.shape[1])
    own = scores[target, row]
    highest = scores.max(axis=0)
    shares = np.exp(scores - highest)
    sums = np.zeros(len(row))
    for share in shares:
        sums += share
    shares /= sums
    shares[target, row] -= 1
    return shares, np.log(sums) + highest - own


def least(passes: Passes, sample: Part, weights: Numbers, squares: Numbers) -> tuple[Numbers, bool]:
    """The weights of the least loss, and whether they were reached.

    `sample`: rows from which the curvature is taken; `weights`: where to begin; `squares`: (features,), the mean square
    of each feature over all rows.
    """
    curvature = _Curvature(passes, sample, weights, squares)
    at, now = weights, passes.loss(weights)
    before: list[tuple[Numbers, Numbers]] = []
    looked = 1
    while looked < _PASSES and _greatest(now) > _SMALL:
        step = -_refined(curvature, before, now.gradient)
        slope = float((step * now.gradient).sum())
        if slope >= 0:  # what earlier steps met misled
            before, step = [], -curvature.solved(now.gradient)
            slope = float((step * now.gradient).sum())
        length = 1.0
        while True:
            tried = passes.loss(at + length * step)
            looked += 1
            flatter = _greatest(tried) < _greatest(now) / 2
            if flatter or tried.value <= now.value + 1e-4 * length * slope + 1e-9 or looked >= _PASSES:
                break
            length /= 4
        moved, turned = length * step, tried.gradient - now.gradient
        if float((moved * turned).sum()) > 0:
            before = [*before, (moved, turned)][-_KEPT:]
        at, now = at + moved, tried
    return at, _greatest(now) <= _SMALL


def _greatest(loss: Loss) -> float:
    return float(np.abs(loss.gradient).max())


def _refined(curvature: _Curvature, before: list[tuple[Numbers, Numbers]], gradient: Numbers) -> Numbers:
    """The curvature's inverse times the gradient, corrected by earlier steps (the two loops of L-BFGS)."""
    rest, shares = gradient, []
    for moved, turned in reversed(before):
        share = float((moved * rest).sum() / (moved * turned).sum())
        shares.append(share)
        rest = rest - share * turned
    found = curvature.solved(rest)
    for (moved, turned), share in zip(before, reversed(shares), strict=True):
        found = found + moved * (share - float((turned * found).sum() / (moved * turned).sum()))
    return found


class _Curvature:
    """The second derivatives of the mean loss at some weights, as a sample has them."""

    def __init__(self, passes: Passes, sample: Part, weights: Numbers, squares: Numbers) -> None:
        matrix, _ = sample
        dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
        self._features = np.column_stack([dense, np.ones(len(dense))])
        scores = self._features @ weights
        if weights.shape[1] == 1:
            share = 1 / (1 + np.exp(-np.clip(scores, -700, 700)))
            self._shares, self._alone = share * (1 - share), True
        else:
            share = np.exp(scores - scores.max(axis=1, keepdims=True))
            self._shares, self._alone = share / share.sum(axis=1, keepdims=True), False
        bound = squares * (0.25 if self._alone else 0.5)
        thin = (dense**2).sum(axis=0) < _THIN
        self._ridge = np.append(passes.penalty + np.where(thin, bound, 0.0), 1e-12)[:, None]

    def _times(self, direction: Numbers) -> Numbers:
        along = self._features @ direction
        weighed = self._shares * along
        if not self._alone:
            weighed -= self._shares * weighed.sum(axis=1, keepdims=True)
        return np.asarray(self._features.T @ weighed / len(self._features) + self._ridge * direction)

    def solved(self, gradient: Numbers) -> Numbers:
        """What times the curvature is the gradient, by conjugate gradients."""
        found, rest = np.zeros_like(gradient), gradient.copy()
        direction, size = rest.copy(), float((rest**2).sum())
        first = size
        for _ in range(10 * gradient.size):
            if size <= 1e-16 * first:
                break
            times = self._times(direction)
            length = size / float((direction * times).sum())
            found, rest = found + length * direction, rest - length * times
            size, last = float((rest**2).sum()), size
            direction = rest + size / last * direction
        return found
