"""A table that is collected from somewhere, and what a run made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tillage.face.rooms import project


class Told:
    """What a run made of a table: its rows without ids, what was counted, the notes."""

    def __init__(self, root: Path, table: str = "t") -> None:
        with project(root) as opened:
            outcome = opened.run()
            self.notes = outcome.notes
            self.table: dict[str, Any] = opened.summary(outcome, digest=True)["tables"][table]
            frame = opened.read(table).drop("_id")
            self.columns = frame.columns
            self.kinds = dict(zip(frame.columns, map(str, frame.dtypes), strict=True))
            self.rows = sorted(frame.rows(), key=repr)
            at = opened.store.latest(table)
            assert at is not None
            self.bad = [(one["reason"], one["message"]) for one in (opened.set_aside(at, 100) or (0, []))[1]]


def plan(root: Path, source: str, more: str = "max_quarantine: 1") -> Path:
    """A plan in a folder of its own, whose table `t` collects from `source`."""
    root.mkdir(exist_ok=True)
    (root / "tillage.yaml").write_text(f"project: s\ntables: {{t: {{collect: {{{source}}}, {more}}}}}\n")
    return root
