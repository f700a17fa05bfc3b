"""A row's thread through 20 steps over 1,000,000 rows, both ways: CPU after start-up, and the memory that it takes.

Nine Maps, eight Wholes and three Groups, each a stage of its own. Every question is asked by a process of its own,
which has started, opened the project and loaded its libraries before the clock runs; nothing is in its memory then.

Usage: python benchmarks/figure_trace.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, arguments

PLAN = """\
project: thread
tables:
  readings: {collect: {files: data/*.parquet}, key: id}
  clean:
    from: readings
    steps:
      - derive: {columns: {fahrenheit: "value * 1.8 + 32"}}
      - drop_duplicates: {columns: [id]}
      - filter: "load >= 0.01"
      - drop_duplicates: {columns: [sensor, value]}
      - derive: {columns: {work: "count * load"}}
      - drop_duplicates: {columns: [sensor, load]}
      - derive: {columns: {warm: "if(value > 20, 'yes', 'no')"}}
      - drop_duplicates: {columns: [value, load]}
      - filter: "value > 0"
      - drop_duplicates: {columns: [load, work]}
      - derive: {columns: {band: "if(load > 0.5, 'high', 'low')"}}
      - drop_duplicates: {columns: [sensor, value, count]}
  cells:
    from: clean
    steps:
      - aggregate: {by: [sensor, count, status, warm, band], columns: {rows: count(), total: sum(count)}}
      - derive: {columns: {double: "total * 2"}}
      - drop_duplicates: {columns: [sensor, count, status, warm, band]}
      - filter: "rows >= 0"
  sensors:
    from: cells
    steps:
      - aggregate: {by: [sensor, band], columns: {cells: count(), rows: sum(rows)}}
      - drop_duplicates: {columns: [sensor, band]}
  bands:
    from: clean
    steps:
      - aggregate: {by: [band], columns: {rows: count(), total: sum(count)}}
      - derive: {columns: {tenth: "rows / 10"}}
"""
STEPS = 20
CPU_MS, MEMORY = 100, 100
"""Milliseconds an answer, and MB beyond the started process."""

QUESTIONS = {
    "a source row, both ways": ("readings", "both"),
    "a cleaned row, both ways": ("clean", "both"),
    "a row of a group of groups, back": ("sensors", "back"),
    "a row of a group of half the table, back": ("bands", "back"),
    "a record of a file, forward": ("record", "forward"),
}


def warm(opened: Any) -> tuple[str, str]:
    """An object that no question asks for: reading it starts the threads of the library that reads Parquet."""
    chunk = opened.store.chunks("bands")[0]
    return chunk.object, chunk.checksum


def ask(folder: Path, table: str, direction: str, turn: int) -> None:
    """In a process of its own: open the project, ask, and print what it cost."""
    import resource
    import time

    import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401 - libraries that the first use loads
    import numpy.ma  # noqa: F401

    from tillage.face.rooms import project
    from tillage.promises.tracing import trace, trace_record

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    path = f"data/{sorted(p.name for p in (folder / 'data').iterdir())[turn % 20]}"
    with project(folder) as opened:
        row = None
        if table != "record":
            chunks = opened.store.chunks(table)
            row = int(opened.store.read(chunks[(7 * turn) % len(chunks)], columns=[])["_id"][0])
        opened.store.objects.get_frame(*warm(opened), ["_id"])
        before, clock = peak(), time.process_time()
        if row is None:
            node = trace_record(opened, path, 77 + turn, direction="forward", limit=10)
        else:
            node = trace(opened, table, row, direction="back" if direction == "back" else "both", limit=10)
        first = time.process_time() - clock
        grown = peak() - before
        nodes = len(node.thread.items)
        stages = len({i.stage for i in node.thread.items.values() if i.stage})
    print(json.dumps({"ms": 1000 * first, "mb": grown, "nodes": nodes, "stages": stages}))


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=5)
    rows = 20_000 if given.quick else 1_000_000
    figure = Figure("trace", f"A row's thread through {STEPS} steps over {rows:,} rows", given)
    asked: dict[str, list[dict[str, float]]] = {name: [] for name in QUESTIONS}
    small: dict[str, list[dict[str, float]]] = {name: [] for name in QUESTIONS}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        folders = {"big": Path(root) / "big", "small": Path(root) / "small"}
        built: dict[str, list[Used]] = {}
        for name, folder in folders.items():
            size = rows if name == "big" else rows // 5
            python(BENCHMARKS / "narrow.py", folder / "data", "--rows", str(size), "--files", "20")
            (folder / "tillage.yaml").write_text(PLAN)
            built[f"{size:,} rows built"] = [tillage("run", cwd=folder)]
        once = python(__file__, "--ask", folders["big"], "readings", "both", "0")
        builds = json.loads(once.out)
        python(__file__, "--ask", folders["small"], "readings", "both", "0")

        def side(name: str, folder: str, into: dict[str, list[dict[str, float]]], turn: int) -> Used:
            table, direction = QUESTIONS[name]
            used = python(__file__, "--ask", folders[folder], table, direction, str(turn + 1))
            into[name].append(json.loads(used.out))
            return used

        sides = {name: (lambda turn, name=name: side(name, "big", asked, turn)) for name in QUESTIONS}
        found = figure.turns(sides)
        for turn in range(given.repetitions):
            for name in QUESTIONS:
                side(name, "small", small, turn)
    commands = {
        name: f"python benchmarks/figure_trace.py --ask FOLDER {' '.join(q)} N" for name, q in QUESTIONS.items()
    }
    commands |= dict.fromkeys(built, "python -m tillage.face.main run")
    figure.table({**built, **found}, commands)
    for name, answers in asked.items():
        figure.judge(f"{name}: CPU after start-up", [a["ms"] for a in answers], " ms", limit=CPU_MS)
    for name, answers in asked.items():
        figure.judge(f"{name}: memory beyond start-up", [a["mb"] for a in answers], " MB", limit=MEMORY)
    grown = [a["mb"] - b["mb"] for name in QUESTIONS for a, b in zip(asked[name], small[name], strict=True)]
    figure.judge(f"memory from {rows // 5:,} to {rows:,} rows, any question", grown, " MB", limit=32)
    stages = [max(a["stages"] for name in QUESTIONS for a in asked[name])]
    figure.judge("stages that a thread runs through", stages, "", limit=STEPS, at_least=True, sized=False)
    nodes = [statistics.median(a["nodes"] for a in asked[name]) for name in QUESTIONS]
    figure.judge("nodes of an answer", nodes, "", limit=None)
    figure.judge("the first question ever, which may build the locator: CPU", [builds["ms"]], " ms", limit=None)
    figure.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        ask(Path(sys.argv[2]).resolve(), sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        main()
