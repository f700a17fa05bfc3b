"""Nothing to do on 20 tables and 1,000 chunks: what it costs to find that out, process start included.

Usage: python benchmarks/figure_idle.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, arguments

PAIRS = 10
ROWS = 8192
"""Rows of the smallest chunk."""


def lay(folder: Path, chunks: int) -> None:
    """Ten files, a source and a clean table on each: `chunks` chunks a table."""
    rows = PAIRS * chunks * ROWS
    python(BENCHMARKS / "narrow.py", folder / "data", "--rows", str(rows), "--files", str(PAIRS))
    lines = ["project: idle", "tables:"]
    for number, path in enumerate(sorted((folder / "data").glob("*.parquet"))):
        lines += [
            f"  raw{number}: {{collect: {{files: data/{path.name}}}, key: id}}",
            f"  clean{number}:",
            f"    from: raw{number}",
            '    steps: [{derive: {columns: {fahrenheit: "value * 1.8 + 32"}}}]',
            "    expect: [{column: count, min: 0}]",
        ]
    (folder / "tillage.yaml").write_text("\n".join(lines) + "\n")


def chunks_of_rows(folder: Path) -> int:
    """Chunks of rows that the catalog shows for the tables."""
    query = "SELECT count(*) FROM chunks WHERE part = 'rows' AND ended IS NULL AND stage NOT LIKE '%/%'"
    with closing(sqlite3.connect(f"file:{folder}/.tillage/catalog.db?mode=ro", uri=True)) as catalog:
        return int(catalog.execute(query).fetchone()[0])


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=5)
    each = 2 if given.quick else 50
    figure = Figure("idle", f"Nothing to do on {2 * PAIRS} tables and {2 * PAIRS * each:,} chunks", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folder = Path(root)
        lay(folder, each)
        full = tillage("run", cwd=folder)
        held = chunks_of_rows(folder)

        def idle(_: int) -> Used:
            used = tillage("run", cwd=folder)
            if "Nothing to do" not in used.out:
                raise RuntimeError(f"there was something to do:\n{used.out}")
            return used

        found = figure.turns({"nothing to do": idle})
    command = "python -m tillage.face.main run"
    figure.table({"first run": [full], **found}, dict.fromkeys(("first run", "nothing to do"), command))
    figure.judge("chunks of rows in the tables", [held], "", limit=2 * PAIRS * each, at_least=True)
    figure.judge("nothing to do, CPU", [u.cpu for u in found["nothing to do"]], " s", limit=1)
    figure.close()


if __name__ == "__main__":
    main()
