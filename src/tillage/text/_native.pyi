"""The compiled functions. Each reads arrays of the type named here and writes into the last ones; ValueError where
lengths do not fit together."""

from typing import Any

from numpy import int64, uint8, uint32, uint64
from numpy.typing import NDArray

def signatures(
    hashes: NDArray[uint64],
    starts: NDArray[int64],
    factors: NDArray[uint32],
    terms: NDArray[uint32],
    out: NDArray[uint32],
) -> None: ...
def json_records(
    data: bytes,
    starts: NDArray[int64],
    ends: NDArray[int64],
    longest: int,
    names: bytes,
    bounds: NDArray[int64],
    kinds: NDArray[uint8],
    places: NDArray[uint32],
    sizes: NDArray[uint32],
    verdicts: NDArray[uint8],
) -> None: ...
def json_integers(
    data: bytes, kinds: NDArray[uint8], places: NDArray[uint32], sizes: NDArray[uint32], out: NDArray[int64]
) -> None: ...
def json_texts(
    data: bytes, kinds: NDArray[uint8], places: NDArray[uint32], sizes: NDArray[uint32]
) -> tuple[Any, Any]: ...
def line_cuts(data: bytes, final: bool, starts: NDArray[int64], ends: NDArray[int64]) -> tuple[int, int]: ...
def utf8_until(data: bytes | memoryview) -> int: ...
