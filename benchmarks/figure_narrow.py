"""10,000,000 narrow rows through collect, three Maps and a Fold, against a bare script that keeps the same promises.

Told besides: what each promise costs, the floor's promises added one at a time from a plain Polars script on; memory at
2 and at 10 million rows; what it costs to append 1 % as one file, start-up apart: a run with nothing to do, and loading
the library that reads Parquet, are taken off both.

Usage: python benchmarks/figure_narrow.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, Side, arguments, ratios

PLAN = """\
project: narrow
tables:
  readings: {collect: {files: data/*.parquet}, key: id}
  clean:
    from: readings
    steps:
      - derive: {columns: {fahrenheit: "value * 1.8 + 32"}}
      - filter: "load >= 0.02"
      - derive: {columns: {work: "count * load"}}
    expect:
      - {column: count, min: 0}
      - {column: sensor, not_null: true}
"""

READER = "import numpy, pyarrow.parquet"
BARE = "import numpy"
"""What a run that reads Parquet loads, and what every command does."""

PROMISES = ("ids", "unique", "source", "checksum", "durable")
ROW_BYTES = 16
"""What uniqueness may keep in memory for each row."""


def lay(folder: Path, rows: int, each: int) -> Path:
    """A project with its data; files of `each` rows whatever the size, so that memory compares."""
    python(BENCHMARKS / "narrow.py", folder / "data", "--rows", str(rows), "--files", str(-(-rows // each)))
    (folder / "tillage.yaml").write_text(PLAN)
    return folder


class Narrow:
    """The sides, and what they leave for the next measurement."""

    def __init__(self, root: Path, rows: int) -> None:
        self.rows = rows
        self.big = lay(root / "big", rows, rows // 20)
        self.small = lay(root / "small", rows // 5, rows // 20)
        self.appended = 0
        self.idle: list[Used] = []
        self.append: list[Used] = []
        self.share: list[float] = []

    def full(self, _: int) -> Used:
        """Everything; then a run with nothing to do and one with 1 % more, which belong to this turn."""
        used = self.fresh(self.big)
        self.idle.append(tillage("run", cwd=self.big))
        one = self.rows // 100
        python(
            BENCHMARKS / "narrow.py",
            "data",
            "--rows",
            str(one),
            "--files",
            "1",
            "--start",
            str(self.rows),
            cwd=self.big,
        )
        self.append.append(tillage("run", cwd=self.big))
        (self.big / f"data/part-{self.rows:010d}.parquet").unlink()
        start = self.idle[-1].cpu + python("-c", READER).cpu - python("-c", BARE).cpu
        self.share.append((self.append[-1].cpu - start) / (used.cpu - start))
        shutil.rmtree(self.big / ".tillage")
        return used

    def fifth(self, _: int) -> Used:
        """A fifth of the rows, for the memory."""
        used = self.fresh(self.small)
        shutil.rmtree(self.small / ".tillage")
        return used

    def fresh(self, folder: Path) -> Used:
        shutil.rmtree(folder / ".tillage", ignore_errors=True)
        return tillage("run", cwd=folder)

    def floor(self, promises: str) -> Side:
        """The bare script with some promises."""

        def side(_: int) -> Used:
            used = python(BENCHMARKS / "floor.py", "data", "out", "--promises", promises, cwd=self.big)
            shutil.rmtree(self.big / "out")
            return used

        return side


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3)
    rows = 40_000 if given.quick else 10_000_000
    figure = Figure("narrow", f"{rows:,} narrow rows through collect, three Maps and a Fold", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        narrow = Narrow(Path(root), rows)
        ladder = {p: ",".join(PROMISES[: n + 1]) for n, p in enumerate(PROMISES[:-1])}
        sides: dict[str, Side] = {"Tillage": narrow.full, "floor": narrow.floor(",".join(PROMISES))}
        sides |= {"plain Polars": narrow.floor("none")}
        sides |= {f"floor up to {p}": narrow.floor(text) for p, text in ladder.items()}
        sides |= {f"Tillage, {rows // 5:,} rows": narrow.fifth}
        found = figure.turns(sides)
    fifth = found.pop(f"Tillage, {rows // 5:,} rows")
    commands = {"Tillage": "python -m tillage.face.main run", "floor": "python benchmarks/floor.py data out"}
    commands |= {"plain Polars": f"{commands['floor']} --promises none"}
    commands |= {f"floor up to {p}": f"{commands['floor']} --promises {text}" for p, text in ladder.items()}
    more = {"Tillage, nothing to do": narrow.idle, "Tillage, 1 % appended": narrow.append}
    more |= {f"Tillage, {rows // 5:,} rows": fifth}
    commands |= dict.fromkeys(more, commands["Tillage"])
    figure.table({**found, **more}, commands)

    full = found["Tillage"]
    figure.judge("CPU, Tillage to the floor", ratios(full, found["floor"]), "x", limit=1.3)
    figure.judge("CPU, Tillage to plain Polars", ratios(full, found["plain Polars"]), "x", limit=None)
    steps = ["plain Polars", *(f"floor up to {p}" for p in PROMISES[:-1]), "floor"]
    for promise, before, after in zip(PROMISES, steps, steps[1:], strict=False):
        cost = [a.cpu - b.cpu for a, b in zip(found[after], found[before], strict=True)]
        figure.judge(f"CPU that the promise of {promise} adds to the floor", cost, " s", limit=None)
    rest = [a.cpu - b.cpu for a, b in zip(full, found["floor"], strict=True)]
    figure.judge("CPU of ledger, catalog, states and start, beyond the floor", rest, " s", limit=None)
    figure.judge("peak memory", [u.peak for u in full], " MB", limit=1000)
    least = statistics.median(u.peak for u in fifth)
    more_rows = (rows - rows // 5) * ROW_BYTES / 2**20
    grown = [a.peak - b.peak - more_rows for a, b in zip(full, fifth, strict=True)]
    what = f"memory from {rows // 5:,} to {rows:,} rows beyond {ROW_BYTES} bytes a row (a tenth of the first)"
    figure.judge(what, grown, " MB", limit=round(least / 10))
    figure.judge(
        "1 % appended: share of the full run's CPU, start-up apart", [100 * s for s in narrow.share], " %", limit=3
    )
    figure.close()


if __name__ == "__main__":
    main()
