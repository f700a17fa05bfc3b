"""Purge one row, by its key, from the tables `readings` and `clean` of a store; or only find its id.

Usage: python benchmarks/purge_row.py STORE KEY [--only-find]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as `tillage forget` does, before Polars loads

import polars as pl

from tillage.store import Store
from tillage.store.purge import purge


def main() -> None:
    """Print how many rows went; SystemExit when not exactly two (the source's and the one made of it)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("key", type=int)
    parser.add_argument("--only-find", action="store_true")
    given = parser.parse_args()
    store = Store(given.store)
    gone = store.keys.row_ids("readings", pl.DataFrame({"id": [given.key]}), ("id",))
    if not given.only_find:
        done = purge(store, {"readings": gone, "clean": gone})
        print(f"{done.rows} rows, {done.chunks} chunks written again, {done.touched} rows read")
        if done.rows != 2:
            raise SystemExit("two rows were to go")
    store.close()


if __name__ == "__main__":
    main()
