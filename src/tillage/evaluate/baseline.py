"""The naive model beside which every score stands: the commonest class, or the mean.

One pass; the state is exact, so that baselines merge in any order: counts of classes, or the sum of the numbers as an
integer of units of 2^-1074, of which every float64 is a multiple.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.evaluate.tested import as_numbers, as_text, named
from tillage.measure.exact import UNIT, float_sum, rounded

BASELINE = "baseline"

_SHOWN = 3
"""Sets of classes spelt alike that are named."""
_MANY, _FEW_EACH = 30, 10
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
        warnings = []
        if self.task == "classification":
            value = min(state, key=lambda name: (-state[name], name))
            once = sorted(name for name, rows in state.items() if rows == 1)
            if once:
                warnings.append(f"Only one training row: {named(once)}. A class needs more to be learnt.")
            warnings += [*_spelt_alike(list(state), self.target), *_numbers(state, self.target)]
        else:
            value = rounded(state["sum"], state["rows"] << UNIT)
        facts = {"task": self.task, "target": self.target, "value": value, "warnings": warnings}
        classes = {"classes": sorted(state)} if self.task == "classification" else {}
        return BaselineModel(state={**facts, **classes})


def _spelt_alike(classes: list[str], target: str) -> list[str]:
    """A sentence where classes differ in nothing but blanks and case.

    >>> _spelt_alike(["No", "yes", "Yes "], "y")[0][:60]
    "Classes that differ in blanks or case alone: 'Yes ' and 'yes"
    """
    spellings: dict[str, list[str]] = {}
    for name in sorted(classes):
        spellings.setdefault(" ".join(name.split()).casefold(), []).append(name)
    alike = [" and ".join(f"'{name}'" for name in names) for names in spellings.values() if len(names) > 1]
    if not alike:
        return []
    more = f"; and {len(alike) - _SHOWN} more" if len(alike) > _SHOWN else ""
    said = "; ".join(alike[:_SHOWN])
    return [
        f"Classes that differ in blanks or case alone: {said}{more}. If they are one, put a step before the model: "
        f"normalize: {{columns: ['{target}'], lower: true}}."
    ]


def _numbers(classes: Mapping[str, int], target: str) -> list[str]:
    """A sentence where the classes are many numbers of few rows each: an amount, and no class.

    >>> len(_numbers({str(n / 4): 2 for n in range(40)}, "y")), _numbers({str(n): 50 for n in range(40)}, "y")
    (1, [])
    """
    rows = sum(classes.values())
    if len(classes) <= _MANY or rows >= _FEW_EACH * len(classes) or not all(map(_NUMBER.match, classes)):
        return []
    return [
        f"The {len(classes):,} classes of '{target}' are numbers, of {rows / len(classes):.2g} training rows each: if "
        "they are amounts, a regressor learns them."
    ]


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
