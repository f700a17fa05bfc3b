"""The second moments of a table as a Fold keeps them: for all pairs of features the exact sum of their products.

A state is a count a pair of truth values and an integer of any size a pair with a number in it, so that states merge in
any order, and a row that is taken out of its chunk leaves nothing behind. 20 numbers make 5 kB, 100 truth values 80 kB.
Sources: Chan, Golub, LeVeque, The American Statistician 37, 1983 (moments that merge); `measure.products` (exactness).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tillage.core.state import State
from tillage.learn.cells import Cells, merged_kinds, ruled_out, stays
from tillage.learn.learner import Numbers
from tillage.measure.exact import rounded
from tillage.measure.products import PLACE, exact_products

SUMS, SQUARES = PLACE, 2 * PLACE
"""Sums are in units of 2**-SUMS, sums of products of two numbers in units of 2**-SQUARES."""


def no_moments() -> State:
    """The moments of no row.

    >>> no_moments()["flags"]
    []
    """
    return {
        "kinds": {},
        "out": [],
        "flags": [],
        "numbers": [],
        "counts": np.zeros((0, 0), np.int64),
        "sums": packed_integers(np.zeros((0, 0), object)),
        "squares": packed_integers(np.zeros((0, 0), object)),
    }


def moments_of(cells: Cells) -> State:
    """The moments of some rows."""
    flags, numbers = sorted(cells.flags), sorted(cells.numbers)
    height = len(next(iter(cells.flags.values())))
    truths = np.column_stack([cells.flags[n] for n in flags]) if flags else np.zeros((height, 0), np.bool_)
    values = np.column_stack([cells.numbers[n] for n in numbers]) if numbers else np.zeros((height, 0))
    counts, sums, squares = exact_products(truths, values)
    found = {"kinds": cells.kinds, "out": cells.out, "flags": flags, "numbers": numbers}
    return _kept(found, counts, sums, squares, cells.out)


def merged_moments(a: State, b: State, levels: int) -> State:
    """The moments of both sets of rows; a column that has more than `levels` values now is no category any more."""
    flags, numbers = sorted({*a["flags"], *b["flags"]}), sorted({*a["numbers"], *b["numbers"]})
    counts = np.zeros((len(flags), len(flags)), np.int64)
    sums = np.full((len(flags), len(numbers)), 0, object)
    squares = np.full((len(numbers), len(numbers)), 0, object)
    for state in (a, b):
        f, p = places(flags, state["flags"]), places(numbers, state["numbers"])
        counts[np.ix_(f, f)] += state["counts"]
        sums[np.ix_(f, p)] += integers(state["sums"])
        squares[np.ix_(p, p)] += integers(state["squares"])
    out = ruled_out({*a["out"], *b["out"]}, flags, levels)
    found = {"kinds": merged_kinds(a["kinds"], b["kinds"]), "out": out, "flags": flags, "numbers": numbers}
    return _kept(found, counts, sums, squares, out)


def _kept(found: dict[str, Any], counts: Numbers, sums: Numbers, squares: Numbers, out: Iterable[str]) -> State:
    """The state without what no column may be."""
    ruled = set(out)
    f = [at for at, name in enumerate(found["flags"]) if stays(name, ruled) and counts[at, at]]
    p = [at for at, name in enumerate(found["numbers"]) if stays(name, ruled)]
    return {
        **found,
        "flags": [found["flags"][at] for at in f],
        "numbers": [found["numbers"][at] for at in p],
        "counts": counts[np.ix_(f, f)],
        "sums": packed_integers(sums[np.ix_(f, p)]),
        "squares": packed_integers(squares[np.ix_(p, p)]),
    }


def places(names: Sequence[str], some: Iterable[str]) -> list[int]:
    """Where each of `some` stands among `names`.

    >>> places(["a", "b"], ["b"])
    [1]
    """
    at = {name: place for place, name in enumerate(names)}
    return [at[name] for name in some]


def packed_integers(values: Numbers) -> dict[str, Any]:
    """Integers of any size as data, in one way only: without the bits at the end that are zero in all of them.

    >>> packed_integers(np.array([[8, 12]], object))
    {'shape': [1, 2], 'shift': 2, 'values': [2, 3]}
    """
    flat = values.ravel().tolist()
    shift = min(((v & -v).bit_length() - 1 for v in flat if v), default=0)
    return {"shape": list(values.shape), "shift": shift, "values": [v >> shift for v in flat]}


def integers(packed: Mapping[str, Any]) -> Numbers:
    """The inverse.

    >>> integers({"shape": [1, 2], "shift": 2, "values": [2, 3]}).tolist()
    [[8, 12]]
    """
    found = np.empty(len(packed["values"]), object)
    found[:] = [v << packed["shift"] for v in packed["values"]]
    return found.reshape(packed["shape"])


def each_rounded(values: Numbers, denominator: int) -> Numbers:
    """Each integer over the denominator, as the nearest float64.

    >>> each_rounded(np.array([1, 2], object), 4).tolist()
    [0.25, 0.5]
    """
    found = np.array([rounded(int(v), denominator) for v in values.ravel().tolist()], np.float64)
    return found.reshape(values.shape)
