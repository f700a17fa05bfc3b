"""The nodes of a thread, written the same wherever they come from: rows, records, versions of tables and models.

An id says what a node is: `clean:0123..`, `clean@3:0123..` when the version is not the newest, `clean@3` for the whole
version, `record:data/a.csv#7`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from tillage.core.rows import ID, INTO, REASON, ids, only
from tillage.core.step import Step, Verdict
from tillage.flow.maps import STEP
from tillage.flow.results import load_result
from tillage.flow.source import PLACES, RECORD
from tillage.flow.stages import Pinned, Stage
from tillage.promises.trace_graph import INFLUENCED, Item, Thread
from tillage.promises.trace_places import Places
from tillage.store.tables import LEFT, ROWS

TOLD = ("digest", "metrics", "baseline", "train", "test", "left")
"""Facts of a result or a model that its node repeats."""

WAYS = {"source": "read", "gate": "passed"}


class Items:
    """Nodes for one project."""

    def __init__(self, places: Places) -> None:
        self.places, self.store = places, places.store
        self._steps: dict[str, str] = {}
        self._objects: dict[tuple[str, int, int], tuple[str, str]] = {}

    # -- rows -------------------------------------------------------------------------------------------------------

    def row_id(self, stage: Stage, version: int, row: int) -> str:
        """The id of a row's node."""
        newest = self.places.latest(stage.name)
        at = "" if newest is not None and newest.version == version else f"@{version}"
        return f"{stage.name}{at}:{row:032x}"

    def row(self, stage: Stage, version: int, row: int, facts: Mapping[str, Any] | None = None) -> Item:
        """A row in a stage; without facts it is one that the stage shows."""
        known = {"table": stage.target, "state": "kept", **(facts or {})}
        return Item(self.row_id(stage, version, row), "row", f"{stage.name} {row:032x}", known, stage.name, version)

    def state(self, stage: Stage, version: int, row: int) -> dict[str, Any] | None:
        """What a row is in a stage: its values, or why it left; None when it was never there."""
        shown = self.places.find(stage, version, [row], ROWS, None)
        if shown.height:
            values = shown.row(0, named=True)
            own = {c: plain(v) for c, v in values.items() if not c.startswith("_")}
            return {"state": "kept", "values": own}
        left = self.places.find(stage, version, [row], LEFT, None)
        return departures(left)[row] if left.height else None

    def steps(self, stage: Stage) -> str:
        """The steps of a stage, by name."""
        if stage.name not in self._steps:
            names = [self._step(m) for chain in stage.maps.values() for m in chain]
            own = [stage.step.name()] if stage.step is not None else []
            said = ", ".join(dict.fromkeys([*names, *own])) or WAYS.get(stage.kind, "kept")
            self._steps[stage.name] = said
        return self._steps[stage.name]

    def _step(self, step: Step | Pinned) -> str:
        if isinstance(step, Step):
            return step.name()
        fitted = self.places.stages[step.stage].step
        return fitted.name() if fitted is not None else step.stage

    # -- records ----------------------------------------------------------------------------------------------------

    def object(self, stage: str, version: int, ordinal: int) -> tuple[str, str]:
        """(path, SHA-256) of a source's object as it stood at a version."""
        key = (stage, version, ordinal)
        if key not in self._objects:
            found = self.store.catalog.row(
                "SELECT path, checksum FROM sources WHERE stage = ? AND ordinal = ? AND added <= ? "
                "AND (ended IS NULL OR ended > ?)",
                stage,
                ordinal,
                version,
                version,
            )
            self._objects[key] = (str(found[0]), str(found[1])) if found else (f"object {ordinal}", "")
        return self._objects[key]

    def record(self, stage: Stage, version: int, ordinal: int, record: int, *, superseded: bool = False) -> Item:
        """One record of a source's object."""
        path, checksum = self.object(stage.name, version, ordinal)
        facts: dict[str, Any] = {"object": path, "record": record, "sha256": checksum}
        if superseded:
            facts["state"] = "superseded"
        return Item(f"record:{path}#{record}", "record", f"{path} record {record}", facts)

    def place(self, stage: Stage, version: int, ordinal: int, row: int, record: int) -> int:
        """The record where a row stands now, when others before it came or went since it was read as `record`."""
        for chunk in self.places.chunks(stage.name, PLACES, version):
            if chunk.page == ordinal:
                moved = only(self.places.read(chunk, version, [RECORD]), ids([row]))
                if moved.height:
                    return int(moved[RECORD][0])
        return record

    # -- versions ---------------------------------------------------------------------------------------------------

    def table(self, name: str, version: int) -> Item:
        """A version of a stage: a table, a step inside one, a result or a model."""
        stage = self.places.stages.get(name)
        kind = "stage"
        if stage is not None:
            inner = {"result": "result", "learn": "model"}.get(stage.kind)
            kind = inner or ("table" if stage.name == stage.target else "stage")
        at = self.places.version(name, version)
        facts: dict[str, Any] = {"version": version}
        if at is None:
            facts["state"] = "no longer kept"
        else:
            facts |= {"why": at.why} | {k: at.counts[k] for k in ("in", "rows") if k in at.counts}
            facts |= {k: at.facts[k] for k in TOLD if k in at.facts}
            if at.epoch:
                facts["erased"] = self._erased(name, version)  # rows taken out of this version after it was made
            if "erased" in at.facts:
                facts["state"] = "erased: what it was made of is gone"
        return Item(f"{name}@{version}", kind, f"{name} version {version}", facts, name, version)

    def _erased(self, stage: str, version: int) -> int:
        query = "SELECT sum(rows) FROM erasures WHERE stage = ? AND version <= ? AND last >= ?"
        found = self.store.catalog.row(query, stage, version, version)
        return int(found[0] or 0) if found else 0

    def saw(self, thread: Thread, name: str, version: int) -> list[tuple[str, int]]:
        """Note which versions of its inputs a version was made from; those that were not noted before."""
        at = self.places.version(name, version)
        stage = self.places.stages.get(name)
        out = []
        for source, number in sorted(at.inputs.items()) if at is not None else ():
            how = "saw" if stage is not None and stage.kind in ("result", "learn") else "made from"
            if thread.back(f"{name}@{version}", self.table(source, number), INFLUENCED, how):
                out.append((source, number))
        return out

    def failing(self, gate: Stage) -> list[str]:
        """The checks that hold a gate's newest rows back."""
        result = load_result(self.store, gate.inputs["verdicts"], self.places.project.registry)
        verdicts = [v for v in result if isinstance(v, Verdict)] if isinstance(result, tuple) else []
        return [v.name for v in verdicts if not v.passed]


def departures(left: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """Entries of the ledger by row: reason, step, and the row that took this one in."""
    out: dict[int, dict[str, Any]] = {}
    if left.is_empty():
        return out
    for entry in left.rows(named=True):
        facts = {"state": "left", "reason": entry[REASON], "step": entry.get(STEP)}
        into = entry.get(INTO)
        out[entry[ID]] = facts if into is None else {**facts, "into": f"{into:032x}"}
    return out


def plain(value: Any) -> Any:
    """A value of a table as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)
