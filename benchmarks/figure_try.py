"""`tillage try` on tables that it was not made for: score beside baselines, and CPU seconds, of which 60 are the limit.

Two sets are made here: a table whose class follows from the sign of a product, and texts of two topics. With `--data
DIR` the sets below are tried as they are, no column chosen, no parameter set; `rt-polarity`, two files of lines, is put
into one CSV first. The score is on the fifth of the rows that `try` holds back.

Usage: python benchmarks/figure_try.py [--quick] [--repetitions N] [--data DIR] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import csv
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from child import Used, tillage
from figure import Figure, Side, arguments

LIMIT = 60

SETS = (
    ("adult-census-income", "adult_train.csv.gz", "income"),
    ("ai4i-2020-predictive-maintenance", "ai4i2020.csv", "Machine failure"),
    ("banking77", "train.csv", "category"),
    ("beijing-pm25-hourly", "pollution.csv.gz", "pm2.5"),
    ("chnsenticorp-hotel-zh", "ChnSentiCorp_htl_all.csv.gz", "label"),
    ("elec2-drift", "elec.csv.gz", "class"),
    ("metro-interstate-traffic", "metro.parquet", "traffic_volume"),
    ("online-shopping-10-cats-zh", "online_shopping_10_cats.csv.gz", "label"),
    ("pima-indians-diabetes", "pima.csv", "outcome"),
    ("rt-polarity", "rt-polarity.csv", "label"),
    ("symptom2disease", "Symptom2Disease.csv", "label"),
    ("twitter-financial-news-sentiment", "sent_train.csv", "label"),
    ("uci-breast-cancer-wisconsin-original", "breast_cancer_wisconsin.csv", "class"),
    ("uci-heart-disease-cleveland", "heart_cleveland.csv", "num"),
)


def made(root: Path, count: int) -> dict[str, tuple[Path, str]]:
    """The two sets that need no data: name to file and target."""
    draw = random.Random(7)
    with (root / "signs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["x", "z", "town", "sign"])
        for _ in range(count):
            x, z = draw.gauss(0, 1), draw.gauss(0, 1)
            sign = "plus" if x * z + draw.gauss(0, 0.2) > 0 else "minus"
            writer.writerow([f"{x:.4f}", f"{z:.4f}", draw.choice(["Ulm", "Rome", "Bonn"]), sign])
    topics = {"plants": "leaf root soil seed bloom stem rain", "engines": "piston valve fuel gear clutch oil brake"}
    with (root / "topics.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "topic"])
        for at in range(count):
            topic = draw.choice(list(topics))
            own = [draw.choice(topics[topic].split()) for _ in range(5)]
            writer.writerow([" ".join([*own, f"w{draw.randrange(500)}", f"n{at}", "and", "so", "on"]), topic])
    return {"made: signs": (root / "signs.csv", "sign"), "made: topics": (root / "topics.csv", "topic")}


def sets_of(data: Path, root: Path) -> dict[str, tuple[Path, str]]:
    """The sets in a folder; those that are not there are left out."""
    folder = data / "rt-polarity"
    if folder.is_dir():
        with (root / "rt-polarity.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            for side in ("neg", "pos"):
                lines = (folder / f"rt-polarity.{side}").read_text("latin-1").splitlines()
                writer.writerows([line.strip(), side] for line in lines)
    found = {}
    for name, file, target in SETS:
        path = root / file if name == "rt-polarity" else data / name / file
        if path.exists():
            found[name] = (path, target)
    return found


def line(name: str, said: dict[str, Any], used: Used) -> str:
    """A line of the table of scores."""
    model = said["run"]["models"]["model"]
    metric = "accuracy" if "accuracy" in model["metrics"] else "mae"
    low, high = model["interval"][metric]
    linear = model["linear"]["metrics"].get(metric)
    beside = "itself" if linear is None else f"{linear:.4g}"
    rows = f"{model['train']:,} | {model['test']:,}"
    scores = f"{model['metrics'][metric]:.4g} | {low:.4g} to {high:.4g} | {model['baseline'][metric]:.4g} | {beside}"
    return f"| {name} | {rows} | {metric} | {scores} | {len(model['warnings'])} | {used.cpu:.1f} |"


def side(file: Path, target: str, root: Path) -> Side:
    """One try, in a folder of its own."""
    return lambda turn: tillage(
        "try", str(file), "--target", target, "--directory", str(root / f"{file.name}-{turn}"), "--json", cwd=root
    )


def main() -> None:
    """Measure and tell."""
    given = arguments(__doc__, repetitions=1, data="adult-census-income and the others named in the script")
    figure = Figure("try", "A first model of an unknown table", given)
    with tempfile.TemporaryDirectory(prefix="tillage-figure-") as folder:
        root = Path(folder)
        sets = made(root, 1_000 if given.quick else 10_000)
        if given.data is not None:
            sets |= sets_of(given.data.absolute(), root)
        found = figure.turns({name: side(file, target, root) for name, (file, target) in sets.items()})
        figure.table(
            found, {name: f"tillage try {file.name} --target '{target}'" for name, (file, target) in sets.items()}
        )
        figure.say()
        figure.say(
            "| set | trained on | tested on | metric | score | 95 % interval | naive | linear | warnings | CPU s |"
        )
        figure.say("|---|---|---|---|---|---|---|---|---|---|")
        told = {name: json.loads(used[-1].out) for name, used in found.items()}
        for name, said in told.items():
            figure.say(line(name, said, found[name][-1]))
    if given.data is None:
        figure.say()
        figure.say("Only the made sets were tried: `--data DIR` names the folder of the others.")
    figure.judge("most CPU seconds of a try", [max(u.cpu for used in found.values() for u in used)], " s", limit=LIMIT)
    better = 0
    for said in told.values():
        model = said["run"]["models"]["model"]
        metric, sign = ("accuracy", 1) if "accuracy" in model["metrics"] else ("mae", -1)
        better += sign * (model["metrics"][metric] - model["baseline"][metric]) > 0
    figure.hold("sets on which the model beats the naive baseline", better, len(told))
    figure.close()


if __name__ == "__main__":
    main()
