"""Columns of a table as numbers that a linear model can weigh, learnt once and kept as data.

A number (also a truth value, a time of day, a duration) is put on a common scale, the median standing in for what is
missing; a date, or a text that is one by ISO 8601, also gives its month, weekday and hour; a category becomes one
column a level, prose becomes TF-IDF weights, a vector its components. What cannot help is dropped, and the state says
why.
Two passes over each column to learn it, one to apply it. Matrices are sparse and each row's numbers are its own, so
that chunking cannot change a prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tillage.core.errors import BadData
from tillage.core.rows import ID, column, user_columns
from tillage.learn.learner import Numbers, as_text
from tillage.learn.terms import TermWeights, learn_terms
from tillage.learn.vectors import is_vector, learn_vector, vector_features
from tillage.text.tokens import words

MOST_LEVELS = 50
"""A column of more levels is no category; a level is a value seen in two rows or more."""

PROSE = 4
"""Median words a value from which a column of many values is taken for prose."""

ISO = (
    r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?"
    r"(Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?$"
)
"""A date of ISO 8601 as it is mostly written: day, hour and minute, second, zone."""

PARTS = {"month": (1, 12), "weekday": (1, 7), "hour": (0, 23)}
"""The parts of a date with their first and last value."""

_TERM_ROWS, _MOST_TERMS = 2, 20_000
_LARGEST = 1e150
"""Numbers beyond it are cut to it, so that a sum of squares stays finite."""
_LARGEST_TARGET = 1e38
"""A target beyond it is refused: boosted trees hold it in 32 bits, and it would be learnt from as an infinity."""
_FURTHEST = 1e9
"""Standard deviations from the mean beyond which a value is cut, so that a score stays finite."""


def inputs_of(rows: pl.DataFrame, named: str | tuple[str, ...] | None, target: str) -> list[str]:
    """The columns to learn from: those named, else all the user's other than the target.

    >>> inputs_of(pl.DataFrame({"_id": [1], "a": [1], "y": [1]}), None, "y")
    ['a']
    """
    if named is None:
        return [c for c in user_columns(rows) if c != target]
    return [named] if isinstance(named, str) else list(named)


def learn_columns(rows: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """What each column becomes, as state; raises BadData when no column is left.

    Each is a dict with `name`, `kind` and what the kind needs: `number` (`dtype`, `median`, `mean`, `scale`,
    `missing`: whether absence has a column of its own, `parts`: those of a date that vary), `category` (`levels`,
    `other`, `missing`), `prose` (as of `terms.learn_terms`), `vector` (as of `vectors.learn_vector`), `dropped`
    (`why`).

    >>> learnt = learn_columns(pl.DataFrame({"n": [1.0, 3.0], "x": ["a", "b"]}), ["n", "x"])
    >>> [(c["name"], c["kind"]) for c in learnt]
    [('n', 'number'), ('x', 'dropped')]
    """
    learnt = describe_columns(rows, names)
    if all(c["kind"] == "dropped" for c in learnt):
        reasons = "; ".join(f"'{c['name']}' {c['why']}" for c in learnt) or "there is none"
        raise BadData(f"No column is left to learn from: {reasons}.", fix="Name other columns in 'input'.")
    return learnt


def describe_columns(rows: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """As `learn_columns`, where others than these are learnt from as well: it does no harm if each is dropped.

    >>> describe_columns(pl.DataFrame({"x": [1, 1]}), ["x"])[0]["kind"]
    'dropped'
    """
    return [_learn(column(rows, name)) for name in names]


def features(learnt: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each feature of `ColumnWeights.matrix` stands for, in order: equal names mean the same in two states.

    >>> features(learn_columns(pl.DataFrame({"n": [1.0, None], "k": ["a", "a"]}), ["n", "k"]))
    ['["n", "number"]', '["n", "missing"]']
    """
    names: list[tuple[str, ...]] = []
    for c in learnt:
        of = c["name"]
        if c["kind"] == "number":
            names.append((of, "number"))
            names += [(of, "missing")] * c["missing"]
            for part in c["parts"]:
                first, last = PARTS[part]
                names += [(of, part, str(value)) for value in range(first, last + 1)]
        elif c["kind"] == "category":
            names += [(of, "level", level) for level in c["levels"]]
            names += [(of, "other")] * c["other"] + [(of, "missing")] * c["missing"]
        elif c["kind"] == "prose":
            names += [(of, "word", word) for word in c["words"]]
            names += [(of, "characters", ngram) for ngram in c["characters"]]
        elif c["kind"] == "vector":
            names += [(of, "component", str(n)) for n in range(c["width"])] + [(of, "missing")] * c["missing"]
    return [json.dumps(name) for name in names]


