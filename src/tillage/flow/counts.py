"""Law 1 in numbers: what became of each row that entered a stage, and of a table made of stages.

    in   = kept + dropped + merged + consumed + quarantined
    rows = kept + created

Rows made inside a table count as `created` while they live, and nowhere when they do not: they never entered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from tillage.core.errors import VerifyFailed
from tillage.core.rows import MERGED, PARENT, REASON
from tillage.flow.stages import Stage


class Counts:
    """The counts of one stage, kept up to date by differences."""

    def __init__(self, before: dict[str, Any] | None) -> None:
        before = before or {}
        self.entered = int(before.get("in", 0))
        self.rows = int(before.get("rows", 0))
        self.created = int(before.get("created", 0))
        self.merged = int(before.get("merged", 0))
        self.consumed = int(before.get("consumed", 0))
        self.dropped: dict[str, int] = dict(before.get("dropped", {}))

    def enter(self, n: int) -> None:
        """`n` rows came in."""
        self.entered += n

    def leave(self, n: int) -> None:
        """`n` rows of the input are no more."""
        self.entered -= n

    def count_rows(self, rows: pl.DataFrame, stage: Stage, sign: int = 1) -> None:
        """Rows that the stage shows."""
        self.rows += sign * rows.height
        if stage.created_before:
            self.created += sign * rows.height
        elif stage.children and PARENT in rows.columns:
            self.created += sign * (rows.height - rows[PARENT].null_count())

    def count_left(self, left: pl.DataFrame, stage: Stage, sign: int = 1) -> None:
        """Entries of the ledger; rows that were made inside the table count nowhere."""
        if stage.created_before or left.is_empty():
            return
        made = PARENT in left.columns and left[PARENT].null_count() < left.height
        original = left.filter(pl.col(PARENT).is_null()) if made else left
        for reason, n in original[REASON].value_counts().rows():
            if reason == MERGED:
                self.merged += sign * n
            else:
                self.dropped[reason] = self.dropped.get(reason, 0) + sign * n

    def add(self, value: dict[str, Any]) -> None:
        """Add the counts of a piece."""
        self.entered += value["in"]
        self.rows += value["rows"]
        self.created += value["created"]
        self.merged += value["merged"]
        self.consumed += value["consumed"]
        for reason, n in value["dropped"].items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n

    def value(self) -> dict[str, Any]:
        """As the catalog keeps them; a reason that no row has is left out."""
        return {
            "in": self.entered,
            "rows": self.rows,
            "created": self.created,
            "dropped": {r: n for r, n in sorted(self.dropped.items()) if n},
            "merged": self.merged,
            "consumed": self.consumed,
            "quarantined": {},
        }


def of_table(stages: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    """The counts of a table from those of its stages, first to last; VerifyFailed when a row is unaccounted for."""
    chain = list(stages)
    dropped: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    merged = consumed = 0
    for stage in chain:
        for reason, n in stage["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + n
        for reason, n in stage["quarantined"].items():
            quarantined[reason] = quarantined.get(reason, 0) + n
        merged += stage["merged"]
        consumed += stage["consumed"]
    rows, created, entered = chain[-1]["rows"], chain[-1]["created"], chain[0]["in"]
    kept = rows - created
    if entered != kept + sum(dropped.values()) + merged + consumed + sum(quarantined.values()):
        raise VerifyFailed(
            f"Table '{name}': {entered:,} rows entered, but {kept:,} kept + {sum(dropped.values()):,} dropped + "
            f"{merged:,} merged + {consumed:,} consumed + {sum(quarantined.values()):,} quarantined do not add up.",
            fix="Run `tillage verify`; please report this.",
        )
    return {
        "rows": rows,
        "in": entered,
        "kept": kept,
        "created": created,
        "dropped": dict(sorted(dropped.items())),
        "merged": merged,
        "consumed": consumed,
        "quarantined": dict(sorted(quarantined.items())),
    }
