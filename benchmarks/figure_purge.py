"""One row of 1,000,000 purged from a source and the table made of it, in every version, against a rebuild.

Start-up apart: off the rebuild is taken a run with nothing to do; the purge is measured in its process, a fresh one
each time, from where the store is open and the row's id is known. Of each the cheapest of seven: runs with nothing to
do, purges in a store that nobody has looked a row up in, each in a copy of its own, and later purges, one after the
other.

Usage: python benchmarks/figure_purge.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from child import BENCHMARKS, STARTS, Used, least, python, tillage
from figure import Figure, arguments

PLAN = """\
project: purge
tables:
  readings: {collect: {files: data/*.parquet}, key: id}
  clean:
    from: readings
    steps:
      - derive: {columns: {fahrenheit: "value * 1.8 + 32"}}
      - filter: "load >= 0.02"
"""

LIMIT = 2
"""Percent of a rebuild."""


class Purging:
    """One turn: a rebuild, and what is measured on the store that it makes."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        python(BENCHMARKS / "narrow.py", folder / "data", "--rows", str(rows), "--files", "2")
        (folder / "tillage.yaml").write_text(PLAN)
        self.idle: list[Used] = []
        self.first: list[Used] = []
        self.later: list[Used] = []

    def rebuild(self, turn: int) -> Used:
        """From nothing; then the purges of one row each."""
        store, kept = self.folder / ".tillage", self.folder / "kept"
        used = tillage("run", cwd=self.folder)
        self.idle.append(least([tillage("run", cwd=self.folder) for _ in range(STARTS)]))
        store.rename(kept)
        first = []
        for n in range(STARTS):
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(kept, store)
            first.append(self.purge(turn * STARTS + n))
        shutil.rmtree(kept)
        self.first.append(least(first))
        others = range(self.rows // 2 + turn * STARTS, self.rows // 2 + (turn + 1) * STARTS)
        self.later.append(least([self.purge(key) for key in others]))
        shown = json.loads(tillage("show", "--json", cwd=self.folder).out)["tables"]["readings"]["rows"]
        if shown != (left := self.rows - 1 - STARTS):
            raise RuntimeError(f"{left:,} rows were to be left, and {shown:,} are")
        tillage("verify", cwd=self.folder)
        shutil.rmtree(self.folder / ".tillage")
        return used

    def purge(self, key: int) -> Used:
        """What the process says of the purge alone; memory and time are the whole process's."""
        used = python(BENCHMARKS / "purge_row.py", self.folder / ".tillage", str(key))
        return replace(used, cpu=json.loads(used.out)["cpu"])

    def share(self, purged: list[Used], rebuilt: list[Used]) -> list[float]:
        """Percent of the rebuild that each purge cost, start-up apart."""
        turns = zip(purged, rebuilt, self.idle, strict=True)
        return [100 * p.cpu / (full.cpu - idle.cpu) for p, full, idle in turns]


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=5)
    rows = 20_000 if given.quick else 1_000_000
    figure = Figure("purge", f"One row of {rows:,} purged", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        purging = Purging(Path(root), rows)
        found = figure.turns({"rebuild": purging.rebuild})
    found |= {"nothing to do": purging.idle}
    found |= {"the first purge": purging.first, "a later purge": purging.later}
    script = "python benchmarks/purge_row.py .tillage KEY"
    commands = dict.fromkeys(("rebuild", "nothing to do"), "python -m tillage.face.main run")
    commands |= {"the first purge": script, "a later purge": script}
    figure.table(found, commands)
    for name, purged in (("the first purge", purging.first), ("a later purge", purging.later)):
        share = purging.share(purged, found["rebuild"])
        figure.judge(f"{name}: share of a rebuild's CPU, start-up apart", share, " %", limit=LIMIT)
    figure.close()


if __name__ == "__main__":
    main()
