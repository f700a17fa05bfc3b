"""What one reader makes of CSV files with nothing declared: a line of JSON a file, cells as text.

Usage: python benchmarks/nasty_reader.py tillage|polars|duckdb|pyarrow|pandas FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Read = tuple[list[str], list[list[Any]], int]
"""Names, rows, and how many records were reported as bad."""


def tillage(path: Path) -> Read:
    """Ours: the source of files, as a run reads it."""
    from tillage.collect import Files

    files = Files(path=path.name)
    state = files.observe(path.parent, path.name)
    batches = list(files.read(path.parent, path.name, files.column_types([state])))
    bad = [record for batch in batches for record in batch.bad]
    if "failed" in state:
        raise ValueError(bad[0].message)
    return state["order"], [list(row) for batch in batches for row in batch.rows.rows()], len(bad)


def polars(path: Path) -> Read:
    """Polars' `read_csv`."""
    import polars as pl

    frame = pl.read_csv(path)
    return frame.columns, [list(row) for row in frame.rows()], 0


def duckdb(path: Path) -> Read:
    """DuckDB's `read_csv`, which looks for the dialect itself."""
    import duckdb as db

    found = db.sql(f"SELECT * FROM read_csv('{path}')")
    return found.columns, [list(row) for row in found.fetchall()], 0


def pyarrow(path: Path) -> Read:
    """pyarrow's `read_csv`."""
    from pyarrow import csv

    table = csv.read_csv(path)
    return table.column_names, [list(row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)], 0


def pandas(path: Path) -> Read:
    """pandas' `read_csv`; a missing value is None."""
    import pandas as pd

    frame = pd.read_csv(path)
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return [str(c) for c in frame.columns], rows, 0


READERS: dict[str, Callable[[Path], Read]] = {
    "tillage": tillage,
    "polars": polars,
    "duckdb": duckdb,
    "pyarrow": pyarrow,
    "pandas": pandas,
}


def as_text(cell: Any) -> str | None:
    """A cell as text: numbers in the shortest way, bytes as they would be printed."""
    if cell is None or isinstance(cell, str):
        return cell
    return repr(cell) if isinstance(cell, float | bytes) else str(cell)


def main(reader: str, folder: Path) -> None:
    """Read every file; an error is an answer."""
    warnings.simplefilter("ignore")
    for path in sorted(folder.glob("*.csv")):
        try:
            names, rows, told = READERS[reader](path)
            answer: dict[str, Any] = {
                "names": names,
                "rows": [[as_text(cell) for cell in row] for row in rows],
                "told": told,
            }
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