class ColumnWeights:
    """Rows as a sparse matrix, by what `learn_columns` gave."""

    def __init__(self, learnt: Sequence[Mapping[str, Any]]) -> None:
        self._learnt = [c for c in learnt if c["kind"] != "dropped"]
        self._terms = {c["name"]: TermWeights(dict(c)) for c in self._learnt if c["kind"] == "prose"}

    def matrix(self, rows: pl.DataFrame) -> Any:
        """CSR (rows, features) of float64; raises UnknownName or BadData when a column is absent or unreadable."""
        from scipy import sparse

        blocks = []
        for learnt in self._learnt:
            values = column(rows, learnt["name"])
            if learnt["kind"] == "number":
                blocks.append(sparse.csr_array(_number_features(values, learnt)))
            elif learnt["kind"] == "category":
                blocks.append(sparse.csr_array(_category_features(values, learnt)))
            elif learnt["kind"] == "vector":
                blocks.append(sparse.csr_array(vector_features(values, learnt)))
            else:
                blocks.append(self._terms[learnt["name"]].matrix(as_text(values).fill_null("")))
        return sparse.hstack(blocks, format="csr")


def as_numbers(values: pl.Series, dtype: str) -> pl.Series:
    """The values as Float64, what is not finite as null; text that is no `dtype` raises BadData.

    Dates count in seconds since 1970 (of UTC, where they have a zone), times in seconds since midnight.

    >>> from datetime import date
    >>> as_numbers(pl.Series("d", [date(1970, 1, 2), None]), "date").to_list()
    [86400.0, None]
    """
    if values.dtype == pl.String:
        values = _parsed(values, dtype)
    if values.dtype in (pl.Date, pl.Datetime):
        numbers = values.cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 1e6
    elif values.dtype == pl.Duration:
        numbers = values.dt.total_microseconds().cast(pl.Float64) / 1e6
    elif values.dtype == pl.Time:
        numbers = values.to_physical().cast(pl.Float64) / 1e9
    else:
        numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite().fill_null(False), None).clip(-_LARGEST, _LARGEST)


def _parsed(values: pl.Series, dtype: str) -> pl.Series:
    """Text as what it was learnt to be; a format is never guessed, since one chunk would guess unlike another."""
    if dtype == "date":
        parsed = iso_moments(values)
    elif dtype == "truth value":
        truth = {"true": 1.0, "false": 0.0}
        parsed = values.str.to_lowercase().replace_strict(truth, default=None, return_dtype=pl.Float64)
    else:
        parsed = values.cast(pl.Float64, strict=False)
    unread = parsed.null_count() - values.null_count()
    if unread:
        raise BadData(
            f"Column '{values.name}' was learnt as a {dtype}, and {unread} of its values cannot be read as one.",
            fix=f"Give each as a {dtype}, or leave the value out.",
        )
    return parsed


def iso_moments(values: pl.Series) -> pl.Series:
    """ISO 8601 texts as Datetime, of UTC where they have a zone; null where they are none.

    >>> iso_moments(pl.Series(["2024-02-05", "2024-02-05T08:00:00+08:00", "5.2.2024"])).to_list()
    [datetime.datetime(2024, 2, 5, 0, 0), datetime.datetime(2024, 2, 5, 0, 0), None]
    """
    day, minute, second, zone = (pl.col("v").struct.field(str(group)) for group in range(1, 5))
    full = pl.concat_str(day, pl.lit(" "), minute.fill_null("00:00"), second.fill_null(":00"))
    moment = full.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    digits = zone.str.replace_all("[Z:]", "").fill_null("").str.pad_end(5, "0")
    ahead = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
    ahead = pl.when(digits.str.starts_with("-")).then(-ahead).otherwise(ahead)
    read = values.to_frame("v").select(pl.col("v").str.extract_groups(ISO))
    return read.select((moment - pl.duration(minutes=ahead)).alias(values.name))[values.name]


