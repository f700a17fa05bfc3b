"""Which rows a question means, and which rows are theirs too: back to the source records, on to the same subject.

A table is read once for a condition or a subject; a key is looked up. Earlier versions count as well: a row that the
newest version does not show any more is taken by its last state, and an earlier state that named another subject
leaves without the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import polars as pl

from tillage.core.errors import InputMissing, UnknownName, UsageError
from tillage.core.expression import Expression, parse
from tillage.core.rows import ID, distinct, ids, only, without
from tillage.flow.children import down, family, up
from tillage.flow.plan import Table
from tillage.flow.run import Project
from tillage.flow.stages import Stage
from tillage.store.locate import candidates, locate
from tillage.store.objects import FEW
from tillage.store.purge import QUARANTINE
from tillage.store.tables import LEFT, ROWS, Chunk

_NUMBER = r"0|-?[1-9][0-9]{0,18}"
"""An integer as Polars writes it as text."""

Condition = Callable[[pl.DataFrame], pl.Series | pl.Expr]


class Question(NamedTuple):
    """What is asked for in a table: rows by a condition, by key, or all of some subjects."""

    table: str
    where: str | None = None
    keys: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def by(self) -> str:
        """How the rows are named; what names them is told to nobody."""
        return "where" if self.where is not None else "key" if self.keys else "subject"


class Closure:
    """The rows that a question means, with all that are theirs. (To make a dataclass of it costs more than to load the
    rest of the file.)"""

    def __init__(self, subjects: tuple[str, ...] = ()) -> None:
        self.gone, self.past = ids(), ids()
        """Row_ids that leave every version, and those of which only earlier states are meant."""
        self.subjects = subjects
        self.sources: dict[str, pl.Series] = {}
        """Source stage to the row_ids among `gone` that it holds or held."""
        self.keys: dict[str, list[tuple[str, ...]]] = {}
        """Source stage to the key values of those rows, as text."""
        self.looked_up: dict[str, set[tuple[str, ...]]] = {}
        """Source stage to those among its keys by which rows were looked up: all that have them now go."""
        self.records = 0
        """Source rows that there are, or were, among `gone`."""
        self.asked = 0
        """Rows of the table that the question itself meant."""
        self.notes: list[str] = []


def close(project: Project, question: Question) -> Closure:
    """Everything that a question means; raises UsageError where it cannot be answered in this table."""
    if question.table not in project.plan.tables:
        raise UnknownName("table", question.table, project.plan.tables)
    if sum((question.where is not None, bool(question.keys), bool(question.subjects))) != 1:
        raise UsageError("Say which rows: one of --where, --key, --subject.")
    if project.store.latest(question.table) is None:
        raise InputMissing(f"Table '{question.table}' has no version yet.", fix="Run `tillage run`.")
    out = Closure()
    ever = Ever(project)
    upstream = _upstream(project, question.table)
    kin = family(project.store, project.stages)
    if question.subjects:
        declared = [t for t in upstream if t.subject]
        if not declared:
            named = ", ".join(t.name for t in project.plan.tables.values() if t.subject) or "none does"
            raise UsageError(
                f"Neither '{question.table}' nor a table that it is made from declares a subject.",
                fix=f"Tables that do: {named}. Or use --key or --where.",
            )
        out.subjects = tuple(dict.fromkeys(question.subjects))
    else:
        asked, before = _asked(project, question, upstream, out)
        asked = distinct([asked])
        out.asked = len(asked) + len(before)
        out.gone = up(kin, pl.concat([asked, before]))
        _must_have_sources(project, question.table, out.gone, asked, ever)
        out.subjects = _subjects_of(project, out.gone)
    if out.subjects:
        _same_subjects(project, out, ever)
        if question.subjects:
            out.asked = len(out.gone)
    out.gone = down(kin, up(kin, out.gone))
    out.past = without(down(kin, up(kin, out.past)).to_frame(ID), out.gone)[ID]
    for stage in _source_stages(project):
        held = ever.of(stage, out.gone)
        if len(held):
            out.records += len(held)
            asked = out.sources.get(stage.name, ids())
            out.sources[stage.name] = distinct([asked, held])
            if project.store.plans_of(stage.name) == 1:  # its key never was another: those of asked rows are known
                held = without(held.to_frame(ID), asked)[ID]
            if len(held) and _keys_are_asked_for(project, stage):
                out.keys.setdefault(stage.name, []).extend(_key_values(project, stage, held))
    return out


def also(project: Project, out: Closure, rows: pl.Series) -> None:
    """Let these rows go too, with what was made of them: they were found by another way than the question's."""
    kin, ever = family(project.store, project.stages), Ever(project)
    more = without(down(kin, rows).to_frame(ID), out.gone)[ID]
    out.gone = distinct([out.gone, more])
    for stage in _source_stages(project):
        held = ever.of(stage, more)
        if len(held):
            out.records += len(held)
            out.sources[stage.name] = distinct([out.sources.get(stage.name, ids()), held])


