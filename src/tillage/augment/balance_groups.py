"""Groups of people made to have every class as often as the rest, for training: rows of rare pairs are copied.

A model learns that a group seldom has the favourable class, because in the data it seldom has. Here each pair of group
and class comes to be as frequent as if the two were independent: the weights of Kamiran and Calders, by copies, so that
every learner can use them. Copies never test, so the score is that on people as they are. What it costs in accuracy
and what it brings in fairness, the report of the model says (`evaluate: {sensitive: ..., favourable: ...}`).
How often is learnt once from the counts, and pinned. 0.5 microseconds a row and copy.
Source: Kamiran and Calders, Data preprocessing techniques for classification without discrimination, KAIS 33, 2012.
"""

from __future__ import annotations

import json
from typing import ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from tillage.augment.chance import Chance
from tillage.augment.synthetic import children, familiar
from tillage.core.columns import require
from tillage.core.errors import ConfigurationError
from tillage.core.rows import ID
from tillage.core.state import State
from tillage.core.step import Fitted, Fold
from tillage.measure import ValueCounts


def _pairs(rows: pl.DataFrame, group: str, target: str) -> pl.Series:
    """Group and class of each row as one JSON text; null where one of them is missing."""
    both = pl.struct(pl.col(group).cast(pl.String).alias("g"), pl.col(target).cast(pl.String).alias("c"))
    known = pl.col(group).is_not_null() & pl.col(target).is_not_null()
    return rows.select(pl.when(known).then(both.struct.json_encode()).alias("pair"))["pair"]


class BalancedGroups(Fitted):
    """Copies rows of each pair at the rate in its state: `{"group", "target", "seed", "rates": {pair: rate}}`.

    A pair is the JSON text `{"g": GROUP, "c": CLASS}`. Rows of other pairs, and rows without a group or a class, stay
    as they are.

    >>> rows = pl.DataFrame({"sex": ["f", "m"], "y": [1, 1], "_id": pl.Series([1, 2], dtype=pl.UInt128)})
    >>> state = {"group": "sex", "target": "y", "seed": 0, "rates": {'{"g":"f","c":"1"}': 2.0}}
    >>> BalancedGroups(state=state).apply(rows)["sex"].to_list()
    ['f', 'm', 'f']
    """

    makes_children: ClassVar[bool] = True
    synthetic: ClassVar[bool] = True

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"group": "city", "target": "n", "seed": 3, "rates": {'{"g":"Ulm","c":"1"}': 2.5}})

    def needs(self) -> tuple[str, ...]:
        """The columns of groups and of classes."""
        return (self.state["group"], self.state["target"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, and after them the copies."""
        group, target, seed = self.state["group"], self.state["target"], self.state["seed"]
        require(rows, (group, target))
        own = familiar(rows)
        rates = _pairs(own, group, target).replace_strict(self.state["rates"], default=1.0, return_dtype=pl.Float64)
        drawn = pl.Series(Chance(own[ID], f"balance_groups:{seed}").uniform(), dtype=pl.Float64)
        more = rates.floor() - 1 + (drawn < rates - rates.floor()).cast(pl.Float64)
        copies = [
            children(own.filter(more > copy), f"balance_groups:{group}:{target}:{seed}:{copy}")
            for copy in range(int(more.to_numpy().max(initial=0)))
        ]
        return pl.concat([own, *copies], how="diagonal")


class BalanceGroups(Fold):
    """Learn how often each group has each class; the result is a `BalancedGroups`, which makes the two independent.

    The rate of a pair is its expected share, rows of the group times rows of the class over all rows, over the share
    that it has; the least rate is raised to 1, since rows are copied and none is left out. Numbers are met on average,
    row by row, and stay those of the first run until `tillage run --refit`. Copies are for training alone: they never
    test, and a row that is scored passes the step over.

    >>> step = BalanceGroups(group="sex", target="hired")
    >>> rows = pl.DataFrame({"sex": ["f"] * 4 + ["m"] * 4, "hired": [1, 0, 0, 0, 1, 1, 1, 0]})
    >>> made = step.finish(step.update(step.start(), rows))
    >>> made.state["rates"]['{"g":"f","c":"1"}']
    3.0
    """

    makes_children: ClassVar[bool] = True
    synthetic: ClassVar[bool] = True

    group: str = Field(min_length=1, description="column of the groups that are to be treated alike")
    target: str = Field(min_length=1, description="column of classes: texts, whole numbers, or true and false")
    most: float = Field(20, ge=1, description="greatest rate: a row of a very rare pair is not there more often")
    seed: int = Field(0, description="another seed copies other rows")

    @model_validator(mode="after")
    def _two_columns(self) -> Self:
        if self.group == self.target:
            raise ValueError("'group' and 'target' must be two columns")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(group="city", target="n")

    def needs(self) -> tuple[str, ...]:
        """The columns of groups and of classes."""
        return (self.group, self.target)

    def start(self) -> State:
        """No row seen."""
        return _COUNTS.start()

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The counts with these rows; raises ConfigurationError for a column that is missing or holds no classes."""
        require(rows, (self.group, self.target))
        for name in (self.group, self.target):
            dtype = rows.schema[name]
            if dtype.is_float() or dtype.is_nested() or dtype == pl.Binary:
                raise ConfigurationError(
                    f"Column '{name}' holds {dtype}; groups and classes are texts, whole numbers, or true and false.",
                    fix="Put numbers into classes first: bin.",
                )
        return _COUNTS.update(state, _pairs(rows, self.group, self.target).drop_nulls())

    def merge(self, a: State, b: State) -> State:
        """The counts of both."""
        return _COUNTS.merge(a, b)

    def finish(self, state: State) -> BalancedGroups:
        """The Map that copies rows of rare pairs."""
        counts: dict[str, int] = _COUNTS.finish(state)
        of_group, of_class = dict[str, int](), dict[str, int]()
        for pair, rows in counts.items():
            named = json.loads(pair)
            of_group[named["g"]] = of_group.get(named["g"], 0) + rows
            of_class[named["c"]] = of_class.get(named["c"], 0) + rows
        total, weights = sum(counts.values()), dict[str, float]()
        for pair, rows in sorted(counts.items()):
            named = json.loads(pair)
            weights[pair] = of_group[named["g"]] * of_class[named["c"]] / (total * rows)
        least = min(weights.values(), default=1.0)
        rates = {pair: min(weight / least, self.most) for pair, weight in weights.items() if weight > least}
        return BalancedGroups(state={"group": self.group, "target": self.target, "seed": self.seed, "rates": rates})


_COUNTS = ValueCounts()
