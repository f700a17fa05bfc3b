"""How much of a text is said again: lines, paragraphs, the most frequent n-gram of words, n-grams that came before.

Lines and paragraphs are compared as they are. N-grams are compared by a 64-bit polynomial over the code points of their
words: about 60 nanoseconds a word for pairs and for 5-grams, and for the rest only in texts that pairs and 5-grams show
to be suspicious. Two texts never meet. A text made on purpose so that its hashes clash counts as repetitive, no more.
Source: Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.text.measures import Tokens
from tillage.text.unicode import BLOCK, SPACE, WORD, Block, Places

Hashes = npt.NDArray[np.uint64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that its powers do not run out modulo 2^64."""
_MIX = np.uint64(0xBF58476D1CE4E5B9)

LINES = ("repeated_lines", "repeated_line_characters", "repeated_paragraphs", "repeated_paragraph_characters")
"""The columns of `repeated_lines`."""


def repeated_lines(texts: pl.Series) -> pl.DataFrame:
    """Shares (0 to 1) of lines and paragraphs that stood in the same text before, and of their characters.

    White space at the ends of a line does not count; blank lines are none, and divide paragraphs. Null is as empty.

    >>> repeated_lines(pl.Series(["again\\nagain\\nnew", "one"])).row(0)
    (0.3333333333333333, 0.3846..., 0.0, 0.0)
    """
    many = texts.str.contains("\n", literal=True).fill_null(False)
    rows = pl.DataFrame({"row": many.arg_true(), "text": texts.filter(many)})
    lines = rows.select("row", text=pl.col("text").str.split("\n")).explode("text")
    lines = lines.with_columns(pl.col("text").str.strip_chars(_SPACES))
    by_line = _shares(lines.filter(pl.col("text") != ""), LINES[:2])
    # A paragraph that comes again brings lines that come again.
    suspects = by_line.filter(pl.col(LINES[0]) > 0).select("row")
    parts = (
        lines.join(suspects, on="row", how="semi", maintain_order="left")
        .with_columns(part=(pl.col("text") == "").cum_sum())
        .filter(pl.col("text") != "")
        .group_by("row", "part", maintain_order=True)
        .agg(pl.col("text").str.join("\n"))
        .select("row", "text")
    )
    both = by_line.join(_shares(parts, LINES[2:]), on="row", how="left")
    whole = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)})
    return whole.join(both, on="row", how="left", maintain_order="left").select(pl.col(c).fill_null(0.0) for c in LINES)


_SPACES = "".join(chr(c) for c in range(0x3001) if chr(c).isspace())


