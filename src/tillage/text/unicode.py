"""Texts as arrays of code points with a byte of properties each, so that whole columns are counted without a loop.

Texts are laid one behind the other, each closed by a line feed, in blocks of about a million characters: 4 bytes a
character for the code points and 1 for the properties, at 8 nanoseconds a character. Where all are ASCII the bytes are
the code points, at 1 nanosecond. The properties are those of this Python's Unicode tables: characters that are assigned
later count as parts of words, and as nothing else.
Sources: Unicode Standard Annex 44 (general categories), Annex 31 and RFC 5892 appendix A (joiners).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.text.runs import PAD, Bytes, joined

SPACE, HAN, LETTER, WORD = 1, 2, 4, 8
"""Properties, one bit each: white space as `str.isspace` sees it; a Han character; a letter; no space, punctuation,
control or format character, so that a run which holds one is a word."""

LINE_FEED = 10
BLOCK = 1 << 20
"""Characters of a block; a longer text is a block by itself."""

_LAST = 0x323B0
"""The tables end here (CJK extension H); beyond are variation selectors, tags and private use."""
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
PAGE = 0x1000
"""Code points of a table that are made at once."""
FIRST = 256
"""Texts that tell which pages are made beforehand, by as many of their characters as a page has."""
USUAL = (0x0, 0x2, 0xF)
"""Pages that are met sooner or later: letters, dashes and quotation marks, full width."""
_TAGS = 0xE0000
_UNKNOWN = 0x80
"""Stands in the table for what has not been asked for."""
_NO_WORD = {"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Zs", "Zl", "Zp", "Cc", "Cf"}

Codes = npt.NDArray[np.uint32] | npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Block:
    """Some texts in a row: code points, properties, and where each text begins (one more for the end)."""

    codes: Codes
    bits: Bits
    starts: Places
    data: Bytes | None = None
    """Where all are ASCII, the code points as bytes, PAD zero bytes behind them."""

    def count(self, places: Places) -> npt.NDArray[np.int64]:
        """How many of these ascending places each text has."""
        return np.diff(np.searchsorted(places, self.starts)).astype(np.int64)


def _properties_from(first: int) -> Bits:
    """The properties of a page of code points."""
    table = np.full(PAGE, WORD, dtype=np.uint8)
    signs = [chr(code) for code in range(first, min(first + PAGE, _LAST))]
    space, letter = (np.fromiter(map(told, signs), np.bool_, len(signs)) for told in (str.isspace, str.isalpha))
    mute = np.fromiter((kind in _NO_WORD for kind in map(unicodedata.category, signs)), np.bool_, len(signs))
    table[: len(signs)] = space * SPACE | ~(space | mute) * WORD | letter * LETTER
    for begin, last in _HAN:
        table[max(begin - first, 0) : max(last + 1 - first, 0)] |= HAN
    if first == _TAGS:
        table[:0x80] = 0  # tags take no room
    return table


class Table:
    """A byte below 0x80 for each code point, in pages that are made when one of theirs is asked for.

    >>> table = Table(lambda first: np.full(PAGE, first // PAGE, dtype=np.uint8))
    >>> table.of(np.array([0x41, 0x1000], dtype=np.uint32)).tolist()
    [0, 1]
    """

    def __init__(self, page: Callable[[int], Bits]) -> None:
        self._page = page
        self._new = True
        self._made = np.full(0x110000, _UNKNOWN, dtype=np.uint8)

    def of(self, codes: npt.NDArray[np.uint32]) -> Bits:
        """The byte of each of these."""
        bits: Bits = self._made[codes]
        if bits.max(initial=0) >= _UNKNOWN:
            self._make(np.unique(codes[bits >= _UNKNOWN] // PAGE))
            bits = self._made[codes]
        return bits

    def read_by(self, work: Callable[[Bits, Bits], None], texts: pl.Series) -> None:
        """Let compiled `work` read the table for these texts; it marks the pages it misses, and is done again when they
        are made. What the first texts want is made beforehand, as a second round is dear.

        >>> table, seen = Table(lambda first: np.full(PAGE, 7, dtype=np.uint8)), []
        >>> def work(table: Bits, wanted: Bits) -> None:
        ...     seen.append(int(table[0x53D1]))
        ...     wanted[5] = table[0x53D1] == 0x80
        >>> table.read_by(work, pl.Series(["a"]))
        >>> table.read_by(work, pl.Series(["\u53d1"]))
        >>> seen
        [128, 7, 7]
        """
        if self._new:
            self._new = False
            signs = set("".join(texts.head(FIRST).str.head(PAGE).drop_nulls()))
            self._make(np.array(sorted({*USUAL, *(ord(sign) // PAGE for sign in signs)})))
        wanted = np.zeros(len(self._made) // PAGE, dtype=np.uint8)
        work(self._made, wanted)
        if wanted.any():
            self._make(np.flatnonzero(wanted))
            work(self._made, np.zeros_like(wanted))

    def _make(self, pages: npt.NDArray[Any]) -> None:
        for page in pages.tolist():
            self._made[page * PAGE : (page + 1) * PAGE] = self._page(page * PAGE)


@lru_cache(maxsize=1)
def properties() -> Table:
    """The properties of all code points; a page of them takes some 1 millisecond to make."""
    return Table(_properties_from)


def properties_of(codes: npt.NDArray[np.uint32]) -> Bits:
    """The properties of each of these.

    >>> [int(n) for n in properties_of(np.array([32, 0x53D1], dtype=np.uint32))]
    [1, 14]
    """
    return properties().of(codes)


def is_ascii(texts: pl.Series) -> pl.Series:
    """Whether each text is ASCII; null as empty.

    >>> is_ascii(pl.Series(["a", "\u00e4", None])).to_list()
    [True, False, True]
    """
    return (texts.str.len_bytes() == texts.str.len_chars()).fill_null(True)


def blocks(texts: pl.Series) -> Iterator[Block]:
    """The texts in order, in blocks; null is as empty. Those in one block are best all ASCII or all not.

    >>> block = next(blocks(pl.Series(["a", None, "bc"])))
    >>> block.codes.tolist(), block.starts.tolist()
    ([97, 10, 10, 98, 99, 10], [0, 2, 3, 6])
    """
    texts = texts.cast(pl.String).fill_null("")
    sizes = texts.str.len_chars().to_numpy().astype(np.intp) + 1
    ends, at = np.cumsum(sizes), 0
    while at < len(texts):
        before = int(ends[at - 1]) if at else 0
        until = max(int(np.searchsorted(ends, before + BLOCK, side="right")), at + 1)
        data = joined(texts[at:until], "\n")
        starts = np.concatenate(([0], ends[at:until] - before))
        codes: Codes = data[:-PAD]
        if len(codes) == starts[-1]:
            bits = np.frombuffer(codes.tobytes().translate(_ascii_properties()), dtype=np.uint8)
            yield Block(codes, bits, starts, data)
        else:
            codes = np.frombuffer(codes.tobytes().decode().encode("utf-32-le"), dtype=np.uint32)
            yield Block(codes, properties_of(codes), starts)
        at = until


@lru_cache(maxsize=1)
def _ascii_properties() -> bytes:
    """The properties of a byte of ASCII, by the same rules."""
    return _properties_from(0)[:256].tobytes()


# ---- joiners

JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: spelling in some scripts, glue in emoji, noise elsewhere."""

_CURSIVE = "\u0600-\u06ff\u0700-\u077f\u07c0-\u07ff\u0840-\u08ff\u1800-\u18af\ufb50-\ufdff\ufe70-\ufefc"
"""Scripts whose letters join: Arabic, Syriac, N'Ko, Mandaic, Mongolian. A joiner counts between two of them."""
_INDIC = (
    "\u0900-\u0dff\u0f00-\u109f\u1780-\u17ff\u1a20-\u1aaf\u1b00-\u1bff\ua8e0-\ua8ff\ua980-\uaaff\U00011000-\U00011fff"
)
"""Scripts with conjuncts, where a joiner after a letter or sign chooses its form, even at the end of a word."""
_EMOJI = "\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001faff"
"""Blocks of pictographs: a joiner makes one picture of two; U+FE0F may stand before it."""

_RUN = re.compile(f"[{JOINERS}]+")
_IN_CURSIVE, _IN_INDIC, _IN_EMOJI = (re.compile(f"[{c}]") for c in (_CURSIVE, _INDIC, _EMOJI))


def drop_joiners(text: str) -> str:
    """The text without the joiners that change nothing; of a run the first is looked at, the others go.

    It stays between two letters of a script that joins (Persian), after a letter or sign of a script with conjuncts
    (Hindi, Malayalam), and, the joiner proper, between two pictographs. Doing it twice changes nothing.

    >>> drop_joiners("a\u200db"), drop_joiners("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"
    ('ab', True)
    """

    def kept(run: re.Match[str]) -> str:
        before = text[run.start() - 1 : run.start()]
        after = text[run.end() : run.end() + 1]
        sign = run.group()[0]
        picture = before == "\ufe0f" or _IN_EMOJI.match(before)
        if sign == "\u200d" and picture and _IN_EMOJI.match(after):
            return sign
        if _IN_INDIC.match(before) and _speaks(before):
            return sign
        joined = _IN_CURSIVE.match(before) and _IN_CURSIVE.match(after) and _speaks(before) and _speaks(after)
        return sign if joined else ""

    return _RUN.sub(kept, text)


def _speaks(sign: str) -> bool:
    """A letter or a mark, not a digit or punctuation of the same block."""
    return unicodedata.category(sign)[0] in "LM"
