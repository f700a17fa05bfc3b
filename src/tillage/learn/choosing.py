"""Choosing by an inner cross-validation: which model, and how many boosted trees, from the training rows alone.

A row's fold follows from its `_id`, or from its group's value, so that the same rows are asked the same question and
groups are never torn. Up to MANY rows in five folds, above in one of five, the linear model from LINEAR rows at most:
the choice costs about as much as growing the trees once more.
Source: Stone, Cross-validatory choice and assessment of statistical predictions, JRSS B 36, 1974.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from tillage.learn.boosting import Boosting
from tillage.learn.examples import Examples, Table, first
from tillage.learn.learner import Numbers, softmax

FEWEST = 60
"""Rows below which nothing is chosen: the linear model stands, and 100 rounds."""
MANY = 5_000
FOLDS = 5
LINEAR = 8_000
_ROUNDS = 100


class Learns(Protocol):
    """A family of models: what it learns from some examples answers for others."""

    def held_out(self, seen: Examples, held: Examples) -> Numbers:
        """Scores of the held rows, by a model of those that are seen."""
        ...


@dataclass(frozen=True)
class Answers:
    """What models said of rows that they had not seen: (rows, classes) of shares, or (rows,) of numbers."""

    said: Numbers
    asked: Numbers
    """Which rows were asked; the others' numbers mean nothing."""

    def losses(self, examples: Examples) -> Numbers:
        """Log loss of each row that was asked, times its weight; of numbers, the squared error."""
        said, target = self.said[self.asked], examples.target[self.asked]
        if not examples.classes:
            return np.asarray((said - target) ** 2)
        lost = -np.log(np.maximum(said[np.arange(len(said)), target], 1e-15))
        return np.asarray(lost if examples.weight is None else lost * examples.weight[self.asked])


class Held:
    """The folds of a table, and what is asked of them."""

    def __init__(self, folds: Numbers, every: bool) -> None:
        """`every`: whether each fold is held out in turn, even where rows are many."""
        self._folds = folds
        self._numbers = range(FOLDS) if every or len(folds) <= MANY else range(1)

    def parts(self, examples: Examples) -> list[tuple[Numbers, Numbers]]:
        """The rows seen and the rows held, by place, where both are some and those seen have two classes."""
        found = []
        for number in self._numbers:
            held, seen = np.flatnonzero(self._folds == number), np.flatnonzero(self._folds != number)
            if examples.classes and len(seen):
                known = examples.known(seen)
                held = held[np.isin(examples.target[held], known)] if len(known) > 1 else held[:0]
            if len(held) and len(seen) > 1:
                found.append((seen, held))
        return found

    def answers(self, examples: Examples, learns: Learns, most: int | None = None) -> Answers:
        """What models of the other folds say of each."""
        parts = self.parts(examples)
        said = []
        for seen, held in parts:
            chosen = seen if most is None else seen[first(seen, most)]
            if examples.classes and len(examples.known(chosen)) < len(examples.known(seen)):
                chosen = seen
            said.append(learns.held_out(examples.part(chosen), _held(examples, seen, held)))
        return _gathered(examples, parts, said)

    def losses(self, examples: Examples, learns: Learns) -> Iterator[float]:
        """The mean loss on each fold in turn, by a model of the others."""
        for seen, held in self.parts(examples):
            said = learns.held_out(examples.part(seen), _held(examples, seen, held))
            yield float(_gathered(examples, [(seen, held)], [said]).losses(examples).mean())

    def boosted(self, examples: Examples, boosting: Boosting) -> tuple[Answers, int]:
        """The same of boosted trees, each after so many rounds as did best on the mean of all folds."""
        parts = self.parts(examples)
        grown = [boosting.rounds(examples.part(seen), _held(examples, seen, held)) for seen, held in parts]
        if not grown:
            return _gathered(examples, [], []), _ROUNDS
        rounds = max(1, round(sum(best for best, _ in grown) / len(grown)))
        said = [ask(rounds) for _, ask in grown]
        return _gathered(examples, parts, said), rounds


@dataclass(frozen=True)
class Early:
    """Boosted trees of as many rounds as do best on the rows that judge them."""

    boosting: Boosting

    def held_out(self, seen: Examples, held: Examples) -> Numbers:
        """Scores of the held rows."""
        best, ask = self.boosting.rounds(seen, held)
        return np.asarray(ask(best))


def _held(examples: Examples, seen: Numbers, held: Numbers) -> Examples:
    """The held rows, their classes numbered as the seen ones number theirs."""
    if not examples.classes:
        return examples.part(held)
    known = examples.known(seen)
    target = np.searchsorted(known, examples.target[held])
    return Examples(examples.matrix[held], target, len(known), examples.balanced)


def _wide(scores: Numbers) -> Numbers:
    """LightGBM gives two classes one score."""
    return np.column_stack([np.zeros_like(scores), scores]) if scores.ndim == 1 else scores


def _gathered(examples: Examples, parts: list[tuple[Numbers, Numbers]], said: list[Any]) -> Answers:
    rows, classes = len(examples.target), examples.classes
    found, asked = np.zeros((rows, classes) if classes else rows), np.zeros(rows, np.bool_)
    for (seen, held), scores in zip(parts, said, strict=True):
        asked[held] = True
        if classes:
            found[np.ix_(held, examples.known(seen))] = softmax(_wide(scores))
        else:
            found[held] = scores
    return Answers(found, asked)


def better(linear: Answers, trees: Answers, table: Table, group: pl.Series | None) -> str:
    """`boosted_trees` where their mean loss is the less by more than one standard error, else the plainer `linear`.

    Rows of one group err together, so with groups the error is that of the groups' sums.
    Source of the rule: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984, section 3.4.3.
    """
    gained = linear.losses(table.dense) - trees.losses(table.dense)
    if group is not None:
        of = group.filter(pl.Series(linear.asked)).rank("dense").to_numpy() - 1
        gained = np.bincount(of, gained)
    if len(gained) < 2:
        return "linear"
    return "boosted_trees" if gained.mean() > gained.std(ddof=1) / np.sqrt(len(gained)) else "linear"
