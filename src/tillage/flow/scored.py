"""A model as a step: the last one of a table whose rows it answers (`score: MODEL`).

It stands apart from what scores rows from outside (`flow.score`), so that a run loads no more than it needs, and so
that tables are answered anew only when the model or this changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import polars as pl

from tillage.core.answers import CONFIDENCE, PREDICTION
from tillage.core.errors import ConfigurationError
from tillage.core.step import Fitted, Map


class Score(Map):
    """A model as the last step of a table: each row with its prediction, and whatever else the model says of it.

    Rows are those that the model's own table has: what prepares them stands before it.
    """

    name_of_model: str
    fitted: Fitted

    def params(self) -> dict[str, Any]:
        """The digest of what was learnt stands for it."""
        return {"model": self.name_of_model, **self.fitted.params()}

    def needs(self) -> tuple[str, ...]:
        """The columns that the model reads."""
        return tuple(c for c in self.fitted.needs() if c != self.fitted.state.get("target"))

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with `prediction`, and `confidence` of a classifier; ConfigurationError for a column that it needs
        and that is not there, or that it would write over."""
        missing = [c for c in self.needs() if c not in rows.columns]
        if missing:
            said = "\n".join(absent(c, f"model '{self.name_of_model}'", rows.columns) for c in missing)
            raise ConfigurationError(said, fix="Add the column by a step, or score a table that has it.")
        sure = (CONFIDENCE,) if "classes" in self.fitted.state else ()
        if clash := [c for c in (PREDICTION, *sure, *added(self.fitted)) if c in rows.columns]:
            raise ConfigurationError(
                f"The rows already have {quoted(clash)}, which model '{self.name_of_model}' would write over.",
                fix="Rename it by a step before: rename: {columns: {" + clash[0] + ": OTHER}}.",
            )
        return self.fitted.apply(rows)


def added(model: Fitted) -> tuple[str, ...]:
    """The columns of numbers that a model adds beside prediction and confidence."""
    return tuple(getattr(model, "adds", ()))


def absent(column: str, step: str, there: Sequence[str]) -> str:
    """That a column is missing, and which step needs it."""
    near = get_close_matches(column, there, n=1)
    hint = f"the nearest name is '{near[0]}'" if near else f"there are: {', '.join(there) or 'none'}"
    return f"Column '{column}', which {step} needs, is missing; {hint}."


def quoted(names: Sequence[str]) -> str:
    """Columns in a sentence: `the column 'a'`, `the columns 'a', 'b'`."""
    listed = ", ".join(f"'{name}'" for name in names)
    return f"the column{'' if len(names) == 1 else 's'} {listed}"
