"""Trees as arrays, and what they say of rows: the one form in which boosted trees and random forests are kept.

A tree is inner nodes, numbered through all trees, and leaves, numbered likewise; a child below zero is the leaf ~child.
So a saved model is a dozen arrays that nothing executes, and a prediction needs the library that trained it no more.
All trees of all rows of a block go down one level at a time: about 40 ns a row and tree, 0.3 ms for a single row.
Sources: the text format of LightGBM's models (docs/Parameters and src/io/tree.cpp); `sklearn.tree._tree.Tree`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tillage.learn.learner import Numbers

_BLOCK = 1 << 17
"""Pairs of row and tree that go down together."""


class Grown:
    """Trees being put together; `state` gives the arrays.

    >>> grown = Grown()
    >>> grown.add([0], [0.5], [False], [-1], [-1], [-2], [[1.0], [2.0]], [])
    >>> Trees(grown.state()).leaves(np.array([[0.0], [1.0]])).tolist()
    [[0], [1]]
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[Numbers]] = {}
        self._roots: list[int] = []
        self._nodes = self._leaves = 0
        self._levels: list[Sequence[int]] = []

    def add(
        self,
        feature: Sequence[int] | Numbers,
        threshold: Sequence[float] | Numbers,
        missing_left: Sequence[bool] | Numbers,
        category: Sequence[int] | Numbers,
        left: Sequence[int] | Numbers,
        right: Sequence[int] | Numbers,
        value: Sequence[Sequence[float]] | Numbers,
        levels: Sequence[Sequence[int]],
    ) -> None:
        """One tree: a value a node of each, and `value` (leaves, outputs); a tree without nodes is one leaf.

        `category`: -1 where numbers up to `threshold` go left, else the place in `levels` of the codes that do.
        """
        left, right = np.asarray(left, np.int32), np.asarray(right, np.int32)
        category = np.asarray(category, np.int32)
        self._roots.append(self._nodes if len(left) else ~self._leaves)
        for name, values, dtype in (
            ("feature", feature, np.int32),
            ("threshold", threshold, np.float64),
            ("missing_left", missing_left, np.bool_),
            ("category", np.where(category < 0, -1, category + len(self._levels)), np.int32),
            ("left", self._moved(left), np.int32),
            ("right", self._moved(right), np.int32),
            ("value", value, np.float64),
        ):
            self._parts.setdefault(name, []).append(np.asarray(values, dtype))
        self._nodes += len(left)
        self._leaves += len(value)
        self._levels += levels

    def _moved(self, child: Numbers) -> Numbers:
        return np.where(child < 0, child - self._leaves, child + self._nodes)

    def state(self) -> dict[str, Any]:
        """The arrays: `roots` (trees), seven of nodes, `value` (leaves, outputs), and the codes of each category's set.

        `levels` holds the codes of all sets on end, set k from `set_starts[k]` to `set_starts[k + 1]`.
        """
        arrays = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        starts = np.cumsum([0, *(len(codes) for codes in self._levels)])
        codes = np.array([code for codes in self._levels for code in codes], np.int32)
        return {"roots": np.array(self._roots, np.int32), **arrays, "levels": codes, "set_starts": starts}


class Trees:
    """What trees say of rows, from the arrays of `Grown.state`."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        starts, levels = state["set_starts"], state["levels"]
        self._members = np.zeros((len(starts) - 1, int(levels.max(initial=-1)) + 2), np.bool_)
        self._members[np.repeat(np.arange(len(starts) - 1), np.diff(starts)), levels] = True
        self._ends = np.array([self._members.shape[1] - 1])

    def leaves(self, matrix: Numbers) -> Numbers:
        """The leaf that each row (of float64 features, NaN where nothing is known) comes to in each tree: Int32."""
        roots = self._state["roots"]
        at = np.empty((len(matrix), len(roots)), np.int32)
        step = max(1, _BLOCK // max(1, len(roots)))
        for start in range(0, len(matrix), step):
            at[start : start + step] = self._down(matrix[start : start + step])
        return at

    def sums(self, matrix: Numbers, outputs: int) -> Numbers:
        """(rows, outputs): tree t adds its value to output t % outputs, one tree after another, as LightGBM does."""
        values = self._state["value"][:, 0][self.leaves(matrix)]
        return np.column_stack([np.cumsum(values[:, k::outputs], axis=1)[:, -1] for k in range(outputs)])

    def means(self, matrix: Numbers) -> Numbers:
        """(rows, outputs): the mean of the values of all trees, added up one tree after another."""
        value, total = self._state["value"], np.zeros((len(matrix), self._state["value"].shape[1]))
        for leaf in self.leaves(matrix).T:
            total += value[leaf]
        return np.asarray(total / len(self._state["roots"]))

    def _down(self, matrix: Numbers) -> Numbers:
        state = self._state
        at = np.tile(state["roots"], len(matrix))
        cells, width = np.ascontiguousarray(matrix).ravel(), matrix.shape[1]
        base = np.repeat(np.arange(len(matrix)) * width, len(state["roots"]))
        walking = np.flatnonzero(at >= 0)
        while len(walking):
            node = at[walking]
            left = self._left(node, cells[base[walking] + state["feature"][node]])
            at[walking] = np.where(left, state["left"][node], state["right"][node])
            walking = walking[at[walking] >= 0]
        return np.asarray(~at).reshape(len(matrix), -1)

    def sides(self, matrix: Numbers) -> Numbers:
        """(rows, nodes): whether a row would go left at each node, had it come there."""
        nodes = np.arange(len(self._state["feature"]))
        cells = np.ascontiguousarray(matrix)[:, self._state["feature"]]
        found = [self._left(nodes, row) for row in cells]
        return np.array(found, np.bool_).reshape(len(matrix), len(nodes))

    def _left(self, node: Numbers, cell: Numbers) -> Numbers:
        """Whether the value of a node's feature goes left."""
        state = self._state
        left = cell <= state["threshold"][node]
        unknown = np.isnan(cell)
        if unknown.any():
            left |= unknown & state["missing_left"][node]
        category = state["category"][node]
        chosen = np.flatnonzero(category >= 0)
        if len(chosen):
            code = np.where(unknown[chosen], -1, cell[chosen]).astype(np.int64)
            code = np.where((code < 0) | (code > self._ends[0]), self._ends[0], code)
            left[chosen] = self._members[category[chosen], code]
        return np.asarray(left)
