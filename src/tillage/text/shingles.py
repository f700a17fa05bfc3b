"""Texts as sets of shingles: the 64-bit hash of each run of five tokens, in one pass over the bytes.

A token is one Han character (U+4E00 to U+9FFF) or a run of other non-space, in lower case; a text of fewer than five
tokens is one shingle. No string is made: a token's hash is a difference of two prefix sums of a polynomial over its
bytes, so that numpy goes over a block of a megabyte in a dozen sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

SIZE = 5
"""Tokens of a shingle."""

BLOCK = 1 << 19
"""Bytes of text taken at a time: arrays of eight bytes a byte of text then stay near the processor."""

Words = NDArray[np.uint64]
Offsets = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]

_HAN = (0x4E00, 0x9FFF)
_WIDE_SPACES = np.array([0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000], dtype=np.int32)
"""White_Space of Unicode beyond Latin-1; all of three bytes. U+0085 and U+00A0 are C2 85 and C2 A0."""

_BASE = 0x9E3779B97F4A7C15
_UNBASE = pow(_BASE, -1, 1 << 64)


class Shingles(NamedTuple):
    """The shingles of some texts: `hashes` in order of the texts, those of text i from `starts[i]` to `starts[i+1]`.

    >>> len(Shingles(np.array([7, 5, 7], dtype=np.uint64), np.array([0, 3])).sets()[0])
    2
    """

    hashes: Words
    starts: Offsets

    def sets(self) -> list[Words]:
        """The distinct hashes of each text, sorted."""
        return [np.unique(self.hashes[a:b]) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]


def shingles(texts: pl.Series) -> Shingles:
    """The hashed shingles of each text, repeated ones repeated; every text has at least one, and null counts as empty.

    The same on every machine and in any batch. Two different shingles have one hash by chance once in 2^64. The hash
    is no secret and can be forged, which lets nobody do more than a copy of the text would.

    >>> found = shingles(pl.Series(["One two three four five six", "你好", ""]))
    >>> found.starts.tolist()
    [0, 2, 3, 4]
    >>> bool(shingles(pl.Series(["one  TWO three four five"])).hashes[0] == found.hashes[0])
    True
    """
    parts = [_shingles(block) for block in blocks(texts)]
    hashes = np.concatenate([p.hashes for p in parts]) if parts else np.zeros(0, np.uint64)
    counts = [np.diff(p.starts) for p in parts]
    return Shingles(hashes, _running(np.concatenate(counts) if counts else np.zeros(0, np.int64)))


def in_blocks(texts: pl.Series) -> Iterator[Shingles]:
    """The same block by block, for those that need no more than one at a time."""
    return (_shingles(block) for block in blocks(texts))


def blocks(texts: pl.Series) -> Iterator[pl.Series]:
    """The texts in pieces of about BLOCK bytes, each of one text at least."""
    ends = texts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy().cumsum()
    at = 0
    while at < len(texts):
        before = int(ends[at - 1]) if at else 0
        until = max(int(np.searchsorted(ends, before + BLOCK, side="right")), at + 1)
        yield texts[at:until]
        at = until


def mixed(words: Words) -> Words:
    """A bijection of 64 bits, in place, after which every bit depends on all (MurmurHash3, finaliser of Stafford)."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def constants(count: int, seed: int) -> Words:
    """Odd numbers of 64 bits that look random and are the same for ever (SplitMix64; Steele, Lea, Flood 2014)."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_BASE)
    return mixed(steps + np.uint64(seed)) | np.uint64(1)


def _values() -> Words:
    """A number for each byte; capital letters of ASCII count as small ones."""
    values = constants(256, 0x7469)
    values[65:91] = values[97:123]
    return values


_VALUES = _values()
_PLACES = constants(SIZE, 0x6C6C)
_FEWER = constants(SIZE, 0x6167)
"""What is added to the only shingle of a text by its number of tokens, so that no longer shingle equals it."""
_WORD = np.ones(256, dtype=np.bool_)
_WORD[[9, 10, 11, 12, 13, 32]] = False


def _shingles(texts: pl.Series) -> Shingles:
    data, starts = _buffer(texts)
    first, last = _tokens(data, starts)
    bounds = np.searchsorted(first, starts)
    return _runs(_hashes(data, first, last), bounds.astype(np.int64))


def _buffer(texts: pl.Series) -> tuple[Bytes, Offsets]:
    """The UTF-8 bytes of all texts and where each begins; in lower case where that is more than a matter of ASCII."""
    data, starts = _arrow(texts)
    if data.size and data.max() >= 0x80:
        data, starts = _arrow(texts.str.to_lowercase())
    return data, starts


def _arrow(texts: pl.Series) -> tuple[Bytes, Offsets]:
    lengths = texts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
    joined = texts.str.join("", ignore_nulls=True).cast(pl.Binary)
    return np.frombuffer(joined[0] or b"", dtype=np.uint8), _running(lengths)


def _tokens(data: Bytes, starts: Offsets) -> tuple[Offsets, Offsets]:
    """Where each token begins, and where it ends (one past its last byte); no token goes over the end of a text."""
    word = _WORD[data]
    han = _take_out_wide(data, word) if data.size and data.max() >= 0x80 else None
    begins, ends = word.copy(), word.copy()
    begins[1:] &= ~word[:-1]
    ends[:-1] &= ~word[1:]
    inner = starts[(starts > 0) & (starts < data.size)]
    begins[inner] = word[inner]
    ends[inner - 1] = word[inner - 1]
    if han is not None:
        begins[han] = True
        ends[han + 2] = True
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _take_out_wide(data: Bytes, word: Flags) -> Offsets:
    """Where each Han character begins; its bytes, and those of spaces beyond ASCII, are made no part of a run."""
    narrow = np.flatnonzero(data == 0xC2)
    narrow = narrow[np.isin(data[narrow + 1], (0x85, 0xA0))]
    word[narrow] = word[narrow + 1] = False
    at = np.flatnonzero((data >= 0xE1) & (data <= 0xE9))
    point = data[at].astype(np.int32) & 0x0F
    for n in (1, 2):
        point = (point << 6) | (data[at + n].astype(np.int32) & 0x3F)
    han = (point >= _HAN[0]) & (point <= _HAN[1])
    out = at[han | np.isin(point, _WIDE_SPACES)]
    word[out] = word[out + 1] = word[out + 2] = False
    return at[han]


def _hashes(data: Bytes, first: Offsets, last: Offsets) -> Words:
    """The polynomial of each token's bytes in _BASE, modulo 2^64, and mixed: equal tokens are equal wherever."""
    up, down = _powers(max(data.size, BLOCK))
    sums = np.zeros(data.size + 1, dtype=np.uint64)
    np.cumsum(_VALUES[data] * up[: data.size], out=sums[1:])
    return mixed((sums[last] - sums[first]) * down[first])


