"""The data of the figure on subjects: Parquet files of records, each of one of so many persons, from a seed.

Usage: python benchmarks/people.py FOLDER --rows 1000000 --persons 100000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

FILES = 2


def write(folder: Path, rows: int, persons: int) -> None:
    """Write `rows` records in the order of time, persons as they come."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": np.arange(rows, dtype=np.int64),
            "person": rng.integers(0, persons, rows),
            "value": rng.normal(20, 5, rows),
            "load": rng.random(rows),
            "status": rng.choice(np.array(["ok", "warn", "bad"]), rows),
        }
    )
    for n in range(FILES):
        frame[n * rows // FILES : (n + 1) * rows // FILES].write_parquet(folder / f"part-{n}.parquet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--persons", type=int, default=100_000)
    given = parser.parse_args()
    write(given.folder, given.rows, given.persons)
