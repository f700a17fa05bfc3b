"""Learners that may learn in shards, and their models: one of a shard each, and the mean of what they say.

Shards learn apart, vocabulary and scales included, so that a forgotten row costs one of them. The price: each has seen
a part of the rows only, rare classes and words suffer first; predicting costs once a shard; states are kept twice.
Sources: Bourtoule et al., Machine Unlearning, IEEE S&P 2021 (SISA); Breiman, Bagging predictors, 1996 (averaging).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from tillage.core.errors import BadData
from tillage.core.state import State
from tillage.core.step import Fitted, Sharded
from tillage.learn.learner import PREDICTION, Learner, Numbers, softmax, with_shares

_SHARDS, _REFUSED = "shards", "refused"


class ShardedLearner(Learner, Sharded):
    """A learner that sees all its rows at once, or in shards that do not know of each other.

    A shard that cannot learn (it has a single class, say) takes no part, and `refused` says why.
    """

    @abstractmethod
    def learn(self, rows: pl.DataFrame, before: State | None) -> State:
        """The state of the model of these rows; `before`: that of a part of them, for learners that resume.

        Raises BadData when they teach nothing.
        """

    @abstractmethod
    def fitted(self, state: State) -> LearntModel:
        """The model of a state."""

    def train(self, rows: pl.DataFrame, before: State | None) -> State:
        """The same, or why there is none: what the shard had learnt before cannot stand for what it is now."""
        if not self.in_shards():
            return self.learn(rows, None)
        try:
            return self.learn(rows, None if before is None or _REFUSED in before else before)
        except BadData as error:
            return {_REFUSED: [error.message, error.fix]}

    def refused(self, state: State) -> str | None:
        """Why a shard learnt nothing; None where it did."""
        return str(state[_REFUSED][0]) if _REFUSED in state else None

    def join(self, states: Sequence[State]) -> LearntModel:
        """The model; raises BadData when no shard learnt anything."""
        taught = [state for state in states if _REFUSED not in state]
        if not taught:
            message, fix = states[0][_REFUSED]
            if self.shards == 1:
                raise BadData(message, fix=fix)
            raise BadData(f"None of the {self.shards} shards could learn. {message}", fix=f"{fix} Or use fewer shards.")
        if self.shards == 1:
            return self.fitted(taught[0])
        shared = {name: taught[0][name] for name in ("input", "target")}
        if "classes" in taught[0]:
            shared["classes"] = sorted(set().union(*(state["classes"] for state in taught)))
        return self.fitted({**shared, _SHARDS: taught})


class LearntModel(Fitted):
    """A model of one state, or of one a shard."""

    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """The columns that a model of one state needs."""

    def seen(self, rows: pl.DataFrame) -> Any:
        """The rows as `scores` takes them: whatever work on them is the same for every shard."""
        return rows

    @abstractmethod
    def scores(self, seen: Any) -> Numbers:
        """What a model of one state says of rows: a classifier (rows, classes) on a logarithmic scale, else (rows,)."""

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for member in self.members for c in member.reads()))

    @property
    def is_linear(self) -> bool:
        """Whether scores are a weighted sum of features: no other linear model need stand beside its score."""
        return all(member.state.get("model") == "linear" for member in self.members)

    @cached_property
    def members(self) -> tuple[LearntModel, ...]:
        """The models of the shards; of a model without shards, itself."""
        states = self.state.get(_SHARDS)
        return (self,) if states is None else tuple(type(self)(state=state) for state in states)


class ClassifierModel(LearntModel):
    """Adds `prediction` and `confidence`: the class of the greatest share, and that share."""

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        return self.told(rows, self.shares(rows))

    def apply_with_shares(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The same, and `shares`: a Struct with a field a class, what an evaluation of probabilities asks for."""
        return self.told_with_shares(rows, self.shares(rows))

    def told(self, rows: pl.DataFrame, shares: Numbers) -> pl.DataFrame:
        """The rows with what their shares say."""
        return with_shares(rows, self.state["classes"], shares, self.best(rows, shares))

    def best(self, rows: pl.DataFrame, shares: Numbers) -> Numbers:
        """The place of the class predicted for each row: that of the greatest share, of equals the first."""
        return np.asarray(shares.argmax(axis=1))

    def told_with_shares(self, rows: pl.DataFrame, shares: Numbers) -> pl.DataFrame:
        """The same, and the shares."""
        told = pl.DataFrame(shares, schema=dict.fromkeys(self.state["classes"], pl.Float64)).to_struct("shares")
        return self.told(rows, shares).with_columns(told)

    def shares(self, rows: pl.DataFrame) -> Numbers:
        """(rows, classes): the share of each class, the mean over the shards, each row's sum 1."""
        return self.shares_of(self.seen(rows), rows.height)

    def shares_of(self, seen: Any, rows: int) -> Numbers:
        """The same, of so many rows that were looked at."""
        classes = self.state["classes"]
        if _SHARDS not in self.state:
            return softmax(self.scores(seen))
        at = {name: place for place, name in enumerate(classes)}
        shares = np.zeros((rows, len(classes)))
        for member in self.members:
            shares[:, [at[name] for name in member.state["classes"]]] += softmax(member.scores(seen))
        return np.asarray(shares / len(self.members))


class RegressorModel(LearntModel):
    """Adds `prediction` (Float64)."""

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        seen = self.seen(rows)
        values = np.zeros(rows.height)
        for member in self.members:
            values += member.scores(seen)
        return rows.with_columns(pl.Series(PREDICTION, values / len(self.members), dtype=pl.Float64))
