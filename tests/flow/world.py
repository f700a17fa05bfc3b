"""A small world for the laws: a folder of files that changes at random, and a plan with every kind of stage."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tillage.face.rooms import registry
from tillage.flow import chunking
from tillage.flow.configuration import load
from tillage.flow.run import Outcome, Project
from tillage.store import index, locate
from tillage.store.verify import verify

KEY = "ab" * 32

COLLECTED = """\
project: world
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, max_quarantine: 1}
  lines: {collect: {files: "lines/*.jsonl"}, max_quarantine: 1}
"""
"""What every plan of a world begins with: the files that it writes."""

PLAN = (
    COLLECTED
    + """\
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - derive: {columns: {double: "n * 2", label: "if(text like 'a%', 'yes', 'no')"}}
      - filter: "n >= 0"
      - drop_duplicates: {columns: [text]}
      - derive: {columns: {triple: "n * 3"}}
    expect:
      - {column: id, not_null: true}
  both: {from: [clean, lines], steps: [{select: {columns: [text, n]}}]}
  cities: {from: clean, steps: [{aggregate: {by: [city], columns: {rows: count(), total: sum(double), mean: mean(x)}}}]}
  big: {from: cities, steps: [{filter: "rows > 2"}]}
models:
  bayes: {learn: naive_bayes, from: clean, input: text, target: label, split: {test: 0.3}}
"""
)

WORDS = ("apple", "ant", "\u82f9\u679c", "bee", "\uff22\uff45\uff45", "cat", "a  b", "a b", "dog")
CITIES = ("Ulm", "\u5317\u4eac", "Rome", "")


def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks, pages and compaction so small that a few rows exercise them all."""
    monkeypatch.setattr(chunking, "LEAST_ROWS", 5)
    monkeypatch.setattr(chunking, "MOST_CHUNKS", 8)
    monkeypatch.setattr(index, "PAGE_ROWS", 4)
    monkeypatch.setattr(index, "MANY_DELTAS", 3)
    monkeypatch.setattr(locate, "MANY_RUNS", 2)
    monkeypatch.setattr("tillage.flow.compact.SLACK", 6)
    monkeypatch.setattr("tillage.flow.keyed.LARGE", 2)
    monkeypatch.setattr("tillage.flow.results.NEIGHBOURS", 2)
    monkeypatch.setenv("TILLAGE_KEY", KEY)


