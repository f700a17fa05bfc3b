"""How much of a text is said again: lines, paragraphs, the most frequent n-gram of words, n-grams that came before.

Lines and paragraphs are compared as they are. Compiled, so are n-grams, of which only those are looked at whose parts
come again: 20 nanoseconds a word. Else n-grams are compared by 64-bit hashes of their words; few texts have pairs of
words that come often, or again and again one behind the other, and all others are cleared by one look at the pairs,
about 40 nanoseconds a word. Two texts never meet. A text made on purpose so that its hashes clash counts there as
repetitive, no more.
Source: Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from tillage.text.measures import Tokens
from tillage.text.native import compiled
from tillage.text.runs import meeting, run_hashes
from tillage.text.unicode import BLOCK, WORD, Bits, Block, Places, properties

Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that its powers do not run out modulo 2^64."""
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_NEARLY = 0.999
"""So that no rounding clears a text of suspicion."""

LINES = ("repeated_lines", "repeated_line_characters", "repeated_paragraphs", "repeated_paragraph_characters")
"""The columns of `repeated_lines`."""


def repeated_lines(texts: pl.Series) -> pl.DataFrame:
    """Shares (0 to 1) of lines and paragraphs that stood in the same text before, and of their characters.

    White space at the ends of a line does not count; blank lines are none, and divide paragraphs. Null is as empty.

    >>> repeated_lines(pl.Series(["again\\nagain\\nnew", "one"])).row(0)
    (0.3333333333333333, 0.3846..., 0.0, 0.0)
    """
    if compiled is not None:
        told = _told(texts.cast(pl.String))
        pairs = zip(LINES, (told[:, at : at + 2] for at in range(0, 8, 2)), strict=True)
        return pl.DataFrame({name: pair[:, 1] / np.maximum(pair[:, 0], 1) for name, pair in pairs})
    many = texts.str.contains("\n", literal=True).fill_null(False)
    if not many.any():
        return pl.DataFrame({name: np.zeros(len(texts)) for name in LINES})
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


def _told(texts: pl.Series) -> npt.NDArray[np.int64]:
    """Lines, those that came before, characters, those that came before; and the same of paragraphs."""
    assert compiled is not None
    native, out = compiled, np.empty((len(texts), 2 * len(LINES)), dtype=np.int64)

    def work(table: Bits, wanted: Bits) -> None:
        native.said_again(texts.__arrow_c_stream__(), table, wanted, out)

    properties().read_by(work, texts)
    return out


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


