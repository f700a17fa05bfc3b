"""The data of the figures on narrow rows: Parquet files of six columns, from a seed.

Usage: python benchmarks/narrow.py FOLDER --rows 10000000 --files 20 [--start N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl


def write(folder: Path, rows: int, files: int, start: int = 0) -> None:
    """Write `rows` rows, keys from `start`, as `files` files."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-rows // files)
    for n in range(files):
        first, last = start + n * each, min(start + rows, start + (n + 1) * each)
        rng = np.random.default_rng(first)
        size = last - first
        frame = pl.DataFrame(
            {
                "id": np.arange(first, last, dtype=np.int64),
                "sensor": rng.integers(0, 500, size),
                "value": rng.normal(20, 5, size),
                "load": rng.random(size),
                "status": rng.choice(np.array(["ok", "warn", "bad"]), size),
                "count": rng.integers(0, 100, size),
            }
        )
        frame.write_parquet(folder / f"part-{first:010d}.parquet", compression="zstd")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    given = parser.parse_args()
    write(given.folder, given.rows, given.files, given.start)
