"""Forgetting by `tillage forget`: one row of 1,000,000; 1,000 subjects in one call; a row behind models in shards.

One row: from a table, what Maps make of it, and the Folds over that; as a share of a rebuild's CPU. Start-up apart: a
run with nothing to do is taken off both. The first forgetting in a store also builds the index by which rows are found.

Shards: the texts of examples/customer-service, and a table of numbers; a tenth of the rows to test on. Retraining is
what a forgetting costs with the model beyond what it costs without, evaluation and storing included; training is the
same of a run; the libraries that a learner loads are taken off both. The scores are of one split, in shards and whole.

Usage: python benchmarks/figure_forget.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from child import BENCHMARKS, ROOT, Used, python, tillage
from figure import Figure, arguments

ROWS = """\
project: rows
tables:
  readings: {collect: {files: data/*.parquet}, key: id}
  clean:
    from: readings
    steps:
      - derive: {columns: {fahrenheit: "value * 1.8 + 32"}}
      - filter: "load >= 0.02"
    expect:
      - {column: count, min: 0}
      - {column: sensor, not_null: true}
"""

PEOPLE = """\
project: people
tables:
  readings: {collect: {files: data/*.parquet}, key: id, subject: person}
  clean:
    from: readings
    steps:
      - derive: {columns: {fahrenheit: "value * 1.8 + 32"}}
      - filter: "load >= 0.02"
    expect: [{column: load, min: 0}]
"""

TEXTS = """\
project: texts
tables:
  questions: {collect: {files: data/train.csv}}
  clean:
    from: questions
    steps:
      - normalize: {columns: [text]}
      - drop_duplicates: {columns: [text]}
"""
TABLE = """\
project: table
tables:
  readings: {collect: {files: data/*.parquet}, key: id}
  clean: {from: readings, steps: [{derive: {columns: {label: "if(value + count * load > 40, 'high', 'low')"}}}]}
"""
DROP = """
import sys, polars as pl
file, key = sys.argv[1:]
rows = pl.read_parquet(file)
rows.filter(rows["id"] != int(key)).write_parquet(file)
"""
LEARNT = """
from tillage.face.rooms import project
with project(".") as p:
    print(p.report("m")["shards"]["learnt"])
"""
"""How many shards learnt in the last run."""

TRAINING = (1, 2, 3, 4, 5)
"""Keys of the table on the training side of the split."""

SHARDS = 10
LEARNERS = "import sklearn.svm, sklearn.linear_model, scipy.sparse, threadpoolctl"

BARE = "import numpy"
"""What every command loads."""

SHARE, TIMES, RETRAINED = 2, 5, 15
"""Percent of a rebuild; the cost of all subjects over that of one; percent of training."""


class Rows:
    """One turn: a rebuild, and two rows forgotten in the store that it makes, one after the other."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        python(BENCHMARKS / "narrow.py", folder / "data", "--rows", str(rows), "--files", "2")
        (folder / "tillage.yaml").write_text(ROWS)
        self.idle: list[Used] = []
        self.looked: list[Used] = []
        self.first: list[Used] = []
        self.later: list[Used] = []
        self.complete = 0

    def rebuild(self, turn: int) -> Used:
        """From nothing; then the forgettings, and a run that finds nothing left to do."""
        used = tillage("run", cwd=self.folder)
        self.idle.append(tillage("run", cwd=self.folder))
        self.looked.append(forget(self.folder, "readings", "--key", str(turn), "--dry-run"))
        self.first.append(forget(self.folder, "readings", "--key", str(turn), "--yes"))
        self.later.append(forget(self.folder, "readings", "--key", str(self.rows // 2 + turn), "--yes"))
        after = json.loads(tillage("run", "--json", cwd=self.folder).out)["tables"]
        self.complete += not any(table["touched"] for table in after.values())
        if after["readings"]["rows"] != self.rows - 2:
            raise RuntimeError(f"{self.rows - 2:,} rows were to be left, and {after['readings']['rows']:,} are")
        tillage("verify", cwd=self.folder)
        shutil.rmtree(self.folder / ".tillage")
        return used

    def share(self, forgotten: Sequence[Used], rebuilt: Sequence[Used]) -> list[float]:
        """Percent of the rebuild that each forgetting cost."""
        turns = zip(forgotten, rebuilt, self.idle, strict=True)
        return [100 * (f.cpu - idle.cpu) / (full.cpu - idle.cpu) for f, full, idle in turns]


class People:
    """Stores that are alike: in one a subject is forgotten, in another many, in one call each."""

    def __init__(self, folder: Path, rows: int, persons: int, many: int) -> None:
        self.folder, self.many = folder, many
        python(BENCHMARKS / "people.py", folder / "data", "--rows", str(rows), "--persons", str(persons))
        (folder / "tillage.yaml").write_text(PEOPLE)
        tillage("run", cwd=folder)
        forget(folder, "readings", "--subject", "0", "--yes")  # the index by which rows are found
        (folder / ".tillage").rename(folder / "kept")

    def subjects(self, first: int, count: int) -> Used:
        shutil.copytree(self.folder / "kept", self.folder / ".tillage")
        named = [word for n in range(first, first + count) for word in ("--subject", str(n))]
        used = forget(self.folder, "readings", *named, "--yes")
        if json.loads(used.out)["subjects"] != count:
            raise RuntimeError(f"{count} subjects were to be forgotten: {used.out[:500]}")
        shutil.rmtree(self.folder / ".tillage")
        return used

    def one(self, turn: int) -> Used:
        """One subject."""
        return self.subjects(1 + turn, 1)

    def all(self, turn: int) -> Used:
        """Many in one call."""
        return self.subjects(100 + turn * self.many, self.many)


class Models:
    """The same data in projects of their own: without a model, with one in shards, with one that is whole."""

    def __init__(self, folder: Path, tables: str, table: str, learn: str) -> None:
        """`learn`: the learner in flow style, to which shards are added."""
        self.folder, self.table = folder, table
        for name, more in (("tables", None), ("shards", f", shards: {SHARDS}}}}}"), ("whole", "}}")):
            (folder / name).mkdir(parents=True)
            self.lay(folder / name / "data")
            model = (
                "" if more is None else f"models:\n  m: {{learn: {learn}{more}, from: clean, split: {{test: 0.1}}}}\n"
            )
            (folder / name / "tillage.yaml").write_text(tables + model)
        self.runs: dict[str, list[Used]] = {"tables": [], "shards": [], "whole": []}
        self.forgets: dict[str, list[Used]] = {"tables": [], "shards": [], "whole": []}
        self.scores: dict[str, list[float]] = {"shards": [], "whole": []}
        self.baseline: list[float] = []
        self.equal = 0
        self.bare: list[Used] = []

    def lay(self, data: Path) -> None:
        """Write the data."""
        raise NotImplementedError

    def question(self, turn: int) -> tuple[str, str]:
        """The option that names one row, and its value."""
        raise NotImplementedError

    def without(self, data: Path, turn: int) -> None:
        """Take that row out of the data."""
        raise NotImplementedError

    def turn(self, turn: int) -> Used:
        """Everything once; what the libraries cost is returned."""
        for name, runs in self.runs.items():
            folder = self.folder / name
            shutil.rmtree(folder / ".tillage", ignore_errors=True)
            runs.append(tillage("run", "--json", cwd=folder))
            if name in self.scores:
                model: dict[str, Any] = json.loads(runs[-1].out)["models"]["m"]
                self.scores[name].append(model["metrics"]["accuracy"])
                self.baseline.append(model["baseline"]["accuracy"])
            self.forgets[name].append(forget(folder, self.table, *self.question(turn), "--yes"))
            if name == "shards" and (learnt := int(python("-c", LEARNT, cwd=folder).out)) != 1:
                raise RuntimeError(f"one shard was to learn again, and {learnt} did: the row is on the test side")
        self.equal += self.as_if_never_seen(turn)
        self.bare.append(python("-c", BARE))
        return python("-c", LEARNERS)

    def as_if_never_seen(self, turn: int) -> bool:
        """Whether the model in shards has the digest of one that learns without the row from the start."""
        folder = self.folder / "shards"
        was = self.digest(folder)
        (folder / "data").rename(folder / "kept")
        shutil.copytree(folder / "kept", folder / "data")
        self.without(folder / "data", turn)
        shutil.rmtree(folder / ".tillage")
        now = self.digest(folder)
        shutil.rmtree(folder / "data")
        (folder / "kept").rename(folder / "data")
        return was == now

    def digest(self, folder: Path) -> str:
        """The digest of the model, once it is up to date."""
        return str(json.loads(tillage("run", "--json", "--digest", cwd=folder).out)["models"]["m"]["digest"])

    def share(self, name: str, loaded: Sequence[Used]) -> list[float]:
        """Percent of training that retraining cost."""
        libraries = [full.cpu - bare.cpu for full, bare in zip(loaded, self.bare, strict=True)]

        def cost(found: dict[str, list[Used]]) -> list[float]:
            turns = zip(found[name], found["tables"], libraries, strict=True)
            return [with_model.cpu - without.cpu - load for with_model, without, load in turns]

        return [100 * again / once for again, once in zip(cost(self.forgets), cost(self.runs), strict=True)]


class Texts(Models):
    """Questions of customers, 77 classes."""

    def __init__(self, folder: Path, quick: bool) -> None:
        lines = (ROOT / "examples" / "customer-service" / "data" / "train.csv").read_text().splitlines()
        self.lines = lines[:1] + lines[1 :: 8 if quick else 1]
        plain = [line for line in self.lines[1:] if line.count(",") == 1 and not {'"', "'"} & set(line)]
        self.named = [line.rpartition(",")[0] for line in plain]
        super().__init__(folder, TEXTS, "questions", "{text_classifier: {input: text, target: category")

    def lay(self, data: Path) -> None:
        data.mkdir()
        (data / "train.csv").write_text("\n".join(self.lines) + "\n")

    def question(self, turn: int) -> tuple[str, str]:
        return "--where", f"text = '{self.named[7 * turn]}'"

    def without(self, data: Path, turn: int) -> None:
        kept = [line for line in self.lines if not line.startswith(f"{self.named[7 * turn]},")]
        (data / "train.csv").write_text("\n".join(kept) + "\n")


class Table(Models):
    """Readings of five columns, two classes."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.rows = rows
        columns = "[sensor, value, load, status, count]"
        super().__init__(folder, TABLE, "readings", f"{{tabular_classifier: {{input: {columns}, target: label")

    def lay(self, data: Path) -> None:
        python(BENCHMARKS / "narrow.py", data, "--rows", str(self.rows), "--files", "1")

    def question(self, turn: int) -> tuple[str, str]:
        return "--key", str(TRAINING[turn % len(TRAINING)])

    def without(self, data: Path, turn: int) -> None:
        [file] = data.iterdir()
        python("-c", DROP, file, self.question(turn)[1])


def forget(folder: Path, table: str, *words: str) -> Used:
    """`tillage forget`, and its answer as JSON."""
    return tillage("forget", table, *words, "--json", cwd=folder)


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3)
    rows, persons, many = (20_000, 4_000, 50) if given.quick else (1_000_000, 100_000, 1_000)
    figure = Figure("forget", f"One row of {rows:,}, {many:,} subjects, and models in {SHARDS} shards", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        for name in ("rows", "people"):
            (Path(root) / name).mkdir()
        table, people = Rows(Path(root) / "rows", rows), People(Path(root) / "people", rows, persons, many)
        texts, numbers = Texts(Path(root) / "texts", given.quick), Table(Path(root) / "table", rows // 5)
        models: dict[str, Models] = {"texts": texts, f"table of {rows // 5:,}": numbers}
        one, several = "one subject forgotten", f"{many:,} subjects forgotten in one call"
        sides = {"rebuild": table.rebuild, one: people.one, several: people.all}
        found = figure.turns({**sides, **{f"libraries, {name}": model.turn for name, model in models.items()}})
    libraries = {name: found.pop(f"libraries, {name}") for name in models}
    found |= {"nothing to do": table.idle, "one row: a dry run": table.looked}
    found |= {"one row forgotten, the first": table.first, "one row forgotten, a later one": table.later}
    for name, model in models.items():
        for kind, said in (("tables", "no model"), ("shards", f"{SHARDS} shards"), ("whole", "whole model")):
            found |= {f"{name}, {said}: run": model.runs[kind], f"{name}, {said}: forgotten": model.forgets[kind]}
    run, erase = "python -m tillage.face.main run", "python -m tillage.face.main forget"
    commands = {name: erase if "forgotten" in name or "dry run" in name else run for name in found}
    found["libraries of a learner"] = [used for each in libraries.values() for used in each]
    commands["libraries of a learner"] = f"python -c '{LEARNERS}'"
    figure.table(found, commands)
    for name, forgotten in (("the first", table.first), ("a later one", table.later)):
        share = table.share(forgotten, found["rebuild"])
        figure.judge(f"one row forgotten, {name}: share of a rebuild's CPU, start-up apart", share, " %", limit=SHARE)
    figure.hold("after it a run finds nothing to do", table.complete, len(table.idle))
    times = [a.cpu / o.cpu for a, o in zip(found[several], found[one], strict=True)]
    figure.judge(f"{many:,} subjects in one call, CPU to that of one", times, "x", limit=TIMES)
    for name, model in models.items():
        share = model.share("shards", libraries[name])
        figure.judge(f"{name}, {SHARDS} shards: CPU of retraining as share of training", share, " %", limit=RETRAINED)
        whole = model.share("whole", libraries[name])
        figure.judge(f"{name}, whole model: the same", whole, " %", limit=None)
        figure.hold(f"{name}, {SHARDS} shards: the digest of a model that never saw the row", model.equal, len(whole))
        figure.judge(f"{name}, {SHARDS} shards: accuracy", model.scores["shards"], "", limit=None)
        figure.judge(f"{name}, whole model: accuracy", model.scores["whole"], "", limit=None)
        figure.judge(f"{name}: accuracy of the baseline", model.baseline, "", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
