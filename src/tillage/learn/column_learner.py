"""Learners of the columns of a table, and their models: which columns they are, and what answers from a saved state.

Costs nothing of its own. What a cell becomes stands in `columns.py` and `cells.py`, what answers in `families.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.learn.columns import inputs_of
from tillage.learn.ensemble import LearntModel
from tillage.learn.families import Answering
from tillage.learn.learner import Learner, Numbers
from tillage.learn.onnx_model import written


class ColumnLearner(Learner):
    """A learner of all columns but the target, or of those that are named."""

    input: str | Columns | None = Field(
        None, min_length=1, description="columns to learn from; all others than the target unless named"
    )
    group: str | None = Field(
        None, min_length=1, description="column by which a split goes, not learnt from; a plan's split sets it"
    )

    def needs(self) -> tuple[str, ...]:
        named = () if self.input is None else (self.input,) if isinstance(self.input, str) else self.input
        return tuple(dict.fromkeys((*named, *((self.group,) if self.group else ()), self.target)))

    def inputs(self, rows: pl.DataFrame) -> list[str]:
        """The columns of the rows that are learnt from."""
        names = inputs_of(rows, self.input, self.target)
        return names if self.input is not None else [name for name in names if name != self.group]


class ColumnModel(LearntModel):
    """A model whose state says, as `columns`, what each column becomes."""

    def reads(self) -> tuple[str, ...]:
        return tuple(c["name"] for c in self.state["columns"] if c["kind"] != "dropped")

    def onnx(self, facts: Mapping[str, str] | None = None) -> bytes:
        """The model as ONNX, as `onnx_model.written`: raw columns in; UsageError where there is no graph of it."""
        return written([member.state for member in self.members], self.state.get("classes"), facts or {})


class FamilyModel(ColumnModel):
    """A model of one of the families: its state says which, as `model`."""

    def scores(self, seen: pl.DataFrame) -> Numbers:
        return self._answering.scores(seen)

    def contributions(self, rows: pl.DataFrame, background: pl.DataFrame) -> tuple[list[str], Numbers, Numbers] | None:
        """What each column adds to a row's scores, as `families.Answering.contributions`; None where it has no such."""
        return None if len(self.members) > 1 else self._answering.contributions(rows, background)

    @cached_property
    def _answering(self) -> Answering:
        return Answering(self.state)
