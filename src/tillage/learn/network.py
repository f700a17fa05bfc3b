"""Multilayer perceptrons: a small neural network of rectified linear units, trained by Adam in scikit-learn.

For curved, smooth relations of many numbers; needs more rows than trees do and is seldom better on tables. State: a
matrix and a vector a layer.
Sources: Rumelhart, Hinton, Williams, Nature 323, 1986; Kingma and Ba, Adam, ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tillage.learn.examples import Examples
from tillage.learn.learner import Numbers, solving
from tillage.learn.linear import of_second, scale_of

_ROUNDS = 200


@dataclass(frozen=True)
class Network:
    """`layers`: units of each hidden layer."""

    layers: tuple[int, ...]
    seed: int

    def learn(self, examples: Examples) -> dict[str, Any]:
        """`weights`: a matrix a layer; `biases`: a vector a layer; `converged`."""
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        given = {"hidden_layer_sizes": self.layers, "max_iter": _ROUNDS, "random_state": self.seed}
        middle, spread = (0.0, 1.0) if examples.classes else scale_of(examples.target)
        solver = MLPClassifier(**given) if examples.classes else MLPRegressor(**given)
        target = examples.target if examples.classes else (examples.target - middle) / spread
        with solving():
            solver.fit(examples.matrix, target, sample_weight=examples.weight)
        weights, biases = [np.array(w) for w in solver.coefs_], [np.array(b) for b in solver.intercepts_]
        weights[-1], biases[-1] = weights[-1] * spread, biases[-1] * spread + middle
        return {"weights": weights, "biases": biases, "converged": bool(solver.n_iter_ < _ROUNDS)}


def network_scores(state: Mapping[str, Any], matrix: Any, classes: int) -> Numbers:
    """Scores on a logarithmic scale (rows, classes); for numbers (classes = 0) the numbers themselves (rows,).

    Every product is sparse and runs row by row, so that a row's value never depends on the rows beside it.
    """
    from scipy import sparse

    values = matrix
    for weights, biases in zip(state["weights"][:-1], state["biases"][:-1], strict=True):
        values = sparse.csr_array(np.maximum(values @ weights + biases, 0.0))
    found = np.asarray(values @ state["weights"][-1] + state["biases"][-1])
    return found if classes > 2 else of_second(found) if classes else found[:, 0]
