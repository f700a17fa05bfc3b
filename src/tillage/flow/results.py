"""Stages whose outcome is a result: fitted Maps, verdicts, profiles. Folds keep one state a chunk, and merge.

A state is redone only for chunks whose rows changed; when rows only came, the total is merged with theirs, and when
some left, the states of their neighbours with those of all other groups, which are kept merged. States are exact and
free of order, so this equals folding everything again. A fitted Map stays pinned until it is refitted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from tillage.core.errors import InputMissing, VerifyFailed
from tillage.core.rows import ID, drop_columns, without
from tillage.core.state import State, decode, encode
from tillage.core.step import Comparing, Fit, Fitted, Fold, Result, Step, Verdict
from tillage.flow.engine import Engine
from tillage.flow.mending import LOST
from tillage.flow.pins import pinned_version
from tillage.flow.progress import Listener, Progress
from tillage.flow.registry import Registry
from tillage.flow.schema import recorded
from tillage.flow.stages import BESIDE, Stage
from tillage.store.objects import Stored
from tillage.store.tables import ROWS, Chunk, Draft, NewChunk, Store, Version, pack

STATE, PARTIAL, TOTAL, RESULT, REPORT = "state", "partial", "total", "result", "report"
STATES = (STATE, PARTIAL, TOTAL)
"""What a Fold keeps to go on from: of a chunk, of neighbours, of all."""
NEIGHBOURS = 16
"""About how many states are kept merged; below twice as many none are."""
LEARNT = "learnt"
"""Names in the facts of a model's version what it was learnt by."""

View = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Refit:
    """A fitted step is fitted again: on the version that it is pinned to less the `hidden` rows of each chunk, since
    someone was forgotten; without `hidden` on the newest, or on the one that the plan names unless that is `lost`."""

    hidden: Callable[[Chunk], pl.Series] | None = None
    lost: bool = False


@dataclass(frozen=True)
class FoldTask:
    """One chunk to be folded."""

    chunk: int
    version: int
    key: str

    @property
    def order(self) -> None:
        """Only who asks knows which rows the step is to see."""


