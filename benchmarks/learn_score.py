"""Accuracy of a text classifier over five stratified folds of a set of reviews.

Usage: python benchmarks/learn_score.py FILE TEXT TARGET
"""

from __future__ import annotations

import json
import sys

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedKFold

from tillage.learn import TextClassifier


def main() -> None:
    """Print the mean accuracy as JSON."""
    file, text, target = sys.argv[1:4]
    rows = pl.read_csv(file).filter(pl.col(text).is_not_null()).with_row_index("_id")
    found = []
    for seen, held in StratifiedKFold(5, shuffle=True, random_state=0).split(rows[target], rows[target]):
        model = TextClassifier(input=text, target=target).compute({"rows": rows[seen]})
        guess = model.apply(rows[held])["prediction"]
        found.append(float((guess == rows[held][target].cast(pl.String)).mean()))
    print(json.dumps({"accuracy": float(np.mean(found))}))


if __name__ == "__main__":
    main()
