"""The Python way to a plan: `rows | step | step` builds the same Table objects as `tillage.yaml`.

Nothing is read until `collect`, `fit` or `run` is called; then the rows' plan runs in the project's store, as
`tillage run` would run it, so a second call does only what changed.

A name ends a table: what is piped onto named rows goes into a table of its own. Rows without a name get one from what
they are made of, so the same pipeline finds its table again; a source without a name is a table apart from the steps
on it, so that its rows keep their ids (and their side of a split) when a step changes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, overload

import polars as pl
from pydantic import ValidationError

from tillage.core.errors import ConfigurationError, UsageError
from tillage.core.rows import ID, INTO, PARENT, REASON, split_left
from tillage.core.step import Fitted, Fold, Map, Source, Step
from tillage.flow.configuration import STORE, folder_name
from tillage.flow.following import identified
from tillage.flow.parameters import explain, obvious_field
from tillage.flow.plan import NAME, Evaluation, Model, Plan, Split, Table

folder: ContextVar[Path | None] = ContextVar("folder", default=None)
"""The folder of the project in which rows are run; none: the current one."""


class Runner(Protocol):
    """What the Python way asks of a project: `flow.run.Project` is one."""

    def run(self, targets: Sequence[str] = ()) -> Any:
        """Bring the targets (all without), and what they stand on, up to date."""
        ...

    def read(self, table: str) -> pl.DataFrame:
        """The rows of a table's last version."""
        ...

    def model(self, name: str) -> Fitted:
        """The model as it was last trained."""
        ...

    def maps(self, table: str) -> Sequence[Map]:
        """The Maps that a single row passes on its way to the table, in order; fitted ones as they are pinned."""
        ...


def _open(plan: Plan) -> Runner:
    """The project that runs `plan`. The package's root joins the rooms; flow, below them, asks it and imports none."""
    package = sys.modules[__name__.partition(".")[0]]
    runner: Runner = package.project(plan)
    return runner


