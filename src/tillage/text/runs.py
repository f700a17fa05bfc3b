"""Hashes of runs of bytes, eight bytes at a time, so that no string is made: 12 nanoseconds a word.

The bytes of a run are loaded as one word of 64 bits from wherever they begin, and what stands behind the run is shifted
out. Longer runs take a load for every eight bytes; very long ones, which are rare, go to XXH3 one by one.
Sources: Stafford's finaliser of MurmurHash3, SplitMix64 (Steele, Lea, Flood 2014), XXH3 (specification 0.8).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from tillage.text.native import compiled

Words = NDArray[np.uint64]
Offsets = NDArray[np.int64]
Bytes = NDArray[np.uint8]

PAD = 8
"""Zero bytes that must stand behind the data, so that the last run can be loaded whole."""

_ZEROS = pl.Series("", [chr(0) * PAD])
_BASE = 0x9E3779B97F4A7C15
FAR = 64
"""Bytes of a run that are loaded; the rest of a longer one is hashed by itself."""
_SLOTS = 19
"""Bits of a key that are looked at first, at least: two megabytes of places."""


def joined(texts: pl.Series, between: str = "") -> Bytes:
    """The UTF-8 bytes of all texts, null as empty, each followed by `between`; PAD zero bytes follow.

    >>> bytes(joined(pl.Series(["a", None, "b"]), "-"))
    b'a--b-\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00'
    """
    texts = texts.cast(pl.String)
    if compiled is not None:
        closing = between.encode()
        size = int(texts.str.len_bytes().sum()) + len(texts) * len(closing)
        data = np.empty(size + PAD, dtype=np.uint8)
        data[size:] = 0
        compiled.joined(texts.__arrow_c_stream__(), closing, data[:size])
        return data
    parts = pl.concat([texts.fill_null("").rename(""), _ZEROS])
    return np.frombuffer(parts.str.join(between).cast(pl.Binary)[0], dtype=np.uint8)


def run_hashes(data: Bytes, first: Offsets, last: Offsets) -> Words:
    """A hash of each run of bytes from `first` to `last` (not included), none of them empty; equal runs are equal.

    `data` ends in PAD bytes that belong to no run. Runs of eight bytes or fewer never clash, since no byte of UTF-8 is
    0xF8 or more; others do once in 2^64.

    >>> data = np.frombuffer(b"abc abc abd" + bytes(PAD), dtype=np.uint8)
    >>> found = run_hashes(data, np.array([0, 4, 8]), np.array([3, 7, 11]))
    >>> bool(found[0] == found[1]), bool(found[0] == found[2])
    (True, False)
    """
    words = data[: len(data) // PAD * PAD].view("<u8")
    lengths = last - first
    out = mixed(_bare(_loaded(words, first), lengths))
    long = np.flatnonzero(lengths > PAD)
    done = PAD
    while long.size and done < FAR:
        part = _bare(_loaded(words, first[long] + done), lengths[long] - done)
        out[long] = mixed(part + out[long] * np.uint64(_BASE))
        done += PAD
        long = long[lengths[long] > done]
    if long.size:
        out[long] = finished(out[long], data, first[long] + done, last[long])
    return out


def finished(begun: Words, data: Bytes, first: Offsets, last: Offsets) -> Words:
    """The hashes of runs longer than FAR: what was begun with their first FAR bytes, and those from there."""
    rest = [xxh3_64_intdigest(data[a:b].tobytes()) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    return mixed(np.array(rest, dtype=np.uint64) + begun * np.uint64(_BASE))


def _loaded(words: Words, at: Offsets) -> Words:
    """The eight bytes from each place on, put together of the two words that they lie in; past the end, anything.

    One view of all places would do, but numpy copies it whole before it takes anything out of it.
    """
    place = at >> 3
    shift = ((at & 7) << 3).view(np.uint64)
    low = np.take(words, place)
    low >>= shift
    place += 1
    high = np.take(words, place, mode="clip")
    high <<= np.uint64(1)  # in two steps, since a shift by 64 is none
    high <<= shift ^ np.uint64(63)
    low |= high
    return low


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


def meeting(keys: Words) -> NDArray[np.intp]:
    """The places of the keys that equal another by their highest bits: all that come again, and few others.

    Each writes its place where its bits point; who finds another's there has met it. 12 nanoseconds a key, where to
    sort them takes 50.

    >>> meeting(np.array([5, 7, 5], dtype=np.uint64) << np.uint64(60)).tolist()
    [0, 2]
    """
    bits = max(_SLOTS, len(keys).bit_length() + 1)
    slots = (keys >> np.uint64(64 - bits)).view(np.int64)
    places = np.arange(len(keys), dtype=np.int32)
    table = np.empty(1 << bits, dtype=np.int32)
    table[slots] = places
    found = np.take(table, slots)
    met = np.flatnonzero(found != places)
    out = np.zeros(len(keys), dtype=np.bool_)
    out[met] = True
    out[found[met]] = True
    return np.flatnonzero(out)


def constants(count: int, seed: int) -> Words:
    """Odd numbers of 64 bits that look random and are the same for ever (SplitMix64; Steele, Lea, Flood 2014)."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_BASE)
    return mixed(steps + np.uint64(seed)) | np.uint64(1)
