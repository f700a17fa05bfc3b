"""Where texts may hold personal data, told by the compiled extension: places and rough shapes, in one pass.

A shape is what every finding of a form meets and little else does (`text/c/shapes.c` says what, in order of the names
here), so that a pattern is asked at some hundred places of ten thousand texts and not of each character. The gates of
`privacy.kinds`, which Polars runs over whole columns, are the slower twin.
Cost: 1 nanosecond a byte.
"""

from __future__ import annotations

from enum import IntFlag, auto
from functools import lru_cache
from types import ModuleType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tillage.text.folding import PLAIN
from tillage.text.runs import joined

Found = NDArray[np.int64]
"""A line for each place: row number, place in characters, bits of `Shape`; the places of a row ascend."""

_CODES = 0x10000
_ROOM = 1024


class Shape(IntFlag):
    """The shapes, one bit each."""

    MAILBOX = auto()
    SCHEME = auto()
    DOTTED = auto()
    COLONS = auto()
    OCTETS = auto()
    CARD = auto()
    CARD_GROUPS = auto()
    IBAN = auto()
    BASE58 = auto()
    BECH32 = auto()
    EVM = auto()
    RESIDENT = auto()
    OLD_RESIDENT = auto()
    SOCIAL_CREDIT = auto()
    SSN_GROUPS = auto()
    NINE_DIGITS = auto()
    PASSPORT = auto()
    PLATE = auto()
    DATE = auto()
    DATE_OF_MONTH = auto()
    DATE_IN_HAN = auto()
    MOBILE = auto()
    LANDLINE = auto()
    PLUS = auto()
    ZEROS = auto()
    AMERICAN = auto()
    FREE = auto()
    GROUPS = auto()
    DIGITS = auto()


@lru_cache(maxsize=1)
def _plain() -> NDArray[np.uint8]:
    """A bit for each code point below 0x10000 that folding leaves as it is, from the lowest bit of the first byte."""
    plain = np.zeros(_CODES, dtype=np.bool_)
    for first, last in PLAIN:
        plain[first : last + 1] = True
    return np.packbits(plain, bitorder="little")


def shapes(compiled: ModuleType, texts: pl.Series) -> tuple[Found, NDArray[np.intp]]:
    """The places of the texts, null as empty, and the rows which folding may change; those want to be folded first.

    >>> from tillage.text.native import compiled
    >>> some = pl.Series(["mail a@b.cn", None, "or \\uff41@b.cn"])
    >>> compiled is None or shapes(compiled, some)[0].tolist() == [[0, 5, Shape.MAILBOX]]
    True
    """
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(texts.str.len_bytes().fill_null(0).to_numpy(), out=starts[1:])
    data, plain, odd = joined(texts), _plain(), np.empty(len(texts), dtype=np.uint8)
    room = len(texts) + _ROOM
    while True:
        found = np.empty((room, 3), dtype=np.int64)
        many = compiled.shapes(data, starts, plain, odd, found)
        if many <= room:
            return found[:many], np.flatnonzero(odd)
        room = many