@dataclass(frozen=True)
class Rows:
    """Rows to be: a source or other rows, and the steps on them. Immutable; every method returns new rows.

    >>> from tillage.core.step import Map
    >>> class Upper(Map):
    ...     column: str
    ...     def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
    ...         return rows.with_columns(pl.col(self.column).str.to_uppercase())
    >>> rows = Rows(inputs=(("rows", Rows(name="notes")),)) | Upper(column="text")
    >>> rows.named("loud").table().steps
    (Upper(column='text'),)
    """

    source: Source | None = None
    key: tuple[str, ...] = ()
    subject: str | None = None
    inputs: tuple[tuple[str, Rows], ...] = ()
    """(port, rows); the port of rows that are stacked is the name of their table, and empty here."""
    steps: tuple[Step, ...] = ()
    expect: Fold | None = None
    profile: Fold | None = None
    reports: tuple[Fold, ...] = ()
    fit_on: tuple[tuple[str, int], ...] = ()
    max_quarantine: float = 0.01
    name: str | None = None

    # ---- building

    @classmethod
    def read(cls, source: Source, key: str | Sequence[str] = (), subject: str | None = None) -> Rows:
        """The rows of a source; `key` names the columns that identify a row, `subject` the person's."""
        return cls(source=source, key=(key,) if isinstance(key, str) else tuple(key), subject=subject)

    @classmethod
    def of(cls, *stacked: Rows, **ports: Rows) -> Rows:
        """Several rows as one input: stacked on each other, or by the ports of the step that is piped on next.

        >>> both = Rows.of(rows=Rows(name="visits"), other=Rows(name="patients"))
        >>> [port for port, _ in both.inputs]
        ['rows', 'other']
        """
        if bool(stacked) == bool(ports):
            raise UsageError("Give rows to be stacked, or rows by port: Rows.of(a, b) or Rows.of(rows=a, other=b).")
        alone = "rows" if len(stacked) == 1 else ""
        return cls(inputs=tuple((alone, rows) for rows in stacked) or tuple(ports.items()))

    def __or__(self, step: Step) -> Rows:
        """These rows through one more step."""
        if not isinstance(step, Step):
            made = f"{step.__name__}(...)" if isinstance(step, type) else "a step"
            raise UsageError(f"Rows are piped into {made}, not into {step!r:.80}.")
        if isinstance(step, Source):
            raise UsageError(
                f"{type(step).__name__} reads data; it begins a pipeline: Rows.read({type(step).__name__}(...))."
            )
        base = self if self.name is None else Rows(inputs=(("rows", self),))
        return replace(base, steps=(*base.steps, step))

    def named(self, name: str) -> Rows:
        """The same rows as a table of this name."""
        if not re.fullmatch(NAME, name):
            raise UsageError(
                f"'{name}' cannot be the name of a table.",
                fix="Use lower-case letters, digits, - and _, at most 64, a letter or digit first.",
            )
        return replace(self, name=name)

    def having(
        self,
        *,
        subject: str | None = None,
        expect: Fold | None = None,
        profile: Fold | None = None,
        reports: Sequence[Fold] | None = None,
        fit_on: Mapping[str, int] | None = None,
        max_quarantine: float | None = None,
    ) -> Rows:
        """The same rows with these settings of the table, which mean what they mean in `tillage.yaml`."""
        if max_quarantine is not None and not 0 <= max_quarantine <= 1:
            raise UsageError(f"'max_quarantine' must be between 0 and 1, got {max_quarantine}.")
        return replace(
            self,
            subject=self.subject if subject is None else subject,
            expect=self.expect if expect is None else expect,
            profile=self.profile if profile is None else profile,
            reports=self.reports if reports is None else tuple(reports),
            fit_on=self.fit_on if fit_on is None else tuple(fit_on.items()),
            max_quarantine=self.max_quarantine if max_quarantine is None else max_quarantine,
        )

    # ---- the plan

    def table(self) -> Table:
        """The last table of these rows, as a plan holds it."""
        rows = self._apart()
        if rows.source is None and not rows.inputs:
            raise UsageError("These rows come from nowhere.", fix="Begin with a source: tl.collect.files(...).")
        source, key = identified(rows.source, rows.key)
        return Table(
            name=rows._name(),
            source=source,
            key=key,
            subject=rows.subject,
            inputs=tuple((port or given._name(), given._name()) for port, given in rows.inputs),
            steps=rows.steps,
            expect=rows.expect,
            profile=rows.profile,
            reports=rows.reports,
            fit_on=dict(rows.fit_on),
            max_quarantine=rows.max_quarantine,
        )

    def tables(self) -> dict[str, Table]:
        """Every table that these rows need, the source's first; raises ConfigurationError when two share a name."""
        found: dict[str, Table] = {}
        for rows in self._apart()._upstream():
            table = rows.table()
            if found.setdefault(table.name, table) != table:
                raise ConfigurationError(f"Two different tables are called '{table.name}'. Rename one.")
        return found

    def plan(self, project: str | None = None, *models: Model) -> Plan:
        """The plan of these rows (and models on them) in the folder of the project."""
        root = folder.get() or Path.cwd()
        return Plan(
            project=project or folder_name(root),
            root=root,
            store=root / STORE,
            tables=self.tables(),
            models={model.name: model for model in models},
        )

    def _apart(self) -> Rows:
        """These rows with a nameless source in a table of its own."""
        if self.name is not None or self.source is None or not self.steps:
            return self
        source = replace(self, steps=(), expect=None, profile=None, reports=(), fit_on=())
        return replace(self, source=None, key=(), inputs=(("rows", source),), max_quarantine=0.01)

    def _upstream(self) -> Iterator[Rows]:
        for _, rows in self.inputs:
            yield from rows._apart()._upstream()
        yield self

    def _name(self) -> str:
        """The name given, or one that says what kind of rows they are and follows from what they are made of."""
        if self.name is not None:
            return self.name
        rows = self._apart()
        steps = [rows.source] if rows.source is not None else list(rows.steps)
        spec = [[type(s).__module__, type(s).__qualname__, s.params()] for s in steps]
        made = json.dumps([spec, list(rows.key), [[p, r._name()] for p, r in rows.inputs]], sort_keys=True)
        kind = steps[-1].name() if steps else "rows"
        return f"{kind[:51]}-{sha256(made.encode()).hexdigest()[:12]}"

    # ---- running

    def collect(self) -> pl.DataFrame:
        """The rows themselves, brought up to date first."""
        project, name = _open(self.plan()), self.table().name
        project.run([name])
        return project.read(name)

    def fit(
        self,
        learner: Step,
        split: Split | None = None,
        name: str | None = None,
        test: Rows | None = None,
        evaluate: Evaluation | None = None,
    ) -> Trained:
        """Learn from these rows: trained, evaluated and stored as the model `name` (the learner's by default).

        `split` says which rows test it; `test` are rows of their own that do; `evaluate`, what else is asked of it.
        """
        name = name or type(learner).name()
        table = self.table().name
        model = Model(
            name=name,
            learner=learner,
            table=table,
            split=split or Split(),
            test_table=test.table().name if test is not None else None,
            evaluation=evaluate or Evaluation(),
        )
        plan = self.plan(None, model)
        if test is not None:
            tables = test.tables()
            if clash := [n for n in tables if plan.tables.get(n, tables[n]) != tables[n]]:
                raise ConfigurationError(f"Two different tables are called '{clash[0]}'. Rename one.")
            plan = plan.model_copy(update={"tables": {**plan.tables, **tables}})
        project = _open(plan)
        project.run([name])
        return Trained(name, table, project)


