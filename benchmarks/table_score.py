"""One model of one table: its ROC AUC and accuracy, and the CPU seconds of learning after libraries are loaded.

Usage: python benchmarks/table_score.py SET MODEL ROWS [DIR]
SET: `crossed` or `straight` (made, ROWS rows), or one of `SETS`, of which DIR/... is read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import sklearn.linear_model
from sklearn.model_selection import StratifiedKFold

from tillage.learn import TabularClassifier
from tillage.measure.ranking import roc_auc

Frame = pl.DataFrame
LOADED = (lightgbm, sklearn.linear_model)
"""What the learner would otherwise import while its seconds are counted."""

SETS = {
    "adult": ("adult-census-income/adult_train.csv.gz", "income", ()),
    "ai4i": (
        "ai4i-2020-predictive-maintenance/ai4i2020.csv",
        "Machine failure",
        ("UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"),
    ),
    "heart": ("uci-heart-disease-cleveland/heart_cleveland.csv", "num", ()),
    "pima": ("pima-indians-diabetes/pima.csv", "outcome", ()),
    "breast-cancer": ("uci-breast-cancer-wisconsin-original/breast_cancer_wisconsin.csv", "class", ("id",)),
}
"""File, target, columns left out: identifiers, and ai4i's modes of failure, which give the target away."""


def made(name: str, rows: int) -> Frame:
    """Two numbers with holes and a category; `crossed`: by whether they have one sign, so no line parts it."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, rows))
    kind = random.choice(["x", "y", "z"], rows)
    clean = (a * b if name == "crossed" else a + b) + (kind == "x") * 0.5
    holes = pl.Series(random.random(rows) < 0.05)
    frame = pl.DataFrame({"a": a, "b": b, "kind": kind, "target": clean + random.normal(0, 0.5, rows) > 0})
    return frame.with_columns(pl.when(~holes).then(pl.col("a")), target=pl.col("target").cast(pl.Int64))


def parts(name: str, rows: int, folder: str) -> tuple[str, Iterator[tuple[Frame, Frame]]]:
    """The target, and training and test rows: the publisher's own parts, else five stratified folds."""
    if name in SETS:
        file, target, left_out = SETS[name]
        frame = pl.read_csv(Path(folder) / file, null_values=["?", ""]).drop(left_out, strict=False)
        if name == "heart":
            frame = frame.with_columns(num=(pl.col("num") > 0).cast(pl.Int64))
        if name == "adult":
            exam = pl.read_csv(Path(folder) / file.replace("train", "test"), null_values=["?", ""])
            return target, iter([(frame.with_row_index("_id"), exam)])
    else:
        frame, target = made(name, rows), "target"
    frame = frame.with_row_index("_id")
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(frame[target], frame[target].cast(pl.String))
    return target, ((frame[seen], frame[held]) for seen, held in folds)


def main() -> None:
    """Print the means over the parts, and the models that learnt, as JSON."""
    name, model, rows = sys.argv[1:4]
    target, pairs = parts(name, int(rows), sys.argv[4] if len(sys.argv) > 4 else "")
    found: dict[str, list[Any]] = {"auc": [], "accuracy": [], "cpu": [], "model": []}
    for seen, held in pairs:
        begun = time.process_time()
        fitted = TabularClassifier.model_validate({"target": target, "model": model}).compute({"rows": seen})
        found["cpu"].append(time.process_time() - begun)
        shares = fitted.shares(held)
        classes = fitted.state["classes"]
        truth = held[target].cast(pl.String).replace_strict(classes, range(len(classes))).to_numpy()
        found["auc"].append(roc_auc(shares, truth))
        found["accuracy"].append(float((shares.argmax(axis=1) == truth).mean()))
        found["model"].append(fitted.state["model"])
    means: dict[str, Any] = {key: float(np.mean(found[key])) for key in ("auc", "accuracy", "cpu")}
    print(json.dumps({**means, "model": found["model"]}))


if __name__ == "__main__":
    main()
