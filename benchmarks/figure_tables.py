"""How well tables are learnt without being told how, and for how many CPU seconds.

`auto` beside `linear` and `boosted_trees`: it must come within 0.01 of the better one's ROC AUC. On adult (the
publisher's test part) and ai4i (five folds) also within the seconds that are asked for: a fiftieth of what AutoGluon's
medium_quality took for an AUC of 0.929 (121 s) and 0.980 (83 s). Seconds are those of learning, once the libraries are
loaded, which is 1.5 s more in a process of its own.

Usage: python benchmarks/figure_tables.py [--data DIR] [--quick] [--repetitions N] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from child import Used, python
from figure import Figure, arguments

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


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=3, data="adult-census-income and other sets of the UCI repository")
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

    def run(side: str) -> Used:
        used = python(HERE / "table_score.py", *sides[side], rows, *([given.data] if given.data else []))
        said[side].append(json.loads(used.out))
        return used

    found = figure.turns({side: (lambda _, side=side: run(side)) for side in sides})
    figure.table(found, {s: f"python benchmarks/table_score.py {n} {m} {rows} DIR" for s, (n, m) in sides.items()})
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
    figure.close()


if __name__ == "__main__":
    main()