def _keys_are_asked_for(project: Project, stage: Stage) -> bool:
    """Whether anything may name the rows by their keys: quarantined records, or a table of which copies are told."""
    if project.store.every_chunk(stage.name, QUARANTINE):
        return True
    return any(s.table is not None and may_hold_copies(s.table) for s in _source_stages(project))


def may_hold_copies(table: Table) -> bool:
    """Whether rows of a table can be known for someone's by a key alone: it has one of one column, and no subject."""
    return len(table.key) == 1 and not table.subject


def source_tables(project: Project, table: str) -> list[Table]:
    """The tables that collect what a table is made from."""
    return [t for t in _upstream(project, table) if t.source is not None]


def _upstream(project: Project, table: str) -> list[Table]:
    found: dict[str, Table] = {}
    waiting = [table]
    while waiting:
        t = project.plan.tables[waiting.pop()]
        if t.name not in found:
            found[t.name] = t
            waiting += [source for _, source in t.inputs]
    return list(found.values())


def _source_stages(project: Project) -> list[Stage]:
    return [s for s in project.stages.values() if s.kind == "source" and project.store.latest(s.name) is not None]


# -- the question itself --------------------------------------------------------------------------------------------


def _asked(project: Project, question: Question, upstream: list[Table], out: Closure) -> tuple[pl.Series, pl.Series]:
    if question.keys:
        origin = _keyed(upstream, question.table)
        values = _by_columns(origin, question.keys)
        stage = next(s for s in _source_stages(project) if s.target == origin.name)
        out.keys[stage.name] = [tuple(v) for v in zip(*values.values(), strict=True)]
        out.looked_up[stage.name] = set(out.keys[stage.name])
        wanted = distinct([project.store.keys.row_ids(origin.name, pl.DataFrame(values), origin.key)])
        out.sources[stage.name] = wanted
        return wanted, ids()
    expression = parse(question.where or "")
    newest = project.store.latest(question.table)
    if newest is not None and (wrong := expression.check(newest.columns)):
        raise UsageError("\n".join(wrong))
    for chunk in project.store.chunks(question.table)[:1]:
        schema = project.store.objects.get_frame(chunk.object, chunk.checksum).schema
        if wrong := expression.check_types(schema, condition=True):
            raise UsageError("\n".join(wrong))
    condition = _condition(expression, out)
    stage = project.stages[question.table]
    return _matching(project, stage, expression.columns, condition, states=False)


def _keyed(upstream: list[Table], name: str) -> Table:
    origins = [t for t in upstream if t.source is not None and t.key]
    if not origins:
        raise UsageError(f"No table behind '{name}' declares a key.", fix="Use --where.")
    if len(origins) > 1:
        named = ", ".join(t.name for t in origins)
        raise UsageError(f"'{name}' comes from several tables with keys: {named}.", fix="Forget in one of them.")
    return origins[0]


def _by_columns(origin: Table, values: Sequence[str]) -> dict[str, list[str]]:
    width = len(origin.key)
    if len(values) % width:
        columns = ", ".join(origin.key)
        raise UsageError(
            f"The key of '{origin.name}' has {width} columns ({columns}), got {len(values)} values.",
            fix=f"Give {' '.join(f'--key {c.upper()}' for c in origin.key)}.",
        )
    return {column: list(values[n::width]) for n, column in enumerate(origin.key)}


