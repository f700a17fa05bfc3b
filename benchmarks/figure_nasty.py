"""Twenty nasty CSV files, read with nothing declared: who changes data without a word.

Beside Tillage: Polars, pyarrow, DuckDB and pandas with their defaults. What is not installed is left out, and said;
`--peers PYTHON` names an interpreter that has them (`python -m venv peers; peers/bin/pip install duckdb pandas`).

Usage: python benchmarks/figure_nasty.py [--quick] [--repetitions N] [--peers PYTHON] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from child import BENCHMARKS, Used, run
from figure import Figure, Side, arguments
from nasty import Nasty, files, verdict, write

READERS = ("tillage", "polars", "pyarrow", "duckdb", "pandas")
SILENT = "**"


def judged(one: Nasty, line: str) -> str:
    """What became of one file, from a reader's answer: in bold what was changed without a word."""
    answer = json.loads(line)
    if "error" in answer:
        return "refused"
    found = verdict(one, answer["names"], answer["rows"], answer["told"])
    return found if found in ("as it is", "told") else f"{SILENT}{found}{SILENT}"


def has(python: str, module: str) -> bool:
    """Whether an interpreter has a library."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def shown(text: str) -> str:
    """A cell of a table in Markdown."""
    return text.replace("|", "\\|").replace("\r", "\\r").replace("\n", "\\n")


def main() -> None:
    """Read and tell."""
    given = arguments(__doc__, repetitions=3, peers=True)
    figure = Figure("nasty", "Twenty nasty CSV files: who changes data without a word", given)
    answers: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as folder:
        write(Path(folder))

        def side(reader: str, python: str) -> Side:
            def once(_: int) -> Used:
                used = run([python, str(BENCHMARKS / "nasty_reader.py"), reader, folder])
                answers[reader] = used.out.splitlines()
                return used

            return once

        pythons = {r: p for r in READERS for p in (given.peers, sys.executable) if p and has(p, r)}
        pythons["tillage"] = sys.executable
        found = figure.turns({r: side(r, pythons[r]) for r in READERS if r in pythons})
    figure.table(found, {r: f"python benchmarks/nasty_reader.py {r} FOLDER" for r in found})
    cases = files()
    verdicts = {r: [judged(one, line) for one, line in zip(cases.values(), answers[r], strict=True)] for r in found}
    figure.say()
    figure.say("In bold: not what the file holds, and no error. `told`: bad rows reported, the others as they are.")
    figure.say()
    figure.say(f"| file | {' | '.join(found)} |")
    figure.say("|---" * (len(found) + 1) + "|")
    for i, name in enumerate(cases):
        figure.say(f"| {name} | {' | '.join(shown(verdicts[r][i]) for r in found)} |")
    missing = [r for r in READERS if r not in found]
    if missing:
        figure.say()
        figure.say(f"Not installed, so not compared: {', '.join(missing)} (`--peers PYTHON`).")
    for reader in found:
        silent = sum(v.startswith(SILENT) for v in verdicts[reader])
        limit = 0 if reader == "tillage" else None
        figure.judge(f"{reader}: files changed without a word", [silent], "", limit=limit, sized=False)
    refused = sum(v == "refused" for v in verdicts["tillage"])
    figure.judge("tillage: files refused", [refused], "", limit=1, sized=False)
    by_all = sum(any(verdicts[r][i].startswith(SILENT) for r in found if r != "tillage") for i in range(len(cases)))
    figure.judge(
        "files that one of the others changes without a word",
        [by_all],
        "",
        limit=None if missing else len(cases),
        at_least=True,
    )
    figure.close()


if __name__ == "__main__":
    main()
