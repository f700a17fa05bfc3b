"""What can be counted in a text: characters, words, Han characters, letters, lines and how they begin and end.

All from one reading of the text: compiled, 1 nanosecond a character; else of the code points, vectorised, with no loop
over texts, some 5 nanoseconds a character of ASCII, 20 of another. A word is a run of characters between white space
that holds more than punctuation; a Han character is a word of its own, since Chinese writes no blanks. Punctuation is
part of no word's length.
Sources: the quantities of Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1) and FineWeb (Penedo et al. 2024,
arXiv:2406.17557, section 3.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.text.native import compiled
from tillage.text.unicode import (
    HAN,
    LETTER,
    LINE_FEED,
    SPACE,
    WORD,
    Bits,
    Block,
    Codes,
    Places,
    blocks,
    properties,
)

BULLETS = "\u2022\u2023\u2043\u204c\u204d\u25aa\u25ab\u25cf\u25cb\u25e6\u25a0\u25a1\u25c6\u25c7\u2219\u00b7\uff65-*"
"""Signs that begin an entry of a list; the hyphen and the star are those of Markdown."""
ENDINGS = ".!?\u2026\"'\u201d\u2019\u3002\uff01\uff1f\uff0e\u300d\u300f\u061f\u06d4\u0964"
"""Signs that end a sentence, or a quotation of one."""
SHORT_LINE = 30
"""Characters of a line that FineWeb calls short, at most."""

COUNTS = (
    "characters", "nonspace", "words", "han", "alphabetic_words", "word_characters", "hashes", "ellipses",
    "lines", "bullet_lines", "ellipsis_lines", "ended_lines", "short_lines",
)  # fmt: skip
"""The columns of `measure`, in order."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The runs of a block that are no white space, Han characters apart, in order."""

    starts: Places
    ends: Places
    """One past the last character of each."""
    bits: Bits
    """LETTER, WORD and HAN of each: those that one of its characters has at least."""
    bounds: Places
    """Where the runs of each text begin among them, and at the end how many there are."""

    def count(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """How many of those for which `which` is true each text has."""
        return np.diff(_running(which)[self.bounds])


def tokens(block: Block) -> Tokens:
    """Every run between white space, cut around Han characters.

    >>> found = tokens(next(blocks(pl.Series(["ab, \u53d1\u70e7c"]))))
    >>> found.starts.tolist(), found.ends.tolist()
    ([0, 4, 5, 6], [3, 5, 6, 7])
    """
    bits = block.bits
    solid = (bits & SPACE) == 0
    if block.data is not None:
        # The last character of a block is a line feed, so that every run ends.
        edges = np.flatnonzero(solid[1:] != solid[:-1]) + 1
        if len(solid) and solid[0]:
            edges = np.concatenate(([0], edges))
        starts, ends = np.ascontiguousarray(edges[::2]), np.ascontiguousarray(edges[1::2])
    else:
        apart = (bits & HAN) != 0
        new = solid[1:] != solid[:-1]
        new |= (apart[1:] | apart[:-1]) & solid[1:]
        starts = np.flatnonzero(solid & np.concatenate(([True], new)))
        ends = np.flatnonzero(solid & np.concatenate((new | (apart[:-1] & solid[:-1]), [True]))) + 1
    # Most words begin or end with a letter; the others are looked at whole.
    found = np.take(bits, starts) | np.take(bits, ends - 1)
    unsure = np.flatnonzero((found & LETTER) == 0)
    if len(unsure):
        pairs = np.stack((starts[unsure], ends[unsure]), axis=1).reshape(-1)
        found[unsure] = np.bitwise_or.reduceat(bits, pairs)[::2]
    return Tokens(starts, ends, found, np.searchsorted(starts, block.starts))


def count(block: Block, runs: Tokens) -> dict[str, npt.NDArray[np.int64]]:
    """COUNTS by name, one number a text of the block; see `measure`."""
    codes, bits = block.codes, block.bits
    sizes = np.diff(np.concatenate(([0], np.cumsum(runs.ends - runs.starts)))[runs.bounds])
    mute = block.count(np.flatnonzero((bits & (SPACE | HAN | WORD)) == 0))
    wide = block.data is None
    han = block.count(np.flatnonzero((bits & HAN) != 0)) if wide else np.zeros(len(sizes), dtype=np.int64)

    ends = np.flatnonzero(codes == LINE_FEED)
    begins = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    first, last = np.searchsorted(runs.starts, begins), np.searchsorted(runs.ends, ends, side="right") - 1
    full = first <= last
    begins, first, last = begins[full], runs.starts[first[full]], runs.ends[last[full]] - 1
    dots = codes[last] == 0x2E  # a line feed stands before each line, and so no dot of another line is seen
    dots[dots] = (codes[last[dots] - 1] == 0x2E) & (codes[last[dots] - 2] == 0x2E)
    marks = {
        "lines": slice(None),
        "bullet_lines": np.isin(codes[first], _codes(BULLETS)),
        "ellipsis_lines": dots | (codes[last] == 0x2026) if wide else dots,
        "ended_lines": np.isin(codes[last], _codes(ENDINGS)),
        "short_lines": last - first < SHORT_LINE,
    }
    return {
        "characters": np.diff(block.starts) - 1,
        "nonspace": sizes,
        "words": runs.count((runs.bits & WORD) != 0),
        "han": han,
        "alphabetic_words": runs.count((runs.bits & LETTER) != 0),
        "word_characters": sizes - mute - han,
        "hashes": block.count(np.flatnonzero(codes == 0x23)),
        "ellipses": block.count(_ellipses(block)),
        **{name: block.count(begins[mark]) for name, mark in marks.items()},
    }


def counts(texts: pl.Series) -> dict[str, npt.NDArray[np.int64]]:
    """COUNTS by name, one number a text, by the compiled functions, which there must be; see `measure`."""
    assert compiled is not None
    native, column = compiled, texts.cast(pl.String)
    out = np.empty((len(texts), len(COUNTS)), dtype=np.int64)
    bullets, endings = (_codes(signs).astype(np.uint32) for signs in (BULLETS, ENDINGS))

    def work(table: Bits, wanted: Bits) -> None:
        native.text_counts(column.__arrow_c_stream__(), table, wanted, bullets, endings, out)

    properties().read_by(work, column)
    return dict(zip(COUNTS, np.ascontiguousarray(out.T), strict=True))


def measure(texts: pl.Series) -> pl.DataFrame:
    """One row a text, each column a count (Int64), null as an empty text:

    characters, and those that are no white space (`nonspace`); `words`, of them Han characters (`han`) and those with a
    letter (`alphabetic_words`); `word_characters`: characters of the words that are neither Han nor punctuation;
    `hashes` (#) and `ellipses` (... and U+2026); `lines` that are not blank, and of those, white space at the ends
    apart, the ones that begin with a bullet, end in an ellipsis, end as a sentence does, or have 30 characters at most.

    >>> measure(pl.Series(["Hello, world...", "\u53d1\u70e7 39.5"])).select("words", "han", "ellipsis_lines").rows()
    [(2, 0, 1), (3, 2, 0)]
    """
    schema = dict.fromkeys(COUNTS, pl.Int64)
    if compiled is not None:
        return pl.DataFrame(counts(texts), schema=schema)
    frames = [pl.DataFrame(count(block, tokens(block)), schema=schema) for block in blocks(texts)]
    return pl.concat([pl.DataFrame(schema=schema), *frames])


def distinct_words(block: Block, listed: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many different ones of these words each text of the block has, as whole runs of letters, whatever their case.

    The words are of small letters of ASCII. U+017F counts as s and U+212A as k, as Unicode's case folding has them.

    >>> block = next(blocks(pl.Series(["The cat,that CAT", "cathat"])))
    >>> distinct_words(block, ("the", "cat", "hat")).tolist()
    [2, 0]
    """
    letter = (block.bits & LETTER) != 0
    edges = np.flatnonzero(letter[1:] != letter[:-1]) + 1
    if len(letter) and letter[0]:
        edges = np.concatenate(([0], edges))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    out = np.zeros(len(block.starts) - 1, dtype=np.int64)
    for length in {len(word) for word in listed}:
        at = starts[lengths == length]
        signs = [_small(np.take(block.codes, at + n)) for n in range(length)]
        for word in {word for word in listed if len(word) == length}:
            same = signs[0] == ord(word[0])
            for n in range(1, length):
                same &= signs[n] == ord(word[n])
            # Which text a word is in is asked of the few that are found.
            text = np.searchsorted(block.starts, at[same], side="right") - 1
            out += np.bincount(text, minlength=len(out)) > 0
    return out


def _small(codes: Codes) -> Codes:
    """Letters of ASCII in lower case, those that fold to them too; others as something that is none of them."""
    if codes.dtype == np.uint8:
        lowered: Codes = codes | np.uint8(0x20)
        return lowered
    folded: Codes = codes.copy()
    folded[codes < 0x80] |= np.uint32(0x20)
    folded[codes == 0x17F] = ord("s")
    folded[codes == 0x212A] = ord("k")
    return folded


def _ellipses(block: Block) -> Places:
    """The places of U+2026, and of each third dot of a run: what `str.count` of the two adds up to."""
    dots = np.flatnonzero(block.codes == 0x2E)
    if not len(dots) and block.data is not None:
        return dots
    fresh = np.flatnonzero(np.diff(dots, prepend=-2) != 1)
    in_run = np.arange(len(dots)) - np.repeat(fresh, np.diff(fresh, append=len(dots)))
    thirds: Places = dots[in_run % 3 == 2]
    if block.data is not None:
        return thirds
    return np.sort(np.concatenate((thirds, np.flatnonzero(block.codes == 0x2026))))


def _running(which: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many are true before each, and at the end in all."""
    out = np.zeros(len(which) + 1, dtype=np.int64)
    np.cumsum(which, out=out[1:])
    return out


def _codes(signs: str) -> Places:
    return np.array([ord(s) for s in signs])
