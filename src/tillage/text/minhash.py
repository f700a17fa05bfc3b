"""MinHash: texts that share most of their shingles fall into a common bucket, so that few pairs need be compared.

The least of each of some permutations is equal in two sets with the probability of their Jaccard similarity. Rows of
the signature are taken together as bands; a pair is a candidate when one band is equal in both, which has probability
1 - (1 - s^rows)^bands. About 1 ns a shingle and permutation.
Sources: Broder, On the resemblance and containment of documents (1997); Indyk and Motwani, Approximate nearest
neighbors (1998); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tillage.text.native import compiled
from tillage.text.runs import Words, constants, mixed
from tillage.text.shingles import FEWER, PLACES, Shingles, blocks, in_blocks, tokens
from tillage.text.unicode import is_ascii

RECALL = 0.99
"""Of pairs exactly as similar as asked, the share that becomes a candidate at least; of more similar ones, more."""
PERMUTATIONS = 128
"""The most that a signature may have."""
MOST_ROWS = 4
"""Texts that share one shingle in a hundred then meet once in ten million pairs and band: more would not pay."""

Signatures = NDArray[np.uint32]


class Bands(NamedTuple):
    """How a signature is cut: `bands` of `rows` permutations each."""

    bands: int
    rows: int

    def probability(self, similarity: float) -> float:
        """That a pair of this Jaccard similarity becomes a candidate.

        >>> round(Bands(20, 5).probability(0.8), 4)  # Mining of Massive Datasets, example 3.12
        0.9996
        """
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def choose_bands(similarity: float) -> Bands:
    """The bands for a threshold: as many rows as MOST_ROWS and PERMUTATIONS allow, then as few bands as RECALL allows.

    Rows keep strangers apart, bands cost memory. ValueError where no signature of PERMUTATIONS has the recall: below
    about 0.05.

    >>> choose_bands(0.8), choose_bands(0.5)
    (Bands(bands=9, rows=4), Bands(bands=35, rows=3))
    """
    for rows in range(MOST_ROWS, 0, -1):
        chance = similarity**rows
        bands = 1 if chance >= RECALL else math.ceil(math.log(1 - RECALL) / math.log1p(-chance))
        if bands * rows <= PERMUTATIONS:
            return Bands(bands, rows)
    raise ValueError(f"no {PERMUTATIONS} permutations find pairs of similarity {similarity}")


def signatures(found: Shingles, permutations: int) -> Signatures:
    """The least of each permutation over the shingles of each text: one row a text, UInt32.

    >>> import polars as pl
    >>> from tillage.text.shingles import shingles
    >>> a, b = signatures(shingles(pl.Series(["a b c d e f g h i j", "a b c d e f g h i k"])), 128)
    >>> bool(0.6 < (a == b).mean() < 0.9)  # five of seven shingles
    True
    """
    factors, terms = _permutations(permutations)
    if compiled is not None:
        signed = np.empty((len(found.starts) - 1, permutations), dtype=np.uint32)
        compiled.signatures(found.hashes, found.starts, factors, terms, signed)
        return signed
    words = (found.hashes >> np.uint64(32)).astype(np.uint32)
    firsts = found.starts[:-1]
    out = np.empty((permutations, len(firsts)), dtype=np.uint32)
    permuted = np.empty_like(words)
    for n in range(permutations if len(firsts) else 0):
        np.multiply(words, factors[n], out=permuted)
        np.add(permuted, terms[n], out=permuted)
        np.minimum.reduceat(permuted, firsts, out=out[n])
    return out.T


def buckets(texts: pl.Series, bands: Bands, *, lowered: bool = False) -> Words:
    """The bucket of each text in each band: an array of one row a text, one column a band, hashes below 2^63.

    A text that is null counts as empty. `lowered`: the texts are in lower case already.

    >>> import polars as pl
    >>> found = buckets(pl.Series(["a b c d e f", "A B C D E F", "g"]), choose_bands(0.8))
    >>> found.shape, bool((found[0] == found[1]).all()), bool((found[0] == found[2]).any())
    ((3, 9), True, False)
    """
    if compiled is not None:
        mixes = constants(bands.rows, 0x72), constants(bands.bands, 0x6E)
        by = (PLACES, FEWER, *_permutations(bands.bands * bands.rows), *mixes)
        out = np.empty((len(texts), bands.bands), dtype=np.uint64)
        far = np.empty(len(texts), dtype=np.uint8)
        lower = texts if lowered else texts.str.to_lowercase()
        compiled.text_buckets(lower.__arrow_c_stream__(), *by, far, out)
        rows = np.flatnonzero(far)
        for block in blocks(lower.gather(rows)) if len(rows) else ():
            some = np.empty((len(block), bands.bands), dtype=np.uint64)
            compiled.buckets(*tokens(block), *by, some)
            out[rows[: len(block)]], rows = some, rows[len(block) :]
        return out
    wide = ~is_ascii(texts)
    if wide.all() or not wide.any():
        return _buckets(texts, bands, lowered)
    out = np.empty((len(texts), bands.bands), dtype=np.uint64)
    for which in (wide, ~wide):  # where no text of a block is wide, its tokens are found in half the time
        out[which.to_numpy()] = _buckets(texts.filter(which), bands, lowered)
    return out


def _buckets(texts: pl.Series, bands: Bands, lowered: bool) -> Words:
    parts = [_banded(signatures(found, bands.bands * bands.rows), bands) for found in in_blocks(texts, lowered=lowered)]
    return np.concatenate(parts) if parts else np.zeros((0, bands.bands), dtype=np.uint64)


def jaccard(a: Words, b: Words) -> float:
    """The share of common elements of two sets, each a sorted array without repetitions, neither empty.

    >>> jaccard(np.array([1, 2, 3], dtype=np.uint64), np.array([2, 3, 4], dtype=np.uint64))
    0.5
    """
    if len(a) > len(b):
        a, b = b, a
    places = b.searchsorted(a)
    places[places == len(b)] = 0
    both = int(np.count_nonzero(b[places] == a))
    return both / (len(a) + len(b) - both)


def _permutations(count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What each permutation multiplies with, and what it adds."""
    factors = (constants(count, 0x65) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return factors, (constants(count, 0x61) >> np.uint64(32)).astype(np.uint32)


def _banded(signed: Signatures, bands: Bands) -> Words:
    factors = constants(bands.rows, 0x72)
    out = np.repeat(constants(bands.bands, 0x6E)[None, :], len(signed), axis=0)
    for n in range(bands.rows):
        out += signed[:, n :: bands.rows].astype(np.uint64) * factors[n]
    return mixed(out) >> np.uint64(1)
