"""Which examples are learnt from together: those of like length, in an order that is drawn anew each epoch.

A batch is padded to its longest text, so texts of all lengths side by side are a third of padding, and more. Each
example stands in one batch of an epoch. The order follows from the seed and the epoch alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tillage.learn.learner import Numbers

_POOL = 50
"""Batches whose examples are sorted by length together: the rest of the order is left to chance."""


def by_length(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[Numbers]:
    """The examples of each batch of an epoch, by number: Int64.

    >>> [batch.tolist() for batch in by_length([9, 1, 1, 9], 2, 0, 0)]
    [[0, 3], [1, 2]]
    """
    draw = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = draw.permutation(len(lengths))
    found: list[Numbers] = []
    whole = np.asarray(lengths)
    for start in range(0, len(order), size * _POOL):
        pool = order[start : start + size * _POOL]
        alike = pool[np.argsort(whole[pool], kind="stable")]
        found += [np.sort(alike[at : at + size]) for at in range(0, len(alike), size)]
    return [found[place] for place in draw.permutation(len(found))]
