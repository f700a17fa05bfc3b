"""Columns of a table as a dense matrix for trees: numbers as they stand, categories as codes, a few words of prose.

A number that was missing somewhere in training is NaN where it is missing; else the median stands in, since no tree
has learnt where to send it. A date also gives month, weekday and hour as numbers. A category is the place of its level;
what training did not have is -1. Of prose the WORDS most common words that are in at most half of the rows stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tillage.core.rows import column
from tillage.learn.columns import PARTS, as_numbers, category_codes, parts_of
from tillage.learn.learner import Numbers, as_text
from tillage.learn.terms import TermWeights
from tillage.learn.vectors import vector_features

WORDS = 256
"""Words of a column of prose."""


def for_trees(learnt: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What `columns.learn_columns` gave, with the prose cut down to the words that trees are asked about."""
    return [_fewer(c) if c["kind"] == "prose" else dict(c) for c in learnt]


def _fewer(prose: Mapping[str, Any]) -> dict[str, Any]:
    idf = prose["word_idf"]
    half = np.log(2.0) + 1  # idf of a word in half of the rows, whatever their number
    rare = np.flatnonzero(idf >= half)
    kept = np.sort(rare[np.argsort(idf[rare], kind="stable")[:WORDS]])
    words = [prose["words"][at] for at in kept.tolist()]
    return {**prose, "words": words, "word_idf": idf[kept], "characters": [], "character_idf": np.zeros(0)}


class TreeColumns:
    """Rows as a dense matrix, by what `for_trees` gave.

    >>> from tillage.learn.columns import learn_columns
    >>> rows = pl.DataFrame({"n": [1.0, None, 3.0, 4.0], "k": ["b", "a", "b", "a"]})
    >>> TreeColumns(for_trees(learn_columns(rows, ["n", "k"]))).matrix(rows).tolist()
    [[1.0, 1.0], [nan, 0.0], [3.0, 1.0], [4.0, 0.0]]
    """

    def __init__(self, learnt: Sequence[Mapping[str, Any]]) -> None:
        self._learnt = [c for c in learnt if c["kind"] != "dropped"]
        self._terms = {c["name"]: TermWeights(dict(c)) for c in self._learnt if c["kind"] == "prose"}

    def names(self) -> list[tuple[str, str]]:
        """Column and kind (`number`, `part`, `category`, `word`, `component`) of each feature."""
        found: list[tuple[str, str]] = []
        for c in self._learnt:
            if c["kind"] == "number":
                found += [(c["name"], "number"), *[(c["name"], "part")] * len(c["parts"])]
            elif c["kind"] == "category":
                found.append((c["name"], "category"))
            elif c["kind"] == "vector":
                found += [(c["name"], "component")] * (c["width"] + c["missing"])
            else:
                found += [(c["name"], "word")] * len(c["words"])
        return found

    def matrix(self, rows: pl.DataFrame) -> Numbers:
        """(rows, features) of float64; raises UnknownName or BadData when a column is absent or unreadable."""
        blocks: list[Numbers] = [np.empty((rows.height, 0))]
        for c in self._learnt:
            values = column(rows, c["name"])
            if c["kind"] == "number":
                blocks += _numbers(values, c)
            elif c["kind"] == "category":
                blocks.append(category_codes(values, c).astype(np.float64)[:, None])
            elif c["kind"] == "vector":
                blocks.append(vector_features(values, c, scaled=False))
            else:
                blocks.append(self._terms[c["name"]].matrix(as_text(values).fill_null("")).toarray())
        return np.ascontiguousarray(np.hstack(blocks))


def _numbers(values: pl.Series, learnt: Mapping[str, Any]) -> list[Numbers]:
    numbers = as_numbers(values, learnt["dtype"])
    filled = numbers if learnt["missing"] else numbers.fill_null(learnt["median"])
    found = [filled.fill_null(float("nan")).to_numpy()[:, None]]
    for name, part in parts_of(values) if learnt["parts"] else []:
        if name in learnt["parts"]:
            first, _ = PARTS[name]
            found.append(part.cast(pl.Float64).fill_null(first - 1).to_numpy()[:, None])
    return found
