"""The compiled search for shapes: what random texts meet too seldom.

Mutation caught: runs of letters are looked for where the eight bytes before a multiple of 16 are letters too, and not
those behind.
"""

from __future__ import annotations

import string

import polars as pl
import pytest

from tillage.privacy.shapes import Shape, shapes
from tillage.text.native import compiled

LETTERS = "".join(sign for sign in string.ascii_letters if sign not in "IOl")


@pytest.mark.skipif(compiled is None, reason="there is no compiler here")
@pytest.mark.parametrize("length", [25, 26, 27, 30, 34, 35, 36])
def test_addresses_of_letters_alone_are_found_wherever_they_begin(length: int) -> None:
    assert compiled is not None
    address = ("A" + LETTERS)[:length]
    for before in range(48):
        found, odd = shapes(compiled, pl.Series([" " * before + address + " and more"]))
        places = [place for _, place, bits in found.tolist() if bits & Shape.BASE58]
        assert places == ([before] if 26 <= length <= 35 else []), (before, length)
        assert not len(odd)
