"""Classes evened out for training: rows of rare classes are copied, or rows of frequent ones leave.

How often is learnt once from the counts of the classes, and pinned: a Fold, whose result is a Map. So a row that comes
costs itself, where an exact balance would be a Whole that decides on every row anew. The price is that the numbers are
met within a few per cent: each row draws for itself. 0.3 microseconds a row and copy.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.synthetic import children, familiar
from tillage.core.columns import require
from tillage.core.errors import ConfigurationError
from tillage.core.rows import ID, leave
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.measure import ValueCounts

BALANCED = "balanced"
"""The reason of a row that left so that its class is no longer too frequent."""

To = Literal["largest", "median", "smallest"]


class BalancedClasses(Fitted):
    """Copies or lets go rows of each class at the rates in its state: `{"target", "seed", "rates": {class: rate}}`.

    A rate of 2.5 makes one or two copies of a row, 1.5 on average; one of 0.4 lets six in ten rows go, with reason
    `balanced`. Rows of classes that were not there when it was fitted, and rows without one, stay as they are.

    >>> rows = pl.DataFrame({"y": ["a", "b"], "_id": pl.Series([1, 2], dtype=pl.UInt128)})
    >>> made = BalancedClasses(state={"target": "y", "seed": 0, "rates": {"b": 3.0}}).apply(rows)
    >>> made["y"].to_list(), made["_parent"].to_list()
    (['a', 'b', 'b', 'b'], [None, None, 2, 2])
    """

    makes_children: ClassVar[bool] = True
    synthetic: ClassVar[bool] = True

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"target": "city", "seed": 3, "rates": {"Ulm": 2.5, "Rome": 0.5}})

    def needs(self) -> tuple[str, ...]:
        """The column of classes."""
        return (self.state["target"],)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, those that leave marked, and after them the copies."""
        target, seed = self.state["target"], self.state["seed"]
        require(rows, (target,))
        own = familiar(rows)
        rates = own[target].cast(pl.String).replace_strict(self.state["rates"], default=1.0, return_dtype=pl.Float64)
        drawn = pl.Series(Chance(own[ID], f"balance_classes:{seed}").uniform(), dtype=pl.Float64)
        more = rates.floor() - 1 + (drawn < rates - rates.floor()).cast(pl.Float64)
        copies = [
            children(own.filter(more > copy), f"balance_classes:{target}:{seed}:{copy}")
            for copy in range(max(int(more.max() or 0), 0))
        ]
        if min(self.state["rates"].values(), default=1) < 1:
            own = leave(own, BALANCED, pl.lit((rates < 1) & (drawn >= rates)))
        return pl.concat([own, *copies], how="diagonal")


class BalanceClasses(Fold):
    """Learn how rare each class is; the result is a `BalancedClasses`, which evens them out.

    `largest`: rows of all other classes are copied until they are as many; `smallest`: rows of all others leave, with
    reason `balanced`; `median`: both, towards the class in the middle. The numbers are met on average, row by row, and
    stay those of the first run until `tillage run --refit`. Rows without a class do not count. Copies are for training
    alone: they never test, and a row that is scored passes the step over.

    >>> step = BalanceClasses(target="y")
    >>> rows = pl.DataFrame({"y": ["a"] * 6 + ["b"] * 2, "_id": range(8)}, schema_overrides={"_id": pl.UInt128})
    >>> step.finish(step.update(step.start(), rows)).apply(rows)["y"].value_counts(sort=True).rows()
    [('a', 6), ('b', 6)]

    Source: He and Garcia, Learning from imbalanced data, IEEE TKDE 21 (9), 2009.
    """

    makes_children: ClassVar[bool] = True
    synthetic: ClassVar[bool] = True

    target: str = Field(description="column of classes: texts, whole numbers, or true and false")
    to: To = Field("largest", description="class that the others come to be as frequent as")
    most: float = Field(20, ge=1, description="greatest rate: a row of a very rare class is not there more often")
    seed: int = Field(0, description="another seed copies other rows, or lets others go")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(target="city", to="median")

    def needs(self) -> tuple[str, ...]:
        """The column of classes."""
        return (self.target,)

    def start(self) -> State:
        """No row seen."""
        return _COUNTS.start()

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The counts with these rows; raises ConfigurationError for a column that is missing or holds no classes."""
        require(rows, (self.target,))
        values = rows[self.target]
        if values.dtype.is_float() or values.dtype.is_nested() or values.dtype == pl.Binary:
            raise ConfigurationError(
                f"Column '{self.target}' holds {values.dtype}; classes are texts, whole numbers, or true and false.",
                fix="Put numbers into classes first: bin.",
            )
        return _COUNTS.update(state, values.cast(pl.String).rename("value").drop_nulls())

    def merge(self, a: State, b: State) -> State:
        """The counts of both."""
        return _COUNTS.merge(a, b)

    def finish(self, state: State) -> BalancedClasses:
        """The Map that evens the classes out."""
        counts: dict[str, int] = _COUNTS.finish(state)
        sizes = sorted(counts.values())
        wanted = {"largest": -1, "median": (len(sizes) - 1) // 2, "smallest": 0}[self.to]
        rates = {c: min(sizes[wanted] / n, self.most) for c, n in sorted(counts.items()) if n != sizes[wanted]}
        return BalancedClasses(state={"target": self.target, "seed": self.seed, "rates": rates})


_COUNTS = ValueCounts()
