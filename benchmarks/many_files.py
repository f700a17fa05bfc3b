"""A folder of 1,000 CSV files of 1,000 rows and a plan that cleans, derives and aggregates them.

Usage: python benchmarks/many_files.py FOLDER [--files 1000] [--rows 1000] [--first N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

PLAN = """\
project: many-files
tables:
  sales: {collect: {files: data/*.csv}, key: id}
  clean:
    from: sales
    steps:
      - normalize: {columns: [shop]}
      - filter: "amount > 0"
      - derive: {columns: {revenue: "amount * price"}}
  by_shop:
    from: clean
    steps:
      - aggregate: {by: [shop], columns: {orders: count(), revenue: sum(revenue), dearest: max(price)}}
"""


def write_file(folder: Path, number: int, rows: int) -> None:
    """Write one file; its keys are its own."""
    rng = np.random.default_rng(number)
    amount = rng.integers(-1, 20, rows)
    price = rng.integers(100, 10_000, rows) / 100
    shop = rng.integers(0, 200, rows)
    lines = ["id,shop,amount,price,day"]
    lines += [
        f"{number * rows + i},Shop  {shop[i]},{amount[i]},{price[i]},2026-01-{1 + i % 28:02d}" for i in range(rows)
    ]
    (folder / f"f{number:05d}.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    (given.folder / "data").mkdir(parents=True, exist_ok=True)
    (given.folder / "tillage.yaml").write_text(PLAN)
    for number in range(given.first, given.first + given.files):
        write_file(given.folder / "data", number, given.rows)


if __name__ == "__main__":
    main()
