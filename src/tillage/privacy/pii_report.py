"""How much personal data a table holds, by column and type: counts alone, no value of anybody. One pass, mergeable."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import polars as pl

from tillage.core.state import State
from tillage.core.step import Fold
from tillage.privacy.looking import Looking


class PiiReport(Looking, Fold):
    """Rows and findings by column and type; `share` is that of the rows of the column that hold the type.

    >>> step, rows = PiiReport(), pl.DataFrame({"note": ["call 13812345678 or 13912345678", "fine"]})
    >>> step.finish(step.update(step.start(), rows))
    {'rows': 2, 'columns': {'note': {'phone': {'rows': 1, 'found': 2, 'share': 0.5}}}}
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(words={"town": ("Ulm", "\u5317\u4eac")}, cells={"day": "date"})

    def start(self) -> State:
        """No rows, no columns."""
        return {"rows": 0, "columns": {}}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with these rows; raises ConfigurationError for a column that is missing or holds something else."""
        columns: dict[str, Any] = {}
        for column in self.looked_at(rows, whole_numbers=True):
            held: Counter[str] = Counter()
            found: Counter[str] = Counter()
            for spans in self.found_in(rows, column).values():
                held.update({span.type for span in spans})
                found.update(span.type for span in spans)
            columns[column] = {t: [held[t], found[t]] for t in sorted(found)}
        return self.merge(state, {"rows": rows.height, "columns": columns})

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        columns: dict[str, Any] = {}
        for name in sorted(a["columns"].keys() | b["columns"].keys()):
            x, y = a["columns"].get(name, {}), b["columns"].get(name, {})
            columns[name] = {
                t: [p + q for p, q in zip(x.get(t, [0, 0]), y.get(t, [0, 0]), strict=True)]
                for t in sorted(x.keys() | y.keys())
            }
        return {"rows": a["rows"] + b["rows"], "columns": columns}

    def finish(self, state: State) -> dict[str, Any]:
        """`rows`, and `columns`: name to type to `rows`, `found` and `share`; columns without any are there, empty."""
        total = state["rows"]
        return {
            "rows": total,
            "columns": {
                name: {t: {"rows": n, "found": k, "share": n / total} for t, (n, k) in types.items()}
                for name, types in state["columns"].items()
            },
        }
