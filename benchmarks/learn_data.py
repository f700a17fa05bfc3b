"""The folders that `figure_learn.py` measures: a plan and its data.

Usage: python benchmarks/learn_data.py KIND FOLDER ROWS [DIR]
KIND: a learner of `EXACT` (ROWS made rows of 20 columns), `every` (all learners on few rows), `metro` or `beijing` (of
DIR, hours of traffic and of fine dust, the last year to be forecast 24 hours ahead), `banking77` or `maintenance` (the
example).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl

EXAMPLES = Path(__file__).parents[1] / "examples"
EXACT = {
    "ridge": "amount",
    "gaussian_naive_bayes": "high",
    "linear_discriminant": "high",
    "logistic_regression": "high",
}

PLAN = """\
project: figure
tables:
  rows: {{collect: {{files: data/*.parquet}}, key: id}}
models:
  exact: {{learn: {learner}, from: rows, target: {target}, input: [{columns}], split: {{test: 0.05, leak: false}}}}
"""

EVERY = """\
project: every
tables:
  rows: {collect: {files: data/*.parquet}, key: id}
models:
  ridge: {learn: ridge, from: rows, input: [x0, x1, kind], target: amount, split: {leak: false}}
  bayes: {learn: gaussian_naive_bayes, from: rows, input: [x0, x1, kind], target: high, split: {leak: false}}
  discriminant: {learn: linear_discriminant, from: rows, input: [x0, x1, kind], target: high, split: {leak: false}}
  logistic: {learn: logistic_regression, from: rows, input: [x0, x1, kind], target: high, split: {leak: false}}
  words: {learn: naive_bayes, from: rows, input: text, target: high, split: {leak: false}}
  texts: {learn: text_classifier, from: rows, input: text, target: high, split: {leak: false}}
  classes: {learn: tabular_classifier, from: rows, input: [x0, x1, kind, text], target: high, split: {leak: false}}
  numbers: {learn: tabular_regressor, from: rows, input: [x0, x1, kind], target: amount, split: {leak: false}}
  forest: {learn: tabular_classifier, model: random_forest, trees: 20, from: rows, input: [x0, x1], target: high,
           split: {leak: false}}
  machine: {learn: tabular_classifier, model: svm, from: rows, input: [x0, x1], target: high, split: {leak: false}}
  network: {learn: tabular_classifier, model: mlp, from: rows, input: [x0, x1], target: high, split: {leak: false}}
  tuned: {learn: tabular_regressor, from: rows, input: [x0, x1], target: amount, tune: {trials: 4},
          split: {leak: false}}
  ahead: {learn: forecaster, from: rows, time: id, target: amount, horizon: 3, trees: 20, split: {leak: false}}
"""

FORECAST = """\
project: forecast
tables:
  hours: {collect: {files: data/hours.parquet}}
  past: {from: hours, steps: [{filter: "at < 'CUT'"}]}
  later: {from: hours, steps: [{filter: "at >= 'CUT'"}]}
models:
  ahead: {learn: forecaster, from: past, test_from: later, time: at, target: y, horizon: 24, known: [KNOWN]}
"""


def made(folder: Path, rows: int) -> None:
    """Eight files of numbers, a category, a text of words, a number and a class to be learnt."""
    random = np.random.default_rng(0)
    part = rows // 8
    for k in range(8):
        x = random.normal(size=(part, 19))
        kind, word = random.choice(["a", "b", "c", "d"], part), random.choice(["red", "blue"], part)
        amount = x @ np.arange(19) / 10 + (kind == "b") * 2 + random.normal(size=part)
        high = pl.Series(np.where(amount > 0, "yes", "no"))
        frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(19)}).with_columns(
            id=pl.int_range(k * part, (k + 1) * part), kind=pl.Series(kind), amount=pl.Series(amount), high=high
        )
        text = pl.concat_str(pl.lit("it is"), pl.Series("w", word), pl.Series("h", high), separator=" ")
        frame = frame.with_columns(text=text) if rows < 10_000 else frame
        frame.write_parquet(folder / f"{k}.parquet")


def metro(folder: Path, source: Path) -> str:
    """Traffic on a motorway; the holiday, which stands at midnight alone, at each hour of its day."""
    rows = pl.read_parquet(source / "metro-interstate-traffic" / "metro.parquet")
    day = pl.col("date_time").str.slice(0, 10)
    holidays = rows.filter(pl.col("holiday") != "None").group_by(day.alias("day")).agg(pl.col("holiday").first())
    hours = rows.drop("holiday").with_columns(day.alias("day")).join(holidays, on="day", how="left")
    kept = hours.select(pl.col("date_time").alias("at"), pl.col("holiday").fill_null("none"), y="traffic_volume")
    kept.write_parquet(folder / "hours.parquet")
    return FORECAST.replace("CUT", "2018-01-01").replace("KNOWN", "holiday")


def beijing(folder: Path, source: Path) -> str:
    """Fine dust over Beijing, hours without a measurement among them."""
    file = source / "beijing-pm25-hourly" / "pollution.csv.gz"
    rows = pl.read_csv(file, null_values=["NA"], infer_schema_length=None)
    at = pl.datetime("year", "month", "day", "hour").dt.to_string("%Y-%m-%d %H:%M:%S")
    rows.select(at.alias("at"), pl.col("pm2.5").alias("y")).write_parquet(folder / "hours.parquet")
    return FORECAST.replace("CUT", "2014-01-01").replace(", known: [KNOWN]", "")


def main() -> None:
    """Write the folder."""
    kind, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if kind in ("banking77", "maintenance"):
        name = "customer-service" if kind == "banking77" else kind
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns(".tillage"))
        return
    (folder / "data").mkdir(parents=True)
    if kind in ("metro", "beijing"):
        plan = {"metro": metro, "beijing": beijing}[kind](folder / "data", Path(sys.argv[4]))
    else:
        made(folder / "data", rows)
        columns = ", ".join([*(f"x{i}" for i in range(19)), "kind"])
        plan = EVERY if kind == "every" else PLAN.format(learner=kind, target=EXACT[kind], columns=columns)
    (folder / "tillage.yaml").write_text(plan)


if __name__ == "__main__":
    main()
