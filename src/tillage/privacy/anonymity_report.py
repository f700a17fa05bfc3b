"""How far the people in a table can be told apart: the smallest class, its sensitive values, and what was lost for it.

Counts alone, no value of anybody, whatever made the table anonymous. One pass, mergeable; the state holds the different
combinations of the columns looked at, once each.
Sources: Sweeney (2002): k, and precision, of which `loss` is the rest to 1; Bayardo and Agrawal, Data privacy through
optimal k-anonymization, ICDE 2005: discernibility; LeFevre, DeWitt and Ramakrishnan, Mondrian, ICDE 2006: the average
class; Xu et al., Utility-based anonymization using local recoding, KDD 2006: the normalised certainty penalty;
Machanavajjhala et al. (2007): l; Li, Li and Venkatasubramanian (2007): t, with equal distances.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.rows import user_columns
from tillage.core.state import State
from tillage.core.step import Fold
from tillage.measure.combinations import COUNT, Combinations
from tillage.privacy.classes import coded, distances
from tillage.privacy.hierarchies import Hierarchy


class AnonymityReport(Fold):
    """Measure a table's anonymity; the same `columns` as those of `anonymize`, whose hierarchies tell what was lost.

    `k`: rows of the smallest class (rows equal in all `columns`); `l`: by sensitive column, fewest different values in
    a class; `t`: by sensitive column, most that the shares in a class differ from the table's, 0 to 1; `classes`;
    `average_class`: rows; `discernibility`: for each row the rows of its class, summed; `alone`: share of rows that
    are a class of their own; `loss`: by column, mean of level / highest level, 0 to 1, and `mean`; `ncp`: by column and
    `mean`, the normalised certainty penalty, how much the labels leave open, 0 to 1: widths of ranges over that of all,
    values below a node over all values. Rows that left are not in it. None without rows.

    >>> rows = pl.DataFrame({"age": ["[20, 30)", "[20, 30)", "*"], "ill": ["a", "b", "a"]})
    >>> step = AnonymityReport(columns={"age": {"ranges": [10]}}, sensitive=("ill",))
    >>> found = step.finish(step.update(step.start(), rows))
    >>> found["k"], found["l"], found["classes"], found["loss"]["age"], round(found["t"]["ill"], 3)
    (1, {'ill': 1}, 2, 0.6666666666666666, 0.333)
    """

    version: ClassVar[int] = 2

    columns: dict[str, Hierarchy] = Field(
        min_length=1, description="what others may know of a person: column to how it was made coarser"
    )
    sensitive: tuple[str, ...] = Field((), description="columns that must not be guessed")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns={"city": Hierarchy(prefix=(2,)), "day": Hierarchy(dates=("year",))}, sensitive=("n",))

    def needs(self) -> tuple[str, ...]:
        """The columns looked at."""
        return (*self.columns, *self.sensitive)

    def start(self) -> State:
        """No rows."""
        return self._combinations().start()

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises ConfigurationError for a column that is missing."""
        known = user_columns(rows)
        missing = [c for c in self.needs() if c not in known]
        if missing:
            raise ConfigurationError(Problem(unknown_name("column", c, known)) for c in missing)
        return self._combinations().update(state, rows)

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        return self._combinations().merge(a, b)

    def finish(self, state: State) -> dict[str, Any]:
        """The numbers."""
        table = self._combinations().table(state)
        counts = table[COUNT].to_numpy()
        rows = int(counts.sum())
        if not rows:
            nothing = dict.fromkeys(("k", "average_class", "discernibility", "alone"))
            return {"rows": 0, "classes": 0, **nothing, "l": {}, "t": {}, "loss": {}, "ncp": {}}
        named = table.select(list(self.columns))
        classes = coded(named.to_struct("class"))[0].to_numpy().astype(np.int64)
        size = int(classes.max()) + 1
        sizes = np.bincount(classes, counts, size).astype(np.int64)
        diverse, close = {}, {}
        for name in self.sensitive:
            known = table.with_columns(pl.Series("class", classes)).drop_nulls(name)
            kinds = known.group_by("class").agg(pl.col(name).n_unique())
            diverse[name] = int(kinds[name].min()) if kinds.height == size else 0  # type: ignore[arg-type]
            secret = coded(table[name])[0].to_numpy().astype(np.int64)
            close[name] = float(distances(classes, secret, counts, size).max())
        loss, open_ = {}, {}
        for name, hierarchy in self.columns.items():
            level = hierarchy.levels(table[name]).fill_null(0).to_numpy()
            loss[name] = int((level * counts).sum()) / (hierarchy.height * rows)
            open_[name] = math.fsum(hierarchy.penalties(table[name]).to_numpy() * counts) / rows
        return {
            "rows": rows,
            "classes": size,
            "k": int(sizes.min()),
            "l": diverse,
            "t": close,
            "average_class": rows / size,
            "discernibility": int((sizes * sizes).sum()),
            "alone": int((sizes == 1).sum()) / rows,
            "loss": {**loss, "mean": sum(loss.values()) / len(loss)},
            "ncp": {**open_, "mean": sum(open_.values()) / len(open_)},
        }

    def _combinations(self) -> Combinations:
        return Combinations(self.needs())
