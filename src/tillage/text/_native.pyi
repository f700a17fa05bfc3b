"""The compiled functions. Each reads arrays of the type named here and writes into the last ones; ValueError where
lengths do not fit together."""

from numpy import int64, uint8, uint32, uint64
from numpy.typing import NDArray

def signatures(
    hashes: NDArray[uint64],
    starts: NDArray[int64],
    factors: NDArray[uint32],
    terms: NDArray[uint32],
    out: NDArray[uint32],
) -> None: ...
def tokens(
    data: NDArray[uint8],
    starts: NDArray[int64],
    hashes: NDArray[uint64],
    bounds: NDArray[int64],
    far: NDArray[int64],
) -> int: ...
def shingles(
    tokens: NDArray[uint64],
    bounds: NDArray[int64],
    places: NDArray[uint64],
    fewer: NDArray[uint64],
    starts: NDArray[int64],
    out: NDArray[uint64],
) -> None: ...
def buckets(
    tokens: NDArray[uint64],
    bounds: NDArray[int64],
    places: NDArray[uint64],
    fewer: NDArray[uint64],
    factors: NDArray[uint32],
    terms: NDArray[uint32],
    columns: NDArray[uint64],
    seeds: NDArray[uint64],
    out: NDArray[uint64],
) -> None: ...
def joined(texts: object, between: bytes, out: NDArray[uint8]) -> None: ...
def shapes(
    data: NDArray[uint8],
    starts: NDArray[int64],
    plain: NDArray[uint8],
    odd: NDArray[uint8],
    out: NDArray[int64],
) -> int: ...
