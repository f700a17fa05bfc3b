"""A first look at an unknown table: what each column holds, and what a first model should make of it.

Decisions are plain rules over counts, each told to the user with its reason, and all of them stand in the plan that is
written, where they can be changed. Cost: a few group-bys over the frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tillage.core.errors import UsageError, unknown_name
from tillage.evaluate.giveaway import parts_of_answer
from tillage.learn.columns import ISO
from tillage.text.tokens import words

MANY = 20
"""More different numbers than this make a quantity, fewer may be classes."""

PROSE = 4
"""Median words of a value from which a column of many values is prose."""

SURE = 0.02
"""Share of the naive guess's errors below which a single column is taken to give the target away."""

TIMES = 200
"""Different times from which rows are taken to come one after another."""

NEARLY = 0.9
"""Share of different values above which a column that is named as an identifier is one, though some repeat."""

MISSING = frozenset((
    "na", "n/a", "nan", "null", "none", "nil", "?", "-", "--", ".", "#n/a", "missing",
    "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity",
))  # fmt: skip
"""What stands for a missing number, in any case of letters; no model learns from an infinity."""

STRAY = 0.2
"""Share of values up to which what is no number ('NA') is a stray among numbers, and not a class."""

LONGER = 4.0
"""How many times longer than all other columns together prose must be to be learnt from alone."""

_ID_NAME = re.compile(
    r"(^|[_\s-])(id|ids|uid|uuid|guid|key|index|idx|nr|no|number|row|rowid|code)$|编号|序号|编码", re.IGNORECASE
)
_CAMEL_ID = re.compile(r"[a-z](Id|ID|Nr|No)$")


@dataclass(frozen=True)
class Look:
    """One column: its type, what is in it, and what it is taken for, with the reason when it is left out."""

    name: str
    type: str
    missing: int
    distinct: int
    role: str
    """target, id, empty, constant, giveaway, prose, category, number, time, text"""
    why: str = ""
    words: float = 0.0
    """Median words of a value."""
    length: float = 0.0
    """Mean characters of a value."""

    @property
    def used(self) -> bool:
        """Whether a model learns from it."""
        return self.role in ("prose", "category", "number", "time", "text")


@dataclass(frozen=True)
class Decision:
    """What a first model is: learner, inputs, what is left out and why."""

    target: str
    task: str
    learner: str
    input: tuple[str, ...]
    """Columns that the plan names as the input; empty: all that are left."""
    looks: tuple[Look, ...]
    why: str
    key: str | None = None
    numbers: tuple[str, ...] = ()
    """Columns of numbers in which a mark such as NA, or an infinity, stands for what is missing."""

    @property
    def time(self) -> str | None:
        """The column by whose order the rows came, where there is just one, without gaps, and rows are enough."""
        times = [look for look in self.looks if look.role == "time"]
        return times[0].name if len(times) == 1 and not times[0].missing and times[0].distinct > TIMES else None

    @property
    def dropped(self) -> tuple[Look, ...]:
        """The columns that are left out."""
        return tuple(look for look in self.looks if not look.used and look.role != "target")


def decide(frame: pl.DataFrame, target: str) -> Decision:
    """Look at every column and choose; UsageError when the target is not there or cannot be learnt."""
    if target not in frame.columns:
        raise UsageError(unknown_name("column", target, frame.columns))
    marked = marked_numbers(frame)
    frame = frame.with_columns(_finite(frame[c]) for c in marked)
    task = _task(frame[target])
    looks = tuple(look(frame, name, target, task) for name in frame.columns)
    used = [one for one in looks if one.used]
    if not used:
        left = "; ".join(f"'{one.name}' {one.why}" for one in looks if one.role != "target") or "there is no other"
        raise UsageError(f"No column is left to learn '{target}' from: {left}.", fix="Give a file with more columns.")
    learner, inputs, why = _learner(task, used)
    keys = [one.name for one in looks if one.role == "id" and not one.missing and _named_id(one.name)]
    return Decision(target, task, learner, inputs, looks, why, keys[0] if keys else None, marked)


