"""What `Normalize` does with each code point, as a table that the compiled functions go by.

A code point gets an action when neither its neighbours nor the order of the rules matter to it, white space apart,
which is folded in the same pass. Where a text holds any other (a combining mark, a sign that the normal form changes, a
joiner that may be spelling, a capital beyond ASCII) the whole text is left to the rules in `normalize`, one by one.
Sources: Unicode Standard Annex 15 (normalisation forms; section 9, characters that may compose with one before).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import repeat
from typing import Literal

import numpy as np
import polars as pl

from tillage.text.unicode import JOINERS, PAGE, Bits, Table

Form = Literal["NFC", "NFKC"]

KEEP, DROP, BLANK, SPACE_OUT, FEED, RETURN, SMALL, NARROW, NARROW_SMALL, DOTS, LEAVE = range(11)
"""As it is; nothing; white space to be folded; a space; a line feed; the same, and one with a line feed behind it;
ASCII in lower case; full width in half width, in lower case; three dots; the text is left to the rules."""

INVISIBLE = "\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
"""Soft hyphen, Mongolian vowel separator, zero-width space, direction marks, word joiner, BOM; joiners are apart."""

CONTROL = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
"""Control characters that are no white space and no separator."""

WIDE_SIGNS = {chr(0xFF01 + k): chr(0x21 + k) for k in range(94)} | {"\u3000": " ", "\u00a0": " ", "\u2026": "..."}
"""What NFKC makes of the signs that Chinese text is full of. Put in their place beforehand, natively, they leave most
texts in NFKC already, and `unicodedata` with a glance: 4 times as fast."""

WIDE = {wide: half for wide, half in WIDE_SIGNS.items() if half.isascii() and half.isalnum()}
"""Full-width letters and digits to half width; punctuation is left, which Chinese text wants wide."""

_BREAKS = "\n\x0b\x0c\x1c\x1d\x1e\u0085\u2028\u2029"
_UNSETTLED = {"Mn", "Mc", "Me", "Cn", "Cs"}
"""Marks, which the normal form moves and joins, and what this Python's Unicode does not know."""
_COMPOSING = ((0x1100, 0x1200), (0xA960, 0xA980), (0xD7B0, 0xD800), (0x16D40, 0x16D80))
"""Blocks with letters that may join with one before: Hangul, Kirat Rai."""
_SIGNS = "".join(chr(code) for code in (*range(0x3001), 0xFEFF, *range(0xFF01, 0xFF5F)))
"""All that may have an action of its own."""


@lru_cache(maxsize=16)
def actions(
    form: Form, full_width: bool, zero_width: bool, control: bool, spaces: bool, lines: bool, lower: bool
) -> Table:
    """The action of each code point by these rules; the pages of a script take some 2 milliseconds each to make.

    >>> table = actions("NFKC", False, True, True, True, False, True)
    >>> table.of(np.array([ord(sign) for sign in "aA \u3000\uff21\u0301"], dtype=np.uint32)).tolist()
    [0, 6, 2, 2, 8, 10]
    """
    own = _own(form, full_width, zero_width, control, spaces, lines, lower)

    def page(first: int) -> Bits:
        signs = [chr(code) for code in range(first, first + PAGE)]
        kinds, normal = map(unicodedata.category, signs), map(unicodedata.is_normalized, repeat(form), signs)
        settled = [fine and kind not in _UNSETTLED for kind, fine in zip(kinds, normal, strict=True)]
        made = np.where(settled, np.uint8(KEEP), np.uint8(LEAVE))
        for begin, end in _COMPOSING:
            made[max(begin - first, 0) : max(end - first, 0)] = LEAVE
        if lower:
            known = pl.Series([sign if fine else "" for sign, fine in zip(signs, settled, strict=True)])
            made[(known.str.to_lowercase() != known).to_numpy()] = LEAVE
        for code, action in own.items():
            if first <= code < first + PAGE:
                made[code - first] = action
        return made

    return Table(page)


def _own(
    form: Form, full_width: bool, zero_width: bool, control: bool, spaces: bool, lines: bool, lower: bool
) -> dict[int, int]:
    """Code points with an action of their own; of two rules the one that comes first in `Normalize` counts."""
    found: dict[int, int] = {}
    if lower:
        found |= dict.fromkeys(range(ord("A"), ord("Z") + 1), SMALL)
    if spaces:
        found |= {ord(sign): BLANK for sign in _SIGNS if sign.isspace()}
    if lines:
        found |= {ord(sign): FEED for sign in _BREAKS} | {ord("\r"): RETURN}
    narrowed = WIDE_SIGNS if form == "NFKC" else WIDE if full_width else {}
    for sign, plain in narrowed.items():
        small = lower and plain.isupper()
        found[ord(sign)] = NARROW_SMALL if small else NARROW
        if plain == " ":
            found[ord(sign)] = BLANK if spaces else SPACE_OUT
        elif len(plain) > 1:
            found[ord(sign)] = DOTS
    out = (INVISIBLE if zero_width else "") + (CONTROL if control else "")
    if out:
        found |= {ord(sign): DROP for sign in re.findall(f"[{out}]", _SIGNS)}
    if zero_width:
        found |= {ord(sign): LEAVE for sign in JOINERS}
    return found
