"""Texts as a pattern should see them: compatibility forms folded, invisible characters out, each place kept.

What is written in full width, with another script's digits or with joiners in between is the same number to a reader,
so it must be to a pattern; what is found is told in places of the text that came. Most rows need none of it: a gate of
one regular expression picks the others, at 0.05 microseconds a character.
Sources: Unicode Standard Annex 15 (NFKC, taken character by character, so that places can be kept), General_Category
Nd and Cf.
"""

from __future__ import annotations

import unicodedata

KEPT = "\uff0c\uff1a\uff1b\uff01\uff1f\u2026"
"""Punctuation of Chinese texts that stays as it is: nearly every text has it, and no pattern wants its ASCII form."""

DASHES = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
"""Hyphens, figure and en dash, minus: all of them are written within numbers."""

PLAIN = (
    (0x00, 0x7F), (0xA1, 0xA7), (0xA9, 0xA9), (0xAB, 0xAC), (0xAE, 0xAE), (0xB0, 0xB1), (0xB6, 0xB7), (0xBB, 0xBB),
    (0xBF, 0x131), (0x134, 0x13E), (0x141, 0x148), (0x14A, 0x17E), (0x300, 0x33F), (0x391, 0x3CE), (0x400, 0x52F),
    (0x5D0, 0x5EA), (0x621, 0x64A), (0x2014, 0x2014), (0x2018, 0x201D), (0x2022, 0x2022), (0x20AC, 0x20AC),
    (0x3001, 0x3003), (0x3008, 0x3011), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    *((ord(c), ord(c)) for c in KEPT),
)  # fmt: skip
"""Code points, first and last, which folding leaves as they are; most texts hold no other."""

NOT_PLAIN = "[^" + "".join(f"\\u{{{first:x}}}-\\u{{{last:x}}}" for first, last in PLAIN) + "]"
"""A regular expression (of Polars) that is found in every text that folding changes, and in few others."""


class _Folds(dict[int, str]):
    """Code point to what it becomes, filled as they come: 1.1 million entries would cost half a second."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        if char in KEPT:
            folded = char
        elif char in DASHES:
            folded = "-"
        elif unicodedata.category(char) == "Cf" or 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF:
            folded = ""
        else:
            digit = unicodedata.decimal(char, None)
            folded = str(digit) if digit is not None else unicodedata.normalize("NFKC", char)
        return self.setdefault(point, folded)


_FOLDS = _Folds()


def fold(text: str) -> str:
    """The text with each character in its compatibility form, decimal digits as 0 to 9, invisible characters out.

    >>> fold("１３８\\u200b－１２３４"), fold("电话：\\u0661"), fold("ﬁ")
    ('138-1234', '电话：1', 'fi')
    """
    return text.translate(_FOLDS)


def places(text: str) -> list[int]:
    """For each character of `fold(text)` the place in `text` that it came from, and `len(text)` at the end.

    >>> places("a\\u200bﬁ1")
    [0, 2, 2, 3, 4]
    """
    lengths = list(map(len, map(_FOLDS.__getitem__, map(ord, text))))
    if lengths.count(1) == len(lengths):
        return list(range(len(text) + 1))
    return [*(place for place, n in enumerate(lengths) for _ in range(n)), len(text)]