def marked_numbers(frame: pl.DataFrame) -> tuple[str, ...]:
    """The columns of text that are numbers, but for a mark such as NA or ? where one is missing, or an infinity.

    >>> marked_numbers(pl.DataFrame({"x": ["1", "NA", "2.5", "3", "4", "5"], "k": ["NA", "b", "c", "d", "e", "f"]}))
    ('x',)
    """
    found = []
    for name, dtype in frame.schema.items():
        if dtype != pl.String:
            continue
        known = frame[name].drop_nulls().str.strip_chars()
        others = known.filter(_finite(known).is_null())
        if 0 < len(others) <= STRAY * len(known) and others.str.to_lowercase().is_in(list(MISSING)).all():
            found.append(name)
    return tuple(found)


def _finite(texts: pl.Series) -> pl.Series:
    """Texts as finite numbers; null where one is none."""
    numbers = texts.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite(), None)


def _task(values: pl.Series) -> str:
    """classification or regression; UsageError for a target that is neither."""
    known = _without_nan(values).drop_nulls()
    distinct = known.n_unique()
    if distinct < 2:
        found = f"only the value '{known[0]}'" if distinct else "no value"
        raise UsageError(f"Column '{values.name}' has {found}: there is nothing to learn.", fix="Name another column.")
    if values.dtype.is_numeric() and distinct > MANY:
        return "regression"
    if values.dtype.is_numeric() and values.dtype.is_float() and bool((known != known.round()).any()):
        return "regression" if distinct > MANY // 2 else "classification"
    if values.dtype.is_temporal() or values.dtype.is_nested():
        raise UsageError(
            f"Column '{values.name}' holds {values.dtype}, which is not learnt.", fix="Name another column."
        )
    if values.dtype == pl.String:
        numbers = known.cast(pl.Float64, strict=False)
        others = known.filter(numbers.is_null())
        if numbers.n_unique() > MANY and 0 < len(others) <= STRAY * len(known):
            raise UsageError(
                f"Column '{values.name}' holds numbers, and in {len(others):,} of {len(known):,} rows something else "
                f"('{others[0][:40]}'), so it would be learnt as {distinct:,} classes.",
                fix="Leave those cells empty in the file, or write a plan that derives a column of numbers from it.",
            )
    if distinct > 2 and 2 * distinct > len(known):
        raise UsageError(
            f"Column '{values.name}' has {distinct:,} different values in {len(known):,} rows: most are seen once, so "
            "there is nothing to learn.",
            fix="Name a column of classes or of numbers.",
        )
    return "classification"


def look(frame: pl.DataFrame, name: str, target: str, task: str) -> Look:
    """What one column holds, and what it is taken for."""
    values = _without_nan(frame[name])
    known = values.drop_nulls()
    median, mean = _lengths(known)
    role, why = ("target", "") if name == target else _role(frame, values, median, target, task)
    return Look(name, str(frame.schema[name]), len(values) - len(known), known.n_unique(), role, why, median, mean)


def _without_nan(values: pl.Series) -> pl.Series:
    return values.fill_nan(None) if values.dtype.is_float() else values


def _lengths(known: pl.Series) -> tuple[float, float]:
    """(median words, mean characters) of a column of text; of others no words, and the characters as written."""
    if known.is_empty():
        return 0.0, 0.0
    texts = known.cast(pl.String, strict=False).to_frame("v")
    length = float(texts.select(pl.col("v").str.len_chars().mean()).item() or 0)
    if known.dtype != pl.String:
        return 0.0, length
    return float(texts.select(words(pl.col("v")).list.len().median()).item() or 0), length


