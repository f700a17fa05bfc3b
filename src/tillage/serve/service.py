"""One service: what answers now (a model, its version, the Maps on its way), and the change to a newer one.

A newer version is loaded and tried on requests of late before it answers; one that fails there never does. Requests of
late are kept in memory alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

import polars as pl

from tillage.core.errors import InputMissing, TillageError, Unavailable, UsageError, unknown_name
from tillage.core.keyed import SUBKEY, KeyedMap
from tillage.core.step import Fitted, Map
from tillage.flow.plan import Service
from tillage.flow.run import Project
from tillage.flow.score import Answers, Way, answers, needed, way
from tillage.serve.bodies import Columns
from tillage.serve.handing_over import HandOver, handing_over
from tillage.serve.linkage import Linkage, linkage
from tillage.serve.memory import Budget
from tillage.serve.pins import pin, pinned
from tillage.store.catalog import load
from tillage.store.tables import Version

TRIED = 64
"""Requests of late on which a newer version is tried."""

TRIED_BYTES = 8 << 20
"""Bytes of texts, pictures and the like in these requests, in all; the oldest are let go of first."""

LOOKED_AT = 64
"""Rows of a request that are looked through for answered ones."""

TRIED_ROWS = 8
"""Rows of a request that are kept for that, and rows of the table where there was no request yet."""

FEW = 256
"""Rows of a batch up to which a column of nulls is held ready."""

WARMED_ROWS = 32
"""Rows of the table that a version answers first; they tell what it takes for each of many."""

FADES = 1.01
"""How much dearer a row is thought to be with each batch, until one shows that it is not."""

_SIZED = (str, bytes)

_FOUND = {pl.Int64, pl.Float64, pl.String, pl.Boolean}
"""Types that Polars makes of Python's own."""

NO_PREDICTION = "no_prediction"
"""The reason of a row to which the model gives no answer, or none that is a number."""

OF_LATE = 9
"""Batches whose median tells what one takes: a machine that is busy elsewhere now and then does not change it."""