class ResultRun:
    """One version of a result in the making: where its input stands, its draft, the rows read."""

    def __init__(
        self,
        store: Store,
        stage: Stage,
        fingerprint: str,
        engine: Engine,
        listen: Listener,
        refit: Refit | None = None,
    ) -> None:
        self.store, self.stage, self.engine, self.listen = store, stage, engine, listen
        last = store.latest(stage.name)
        same = last is not None and (last.fingerprint == fingerprint or is_learnt_alike(stage, last))
        stands = same and last is not None and "erased" not in last.facts
        self.last: Version | None = last if stands else None
        self.hidden = refit.hidden if refit else None
        why = "first run" if last is None else "input changed" if self.last else "plan changed"
        self.draft = Draft(stage.name, why, fingerprint)
        self.source = stage.inputs["rows"]
        newest = store.latest(self.source)
        if newest is None:
            raise InputMissing(f"'{self.source}' has no version yet.", fix="Run `tillage run`.")
        lost = refit is not None and refit.lost
        pinned = None if lost else pinned_version(store, stage)
        self.newest = newest.version
        self.until = self.newest if pinned is None else pinned
        self.since = self.last.inputs.get(self.source, 0) if self.last else 0
        if self.hidden is not None and self.last is not None and stage.pin is None:
            self.until = self.since
        again = last is not None and last.fingerprint == LOST and stage.kind == "result" and not stage.follows
        if again and refit is None and last is not None:  # its file was lost, not its pin
            self.until = last.inputs[self.source]
        self.draft.inputs = {self.source: self.until} | self._beside()
        if self.last is not None and "unborn" in self.last.facts and pinned not in {None, self.since}:
            self.last = None  # what it saw instead of a first version was not published
        if stage.place and stage.pin is not None and pinned is None and not lost:
            self.draft.facts["unborn"] = True
        if stage.pin is not None and not lost:
            self.draft.facts["fit_on"] = [stage.pinned_to, stage.pin]  # `gc` keeps what a plan names
        self.touched = 0
        if self.last is None:
            self.draft.ended = [c.id for part in store.parts(stage.name) for c in store.chunks(stage.name, part)]

    def _beside(self) -> dict[str, int]:
        """The versions of the results that stand beside the rows."""
        names = [name for port, name in self.stage.inputs.items() if port != "rows"]
        found = {name: self.store.latest(name) for name in names}
        return {name: version.version for name, version in found.items() if version is not None}

    @property
    def stands(self) -> bool:
        """Whether the last version saw what there is to see now."""
        return self.last is not None and self.since == self.until and self.last.inputs == self.draft.inputs

    def fold(self, step: Fold, view: View) -> State:
        """The merged state of the input as it stands; the states by chunk go into the draft."""
        store = self.store
        changes = store.changes(self.source, self.since, self.until)
        own = {c.source: c for c in store.chunks(self.stage.name, STATE)} if self.last else {}
        redo = [c for c, _ in changes.removed] + list(changes.new)
        if self.stage.pin is not None and not self.last:
            redo = store.chunks(self.source, ROWS, self.until)
        elif self.hidden is not None and self.last is not None:
            redo = [c for c in store.chunks(self.source, ROWS, self.until) if len(self.hidden(c))]
        for chunk in [*changes.gone, *(c for c, _ in changes.removed), *(redo if self.hidden is not None else ())]:
            if chunk.id in own:
                self.draft.ended.append(own.pop(chunk.id).id)
        tasks = [FoldTask(c.id, self.until, self._key(c)) for c in redo]
        sizes = {c.id: c.rows for c in redo}
        progress = Progress(self.stage.target, sum(sizes.values()), note=self.stage.name)

        def work(task: FoldTask) -> dict[str, Any]:
            return fold_rows(store, step, view(clean(self.rows(store.chunk(task.chunk)))), task.key)

        fresh: dict[int, tuple[str, str]] = {}
        for task, result in self.engine.map(store, work, tasks):
            stored = Stored(**result)
            self.draft.added.append(NewChunk(STATE, stored, source=task.chunk))
            fresh[task.chunk] = stored.name, stored.checksum
            self.touched += sizes[task.chunk]
            progress.done += sizes[task.chunk]
            self.listen(progress)
        if self.last is not None and not changes.gone and not changes.removed and self.hidden is None:
            total = merged(step, [*self._total(), *self._states(fresh.values())])
        else:
            kept = {int(source or 0): (c.object, c.checksum) for source, c in own.items()}
            total = merged(step, self._partials(step, kept | fresh))
        self._put(TOTAL, encode(total), "state")
        return total

    def _partials(self, step: Fold, members: dict[int, tuple[str, str]]) -> list[State]:
        """The states of neighbours, merged: those of the last version where all of a group stand as they did.

        `members`: each state's object, by the chunk that it is of. Chunks are neighbours by their numbers, which stay
        theirs, so that a chunk that comes or goes moves no other to another group.
        """
        known = {_key_of(c.object): c for c in self.store.chunks(self.stage.name, PARTIAL)} if self.last else {}
        if len(members) <= 2 * NEIGHBOURS:
            self.draft.ended += [c.id for c in known.values()]
            return self._states(members.values())
        groups: dict[int, list[tuple[str, str]]] = {}
        for chunk_id, named in sorted(members.items()):
            groups.setdefault(chunk_id // NEIGHBOURS, []).append(named)
        standing: list[tuple[str, str]] = []
        states = []
        for group in groups.values():
            key = sha256(f"partial\n{group}".encode()).hexdigest()[:32]
            if (chunk := known.pop(key, None)) is not None:
                standing.append((chunk.object, chunk.checksum))
                continue
            states.append(merged(step, self._states(group)))
            if len(group) > 1:
                self.draft.added.append(NewChunk(PARTIAL, self.store.objects.put(key, encode(states[-1]), "state")))
        self.draft.ended += [c.id for c in known.values()]
        return [*states, *self._states(standing)]

    def _total(self) -> list[State]:
        return self._states((c.object, c.checksum) for c in self.store.chunks(self.stage.name, TOTAL))

    def _states(self, named: Iterable[tuple[str, str]]) -> list[State]:
        return [decode(data) for data in self.store.objects.get_many(list(named))]

    def _key(self, chunk: Chunk) -> str:
        gone = self.store.removed(chunk, self.until)
        if self.hidden is not None:
            gone = pl.concat([gone, self.hidden(chunk)]).unique()
        return fold_key(self.draft.fingerprint, chunk.object, gone)

    def rows(self, chunk: Chunk) -> pl.DataFrame:
        """The rows of a chunk of the input that this version sees."""
        rows = self.store.read(chunk, self.until)
        return rows if self.hidden is None else without(rows, self.hidden(chunk))

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows of the input that this version sees, chunk by chunk, as a step sees them."""
        for chunk in self.store.chunks(self.source, ROWS, self.until):
            yield clean(self.rows(chunk))

    def ask(self, step: Fold) -> None:
        """Show a step the columns of an input without a row, so that it refuses those that it could not work with."""
        newest = self.store.latest(self.source)
        bare = self.until == self.newest and not self.store.chunks(self.source, ROWS, self.until)
        if bare and newest is not None and newest.columns:
            step.update(step.start(), pl.DataFrame(schema={ID: pl.UInt128, **recorded(newest.columns)}))

    def fit(self, step: Fit, view: View) -> State:
        """The state after each row once, in the recorded order: commit, then hash of row_id; continued where it can."""
        changes = self.store.changes(self.source, self.since, self.until)
        if self.last is not None and not changes.gone and not changes.removed and self.hidden is None:
            state = self._total()[0]
        else:
            state = step.start()
            changes = self.store.changes(self.source, 0, self.until)
        for added in sorted({c.added for c in changes.new}):
            rows = [self.rows(c) for c in changes.new if c.added == added]
            whole = view(clean(pl.concat(rows, how="diagonal_relaxed"))).sort(ID)
            self.touched += whole.height
            state = step.update(state, whole)
        self._put(TOTAL, encode(state), "state")
        return state

    def publish(self, result: Result, step: Step, registry: Registry) -> None:
        """Put the result into the draft, as data."""
        value = packed(result)
        if isinstance(result, Fitted):
            value["name"] = registry.name_of(type(result))  # a class of the project is found by its dotted name
            if notes := result.notes():
                self.draft.facts["notes"] = list(notes)
        data = encode(value)
        self._put(RESULT, data, "state")
        made_by = encode({"step": step.name(), "params": _stable(step)})
        self.draft.facts |= {"kind": value["kind"], "digest": sha256(made_by + sha256(data).digest()).hexdigest()}

    def report(self, value: dict[str, Any]) -> None:
        """Put a report beside the result."""
        self._put(REPORT, json.dumps(value, ensure_ascii=False, sort_keys=True).encode(), "json")

    def _put(self, part: str, data: bytes, suffix: str) -> None:
        self.draft.ended += [c.id for c in self.store.chunks(self.stage.name, part) if c.id not in self.draft.ended]
        key = sha256(f"{self.draft.fingerprint}\n{part}".encode()).hexdigest()[:32]
        self.draft.added.append(NewChunk(part, self.store.objects.put(key, data, suffix)))


def is_learnt_alike(stage: Stage, last: Version) -> bool:
    """Whether a version of a model was learnt as the plan has it now, however it was evaluated."""
    return stage.kind == "learn" and last.fingerprint != LOST and last.facts.get(LEARNT) == stage.learns()


def run_result(
    store: Store,
    stage: Stage,
    fingerprint: str,
    registry: Registry,
    engine: Engine,
    listen: Listener,
    *,
    refit: Refit | None = None,
) -> tuple[Draft | None, int]:
    """A fitted step (pinned unless `refit`), expectations or a profile (which follow their input)."""
    run = ResultRun(store, stage, fingerprint, engine, listen, refit)
    if run.last is not None and refit is None and (not stage.follows or run.stands):
        return None, 0
    step = stage.step
    try:
        if isinstance(step, Fold):
            run.ask(step)
            state = run.fold(step, _everything)
            others = [load_result(store, n, registry) for port, n in stage.inputs.items() if port.startswith(BESIDE)]
            result = (
                step.finish_beside(state, others, run.frames) if isinstance(step, Comparing) else step.finish(state)
            )
        elif isinstance(step, Fit):
            result = step.finish(run.fit(step, _everything))
        else:
            raise TypeError(stage.name)
    except VerifyFailed as error:
        if stage.follows or run.until == run.newest:
            raise  # what it reads can be made again
        raise VerifyFailed(
            f"'{stage.name}' is pinned to version {run.until} of '{run.source}', which cannot be read: {error.message}",
            fix=f"Restore the file from a backup, or fit on what there is now: tillage run --refit {stage.target}",
        ) from error
    run.publish(result, step, registry)
    return run.draft, run.touched


def merged(step: Fold, states: list[State]) -> State:
    """All states in one, neighbours first: a state that grows with what it has seen is copied log n times, not n."""
    while len(states) > 1:
        pairs = [states[i : i + 2] for i in range(0, len(states), 2)]
        states = [step.merge(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return step.merge(step.start(), states[0]) if states else step.start()


def _key_of(name: str) -> str:
    """What an object was written as: the key in its name."""
    return name.rpartition("/")[2].partition("-")[0]


def fold_key(fingerprint: str, name: str, gone: pl.Series) -> str:
    """The name of the work of folding one object, less the ids in `gone`."""
    hidden = sha256(pack(gone.sort())).hexdigest() if len(gone) else ""
    return sha256(f"fold\n{fingerprint}\n{name}\n{hidden}".encode()).hexdigest()[:32]


def fold_rows(store: Store, step: Fold, rows: pl.DataFrame, key: str) -> dict[str, Any]:
    """Fold the rows of one chunk and keep the state; the object's description."""
    return vars(store.objects.put(key, encode(step.update(step.start(), rows)), "state", rows.height))


def clean(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as a step sees them: `_id` and the user's columns (and the side of a split)."""
    return drop_columns(rows, "_object", "_record", "_key", "_parent", "_origin")


def _everything(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


def packed(result: Result) -> dict[str, Any]:
    """A result as a state."""
    if isinstance(result, Fitted):
        return {"kind": "map", "name": result.name(), "state": result.state}
    if isinstance(result, tuple):
        return {"kind": "verdicts", "verdicts": [v.model_dump() for v in result]}
    if isinstance(result, Verdict):
        return {"kind": "verdicts", "verdicts": [result.model_dump()]}
    if isinstance(result, dict):
        return {"kind": "numbers", "numbers": result}
    raise TypeError(f"{type(result).__name__} is not a result that can be kept as data")


def load_result(store: Store, stage: str, registry: Registry, version: int | None = None) -> Result:
    """The result of a stage; InputMissing before its first run."""
    found = store.chunks(stage, RESULT, version)
    if not found:
        last = store.latest(stage)
        why = "was erased with the rows that it had seen" if last and "erased" in last.facts else "has no result yet"
        raise InputMissing(f"'{stage}' {why}.", fix="Run `tillage run`.")
    value = decode(store.objects.get(found[-1].object, found[-1].checksum))
    if value["kind"] == "map":
        cls = registry.find(value["name"])
        if not issubclass(cls, Fitted):
            raise VerifyFailed(f"The result of '{stage}' names {value['name']}, which is no fitted Map.")
        return cls(state=value["state"])
    if value["kind"] == "verdicts":
        return tuple(Verdict(**v) for v in value["verdicts"])
    numbers: dict[str, Any] = value["numbers"]
    return numbers


def load_fitted(store: Store, stage: str, registry: Registry, version: int | None = None) -> Fitted:
    """The fitted Map of a stage."""
    result = load_result(store, stage, registry, version)
    if not isinstance(result, Fitted):
        raise InputMissing(f"'{stage}' is not a model or a fitted step.")
    return result


def load_report(store: Store, stage: str, version: int | None = None) -> dict[str, Any]:
    """The report beside a model; empty when there is none."""
    found = store.chunks(stage, REPORT, version)
    if not found:
        return {}
    value: dict[str, Any] = json.loads(store.objects.get(found[-1].object, found[-1].checksum))
    return value


def _stable(step: Step) -> dict[str, Any]:
    return step.params()