@lru_cache(maxsize=1)
def _powers(count: int) -> tuple[Words, Words]:
    """_BASE and its inverse to the power of 0, 1, ..."""
    up, down = np.full((2, count), 1, dtype=np.uint64)
    up[1:], down[1:] = np.uint64(_BASE), np.uint64(_UNBASE)
    return np.multiply.accumulate(up), np.multiply.accumulate(down)


def _runs(tokens: Words, bounds: Offsets) -> Shingles:
    """The hash of each run of SIZE tokens within a text, or of all that it has."""
    counts = np.diff(bounds)
    starts = _running(np.maximum(counts - (SIZE - 1), 1))
    out = np.empty(int(starts[-1]), dtype=np.uint64)
    few = np.flatnonzero(counts < SIZE)
    alone = np.zeros(out.size, dtype=np.bool_)
    alone[starts[few]] = True
    made = _FEWER[counts[few]]
    for n in range(SIZE - 1):
        some = counts[few] > n
        made[some] += tokens[bounds[few[some]] + n] * _PLACES[n]
    out[alone] = made
    if out.size > few.size:
        width = tokens.size - (SIZE - 1)
        whole = tokens[:width] * _PLACES[0]
        for n in range(1, SIZE):
            whole += tokens[n : n + width] * _PLACES[n]
        inside = np.ones(tokens.size, dtype=np.bool_)
        for n in range(1, SIZE):
            ends = bounds[1:] - n
            inside[ends[ends >= bounds[:-1]]] = False
        out[~alone] = whole[inside[:width]]
    return Shingles(mixed(out), starts)


def _running(counts: Offsets) -> Offsets:
    """Where each begins, and at the end where the last ends."""
    out = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=out[1:])
    return out
