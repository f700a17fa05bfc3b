"""How well tables are learnt without being told how, and for how many CPU seconds.

`auto` beside `linear` and `boosted_trees`: it must come within 0.01 of the better one's ROC AUC. On adult (the
publisher's test part) and ai4i (five folds) also within the seconds that are asked for: a fiftieth of what AutoGluon's
medium_quality took for an AUC of 0.929 (121 s) and 0.980 (83 s). Seconds are those of learning, once the libraries are
loaded, which is 1.5 s more in a process of its own.

With `--peers DIR` AutoGluon itself learns beside ours from the same rows and columns, each with one thread, on adult,
ai4i and three sets in order of time (`table_beside.py`), in the environment `DIR/autogluon`, which `--make-peers` makes
with pip; there is no torch in it, so AutoGluon leaves its neural networks out. Ours must score no worse than the worse
end of the 95 % bootstrap interval of AutoGluon's score on the held-out rows, at a fiftieth of its CPU seconds; the
interval of the difference, row by row, is told besides. AutoGluon takes minutes a set and learns once: `--answers DIR`
keeps what it said, and asks again only where the rows or `table_autogluon.py` are others.

Usage: python benchmarks/figure_tables.py [--data DIR] [--peers DIR [--make-peers]] [--answers DIR] [--quick]
           [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import tempfile
import venv
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from child import Used, python, run
from figure import Figure, parser_of, settled

HERE = Path(__file__).parent
MODELS = ("auto", "linear", "boosted_trees")
NEAR = 0.01
LIMITS = {"adult": (0.927, 121 / 50), "ai4i": (0.980, 83 / 50)}
FILES = {
    "adult": "adult-census-income/adult_train.csv.gz",
    "ai4i": "ai4i-2020-predictive-maintenance/ai4i2020.csv",
    "heart": "uci-heart-disease-cleveland/heart_cleveland.csv",
    "pima": "pima-indians-diabetes/pima.csv",
    "breast-cancer": "uci-breast-cancer-wisconsin-original/breast_cancer_wisconsin.csv",
}
BESIDE = {
    **{name: FILES[name] for name in ("adult", "ai4i")},
    "elec2": "elec2-drift/elec.csv.gz",
    "beijing": "beijing-pm25-hourly/pollution.csv.gz",
    "metro": "metro-interstate-traffic/metro.parquet",
}
"""What AutoGluon learns too."""

PACKAGE = "autogluon.tabular[lightgbm,catboost,xgboost]"
ONE = ("env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "POLARS_MAX_THREADS=1")
NAMES = {"roc_auc": "ROC AUC", "rmse": "RMSE"}


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__, repetitions=3)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the sets; without it they are left out")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder of AutoGluon's environment")
    parser.add_argument("--make-peers", action="store_true", help="make it if it is missing, by pip")
    parser.add_argument("--answers", type=Path, metavar="DIR", help="where AutoGluon's answers are kept")
    given = settled(parser, repetitions=3)
    if given.make_peers and given.peers is None:
        parser.error("--make-peers needs --peers DIR")
    if given.make_peers and not (given.peers / "autogluon").exists():
        venv.create(given.peers / "autogluon", with_pip=True)
        run([str((given.peers / "autogluon" / "bin" / "pip").absolute()), "install", "--quiet", PACKAGE])
    figure = Figure("tables", "Tables learnt without being told how", given)
    rows = "1000" if given.quick else "8000"
    there = [name for name, file in FILES.items() if given.data and (given.data / file).is_file()]
    if len(there) < len(FILES):
        figure.say()
        figure.say(
            f"Not measured, since not in DIR (give --data DIR): {', '.join(f for f in FILES if f not in there)}."
        )
    sides = {f"{name}: {model}": (name, model) for name in (*there, "crossed", "straight") for model in MODELS}
    said: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}

    def score(side: str) -> Used:
        used = python(HERE / "table_score.py", *sides[side], rows, *([given.data] if given.data else []))
        said[side].append(json.loads(used.out))
        return used

    found = figure.turns({side: (lambda _, side=side: score(side)) for side in sides})
    commands = {s: f"python benchmarks/table_score.py {n} {m} {rows} DIR" for s, (n, m) in sides.items()}
    interpreter = given.peers / "autogluon" / "bin" / "python" if given.peers else None
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as temporary:
        beside = Beside(figure, (given.answers or Path(temporary)).resolve(), given.data)
        if interpreter is None or not interpreter.exists():
            figure.say()
            figure.say("Not compared, for want of an environment: AutoGluon (`--peers DIR --make-peers`).")
        else:
            for name in [name for name, file in BESIDE.items() if given.data and (given.data / file).is_file()]:
                beside.measure(name, interpreter.absolute())
        figure.table(found | beside.found, commands | beside.commands)
        beside.tell()
    judge(figure, said, there)
    figure.close()


def judge(figure: Figure, said: dict[str, list[dict[str, Any]]], there: list[str]) -> None:
    """`auto` beside the models that it chooses from."""
    for name in (*there, "crossed", "straight"):
        auc = {model: said[f"{name}: {model}"][0]["auc"] for model in MODELS}
        best = max(auc["linear"], auc["boosted_trees"])
        told = f"{name}: ROC AUC of auto (linear {auc['linear']:.4f}, boosted trees {auc['boosted_trees']:.4f})"
        figure.judge(told, [auc["auto"]], "", limit=round(best - NEAR, 4), at_least=True, sized=False)
        seconds = [one["cpu"] for one in said[f"{name}: auto"]]
        if name in LIMITS:
            least, most = LIMITS[name]
            figure.judge(f"{name}: ROC AUC of auto", [auc["auto"]], "", limit=least, at_least=True, sized=False)
            figure.judge(f"{name}: auto, CPU seconds of learning", seconds, " s", limit=most)
        else:
            figure.judge(f"{name}: auto, CPU seconds of learning", seconds, " s", limit=None)
        chosen = said[f"{name}: auto"][0]["model"]
        figure.judge(
            f"{name}: folds for which auto chose boosted trees", [chosen.count("boosted_trees")], "", limit=None
        )


class Beside:
    """AutoGluon and ours on the same rows, set by set."""

    def __init__(self, figure: Figure, folder: Path, data: Path | None) -> None:
        self.figure, self.folder, self.data = figure, folder, data
        self.found: dict[str, list[Used]] = {}
        self.commands: dict[str, str] = {}
        self.lines: list[str] = []

    def measure(self, name: str, interpreter: Path) -> None:
        """Make the rows, let both learn, compare and judge."""
        folder, quick = self.folder / name, self.figure.given.quick
        python(HERE / "table_beside.py", "parts", name, folder, self.data or "", *(["1000"] if quick else []))
        ours = []
        for _ in range(self.figure.given.repetitions):
            ours.append(run([*ONE, sys.executable, str(HERE / "table_beside.py"), "learn", str(folder)]))
            self.figure.note(f"{name}: {ours[-1].out.strip()}")
        theirs, at = self.answer(folder, interpreter)
        self.found |= {f"{name}: ours": ours, f"{name}: AutoGluon": [theirs]}
        self.commands[f"{name}: ours"] = f"python benchmarks/table_beside.py learn {name}"
        self.commands[f"{name}: AutoGluon"] = f"python benchmarks/table_autogluon.py {name}"
        compared = json.loads(python(HERE / "table_beside.py", "compare", folder).out)
        self.judge(name, ours, theirs, compared)
        said, one = json.loads(theirs.out), json.loads(ours[0].out)
        score, interval = compared["score"], compared["interval"]
        cells = [f"{score[s]:.4f} ({interval[s][0]:.4f} to {interval[s][1]:.4f})" for s in score]
        seconds = statistics.median(json.loads(used.out)["cpu"] for used in ours)
        self.lines.append(
            f"| {name}, {compared['rows']:,} rows | {NAMES[compared['metric']]} | {' | '.join(cells)} "
            f"| {seconds:.2f} ({one['trees']} trees) | {said['cpu']:.0f} | {said['version']}, {at} |"
        )

    def answer(self, folder: Path, interpreter: Path) -> tuple[Used, str]:
        """What AutoGluon's run cost, and when it was; taken from an earlier run of the same script on the same rows."""
        files = [folder / "train.parquet", folder / "held.parquet", folder / "facts.json"]
        digest = hashlib.sha256()
        for file in (*files, HERE / "table_autogluon.py"):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        kept, answers = folder / "used.json", folder / "autogluon.parquet"
        before = json.loads(kept.read_text()) if kept.exists() and answers.exists() else {}
        if before.get("of") != digest.hexdigest():
            used = run([*ONE, str(interpreter), str(HERE / "table_autogluon.py"), str(folder)])
            used = Used(used.cpu, used.peak, used.wall, used.out.strip().splitlines()[-1])
            at = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
            before = {"of": digest.hexdigest(), "at": at, "used": asdict(used)}
            kept.write_text(json.dumps(before))
        used = Used(**before["used"])
        self.figure.note(f"AutoGluon, {before['at']}: {used.cpu:.0f} s CPU, {used.wall:.0f} s: {used.out}")
        return used, before["at"]

    def judge(self, name: str, ours: list[Used], theirs: Used, compared: dict[str, Any]) -> None:
        """No worse than the worse end of AutoGluon's interval, at a fiftieth of its seconds."""
        better = compared["metric"] == "roc_auc"
        low, high = compared["interval"]["autogluon"]
        metric = NAMES[compared["metric"]]
        told = f"{name}: {metric} beside AutoGluon's {compared['score']['autogluon']:.4f} ({low:.4f} to {high:.4f})"
        limit = round(low if better else high, 4)
        self.figure.judge(told, [compared["score"]["ours"]], "", limit=limit, at_least=better)
        learnt = json.loads(theirs.out)["cpu"]
        times = [learnt / json.loads(used.out)["cpu"] for used in ours]
        self.figure.judge(f"{name}: CPU of learning, AutoGluon to ours", times, "x", limit=50, at_least=True)
        whole = [theirs.cpu / used.cpu for used in ours]
        self.figure.judge(f"{name}: CPU of the whole process, AutoGluon to ours", whole, "x", limit=None)

    def tell(self) -> None:
        """The scores side by side."""
        if not self.lines:
            return
        self.figure.say()
        self.figure.say(
            "Scores on held-out rows with 95 % bootstrap intervals, and CPU seconds of learning, one thread each. "
            "AutoGluon has no torch here, so no neural network; of a time it makes year, month, day and weekday, "
            "and not the hour, which is most of what is to be known of metro's traffic."
        )
        self.figure.say()
        self.figure.say("| set, held-out rows | score | ours | AutoGluon | difference | ours, s | AutoGluon, s | of |")
        self.figure.say("|---|---|---|---|---|---|---|---|")
        for line in self.lines:
            self.figure.say(line)


if __name__ == "__main__":
    main()