@dataclass
class Loaded:
    """A model's version, ready to answer: rows of the start table's types in, predictions out."""

    service: str
    model_name: str
    version: int
    way: Way
    model: Fitted
    task: str
    """`classification` or `regression`."""
    schema: dict[str, pl.DataType] = field(default_factory=dict)
    """What a request may bring: the columns of the start table, without the target."""
    needed: dict[str, str] = field(default_factory=dict)
    raw: tuple[str, ...] = ()
    """Of these columns, those of bytes that are no text."""
    route: str = ""
    """`canary` or `shadow` beside the service's own model."""
    keep: tuple[str, ...] = ()
    """Columns of requests that the log keeps."""
    redact: Map | None = None
    """What these pass before they are written."""
    hand_over: HandOver | None = None
    """When a prediction goes to a person."""
    linkage: Linkage = field(default_factory=Linkage)
    """Which columns of a request name the row and the subject that it is about."""
    seconds: float = 1.0
    """What a batch took of late, the median; a second before the first."""
    seconds_a_row: float = inf
    """What a row took in the batch that was best at it, of late: what company does not make cheaper."""
    took: deque[float] = field(default_factory=lambda: deque(maxlen=OF_LATE))
    """Seconds of the batches of late."""

    def __post_init__(self) -> None:
        target = self.model.state.get("target")
        self.schema = {c: t for c, t in self.way.schema.items() if c != target}
        self.raw = tuple(c for c, t in self.schema.items() if t == pl.Binary)
        self.needed = needed(self.way, self.model)
        self._target = target if target in self.way.schema else None
        self._nulls = {c: pl.Series(c, [None], dtype=t).new_from_index(0, FEW) for c, t in self.way.schema.items()}

    def answer(self, requests: Sequence[Columns], rows: Sequence[int]) -> list[Answers]:
        """The answers to several requests, of so many rows each, in one go; SLICE rows at most."""
        began = time.perf_counter()
        together = requests[0] if len(requests) == 1 else _joined(requests)
        height = sum(rows)
        series = [self._series(c, together[c]) for c in self.schema]
        if self._target is not None:
            series.append(self._series(self._target, [None] * height))
        # `pl.DataFrame(series)` would take three times that
        ready = series[0].to_frame().hstack(series[1:]) if series else pl.DataFrame()
        found = sound(answers(self.way.maps, self.model, ready))
        took = time.perf_counter() - began
        self.took.append(took)
        self.seconds = sorted(self.took)[len(self.took) // 2]
        self.seconds_a_row = min(self.seconds_a_row * FADES, took / height)
        if len(requests) == 1:
            return [found]
        out, at = [], 0
        for n in rows:
            out.append(found.part(at, n))
            at += n
        return out

    def _series(self, column: str, values: list[Any]) -> pl.Series:
        """A column in its type; one of nulls is a piece of one that is there: to make one takes ten times that."""
        height = len(values)
        if height <= FEW and values.count(None) == height:
            return self._nulls[column].slice(0, height)
        return in_type(column, values, self.way.schema[column])


def in_type(column: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """Values that are of a type, or null, as a column of it: Polars finds the type of Python's own values in a third of
    the time that it takes to be told.

    >>> in_type("n", [1, None], pl.Int64()).to_list(), in_type("n", [1, None], pl.Int8()).dtype
    ([1, None], Int8)
    """
    if dtype.base_type() in _FOUND and (made := pl.Series(column, values)).dtype == dtype:
        return made
    return pl.Series(column, values, dtype=dtype)


def _joined(requests: Sequence[Columns]) -> Columns:
    return {c: [value for request in requests for value in request[c]] for c in requests[0]}


def sound(found: Answers) -> Answers:
    """The answers, where there is neither a prediction nor a reason with a reason: NaN is no answer.

    >>> sound(Answers([1.0, float("nan"), None], None, [None, None, "minor"])).errors
    [None, 'no_prediction', 'minor']
    """
    predictions, errors = found.predictions, found.errors
    for at, value in enumerate(predictions):
        if value is None or (isinstance(value, float) and not isfinite(value)):
            predictions[at] = None
            errors[at] = errors[at] or NO_PREDICTION
    return found


class Served:
    """A service by its name: what answers now, and whether something newer can."""

    def __init__(self, project: Project, service: Service, route: str = "", budget: Budget | None = None) -> None:
        """InputMissing before the first run; UsageError where a row cannot be scored."""
        self.name, self.project, self.service, self.route = service.name, project, service, route
        self.budget = budget or Budget()
        self.recent: deque[tuple[Columns, int]] = deque()
        self._sizes: deque[int] = deque()
        """Bytes of each of these requests."""
        self._held = 0
        """Bytes of all of them."""
        self._epoch = self.epoch()
        self.refused_version = 0
        """The newest version that was tried and found wanting."""
        self.waits = ""
        """Why a newer version is not even tried; empty when none waits."""
        self.silent = False
        """The version that answered was erased, and no other can: nothing answers."""
        self.now = self._load()
        self.warm(self.now)

    def wanted(self) -> Version | None:
        """The version that should answer: the one that the service is held at, while it is kept; else the newest."""
        store, model = self.project.store, self.service.model
        held = None if self.route else pinned(store, self.name)
        found = next((v for v in store.versions(model) if v.version == held), None) if held is not None else None
        return found if found is not None and "erased" not in found.facts else store.latest(model)

    def _load(self, version: int | None = None) -> Loaded:
        """A version, by default the one that is wanted, ready to answer."""
        project, name = self.project, self.service.model
        at = self.wanted() if version is None else project.store.version(name, version)
        if at is None:
            raise InputMissing(f"Model '{name}' has not been trained yet.", fix="Run `tillage run`.")
        if other := self._otherwise(at):
            raise InputMissing(
                f"'{other}' was made by another plan than the one that is to serve it.", fix="Run `tillage run`."
            )
        taken = way(project, project.plan.models[name].table, self.service.table)
        task = str(getattr(project.plan.models[name].learner, "task", "classification"))
        link = linkage(project.plan, taken.start, project.plan.models[name].table, taken.schema)
        model, asked = project.model(name, at.version), self.service.hand_over
        over = handing_over(project, at, model, asked) if asked is not None else None
        self.budget.hold(name, at.version)
        return Loaded(
            self.name,
            name,
            at.version,
            taken,
            model,
            task,
            linkage=link,
            route=self.route,
            keep=self._kept(taken, model),
            redact=self._redacting(),
            hand_over=over,
        )

    def _kept(self, taken: Way, model: Fitted) -> tuple[str, ...]:
        """The columns that the service keeps of its requests; UsageError for one that none can bring."""
        known = [c for c in taken.schema if c != model.state.get("target")]
        if absent := [c for c in self.service.keep if c not in known]:
            raise UsageError(f"'keep' of service '{self.name}': {unknown_name('column', absent[0], known)}")
        return self.service.keep

    def _redacting(self) -> Map | None:
        """The step that what is kept passes, with the project's key where it asks for one."""
        step = self.service.redact
        return step.with_key(self.project.store.keys.subkey(SUBKEY)) if isinstance(step, KeyedMap) else step

    def _otherwise(self, model: Version) -> str:
        """A table on the way of a row that the store holds as another plan made it; empty when there is none.

        The Maps of this plan on rows for a model that saw those of another would be wrong without a word. For the
        newest version the tables are looked at as they are now, for an earlier one as they were when it was trained.
        """
        project, seen = self.project, set[str]()
        newest = project.store.latest(model.stage)
        back = newest is None or newest.version != model.version
        waiting: list[tuple[str, int | None]] = list(model.inputs.items())
        if not back:
            waiting = [(project.plan.models[self.service.model].table, None)]
        while waiting:
            name, number = waiting.pop()
            stage = project.stages[name]
            if name in seen or (back and stage.kind in ("result", "learn")):
                continue
            seen.add(name)
            at = next((v for v in project.store.versions(name) if v.version == number), None)
            at = at if back else project.store.latest(name)
            own = back and stage.target == self.service.model  # its split and its leaks, which no request passes
            if at is None or (at.fingerprint != project.fingerprint(stage) and not own):
                return stage.target
            waiting += [(source, at.inputs.get(source, 0) if back else None) for source in stage.inputs.values()]
        return ""

    def warm(self, loaded: Loaded) -> None:
        """Answer some rows of the start table, so that no request pays for what is made at first use."""
        columns, rows = self._sample(loaded, WARMED_ROWS)
        if rows:
            loaded.answer([columns], [rows])
            loaded.took.clear()  # the first time is of what is made then
            loaded.answer([columns], [rows])

    def _sample(self, loaded: Loaded, rows: int = TRIED_ROWS) -> tuple[Columns, int]:
        stage = next((s.name for s in self.project.stages.values() if self._collects(s, loaded)), loaded.way.start)
        for frame in self.project.store.frames(stage):
            some = frame.head(rows)
            if some.height and all(c in some.columns for c in loaded.schema):
                return {c: some[c].to_list() for c in loaded.schema}, some.height
        return {}, 0

    @staticmethod
    def _collects(stage: Any, loaded: Loaded) -> bool:
        return bool(stage.target == loaded.way.start and stage.kind == "source")

    def record(self, columns: Columns, errors: Sequence[str | None]) -> None:
        """Keep rows of a request that were answered (no error) in memory, to try a newer version on."""
        rows = [at for at, error in enumerate(errors[:LOOKED_AT]) if error is None][:TRIED_ROWS]
        if not rows:
            return
        whole = len(rows) == len(errors)  # nobody changes the columns of a request
        kept = columns if whole else {c: [values[at] for at in rows] for c, values in columns.items()}
        size = 0
        for values in kept.values():
            for value in values:
                if type(value) in _SIZED:
                    size += len(value)
        self._sizes.append(size)
        self._held += size
        self.recent.append((kept, len(rows)))
        while self.recent and (len(self.recent) > TRIED or self._held > TRIED_BYTES):
            self.recent.popleft()
            self._held -= self._sizes.popleft()

    def epoch(self) -> str | None:
        """What the catalog says of whom it has forgotten: another text each time that it was somebody."""
        return self.project.store.catalog.meta("epoch")

    def forgot(self, epoch: str | None) -> bool:
        """Whether somebody was forgotten since the last look: requests of late may be theirs, and are let go of."""
        if epoch == self._epoch:
            return False
        self.recent.clear()
        self._sizes.clear()
        self._held = 0
        self._epoch = epoch
        return True

    def erased(self) -> bool:
        """Whether the version that answers was erased: it had learnt from rows that are forgotten."""
        facts = self.project.store.catalog.row(
            "SELECT facts FROM versions WHERE stage = ? AND version = ?", self.now.model_name, self.now.version
        )
        return facts is not None and "erased" in load(facts[0])

    # ---- the change to a newer version

    def newer(self) -> bool:
        """Whether the store has a version that neither answers nor was refused, and is whole with what it stands on."""
        at = self.wanted()
        if at is None or "erased" in at.facts or at.version in (self.now.version, self.refused_version):
            return False
        if other := self._otherwise(at):
            self.waits = f"version {at.version} waits: '{other}' was made by another plan; start the server anew."
            return False
        self.waits = ""
        held = not self.route and pinned(self.project.store, self.name) == at.version
        if held or self.project.plan.models[self.service.model].fit_on is not None:
            return True
        newest = {name: self.project.store.latest(name) for name in at.inputs}
        return all(v is not None and v.version == at.inputs[name] for name, v in newest.items())

    def prepare(self, version: int | None = None) -> Loaded:
        """A version (default: the one that is wanted), tried; Unfit when it must not answer.

        Slow: to be called off the event loop.
        """
        try:
            loaded = self._load(version)
        except Unavailable:
            raise  # the next look may find it
        except (TillageError, ValueError, KeyError, TypeError) as error:
            raise Unfit(f"it cannot be loaded ({error})") from error
        self.fault(loaded)
        try:
            self.warm(loaded)
        except Exception as error:
            raise Unfit(f"it fails on rows of '{loaded.way.start}' ({type(error).__name__}: {error})") from error
        return loaded

    def earlier(self) -> list[int]:
        """The versions before the one that answers that are kept, oldest first."""
        every = self.project.store.versions(self.service.model)
        return [v.version for v in every if v.version < self.now.version and "erased" not in v.facts]

    def held_at(self, version: int | None) -> Loaded:
        """A version, tried, at which the service is held from now on; None: the newest, and it follows again."""
        newest = self.project.store.latest(self.service.model)
        kept = {v.version for v in self.project.store.versions(self.service.model) if "erased" not in v.facts}
        if version is not None and version not in kept:
            raise Unfit(f"it is not kept; {', '.join(map(str, sorted(kept)))} are")
        number = version if version is not None or newest is None else newest.version
        fresh = self.prepare(number)
        pin(self.project.store, self.name, version)
        return fresh

    def fault(self, loaded: Loaded) -> None:
        """Raise Unfit when a version does not answer what the one before it answers."""
        lacking = loaded.needed.keys() - self.now.schema.keys()
        if lacking:
            raise Unfit(f"it needs columns that requests do not bring: {', '.join(sorted(lacking))}")
        tried = list(self.recent)
        sample, rows = self._sample(loaded)
        if rows:
            tried.append((sample, rows))
        for columns, n in tried:
            whole = {c: columns.get(c, [None] * n) for c in loaded.schema}
            try:
                [after] = loaded.answer([whole], [n])
            except Exception as error:  # whatever it is, it must not reach a request
                raise Unfit(f"it fails on a request of late ({type(error).__name__}: {error})") from error
            known = {c: columns.get(c, [None] * n) for c in self.now.schema}
            [before] = self.now.answer([known], [n])
            for was, reason in zip(before.errors, after.errors, strict=True):
                if was is None and reason == NO_PREDICTION:
                    raise Unfit("it gives no answer where the version before it gave one")


class Unfit(Exception):
    """A version that must not answer, and why."""


__all__ = ["Loaded", "Served", "Unfit", "in_type", "sound"]