def _shares(pieces: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Per row, the share of pieces that came before, and of their characters."""
    size = pl.col("text").str.len_chars().cast(pl.Int64)
    groups = pieces.group_by("row", "text").agg(times=pl.len().cast(pl.Int64)).with_columns(size=size)
    again = pl.col("times") - 1
    shares = groups.group_by("row").agg(
        (again.sum() / pl.col("times").sum()).alias(names[0]),
        ((again * pl.col("size")).sum() / (pl.col("times") * pl.col("size")).sum()).alias(names[1]),
    )
    return shares.with_columns(pl.col("row").cast(pl.UInt32))


def ngram_limits(
    block: Block,
    runs: Tokens,
    top: Mapping[int, float],
    repeated: Mapping[int, float],
    among: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which texts of a block break a limit: of the most frequent n-gram, and of n-grams that came before.

    `top` and `repeated` map n (2 or more) to the greatest share (0 to 1) that is allowed: of the characters of all
    words, blanks apart, those of the most frequent n-gram times its occurrences (two at least; overlapping ones count
    each, so that the product may exceed the whole); and those of words covered by n-grams that came before in the text.
    Only texts for which `among` is true are looked at; the others break none.

    >>> from tillage.text.measures import tokens
    >>> from tillage.text.unicode import blocks
    >>> block = next(blocks(pl.Series(["no no no no no", "this is not a repetition"])))
    >>> [found.tolist() for found in ngram_limits(block, tokens(block), {2: 0.2}, {})]
    [[True, False], [False, False]]
    """
    words = _Words.of(block, runs) if among is None else _Words.of(block, runs).of_texts(among)
    over_top = np.zeros(words.texts, dtype=np.bool_)
    over_repeated = over_top.copy()
    if top and words.texts:
        # An n-gram lies within n/2 pairs, rounded up, so one of its pairs has at least that part of its share.
        pairs = words.top(2)
        for n, limit in sorted(top.items()):
            suspects = (pairs >= limit / ((n + 1) // 2) * 0.999) & ~over_top
            shares = pairs if n == 2 else words.of_texts(suspects).top(n)
            over_top |= suspects & (shares > limit)
    if repeated and words.texts:
        # What longer n-grams cover, shorter ones do, too.
        shares, least = np.ones(words.texts), sorted(repeated.items())
        for at, (n, limit) in enumerate(least):
            suspects = (shares > min(limit for _, limit in least[at:])) & ~over_repeated
            shares = np.where(suspects, words.of_texts(suspects).repeated(n), 0.0)
            over_repeated |= shares > limit
    return over_top, over_repeated


class _Words:
    """The words of some texts: a hash each, the characters that are no space, and the text they belong to."""

    def __init__(self, hashes: Hashes, sizes: Places, text: Places, texts: int) -> None:
        self.hashes, self.sizes, self.text, self.texts = hashes, sizes, text, texts
        self.total = np.bincount(text, weights=sizes, minlength=texts)

    @classmethod
    def of(cls, block: Block, runs: Tokens) -> _Words:
        """Each word's hash is a difference of prefix sums, brought to one exponent."""
        solid = (block.bits & SPACE) == 0
        powers = _powers(len(block.codes) // BLOCK + 1)
        weighed = (block.codes + np.uint64(1)) * _MIX
        weighed *= powers[: len(weighed)]
        weighed[~solid] = 0  # the white space behind a word is no part of it
        sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(weighed, dtype=np.uint64)))
        rank = np.concatenate(([0], np.cumsum(solid)))
        ends = np.append(runs.starts[1:], len(block.codes))[: len(runs.starts)]
        some = (runs.bits & WORD) != 0
        starts, ends = runs.starts[some], ends[some]
        hashes = (sums[ends] - sums[starts]) * powers[len(block.codes) - starts]
        text = np.searchsorted(block.starts, starts, side="right") - 1
        return cls(hashes, rank[ends] - rank[starts], text, len(block.starts) - 1)

    def of_texts(self, wanted: npt.NDArray[np.bool_]) -> _Words:
        """The words of the wanted texts, all others without any."""
        if wanted.all():
            return self
        some = wanted[self.text]
        return _Words(self.hashes[some], self.sizes[some], self.text[some], self.texts)

    def grams(self, n: int) -> tuple[Hashes, Places, Places]:
        """The n-grams that lie in one text: hash (of the text's number, too), characters, first word."""
        last = len(self.text) - n + 1
        if last <= 0:
            none = np.zeros(0, dtype=np.intp)
            return np.zeros(0, dtype=np.uint64), none, none
        at = np.flatnonzero(self.text[:last] == self.text[n - 1 :])
        found = self.text[at].astype(np.uint64)
        for k in range(n):
            found = (found ^ (found >> np.uint64(29))) * _MIX + self.hashes[at + k]
        sums = np.concatenate(([0], np.cumsum(self.sizes)))
        return found, sums[at + n] - sums[at], at

    def top(self, n: int) -> npt.NDArray[np.float64]:
        """Per text, the share of its most frequent n-gram."""
        found, sizes, at = self.grams(n)
        frame = pl.DataFrame({"gram": found, "size": sizes, "text": self.text[at]})
        most = (
            frame.filter(pl.col("gram").is_duplicated())
            .group_by("gram")
            .agg(pl.col("text").first(), size=pl.len().cast(pl.Int64) * pl.col("size").first())
            .group_by("text")
            .agg(pl.col("size").max())
        )
        out = np.zeros(self.texts)
        out[most["text"].to_numpy()] = most["size"].to_numpy()
        return out / np.maximum(self.total, 1)

    def repeated(self, n: int) -> npt.NDArray[np.float64]:
        """Per text, the share of characters in words that n-grams cover which came before."""
        found, _, at = self.grams(n)
        again = at[~pl.Series(found).is_first_distinct().to_numpy()]
        steps = np.zeros(len(self.text) + 1, dtype=np.int64)
        np.add.at(steps, again, 1)
        np.add.at(steps, again + n, -1)
        covered = np.cumsum(steps[:-1]) > 0
        return np.bincount(self.text[covered], weights=self.sizes[covered], minlength=self.texts) / np.maximum(
            self.total, 1
        )


@lru_cache(maxsize=1)
def _powers(blocks_of: int) -> Hashes:
    """The powers of the factor for so many blocks of characters: 8 megabytes each, kept from block to block."""
    factors = np.full(blocks_of * BLOCK, _FACTOR)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
