"""Law 1 by hand: every row of every table accounted for by its `_id`, from the files and the store's parts alone.

Nothing of `flow.counts` is used, and no count that a version carries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tillage.flow.run import Project
from tillage.flow.stages import Stage

Entry = dict[str, Any]


def files_say(root: Path, pattern: str, fields: int | None) -> Entry:
    """What a folder of simple files holds: records, bad ones (too few fields), and keys that occur again."""
    records = bad = 0
    keys: list[str] = []
    for path in sorted(root.glob(pattern)):
        lines = path.read_text(encoding="utf-8").splitlines()[1 if fields else 0 :]
        records += len(lines)
        for line in lines:
            cells = line.split(",")
            if fields is not None and len(cells) != fields:
                bad += 1
            else:
                keys.append(cells[0])
    return {"in": records, "bad": bad, "superseded": len(keys) - len(set(keys)) if fields else 0}


def account(project: Project, table: str) -> Entry:
    """The counts of a derived table, taken from ids: AssertionError where a row is lost, doubled or unexplained."""
    stages = [s for s in project.stages.values() if s.target == table and s.kind not in ("result", "learn", "gate")]
    entered = [i for name in stages[0].inputs.values() for i in _ids(project, name)]
    assert len(entered) == len(set(entered)), f"{table}: an _id comes in twice"
    ours = set(entered)
    out: Entry = {"in": len(entered), "dropped": {}, "merged": 0, "consumed": 0}
    here = set(entered)
    for stage in stages:
        shown, left = _ids(project, stage.name), _left(project, stage.name)
        assert len(shown) == len(set(shown)), f"{stage.name}: an _id is shown twice"
        assert left["_id"].is_unique().all(), f"{stage.name}: an _id left twice"
        assert not set(shown) & set(left["_id"]), f"{stage.name}: a row both stays and leaves"
        if stage.kind == "group":
            out["consumed"] += len(here & ours)
            assert left.is_empty()
        else:
            fate = {*shown, *left["_id"]}
            assert here <= fate, f"{stage.name}: {len(here - fate)} rows vanished"
            _are_children(project, stage, fate - here, fate)
        for row_id, reason in left.select("_id", "_reason").rows():
            assert reason, f"{stage.name}: a row left without a reason"
            if row_id not in ours:
                continue
            if reason == "merged":
                out["merged"] += 1
            else:
                out["dropped"][reason] = out["dropped"].get(reason, 0) + 1
        here = set(shown)
    final = set(_ids(project, table))
    assert final == here
    out["kept"] = len(final & ours)
    out["created"] = len(final - ours)
    out["rows"] = len(final)
    return out


def agrees(told: Entry, counted: Entry) -> list[str]:
    """Where the summary of a table says something else than was counted."""
    return [f"{key}: told {told[key]}, counted {value}" for key, value in counted.items() if told[key] != value]


def _ids(project: Project, stage: str) -> list[int]:
    return project.store.frame(stage)["_id"].to_list()


def _left(project: Project, stage: str) -> pl.DataFrame:
    frame = project.store.frame(stage, "left")
    empty = {"_id": pl.UInt128, "_reason": pl.String, "_into": pl.UInt128}
    return frame if "_reason" in frame.columns else pl.DataFrame(schema=empty)


def _are_children(project: Project, stage: Stage, made: set[int], known: set[int]) -> None:
    if not made:
        return
    assert any(
        step.makes_children for chain in stage.maps.values() for step in chain if hasattr(step, "makes_children")
    )
    parents: dict[int, int | None] = {}
    for part in ("rows", "left"):
        frame = project.store.frame(stage.name, part)
        if "_parent" in frame.columns:
            parents |= dict(frame.select("_id", "_parent").rows())
    for child in made:
        assert parents.get(child) in known, f"{stage.name}: a row came from nowhere"
