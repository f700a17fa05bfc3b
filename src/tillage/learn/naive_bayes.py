"""Multinomial naive Bayes over words: nothing but integer counts, so states merge exactly and forget exactly.

One pass; the state is the counts that are not zero (16 bytes each) and the words themselves. Its confidence is far
too sure of itself, as is known of the method: use it to rank, not as a probability.
Source: Manning, Raghavan, Schuetze, Introduction to Information Retrieval, 2008, section 13.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.learn.learner import Learner, Numbers, joined_text, labelled, require_two, with_prediction
from tillage.learn.onnx_columns import UNCUT, refused
from tillage.learn.terms import Vocabulary
from tillage.text.tokens import long_words


class NaiveBayes(Learner, Fold):
    """Classify texts by the words that each class uses, counted exactly.

    State: `classes` and `vocabulary` (sorted), `rows` (Int64 a class), and the counts as `term`, `class` (Int32
    positions) and `count` (Int64), sorted by term and class. No count of zero is kept.

    >>> rows = pl.DataFrame({"_id": [1, 2], "text": ["good", "bad"], "y": ["+", "-"]})
    >>> learner = NaiveBayes(input="text", target="y")
    >>> model = learner.finish(learner.update(learner.start(), rows))
    >>> model.apply(pl.DataFrame({"text": ["good day"]}))["prediction"][0]
    '+'
    """

    task: ClassVar[Literal["classification", "regression"]] = "classification"

    input: str | Columns = Field(min_length=1, description="column or columns of text")
    alpha: float = Field(1.0, gt=0, le=1e6, description="what is added to each count (1: Laplace), in words")

    def needs(self) -> tuple[str, ...]:
        return (*_columns(self.input), self.target)

    def start(self) -> State:
        empty = np.zeros(0, np.int32)
        return {
            "classes": [],
            "rows": np.zeros(0, np.int64),
            "vocabulary": [],
            "term": empty,
            "class": empty,
            "count": np.zeros(0, np.int64),
        }

    def update(self, state: State, rows: pl.DataFrame) -> State:
        known, labels = labelled(rows, self.target)
        classes = labels.unique().sort()
        texts = joined_text(known, _columns(self.input))
        of_row = _positions(classes, labels)
        found = long_words(texts)
        vocabulary = found["word"].unique().sort()
        term = _positions(vocabulary, found["word"])
        seen = {
            "classes": classes.to_list(),
            "rows": np.bincount(of_row, minlength=len(classes)).astype(np.int64),
            "vocabulary": vocabulary.to_list(),
            **_summed(term, of_row[found["row"].to_numpy()], np.ones(len(term), np.int64), len(classes)),
        }
        return self.merge(state, seen)

    def merge(self, a: State, b: State) -> State:
        classes, class_a, class_b = _union(a["classes"], b["classes"])
        vocabulary, term_a, term_b = _union(a["vocabulary"], b["vocabulary"])
        rows = np.zeros(len(classes), np.int64)
        rows[class_a] += a["rows"]
        rows[class_b] += b["rows"]
        counts = _summed(
            np.concatenate([term_a[a["term"]], term_b[b["term"]]]),
            np.concatenate([class_a[a["class"]], class_b[b["class"]]]),
            np.concatenate([a["count"], b["count"]]),
            len(classes),
        )
        return {"classes": classes, "rows": rows, "vocabulary": vocabulary, **counts}

    def finish(self, state: State) -> NaiveBayesModel:
        """The model; raises BadData when fewer than two classes were seen."""
        require_two(state["classes"], self.target)
        return NaiveBayesModel(
            state={**state, "alpha": self.alpha, "input": list(_columns(self.input)), "target": self.target}
        )


class NaiveBayesModel(Fitted):
    """Adds `prediction` and `confidence` by a NaiveBayes state; words never seen in training say nothing.

    >>> rows = pl.DataFrame({"_id": [1, 2, 3], "text": ["a", "b", "b"], "y": ["x", "z", "z"]})
    >>> learner = NaiveBayes(input="text", target="y")
    >>> model = learner.finish(learner.update(learner.start(), rows))
    >>> round(model.apply(pl.DataFrame({"text": ["never seen"]}))["confidence"][0], 6)
    0.666667
    """

    is_linear: ClassVar[bool] = True
    """Scores are a weighted sum of counts of words: no other linear model need stand beside its score."""

    def needs(self) -> tuple[str, ...]:
        return tuple(self.state["input"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        texts = joined_text(rows, self.state["input"])
        vocabulary, evidence, absent, prior = self._tables
        counts = vocabulary.counts(long_words(texts).rename({"word": "term"}), len(texts)).astype(np.float64)
        length = counts @ np.ones(vocabulary.size)
        scores = (counts @ evidence).toarray() + np.outer(length, absent) + prior
        return with_prediction(rows, self.state["classes"], scores)

    def onnx(self, facts: Mapping[str, str] | None = None) -> bytes:
        """Raises UsageError: the words cannot be cut inside a graph."""
        raise refused(UNCUT)

    @cached_property
    def _tables(self) -> tuple[Vocabulary, Any, Numbers, Numbers]:
        """Columns of words; ln(1 + count / alpha) where there is a count; ln of an absent word; ln prior.

        ln((n + a) / (N + aV)) is ln(1 + n / a) + ln(a / (N + aV)): the first is zero wherever the count is.
        """
        from scipy import sparse

        state, alpha = self.state, self.state["alpha"]
        classes, size = len(state["classes"]), len(state["vocabulary"])
        evidence = sparse.coo_array(
            (np.log1p(state["count"] / alpha), (state["term"], state["class"])), shape=(size, classes)
        ).tocsr()
        total = np.bincount(state["class"], state["count"], minlength=classes) + alpha * max(size, 1)
        prior = np.log(state["rows"] / state["rows"].sum())
        return Vocabulary(state["vocabulary"]), evidence, np.log(alpha / total), prior


def _columns(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _positions(names: pl.Series, values: pl.Series) -> Numbers:
    """Where each value stands among `names`, which are sorted and hold them all."""
    table = names.rename("value").to_frame().with_row_index("at")
    found = values.rename("value").to_frame().join(table, on="value", how="left", maintain_order="left")
    return found["at"].to_numpy().astype(np.int32)


def _union(a: list[str], b: list[str]) -> tuple[list[str], Numbers, Numbers]:
    """The sorted union of two sorted lists, and where the entries of each stand in it.

    `b` is looked up in `a` and what is new is put between: a small state joins a large one in the time of a copy.
    """
    if not a or not b:
        return a or b, np.arange(len(a)), np.arange(len(b))
    first, second = pl.Series(a, dtype=pl.String), pl.Series(b, dtype=pl.String)
    before = first.search_sorted(second, side="left").to_numpy().astype(np.int64)
    new = (first.gather(np.minimum(before, len(a) - 1)) != second).to_numpy()
    moved = np.cumsum(np.bincount(before[new], minlength=len(a) + 1))[: len(a)]
    at_a = np.arange(len(a)) + moved
    at_b = np.empty(len(b), np.int64)
    at_b[new] = before[new] + np.arange(new.sum())
    at_b[~new] = at_a[before[~new]]
    both = np.empty(len(a) + int(new.sum()), object)
    both[at_b] = b
    both[at_a] = a
    return both.tolist(), at_a, at_b


def _summed(term: Numbers, of_class: Numbers, count: Numbers, classes: int) -> dict[str, Numbers]:
    """Counts added up by term and class, sorted by both."""
    if not len(term):
        return {"term": term.astype(np.int32), "class": of_class.astype(np.int32), "count": count}
    key = term.astype(np.int64) * classes + of_class
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    return {
        "term": (key[first] // classes).astype(np.int32),
        "class": (key[first] % classes).astype(np.int32),
        "count": np.add.reduceat(count[order], first),
    }