def kind_of_number(dtype: pl.DataType) -> str | None:
    """What a column of this type is as a number (`date`, `truth value`, ...); None where it is none.

    >>> kind_of_number(pl.Date()), kind_of_number(pl.String())
    ('date', None)
    """
    if dtype.is_numeric():
        return "number"
    names: dict[Any, str] = {
        pl.Boolean: "truth value",
        pl.Date: "date",
        pl.Datetime: "date",
        pl.Time: "time",
        pl.Duration: "duration",
    }
    return names.get(dtype.base_type())


def _learn(values: pl.Series) -> dict[str, Any]:
    kind = kind_of_number(values.dtype)
    if values.null_count() == len(values):
        return _dropped(values, "has no value")
    if kind is not None:
        return _learn_number(values, kind)
    if is_vector(values.dtype):
        learnt = learn_vector(values)
        return _dropped(values, "is constant") if learnt is None else {"name": values.name, "kind": "vector", **learnt}
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        return _dropped(values, f"holds {values.dtype}")
    texts = as_text(values)
    if iso_moments(texts).null_count() == texts.null_count():
        return _learn_number(texts, "date")
    return _learn_text(texts)


def _dropped(values: pl.Series, why: str) -> dict[str, Any]:
    return {"name": values.name, "kind": "dropped", "why": why}


def _learn_number(values: pl.Series, kind: str) -> dict[str, Any]:
    numbers = as_numbers(values, kind)
    median = numbers.median()
    if median is None:
        return _dropped(values, "has no finite value")
    missing = numbers.null_count() > 0
    filled = numbers.fill_null(median).to_numpy()
    mean, scale = float(filled.mean()), float(filled.std())
    if not missing and filled.min() == filled.max():
        return _dropped(values, "is constant")
    return {
        "name": values.name,
        "kind": "number",
        "dtype": kind,
        "median": float(median),  # type: ignore[arg-type]
        "mean": mean,
        "scale": scale if scale > 0 and filled.min() != filled.max() else 1.0,
        "missing": missing,
        "parts": [name for name, part in parts_of(values) if part.n_unique() > 1] if kind == "date" else [],
    }


def parts_of(values: pl.Series) -> list[tuple[str, pl.Series]]:
    """Month, weekday and hour of dates, or of texts that are some.

    >>> [(name, part.to_list()) for name, part in parts_of(pl.Series(["2024-02-05"]))]
    [('month', [2]), ('weekday', [1]), ('hour', [0])]
    """
    moments = _parsed(values, "date") if values.dtype == pl.String else values.cast(pl.Datetime("us"))
    return [(name, getattr(moments.dt, name)()) for name in PARTS]


def _learn_text(values: pl.Series) -> dict[str, Any]:
    present = values.drop_nulls()
    tally = present.value_counts(name="rows")
    levels = tally.filter(pl.col("rows") >= 2).sort(present.name)
    covered = int(levels["rows"].sum())
    few = 1 <= levels.height <= MOST_LEVELS
    if not (few and 2 * covered >= len(present)):
        length = present.to_frame("v").select(words(pl.col("v")).list.len().median()).item()
        if length >= PROSE:
            learnt = learn_terms(values.fill_null(""), _TERM_ROWS, _MOST_TERMS)
            if learnt["words"] or learnt["characters"]:
                return {"name": values.name, "kind": "prose", **learnt}
            return _dropped(values, "has no word in two rows")
    if not few:
        found = f"has {levels.height} values seen twice or more" if levels.height else "has no value seen twice"
        return _dropped(values, f"{found}, and is no prose")
    other, missing = covered < len(present), len(present) < len(values)
    if levels.height + other + missing < 2:
        return _dropped(values, "is constant")
    names = levels[present.name].to_list()
    return {"name": values.name, "kind": "category", "levels": names, "other": other, "missing": missing}


