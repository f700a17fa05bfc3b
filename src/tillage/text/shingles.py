"""Texts as sets of shingles: the 64-bit hash of each run of five tokens, in one pass over the bytes.

A token is one Han character (U+4E00 to U+9FFF) or a run of other non-space, in lower case; a text of fewer than five
tokens is one shingle. No string is made: numpy finds where tokens begin and end in a block of bytes, and hashes them
eight bytes at a time (`text.runs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tillage.text.native import compiled
from tillage.text.runs import FAR, PAD, Bytes, Offsets, Words, constants, finished, joined, mixed, run_hashes

SIZE = 5
"""Tokens of a shingle."""

BLOCK = 1 << 19
"""Bytes of text taken at a time: arrays of eight bytes a byte of text then stay near the processor."""

Flags = NDArray[np.bool_]

_HAN, _SECOND = (0xE4, 0xE9), 0xB8
"""The first bytes of U+4E00 to U+9FFF, and the least second one behind E4."""
_WIDE_SPACES = np.array([0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000], dtype=np.int32)
"""White_Space of Unicode beyond Latin-1; all of three bytes. U+0085 and U+00A0 are C2 85 and C2 A0."""


class Shingles(NamedTuple):
    """The shingles of some texts: `hashes` in order of the texts, those of text i from `starts[i]` to `starts[i+1]`.

    >>> found = Shingles(np.array([7, 5, 7], dtype=np.uint64), np.array([0, 3]))
    >>> len(found.hashes), found.starts.tolist()
    (3, [0, 3])
    """

    hashes: Words
    starts: Offsets


def shingles(texts: pl.Series, *, lowered: bool = False) -> Shingles:
    """The hashed shingles of each text, repeated ones repeated; every text has at least one, and null counts as empty.

    The same on every machine and in any batch. Two different shingles have one hash by chance once in 2^64. The hash
    is no secret and can be forged, which lets nobody do more than a copy of the text would. `lowered`: the texts are in
    lower case already, as Polars makes it.

    >>> found = shingles(pl.Series(["One two three four five six", "你好", ""]))
    >>> found.starts.tolist()
    [0, 2, 3, 4]
    >>> bool(shingles(pl.Series(["one  TWO three four five"])).hashes[0] == found.hashes[0])
    True
    """
    parts = list(in_blocks(texts, lowered=lowered))
    hashes = np.concatenate([p.hashes for p in parts]) if parts else np.zeros(0, np.uint64)
    counts = [np.diff(p.starts) for p in parts]
    return Shingles(hashes, _running(np.concatenate(counts) if counts else np.zeros(0, np.int64)))


def in_blocks(texts: pl.Series, *, lowered: bool = False) -> Iterator[Shingles]:
    """The same block by block, for those that need no more than one at a time."""
    return (_shingles(block if lowered else block.str.to_lowercase()) for block in blocks(texts))


def sets(texts: pl.Series, *, lowered: bool = False) -> Shingles:
    """The distinct shingles of each text, sorted.

    >>> found = sets(pl.Series(["b a b a b a b a", "b"]))
    >>> found.starts.tolist(), bool(found.hashes[0] < found.hashes[1])
    ([0, 2, 3], True)
    """
    parts = [_sets(block if lowered else block.str.to_lowercase()) for block in blocks(texts)]
    counts = np.concatenate([np.zeros(0, np.int64), *(np.diff(p.starts) for p in parts)])
    return Shingles(np.concatenate([np.zeros(0, np.uint64), *(p.hashes for p in parts)]), _running(counts))


def _sets(texts: pl.Series) -> Shingles:
    """Those of texts in lower case."""
    if compiled is None:
        return _distinct(_shingles(texts))
    found = tokens(texts)
    counts = np.maximum(np.diff(found.bounds) - (SIZE - 1), 1)
    hashes = np.empty(counts.sum() + counts.max(initial=0), dtype=np.uint64)
    starts = np.empty(len(found.bounds), dtype=np.int64)
    return Shingles(hashes[: compiled.sets(*found, PLACES, FEWER, starts, hashes)].copy(), starts)


def _distinct(found: Shingles) -> Shingles:
    """The distinct hashes of each text, sorted, one text behind the other."""
    hashes, starts = found
    if len(starts) < 2:
        return found
    ranked = hashes.copy()
    for begin, end in pairwise(starts.tolist()):
        ranked[begin:end].sort()
    fresh = np.ones(len(ranked), dtype=np.bool_)
    np.not_equal(ranked[1:], ranked[:-1], out=fresh[1:])
    fresh[starts[:-1]] = True
    return Shingles(ranked[fresh], _running(np.add.reduceat(fresh, starts[:-1], dtype=np.int64)))


def blocks(texts: pl.Series) -> Iterator[pl.Series]:
    """The texts in pieces of about BLOCK bytes, each of one text at least."""
    ends = texts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy().cumsum()
    at = 0
    while at < len(texts):
        before = int(ends[at - 1]) if at else 0
        until = max(int(np.searchsorted(ends, before + BLOCK, side="right")), at + 1)
        yield texts[at:until]
        at = until


PLACES = constants(SIZE, 0x6C6C)
FEWER = constants(SIZE, 0x6167)
"""What is added to the only shingle of a text by its number of tokens, so that no longer shingle equals it."""


class Tokens(NamedTuple):
    """The hashes of the tokens of some texts, those of text i from `bounds[i]` to `bounds[i+1]`."""

    hashes: Words
    bounds: Offsets


def tokens(texts: pl.Series) -> Tokens:
    """Those of texts in lower case, null as empty.

    >>> found = tokens(pl.Series(["one two", "", "two"]))
    >>> found.bounds.tolist(), bool(found.hashes[1] == found.hashes[2])
    ([0, 2, 2, 3], True)
    """
    if compiled is None:
        return _tokens_by_twin(texts)
    data, starts = joined(texts), _running(texts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy())
    hashes = np.empty((data.size + len(texts)) // 2, dtype=np.uint64)  # two tokens have a space or a Han between them
    bounds = np.empty(len(starts), dtype=np.int64)
    far = np.empty((data.size // FAR, 3), dtype=np.int64)
    long = far[: compiled.tokens(data, starts, hashes, bounds, far)]
    if len(long):
        hashes[long[:, 0]] = finished(hashes[long[:, 0]], data, long[:, 1], long[:, 2])
    return Tokens(hashes[: bounds[-1]], bounds)


def _shingles(texts: pl.Series) -> Shingles:
    """Those of texts in lower case."""
    found = tokens(texts)
    if compiled is None:
        return _runs(*found)
    starts = _running(np.maximum(np.diff(found.bounds) - (SIZE - 1), 1))
    hashes = np.empty(starts[-1], dtype=np.uint64)
    compiled.shingles(*found, PLACES, FEWER, starts, hashes)
    return Shingles(hashes, starts)


def _tokens_by_twin(texts: pl.Series) -> Tokens:
    data = joined(texts, "\n")  # a space behind each, so that no token goes over the end of a text
    starts = _running(texts.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy() + 1)
    first, last = _tokens(data[:-PAD])
    return Tokens(run_hashes(data, first, last), np.searchsorted(first, starts).astype(np.int64))


def _tokens(data: Bytes) -> tuple[Offsets, Offsets]:
    """Where each token begins, and where it ends (one past its last byte); the last byte of all is a space."""
    word = data != 32
    word &= (data - np.uint8(9)) > 4
    han = _take_out_wide(data, word) if data.size and data.max() >= 0x80 else None
    change = word[1:] != word[:-1]
    if han is None:
        edges = np.flatnonzero(change) + 1
        if data.size and word[0]:
            edges = np.concatenate(([0], edges))
        return np.ascontiguousarray(edges[::2]), np.ascontiguousarray(edges[1::2])
    begins, ends = han.copy(), np.zeros_like(han)
    begins[0] |= word[0]
    begins[1:] |= change & word[1:]
    ends[2:] = han[:-2]
    ends[:-1] |= change & word[:-1]
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _take_out_wide(data: Bytes, word: Flags) -> Flags:
    """Where a Han character begins; its bytes, and those of spaces beyond ASCII, are made no part of a run.

    Han characters are those from E4 B8 80 to E9 BF BF, so that the first byte says it of nearly all.
    """
    han: Flags = (data - np.uint8(_HAN[0])) <= _HAN[1] - _HAN[0]
    some = np.flatnonzero(data == _HAN[0])
    han[some[data[some + 1] < _SECOND]] = False
    rest = ~han
    rest[1:] &= ~han[:-1]
    rest[2:] &= ~han[:-2]
    word &= rest
    narrow = np.flatnonzero(data == 0xC2)
    narrow = narrow[np.isin(data[narrow + 1], (0x85, 0xA0))]
    word[narrow] = word[narrow + 1] = False
    at = np.flatnonzero((data - np.uint8(0xE1)) <= 0xE3 - 0xE1)
    point = (data[at].astype(np.int32) & 0x0F) << 12
    point |= (data[at + 1].astype(np.int32) & 0x3F) << 6
    point |= data[at + 2] & 0x3F
    out = at[np.isin(point, _WIDE_SPACES)]
    word[out] = word[out + 1] = word[out + 2] = False
    return han


def _runs(tokens: Words, bounds: Offsets) -> Shingles:
    """The hash of each run of SIZE tokens within a text, or of all that it has."""
    counts = np.diff(bounds)
    starts = _running(np.maximum(counts - (SIZE - 1), 1))
    few = np.flatnonzero(counts < SIZE)
    if not few.size:
        return Shingles(mixed(_whole(tokens, bounds)), starts)
    out = np.empty(int(starts[-1]), dtype=np.uint64)
    alone = np.zeros(out.size, dtype=np.bool_)
    alone[starts[few]] = True
    made = FEWER[counts[few]]
    for n in range(SIZE - 1):
        some = counts[few] > n
        made[some] += tokens[bounds[few[some]] + n] * PLACES[n]
    out[alone] = made
    out[~alone] = _whole(tokens, bounds)
    return Shingles(mixed(out), starts)


def _whole(tokens: Words, bounds: Offsets) -> Words:
    """What is hashed of each run of SIZE tokens that lies within one text."""
    width = tokens.size - (SIZE - 1)
    if width <= 0:
        return tokens[:0]
    found = tokens[:width] * PLACES[0]
    for n in range(1, SIZE):
        found += tokens[n : n + width] * PLACES[n]
    inside = np.ones(tokens.size, dtype=np.bool_)
    for n in range(1, SIZE):
        ends = bounds[1:] - n
        inside[ends[ends >= bounds[:-1]]] = False
    whole: Words = found[inside[:width]]
    return whole


def _running(counts: Offsets) -> Offsets:
    """Where each begins, and at the end where the last ends."""
    out = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=out[1:])
    return out
