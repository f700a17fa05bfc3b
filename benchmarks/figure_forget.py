"""Forgetting by `tillage forget`: one row of 1,000,000; 1,000 subjects in one call; a row behind a model in shards.

One row: from a table, what Maps make of it, and the Folds over that; as a share of a rebuild's CPU. Start-up apart:
off the rebuild is taken a run with nothing to do; the forgetting is measured in its process, a fresh one each time,
from where the plan is read and the store open, before the command's own modules are loaded, to where the receipt is
signed and kept. Told besides: the same without loading those modules; the whole command less one with nothing to forget
(a key that no row has); and less a run with nothing to do. Of each the cheapest of seven: forgettings in a store that
nobody has looked a row up in, each in a copy of its own, and later ones, one after the other.

Shards: the texts of examples/customer-service. Retraining is what a forgetting costs with the model beyond what it
costs without; training is the same of a run; the libraries that a learner loads are taken off both. Judged on four
times the texts (copies with words of others), nearly all to train on: on small data scoring and storing weigh more than
what is learnt; of forgettings, one text after the other, the one in the middle of five. Told besides on the texts as
they are, with a tenth to test on: cost and score, in shards and whole.

Usage: python benchmarks/figure_forget.py [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from child import BENCHMARKS, ROOT, STARTS, Used, least, python, tillage
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
LEARNT = """
from tillage.face.rooms import project
with project(".") as p:
    print(p.report("intent")["shards"]["learnt"])