def _role(frame: pl.DataFrame, values: pl.Series, median: float, target: str, task: str) -> tuple[str, str]:
    known = values.drop_nulls()
    name, distinct = values.name, known.n_unique()
    if known.is_empty():
        return "empty", "has no value"
    if distinct == 1 and len(known) == len(values):
        return "constant", f"has the single value '{str(known[0])[:40]}'"
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        return "empty", f"holds {values.dtype}, which is not learnt"
    time = values.dtype.is_temporal() or (values.dtype == pl.String and bool(known.str.contains(ISO).all()))
    prose = values.dtype == pl.String and median >= PROSE and distinct > MANY and not time
    if distinct == len(known) > MANY and not (prose or time) and _numbers_rows(known, name):
        return "id", "has another value in each row, so it names rows and teaches nothing"
    if len(known) > MANY and distinct > NEARLY * len(known) and not known.dtype.is_float() and _named_id(name):
        return "id", "is named as an identifier and hardly repeats a value, so it names rows and teaches nothing"
    if not prose and gives_away(frame, name, target, task):
        return "giveaway", f"tells '{target}' almost without fail, so it gives the answer away"
    if not prose and task == "classification":
        parts = parts_of_answer([values], frame[target].cast(pl.String))
        for _, value, label, rows in parts:
            return "giveaway", f"is never {value} unless '{target}' is {label} ({rows:,} rows): a part of the answer"
    if prose:
        return "prose", ""
    if time:
        return "time", ""
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return "number", ""
    return ("category" if 2 * distinct <= len(known) else "text"), ""


def _numbers_rows(known: pl.Series, name: str) -> bool:
    """Whether a column without any repetition is an identifier, and not a measurement."""
    if known.dtype.is_float():
        return False
    if known.dtype.is_integer():
        consecutive = int(known.max()) - int(known.min()) == len(known) - 1  # type: ignore[arg-type]
        return consecutive or _named_id(name)
    return _named_id(name) or bool((~known.str.contains(r"\s")).all())


def _named_id(name: str) -> bool:
    return _ID_NAME.search(name) is not None or _CAMEL_ID.search(name) is not None


def gives_away(frame: pl.DataFrame, name: str, target: str, task: str) -> bool:
    """Whether one column alone tells the target.

    Classes: guessing by the majority of the other rows with the same value errs at most SURE times as often as
    guessing the most frequent class. Numbers: the two are a straight line.

    >>> frame = pl.DataFrame({"code": [1, 1, 2, 2, 3, 3], "y": ["a", "a", "b", "b", "c", "c"]})
    >>> gives_away(frame, "code", "y", "classification")
    True
    """
    pair = frame.select(pl.col(name).alias("x"), pl.col(target).alias("y")).drop_nulls()
    if pair.height < 4:
        return False
    if task == "regression":
        if not pair.schema["x"].is_numeric():
            return False
        correlation = pair.select(pl.corr(pl.col("x").cast(pl.Float64), pl.col("y").cast(pl.Float64))).item()
        return correlation is not None and abs(correlation) > 0.99999
    cells = pair.group_by("x", "y").len("n")
    naive = pair.height - int(pair["y"].value_counts()["count"].max())  # type: ignore[arg-type]
    best = (
        cells.sort("n", descending=True)
        .group_by("x", maintain_order=True)
        .agg(pl.col("n").first().alias("most"), pl.col("n").sum().alias("all"))
    )
    # The row that is guessed has no vote: a value seen once tells nothing.
    right = int(best.select(pl.when(pl.col("most") >= 2).then("most").otherwise(0).sum()).item())
    return pair.height - right <= SURE * naive


def _learner(task: str, used: Sequence[Look]) -> tuple[str, tuple[str, ...], str]:
    prose = [one for one in used if one.role == "prose"]
    others = [one for one in used if one.role != "prose"]
    if task == "regression":
        return "tabular_regressor", (), "the target is a number with many values"
    names = tuple(one.name for one in prose)
    if prose and not others:
        return "text_classifier", names, "everything to learn from is prose"
    longest = max(prose, key=lambda one: one.length, default=None)
    if longest is not None and longest.length >= LONGER * sum(o.length for o in used if o is not longest):
        return "text_classifier", (longest.name,), f"the prose in '{longest.name}' outweighs the other columns"
    return "tabular_classifier", (), "the columns are of several kinds"
