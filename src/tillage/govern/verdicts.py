"""What was counted, in words a person can act on: how many, of how many, in which column, against which limit."""

from __future__ import annotations

from dataclasses import dataclass

from tillage.core.step import Verdict
from tillage.govern.check import Check


@dataclass(frozen=True)
class Seen:
    """What a part of a check saw: rows or values looked at, those that fulfil it, and what it needs besides."""

    looked: int = 0
    good: int = 0
    nan: int = 0
    least: float | int | str | None = None
    most: float | int | str | None = None
    repeated: int = 0
    """Distinct values that occur more than once."""
    repeats: int = 0
    """Rows that hold one of them."""
    types: tuple[str, ...] = ()


def verdict(check: Check, word: str, seen: Seen, rows: int) -> Verdict:
    """The verdict on one part of a check.

    >>> verdict(Check(column="a", not_null=True), "not_null", Seen(looked=4, good=4), 4).why
    "All 4 rows have a value in 'a'."
    """
    name = f"{check.column} {word}" if check.column is not None and word != "where" else word.replace("_", " ")
    if word in {"rows_min", "rows_max"}:
        return _rows(check, word, name, rows)
    if word == "type":
        passed = set(seen.types) <= {str(check.type)}
        measured = ", ".join(seen.types) or None
        why = f"Column '{check.column}' is {measured}." if measured else f"Column '{check.column}' has no value."
        return Verdict(name=name, passed=passed, measured=measured, limit=check.type, why=why)
    if word == "unique":
        why = (
            f"{_number(seen.repeated, 'value')} of '{check.column}' {'occurs' if seen.repeated == 1 else 'occur'} more "
            f"than once, in {seen.repeats:,} rows."
            if seen.repeated
            else f"No value of '{check.column}' occurs twice among {seen.looked:,}."
        )
        return Verdict(name=name, passed=not seen.repeated, measured=seen.repeated, limit=0, why=why)
    return _share(check, word, name, seen)


def _rows(check: Check, word: str, name: str, rows: int) -> Verdict:
    assert check.rows is not None
    limit = check.rows.min if word == "rows_min" else check.rows.max
    assert limit is not None
    passed = rows >= limit if word == "rows_min" else rows <= limit
    side = "at least" if word == "rows_min" else "at most"
    why = f"The table has {_number(rows, 'row')}; {side} {limit:,} are expected."
    return Verdict(name=name, passed=passed, measured=rows, limit=limit, why=why)


def _share(check: Check, word: str, name: str, seen: Seen) -> Verdict:
    share = seen.good / seen.looked if seen.looked else None
    passed = share is None or share >= check.at_least
    measured: float | int | str | None = share
    limit: float | int | str | None = check.at_least
    if word in {"min", "max"} and check.at_least == 1:
        bound = check.min if word == "min" else check.max
        limit = bound if isinstance(bound, int | float | str) else str(bound)
        measured = seen.least if word == "min" else seen.most
        if seen.nan and seen.good + seen.nan == seen.looked:
            measured = "NaN"
    return Verdict(name=name, passed=passed, measured=measured, limit=limit, why=_why(check, word, seen))


def _why(check: Check, word: str, seen: Seen) -> str:
    bad, of = seen.looked - seen.good, f"'{check.column}'"
    if not seen.looked:
        return f"{of} has no value to look at." if word not in {"not_null", "where"} else "There is no row to look at."
    unit = "row" if word in {"not_null", "where"} else "value"
    many = "All" if not bad else f"{bad:,} of"
    subject = f"{many} {_number(seen.looked, unit)}"
    is_, has, does = ("is", "has", "does") if bad == 1 else ("are", "have", "do")
    if word == "not_null":
        return f"{subject} {has} {'no' if bad else 'a'} value in {of}."
    if word == "where":
        return f"{subject} {does + ' not fulfil' if bad else 'fulfil'}: {check.where}"
    if word == "matches":
        return f"{subject} of {of} {does + ' not match' if bad else 'match'} {check.matches}"
    if word == "one_of":
        allowed = _number(len(check.one_of or ()), "value")
        return f"{subject} of {of} {is_} {'not ' if bad else ''}among the {allowed} allowed."
    bound, extreme = (check.min, seen.least) if word == "min" else (check.max, seen.most)
    outside, inside = ("below", "at least") if word == "min" else ("above", "at most")
    nan = " or NaN" if seen.nan else ""
    found = "" if extreme is None else f"; the {'smallest' if word == 'min' else 'largest'} is {extreme}"
    if not bad:
        return f"{subject} of {of} are {inside} {bound}{found}."
    return f"{subject} of {of} {is_} {outside} {bound}{nan}{found}."


def _number(n: int, unit: str) -> str:
    return f"{n:,} {unit}" if n == 1 else f"{n:,} {unit}s"
