"""Sums of products against fractions: exact for every float64 that there is."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tillage.measure.products import PLACE, exact_moments, exact_products

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def slow(flags: Any, numbers: Any) -> tuple[Any, Any, Any, Any]:
    x = [[Fraction(v) for v in row] for row in numbers.tolist()]
    f, p = flags.shape[1], numbers.shape[1]
    rows = range(len(x))
    sums = [[sum(x[r][j] for r in rows if flags[r, i]) for j in range(p)] for i in range(f)]
    own = [[sum(x[r][j] ** 2 for r in rows if flags[r, i]) for j in range(p)] for i in range(f)]
    return (
        (flags.astype(int).T @ flags.astype(int)).tolist(),
        sums,
        [[sum(x[r][i] * x[r][j] for r in rows) for j in range(p)] for i in range(p)],
        own,
    )


def as_fractions(values: Any, place: int) -> list[list[Fraction]]:
    return [[Fraction(int(v), 1 << place) for v in row] for row in values.tolist()]


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (5, 3), elements=FINITE), arrays(np.bool_, (5, 2)))
def test_the_sums_are_exact(numbers: Any, flags: Any) -> None:
    counts, sums, squares = exact_products(flags, numbers)
    of_flag, own = exact_moments(flags, numbers)
    expected = slow(flags, numbers)
    assert counts.tolist() == expected[0]
    assert as_fractions(sums, PLACE) == as_fractions(of_flag, PLACE) == expected[1]
    assert as_fractions(squares, 2 * PLACE) == expected[2]
    assert as_fractions(own, 2 * PLACE) == expected[3]


@pytest.mark.parametrize("rows", [4095, 4097, 16_383, 20_000])
def test_blocks_and_segments_do_not_show(rows: int) -> None:
    """The largest digits there are, in every row: no partial sum may round."""
    numbers = np.full((rows, 1), np.nextafter(2.0, 1.0))
    flags = np.ones((rows, 1), np.bool_)
    value = Fraction(float(numbers[0, 0]))
    counts, sums, squares = exact_products(flags, numbers)
    assert counts[0, 0] == rows
    assert Fraction(int(sums[0, 0]), 1 << PLACE) == rows * value
    assert Fraction(int(squares[0, 0]), 1 << 2 * PLACE) == rows * value**2
    assert exact_moments(flags, numbers)[1][0, 0] == squares[0, 0]


def test_the_smallest_and_the_largest_numbers() -> None:
    numbers = np.array([[5e-324, -2.2e-308], [3.5e-310, 1.7e308], [-1.5e-323, -1.7e308]])
    flags = np.array([[True], [True], [False]])
    counts, sums, squares = exact_products(flags, numbers)
    expected = slow(flags, numbers)
    assert as_fractions(sums, PLACE) == expected[1]
    assert as_fractions(squares, 2 * PLACE) == expected[2]
    assert as_fractions(exact_moments(flags, numbers)[1], 2 * PLACE) == expected[3]
    assert counts.tolist() == [[2]]


def test_no_rows_and_no_columns_are_zeros() -> None:
    counts, sums, squares = exact_products(np.zeros((0, 2), np.bool_), np.zeros((0, 1)))
    assert (counts.tolist(), sums.tolist(), squares.tolist()) == ([[0, 0], [0, 0]], [[0], [0]], [[0]])
    assert exact_products(np.ones((3, 1), np.bool_), np.zeros((3, 0)))[2].shape == (0, 0)
