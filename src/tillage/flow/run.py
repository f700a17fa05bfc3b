"""The project: a plan, its store, and the run that brings everything up to date, doing only what changed.

Stages run in the plan's order. Each is compared with what its last version saw; its kind decides what a difference
costs; its draft is committed in one transaction. A killed run leaves every committed version whole, and its finished
chunks are found again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tillage.core.errors import (
    BadData,
    ConfigurationError,
    Denied,
    InputMissing,
    Problem,
    TillageError,
    Unavailable,
    UnknownColumns,
    UnknownName,
    UsageError,
    VerifyFailed,
)
from tillage.core.keyed import SUBKEY, KeyedMap
from tillage.core.step import Fitted, Map, Verdict
from tillage.flow.ahead import Ahead
from tillage.flow.compact import compact
from tillage.flow.counts import of_table
from tillage.flow.engine import Engine
from tillage.flow.erasure import Erasure, begin, carry_through, under_way, unfinished
from tillage.flow.following import Following
from tillage.flow.foreseen import Foreseen, missing_columns, placed, unknown_references, unknown_subject, unscorable
from tillage.flow.keyed import run_gate, run_group, run_whole
from tillage.flow.maps import run_maps
from tillage.flow.mending import let_go, mark_lost, missing
from tillage.flow.pins import fingerprint_with_pins, refuse_missing
from tillage.flow.plan import Plan
from tillage.flow.progress import Listener, silent
from tillage.flow.quarantine import PART, records
from tillage.flow.readied import Readied
from tillage.flow.registry import Registry
from tillage.flow.results import Refit, load_fitted, load_report, load_result, run_result
from tillage.flow.schema import recorded
from tillage.flow.scored import Score
from tillage.flow.seen import Held
from tillage.flow.source import Reading, SourceRun
from tillage.flow.stages import Pinned, Stage, compile_plan
from tillage.flow.survey import survey
from tillage.flow.tombstones import Mark
from tillage.store.catalog import dump, load
from tillage.store.gc import erase_replaced
from tillage.store.locate import Run, note
from tillage.store.locks import hold
from tillage.store.tables import Draft, Store, Version

SCHEMA = "tillage.run/1"
STORE_LOCK = "store"
MOST_NOTES = 5
"""Notes on the objects of one table that a run shows."""
MISTAKES = (BadData, ConfigurationError, UsageError)
"""What keeps one stage from being made, and none that does not stand on it."""
ABSENT = (InputMissing, Unavailable, Denied)
"""The same of a source: it is not there, cannot be reached, or lets nobody in."""
PACE = "pace"
"""Names in the catalog how many rows a run read, and in how many CPU seconds: the last that read at least half as many
rows as the one kept before it. A small one says little of what a row costs: it may train a model for one new row."""


@dataclass
class Outcome:
    """What a run did."""

    touched: dict[str, int] = field(default_factory=dict)
    """Rows read, by target."""
    changed: list[str] = field(default_factory=list)
    """Stages that have a new version."""
    checks: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Tables whose expectations failed; what they feed was not run."""
    waiting: list[str] = field(default_factory=list)
    """Objects that changed after records of them were forgotten, and were not read: they await a decision."""
    errors: list[TillageError] = field(default_factory=list)
    """What was wrong with data, with the plan as the data showed, or with a source that could not be read; the first is
    raised, once the rest is done."""
    cpu_s: float = 0.0
    wall_s: float = 0.0


