"""Sums of products of columns without any rounding, at the speed of matrix products.

A float64 is cut into digits of 20 bits at places that are the same for all numbers, so that its digits are whole
numbers below 2**20, and the products of 4,096 rows of them add up below 2**53: BLAS adds them exactly, in whatever
order. Digits are put together again as integers of any size. Twenty columns of normal numbers cost about 4 CPU
seconds a million rows, an accumulator a pair (as `measure.exact` has) some twenty times that.

Sources: Ozaki, Ogita, Oishi, Rump, Error-free transformations of matrix multiplication, Numerical Algorithms 59, 2012;
Demmel and Nguyen, Parallel reproducible summation, IEEE Transactions on Computers 64, 2015 (fixed places).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]

PLACE = 1080
"""Numbers are whole multiples of 2**-PLACE; products of two, of 2**(-2 * PLACE)."""

_BITS = 20
_MASK = (1 << _BITS) - 1
_BLOCK = 4096
"""Rows multiplied at once: 4,096 products of two digits stay below 2**52."""
_SEGMENT = 1 << 14
"""Rows cut into digits at once, which bounds the memory."""


def exact_products(flags: Numbers, numbers: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Sums over rows of all products: flags by flags, flags by numbers, numbers by numbers.

    `flags`: (rows, f) of truth values; `numbers`: (rows, p) of finite float64. Returns Int64 (f, f); and object arrays
    of integers: (f, p) in units of 2**-PLACE, (p, p) in units of 2**(-2 * PLACE).

    >>> flags, numbers = np.array([[True], [True]]), np.array([[0.1, 1.0], [0.2, 3.0]])
    >>> counts, sums, squares = exact_products(flags, numbers)
    >>> int(counts[0, 0]), sums[0, 1] == 4 << PLACE, squares[1, 1] == 10 << 2 * PLACE
    (2, True, True)
    """
    f, p = flags.shape[1], numbers.shape[1]
    counts = np.zeros((f, f), np.int64)
    sums, squares = np.full((f, p), 0, object), np.full((p, p), 0, object)
    for start in range(0, len(flags), _SEGMENT):
        digits, column, place = _digits(numbers[start : start + _SEGMENT])
        known = flags[start : start + _SEGMENT]
        by_flag, by_digit = np.zeros((f, len(column)), np.int64), np.zeros((len(column), len(column)), np.int64)
        for at in range(0, len(known), _BLOCK):
            ones, block = (some[at : at + _BLOCK].astype(np.float64) for some in (known, digits))
            counts += (ones.T @ ones).astype(np.int64)
            by_flag += (ones.T @ block).astype(np.int64)
            by_digit += (block.T @ block).astype(np.int64)
        weight = [1 << _BITS * k for k in place.tolist()]
        for a, (i, w) in enumerate(zip(column.tolist(), weight, strict=True)):
            sums[:, i] += by_flag[:, a].astype(object) * w
            for j, v, n in zip(column.tolist(), weight, by_digit[a].tolist(), strict=True):
                squares[i, j] += n * w * v
    return counts, sums, squares


def exact_moments(flags: Numbers, numbers: Numbers) -> tuple[Numbers, Numbers]:
    """For each flag and column the sums of the values, and of their squares, over the rows that have the flag.

    Object arrays (f, p), in the units of `exact_products`, at a cost of p columns and not of p * p pairs.

    >>> sums, squares = exact_moments(np.array([[True], [False]]), np.array([[3.0], [5.0]]))
    >>> sums[0, 0] == 3 << PLACE, squares[0, 0] == 9 << 2 * PLACE
    (True, True)
    """
    shape = (flags.shape[1], numbers.shape[1])
    sums, squares = np.full(shape, 0, object), np.full(shape, 0, object)
    for start in range(0, len(flags), _SEGMENT):
        digits, column, place = _digits(numbers[start : start + _SEGMENT])
        ones = flags[start : start + _SEGMENT].astype(np.float64)
        for i in range(shape[1]):
            mine = np.flatnonzero(column == i).tolist()
            for at, a in enumerate(mine):
                one = digits[:, a].astype(np.float64)
                sums[:, i] += _added(ones, one) * (1 << _BITS * int(place[a]))
                for b in mine[at:]:
                    twice = (1 + (a < b)) << _BITS * int(place[a] + place[b])
                    squares[:, i] += _added(ones, one * digits[:, b]) * twice
    return sums, squares


def _added(ones: Numbers, values: Numbers) -> Numbers:
    """The sum of whole numbers below 2**40 by flag, as integers of any size."""
    total = np.zeros(ones.shape[1], np.int64)
    for at in range(0, len(ones), _BLOCK):
        total += (ones[at : at + _BLOCK].T @ values[at : at + _BLOCK]).astype(np.int64)
    return total.astype(object)


def _digits(numbers: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(rows, digits) of whole float32 below 2**_BITS in size, the column of each, its place; none that is all zero."""
    made: list[Numbers] = []
    column: list[int] = []
    place: list[int] = []
    for i in range(numbers.shape[1]):
        fraction, exponent = np.frexp(numbers[:, i])
        mantissa = (np.abs(fraction) * (1 << 53)).astype(np.int64)
        at = exponent.astype(np.int64) - 53 + PLACE
        mantissa >>= np.maximum(-at, 0)  # below the normal numbers the last bits are zero
        at = np.where(mantissa, np.maximum(at, 0), PLACE)
        first, low = np.divmod(at, _BITS)
        rest = mantissa >> (_BITS - low)
        parts = [(mantissa & ((1 << (_BITS - low)) - 1)) << low, rest & _MASK, rest >> _BITS & _MASK, rest >> 2 * _BITS]
        sign = np.where(fraction < 0, -1.0, 1.0)
        least = int(first.min()) if len(first) else 0
        width = int(first.max()) - least + 4 if len(first) else 0
        row = np.arange(len(first))
        table = np.zeros((len(first), width), np.float32)  # which holds 24 bits
        for k, part in enumerate(parts):
            table[row, first - least + k] = part * sign
        used = np.flatnonzero(table.any(axis=0))
        made.append(table[:, used])
        column += [i] * len(used)
        place += (used + least).tolist()
    matrix = np.ascontiguousarray(np.hstack(made)) if made else np.zeros((len(numbers), 0), np.float32)
    return matrix, np.array(column, np.int64), np.array(place, np.int64)
