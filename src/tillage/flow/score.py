"""Scoring: rows from outside pass the Maps that the model's rows passed, then the model; one answer for each row.

Frame in, frame out: a file on the command line and a request to a server take the same way. No row is dropped: one
that cannot be answered comes back with the reason in `error`. Steps that look across rows and only take rows out
(duplicates) are passed over, since one request cannot be a duplicate; those that make other rows (groups) are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import polars as pl

from tillage.core.answers import CONFIDENCE, PREDICTION
from tillage.core.errors import BadData, InputMissing, UsageError
from tillage.core.rows import ID, INTO, PARENT, REASON, drop_columns, split_left
from tillage.core.step import Fitted, Map
from tillage.flow.scored import absent, added, quoted

if TYPE_CHECKING:
    from tillage.flow.kept_answers import KeptAnswers
    from tillage.flow.run import Project

ERROR = "error"
GIVEN = "_given"
"""Ends the name of a column that rows brought along, where an answer is called so."""

SLICE = 20_000
"""Rows that pass at once, so that the memory of a large file stays bounded."""

_EXACT = 1 << 53
_KINDS: dict[Any, str] = {
    pl.Boolean: "true or false",
    pl.Date: "a date (YYYY-MM-DD)",
    pl.Datetime: "a time (ISO 8601)",
    pl.Time: "a time of day",
    pl.Binary: "bytes written in base64",
}
_MOMENT = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2}(?:\.\d{1,9})?))?\s?(Z|[+-]\d{2}:?\d{2})?)?$"


@dataclass(frozen=True)
class Way:
    """What a row passes from a table to another: Maps in order, fitted ones as they are pinned."""

    start: str
    schema: dict[str, pl.DataType]
    """Column to type of the rows that come in, as the start table recorded them."""
    maps: tuple[Map, ...] = ()
    passed_over: tuple[str, ...] = ()
    """Steps that a single row cannot take, as `STEP of TABLE`."""


@dataclass(frozen=True)
class _Path:
    """One path up the plan, last stage first while it is made."""

    start: str = ""
    maps: tuple[Map, ...] = ()
    passed_over: tuple[str, ...] = ()
    refused: str = ""


def _begin(table: str) -> str:
    """How it is said where rows begin: to a command, and in a plan."""
    return f"--from {table} (of a service, from: {table})"


def way(project: Project, table: str, start: str | None = None) -> Way:
    """The way of a raw row to `table`, from the table `start` (by default the only one that collects).

    Raises UsageError when there are several such tables, or none, or a step on the way makes rows out of many;
    InputMissing before the first run.
    """
    found = list(_paths(project, table, start))
    starts = list(dict.fromkeys(path.start for path in found))
    if not found:
        raise UsageError(
            f"No row comes from '{start}' to '{table}'.",
            fix=f"Begin with one of: {', '.join(dict.fromkeys(p.start for p in _paths(project, table, None)))}.",
        )
    if len(starts) > 1:
        raise UsageError(
            f"Rows come to '{table}' from several tables: {', '.join(starts)}.",
            fix=f"Say which one the rows are like: {_begin(starts[0])}.",
        )
    open_ways = [path for path in found if not path.refused]
    if not open_ways:
        raise UsageError(found[0].refused, fix=f"Score rows that are like those of '{table}': {_begin(table)}.")
    if len({tuple(m.fingerprint() for m in path.maps) for path in open_ways}) > 1:
        raise UsageError(
            f"Rows come from '{starts[0]}' to '{table}' on several ways that differ.", fix=f"Use {_begin(table)}."
        )
    path = open_ways[0]
    return Way(path.start, _schema(project, path.start), path.maps, tuple(reversed(path.passed_over)))


def _paths(project: Project, table: str, start: str | None) -> Iterator[_Path]:
    """Every path from where rows begin to the stage of this name."""
    stage = project.stages[table]
    collects = any(s.kind == "source" and s.target == start for s in project.stages.values())
    if stage.kind == "source" or (table == start and not collects):
        if start is None or stage.target == start:
            yield _Path(stage.target)
        return
    chains = project.chains(stage) if stage.kind == "map" else {}
    for port, source in stage.inputs.items():
        if project.stages[source].kind in ("result", "learn"):
            continue  # the verdicts of a gate are no rows
        for path in _paths(project, source, start):
            if stage.kind == "map":
                passed = tuple(f"{m.name()} of {stage.target}" for m in chains[port] if m.synthetic)
                maps = (m for m in chains[port] if not m.synthetic)
                yield replace(path, maps=(*path.maps, *maps), passed_over=(*passed[::-1], *path.passed_over))
            elif stage.kind == "gate":
                yield path
            else:
                yield _across(project, path, stage.name, source)


def _across(project: Project, path: _Path, name: str, source: str) -> _Path:
    """The path past a step that looks across rows."""
    stage = project.stages[name]
    step = stage.step.name() if stage.step else stage.kind
    label = f"{step} of {stage.target}"
    after, before = project.store.latest(name), project.store.latest(source)
    if after is None or before is None:
        raise InputMissing(f"Table '{stage.target}' has no version yet.", fix="Run `tillage run`.")
    if stage.kind == "whole" and after.columns == before.columns:
        return replace(path, passed_over=(label, *path.passed_over))
    why = f"The step {label} makes rows out of many, so a single row cannot be scored through it."
    return replace(path, refused=path.refused or why)


def _schema(project: Project, start: str) -> dict[str, pl.DataType]:
    """The types of the rows that begin at a table: as collected, where it collects."""
    held = next((s.name for s in project.stages.values() if s.target == start and s.kind == "source"), start)
    at = project.store.latest(held)
    if at is None:
        raise InputMissing(f"Table '{start}' has no version yet.", fix="Run `tillage run`.")
    for frame in project.store.frames(held):
        return {c: frame.schema[c] for c in at.columns}
    return {c: pl.String() for c in at.columns}


def score(taken: Way, model: Fitted, rows: pl.DataFrame, kept: KeptAnswers | None = None) -> pl.DataFrame:
    """The rows as they came, in their order, with `prediction`, `confidence` (of a classifier) and `error`.

    A model that says more (its `adds`, such as the ends of an interval) has those columns before `error`.

    `error` is null where there is a prediction; else the reason under which a Map turned the row away, or which value
    could not be read as the type that the model saw. Columns that the model's table does not know stay as they are
    and are not looked at; a missing target is null. A column of the rows that is called as one of the answers comes
    back as `NAME_given`. What is `kept` is not answered again. Raises BadData for missing columns, UsageError for
    reserved ones.
    """
    more = added(model)
    own = (PREDICTION, CONFIDENCE, *more, ERROR)
    given = {c: f"{c}{GIVEN}" for c in rows.columns if c in own}
    clash = [c for c in rows.columns if c.startswith("_")] + [c for c, new in given.items() if new in rows.columns]
    if clash:
        raise UsageError(
            f"The rows already have {quoted(clash)}, which scoring would write over.",
            fix="Rename or remove them.",
        )
    target = model.state.get("target")
    _require(taken, model, rows, target)
    answers = [_slice(taken, model, part, target, n, kept) for n, part in enumerate(rows.iter_slices(SLICE))]
    if kept is not None:
        kept.save()
    if not answers:
        empty = {PREDICTION: pl.String, CONFIDENCE: pl.Float64, **dict.fromkeys(more, pl.Float64), ERROR: pl.String}
        return rows.rename(given).with_columns(pl.lit(None, dtype=t).alias(c) for c, t in empty.items())
    made = pl.concat(answers, how="diagonal_relaxed")
    names = [c for c in (PREDICTION, CONFIDENCE, *more, ERROR) if c in made.columns]
    return rows.rename(given).with_columns(made[c] for c in names)


def _slice(
    taken: Way, model: Fitted, rows: pl.DataFrame, target: str | None, number: int, kept: KeptAnswers | None
) -> pl.DataFrame:
    """The answers to some rows, in their order."""
    ready, errors = typed(_known(taken, rows, target), taken.schema)
    if kept is None:
        given = answers(taken.maps, model, ready, errors)
    else:
        given = kept.answers(number, ready, errors, partial(answers, taken.maps, model))
    made: list[pl.Series] = [pl.Series(PREDICTION, given.predictions, strict=False)]
    if given.confidences is not None:
        made.append(pl.Series(CONFIDENCE, given.confidences, dtype=pl.Float64))
    made += [pl.Series(name, values, dtype=pl.Float64) for name, values in given.more.items()]
    return pl.DataFrame([*made, pl.Series(ERROR, given.errors, dtype=pl.String)])


@dataclass(frozen=True)
class Answers:
    """One entry for each row, in the order of the rows: a prediction, or why there is none."""

    predictions: list[Any]
    confidences: list[float | None] | None
    """None where the model gives none (a regression)."""
    errors: list[str | None]
    more: dict[str, list[float | None]] = field(default_factory=dict)
    """By column, what else the model says, such as the ends of an interval; null where there is no end."""

    def part(self, first: int, rows: int) -> Answers:
        """The answers to some of the rows."""
        some = slice(first, first + rows)
        sure = None if self.confidences is None else self.confidences[some]
        more = {name: values[some] for name, values in self.more.items()}
        return Answers(self.predictions[some], sure, self.errors[some], more)


@lru_cache(maxsize=1)
def _positions() -> pl.Series:
    """Numbers as row_ids, made once: to make one costs more than a small Map."""
    return pl.int_range(SLICE, eager=True).cast(pl.UInt128).alias(ID)


def answers(maps: Sequence[Map], model: Fitted, ready: pl.DataFrame, errors: pl.Series | None = None) -> Answers:
    """The rows, in their types, through the Maps and the model; at most SLICE of them. No query is made but theirs.

    `errors`: why a row is turned away before the first Map, null where it is not. Raises UsageError where a Map makes
    several rows of one.
    """
    height = ready.height
    said: list[str | None] = [None] * height if errors is None else errors.to_list()
    ready = ready.hstack([_positions().slice(0, height)])
    if errors is not None and errors.null_count() != height:
        ready = ready.filter(errors.is_null())
    for step in maps:
        before = ready.height
        passed = step.apply(ready)
        if passed.height != before or (step.makes_children and passed[PARENT].null_count() != before):
            raise UsageError(
                f"The step {step.name()} makes several rows of one, so a row has no single prediction.",
                fix=f"Score the rows that it makes: begin with its table, {_begin('TABLE')}.",
            )
        ready = _staying(passed, said)
    predictions: list[Any] = [None] * height
    confidences: list[float | None] = [None] * height
    more: dict[str, list[float | None]] = {name: [None] * height for name in added(model)}
    if not ready.height:
        return Answers(predictions, None, said, more)
    whole = _staying(model.apply(ready), said)
    found = whole[PREDICTION].to_list()
    confident = CONFIDENCE in whole.columns and (CONFIDENCE not in ready.columns or "classes" in model.state)
    sure = whole[CONFIDENCE].to_list() if confident else None
    ends = {name: [v if v is not None and isfinite(v) else None for v in whole[name].to_list()] for name in more}
    if len(found) == height:
        return Answers(found, sure, said, ends)
    for at, place in enumerate(whole[ID].to_list()):
        predictions[place] = found[at]
        if sure is not None:
            confidences[place] = sure[at]
        for name, values in ends.items():
            more[name][place] = values[at]
    return Answers(predictions, None if sure is None else confidences, said, more)


def _staying(passed: pl.DataFrame, said: list[str | None]) -> pl.DataFrame:
    """The rows that stay; the reasons of those that leave are written into `said`, by position."""
    if REASON not in passed.columns:
        return passed
    reasons = passed[REASON]
    if reasons.null_count() == len(reasons):
        return drop_columns(passed, REASON, INTO)
    stay, left = split_left(passed)
    for place, reason in zip(left[ID].to_list(), left[REASON].to_list(), strict=True):
        said[place] = reason
    return stay


def needed(taken: Way, model: Fitted) -> dict[str, str]:
    """The columns that a row has to bring along, each with the step that needs it; the target is none of them.

    >>> from tillage.prepare import Normalize
    >>> class Length(Fitted):
    ...     def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
    ...         return rows
    >>> way = Way("raw", {"text": pl.String(), "n": pl.Int64()}, (Normalize(columns=("text",)),))
    >>> needed(way, Length(state={}))
    {'text': 'normalize'}
    """
    probe = pl.DataFrame(schema={ID: pl.UInt128, **taken.schema})
    raw, out = set(taken.schema), dict[str, str]()
    for step in (*taken.maps, model):
        for column in step.needs():
            if column in raw and column != model.state.get("target"):
                out.setdefault(column, step.name())
        if step is not model:
            probe = split_left(step.apply(probe))[0]
            raw &= set(probe.columns)
    return out


def _known(taken: Way, rows: pl.DataFrame, target: str | None) -> pl.DataFrame:
    """The columns that the start table knows; the target, which new rows lack, as null."""
    kept = rows.select(c for c in taken.schema if c in rows.columns)
    if target in taken.schema and target not in rows.columns:
        return kept.with_columns(pl.lit(None, dtype=taken.schema[target]).alias(target))
    return kept


def _require(taken: Way, model: Fitted, rows: pl.DataFrame, target: str | None) -> None:
    """Raise BadData for every column that a step or the model needs and does not find."""
    probe = (
        typed(_known(taken, rows, target).clear(), taken.schema)[0]
        .with_columns(pl.lit(0, pl.UInt128).alias(ID))
        .clear()
    )
    missing: dict[str, str] = {}
    for step in (*taken.maps, model):
        for column in step.needs():
            if column not in probe.columns:
                missing.setdefault(column, step.name())
                probe = probe.with_columns(pl.lit(None, dtype=taken.schema.get(column, pl.String())).alias(column))
        if step is not model:
            probe = split_left(step.apply(probe))[0]
    if missing:
        said = "\n".join(absent(column, step, rows.columns) for column, step in missing.items())
        raise BadData(said, fix="Add the column, or rename the one that is meant.")


# ---- types


def typed(rows: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> tuple[pl.DataFrame, pl.Series]:
    """The rows in the types of `schema`, and for each row what could not be read so (null: everything could).

    A text of digits is a number where numbers were seen; the empty text is no value; a number that would not stay what
    it is (3.5 where whole numbers were seen) is said, not rounded. Bytes are written in base64 (RFC 4648), since
    neither JSON nor CSV has any.

    >>> frame, errors = typed(pl.DataFrame({"n": ["7", "x", ""]}), {"n": pl.Int64()})
    >>> frame["n"].to_list(), errors.to_list()
    ([7, None, None], [None, "'x' in column 'n' is not a whole number", None])
    """
    made: list[pl.Series] = []
    texts: list[pl.Series] = []
    for values in rows.get_columns():
        dtype = schema.get(values.name, values.dtype)
        cast = _cast(values, dtype)
        made.append(cast)
        lost = cast.is_null() & values.is_not_null()
        if values.dtype == pl.String and dtype != pl.String:
            lost &= values.str.strip_chars() != ""
        if lost.any():
            shown = values.cast(pl.String, strict=False).fill_null("?").str.slice(0, 40)
            text = pl.DataFrame({"v": shown, "lost": lost}).select(
                pl.when("lost").then(
                    pl.format("'{}' in column '{}' is not {}", pl.col("v"), pl.lit(values.name), pl.lit(_kind(dtype)))
                )
            )
            texts.append(text.to_series().alias(f"{len(texts)}"))
    frame = pl.DataFrame(made) if made else pl.DataFrame(height=rows.height)
    if not texts:
        return frame, pl.Series(ERROR, [None], dtype=pl.String).new_from_index(0, rows.height)
    errors = pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True).alias(ERROR))[ERROR]
    return frame, errors.set(errors == "", None)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "a whole number"
    if dtype.is_numeric():
        return "a number"
    return _KINDS.get(dtype.base_type(), str(dtype))


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The values in another type; null where there is none that is the same value."""
    if values.dtype == dtype:
        return values
    if values.null_count() == len(values):
        return pl.Series(values.name, [None], dtype=dtype).new_from_index(0, len(values))
    if values.dtype == pl.String:
        return _from_text(values.str.strip_chars(), dtype)
    if dtype.is_integer() and values.dtype.is_float():
        made = values.cast(dtype, strict=False)
        return made.set((made.cast(pl.Float64) != values).fill_null(value=False) | (values.abs() > _EXACT), None)
    if dtype == pl.Date and isinstance(values.dtype, pl.Datetime):
        days = values.cast(pl.Date)
        return days.set((days.cast(values.dtype) != values).fill_null(value=False), None)
    return values.cast(dtype, strict=False)