def _condition(expression: Expression, out: Closure) -> Condition:
    def holds(rows: pl.DataFrame) -> pl.Series:
        if expression.check_types(rows.schema, condition=True):
            if not out.notes:
                out.notes.append("Earlier rows have columns of other types, and the condition says nothing of them.")
            return pl.Series([False], dtype=pl.Boolean).new_from_index(0, rows.height)
        return rows.select(expression.polars().fill_null(value=False).alias("h"))["h"]

    return holds


def _matching(
    project: Project, stage: Stage, columns: Sequence[str], holds: Condition, *, states: bool
) -> tuple[pl.Series, pl.Series]:
    """(rows for which a condition holds in the newest version, others for which it held before).

    The second are rows that the newest version does not show; with `states` also those that it shows otherwise.
    """
    store = project.store
    now, before = [ids()], [ids()]
    parts = [ROWS, LEFT] if stage.kind == "source" else [ROWS]
    seen: dict[str, pl.Series] = {}
    for part in parts:
        removed = store.all_removed(stage.name, part)
        for chunk in store.every_chunk(stage.name, part):
            if chunk.object not in seen:
                seen[chunk.object] = _holding_true(project, chunk, columns, holds)
            hits = seen[chunk.object]
            if hits.is_empty():
                continue
            if chunk.ended is None:
                shown = without(hits.to_frame(ID), removed[chunk.id])[ID] if chunk.id in removed else hits
                now.append(shown)
                hits = without(hits.to_frame(ID), shown)[ID] if len(shown) < len(hits) else ids()
            before.append(hits)
    shown, earlier = distinct(now), distinct(before)
    earlier = without(earlier.to_frame(ID), shown)[ID]
    if states or earlier.is_empty():
        return shown, earlier
    alive = [rows[ID] for part in parts for _, rows in locate(store, stage.name, earlier, part, columns=[])]
    return shown, without(earlier.to_frame(ID), pl.concat([ids(), *alive]).unique())[ID]


def _holding_true(project: Project, chunk: Chunk, columns: Sequence[str], holds: Condition) -> pl.Series:
    try:
        rows = project.store.objects.get_frame(chunk.object, chunk.checksum, [ID, *columns])
    except pl.exceptions.ColumnNotFoundError:  # an earlier version, without a column of the condition
        return ids()
    return rows.filter(holds(rows))[ID]


def _must_have_sources(project: Project, table: str, roots: pl.Series, asked: pl.Series, ever: Ever) -> None:
    """Rows that a Group made belong to many: a forget must name whose."""
    if asked.is_empty():
        return
    if any(len(ever.of(s, roots)) for s in _source_stages(project)):
        return
    path = _upstream(project, table)
    if not any(s.kind == "group" for t in path for s in project.stages.values() if s.target == t.name):
        return
    named = ", ".join(f"'{t.name}'" for t in path if t.source is not None)
    raise UsageError(
        f"A row of '{table}' is made of many rows, which may be of many people.",
        fix=f"Forget in a table that holds the rows themselves: {named}.",
    )


class Ever:
    """Which rows the sources' stages hold, in whatever version; no row is looked for twice."""

    def __init__(self, project: Project) -> None:
        self._store = project.store
        self._asked: dict[str, pl.Series] = {}
        self._held: dict[str, pl.Series] = {}

    def of(self, stage: Stage, wanted: pl.Series) -> pl.Series:
        """Those of the rows that a source's stage holds or held."""
        new = without(wanted.to_frame(ID), self._asked.get(stage.name, ids()))[ID]
        if len(new):
            found = [ids()]
            for part in (ROWS, LEFT):
                for chunk, near in candidates(self._store, stage.name, new, part):
                    rows = self._store.objects.get_frame(chunk.object, chunk.checksum, [ID], keep=len(new) <= FEW)
                    found.append(only(rows, near)[ID])
            self._note(stage.name, new, distinct(found))
        return only(distinct([wanted]).to_frame(ID), self._held.get(stage.name, ids()))[ID]

    def note(self, stage: Stage, held: pl.Series) -> None:
        """Rows of a source's stage that were met on the way."""
        if stage.kind == "source":
            self._note(stage.name, held, held)

    def _note(self, stage: str, asked: pl.Series, held: pl.Series) -> None:
        self._asked[stage] = distinct([self._asked.get(stage, ids()), asked])
        self._held[stage] = distinct([self._held.get(stage, ids()), held])


