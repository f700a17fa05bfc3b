"""Linear models of a matrix: logistic regression for classes, ridge regression for numbers.

The plainest models that stand a chance, and the yardstick for any other: read off their coefficients, trained in
seconds (33,000 rows of 14 columns: about 2 CPU seconds), and convex, so that the same rows give the same model.
Sources: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, sections 3.4.1 and 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.learn.examples import Examples
from tillage.learn.learner import Numbers, solving

_ROUNDS = 1000
_WIDE = 64


@dataclass(frozen=True)
class Logistic:
    """Logistic regression with a penalty on squared coefficients, `regularisation` its inverse strength (C)."""

    regularisation: float
    seed: int

    def learn(self, examples: Examples, start: tuple[Numbers, Numbers] | None = None) -> dict[str, Any]:
        """`coefficients` (features, scores), `intercepts` (scores,), `converged`; two classes have one score.

        `start`: coefficients (scores, features) and intercepts from which the solver sets out.
        """
        from sklearn.linear_model import LogisticRegression

        solver = LogisticRegression(
            C=self.regularisation,
            class_weight="balanced" if examples.balanced else None,
            max_iter=_ROUNDS,
            tol=1e-6,
            random_state=self.seed,
        )
        if start is not None:
            solver.warm_start = True
            solver.coef_, solver.intercept_ = start
        with solving():
            solver.fit(_filled(examples.matrix), examples.target)
        return {
            "coefficients": np.ascontiguousarray(solver.coef_.T),
            "intercepts": np.asarray(solver.intercept_),
            "converged": bool(np.max(solver.n_iter_) < _ROUNDS),
        }


@dataclass(frozen=True)
class Ridge:
    """Least squares with a penalty `alpha` on squared coefficients."""

    alpha: float
    seed: int

    def learn(self, examples: Examples) -> dict[str, Any]:
        """`coefficients` (features, 1) and `intercepts` (1,)."""
        from sklearn.linear_model import Ridge as Solver

        middle, spread = scale_of(examples.target)
        with solving():
            solver = Solver(alpha=self.alpha, solver="sparse_cg", tol=1e-10, random_state=self.seed)
            solver.fit(examples.matrix, (examples.target - middle) / spread)
        return {
            "coefficients": np.asarray(solver.coef_ * spread)[:, None],
            "intercepts": np.array([solver.intercept_ * spread + middle]),
        }


def linear_scores(state: Mapping[str, Any], matrix: Any, classes: int) -> Numbers:
    """Scores on a logarithmic scale (rows, classes); for numbers (classes = 0) the numbers themselves (rows,)."""
    found = np.asarray(matrix @ state["coefficients"] + state["intercepts"])
    return found if classes > 2 else of_second(found) if classes else found[:, 0]


def _filled(matrix: Any) -> Any:
    """A wide matrix that is sparse in form alone (vectors) as an array: its products are then ten times as fast."""
    rows, columns = matrix.shape
    return matrix.toarray() if columns >= _WIDE and 2 * matrix.nnz > rows * columns else matrix


def of_second(scores: Numbers) -> Numbers:
    """Two classes have one score: the second's, over a first of zero.

    >>> of_second(np.array([[2.0]])).tolist()
    [[0.0, 2.0]]
    """
    return np.hstack([np.zeros_like(scores), scores])


def scale_of(target: Numbers) -> tuple[float, float]:
    """Mean and standard deviation of numbers to be learnt; 1 where they are all alike.

    >>> scale_of(np.array([1.0, 3.0]))
    (2.0, 1.0)
    """
    return float(target.mean()), float(target.std()) or 1.0
