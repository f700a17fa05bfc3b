"""Forgetting: rows leave every table, every version and every model, and a signed receipt says so.

What is to go is found first (`estimate`), then decided on in one transaction and carried through by `flow.erasure`.
The question that chose the rows is kept nowhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tillage.core.errors import InputMissing, UsageError
from tillage.core.keys import hash_text
from tillage.core.rows import ID, distinct, ids, only, without
from tillage.core.step import Fold, Group, Sharded
from tillage.flow.erasure import Erasure, known_digest, model_digest
from tillage.flow.following import Expired, look
from tillage.flow.receipt import newest
from tillage.flow.run import PACE, Project
from tillage.flow.seen import Held, Seen
from tillage.flow.source import OBJECT, PLACES, RECORD
from tillage.flow.stages import Stage
from tillage.flow.survey import source_of, table_of
from tillage.flow.tombstones import Mark, place_marks, raw_marks, release, row_marks, stages_of
from tillage.promises.answers import STAGE, Answers, answers, collecting, rows_of, settle
from tillage.promises.closure import Closure, Question, also, close
from tillage.promises.copies import Named, quarantined, undecided
from tillage.store.catalog import load
from tillage.store.handed_out import handed_out
from tillage.store.index import KEY
from tillage.store.locate import holding
from tillage.store.tables import ROWS, Store

SCHEMA = "tillage.forget/1"


class Found(NamedTuple):
    """What a question means, and what forgetting it takes."""

    question: Question
    closure: Closure
    named: dict[str, Named]
    undecided: list[dict[str, Any]]
    gone: pl.Series
    """Row_ids that leave every version, those of quarantined records among them."""
    answers: Answers
    """What a server had predicted about them."""

    def is_empty(self) -> bool:
        """Nothing in the store is meant."""
        named = any(len(n.ids) for n in self.named.values())
        return not (self.closure.records or named or len(self.closure.past) or len(self.answers.ids))


def estimate(
    project: Project,
    table: str,
    *,
    where: str | None = None,
    key: Sequence[str] = (),
    subject: Sequence[str] = (),
) -> dict[str, Any]:
    """The `tillage.forget/1` object of a dry run: what would change, what it would cost, what awaits a decision.

    >>> import tempfile, pathlib, tillage
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "a.csv").write_text("id,n\\n1,5\\n2,6\\n")
    >>> _ = (root / "tillage.yaml").write_text("project: p\\ntables: {notes: {collect: {files: '*.csv'}, key: id}}")
    >>> with tillage.project(root) as project:
    ...     _ = project.run()
    ...     told = estimate(project, "notes", key=["2"])
    >>> told["dry_run"], told["records"], told["tables"]["notes"]["rows"]
    (True, 1, 1)
    """
    with project.alone():
        project.end_erasure()
        found = _find(project, Question(table, where, tuple(key), tuple(subject)))
        return _told(project, found, Held(project.store, found.gone, found.closure.past), dry=True)


def forget(
    project: Project,
    table: str,
    *,
    where: str | None = None,
    key: Sequence[str] = (),
    subject: Sequence[str] = (),
    wait: bool = True,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Forget rows, and all rows of their subjects: the `tillage.forget/1` object and the signed receipt.

    `where`: a condition on the rows of `table`; `key`: values of its key columns (several keys one after another);
    `subject`: values of the subject. Waits for runs under way, unless `wait` is false. Raises InputMissing when
    nothing is meant, UsageError where rows are made of many.

    >>> import tempfile, pathlib, tillage
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "a.csv").write_text("id,n\\n1,5\\n2,6\\n")
    >>> _ = (root / "tillage.yaml").write_text("project: p\\ntables: {notes: {collect: {files: '*.csv'}, key: id}}")
    >>> with tillage.project(root) as project:
    ...     _ = project.run()
    ...     told, receipt = forget(project, "notes", where="n = 6")
    ...     project.read("notes")["id"].to_list(), len(receipt["rows"])
    ([1], 1)
    """
    with project.alone(wait=wait):
        project.end_erasure()
        settle(project.store)
        found = _find(project, Question(table, where, tuple(key), tuple(subject)))
        held = Held(project.store, found.gone, found.closure.past)
        told = _told(project, found, held, dry=False)
        marks = _marks(project, found)
        erasure = Erasure(
            found.gone,
            found.closure.past,
            {name: version.version for name in project.store.stages() if (version := project.store.latest(name))},
            _for_receipt(project, found, told, len(marks)),
            {STAGE: found.answers.ids} if len(found.answers.ids) else {},
        )
        done = project.erase(erasure, marks, held)
        receipt = newest(project.store)
    told["notes"] = [*told["notes"], *done["notes"]]
    told["refitted"] = done["refitted"]
    return told, receipt