def _from_text(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if dtype.is_integer():
        whole = values.cast(dtype, strict=False)
        numbers = _cast(values.cast(pl.Float64, strict=False), dtype)
        return whole.zip_with(whole.is_not_null(), numbers)
    if dtype.is_float():
        numbers = values.cast(dtype, strict=False)
        return numbers.set(~numbers.is_finite().fill_null(value=True), None)
    if dtype == pl.Boolean:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        return values.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    if dtype == pl.Date:
        shaped = values.set(~values.str.contains(r"^\d{4}-\d{2}-\d{2}$").fill_null(value=True), None)
        return shaped.str.to_date("%Y-%m-%d", strict=False)
    if isinstance(dtype, pl.Datetime):
        return _moments(values, dtype)
    if dtype == pl.Binary:
        # Strict as RFC 4648 has it, section 4: padded, without another sign; what is not so becomes null.
        return values.set(values == "", None).cast(dtype).bin.decode("base64", strict=False)
    return values.cast(dtype, strict=False)


def _moments(values: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """ISO 8601; where a column has a zone, a time without an offset counts as UTC, and else none may have one."""
    parts = values.str.extract_groups(_MOMENT).struct.rename_fields(["day", "clock", "second", "zone"]).struct.unnest()
    text = pl.concat_str(
        pl.col("day"), pl.lit(" "), pl.col("clock").fill_null("00:00"), pl.lit(":"), pl.col("second").fill_null("00")
    )
    local = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit=dtype.time_unit, strict=False)
    if dtype.time_zone is None:
        return parts.select(pl.when(pl.col("zone").is_null()).then(local)).to_series().alias(values.name)
    offset = pl.col("zone").replace({"Z": "+0000"}).fill_null("+0000").str.replace(":", "")
    minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)
    signed = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    made = parts.select((local - pl.duration(minutes=signed)).dt.replace_time_zone("UTC")).to_series()
    return made.dt.convert_time_zone(dtype.time_zone).alias(values.name)
