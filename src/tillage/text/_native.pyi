"""The compiled functions. Each reads arrays of the type named here and writes into the last ones; ValueError where
lengths do not fit together."""

from numpy import int64, uint32, uint64
from numpy.typing import NDArray

def signatures(
    hashes: NDArray[uint64],
    starts: NDArray[int64],
    factors: NDArray[uint32],
    terms: NDArray[uint32],
    out: NDArray[uint32],
) -> None: ...
