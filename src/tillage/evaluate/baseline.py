"""The naive model beside which every score stands: the commonest class, or the mean.

One pass; the state is exact, so that baselines merge in any order: counts of classes, or the sum of the numbers as an
integer of units of 2^-1074, of which every float64 is a multiple.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from unicodedata import normalize

import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.evaluate.tested import as_numbers, as_text, named
from tillage.measure.exact import UNIT, float_sum, rounded

BASELINE = "baseline"

_TOLD = 5
"""Groups of classes that are told by name."""

_MANY, _FEW_EACH = 20, 10
"""Classes above which, and rows of each on average below which, numbers are taken for amounts."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?$")


class NaiveBaseline(Fold):
    """What is predicted without looking: the commonest class (of equals, the first by name), or the mean.

    >>> fold = NaiveBaseline(target="y", task="classification")
    >>> model = fold.finish(fold.update(fold.start(), pl.DataFrame({"y": ["b", "a", "b", None]})))
    >>> model.apply(pl.DataFrame({"x": [1]}))["baseline"][0]
    'b'
    """

    target: str = Field(min_length=1, description="column that the model learns")
    task: Literal["classification", "regression"] = Field("classification", description="classes, or numbers")

    def needs(self) -> tuple[str, ...]:
        return (self.target,)

    def start(self) -> State:
        return {} if self.task == "classification" else {"rows": 0, "sum": 0}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        if self.task == "classification":
            counts = as_text(rows, self.target).drop_nulls().value_counts(name="_rows")
            return self.merge(state, dict(counts.iter_rows()))
        numbers = as_numbers(rows, self.target).drop_nulls().to_numpy()
        return self.merge(state, {"rows": len(numbers), "sum": float_sum(numbers)[0]})

    def merge(self, a: State, b: State) -> State:
        return {name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})}

    def finish(self, state: State) -> BaselineModel:
        """The Map; raises BadData when no row had a target."""
        if not (state if self.task == "classification" else state["rows"]):
            raise BadData(
                f"No row has a value in the target column '{self.target}'.",
                fix="Look at the filters before the model, and at the column's name.",
            )
        value: str | float
        warnings: list[str] = []
        if self.task == "classification":
            value = min(state, key=lambda name: (-state[name], name))
            warnings = doubtful(state, self.target)
        else:
            value = rounded(state["sum"], state["rows"] << UNIT)
        facts = {"task": self.task, "target": self.target, "value": value, "warnings": warnings}
        classes = {"classes": sorted(state)} if self.task == "classification" else {}
        return BaselineModel(state={**facts, **classes})


def doubtful(counts: Mapping[str, int], target: str) -> list[str]:
    """What makes one doubt that classes are classes, of those of the training rows; `counts`: class to rows.

    >>> doubtful({"a": 5, "A ": 2, "": 1}, "y")[0][:77]
    "Classes of 'y' that differ in blanks, width or letter case alone: 'A ' and 'a"
    """
    found, spellings = [], dict[str, list[str]]()
    for name in sorted(counts):
        spellings.setdefault("".join(normalize("NFKC", name).casefold().split()), []).append(name)
    alike = [" and ".join(f"'{name}'" for name in names) for names in spellings.values() if len(names) > 1]
    if alike:
        told = "; ".join(alike[:_TOLD]) + (f"; and {len(alike) - _TOLD} more" if len(alike) > _TOLD else "")
        found.append(
            f"Classes of '{target}' that differ in blanks, width or letter case alone: {told}. "
            f"If they are one, put a step before the model: merge_spellings: {{columns: ['{target}'], edits: 0}}."
        )
    if "" in spellings:
        found.append(
            f"An empty text is a class of '{target}'. If it stands for what nobody knows, make it null: "
            f"derive: {{columns: {{{target}: \"if(trim({target}) = '', null, {target})\"}}}}."
        )
    rows = sum(counts.values())
    if len(counts) > _MANY and rows < _FEW_EACH * len(counts) and all(map(_NUMBER.match, counts)):
        found.append(
            f"The {len(counts):,} classes of '{target}' are numbers, of {rows / len(counts):.2g} training rows each: "
            "if they are amounts, a regressor learns them."
        )
    elif len(counts) > _MANY and len(counts) > rows / 2:
        found.append(f"'{target}' has {len(counts):,} classes in {rows:,} training rows: is it a key?")
    once = sorted(name for name, number in counts.items() if number == 1)
    if once:
        found.append(f"Only one training row: {named(once)}. A class needs more to be learnt.")
    return found


class BaselineModel(Fitted):
    """Adds the column `baseline`, the same value in every row.

    >>> BaselineModel(state={"value": 2.5}).apply(pl.DataFrame({"x": [1, 2]}))["baseline"].to_list()
    [2.5, 2.5]
    """

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        value = self.state["value"]
        return rows.with_columns(
            pl.lit(value, dtype=pl.String if isinstance(value, str) else pl.Float64).alias(BASELINE)
        )