class Project:
    """A plan beside its store.

    `workers`: threads of the local engine; `engine`: another one; `listen`: told of progress.

    >>> import tempfile
    >>> from pathlib import Path
    >>> root = Path(tempfile.mkdtemp())
    >>> with Project(Plan(project="empty", root=root, store=root / ".tillage"), Registry({})) as project:
    ...     project.run().changed
    []
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        *,
        workers: int | None = None,
        listen: Listener = silent,
        engine: Engine | None = None,
    ) -> None:
        self.plan, self.registry, self.listen = plan, registry, listen
        self.stages = compile_plan(plan, registry)
        self.store = Store(plan.store)
        self.engine = engine or Engine(workers)
        self.outcome = Outcome()
        """What the last run did, also when it raised."""
        self._readied = Readied()

    def close(self) -> None:
        """Let go of the store, and of what the engine started."""
        self.engine.close()
        self.store.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- running ----------------------------------------------------------------------------------------------------

    def run(
        self,
        targets: Sequence[str] = (),
        *,
        wait: bool = False,
        refit: Sequence[str] = (),
        replay: Sequence[str] = (),
    ) -> Outcome:
        """Bring the targets (default: everything) and what they need up to date.

        `refit`: fitted steps to fit again (`TABLE`, or the step's stage); `replay`: tables whose quarantined records
        are read again. What cannot be made, or read, is raised after everything else has been brought up to date.
        """
        wanted = self._wanted(targets)
        outcome = self.outcome = Outcome()
        cpu, wall = time.process_time(), time.monotonic()
        locks = {self.stages[name].target for name in wanted}
        with self._locked(locks, wait):
            self.check(wanted)
            self._readied = Readied(wanted)
            try:
                self._mending(wanted, outcome, refit, replay)
            finally:
                self._readied = Readied()
        outcome.cpu_s = time.process_time() - cpu
        known = load(self.store.catalog.meta(PACE) or "null") or {"rows": 0}
        if (rows := sum(outcome.touched.values())) and 2 * rows >= known["rows"]:
            self.store.catalog.set_meta(PACE, dump({"rows": rows, "cpu_s": round(outcome.cpu_s, 3)}))
        outcome.wall_s = time.monotonic() - wall
        if outcome.errors:
            raise outcome.errors[0]
        return outcome

    def _mending(self, wanted: Sequence[str], outcome: Outcome, refit: Sequence[str], replay: Sequence[str]) -> None:
        """Bring the stages up to date, and compact; what is missing in the store, or damaged, is made again."""
        lost, known = missing(self.store), set[str]()
        while True:
            for target in mark_lost(self.store, self.stages, lost):
                outcome.notes.append(f"{target}: stored files of it were missing or damaged, so it is made again.")
            known |= lost
            outcome.checks, outcome.failed, outcome.waiting, outcome.errors = [], [], [], []
            try:
                self._bring_all(wanted, outcome, refit, replay)
                if outcome.changed:
                    locked = {self.stages[name].target for name in wanted}
                    compact(self.store, {n: s for n, s in self.stages.items() if s.target in locked})
                return
            except VerifyFailed as error:
                lost = {error.object} - known - {""}
                if not lost:
                    raise

    def _bring_all(self, wanted: Sequence[str], outcome: Outcome, refit: Sequence[str], replay: Sequence[str]) -> None:
        """Bring the stages up to date in order; what does not stand on one that cannot be goes on."""
        blocked: set[str] = set()
        for name in wanted:
            stage = self.stages[name]
            if stage.needs() & blocked:
                blocked.add(name)
                continue
            try:
                self._bring(stage, outcome, refit, replay)
            except (*MISTAKES, *ABSENT) as error:
                if isinstance(error, ABSENT) and stage.kind != "source":
                    raise
                outcome.errors.append(error)
                blocked.add(name)
                continue
            if stage.kind == "gate" and not self._passes(stage, outcome):
                blocked.add(name)
                outcome.failed.append(stage.target)

    def check(self, wanted: Iterable[str] | None = None, *, look: bool = False) -> None:
        """Raise ConfigurationError with what the plan asks for and there is not; `run` asks before it begins.

        `wanted`: names of stages (default: all); `look`: into small sources that are new or have changed, too.
        """
        names = list(self.stages if wanted is None else wanted)
        refuse_missing(self.store, self.stages, self.plan, names)
        columns = Foreseen(self.store, self.stages, self.plan, self.fingerprint, self.chains, look=look)
        targets = {self.stages[name].target for name in names}
        found: list[Problem] = []
        if look:
            for name in (n for n in names if self.stages[n].kind == "source"):
                columns.of(name)
            found += columns.problems
            for held in (t for name, t in self.plan.tables.items() if name in targets):
                found += unknown_subject(self.plan, held, self.stages, columns.of)
        for table in (t for name, t in self.plan.tables.items() if name in targets and t.score):
            there = columns.before_scoring(table)
            found += unscorable(self.plan, table, there) if there is not None else ()
        self._refuse_columns(targets, columns.of, found)

    def _refuse_columns(
        self,
        targets: Container[str],
        columns: Callable[[str], dict[str, str] | None],
        found: Sequence[Problem] = (),
    ) -> None:
        """Raise ConfigurationError with every column that a model or a reference of the targets asks for in vain, and
        with what was `found` before."""
        problems = list(found)
        for held in (t for name, t in self.plan.tables.items() if name in targets):
            problems += unknown_references(self.plan, held, columns)
        for model in (m for name, m in self.plan.models.items() if name in targets):
            for table in dict.fromkeys((model.table, model.test_table or model.table)):
                there = columns(table)
                if there is not None:
                    problems += missing_columns(self.plan, model, there, table)
        if problems:
            raise ConfigurationError(problems)

    def _refuse_subject(self, stage: Stage, draft: Draft | None) -> None:
        """Raise ConfigurationError where a table names a subject that none of its rows has, before it is published."""

        def columns(name: str) -> dict[str, str] | None:
            return draft.columns if draft is not None and name == stage.name else self._columns(name)

        problems = list(unknown_subject(self.plan, self.plan.tables[stage.name], self.stages, columns))
        if problems:
            raise ConfigurationError(problems)

    def _columns(self, table: str) -> dict[str, str] | None:
        last = self.store.latest(table)
        return last.columns if last is not None else None

    @contextmanager
    def _locked(self, locks: Iterable[str], wait: bool) -> Iterator[None]:
        """The locks of a run; an erasure that was cut off is ended first, by whoever comes."""
        folder = self.store.root / "locks"
        while True:
            with hold(folder, [STORE_LOCK], wait=True, shared=True):
                if not unfinished(self.store):
                    with hold(folder, locks, wait=wait):
                        yield
                    return
            with self.alone():
                self.end_erasure()

    @contextmanager
    def alone(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the whole store: nothing else runs."""
        folder = self.store.root / "locks"
        targets = {stage.target for stage in self.stages.values()}
        with hold(folder, [STORE_LOCK], wait=wait), hold(folder, targets, wait=wait):
            yield

    def erase(self, erasure: Erasure, marks: Sequence[Mark], held: Held | None = None) -> dict[str, Any]:
        """Forget rows for good; the caller holds the store (`alone`). What was done, as its receipt tells it."""
        begin(self.store, erasure, marks)
        return self.end_erasure(held) or {}

    def end_erasure(self, held: Held | None = None) -> dict[str, Any] | None:
        """End the erasure that is under way, if one is; the caller holds the store (`alone`)."""
        erasure = under_way(self.store)
        if erasure is None:
            erase_replaced(self.store)
            return None
        outcome = Outcome()

        def bring(stage: Stage, refit: Refit | None) -> Draft | None:
            fingerprint = self.fingerprint(stage)
            if refit is None and self._stands(stage, fingerprint):
                return None
            return self._make(stage, fingerprint, refit).draft

        def passes(gate: Stage) -> bool:
            return self._passes(gate, outcome)

        noted: list[str] = []
        let_gone: set[str] = set()
        while True:
            try:
                return carry_through(self.store, self.stages, erasure, bring, passes, held, noted)
            except VerifyFailed as error:  # no run could mend it: each ends the erasure first
                name = error.object or str(getattr(error.__cause__, "object", ""))
                if name in let_gone or not name:
                    raise
                let_gone.add(name)
                noted += let_go(self.store, self.stages, name, lambda s: self._bring(s, outcome, (), ()))
                held = None

    def _bring(self, stage: Stage, outcome: Outcome, refit: Sequence[str], replay: Sequence[str]) -> None:
        if stage.kind == "gate" and not all(v.passed for v in self._verdicts(stage)):
            return
        if stage.first and stage.target in self.plan.models:
            self._refuse_columns({stage.target}, self._columns)
        try:
            done = self._draft(stage, outcome, refit, replay)
        except MISTAKES as error:
            if stage.step is not None and stage.kind != "source" and stage.model is None:
                error.at(stage.step.name())
            error.at(f"{'Model' if stage.target in self.plan.models else 'Table'} '{stage.target}'")
            raise
        except ABSENT as error:
            if stage.kind == "source":
                error.at(f"Table '{stage.target}'")
            raise
        outcome.touched[stage.target] = outcome.touched.get(stage.target, 0) + done.touched
        if stage.name in self.plan.tables:
            self._refuse_subject(stage, done.draft)
        if done.draft is None and not done.sources:
            return
        with self.store.catalog.transaction():
            if done.draft is not None:
                self.store.commit(done.draft)
                if stage.kind != "source":
                    outcome.notes += [f"{stage.target}: {note}" for note in done.draft.facts.get("notes", ())]
                outcome.changed.append(stage.name)
            for query, values in done.sources:
                self.store.catalog.write(query, *values)
        if isinstance(stage.step, Following):
            stage.step.settled(self.plan.root, done.fresh)
        if done.run is not None:
            note(self.store, stage.name, done.run)

    def _draft(self, stage: Stage, outcome: Outcome, refit: Sequence[str], replay: Sequence[str]) -> Reading:
        store, listen = self.store, self.listen
        fingerprint = self.fingerprint(stage)
        if stage.kind == "source":
            last = store.latest(stage.name)
            reread = last is not None and last.fingerprint != fingerprint
            force = self._quarantined(stage) if stage.target in replay else frozenset()
            try:
                found = survey(store, stage, self.plan.root, reread=reread, force=force, engine=self.engine)
            except UnknownColumns as error:
                raise placed(self.plan, stage.target, error) from error
            if found.retype:
                moved = ", ".join(found.retype)
                outcome.notes.append(
                    f"{stage.target}: the type or place of {moved} changed, so the table is read again."
                )
            outcome.notes += [f"{stage.target}: {note}" for note in found.notes]
            said = [f"{k.path}: {note}" for k in found.fresh for note in k.state.get("notes", ())]
            outcome.notes += [
                *said[:MOST_NOTES],
                *([f"and {len(said) - MOST_NOTES:,} like these."] * (len(said) > MOST_NOTES)),
            ]
            with Ahead(store, self.engine, self.stages, self.fingerprint, self.chains, self._readied) as ahead:
                source = SourceRun(store, stage, self.plan.root, found, ahead, listen)
                try:
                    reading = source.run()
                except BadData:
                    outcome.touched[stage.target] = outcome.touched.get(stage.target, 0) + source.cost()
                    raise
            outcome.waiting += [f"{stage.target}: {path}" for path in found.waiting]
            return reading
        if self._stands(stage, fingerprint) and not refit:
            return Reading(None, 0)
        again = stage.name in refit or stage.target in refit or stage.name.partition("-")[2] in refit
        return self._make(stage, fingerprint, Refit() if again and stage.kind == "result" else None)

    def _make(self, stage: Stage, fingerprint: str, refit: Refit | None) -> Reading:
        """The draft of a stage that is made of others, and the rows read for it."""
        store, listen = self.store, self.listen
        located: Run | None = None
        if stage.kind == "map":
            draft, touched = run_maps(store, stage, self.chains(stage), fingerprint, self.engine, listen)
        elif stage.kind == "group":
            draft, touched = run_group(store, stage, fingerprint, listen)
        elif stage.kind == "whole":
            draft, touched, located = run_whole(store, stage, fingerprint, self.engine, listen, self._readied)
        elif stage.kind == "gate":
            draft, touched = run_gate(store, stage, fingerprint, listen)
        elif stage.kind == "result":
            draft, touched = run_result(store, stage, fingerprint, self.registry, self.engine, listen, refit=refit)
        else:
            from tillage.flow.learning import run_learn  # with all that evaluates, which other runs need not load

            registry, engine = self.registry, self.engine
            draft, touched = run_learn(store, stage, self.plan, fingerprint, registry, engine, listen, refit)
        return Reading(draft, touched, run=located)

    def _stands(self, stage: Stage, fingerprint: str) -> bool:
        """Its last version saw just what its inputs show now."""
        last = self.store.latest(stage.name)
        if last is None or last.fingerprint != fingerprint or "erased" in last.facts:
            return False
        newest = {name: self.store.latest(name) for name in stage.inputs.values()}
        return last.inputs == {name: version.version for name, version in newest.items() if version is not None}

    def _quarantined(self, stage: Stage) -> frozenset[int]:
        found: set[int] = set()
        for frame in self.store.frames(stage.name, "quarantine", columns=["_object"]):
            found |= set(frame["_object"].to_list())
        return frozenset(found)

    def _verdicts(self, gate: Stage) -> tuple[Verdict, ...]:
        result = load_result(self.store, gate.inputs["verdicts"], self.registry)
        return result if isinstance(result, tuple) else ()

    def _passes(self, gate: Stage, outcome: Outcome) -> bool:
        verdicts = self._verdicts(gate)
        outcome.checks += [{"table": gate.target, **v.model_dump()} for v in verdicts]
        return all(v.passed for v in verdicts)

    def fingerprint(self, stage: Stage) -> str:
        """What a stage does, with the fitted Maps that it uses as they are pinned now."""
        return fingerprint_with_pins(self.store, stage)

    def chains(self, stage: Stage) -> dict[str, tuple[Map, ...]]:
        """The Maps of a stage by port, as they are applied: fitted ones loaded, keyed ones with their key."""
        return {port: tuple(self._ready(m) for m in chain) for port, chain in stage.maps.items()}

    def _ready(self, step: Map | Pinned) -> Map:
        if isinstance(step, Pinned):
            fitted = load_fitted(self.store, step.stage, self.registry)
            return Score(name_of_model=step.stage, fitted=fitted) if self.stages[step.stage].kind == "learn" else fitted
        return step.with_key(self.store.keys.subkey(SUBKEY)) if isinstance(step, KeyedMap) else step

    def _wanted(self, targets: Iterable[str]) -> list[str]:
        """The stages of these targets and of all that they need, in order."""
        names = dict.fromkeys(targets)
        known = {*self.plan.tables, *self.plan.models}
        for name in names:
            if name not in known:
                raise UnknownName("table or model", name, known)
        if not names:
            return list(self.stages)
        out: set[str] = set()
        waiting = [s.name for s in self.stages.values() if s.target in names]
        while waiting:
            name = waiting.pop()
            if name not in out:
                out.add(name)
                waiting += [s.name for n in self.stages[name].needs() for s in self._of_target(self.stages[n].target)]
        return [n for n in self.stages if n in out]

    def _of_target(self, target: str) -> list[Stage]:
        return [s for s in self.stages.values() if s.target == target]

    def abandoned(self) -> list[str]:
        """The stages of the store that the plan has no more; a server's log is of no plan."""
        return [name for name in self.store.stages() if name not in self.stages and not name.startswith("@")]

    def maps(self, table: str) -> tuple[Map, ...]:
        """The Maps that a row passes from its source to a table; steps that look across rows, and those that make rows
        up for training, are not among them."""
        out: tuple[Map, ...] = ()
        name = table
        while self.stages[name].kind != "source":
            stage = self.stages[name]
            port, name = next(iter(stage.inputs.items()))
            out = (*(m for m in self.chains(stage).get(port, ()) if not m.synthetic), *out)
        return out

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, table: str, version: int | None = None) -> pl.DataFrame:
        """The rows of a table, `_id` and the user's columns; InputMissing before its first run."""
        if table not in self.plan.tables:
            raise UnknownName("table", table, self.plan.tables)
        at = self.store.version(table, version) if version is not None else self.store.latest(table)
        if at is None:
            raise InputMissing(f"Table '{table}' has no version yet.", fix="Run `tillage run`.")
        frame = self.store.frame(table, version=at.version)
        if not frame.height and not frame.width > 1:
            return pl.DataFrame(schema={"_id": pl.UInt128, **recorded(at.columns)})
        return frame.select("_id", *at.columns)

    def model(self, name: str, version: int | None = None) -> Fitted:
        """A trained model."""
        if name not in self.plan.models:
            raise UnknownName("model", name, self.plan.models)
        return load_fitted(self.store, name, self.registry, version)

    def report(self, model: str, version: int | None = None) -> dict[str, Any]:
        """The evaluation of a model, whole."""
        return load_report(self.store, model, version)

    def notes(self, table: str) -> list[str]:
        """What the source of a table said of its rows when they were last read: what it does not see, or changes."""
        source = next((s for s in self._of_target(table) if s.kind == "source"), None)
        at = self.store.latest(source.name) if source is not None else None
        return list(at.facts.get("notes", ())) if at is not None else []

    def set_aside(self, at: Version, most: int) -> tuple[int, list[dict[str, Any]]] | None:
        """How many records a version of a table has in quarantine, and the first of them; None where it collects none.

        See `tillage.flow.quarantine.records` for what is told of each.
        """
        first = self._chain(at.stage, at)[0]
        if first.stage not in self.stages or self.stages[first.stage].kind != "source":
            return None
        return self.store.count(first.stage, PART, first.version), records(self.store, first.stage, first.version, most)

    def profile(self, table: str) -> dict[str, Any]:
        """The profile of a table whose plan asks for one."""
        result = load_result(self.store, f"{table}/profile", self.registry)
        return result if isinstance(result, dict) else {}

    def reports(self, table: str, version: int | None = None) -> dict[str, dict[str, Any]]:
        """The reports on a table by name, those that have been made; of an earlier version, what they said then."""
        found = {}
        for report in self.plan.tables[table].reports:
            stage = f"{table}/{report.name()}"
            seen = [v.version for v in self.store.versions(stage) if version in {None, v.inputs.get(table)}]
            if seen:
                result = load_result(self.store, stage, self.registry, max(seen))
                found[report.name()] = result if isinstance(result, dict) else {}
        return found

    def is_now(self, at: Version) -> bool:
        """Whether a version is of what the plan has under its name now: a table, or a model."""
        return "rows" in at.counts if at.stage in self.plan.tables else "metrics" in at.facts or "erased" in at.facts

    # -- telling ----------------------------------------------------------------------------------------------------

    def summary(self, outcome: Outcome | None = None, *, digest: bool = False) -> dict[str, Any]:
        """The `tillage.run/1` object: each table and model as it stands."""
        done = outcome or Outcome()
        tables = {}
        for name in self.plan.tables:
            at = self.store.latest(name)
            if at is None or "erased" in at.facts or not self.is_now(at):
                continue
            counts = of_table((v.counts for v in self._chain(name, at)), name)
            tables[name] = {
                "version": at.version,
                "digest": self.store.digest(name) if digest else None,
                **counts,
                "touched": done.touched.get(name, 0),
            }
        models = {}
        for name in self.plan.models:
            at = self.store.latest(name)
            if at is not None and "erased" not in at.facts and self.is_now(at):
                models[name] = {
                    "version": at.version,
                    "digest": at.facts["digest"] if digest else None,
                    **{
                        k: at.facts[k]
                        for k in ("metrics", "baseline", "interval", "train", "test", "left", "looks", "warnings")
                    },
                    "linear": at.facts.get("linear", {"metrics": {}, "rows": 0, "note": "not measured"}),
                }
        value: dict[str, Any] = {
            "schema": SCHEMA,
            "project": self.plan.project,
            "tables": tables,
            "models": models,
            "cpu_s": round(done.cpu_s, 3),
            "wall_s": round(done.wall_s, 3),
        }
        if done.checks:
            value["checks"] = done.checks
        return value

    def _chain(self, table: str, at: Version) -> list[Version]:
        """The versions of the table's own stages that made this version, first to last: as the records have it, since
        the plan may have changed after it."""
        out = [at]
        while True:
            inner = [self.store.version(*made) for made in out[0].inputs.items() if made[0].startswith(f"{table}/")]
            rows = [version for version in inner if "rows" in version.counts]
            if not rows:
                return out
            out.insert(0, rows[0])
