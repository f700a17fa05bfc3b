"""Gradient boosted trees: LightGBM grows them, arrays keep them.

The strongest plain learner of tables, and the cheapest of the strong: 33,000 rows of 14 columns and 300 trees of 15
leaves cost 0.7 CPU seconds. Values that are missing and categories need no preparation. One thread, row-wise
histograms and a fixed order of rows make the same trees every time.
How many trees are worth having follows from rows held back, unless it is given.
Sources: Friedman, Greedy function approximation, Annals of Statistics 29, 2001; Ke et al., LightGBM, NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.core.errors import BadData, Unavailable
from tillage.learn.examples import Examples
from tillage.learn.learner import Numbers
from tillage.learn.trees import Grown, Trees

MOST = 500
"""Rounds at most where their number is to be found."""
_PATIENCE = 30
"""Rounds without a better score on the rows held back, after which there are no more."""
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_NAN = 1, 2, 2


@dataclass(frozen=True)
class Boosting:
    """How the trees are grown."""

    learning_rate: float
    leaves: int
    seed: int
    kinds: Sequence[tuple[str, str]]
    """Column and kind of each feature, of `TreeColumns.names`."""
    monotone: Mapping[str, int]
    objective: str = "regression"
    """What is made least where the target is a number: `regression` (squares) or `regression_l1` (absolute errors)."""

    def parameters(self, examples: Examples) -> dict[str, Any]:
        """LightGBM's own names for it."""
        rows = len(examples.target)
        found: dict[str, Any] = {
            "objective": self.objective,
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": max(2, min(20, rows // 15)),
            "min_data_per_group": max(2, min(50, rows // 15)),
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self.seed,
            "verbosity": -1,
        }
        if examples.classes == 2:
            found["objective"] = "binary"
        elif examples.classes:
            found |= {"objective": "multiclass", "num_class": examples.classes}
        if self.monotone:
            found["monotone_constraints"] = [
                self.monotone.get(column, 0) if kind == "number" else 0 for column, kind in self.kinds
            ]
            found["monotone_constraints_method"] = "advanced"
        return found

    def grow(self, examples: Examples, rounds: int) -> dict[str, Any]:
        """The state of so many rounds, a tree a class each where there are more than two."""
        booster = _library().train(self.parameters(examples), self._set(examples), rounds)
        return _arrays(booster.model_to_string())

    def rounds(self, examples: Examples, held: Examples) -> tuple[int, Any]:
        """How many rounds do best on the rows held back, and what gives their scores after so many rounds."""
        lightgbm = _library()
        seen = self._set(examples)
        booster = lightgbm.train(
            self.parameters(examples),
            seen,
            MOST,
            valid_sets=[self._set(held, seen)],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )
        best = max(1, booster.best_iteration)
        return best, lambda n: booster.predict(held.matrix, raw_score=True, num_iteration=n)

    def _set(self, examples: Examples, like: Any = None) -> Any:
        categories = [at for at, (_, kind) in enumerate(self.kinds) if kind == "category"]
        return _library().Dataset(
            examples.matrix,
            examples.target,
            weight=examples.weight,
            reference=like,
            categorical_feature=categories,
            params={"verbosity": -1, "num_threads": 1},
            free_raw_data=False,
        )


def _library() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise Unavailable("LightGBM is not installed.", fix="Run: pip install lightgbm") from error
    except OSError as error:
        raise Unavailable(
            f"LightGBM cannot be loaded: {error}.",
            fix="Install OpenMP (libgomp1 on Debian and Ubuntu, libomp on macOS), or use another 'model'.",
        ) from error
    return lightgbm


def _arrays(text: str) -> dict[str, Any]:
    """The trees of LightGBM's text format; nothing else of it is kept, no parameter and no name."""
    grown = Grown()
    for block in text.split("\nend of trees", 1)[0].split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line)
        value = _floats(lines["leaf_value"])[:, None]
        if int(lines["num_leaves"]) == 1:
            grown.add([], [], [], [], [], [], value, [])
            continue
        threshold, decision = _floats(lines["threshold"]), _whole(lines["decision_type"])
        category = np.full(len(decision), -1)
        of_sets = np.flatnonzero(decision & _CATEGORICAL)
        levels: list[list[int]] = []
        if len(of_sets):
            category[of_sets] = threshold[of_sets].astype(np.int64)
            levels = _sets(_whole(lines["cat_boundaries"]), _whole(lines["cat_threshold"]))
        missing_left = (decision & _DEFAULT_LEFT > 0) & (decision >> 2 & 3 == _MISSING_NAN)
        grown.add(
            _whole(lines["split_feature"]),
            np.where(category < 0, threshold, 0.0),
            missing_left,
            category,
            _whole(lines["left_child"]),
            _whole(lines["right_child"]),
            value,
            levels,
        )
    return grown.state()


def _sets(bounds: Numbers, words: Numbers) -> list[list[int]]:
    """The codes in each set of 32-bit words."""
    found = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        bits = words[start:end].astype(np.uint32)[:, None] >> np.arange(32, dtype=np.uint32) & 1
        found.append(np.flatnonzero(bits.ravel()).tolist())
    return found


def _floats(line: str) -> Numbers:
    return np.array(line.split(), dtype=np.float64)


def _whole(line: str) -> Numbers:
    return np.array(line.split(), dtype=np.int64)


def boosted_scores(trees: Trees, matrix: Numbers, classes: int) -> Numbers:
    """Scores on a logarithmic scale (rows, classes); for numbers (classes = 0) the numbers themselves (rows,)."""
    if classes > 2:
        return trees.sums(matrix, classes)
    total = trees.sums(matrix, 1)
    return np.hstack([np.zeros_like(total), total]) if classes else total[:, 0]


def require_columns(monotone: Mapping[str, int], kinds: Sequence[tuple[str, str]]) -> None:
    """Raises BadData when a column that is to be monotone is no number that is learnt from.

    >>> require_columns({"x": 1}, [("x", "category")])
    Traceback (most recent call last):
    tillage.core.errors.BadData: 'monotone' names 'x', which is no column of numbers here. ...
    """
    numbers = {column for column, kind in kinds if kind == "number"}
    for name in monotone:
        if name not in numbers:
            raise BadData(
                f"'monotone' names '{name}', which is no column of numbers here.",
                fix=f"Name one of: {', '.join(sorted(numbers)) or 'none'}.",
            )
