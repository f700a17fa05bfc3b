"""One table for two learners: the same training rows and columns for both, and their answers to the same held-out rows.

What is held out: adult's published test part; of ai4i, whose rows have no order, one of five stratified folds; of the
sets in order of time the last fifth of the rows, since the hours before and after would else give an hour away.

Usage: python benchmarks/table_beside.py parts SET FOLDER DIR [ROWS]   write train.parquet, held.parquet, facts.json
       python benchmarks/table_beside.py learn FOLDER                  learn with `auto`, write ours.parquet
       python benchmarks/table_beside.py compare FOLDER                score ours.parquet and autogluon.parquet
ROWS: at most so many of either part. The last two print JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import polars as pl
import sklearn.linear_model
from sklearn.model_selection import StratifiedKFold

from table_score import SETS
from tillage.learn import TabularClassifier, TabularRegressor
from tillage.measure.ranking import Ranked

Numbers = npt.NDArray[np.float64]
LOADED = (lightgbm, sklearn.linear_model)
"""What the learner would otherwise import while its seconds are counted."""

IN_TIME = {
    "elec2": ("elec2-drift/elec.csv.gz", "class", ()),
    "beijing": ("beijing-pm25-hourly/pollution.csv.gz", "pm2.5", ("No",)),
    "metro": ("metro-interstate-traffic/metro.parquet", "traffic_volume", ()),
}
"""Sets in order of time: file, target, columns left out (a number that counts the rows)."""

NUMBERS = ("beijing", "metro")
"""Sets whose target is a number; the others' has two classes."""

ROUNDS = 1000


def read(path: Path, target: str, left_out: tuple[str, ...]) -> pl.DataFrame:
    """The rows whose target is known."""
    known = ["?", "", "NA"]
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
    else:
        frame = pl.read_csv(path, null_values=known, infer_schema_length=None)
    return frame.drop(left_out).drop_nulls(target)


def parts(name: str, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """Training rows, held-out rows, and the target."""
    file, target, left_out = (SETS | IN_TIME)[name]
    frame = read(folder / file, target, left_out)
    if name == "adult":
        return frame, read(folder / file.replace("train", "test"), target, left_out), target
    if name in IN_TIME:
        seen = frame.height * 4 // 5
        return frame[:seen], frame[seen:], target
    train, held = next(StratifiedKFold(5, shuffle=True, random_state=0).split(frame, frame[target]))
    return frame[train], frame[held], target


def write(name: str, out: Path, folder: Path, most: int | None) -> None:
    """Both parts as Parquet, and what the learners are to know of them."""
    train, held, target = parts(name, folder)
    out.mkdir(parents=True, exist_ok=True)
    for part, frame in (("train", train), ("held", held)):
        thin = frame if most is None else frame.gather_every(max(1, -(-frame.height // most)))
        thin.write_parquet(out / f"{part}.parquet", compression="uncompressed")
    facts: dict[str, Any] = {"set": name, "target": target, "metric": "rmse"}
    if name not in NUMBERS:
        facts |= {"metric": "roc_auc", "positive": str(train[target].max())}
    (out / "facts.json").write_text(json.dumps(facts))


def learn(folder: Path) -> dict[str, Any]:
    """Ours, with nothing said but the target."""
    facts = json.loads((folder / "facts.json").read_text())
    train, held = (pl.read_parquet(folder / f"{part}.parquet") for part in ("train", "held"))
    train, target = train.with_row_index("_id"), facts["target"]
    begun = time.process_time()
    if facts["metric"] == "rmse":
        regressor = TabularRegressor(target=target).compute({"rows": train})
        used, state = time.process_time() - begun, regressor.state
        said = regressor.apply(held)["prediction"].to_numpy()
    else:
        classifier = TabularClassifier(target=target).compute({"rows": train})
        used, state = time.process_time() - begun, classifier.state
        said = classifier.shares(held)[:, state["classes"].index(facts["positive"])]
    pl.DataFrame({"said": said}).write_parquet(folder / "ours.parquet")
    return {"cpu": used, "model": state["model"], "trees": len(state.get("roots", ()))}


def scorer(metric: str, said: Numbers, truth: Numbers) -> Callable[[Numbers | None], float]:
    """The metric of the rows, each so many times."""
    if metric == "roc_auc":
        ranked = Ranked(said, truth > 0)
        return lambda times: float(ranked.roc_auc(times))
    squares = (said - truth) ** 2
    return lambda times: float(np.sqrt(squares.mean() if times is None else times @ squares / times.sum()))


def compare(folder: Path) -> dict[str, Any]:
    """Both scores, and by one bootstrap over held-out rows the 95 % intervals of each and of ours less AutoGluon's."""
    facts = json.loads((folder / "facts.json").read_text())
    target = pl.read_parquet(folder / "held.parquet")[facts["target"]]
    binary = facts["metric"] == "roc_auc"
    truth = (target.cast(pl.String) == facts["positive"] if binary else target).cast(pl.Float64).to_numpy()
    sides = {
        side: scorer(facts["metric"], pl.read_parquet(folder / f"{side}.parquet")["said"].to_numpy(), truth)
        for side in ("ours", "autogluon")
    }
    random = np.random.Generator(np.random.PCG64(0))
    drawn: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        times = np.bincount(random.integers(0, len(truth), len(truth)), minlength=len(truth)).astype(np.float64)
        for side, score in sides.items():
            drawn[side].append(score(times))
    drawn["difference"] = (np.array(drawn["ours"]) - np.array(drawn["autogluon"])).tolist()
    scores = {side: score(None) for side, score in sides.items()}
    scores["difference"] = scores["ours"] - scores["autogluon"]
    ends = {side: np.quantile(values, [0.025, 0.975]).tolist() for side, values in drawn.items()}
    return {"metric": facts["metric"], "rows": len(truth), "score": scores, "interval": ends}


def main() -> None:
    """Do what the first word says."""
    verb, *given = sys.argv[1:]
    if verb == "parts":
        name, out, folder, *most = given
        write(name, Path(out), Path(folder), int(most[0]) if most else None)
    else:
        print(json.dumps((learn if verb == "learn" else compare)(Path(given[0]))))


if __name__ == "__main__":
    main()