@dataclass(frozen=True)
class Trained:
    """A model that was learnt from rows, with the way that a row takes to it."""

    name: str
    table: str
    project: Runner

    @property
    def fitted(self) -> Fitted:
        """The model itself, as it is stored."""
        return self.project.model(self.name)

    @overload
    def predict(self, rows: Mapping[str, Any]) -> dict[str, Any]: ...

    @overload
    def predict(self, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> pl.DataFrame: ...

    def predict(
        self, rows: Mapping[str, Any] | pl.DataFrame | Sequence[Mapping[str, Any]]
    ) -> dict[str, Any] | pl.DataFrame:
        """What the model adds to raw rows, which first pass the same Maps as the rows it learnt from.

        One row as a mapping gives a mapping: `prediction`, and `confidence` of a classifier. A frame, or a list of
        mappings, gives a frame: the rows as the model saw them with its columns; rows that a Map turned away stand
        last, without a prediction, and `_reason` says why. Raises UsageError when the one row is turned away.
        """
        one = isinstance(rows, Mapping)
        frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame([rows] if isinstance(rows, Mapping) else rows)
        frame = frame.with_columns(pl.int_range(frame.height).cast(pl.UInt128).alias(ID))
        away: list[pl.DataFrame] = []
        for step in self.project.maps(self.table):
            frame, left = split_left(step.apply(frame))
            away += [left] if left.height else []
        answered, left = split_left(self.fitted.apply(frame))
        away += [left] if left.height else []
        if not one:
            return pl.concat([answered, *away], how="diagonal").drop(ID, PARENT, INTO, strict=False)
        if answered.height != 1:
            why = f"is turned away: {away[0][REASON][0]}" if away else f"becomes {answered.height} rows"
            raise UsageError(f"This row {why}.", fix="Give predict a frame to see every row that comes out.")
        added = [column for column in answered.columns if column not in frame.columns]
        return answered.select(added).row(0, named=True)


def reader(source: type[Source]) -> Callable[..., Rows]:
    """The function that begins a pipeline with this source: `tl.collect.files` is `reader(Files)`.

    A bare first argument sets the source's one required parameter; `key` and `subject` are the table's, as in a plan.

    >>> reader(Source)("data/*.csv")
    Traceback (most recent call last):
    ...
    tillage.core.errors.UsageError: Source needs its parameters by name.
    """

    def read(*value: Any, key: str | Sequence[str] = (), subject: str | None = None, **params: Any) -> Rows:
        only = obvious_field(source)
        if value:
            if only is None or len(value) > 1 or only in params:
                raise UsageError(f"{source.__name__} needs its parameters by name.")
            params[only] = value[0]
        try:
            made = source(**params)
        except ValidationError as error:
            raise ConfigurationError(explain(error, source)) from None
        return Rows.read(made, key, subject)

    read.__name__ = source.name()
    read.__qualname__ = source.name()
    read.__doc__ = (
        f"Rows of {source.__name__}: its parameters, and `key` and `subject` of the table.\n\n{source.__doc__}"
    )
    return read
