"""Columns as a Fold reads them: what a cell becomes follows from that cell alone, so that sums of it can be merged.

A number gives itself, a date also the truth of its month, weekday and hour, a text the truth of being that value; what
is missing says so. Nothing is scaled or filled while rows are read: both are linear, and are done to the sums at the
end. A text column of more than so many values is no category, nor are dates those texts of which one is none: once that
is seen it stays seen, in whatever order, so the decision is one of the set of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tillage.core.errors import BadData
from tillage.core.rows import column
from tillage.learn.columns import PARTS, as_numbers, iso_moments, kind_of_number, parts_of
from tillage.learn.learner import Numbers, as_text

ALL = "[]"
"""The flag that every row has."""
MISSING, LEVEL, NUMBER = "missing", "level", "number"
_DATE = "date"


@dataclass(frozen=True)
class Cells:
    """Some rows: truth values and numbers by name (a JSON list of column, what, and maybe value), and what is known of
    the columns."""

    flags: dict[str, Numbers]
    """(rows,) of truth values."""
    numbers: dict[str, Numbers]
    """(rows,) of finite float64; 0 where the cell is missing."""
    kinds: dict[str, list[str]]
    """Column to the kinds of its cells: `number`, `date`, ..., `text`, `unusable`; none where all are missing."""
    out: list[str]
    """What no column may be any more: a JSON list of column and `level` or `date`, sorted."""


def name_of(*parts: str) -> str:
    """The name of a flag or a number.

    >>> name_of("kind", "level", "a")
    '["kind", "level", "a"]'
    """
    return json.dumps(parts, ensure_ascii=False)


def column_of(name: str) -> str:
    """The column of a flag or a number.

    >>> column_of(name_of("kind", "level", "a"))
    'kind'
    """
    return str(json.loads(name)[0])


def read_cells(rows: pl.DataFrame, names: Sequence[str], levels: int) -> Cells:
    """The cells of the columns `names`; a text column of more than `levels` values here is no category.

    >>> cells = read_cells(pl.DataFrame({"n": [1.5, None], "k": ["a", "b"]}), ["n", "k"], 9)
    >>> list(cells.flags), list(cells.numbers)
    (['[]', '["n", "missing"]', '["k", "level", "a"]', '["k", "level", "b"]'], ['["n", "number"]'])
    """
    cells = Cells({ALL: np.ones(rows.height, np.bool_)}, {}, {}, [])
    for name in names:
        values = column(rows, name)
        kind = kind_of_number(values.dtype)
        cells.kinds[name] = []
        if kind is not None:
            _read_numbers(cells, values, kind, NUMBER)
        elif values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
            cells.kinds[name] = ["unusable"]
        elif values.null_count() == len(values):
            _flag(cells, values.is_null(), name, MISSING)
        else:
            _read_texts(cells, as_text(values), levels)
    cells.out.sort()
    return cells


def _flag(cells: Cells, truth: pl.Series, *name: str) -> None:
    if truth.any():
        cells.flags[name_of(*name)] = truth.to_numpy()


def _read_numbers(cells: Cells, values: pl.Series, kind: str, what: str) -> None:
    name, numbers = values.name, as_numbers(values, kind)
    _flag(cells, numbers.is_null(), name, MISSING)
    if what == NUMBER:
        cells.kinds[name] = [kind] if numbers.null_count() < len(numbers) else []
    if numbers.null_count() < len(numbers):
        cells.numbers[name_of(name, what)] = numbers.fill_null(0.0).to_numpy()
    for part, found in parts_of(values) if kind == _DATE else []:
        for value in found.drop_nulls().unique().sort().to_list():
            _flag(cells, (found == value).fill_null(False), name, part, str(value))


def _read_texts(cells: Cells, texts: pl.Series, levels: int) -> None:
    name = texts.name
    cells.kinds[name] = ["text"] if texts.null_count() < len(texts) else []
    found = texts.drop_nulls().unique().sort().to_list()
    if len(found) > levels:
        cells.out.append(name_of(name, LEVEL))
    else:
        for level in found:
            _flag(cells, (texts == level).fill_null(False), name, LEVEL, level)
    if iso_moments(texts).null_count() > texts.null_count():
        cells.out.append(name_of(name, _DATE))
        _flag(cells, texts.is_null(), name, MISSING)
    else:
        _read_numbers(cells, texts, _DATE, _DATE)


def merged_kinds(a: Mapping[str, list[str]], b: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What is known of the columns in either.

    >>> merged_kinds({"x": []}, {"x": ["number"]})
    {'x': ['number']}
    """
    return {name: sorted({*a.get(name, ()), *b.get(name, ())}) for name in sorted({*a, *b})}