def ngrams_over(
    texts: pl.Series, top: Mapping[int, float], repeated: Mapping[int, float], among: Flags
) -> tuple[Flags, Flags]:
    """What `ngram_limits` says of these texts, by the compiled functions, which there must be."""
    assert compiled is not None
    native, out = compiled, np.empty((len(texts), 2), dtype=np.bool_)
    limits = [
        array
        for which in (top, repeated)
        for array in (np.array(list(which), dtype=np.int64), np.array(list(which.values()), dtype=np.float64))
    ]

    def work(table: Bits, wanted: Bits) -> None:
        native.ngrams_over(texts.__arrow_c_stream__(), among, table, wanted, *limits, out)

    properties().read_by(work, texts)
    return out[:, 0].copy(), out[:, 1].copy()


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
    words = _Words.of(block, runs, among)
    over_top = np.zeros(words.texts, dtype=np.bool_)
    over_repeated = over_top.copy()
    least_pair = min((limit / ((n + 1) // 2) for n, limit in top.items()), default=np.inf)
    suspects_top, suspects_repeated = words.suspects(least_pair, repeated)
    if suspects_top.any():
        # An n-gram lies within n/2 pairs, rounded up, so one of its pairs has at least that part of its share.
        some = words.of_texts(suspects_top)
        pairs = some.top(2)
        for n, limit in sorted(top.items()):
            suspects = (pairs >= limit / ((n + 1) // 2) * _NEARLY) & ~over_top
            shares = pairs if n == 2 else some.of_texts(suspects).top(n)
            over_top |= suspects & (shares > limit)
    if suspects_repeated.any():
        # What longer n-grams cover, shorter ones do, too.
        shares, least = np.where(suspects_repeated, 1.0, 0.0), sorted(repeated.items())
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
    def of(cls, block: Block, runs: Tokens, among: Flags | None = None) -> _Words:
        """The words of the texts for which `among` is true."""
        some = (runs.bits & WORD) != 0
        counts = runs.count(some)
        if among is not None and not among.all():
            some &= np.repeat(among, np.diff(runs.bounds))
            counts = np.where(among, counts, 0)
        starts, ends = (runs.starts, runs.ends) if some.all() else (runs.starts[some], runs.ends[some])
        text = np.repeat(np.arange(len(counts)), counts)
        hashes = _by_sums(block, starts, ends) if block.data is None else run_hashes(block.data, starts, ends)
        return cls(hashes, ends - starts, text, len(counts))

    def suspects(self, pair: float, repeated: Mapping[int, float]) -> tuple[Flags, Flags]:
        """A superset of the texts whose most frequent pair has the share `pair`, and of those over `repeated`.

        A sort of the pairs that may come again, their place in the lowest bits, tells which do. Where an n-gram comes
        again its pairs do, one behind the other. A clash of the bits that are left makes a text suspect, and no more.
        """
        frequent, again = np.zeros((2, self.texts), dtype=np.bool_)
        if len(self.text) < 2 or (np.isinf(pair) and not repeated):
            return frequent, again
        keys = (self.hashes[:-1] ^ (self.hashes[:-1] >> np.uint64(29))) * _MIX
        keys += self.hashes[1:]
        keys += self.text[:-1].astype(np.uint64) * _FACTOR
        some = meeting(keys)
        low = np.uint64((1 << (len(self.text) - 2).bit_length()) - 1)
        keys = (keys[some] & ~low) | some.astype(np.uint64)
        keys.sort()
        twice = np.flatnonzero((keys[1:] ^ keys[:-1]) <= low)
        if not len(twice):
            return frequent, again
        here, there = ((keys[at] & low).astype(np.intp) for at in (twice, twice + 1))
        begins = np.flatnonzero(np.diff(twice, prepend=-2) != 1)
        times = np.diff(begins, append=len(twice)) + 1
        sizes = self.sizes[:-1] + self.sizes[1:]
        most = np.maximum(np.maximum.reduceat(sizes[there], begins), sizes[here[begins]]) * times
        whose = self.text[here[begins]]
        frequent[whose[most >= pair * _NEARLY * self.total[whose]]] = True
        if repeated:
            least = min(repeated)
            marked = np.zeros(len(self.text), dtype=np.bool_)
            marked[here] = marked[there] = True
            for _ in range(least - 2):
                marked[:-1] &= marked[1:]
                marked[-1] = False
            covered = marked.copy()
            for n in range(1, least):
                covered[n:] |= marked[:-n]
            at = np.flatnonzero(covered)
            share = np.bincount(self.text[at], weights=self.sizes[at], minlength=self.texts)
            again = share > min(repeated.values()) * _NEARLY * self.total
        return frequent, again

    def of_texts(self, wanted: Flags) -> _Words:
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
        order, begins, times = _groups(found)
        often = times > 1
        first = order[begins[often]]
        out = np.zeros(self.texts)
        np.maximum.at(out, self.text[at[first]], sizes[first] * times[often])
        return out / np.maximum(self.total, 1)

    def repeated(self, n: int) -> npt.NDArray[np.float64]:
        """Per text, the share of characters in words that n-grams cover which came before."""
        found, _, at = self.grams(n)
        order, begins, _ = _groups(found)
        came_before = np.ones(len(found), dtype=np.bool_)
        came_before[order[begins]] = False
        again = at[came_before]
        steps = np.zeros(len(self.text) + 1, dtype=np.int64)
        np.add.at(steps, again, 1)
        np.add.at(steps, again + n, -1)
        covered = np.cumsum(steps[:-1]) > 0
        return np.bincount(self.text[covered], weights=self.sizes[covered], minlength=self.texts) / np.maximum(
            self.total, 1
        )


def _groups(keys: Hashes) -> tuple[Places, Places, Places]:
    """The places of the keys, equal keys together and in order; where each group begins there; how many it has."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    begins = np.flatnonzero(np.concatenate((np.ones(min(len(keys), 1), dtype=np.bool_), ranked[1:] != ranked[:-1])))
    return order, begins, np.diff(begins, append=len(keys))


def _by_sums(block: Block, starts: Places, ends: Places) -> Hashes:
    """Each run's hash as a difference of prefix sums over the code points, brought to one exponent."""
    powers = _powers(len(block.codes) // BLOCK + 1)
    weighed = (block.codes + np.uint64(1)) * _MIX
    weighed *= powers[: len(weighed)]
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(weighed, dtype=np.uint64)))
    return (sums[ends] - sums[starts]) * powers[len(block.codes) - starts]


@lru_cache(maxsize=1)
def _powers(blocks_of: int) -> Hashes:
    """The powers of the factor for so many blocks of characters: 8 megabytes each, kept from block to block."""
    factors = np.full(blocks_of * BLOCK, _FACTOR)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
