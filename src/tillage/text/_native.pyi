"""The compiled functions. Each reads arrays of the type named here and writes into the last ones; ValueError where
lengths do not fit together. Texts are what `Series.__arrow_c_stream__` of a column of strings makes, and used up then.
"""

from numpy import bool_, float64, int64, uint8, uint32, uint64
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
def sets(
    tokens: NDArray[uint64],
    bounds: NDArray[int64],
    places: NDArray[uint64],
    fewer: NDArray[uint64],
    starts: NDArray[int64],
    out: NDArray[uint64],
) -> int: ...
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
def text_buckets(
    texts: object,
    places: NDArray[uint64],
    fewer: NDArray[uint64],
    factors: NDArray[uint32],
    terms: NDArray[uint32],
    columns: NDArray[uint64],
    seeds: NDArray[uint64],
    far: NDArray[uint8],
    out: NDArray[uint64],
) -> None: ...
def text_counts(
    texts: object,
    table: NDArray[uint8],
    wanted: NDArray[uint8],
    bullets: NDArray[uint32],
    endings: NDArray[uint32],
    out: NDArray[int64],
) -> None: ...
def listed_words(
    texts: object,
    asked: NDArray[bool_],
    table: NDArray[uint8],
    wanted: NDArray[uint8],
    words: bytes,
    starts: NDArray[int64],
    whole: int,
    least: int,
    out: NDArray[int64],
) -> None: ...
def said_again(texts: object, table: NDArray[uint8], wanted: NDArray[uint8], out: NDArray[int64]) -> None: ...
def ngrams_over(
    texts: object,
    asked: NDArray[bool_],
    table: NDArray[uint8],
    wanted: NDArray[uint8],
    n_top: NDArray[int64],
    top: NDArray[float64],
    n_repeated: NDArray[int64],
    repeated: NDArray[float64],
    out: NDArray[bool_],
) -> None: ...
def rewritten_texts(
    texts: object,
    table: NDArray[uint8],
    wanted: NDArray[uint8],
    spaces: bool,
    small: bool,
    became: NDArray[uint8],
) -> tuple[object, object]: ...
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
    data: bytes | NDArray[uint8],
    kinds: NDArray[uint8],
    places: NDArray[uint32],
    sizes: NDArray[uint32],
    out: NDArray[int64],
) -> None: ...
def json_texts(
    data: bytes | NDArray[uint8], kinds: NDArray[uint8], places: NDArray[uint32], sizes: NDArray[uint32]
) -> tuple[object, object]: ...
def line_cuts(data: bytes, final: bool, starts: NDArray[int64], ends: NDArray[int64]) -> tuple[int, int]: ...
def utf8_until(data: bytes | memoryview | NDArray[uint8]) -> int: ...
def joined(texts: object, between: bytes, out: NDArray[uint8]) -> None: ...
def shapes(
    data: NDArray[uint8],
    starts: NDArray[int64],
    plain: NDArray[uint8],
    odd: NDArray[uint8],
    out: NDArray[int64],
) -> int: ...
def components(
    hashes: NDArray[uint64],
    first: NDArray[int64],
    last: NDArray[int64],
    members: NDArray[int64],
    sizes: NDArray[int64],
    similarity: float,
    labels: NDArray[int64],
) -> int: ...
