"""What is learnt from tables, series and texts: how well, in what memory, and the same whatever the workers.

Each side is `tillage run` from raw files to a tested model in a fresh store: the exact learners on 4,000,000 rows of 20
columns; forecasts 24 hours ahead beside the same hour of last week; the flights that an engine has left; 77 intents of
customers. The sides that need `--data` are metro-interstate-traffic, beijing-pm25-hourly, adult-census-income and
chnsenticorp-hotel-zh (five folds). Every learner is trained with one worker and with two: the digests must be equal.

Usage: python benchmarks/figure_learn.py [--data DIR] [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from child import Used, python, tillage
from figure import Figure, arguments

HERE = Path(__file__).parent
EXACT = ("ridge", "gaussian_naive_bayes", "linear_discriminant", "logistic_regression")
FORECASTS = {"metro": "metro-interstate-traffic/metro.parquet", "beijing": "beijing-pm25-hourly/pollution.csv.gz"}
HOTEL = "chnsenticorp-hotel-zh/ChnSentiCorp_htl_all.csv.gz"
ADULT = "adult-census-income/adult_train.csv.gz"
MEMORY = 1024
THIRD = 2 / 3


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=1, data="metro-interstate-traffic and other sets")
    figure = Figure("learn", "Tables, series and texts, learnt", given)
    rows = 20_000 if given.quick else 4_000_000
    there = {name for name, file in {**FORECASTS, "hotel": HOTEL, "adult": ADULT}.items() if _is_there(given, file)}
    missing = sorted({*FORECASTS, "hotel", "adult"} - there)
    if missing:
        figure.say()
        figure.say(f"Not measured, since not in DIR (give --data DIR): {', '.join(missing)}.")
    said: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as root:

        def run(kind: str, *more: str) -> Callable[[int], Used]:
            def side(turn: int) -> Used:
                folder = Path(root) / f"{kind}-{turn}-{'-'.join(more)}"
                source = [str(given.data)] if given.data else []
                python(HERE / "learn_data.py", kind, folder, str(rows if kind in EXACT else 600), *source)
                used = tillage("run", "--json", *more, cwd=folder)
                said.setdefault(" ".join([kind, *more]), []).append(json.loads(used.out)["models"])
                return used

            return side

        def scored(name: str, *command: str) -> Callable[[int], Used]:
            def side(_: int) -> Used:
                used = python(*command)
                said.setdefault(name, []).append(json.loads(used.out))
                return used

            return side

        plans = [*EXACT, "maintenance", "banking77", *(name for name in FORECASTS if name in there)]
        sides = {kind: run(kind) for kind in plans}
        sides |= {f"every learner, {n} workers": run("every", "--digest", "--workers", n) for n in ("1", "2")}
        commands = {k: f"python benchmarks/learn_data.py {k} DIR {rows}; tillage run" for k in plans}
        commands |= {
            f"every learner, {n} workers": f"python benchmarks/learn_data.py every DIR 600; tillage run --workers {n}"
            for n in ("1", "2")
        }
        if "hotel" in there:
            sides["hotel"] = scored("hotel", str(HERE / "learn_score.py"), str(given.data / HOTEL), "review", "label")
            commands["hotel"] = f"python benchmarks/learn_score.py {HOTEL} review label"
        if "adult" in there:
            sides["adult"] = scored("adult", str(HERE / "table_score.py"), "adult", "auto", "0", str(given.data))
            commands["adult"] = "python benchmarks/table_score.py adult auto 0 DIR"
        found = figure.turns(sides)
    figure.table(found, commands)
    for kind in EXACT:
        what = f"{kind}: {rows:,} rows of 20 columns, peak MB"
        figure.judge(what, [used.peak for used in found[kind]], " MB", limit=MEMORY)
    for kind in FORECASTS:
        if kind in there:
            scores = [one["ahead"] for one in said[kind]]
            ratio = [one["metrics"]["mae"] / one["baseline"]["mae"] for one in scores]
            told = f"{kind}: mean absolute error over that of the same hour of last week"
            figure.judge(told, ratio, "", limit=THIRD if kind == "metro" else None, sized=False)
            figure.judge(f"{kind}: mean absolute error", [one["metrics"]["mae"] for one in scores], "", limit=None)
    rmse = [one["life"]["metrics"]["rmse"] for one in said["maintenance"]]
    figure.judge("maintenance: root mean squared error, flights (capped at 125)", rmse, "", limit=16, sized=False)
    accuracy = [one["intent"]["metrics"]["accuracy"] for one in said["banking77"]]
    figure.judge("banking77: accuracy", accuracy, "", limit=0.9, at_least=True, sized=False)
    figure.judge("banking77: CPU seconds", [used.cpu for used in found["banking77"]], " s", limit=30)
    if "adult" in there:
        figure.judge(
            "adult: ROC AUC", [one["auc"] for one in said["adult"]], "", limit=0.927, at_least=True, sized=False
        )
    if "hotel" in there:
        hotel = [one["accuracy"] for one in said["hotel"]]
        figure.judge("hotel: accuracy of five folds", hotel, "", limit=0.915, at_least=True, sized=False)
    pairs = zip(said["every --digest --workers 1"], said["every --digest --workers 2"], strict=True)
    same = [one[name]["digest"] == two[name]["digest"] for one, two in pairs for name in one]
    figure.hold("learners whose digest is the same with one worker and with two", sum(same), len(same))
    figure.close()


def _is_there(given: Any, file: str) -> bool:
    return bool(given.data) and (given.data / file).is_file()


if __name__ == "__main__":
    main()