"""
"""How many shards learnt in the last run."""

SHARDS = 10
WITHOUT, WHOLE, IN_SHARDS, LARGE = "no model", "a whole model", "shards", "four times the texts, shards"
LARGE_WITHOUT = "four times the texts, no model"
MODEL = (
    "models:\n  intent: {learn: {text_classifier: {input: text, target: category%s}}, from: clean, split: {test: %s}}\n"
)
MODELS = {
    WITHOUT: "",
    WHOLE: MODEL % ("", 0.1),
    IN_SHARDS: MODEL % (f", shards: {SHARDS}", 0.1),
    LARGE_WITHOUT: "",
    LARGE: MODEL % (f", shards: {SHARDS}", 0.0001),
}
COPIES, WORDS = 4, 3
"""The larger texts: each once as it is, and in three copies with as many words of others added."""
EACH = 5
"""Texts forgotten in a turn: their shards, and the slices that are learnt again, differ."""
LEARNERS = "import sklearn.svm, sklearn.linear_model, scipy.sparse, threadpoolctl"

BARE = "import numpy"
"""What every command loads."""

NOTHING_MEANT = 66
"""The exit code of a forgetting that finds nothing."""

FIRST, LATER = "the first", "a later one"
SHARE, TIMES, RETRAINED = 2, 5, 15
"""Percent of a rebuild; the cost of all subjects over that of one; percent of training."""


class Rows:
    """One turn: a rebuild, and rows forgotten in the store that it makes, one after the other."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        python(BENCHMARKS / "narrow.py", folder / "data", "--rows", str(rows), "--files", "2")
        (folder / "tillage.yaml").write_text(ROWS)
        self.idle: list[Used] = []
        self.missed: list[Used] = []
        self.looked: list[Used] = []
        self.first: list[Used] = []
        self.later: list[Used] = []
        self.alone: dict[str, list[Used]] = {FIRST: [], LATER: []}
        self.unloaded: dict[str, list[Used]] = {FIRST: [], LATER: []}
        """The same in the process alone: with, and without, loading the modules of the command."""
        self.complete = 0

    def rebuild(self, turn: int) -> Used:
        """From nothing; then the forgettings, and a run that finds nothing left to do."""
        store, kept = self.folder / ".tillage", self.folder / "kept"
        used = tillage("run", cwd=self.folder)
        self.idle.append(least([tillage("run", cwd=self.folder) for _ in range(STARTS)]))
        store.rename(kept)
        keys = range(turn * STARTS, (turn + 1) * STARTS)
        self.first.append(least([self.in_copy(self.command, key) for key in keys]))
        self.measured(FIRST, [self.in_copy(self.process, key) for key in keys])
        shutil.rmtree(kept)
        self.looked.append(forget(self.folder, "readings", "--key", str(self.rows // 4), "--dry-run"))
        self.missed.append(least([self.miss() for _ in range(STARTS)]))
        others = range(self.rows // 2 + 2 * turn * STARTS, self.rows // 2 + 2 * (turn + 1) * STARTS)
        self.later.append(least([self.command(key) for key in others[::2]]))
        self.measured(LATER, [self.process(key) for key in others[1::2]])
        after = json.loads(tillage("run", "--json", cwd=self.folder).out)["tables"]
        self.complete += not any(table["touched"] for table in after.values())
        if after["readings"]["rows"] != (left := self.rows - 1 - 2 * STARTS):
            raise RuntimeError(f"{left:,} rows were to be left, and {after['readings']['rows']:,} are")
        tillage("verify", cwd=self.folder)
        shutil.rmtree(self.folder / ".tillage")
        return used

    def in_copy(self, way: Callable[[int], Used], key: int) -> Used:
        """A row forgotten, one way or the other, in a copy of the store as it was after the rebuild; the copy stays."""
        shutil.rmtree(self.folder / ".tillage", ignore_errors=True)
        shutil.copytree(self.folder / "kept", self.folder / ".tillage")
        return way(key)

    def command(self, key: int) -> Used:
        """A row forgotten by the command."""
        return forget(self.folder, "readings", "--key", str(key), "--yes")

    def process(self, key: int) -> Used:
        """The same in a process that tells what the forgetting alone cost; memory and time are the whole process's."""
        return python(BENCHMARKS / "forget_row.py", self.folder, str(key))

    def measured(self, name: str, used: Iterable[Used]) -> None:
        """Keep the cheapest by what the processes tell."""
        told = [(json.loads(one.out), one) for one in used]
        self.alone[name].append(least([replace(one, cpu=cost["cpu"]) for cost, one in told]))
        self.unloaded[name].append(least([replace(one, cpu=cost["cpu"] - cost["loading"]) for cost, one in told]))

    def miss(self) -> Used:
        """A forgetting that finds nothing."""
        return tillage("forget", "readings", "--key", str(self.rows), "--yes", cwd=self.folder, code=NOTHING_MEANT)

    def share(self, forgotten: Sequence[Used], without: Sequence[Used] | None, rebuilt: Sequence[Used]) -> list[float]:
        """Percent of the rebuild that each forgetting cost, beyond a command that did less where one is given."""
        less = [used.cpu for used in without] if without is not None else [0.0] * len(forgotten)
        turns = zip(forgotten, less, rebuilt, self.idle, strict=True)
        return [100 * (f.cpu - off) / (full.cpu - idle.cpu) for f, off, full, idle in turns]


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


class Texts:
    """The same texts in projects of their own, with and without a model."""

    def __init__(self, folder: Path, quick: bool) -> None:
        lines = (ROOT / "examples" / "customer-service" / "data" / "train.csv").read_text().splitlines()
        self.folder = folder
        self.lines = lines[:1] + lines[1 :: 8 if quick else 1]
        plain = [line for line in self.lines[1:] if line.count(",") == 1 and not {'"', "'"} & set(line)]
        self.named = [line.rpartition(",")[0] for line in plain]
        for name, model in MODELS.items():
            (folder / name / "data").mkdir(parents=True)
            self.lay(folder / name, self.larger() if name in (LARGE, LARGE_WITHOUT) else self.lines)
            (folder / name / "tillage.yaml").write_text(TEXTS + model)
        self.runs: dict[str, list[Used]] = {name: [] for name in MODELS}
        self.forgets: dict[str, list[Used]] = {name: [] for name in MODELS}
        self.scores: dict[str, list[float]] = {IN_SHARDS: [], WHOLE: []}
        self.baseline: list[float] = []
        self.equal = 0
        self.bare: list[Used] = []

    def larger(self) -> list[str]:
        """More texts of the same classes, none of them twice."""
        draw = Random(0)
        words = [word for text in self.named for word in text.split()]
        out = list(self.lines)
        for line in self.lines[1:] * (COPIES - 1):
            text, _, label = line.rpartition(",")
            more = " " + " ".join(draw.choice(words) for _ in range(WORDS))
            out.append(f'{text[:-1]}{more}",{label}' if text.endswith('"') else f"{text}{more},{label}")
        return out

    def lay(self, folder: Path, lines: Sequence[str]) -> None:
        (folder / "data" / "train.csv").write_text("\n".join(lines) + "\n")

    def turn(self, turn: int) -> Used:
        """Everything once; what the libraries cost is returned."""
        for name in MODELS:
            folder = self.folder / name
            shutil.rmtree(folder / ".tillage", ignore_errors=True)
            self.runs[name].append(tillage("run", "--json", cwd=folder))
            if name in self.scores:
                model: dict[str, Any] = json.loads(self.runs[name][-1].out)["models"]["intent"]
                self.scores[name].append(model["metrics"]["accuracy"])
                self.baseline.append(model["baseline"]["accuracy"])
            texts = self.named[7 * turn :][: EACH if name in (LARGE, LARGE_WITHOUT) else 1]
            costs = [forget(folder, "questions", "--where", f"text = '{text}'", "--yes") for text in texts]
            self.forgets[name].append(sorted(costs, key=lambda used: used.cpu)[len(costs) // 2])
            if name in (IN_SHARDS, LARGE) and (learnt := int(python("-c", LEARNT, cwd=folder).out)) != 1:
                raise RuntimeError(f"one shard was to learn again, and {learnt} did: the row is on the test side")
        self.equal += self.as_if_never_seen(self.named[7 * turn])
        self.bare.append(python("-c", BARE))
        return python("-c", LEARNERS)

    def as_if_never_seen(self, text: str) -> bool:
        """Whether the model in shards has the digest of one that learns without the row from the start."""
        folder = self.folder / IN_SHARDS
        was = self.digest(folder)
        self.lay(folder, [line for line in self.lines if not line.startswith(f"{text},")])
        shutil.rmtree(folder / ".tillage")
        now = self.digest(folder)
        self.lay(folder, self.lines)
        return was == now

    def digest(self, folder: Path) -> str:
        """The digest of the model, once it is up to date."""
        return str(json.loads(tillage("run", "--json", "--digest", cwd=folder).out)["models"]["intent"]["digest"])

    def share(self, name: str, loaded: Sequence[Used]) -> list[float]:
        """Percent of training that retraining cost."""
        without_model = LARGE_WITHOUT if name == LARGE else WITHOUT
        libraries = [full.cpu - bare.cpu for full, bare in zip(loaded, self.bare, strict=True)]

        def cost(found: dict[str, list[Used]]) -> list[float]:
            turns = zip(found[name], found[without_model], libraries, strict=True)
            return [with_model.cpu - without.cpu - load for with_model, without, load in turns]

        return [100 * again / once for again, once in zip(cost(self.forgets), cost(self.runs), strict=True)]


def forget(folder: Path, table: str, *words: str) -> Used:
    """`tillage forget`, and its answer as JSON."""
    return tillage("forget", table, *words, "--json", cwd=folder)


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3)
    rows, persons, many = (20_000, 4_000, 50) if given.quick else (1_000_000, 100_000, 1_000)
    figure = Figure("forget", f"One row of {rows:,}, {many:,} subjects, and a model in {SHARDS} shards", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:
        for name in ("rows", "people"):
            (Path(root) / name).mkdir()
        table, people = Rows(Path(root) / "rows", rows), People(Path(root) / "people", rows, persons, many)
        texts = Texts(Path(root) / "texts", given.quick)
        one, several = "one subject forgotten", f"{many:,} subjects forgotten in one call"
        sides = {"rebuild": table.rebuild, one: people.one, several: people.all}
        found = figure.turns({**sides, "libraries of a learner": texts.turn})
    loaded = found.pop("libraries of a learner")
    found |= {"nothing to do": table.idle, "nothing to forget": table.missed, "one row: a dry run": table.looked}
    found |= {f"one row forgotten, {FIRST}": table.first, f"one row forgotten, {LATER}": table.later}
    found |= {f"the forgetting alone, {name}": used for name, used in table.alone.items()}
    for name in MODELS:
        found |= {f"texts, {name}: run": texts.runs[name], f"texts, {name}: one row forgotten": texts.forgets[name]}
    run, erase = "python -m tillage.face.main run", "python -m tillage.face.main forget"
    commands = {name: erase if "forg" in name or "dry run" in name else run for name in found}
    commands["libraries of a learner"] = f"python -c '{LEARNERS}'"
    commands |= {f"the forgetting alone, {name}": "python benchmarks/forget_row.py . KEY" for name in table.alone}
    figure.table({**found, "libraries of a learner": loaded}, commands)
    for name, forgotten in ((FIRST, table.first), (LATER, table.later)):
        share = table.share(table.alone[name], None, found["rebuild"])
        figure.judge(f"one row forgotten, {name}: share of a rebuild's CPU, start-up apart", share, " %", limit=SHARE)
        share = table.share(table.unloaded[name], None, found["rebuild"])
        figure.judge(f"the same, {name}: without loading the command's modules", share, " %", limit=None)
        share = table.share(forgotten, table.missed, found["rebuild"])
        figure.judge(f"the whole command, {name}: beyond one with nothing to forget", share, " %", limit=None)
        share = table.share(forgotten, table.idle, found["rebuild"])
        figure.judge(f"the whole command, {name}: beyond a run with nothing to do", share, " %", limit=None)
    figure.hold("after it a run finds nothing to do", table.complete, len(table.idle))
    times = [a.cpu / o.cpu for a, o in zip(found[several], found[one], strict=True)]
    figure.judge(f"{many:,} subjects in one call, CPU to that of one", times, "x", limit=TIMES)
    retrained = "CPU of retraining as share of training"
    figure.judge(
        f"{SHARDS} shards, {COPIES} times the texts: {retrained}", texts.share(LARGE, loaded), " %", limit=RETRAINED
    )
    figure.judge(f"{SHARDS} shards, scored each time: {retrained}", texts.share(IN_SHARDS, loaded), " %", limit=None)
    figure.judge(f"a whole model, scored each time: {retrained}", texts.share(WHOLE, loaded), " %", limit=None)
    figure.hold(f"{SHARDS} shards: the digest of a model that never saw the row", texts.equal, len(loaded))
    figure.judge(f"{SHARDS} shards: accuracy", texts.scores[IN_SHARDS], "", limit=None)
    figure.judge("a whole model: accuracy", texts.scores[WHOLE], "", limit=None)
    figure.judge("the baseline, the most frequent class: accuracy", texts.baseline, "", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
