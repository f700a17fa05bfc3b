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

NOT_PLAIN = (
    r"[^\x00-\x7e"
    r"\u{a1}-\u{a7}\u{a9}\u{ab}\u{ac}\u{ae}\u{b0}\u{b1}\u{b6}\u{b7}\u{bb}\u{bf}"
    r"\u{c0}-\u{131}\u{134}-\u{13e}\u{141}-\u{148}\u{14a}-\u{17e}"
    r"\u{2014}\u{2018}-\u{201d}\u{2022}\u{20ac}\u{3001}-\u{3003}\u{3008}-\u{3011}\u{3041}-\u{3096}\u{30a1}-\u{30fa}"
    r"\u{4e00}-\u{9fff}\u{ac00}-\u{d7a3}" + "".join(f"\\u{{{ord(c):x}}}" for c in KEPT) + "]"
)
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