class World:
    """The folder, and random edits of it."""

    def __init__(self, root: Path, seed: int, plan: str = PLAN) -> None:
        self.root, self.random = root, random.Random(seed)
        (root / "data").mkdir(parents=True)
        (root / "lines").mkdir()
        (root / "tillage.yaml").write_text(plan, encoding="utf-8")
        base = [[str(100 + i), f"{w} base {i}", "Ulm", "0.5", "1"] for i, w in enumerate(WORDS * 3)]
        self.write_rows(root / "data" / "base.csv", base)
        self.add_file()
        self.write_lines("l0.jsonl")

    def files(self, folder: str = "data") -> list[Path]:
        return sorted(p for p in (self.root / folder).iterdir() if p.name != "base.csv")

    def row(self) -> list[str]:
        r = self.random
        bad = r.random() < 0.05
        n = "x" if bad and r.random() < 0.2 else str(r.randint(-1, 5))
        row = [str(r.randint(0, 60)), self.text(), r.choice(CITIES), r.choice(("", "0.5", "1.25", "-3e2")), n]
        return row[:3] if bad else row

    def text(self) -> str:
        return f"{self.random.choice(WORDS)} {self.random.randint(0, 9)}"

    def write_rows(self, path: Path, rows: list[list[str]]) -> None:
        lines = ["id,text,city,x,n", *(",".join(r) for r in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def read_rows(self, path: Path) -> list[list[str]]:
        return [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()[1:]]

    def write_lines(self, name: str) -> None:
        r = self.random
        rows = [
            {"text": self.text(), "n": r.randint(1, 3), "m": r.choice((1, 2**70 if r.random() < 0.1 else 3))}
            for _ in range(r.randint(1, 9))
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (self.root / "lines" / name).write_text(text, encoding="utf-8")

    def add_file(self) -> None:
        path = self.root / "data" / f"f{self.random.randint(0, 9)}.csv"
        self.write_rows(path, [self.row() for _ in range(self.random.randint(1, 14))])

    def edit(self) -> str:
        """One random change of the source; what it was."""
        r = self.random
        files = self.files()
        choice = r.choice(
            ("add", "append", "change", "cut", "delete", "rename", "touch", "insert", "lines", "rewrite", "same size")
        )
        path = r.choice(files) if files else None
        if path is None or choice == "add":
            self.add_file()
        elif choice == "append":
            self.write_rows(path, [*self.read_rows(path), *(self.row() for _ in range(r.randint(1, 4)))])
        elif choice in ("change", "insert", "cut"):
            rows = self.read_rows(path)
            at = r.randrange(len(rows) + 1)
            rows[at : at + (choice != "insert")] = [] if choice == "cut" else [self.row()]
            self.write_rows(path, rows)
        elif choice == "delete":
            if len(files) > 1:
                path.unlink()
        elif choice == "rename":
            path.rename(path.with_name(f"r{r.randint(0, 9)}.csv"))
        elif choice == "touch":
            os.utime(path, (r.randint(1, 10**9), r.randint(1, 10**9)))
        elif choice == "lines":
            self.write_lines(f"l{r.randint(0, 3)}.jsonl")
        elif choice == "rewrite":
            self.write_rows(path, list(reversed(self.read_rows(path))))
        else:
            self.keep_size_and_mtime(path)
        return choice

    def keep_size_and_mtime(self, path: Path) -> None:
        """An edit that only ctime gives away."""
        was = path.stat()
        data = bytearray(path.read_bytes())
        digits = [i for i, b in enumerate(data) if b in b"0123456789"]
        if digits:
            at = self.random.choice(digits)
            data[at] = ord(str((data[at] - 47) % 10))
        path.write_bytes(bytes(data))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    def open(self, store: str = ".tillage", **options: Any) -> Project:
        """The project of this folder, with its store under another name for a rebuild."""
        steps = registry().within(self.root)
        plan = load(self.root / "tillage.yaml", steps)
        return Project(plan.model_copy(update={"store": self.root / store}), steps, **options)


def digests(p: Project, outcome: Outcome | None = None) -> dict[str, Any]:
    """What must be equal between an update and a rebuild: digests and counts, not versions or costs."""
    value = p.summary(outcome, digest=True)
    tables = {
        name: {k: v for k, v in t.items() if k not in ("version", "touched")} for name, t in value["tables"].items()
    }
    kept = ("digest", "metrics", "baseline", "interval", "train", "test", "left")
    models = {name: {k: m[k] for k in kept} for name, m in value["models"].items()}
    return {"tables": tables, "models": models}


def update_equals_rebuild(world: World, rounds: int) -> None:
    """Law 2, and that the store is whole, after each of so many rounds of one to three edits."""
    with world.open() as kept:
        kept.run()
        for n in range(rounds):
            edits = [world.edit() for _ in range(world.random.randint(1, 3))]
            outcome = kept.run()
            with world.open(f"rebuild{n}") as fresh:
                fresh.run()
                assert differences(digests(kept, outcome), digests(fresh)) == [], (n, edits)
            assert not verify(kept.store).findings, (n, edits)
            again = kept.run()
            assert again.changed == [], (n, edits)
            assert set(again.touched.values()) <= {0}


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two nested values differ, a line each."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted({*a, *b}) for d in differences(a.get(k), b.get(k), f"{path}.{k}")]
    return [] if a == b else [f"{path}: {a} is not {b}"]
