"""A thread as OpenLineage events: each version of a stage on it is a run of a job, with what it read and wrote.

A START and a COMPLETE event a version, in the order of the plan. Datasets carry version, schema and row count; the
facet `tillage_rows` names the thread's rows in them, by row_id and never by value. Columns are traced where a step says
what it does with them; a stage with any other step has no `columnLineage`, for a guess would be worse than none.
Source: OpenLineage 2-0-2 and its facets (openlineage.io/spec). Cost: one catalog row a version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import polars as pl

from tillage.core.code import OURS
from tillage.core.expression import parse
from tillage.core.step import Step
from tillage.flow.run import Project
from tillage.flow.stages import Pinned, Stage
from tillage.prepare import Aggregate, Derive, Drop, Filter, Normalize, Rename, Select, Split
from tillage.prepare.aggregate import read_call
from tillage.promises.trace_graph import Node
from tillage.promises.trace_places import VERDICTS, follows_changes, rows_in
from tillage.store.tables import Version

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = "https://openlineage.io/spec/facets"
ROWS_FACET = "urn:tillage:facet:rows:1"

_SCHEMAS = {
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
}

Column = tuple[str, str]
"""(a column of the stage's input, what was done with it)"""

IDENTITY, TRANSFORMATION, AGGREGATION = "IDENTITY", "TRANSFORMATION", "AGGREGATION"
FILTER, GROUP_BY = "FILTER", "GROUP_BY"


def producer() -> str:
    """Who made the events, as a URI.

    >>> producer().startswith("urn:tillage:")
    True
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"urn:tillage:{version(OURS.name)}"
    except PackageNotFoundError:  # run from its files, not installed
        return "urn:tillage:source"


def lineage_events(project: Project, node: Node) -> Iterator[dict[str, Any]]:
    """The thread as RunEvents, plain JSON values, inputs before outputs."""
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for item in node.thread.items.values():
        if item.stage:
            held = rows.setdefault((item.stage, item.version), [])
            if item.kind == "row":
                told = {k: item.facts[k] for k in ("state", "reason", "step", "into") if item.facts.get(k) is not None}
                held.append({"row": item.label.rpartition(" ")[2], **told})
    events = _Events(project, rows)
    for name in project.stages:
        for stage, version in sorted(key for key in rows if key[0] == name):
            yield from events.of(project.stages[stage], version)


def as_lines(events: Iterable[Mapping[str, Any]]) -> str:
    """The events as JSON lines."""
    return "".join(json.dumps(event, ensure_ascii=False, sort_keys=True) + "\n" for event in events)


class _Events:
    def __init__(self, project: Project, rows: Mapping[tuple[str, int], list[dict[str, Any]]]) -> None:
        self.project, self.store, self.rows = project, project.store, rows
        self.producer = producer()
        self.namespace = f"tillage://{project.plan.project}"

    def of(self, stage: Stage, version: int) -> Iterator[dict[str, Any]]:
        """Start and end of the run that made a version; nothing when it is not kept."""
        found = [v for v in self.store.versions(stage.name) if v.version == version]
        for at in found:
            made = f"{self.namespace}/{stage.name}/{version}/{at.created}"
            run = {"runId": str(uuid5(NAMESPACE_URL, made)), "facets": self._engine()}
            job = {"namespace": self.namespace, "name": stage.name, "facets": self._job(stage)}
            about = {"eventTime": at.created, "producer": self.producer, "schemaURL": SPEC, "run": run, "job": job}
            yield {**about, "eventType": "START", "inputs": [], "outputs": []}
            yield {
                **about,
                "eventType": "COMPLETE",
                "inputs": self._inputs(stage, at),
                "outputs": [self._made(stage, at)],
            }

    def _facet(self, kind: str, /, **values: Any) -> dict[str, Any]:
        url = ROWS_FACET if kind == "tillage_rows" else f"{FACETS}/{_SCHEMAS[kind]}.json"
        return {"_producer": self.producer, "_schemaURL": url, **values}

    def _engine(self) -> dict[str, Any]:
        version = self.producer.rpartition(":")[2]
        return {"processing_engine": self._facet("processing_engine", name="tillage", version=version)}

    def _job(self, stage: Stage) -> dict[str, Any]:
        kind = self._facet("jobType", processingType="BATCH", integration="TILLAGE", jobType=stage.kind.upper())
        return {"jobType": kind}

    def _inputs(self, stage: Stage, at: Version) -> list[dict[str, Any]]:
        out = []
        for name, number in sorted(at.inputs.items()):
            kept = [v for v in self.store.versions(name) if v.version == number]
            out.append({"namespace": self.namespace, "name": name, "facets": self._dataset(name, number, kept)})
        if stage.kind == "source":
            query = "SELECT path, checksum FROM sources WHERE stage = ? AND added <= ? AND (ended IS NULL OR ended > ?)"
            for row in self.store.catalog.rows(f"{query} ORDER BY path", stage.name, at.version, at.version):
                name = (self.project.plan.root / row["path"]).as_posix()
                facets = {"version": self._facet("version", datasetVersion=row["checksum"])}
                out.append({"namespace": "file", "name": name, "facets": facets})
        return out

    def _dataset(self, name: str, number: int, kept: list[Version]) -> dict[str, Any]:
        facets = {"version": self._facet("version", datasetVersion=str(number))}
        for at in kept:
            if at.columns:
                fields = [
                    {"name": c, "type": t, "ordinal_position": n} for n, (c, t) in enumerate(at.columns.items(), 1)
                ]
                facets["schema"] = self._facet("schema", fields=fields)
        if rows := self.rows.get((name, number)):
            facets["tillage_rows"] = self._facet("tillage_rows", rows=rows)
        return facets

    def _made(self, stage: Stage, at: Version) -> dict[str, Any]:
        facets = self._dataset(stage.name, at.version, [at])
        kind = {"learn": "MODEL", "result": "MODEL"}.get(stage.kind, "TABLE")
        facets["datasetType"] = self._facet("datasetType", datasetType=kind)
        traced = self._columns(stage, at)
        if traced is not None:
            facets["columnLineage"] = traced
        out = {"namespace": self.namespace, "name": stage.name, "facets": facets}
        if "rows" in at.counts:
            statistics = self._facet("outputStatistics", rowCount=int(at.counts["rows"]))
            return {**out, "outputFacets": {"outputStatistics": statistics}}
        return out

    def _columns(self, stage: Stage, at: Version) -> dict[str, Any] | None:
        """What each column was made from; None where a step does not say."""
        fields: dict[str, list[dict[str, Any]]] = {c: [] for c in at.columns}
        whole: list[dict[str, Any]] = []
        for port, source in stage.inputs.items():
            if port == VERDICTS or source not in rows_in(stage):
                continue
            before = [v for v in self.store.versions(source) if v.version == at.inputs.get(source)]
            traced = columns_through(stage, port, before[0].columns) if before else None
            if traced is None:
                return None
            made, asked = traced
            for column, origins in made.items():
                if column in fields:
                    fields[column] += [self._field(source, c, "DIRECT", how) for c, how in sorted(origins)]
            whole += [self._field(source, c, "INDIRECT", how) for c, how in sorted(asked)]
        if not any(fields.values()):
            return None
        told = {c: {"inputFields": found} for c, found in fields.items() if found}
        return self._facet("columnLineage", fields=told, dataset=whole)

    def _field(self, source: str, column: str, kind: str, subtype: str) -> dict[str, Any]:
        transformations = [{"type": kind, "subtype": subtype}]
        return {"namespace": self.namespace, "name": source, "field": column, "transformations": transformations}


def columns_through(
    stage: Stage, port: str, columns: Mapping[str, str]
) -> tuple[dict[str, set[Column]], set[Column]] | None:
    """(each column after the stage with what it was made from, columns that decided over whole rows); None: unknown.

    `columns`: name to type of the stage's input at this port.
    """
    now: dict[str, set[Column]] = {c: {(c, IDENTITY)} for c in columns}
    if stage.kind == "gate":
        return now, set()
    if follows_changes(stage) and stage.step is not None:
        return now, {(c, FILTER) for c in stage.step.needs()}
    if isinstance(stage.step, Aggregate):
        return _aggregated(stage.step, now)
    if stage.kind != "map":
        return None
    asked: set[Column] = set()
    for step in stage.maps[port]:
        if isinstance(step, Pinned):
            return None
        after = _mapped(step, now, asked, columns)
        if after is None:
            return None
        now = after
    return now, asked


def _mapped(
    step: Step, now: dict[str, set[Column]], asked: set[Column], types: Mapping[str, str]
) -> dict[str, set[Column]] | None:
    """The columns after one Map."""
    if isinstance(step, Filter):
        asked |= {(c, FILTER) for name in step.needs() for c, _ in now.get(name, ())}
        return now
    if isinstance(step, Derive):
        new = {name: _from(now, parse(text).columns) for name, text in step.columns.items()}
        return {**now, **new}
    if isinstance(step, Rename):
        return {step.columns.get(c, c): origins for c, origins in now.items()}
    if isinstance(step, Select):
        return {c: now.get(c, set()) for c in step.columns}
    if isinstance(step, Drop):
        return {c: origins for c, origins in now.items() if c not in step.columns}
    if isinstance(step, Normalize):
        texts = step.columns or tuple(c for c in now if types.get(c, "String") == str(pl.String))
        return {c: _from(now, [c]) if c in texts else origins for c, origins in now.items()}
    if isinstance(step, Split):
        return {**now, step.column: _from(now, step.needs())}
    return None


def _from(now: Mapping[str, set[Column]], names: Iterable[str]) -> set[Column]:
    return {(c, TRANSFORMATION) for name in names for c, _ in now.get(name, ())}


def _aggregated(step: Aggregate, now: dict[str, set[Column]]) -> tuple[dict[str, set[Column]], set[Column]]:
    made: dict[str, set[Column]] = {c: {(c, IDENTITY)} for c in step.by if c in now}
    for name, text in step.columns.items():
        column = read_call(text).column
        made[name] = {(column, AGGREGATION)} if column else set()
    return made, {(c, GROUP_BY) for c in step.by}
