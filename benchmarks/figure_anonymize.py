"""Anonymity: what is lost by one level for all rows of a column (`full_domain`) and by cuts at medians (`mondrian`).

A table of people is made here. With `--data DIR` the census income data of 1994 is made anonymous, too (Becker and
Kohavi, UCI "Adult", the training part), by six columns that others may know, with the occupation as what must not be
guessed. k, l and both losses are counted by `anonymity_score.py`, which knows nothing of either way.

Usage: python benchmarks/figure_anonymize.py [--quick] [--repetitions N] [--data DIR] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, arguments, ratios

PLAN = """\
project: people
tables:
  people: {{collect: {{files: data/people.csv}}, key: id}}
  open:
    from: people
    steps:
      - anonymize: {{columns: {columns}, k: {k}, sensitive: [occupation], l: 2, method: {method}}}
"""
EDUCATION = {
    "school": {
        "early": ["Preschool", "1st-4th", "5th-6th", "7th-8th"],
        "high": ["9th", "10th", "11th", "12th"],
    },
    "graduate": ["HS-grad", "Some-college"],
    "vocational": ["Assoc-voc", "Assoc-acdm"],
    "degree": {"first": ["Bachelors"], "higher": ["Masters", "Doctorate", "Prof-school"]},
}
MARRIAGE = {
    "married": ["Married-civ-spouse", "Married-AF-spouse", "Married-spouse-absent"],
    "alone": ["Never-married", "Divorced", "Separated", "Widowed"],
}
CENSUS: dict[str, dict[str, Any]] = {
    "age": {"ranges": [5, 10, 20]},
    "education": {"tree": EDUCATION},
    "marital_status": {"tree": MARRIAGE},
    "race": {},
    "sex": {},
    "native_country": {},
}
METHODS = ("full_domain", "mondrian")


def made(path: Path, count: int) -> None:
    """People: skewed ages, frequent and rare schools and countries, jobs that go with age."""
    drawn = random.Random(7)
    schools = [value for part in EDUCATION["school"].values() for value in part]  # type: ignore[attr-defined]
    with path.open("w", newline="", encoding="utf-8") as out:
        write = csv.writer(out)
        write.writerow(["id", *CENSUS, "occupation"])
        for n in range(count):
            age = min(90, 17 + int(drawn.expovariate(1 / 22)))
            school = drawn.choice(
                [*schools, *["HS-grad", "Some-college"] * 6, *["Bachelors"] * 5, "Masters", "Doctorate"]
            )
            state = drawn.choice(MARRIAGE["married"] if age > 27 else MARRIAGE["alone"])
            country = drawn.choice(["here"] * 20 + [f"land{int(drawn.expovariate(0.2))}"])
            job = drawn.choice(["clerk", "sales", "craft", "farm"] + ["manager"] * (age > 40) * 3)
            write.writerow([n, age, school, state, drawn.choice("AAAAAABC"), drawn.choice("mf"), country, job])


def adult(given: Path, path: Path) -> None:
    """The training part, its columns named as in a plan."""
    with gzip.open(given / "adult-census-income" / "adult_train.csv.gz", "rt", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file, skipinitialspace=True))
    names = [name.strip().replace("-", "_").replace(".", "_") for name in header]
    at = [names.index(name) for name in (*CENSUS, "occupation")]
    with path.open("w", newline="", encoding="utf-8") as out:
        write = csv.writer(out)
        write.writerow(["id", *CENSUS, "occupation"])
        write.writerows([n, *(row[k].strip() for k in at)] for n, row in enumerate(rows) if row)


class Side:
    """A table made anonymous in one way."""

    def __init__(self, root: Path, table: Path, method: str, k: int) -> None:
        self.root = root
        (root / "data").mkdir(parents=True)
        shutil.copy(table, root / "data" / "people.csv")
        plan = PLAN.format(columns=json.dumps(CENSUS), k=k, method=method)
        (root / "tillage.yaml").write_text(plan)

    def run(self, _: int) -> Used:
        """Everything anew."""
        shutil.rmtree(self.root / ".tillage", ignore_errors=True)
        return tillage("run", cwd=self.root)

    def score(self) -> dict[str, Any]:
        """What `anonymity_score.py` counts."""
        trees = json.dumps({name: how.get("tree") for name, how in CENSUS.items()})
        counted = python(BENCHMARKS / "anonymity_score.py", self.root, "people", "open", "occupation", trees)
        said: dict[str, Any] = json.loads(counted.out)
        return said


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data="adult-census-income")
    count = 2_000 if given.quick else 30_000
    figure = Figure("anonymize", "Anonymity: one level a column, and Mondrian", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as folder:
        root = Path(folder)
        made(root / "people.csv", count)
        tables: dict[str, tuple[Path, tuple[int, ...]]] = {f"{count:,} people made here": (root / "people.csv", (5,))}
        if given.data is not None:
            adult(given.data, root / "adult.csv")
            tables["adult"] = (root / "adult.csv", (5, 25))
        sides: dict[str, tuple[str, int, str, Side]] = {}
        for what, (path, ks) in tables.items():
            for k in ks:
                for method in METHODS:
                    name = f"{what}, k = {k}, {method}"
                    sides[name] = (what, k, method, Side(root / f"side{len(sides)}", path, method, k))
        found = figure.turns({name: side.run for name, (*_, side) in sides.items()})
        figure.table(found, dict.fromkeys(found, "python -m tillage.face.main run"))
        figure.say()
        figure.say("| table | k asked | method | k | l | rows that left | classes | discernibility | NCP |")
        figure.say("|---|---|---|---|---|---|---|---|---|")
        scores = {}
        for what, k, method, side in sides.values():
            said = scores[what, k, method] = side.score()
            counts = " | ".join(f"{said[key]:,}" for key in ("k", "l", "left", "classes", "discernibility"))
            figure.say(f"| {what} | {k} | {method} | {counts} | {said['ncp']:.4f} |")
        figure.hold(
            "k and l on every class", sum(s["k"] >= k and s["l"] >= 2 for (_, k, _), s in scores.items()), len(scores)
        )
        for what, k in dict.fromkeys((what, k) for what, k, _ in scores):
            full, cut = (scores[what, k, method] for method in METHODS)
            for loss, label in (("ncp", "NCP"), ("discernibility", "discernibility")):
                share = [100 * cut[loss] / full[loss]]
                figure.judge(f"{what}, k = {k}: {label} of that by full_domain", share, " %", limit=50, sized=False)
            times = ratios(found[f"{what}, k = {k}, mondrian"], found[f"{what}, k = {k}, full_domain"])
            figure.judge(f"{what}, k = {k}: CPU of that by full_domain", times, "", limit=None)
    if given.data is None:
        figure.say()
        figure.say("adult was left out: `--data DIR` names the folder of adult-census-income.")
    figure.close()


if __name__ == "__main__":
    main()
