"""Purge one row, by its key, from the tables `readings` and `clean` of a store; print the CPU seconds of that alone.

The process is as it starts: what the first purge of a process loads or touches for the first time is counted, opening
the store and finding the row's id are not.

Usage: python benchmarks/purge_row.py STORE KEY
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as `tillage forget` does, before Polars loads

import polars as pl

from tillage.store import Store
from tillage.store.purge import purge


def main() -> None:
    """Print what the purge cost; SystemExit when not exactly two rows went (the source's and the one made of it)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("key", type=int)
    given = parser.parse_args()
    store = Store(given.store)
    gone = store.keys.row_ids("readings", pl.DataFrame({"id": [given.key]}), ("id",))
    begun = time.process_time()
    done = purge(store, {"readings": gone, "clean": gone})
    print(json.dumps({"cpu": time.process_time() - begun, "chunks": done.chunks, "touched": done.touched}))
    if done.rows != 2:
        raise SystemExit("two rows were to go")
    store.close()


if __name__ == "__main__":
    main()
