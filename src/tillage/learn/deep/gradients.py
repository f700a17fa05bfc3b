"""What the gradients of a network tell: which parts of an input made its score, and how little misleads it.

Sources: Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017 (integrated gradients);
Goodfellow, Shlens and Szegedy, Explaining and harnessing adversarial examples, ICLR 2015 (FGSM); Madry et al., Towards
deep learning models resistant to adversarial attacks, ICLR 2018 (PGD).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tillage.learn.deep.trainer import settled, torch
from tillage.learn.learner import Numbers

_POINTS = 64
"""Points on the way from the baseline at which gradients are taken."""
_AT_ONCE = 16

_STRIDE = 2.5
"""Of a budget over the steps: so far goes a step of PGD that takes several, as its authors have it."""


def integrated_gradients(score: Callable[[Any], Any], given: Any, baseline: Any) -> tuple[Numbers, float, float]:
    """What each number of one input adds to its score, and the scores of the baseline and of the input.

    `score`: inputs (points, ...) to (points,). `given`, `baseline`: tensors of one input. What is added sums up to the
    difference of the scores, but for the error of 64 points.

    >>> from tillage.learn.deep.trainer import torch
    >>> found = integrated_gradients(lambda x: (x * x).sum(dim=1), torch().tensor([1.0, 2.0]), torch().zeros(2))
    >>> found[0].round(4).tolist(), found[1:]
    ([1.0, 4.0], (0.0, 5.0))
    """
    library = torch()
    total = library.zeros_like(given)
    with settled(0):
        for first in range(0, _POINTS, _AT_ONCE):
            share = (library.arange(first, first + _AT_ONCE) + 0.5) / _POINTS
            share = share.reshape(-1, *(1,) * given.ndim)
            points = (baseline + share * (given - baseline)).requires_grad_(True)
            (slope,) = library.autograd.grad(score(points).sum(), points)
            total = total + slope.sum(dim=0)
        with library.no_grad():
            before, after = (float(score(one[None])[0]) for one in (baseline, given))
    return np.asarray((total / _POINTS * (given - baseline)).numpy()), before, after


def misled(loss: Callable[[Any], Any], given: Any, budget: int, steps: int) -> Any:
    """Pictures changed by `budget` at most at each pixel, whole numbers of 0 to 255, so that the loss is greatest.

    `loss`: pictures (pictures, channels, rows, columns) to (pictures,). One step is FGSM, several are PGD, of which
    each picture keeps the point of the greatest loss.

    >>> from tillage.learn.deep.trainer import torch
    >>> misled(lambda x: -x.sum(dim=(1, 2, 3)), torch().full((1, 1, 1, 2), 3.0), 8, 1).tolist()
    [[[[0.0, 0.0]]]]
    """
    library = torch()
    low, high = (given - budget).clamp(0, 255), (given + budget).clamp(0, 255)
    stride = budget if steps == 1 else _STRIDE * budget / steps
    found, best = given.clone(), given.clone()
    most = library.full((len(given),), -float("inf"))
    with settled(0):
        for _ in range(steps):
            point = found.clone().requires_grad_(True)
            lost = loss(point)
            (slope,) = library.autograd.grad(lost.sum(), point)
            best, most = _greater(best, most, found, lost.detach())
            found = (found + stride * slope.sign()).clamp(low, high)
        if steps == 1:
            return found.round()
        with library.no_grad():
            best, _ = _greater(best, most, found, loss(found))
    return best.round()


def _greater(best: Any, most: Any, found: Any, lost: Any) -> tuple[Any, Any]:
    """Of each picture the one that loses more, and how much that is."""
    library = torch()
    return library.where((lost > most)[:, None, None, None], found, best), library.maximum(most, lost)
