"""A person with unique tokens in every source and every place that a token may reach; and a scanner for them.

`Scene(root)` makes two folders with the same history: one with the person, one that never saw them.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.flow.world import KEY

from tillage.core.keys import Keyring
from tillage.face.page import write_report
from tillage.face.rooms import project
from tillage.flow.plan import Service
from tillage.flow.run import Outcome, Project
from tillage.flow.score import Answers
from tillage.serve.predictions import PredictionLog
from tillage.serve.service import Served
from tillage.store.frames import is_frame

TOKEN = "zqxcanary"
"""All that is the person's begins so, in any case."""

PERSON = f"{TOKEN}person"

PLAN = """\
project: canary
tables:
  people: {collect: {files: {path: "people/*.csv", types: {n: int64}}}, key: id, subject: person, max_quarantine: 1}
  visits: {collect: {files: "visits/*.jsonl"}, subject: person, max_quarantine: 1}
  letters: {collect: {files: "letters/*.csv"}, key: id, max_quarantine: 1}
  clean:
    from: people
    steps:
      - normalize: {columns: [text]}
      - fill_missing: {columns: [town], with: most_frequent}
      - drop_duplicates: {columns: [text], keep: {first: name}}
    expect:
      - {column: id, not_null: true}
    profile: true
  plain: {from: people, steps: [{normalize: {columns: [text]}}, {drop_duplicates: {columns: [text]}}]}
  alike: {from: people, steps: [{drop_duplicates: {columns: [text], similarity: 0.5}}]}
  words: {from: visits, steps: [{reference.Words: {column: text}}]}
  towns: {from: plain, steps: [{aggregate: {by: [kind], columns: {rows: count(), last: max(name), n: sum(n)}}}]}
  large: {from: towns, steps: [{filter: "rows > 2"}, {aggregate: {by: [rows], columns: {who: max(last)}}}]}
  beside: {from: {left: people, right: towns}, steps: [{reference.Joined: {on: kind, take: [rows, last]}}]}
  ranked: {from: people, steps: [{reference.Ranked: {column: name, most: 9}}]}
  level: {from: people, steps: [{reference.Drift: {column: n, rate: 0.5}}]}
  both: {from: [words, plain], steps: [{select: {columns: [text, person]}}]}
models:
  bayes: {learn: naive_bayes, from: plain, input: text, target: kind, split: {test: 0.3}}
  texts: {learn: text_classifier, from: clean, input: text, target: kind, split: {test: 0.3}}
  shards: {learn: {text_classifier: {input: text, target: kind, shards: 3}}, from: clean, split: {test: 0.3}}
  slices:
    from: plain
    learn: {tabular_classifier: {input: [text, name, n], target: kind, shards: 2, slices: 3}}
    split: {test: 0.3}
"""

KINDS = ("red", "blue", "green")
TOWNS = ("ulm", "rome", "bonn", "lyon", "graz")


def person(n: int, text: str, **other: Any) -> dict[str, Any]:
    """A row of the person."""
    row = {"id": f"{TOKEN}{n}", "person": PERSON, "name": f"{TOKEN}name{n % 3}", "text": text}
    return {**row, "town": f"{TOKEN}town", "kind": f"{TOKEN}kind" if n % 2 else "red", "n": 100 + n, **other}


def somebody(n: int, text: str = "") -> dict[str, Any]:
    """A row of somebody else."""
    row = {"id": f"p{n}", "person": f"someone{n % 7}", "name": f"name{n % 5}", "text": text or f"word{n % 11} of {n}"}
    town = "" if n % 4 == 0 else TOWNS[n % 5]
    return {**row, "town": town, "kind": KINDS[n % 3], "n": n}


