"""Support vector machines with the radial kernel: libsvm by scikit-learn, one machine a class against the rest.

Good where rows are few and borders are curved; its cost grows with the square of the rows, so there is a limit.
State: the support vectors as a sparse matrix, and what each weighs in each machine.
Source: Chang and Lin, LIBSVM, ACM TIST 2, 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.core.errors import BadData
from tillage.learn.examples import Examples
from tillage.learn.learner import Numbers, solving
from tillage.learn.linear import scale_of

MOST_ROWS = 20_000
_BLOCK = 512


@dataclass(frozen=True)
class SupportVectors:
    """`regularisation`: C, the price of a row on the wrong side; the kernel is exp(-gamma |a - b|^2)."""

    regularisation: float

    def learn(self, examples: Examples) -> dict[str, Any]:
        """`vectors`, `weights` (vectors, machines), `intercepts` (machines,), `gamma`; raises BadData when too many."""
        from sklearn.svm import SVC, SVR

        matrix, rows = examples.matrix, len(examples.target)
        if rows > MOST_ROWS:
            raise BadData(
                f"{rows:,} rows are too many for a support vector machine: {MOST_ROWS:,} are the most.",
                fix="Use 'model: boosted_trees', or fewer rows.",
            )
        mean = matrix.sum() / np.prod(matrix.shape)
        variance = matrix.power(2).sum() / np.prod(matrix.shape) - mean**2
        gamma = float(1 / (matrix.shape[1] * variance)) if variance > 0 else 1.0
        weights, intercepts = [], []
        middle, spread = (0.0, 1.0) if examples.classes else scale_of(examples.target)
        weight = "balanced" if examples.balanced else None
        for machine in range(1 if examples.classes <= 2 else examples.classes):
            if examples.classes:
                solver = SVC(C=self.regularisation, gamma=gamma, class_weight=weight)
                target = examples.target == (machine if examples.classes > 2 else 1)
            else:
                solver = SVR(C=self.regularisation, gamma=gamma)
                target = (examples.target - middle) / spread
            with solving():
                solver.fit(matrix, target)
            dual = np.zeros(rows)
            dual[solver.support_] = solver.dual_coef_.toarray()[0] * spread
            weights.append(dual)
            intercepts.append(float(solver.intercept_[0]) * spread + middle)
        dual = np.column_stack(weights)
        used = np.flatnonzero(dual.any(axis=1))
        return {
            "vectors": packed(matrix[used]),
            "weights": dual[used],
            "intercepts": np.array(intercepts),
            "gamma": gamma,
        }


def packed(matrix: Any) -> dict[str, Any]:
    """A CSR matrix as state."""
    return {
        "shape": list(matrix.shape),
        "data": matrix.data,
        "indices": matrix.indices.astype(np.int32),
        "starts": matrix.indptr.astype(np.int64),
    }


class Machines:
    """What the machines of a state say of rows."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        from scipy import sparse

        kept = state["vectors"]
        self._vectors = sparse.csr_array((kept["data"], kept["indices"], kept["starts"]), shape=tuple(kept["shape"]))
        self._lengths = self._vectors.power(2) @ np.ones(self._vectors.shape[1])
        self._across = self._vectors.T.tocsr()
        self._state = state

    def scores(self, matrix: Any, classes: int) -> Numbers:
        """Decision values (rows, classes), a first of two classes zero; for numbers the numbers (rows,).

        Every product is sparse and runs row by row, so that a row's value never depends on the rows beside it.
        """
        from scipy import sparse

        state, found = self._state, [np.zeros((0, len(self._state["intercepts"])))]
        for start in range(0, matrix.shape[0], _BLOCK):
            block = matrix[start : start + _BLOCK]
            lengths = block.power(2) @ np.ones(block.shape[1])
            apart = lengths[:, None] + self._lengths - 2 * (block @ self._across).toarray()
            near = np.exp(-state["gamma"] * np.maximum(apart, 0.0))
            found.append(sparse.csr_array(near) @ state["weights"])
        values = np.vstack(found) + state["intercepts"]
        if not classes:
            return np.asarray(values[:, 0])
        return np.hstack([np.zeros_like(values), values]) if classes == 2 else values
