"""A table of visits to clinics, clean and with errors, so that every repair can be judged.

A clinic has one name, city, state, zip and phone, a city one state, a procedure one description. In the dirty table one
cell in 40 has letters changed to `x`, and one in 200 holds another row's value of the same column.

Writes FOLDER/dirty/*.csv and FOLDER/clean/*.csv.

Usage: python benchmarks/dirty.py FOLDER --rows N [--start K] [--seed S]
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

COLUMNS = ("id", "clinic", "name", "city", "state", "zip", "phone", "procedure", "description", "paid")
PARTS = ("north", "south", "lake", "hill", "mercy", "grace", "river", "park", "union", "valley", "forest", "stone")


def rows(count: int, start: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """(clean, dirty); the clinics are those of any `start`, so that rows can be appended."""
    fixed = random.Random(seed)
    cities = [(f"{a}{b}", f"{a[0]}{b[-1]}".upper()) for a in PARTS for b in ("ville", "ton", "field", "port")]
    clinics = []
    for n in range(2_000):
        city, state = fixed.choice(cities)
        name = f"{fixed.choice(PARTS)} {fixed.choice(PARTS)} clinic {n}"
        digits = f"{fixed.randrange(10**7):07d}"
        clinics.append((f"c{n:05d}", name, city, state, f"{10_000 + n}", f"555{digits}"))
    procedures = [(f"p-{n}", f"{fixed.choice(PARTS)} procedure of kind {n}") for n in range(60)]
    drawn = random.Random(f"{seed} {start}")
    clean = [
        [str(start + i), *drawn.choice(clinics), *drawn.choice(procedures), f"{drawn.randrange(5_000)}"]
        for i in range(count)
    ]
    dirty = [list(row) for row in clean]
    for row in dirty:
        for at in range(1, len(COLUMNS) - 1):
            chance = drawn.random()
            if chance < 1 / 40:
                places = drawn.sample(range(len(row[at])), k=min(len(row[at]), drawn.randint(1, 2)))
                row[at] = "".join("x" if k in places else letter for k, letter in enumerate(row[at]))
            elif chance < 1 / 40 + 1 / 200:
                row[at] = drawn.choice(clean)[at]
    return clean, dirty


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    tables = rows(given.rows, given.start, given.seed)
    for name, table in zip(("clean", "dirty"), tables, strict=True):
        (given.folder / name).mkdir(parents=True, exist_ok=True)
        with (given.folder / name / f"{given.start:09d}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *table])


if __name__ == "__main__":
    main()