def _key_values(project: Project, stage: Stage, held: pl.Series) -> Iterable[tuple[str, ...]]:
    """The key of each of these rows, as text."""
    table = stage.table
    if table is None or not table.key:
        return []
    found = set()
    store = project.store
    for part in (ROWS, LEFT):
        for chunk, near in candidates(store, stage.name, held, part):
            rows = only(store.objects.get_frame(chunk.object, chunk.checksum, [ID, *table.key]), near)
            found |= set(rows.select(pl.col(c).cast(pl.String) for c in table.key).rows())
    return sorted(found)


# -- subjects -------------------------------------------------------------------------------------------------------


def _declared(project: Project) -> list[tuple[Table, list[Stage]]]:
    """Each table that declares a subject, with the stages whose rows show that column first."""
    out = []
    for table in project.plan.tables.values():
        if not table.subject:
            continue
        own = [s for s in project.stages.values() if s.target == table.name and s.kind not in ("result", "learn")]
        feeding = [project.stages[i] for i in own[0].inputs.values()] if own else []
        feeding = [s for s in feeding if not project.plan.tables[s.target].subject]
        showing = []
        for stage in [*feeding, *own]:
            last = project.store.latest(stage.name)
            if last is not None and table.subject in last.columns:
                showing.append(stage)
        if own and own[0].kind == "source":
            showing = showing[:1]
        out.append((table, showing))
    return out


def _subjects_of(project: Project, rows: pl.Series) -> tuple[str, ...]:
    """The subjects whose rows these are."""
    found: set[str] = set()
    store = project.store
    for table, stages in _declared(project):
        for stage in stages:
            parts = [ROWS, LEFT] if stage.kind == "source" else [ROWS]
            for part in parts:
                for chunk, near in candidates(store, stage.name, rows, part):
                    column = str(table.subject)
                    try:
                        frame = store.objects.get_frame(chunk.object, chunk.checksum, [ID, column])
                    except pl.exceptions.ColumnNotFoundError:
                        continue
                    values = only(frame, near)[column].drop_nulls().cast(pl.String)
                    found |= set(values.to_list())
    return tuple(sorted(found - {""}))


def _same_subjects(project: Project, out: Closure, ever: Ever) -> None:
    """Every row of these subjects, wherever a table says whose its rows are."""
    texts = pl.Series(out.subjects, dtype=pl.String).implode()
    # As text a number has one form, so the others need not be compared.
    numbers = [int(t) for t in out.subjects if re.fullmatch(_NUMBER, t) and -(1 << 63) <= int(t) < 1 << 63]
    whole = pl.Series(numbers, dtype=pl.Int64).implode()
    for table, stages in _declared(project):
        column = str(table.subject)

        def holds(rows: pl.DataFrame, column: str = column) -> pl.Expr:
            is_whole = rows.schema[column] == pl.Int64
            return pl.col(column).is_in(whole) if is_whole else pl.col(column).cast(pl.String).is_in(texts)

        for stage in stages:
            shown, earlier = _matching(project, stage, [column], holds, states=True)
            ever.note(stage, pl.concat([shown, earlier]))
            alive = [rows[ID] for _, rows in locate(project.store, stage.name, earlier, columns=[])]
            otherwise = pl.concat([ids(), *alive]).unique()
            out.gone = pl.concat([out.gone, shown, without(earlier.to_frame(ID), otherwise)[ID]]).unique()
            out.past = pl.concat([out.past, otherwise]).unique()