class Folder:
    """One of the two worlds; `seen`: whether the person is in it."""

    def __init__(self, root: Path, *, seen: bool) -> None:
        self.root, self.seen = root, seen
        for name in ("people", "visits", "letters"):
            (root / name).mkdir(parents=True)
        (root / "tillage.yaml").write_text(PLAN)
        shutil.copy(Path(__file__).parents[1] / "laws" / "reference.py", root / "reference.py")

    def csv(self, name: str, rows: list[dict[str, Any]], bad: tuple[str, ...] = ()) -> None:
        mine = [r for r in rows if self.seen or r["person"] != PERSON]
        columns = ("id", "person", "name", "text", "town", "kind", "n")
        lines = [",".join(columns), *(",".join(str(r[c]) for c in columns) for r in mine)]
        lines += [line for line in bad if self.seen or TOKEN not in line]
        (self.root / name).write_text("\n".join(lines) + "\n")

    def jsonl(self, name: str, rows: list[dict[str, Any]], bad: tuple[str, ...] = ()) -> None:
        mine = [json.dumps(r) for r in rows if self.seen or r["person"] != PERSON]
        mine += [line for line in bad if self.seen or TOKEN not in line]
        (self.root / name).write_text("\n".join(mine) + "\n")

    def open(self) -> Project:
        return project(self.root)

    def live(self) -> Outcome:
        """Three runs: all is there, things change, more comes."""
        others = [somebody(n) for n in range(60)]
        twins = [somebody(200 + n, f"the same text {n}") for n in range(6)]
        own = [person(n, f"{TOKEN}text{n} said {TOKEN}word") for n in range(9)]
        own += [person(20 + n, f"the same text {n}") for n in range(6)]
        own += [person(40 + n, f"{TOKEN}twin") for n in range(3)]
        bad = (
            f"{TOKEN}77,{PERSON},short {TOKEN}row",
            f"{TOKEN}78,{PERSON},x,y,z,red,{TOKEN}nan",
            "p999,someone1,short",
        )
        self.csv("people/a.csv", [*others[:40], *own, *twins], bad)
        self.csv("people/b.csv", [*others[40:], person(0, f"{TOKEN}text again")])
        visit = [{"person": f"someone{n}", "text": f"a visit of {n}"} for n in range(12)]
        mine = [{"person": PERSON, "text": f"{TOKEN}saw {TOKEN}heard"}, {"person": PERSON, "text": "a visit of 3"}]
        self.jsonl("visits/v.jsonl", [*visit[:6], *mine, *visit[6:]], (f'{{"person": "{PERSON}", "text": NaN}}',))
        self.csv("letters/l.csv", [somebody(300 + n) for n in range(5)])
        with self.open() as p:
            p.run()
            write_report(p, p.summary())
            self.csv(
                "people/a.csv",
                [*others[:40], *(o | {"text": f"{TOKEN}newtext"} for o in own[:4]), *own[4:], *twins],
                bad,
            )
            self.jsonl("visits/w.jsonl", [{"person": PERSON, "text": f"{TOKEN}more"}, *visit[:2]])
            p.run()
            self.csv("people/c.csv", [somebody(400 + n) for n in range(9)] + [person(60, f"{TOKEN}late")])
            outcome = p.run()
            write_report(p, p.summary(outcome))
            self.serve(p)
            return outcome

    def serve(self, p: Project) -> None:
        """A server's log: part of it in the store, part of it in a segment that a killed server left."""
        loaded = Served(p, Service(name="bayes", model="bayes", table="people")).now
        assert (loaded.linkage.key, loaded.linkage.subjects) == (("id",), ("person",))
        table = PredictionLog(p.store)
        mine: list[dict[str, Any]] = [
            {"id": f"{TOKEN}1", "person": None},
            {"id": None, "person": PERSON},
            {"id": f"{TOKEN}new", "person": PERSON},
        ]
        theirs: list[dict[str, Any]] = [
            {"id": "p3", "person": "someone3"},
            {"id": None, "person": None},
            {"id": "p999", "person": "nobody"},
        ]
        for _ in range(2):
            for asked in [*(mine if self.seen else []), *theirs]:
                own = asked in mine
                names = table.ids.new(1)
                columns = {c: [asked.get(c)] for c in loaded.schema}
                table.add(loaded, columns, Answers([f"{TOKEN}told" if own else "red"], [0.5], [None]), names, 0.001)
                table.label([(names[0], f"{TOKEN}truth" if own else "blue")]).result(5)
            if self.seen:  # a class that the model knows by the person alone
                columns = {c: [theirs[0].get(c)] for c in loaded.schema}
                table.add(loaded, columns, Answers([f"{TOKEN}kind"], None, [None]), table.ids.new(1), 0.001)
            table.roll() if _ == 0 else table.log.close()


# -- the scanner ------------------------------------------------------------------------------------------------------


def scan(root: Path) -> list[str]:
    """Every place in a store where a token of the person stands, in any case."""
    found = [f"name of {p.name}" for p in root.rglob("*") if TOKEN in p.name.lower()]
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if is_frame(path.name):
            found += [f"{path.name}: {where}" for where in _rows(path.name, data)]
        elif TOKEN.encode() in data.lower():
            found.append(path.name)
    with sqlite3.connect(root / "catalog.db") as db:
        for name, data in db.execute("SELECT name, data FROM small").fetchall():
            if is_frame(name):
                found += [f"{name}: {where}" for where in _rows(name, data)]
            elif TOKEN.encode() in bytes(data).lower():
                found.append(name)
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f"SELECT * FROM {table}"):
                if TOKEN in repr(row).lower():
                    found.append(f"catalog table {table}")
    db.close()
    return found


def _rows(name: str, data: bytes) -> Iterator[str]:
    frame = pl.read_parquet(BytesIO(data)) if name.endswith("parquet") else pl.read_ipc_stream(BytesIO(data))
    for column in frame.columns:
        for value in frame[column].to_list():
            if TOKEN in str(value).lower():
                yield column
                break
    if "raw" in frame.columns:
        keys = AESGCM(Keyring(KEY).subkey("quarantine"))
        for row in frame.iter_rows(named=True):
            if any(TOKEN in text.lower() for text in _opened(keys, row)):
                yield "raw"
                break


def _opened(keys: AESGCM, row: dict[str, Any]) -> Iterator[str]:
    """The record, under whatever table it was sealed."""
    for table in ("people", "visits", "letters"):
        place = f"{table}\n{row['_object']}\n{row['record']}".encode()
        try:
            yield keys.decrypt(row["raw"][:12], row["raw"][12:], place).decode("utf-8", "replace")
        except InvalidTag:
            continue
