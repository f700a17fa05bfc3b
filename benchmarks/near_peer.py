"""The same by hand: plain Polars and rensa's MinHash, 128 permutations, candidates counted as duplicates unchecked.

Usage: python benchmarks/near_peer.py FOLDER SIMILARITY OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
from rensa import RMinHash, RMinHashLSH

PERMUTATIONS, BANDS = 128, 16


def kept(texts: pl.Series, similarity: float) -> pl.Series:
    """Whether each text is the first of its cluster."""
    tokens = texts.str.to_lowercase().str.extract_all(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+")
    index = RMinHashLSH(threshold=similarity, num_perm=PERMUTATIONS, num_bands=BANDS)
    root = list(range(len(texts)))

    def find(n: int) -> int:
        while root[n] != n:
            root[n] = n = root[root[n]]
        return n

    for n, words in enumerate(tokens):
        own = words.to_list()
        signed = RMinHash(num_perm=PERMUTATIONS, seed=42)
        signed.update([" ".join(own[i : i + 5]) for i in range(max(len(own) - 4, 1))])
        for other in index.query(signed):
            a, b = find(n), find(other)
            root[max(a, b)] = min(a, b)
        index.insert(n, signed)
    return pl.Series([find(n) == n for n in range(len(texts))])


def main(folder: Path, similarity: float, out: Path) -> None:
    """Read, cut into shingles, sign, link, write what stays."""
    frame = pl.read_ndjson(sorted(folder.glob("*.jsonl")))
    frame.filter(kept(frame["text"], similarity)).write_parquet(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