def release_object(project: Project, table: str, path: str) -> int:
    """Decide that an object is read as it stands; how many tombstones do not hold for it any more.

    It changed after records of it were forgotten; or its rows lack the key by which others were, and then the decision
    is about what it holds now. Raises InputMissing where nothing forgotten keeps it from being read.

    >>> import tempfile, pathlib, tillage
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "a.csv").write_text("n\\n5\\n6\\n")
    >>> _ = (root / "tillage.yaml").write_text("project: p\\ntables: {notes: {collect: {files: '*.csv'}}}")
    >>> with tillage.project(root) as project:
    ...     _ = project.run()
    ...     _ = forget(project, "notes", where="n = 6")
    ...     _ = (root / "a.csv").write_text("n\\n5\\n7\\n")
    ...     waits = project.run().waiting
    ...     held = release_object(project, "notes", "a.csv")
    ...     _ = project.run()
    ...     waits, held, project.read("notes")["n"].sort().to_list()
    (['notes: a.csv'], 1, [5, 7])
    """
    stage = next((s for s in project.stages.values() if s.target == table and s.kind == "source"), None)
    if stage is None:
        raise UsageError(f"Table '{table}' collects nothing.", fix="Name the table that collects the file.")
    source, table_read = source_of(stage), table_of(stage)
    with project.alone():
        there = any(found.path == path for found in look(source, project.store, stage, project.plan.root).found)
        try:
            checksum = source.checksum(project.plan.root, path) if there else None
        except Expired:  # its rows are all that there is of it: there is nothing to let in
            checksum = None
        with project.store.catalog.transaction():
            freed = release(project.store, stage.name, table_read.key, path, checksum)
    if not freed:
        raise InputMissing(
            f"No record of '{path}' in table '{table}' was forgotten.", fix="Name the file as the run named it."
        )
    return freed


def _find(project: Project, question: Question) -> Found:
    closure = close(project, question)
    told = answers(project, closure)
    for table in collecting(project) if len(told.ids) else ():
        also(project, closure, rows_of(project, table, told.ids))
    named = {}
    for stage in project.stages.values():
        if stage.kind == "source" and project.store.latest(stage.name) is not None:
            named[stage.name] = quarantined(project, stage, closure)
            if named[stage.name].unopened:
                closure.notes.append(
                    f"{named[stage.name].unopened:,} quarantined records of '{stage.target}' could not be opened."
                )
    held = [*closure.sources.values(), *(n.ids for n in named.values())]
    gone = distinct([closure.gone, *held])
    found = Found(question, closure, named, undecided(project, closure), gone, told)
    if found.is_empty():
        raise InputMissing(
            f"Nothing in table '{question.table}' is meant by this --{question.by()}.",
            fix="See `tillage show`; it may have been forgotten before.",
        )
    return found


def _marks(project: Project, found: Found) -> list[Mark]:
    """The tombstones that keep these records from being read again."""
    keys = project.store.keys
    marks: list[Mark] = []
    for stage in project.stages.values():
        if stage.kind != "source" or stage.table is None:
            continue
        held = found.closure.sources.get(stage.name, ids())
        if stage.table.key:
            marks += row_marks(keys, stage.name, held, stage.table.key)
        elif len(held):
            marks += place_marks(keys, stage.name, _places(project, stage, held))
        bad = found.named.get(stage.name)
        if bad is not None:
            marks += place_marks(keys, stage.name, bad.places)
            marks += raw_marks(keys, stage.name, bad.raw)
    return marks


def _places(project: Project, stage: Stage, held: pl.Series) -> set[tuple[str, int]]:
    """(checksum of the object, record) of rows, in every state of their objects that is on record."""
    return set().union(*(_places_in(project.store, name, held) for name in stages_of(stage.name)))


def _places_in(store: Store, stage: str, held: pl.Series) -> set[tuple[str, int]]:
    objects = store.catalog.rows("SELECT * FROM sources WHERE stage = ?", stage)
    moved: dict[int, dict[int, int]] = {}
    for chunk in store.chunks(stage, PLACES) if objects else ():
        rows = only(store.read(chunk), held)
        moved.setdefault(chunk.page, {}).update(zip(rows[ID].to_list(), rows[RECORD].to_list(), strict=True))
    out: set[tuple[str, int]] = set()
    for chunk in (c for c in holding(store, stage, held, ROWS) if objects and store.origins(c)):
        rows = only(store.objects.get_frame(chunk.object, chunk.checksum, [ID, OBJECT, RECORD]), held)
        for row, ordinal, record in rows.rows():
            for known in objects:
                last = known["ended"] is None
                if known["ordinal"] == ordinal and (known["ended"] is None or known["ended"] > chunk.added):
                    place = moved.get(ordinal, {}).get(row, record) if last else record
                    out.add((str(known["checksum"]), int(place)))
    return out


# -- telling --------------------------------------------------------------------------------------------------------