def _number_features(values: pl.Series, learnt: Mapping[str, Any]) -> Numbers:
    numbers = as_numbers(values, learnt["dtype"])
    filled = numbers.fill_null(learnt["median"]).to_numpy()
    with np.errstate(over="ignore"):  # what overflows is cut like all that is too far
        scaled = np.clip((filled - learnt["mean"]) / learnt["scale"], -_FURTHEST, _FURTHEST)
    features = [scaled]
    if learnt["missing"]:
        features.append(numbers.is_null().to_numpy())
    for name, part in parts_of(values) if learnt["parts"] else []:
        if name in learnt["parts"]:
            first, last = PARTS[name]
            features += list(part.fill_null(-1).to_numpy() == np.arange(first, last + 1)[:, None])
    return np.column_stack(features)


def category_codes(values: pl.Series, learnt: Mapping[str, Any]) -> Numbers:
    """The place of each value among `levels`, then `other` and `missing` where training had them, else -1: Int64.

    >>> learnt = {"levels": ["a", "b"], "other": False, "missing": True}
    >>> category_codes(pl.Series(["b", "never", None]), learnt).tolist()
    [1, -1, 2]
    """
    texts, levels = as_text(values), learnt["levels"]
    at = {level: position for position, level in enumerate(levels)}
    rest = len(levels)
    other = rest if learnt["other"] else -1
    absent = rest + learnt["other"] if learnt["missing"] else -1
    found = texts.replace_strict(at, default=other, return_dtype=pl.Int64)
    return np.asarray(found.set(texts.is_null(), absent).to_numpy())


def _category_features(values: pl.Series, learnt: Mapping[str, Any]) -> Numbers:
    """One column a level, then `other` and `missing` where training had them; what it had not is all zeros."""
    width = len(learnt["levels"]) + learnt["other"] + learnt["missing"]
    return np.asarray(category_codes(values, learnt)[:, None] == np.arange(width), dtype=np.float64)


def measured(rows: pl.DataFrame, target: str) -> tuple[pl.DataFrame, pl.Series]:
    """The rows whose target is a finite number, by ascending `_id`, and those numbers.

    >>> measured(pl.DataFrame({"_id": [2, 1, 3], "y": [5, 7, None]}), "y")[1].to_list()
    [7.0, 5.0]
    """
    values = column(rows, target)
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise _no_numbers(values, target)
    known = rows.with_columns(as_numbers(values, "number").alias("_label")).filter(pl.col("_label").is_not_null())
    if ID in known.columns:
        known = known.sort(ID)
    return known.drop("_label"), known["_label"]


def _no_numbers(values: pl.Series, target: str) -> BadData:
    """Why a column is no target of a regressor; of texts, how many are no number, since a few may have made it text.

    >>> _no_numbers(pl.Series(["1.5", "n/a", "3"]), "y").message
    "The target column 'y' holds String, not numbers: 1 of its 3 texts is no number."
    """
    said, fix = f"The target column '{target}' holds {values.dtype}, not numbers", "Name a column of numbers"
    if values.dtype == pl.String:
        known = values.drop_nulls()
        strays = int((~known.cast(pl.Float64, strict=False).is_finite().fill_null(value=False)).sum())
        said += f": {strays:,} of its {len(known):,} texts {'is' if strays == 1 else 'are'} no number"
        fix += ", or put `parse_numbers` before the model, which also knows units and says what becomes of the rest"
    return BadData(f"{said}.", fix=f"{fix}; or use a classifier.")


def require_moderate(numbers: pl.Series, target: str) -> None:
    """Raise BadData for a target beyond 1e38, of which trees and squares of errors know no more than that it is large.

    >>> require_moderate(pl.Series([1e30]), "y")
    """
    largest = numbers.abs().max()
    if isinstance(largest, float) and largest > _LARGEST_TARGET:
        raise BadData(
            f"The target column '{target}' holds numbers beyond {_LARGEST_TARGET:g}: errors of that size overflow.",
            fix="Divide the column before the model (`derive`), or filter those rows out.",
        )
