"""Columns that tables will have, as far as that is known before a run, and the columns that models ask for.

A table that stands has the columns of its last version; above one that changes, row functions are applied to no row.
What is not known is left to the run, which asks again before it begins a model. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import polars as pl

from tillage.core.answers import PREDICTION
from tillage.core.errors import ConfigurationError, Problem, TillageError, UnknownColumns
from tillage.core.rows import ID
from tillage.core.step import Found, Group, Map
from tillage.flow.following import Following, look
from tillage.flow.maps import apply_maps
from tillage.flow.parameters import nearest
from tillage.flow.places import problem_at
from tillage.flow.plan import Model, Plan, Table
from tillage.flow.schema import recorded
from tillage.flow.stacking import common_shape
from tillage.flow.stages import Pinned, Stage, beside_of, features, hidden
from tillage.flow.survey import known, refuse_key, source_of, table_of
from tillage.store.index import KEY
from tillage.store.tables import Store

LOOK_BYTES = 4 << 20
"""A new or changed source is looked into when it is not larger; what is parsed up to here is not parsed again."""

Columns = dict[str, str]
Fingerprint = Callable[[Stage], str]
Chains = Callable[[Stage], dict[str, tuple[Map, ...]]]
AskColumns = Callable[[str], Mapping[str, str] | None]


class Foreseen:
    """The columns of each stage, worked out when they are asked for; None: not known before the run."""

    def __init__(
        self,
        store: Store,
        stages: Mapping[str, Stage],
        plan: Plan,
        fingerprint: Fingerprint,
        chains: Chains,
        *,
        look: bool,
    ) -> None:
        self.store, self.stages, self.plan, self.root, self.look = store, stages, plan, plan.root, look
        self.problems: list[Problem] = []
        """What sources were told of columns that they do not have."""
        self._fingerprint, self._chains = fingerprint, chains
        self._found: dict[str, Columns | None] = {}
        self._stands: dict[str, bool] = {}

    def of(self, name: str) -> Columns | None:
        """The columns of a stage, by name to type."""
        if name not in self._found:
            stage = self.stages[name]
            try:
                last = self.store.latest(name)
                self._found[name] = last.columns if last and self.stands(name) else self._worked_out(stage)
            except UnknownColumns as error:
                self.problems += placed(self.plan, stage.target, error).problems
                self._found[name] = None
            except (TillageError, OSError, pl.exceptions.PolarsError):  # the run meets it too, and says what it is
                self._found[name] = None
        return self._found[name]

    def before_scoring(self, table: Table) -> Columns | None:
        """The columns of the rows that a model is to answer in this table."""
        stage = next(s for s in self.stages.values() if s.target == table.name and table.score in s.pinned())
        steps = {port: tuple(m for m in chain if not is_model(m, table)) for port, chain in stage.maps.items()}
        try:
            return self._worked_out(replace(stage, maps=steps))
        except (TillageError, OSError, pl.exceptions.PolarsError):  # the run meets it too, and says what it is
            return None

    def stands(self, name: str) -> bool:
        """Whether a run would leave the stage as it is."""
        if name not in self._stands:
            stage, last = self.stages[name], self.store.latest(name)
            stands = last is not None and last.fingerprint == self._fingerprint(stage) and "erased" not in last.facts
            if stands and stage.kind == "source":
                before = {k.path: k.stamp for k in known(self.store, name)}
                stands = before == {found.path: found.stamp for found in self._there(stage)}
            self._stands[name] = stands and all(self.stands(need) for need in stage.inputs.values())
        return self._stands[name]

    def _there(self, stage: Stage) -> list[Found]:
        """What the source holds now; nothing, where finding out is as dear as the run itself."""
        source = source_of(stage)
        if isinstance(source, Following) and not source.cheap:
            return []
        return look(source, self.store, stage, self.root).found

    def _worked_out(self, stage: Stage) -> Columns | None:
        if stage.kind == "source":
            return self._looked(stage)
        given = {port: self.of(source) for port, source in stage.inputs.items() if port != "verdicts"}
        frames = {port: _nothing(columns) for port, columns in given.items() if columns is not None}
        if len(frames) < len(given):
            return None
        if stage.kind == "map":
            chains = self._chains(stage)
            made = {port: apply_maps(chains[port], frame)[0].schema for port, frame in frames.items()}
            shape = next(iter(made.values())) if len(made) == 1 else common_shape(made, stage.target)
            return _named(shape)
        if stage.kind == "group" and isinstance(stage.step, Group):
            keyed = {p: f.with_columns(pl.lit(0, dtype=pl.UInt128).alias(KEY)) for p, f in frames.items()}
            return _named(stage.step.apply(keyed).schema)
        if stage.kind == "gate" or getattr(stage.step, "incremental", False):
            return given["rows"]
        return None

    def _looked(self, stage: Stage) -> Columns | None:
        """The columns of a small source that was never read, or has changed."""
        source = source_of(stage)
        found = self._there(stage) if self.look else []
        if not found or sum(int(f.stamp.get("size", LOOK_BYTES + 1)) for f in found) > LOOK_BYTES:
            return None
        kinds = source.column_types([source.observe(self.root, f.path) for f in found])
        refuse_key(table_of(stage), kinds)
        rows = next(iter(source.read(self.root, found[0].path, kinds)), None)
        return _named(rows.rows.schema) if rows is not None and kinds else None


def placed(plan: Plan, table: str, error: UnknownColumns) -> ConfigurationError:
    """The error with the places in the plan of the columns that it is about."""
    held, setting = plan.tables[table], error.setting
    problems = []
    for name, problem in zip(error.names, error.problems, strict=True):
        said = f"'{setting}' of table '{table}': {problem.message}"
        if setting == "key":
            problems.append(problem_at(plan, said, ("tables", table, "key"), item=held.key.index(name)))
        else:
            step = held.source.name() if held.source is not None else ""
            problems.append(problem_at(plan, said, ("tables", table, "collect", step, setting), key=name))
    return ConfigurationError(problems, fix=error.fix)


def unknown_subject(plan: Plan, table: Table, stages: Mapping[str, Stage], columns: AskColumns) -> Iterator[Problem]:
    """A subject that no row of a table, nor of those that it is made from, has: nobody could be found by it."""
    if not table.subject:
        return
    own = [s for s in stages.values() if s.target == table.name and s.kind not in ("result", "learn")]
    near = dict.fromkeys(name for s in own for name in (*s.inputs.values(), s.name))
    known = [columns(name) for name in near if stages[name].kind not in ("result", "learn")]
    if all(there and table.subject not in there for there in known):
        every = list(dict.fromkeys(c for there in known for c in there or ()))
        what = f"'subject' of table '{table.name}': no row has a column '{table.subject}': nobody would be found by it."
        yield problem_at(plan, nearest(what, table.subject, every), ("tables", table.name, "subject"))


def missing_columns(plan: Plan, model: Model, columns: Mapping[str, str], table: str) -> Iterator[Problem]:
    """What a model asks for by name and its table does not have, at its place in the plan."""
    target = getattr(model.learner, "target", None)
    asked: list[tuple[str, str, int | None]] = [_named_in(model, column) for column in features(model)]
    asked += [("target", str(target), None)] if target is not None else []
    asked += [("group", model.split.group, None)] if model.split.group is not None and table == model.table else []
    evaluation = model.evaluation
    asked += [("slices", c, n) for n, c in enumerate(evaluation.slices)]
    asked += [("sensitive", c, n) for n, c in enumerate(evaluation.sensitive)]
    asked += [("time", evaluation.time, None)] if evaluation.time is not None else []
    for setting, column, n in asked:
        if column not in columns:
            what = f"Model '{model.name}': table '{table}' has no column '{column}' for its '{setting}'."
            at = ("models", model.name)
            inside = {name: (*at, "evaluate", name) for name in ("slices", "sensitive", "time")}
            inside["group"] = (*at, "split", "group")
            ways = [inside.get(setting, (*at, "learn", model.learner.name(), setting))]
            yield problem_at(plan, nearest(what, column, list(columns)), (*at, setting), *ways, item=n)
    if table == model.table and target in columns and getattr(model.learner, "input", "") is None:
        aside = hidden(model, plan) - {getattr(model.learner, "group", None)}
        if not columns.keys() - aside - {target}:
            what = (
                f"Model '{model.name}': table '{table}' has no column to learn '{target}' from: keys, subjects and "
                "groups are left out. Name those to be learnt from in 'input', or take a table with more columns."
            )
            yield problem_at(plan, what, ("models", model.name, "from"), ("models", model.name))


def is_model(step: Map | Pinned, table: Table) -> bool:
    """Whether a step is the model that scores the table."""
    return isinstance(step, Pinned) and step.stage == table.score


def unscorable(plan: Plan, table: Table, columns: Mapping[str, str]) -> Iterator[Problem]:
    """The columns that the model of a table reads by name and its rows lack, and one that it would write over."""
    place = ("tables", table.name, "score")
    for column in features(plan.models[table.score]):
        if column not in columns:
            what = f"Table '{table.name}' has no column '{column}' before model '{table.score}', which reads it."
            yield problem_at(plan, nearest(what, column, list(columns)), place)
    if PREDICTION in columns:
        what = f"Table '{table.name}' has a column '{PREDICTION}', which model '{table.score}' would write over."
        yield problem_at(plan, f"{what} Rename it by a step before.", place)


def unknown_references(
    plan: Plan, table: Table, columns: Callable[[str], Mapping[str, str] | None]
) -> Iterator[Problem]:
    """The columns of other tables that the checks of a table name and that these do not have."""
    for beside in beside_of(table):
        there = columns(beside.table) if beside.table is not None else None
        for column in beside.columns if there is not None else ():
            if there is not None and column not in there:
                what = f"'references' of table '{table.name}': table '{beside.table}' has no column '{column}'."
                place = ("tables", table.name, "expect", *beside.place)
                yield problem_at(plan, nearest(what, column, list(there)), place)


def _named_in(model: Model, column: str) -> tuple[str, str, int | None]:
    """The setting of the learner that names a column, the column, and its number where the setting is a list."""
    for setting in type(model.learner).model_fields:
        value = getattr(model.learner, setting)
        if isinstance(value, tuple) and column in value:
            return setting, column, value.index(column)
        if value == column and setting != "target":
            return setting, column, 0 if setting == "input" else None
    return "input", column, None


def _nothing(columns: Columns) -> pl.DataFrame:
    return pl.DataFrame(schema={ID: pl.UInt128, **recorded(columns)})


def _named(schema: Mapping[str, pl.DataType]) -> Columns:
    return {c: str(t) for c, t in schema.items() if not c.startswith("_")}