def ruled_out(out: Iterable[str], flags: Iterable[str], levels: int) -> list[str]:
    """What no column may be, given what had been ruled out and the flags that there are now."""
    counts: dict[str, int] = {}
    for flag in flags:
        of = json.loads(flag)
        if of[1:2] == [LEVEL]:
            counts[of[0]] = counts.get(of[0], 0) + 1
    return sorted({*out, *(name_of(name, LEVEL) for name, count in counts.items() if count > levels)})


def stays(name: str, out: Iterable[str]) -> bool:
    """Whether a flag or number belongs to what its column may still be.

    >>> stays('["k", "level", "a"]', ['["k", "level"]']), stays('["k", "missing"]', ['["k", "level"]'])
    (False, True)
    """
    of = json.loads(name)
    return not of or name_of(of[0], _DATE if of[1] in PARTS else of[1]) not in out


def settled(state: Mapping[str, Any], number: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns of a state (`kinds`, `out`, `flags`) as `columns.learn_columns` writes them.

    `number`: by name of a number its `mean` (over the rows that have it) and `scale` (0: constant). Each number has
    besides, as `from`, its name here. Raises BadData when nothing is left, or a column holds numbers here, texts there.
    """
    learnt = [_settled(name, kinds, state, number) for name, kinds in state["kinds"].items()]
    if all(c["kind"] == "dropped" for c in learnt):
        reasons = "; ".join(f"'{c['name']}' {c['why']}" for c in learnt) or "there is none"
        raise BadData(f"No column is left to learn from: {reasons}.", fix="Name other columns in 'input'.")
    return learnt


def _settled(
    name: str, kinds: Sequence[str], state: Mapping[str, Any], number: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    if len(kinds) > 1:
        raise BadData(
            f"Column '{name}' holds {' in some rows and '.join(kinds)} in others.",
            fix="Give the column one type with `cast`, or name other columns in 'input'.",
        )
    if not kinds:
        return {"name": name, "kind": "dropped", "why": "has no value"}
    if kinds == ["unusable"]:
        return {"name": name, "kind": "dropped", "why": "holds neither numbers nor texts"}
    flags = [json.loads(flag) for flag in state["flags"]]
    own = [of[1:] for of in flags if of[:1] == [name]]
    missing = [MISSING] in own
    dated = kinds == ["text"] and name_of(name, _DATE) not in state["out"]
    if kinds != ["text"] or dated:
        source = name_of(name, _DATE if dated else NUMBER)
        found = number[source]
        parts = [part for part in PARTS if sum(of[0] == part for of in own) > 1]
        if not found["scale"] and not missing:
            return {"name": name, "kind": "dropped", "why": "is constant"}
        return {
            "name": name,
            "kind": "number",
            "from": source,
            "dtype": _DATE if dated else kinds[0],
            "median": found["mean"],  # what stands in for a missing value: here the mean
            "mean": found["mean"],
            "scale": found["scale"] or 1.0,
            "missing": missing,
            "parts": parts,
        }
    if name_of(name, LEVEL) in state["out"]:
        return {"name": name, "kind": "dropped", "why": "has more values than 'levels' allows, and not all are dates"}
    levels = sorted(of[1] for of in own if of[0] == LEVEL)
    if len(levels) + missing < 2:
        return {"name": name, "kind": "dropped", "why": "is constant"}
    return {"name": name, "kind": "category", "levels": levels, "other": False, "missing": missing}