def _told(project: Project, found: Found, held: Held, *, dry: bool) -> dict[str, Any]:
    store, stages = project.store, project.stages
    ran = [name for name in stages if store.latest(name) is not None]
    seen = Seen(store, stages, found.gone, found.closure.past, ran, held)
    seen.look_everywhere()
    tables: dict[str, dict[str, int]] = {}
    keys = {name: _keys(project, stages[name], seen) for name in ran}
    reached = _reached(project, seen, keys)
    read = 0
    for name in project.plan.tables:
        own = [s.name for s in stages.values() if s.target == name]
        if name not in ran:
            continue
        hits = [hit for stage in own for hit in seen.look(stage)]
        removed = store.all_removed(name, ROWS)
        shown = sum(
            without(hit.ids.to_frame(ID), removed[hit.chunk.id]).height if hit.chunk.id in removed else len(hit.ids)
            for hit in seen.look(name)
            if hit.chunk.ended is None
        )
        chunks = {hit.chunk.object: hit.chunk.rows for hit in hits}
        bad = sum(len(found.named[stage].ids) for stage in own if stage in found.named)
        facts = {
            "rows": shown,
            "keys": sum(keys.get(stage, 0) for stage in own),
            "chunks": len(chunks),
            "quarantined": bad,
        }
        if any(facts.values()):
            tables[name] = facts
        read += sum(chunks.values())
    models: list[str] = []
    refits: list[str] = []
    for stage in stages.values():
        if stage.kind not in ("result", "learn") or stage.name not in ran:
            continue
        last = store.latest(stage.name)
        source = stage.inputs["rows"]
        if last is None or not (source in reached or seen.shows(source, last.inputs.get(source, 0))):
            continue
        (models if stage.kind == "learn" else refits).append(stage.name)
        if isinstance(stage.step, Fold):
            read += sum(h.chunk.rows for h in seen.look(source) if h.chunk.ended is None)
        else:
            read += int(store.count(source) * _learnt_again(stage, seen))
    pace = load(store.catalog.meta(PACE) or "null")
    cpu = round(read * pace["cpu_s"] / max(pace["rows"], 1), 3) if pace else None
    return {
        "schema": SCHEMA,
        "dry_run": dry,
        "project": project.plan.project,
        "table": found.question.table,
        "by": found.question.by(),
        "asked": found.closure.asked,
        "subjects": len(found.closure.subjects),
        "records": found.closure.records,
        "tables": tables,
        "models": models,
        "refits": [r for r in refits if not stages[r].follows],
        "answers": found.answers.counts(),
        "cost": {"rows": read, "cpu_s": cpu},
        "undecided": found.undecided,
        "handed_out": _handed_out(project, models, tables),
        "notes": list(found.closure.notes),
    }


def _reached(project: Project, seen: Seen, keys: dict[str, int]) -> set[str]:
    """Stages whose rows were made of the rows that go and of others: by a Group, by a Whole, and all that follows.

    `keys`: by stage that has been run, how many keys of a Group have one of these rows among their members.
    """
    found: set[str] = set()
    for name, touched in keys.items():
        stage = project.stages[name]
        across = stage.kind == "whole" and not getattr(stage.step, "incremental", False)
        across = across and any(seen.look(source) for source in stage.inputs.values())
        if across or touched or found & stage.needs():
            found.add(name)
    return found


def _handed_out(project: Project, models: Sequence[str], tables: Container[str]) -> list[dict[str, Any]]:
    """Copies outside the store that may hold something of the rows: the model had seen them, or its table had them."""
    known = project.plan.models
    return [
        {**copy, "there": Path(copy["path"]).exists()}
        for copy in handed_out(project.store.catalog)
        if copy["model"] not in known or copy["model"] in models or known[copy["model"]].table in tables
    ]


def _keys(project: Project, stage: Stage, seen: Seen) -> int:
    """How many keys of a Group have one of these rows among their members."""
    step = stage.step
    if not isinstance(step, Group):
        return 0
    found = [pl.Series(KEY, [], dtype=pl.UInt128)]
    for port, source in stage.inputs.items():
        for hit in seen.look(source):
            if hit.chunk.ended is None:
                rows = only(project.store.read(hit.chunk), hit.ids)
                found.append(hash_text(rows, step.key(rows, port)).rename(KEY))
    return pl.concat(found).n_unique()


def _learnt_again(stage: Stage, seen: Seen) -> float:
    """The share of its rows that a step sees again."""
    step = stage.step
    if not isinstance(step, Sharded) or not step.in_shards():
        return 1.0
    hits = [hit.ids for hit in seen.look(stage.inputs["rows"]) if hit.chunk.ended is None]
    shards = step.parted(pl.concat([ids(), *hits]).to_frame(ID))
    return sum(any(part.height for part in slices) for slices in shards) / len(shards)


def _for_receipt(project: Project, found: Found, told: dict[str, Any], tombstones: int) -> dict[str, Any]:
    store = project.store
    tables = [name for name in project.plan.tables if store.latest(name) is not None]
    models = [name for name in project.plan.models if store.latest(name) is not None]
    counts = {name: {k: v for k, v in facts.items() if v} for name, facts in told["tables"].items()}
    if len(found.answers.ids):
        counts[STAGE] = {k: v for k, v in found.answers.counts().items() if v}
    return {
        "project": project.plan.project,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "salt": secrets.token_hex(16),
        "table": found.question.table,
        "counts": counts,
        "tables_before": {name: known_digest(store, name) for name in tables},
        "models_before": {name: model_digest(store, name) for name in models},
        "tombstones": tombstones,
        "undecided": sum(copy["rows"] for copy in found.undecided),
    }
