"""Precision and recall of a repaired table, cell by cell, against the clean one; prints one JSON object.

A cell counts as changed when it is another value than in the dirty file, as wrong when the dirty file has another value
than the clean one, and as repaired when it was wrong and has the clean value now. Texts are compared letter by letter,
numbers as numbers (12 and 12.0 are one), and no value is one with the empty text. Columns go by their place, since the
two headers of a set may be spelled differently.

Usage: python benchmarks/repair_score.py PROJECT TABLE KEY DIRTY CLEAN    (DIRTY, CLEAN: a CSV file or a folder of some)
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import tillage


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and records."""
    header: list[str] = []
    records: list[list[str]] = []
    for file in sorted(path.glob("*.csv")) if path.is_dir() else [path]:
        with file.open(newline="", encoding="utf-8") as opened:
            header, *more = list(csv.reader(opened))
            records += more
    return header, records


def value(cell: Any) -> Any:
    """What a cell says: nothing, a number, or a text."""
    if cell is None or cell == "":
        return None
    try:
        return float(cell)
    except ValueError:
        return str(cell)


def main() -> None:
    """Count and print."""
    project, table, key, dirty_path, clean_path = sys.argv[1:]
    header, dirty = read(Path(dirty_path))
    _, clean = read(Path(clean_path))
    at = header.index(key)
    repaired = {str(row[key]): row for row in tillage.project(Path(project)).read(table).to_dicts()}
    columns: dict[str, list[int]] = {}
    for k, name in enumerate(header):
        wrong = changed = right = 0
        for was, should in zip(dirty, clean, strict=True):
            now = value(repaired[was[at]][name])
            is_wrong, is_changed = value(was[k]) != value(should[k]), now != value(was[k])
            wrong, changed = wrong + is_wrong, changed + is_changed
            right += is_wrong and is_changed and now == value(should[k])
        columns[name] = [wrong, changed, right]
    wrong, changed, right = (sum(c[k] for c in columns.values()) for k in range(3))
    precision, recall = right / max(changed, 1), right / max(wrong, 1)
    f1 = 2 * right / max(wrong + changed, 1)
    print(json.dumps({"wrong": wrong, "changed": changed, "repaired": right, "precision": precision, "recall": recall,
                      "f1": f1, "columns": columns}))  # fmt: skip


if __name__ == "__main__":
    main()
