"""References: every value of a column stands in a column of another table, as a foreign key says of a database.

Both sides are kept as 64-bit hashes of their different values (16 bytes a value here, 8 there), each folded by itself,
so a change of either table costs that change; the verdict is one look of sorted numbers into sorted numbers. Among n
values there and m without counterpart here, one is overlooked with probability n*m / 2**64.
Source: ISO/IEC 9075-2 (SQL), referential constraints, MATCH SIMPLE: where a column is null, nothing is referred to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import polars as pl
import polars_hash as plh
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.rows import user_columns
from tillage.core.state import State
from tillage.core.step import Beside, Fold, Verdict

SHOWN = 3
"""Values without counterpart that a verdict names."""

LONGEST = 40
"""Characters of a value that a verdict names."""

Frames = Callable[[], Iterator[pl.DataFrame]]


class References(BaseModel):
    """Each value is one of a column of another table (or of this one): `customers.id`.

    >>> References.model_validate("customers.id").pairs("customer")
    {'customer': 'id'}
    >>> References(table="places", columns={"land": "country", "town": "name"}).pairs(None)
    {'land': 'country', 'town': 'name'}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(min_length=1, description="table that the values refer to")
    column: str | None = Field(None, min_length=1, description="its column that holds them")
    columns: dict[str, str] | None = Field(
        None, min_length=1, description="where several columns refer together: each of this table to one of the other"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        table, dot, column = value.partition(".")
        if not (table and dot and column):
            raise ValueError(f"{value!r} does not say which column of which table: write TABLE.COLUMN")
        return {"table": table, "column": column}

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.column is None) == (self.columns is None):
            raise ValueError("'references' needs 'column' or 'columns', and not both")
        return self

    def pairs(self, column: str | None) -> dict[str, str]:
        """Own column to the column of the other table; `column`: that of the check."""
        return dict(self.columns) if self.columns is not None else {str(column): str(self.column)}

    def reads(self) -> tuple[str, ...]:
        """What it reads besides the column of the check."""
        return tuple(self.columns or ())

    def beside(self, column: str | None) -> Beside:
        """What the verdict is judged by: the values that there are."""
        others = tuple(self.pairs(column).values())
        return Beside(ReferencedValues(table=self.table, columns=others), self.table, columns=others)

    def start(self) -> State:
        """No row."""
        return _nothing(len(self.columns or (self.column,)))

    def update(self, state: State, rows: pl.DataFrame, column: str | None) -> State:
        """The state with these rows."""
        return self.merge(state, _counted(rows, tuple(self.pairs(column))))

    def merge(self, a: State, b: State) -> State:
        """The values of both, each with how many rows hold it."""
        hashes, place = np.unique(np.concatenate([a["hashes"], b["hashes"]]), return_inverse=True)
        counts = np.zeros(len(hashes), np.int64)
        np.add.at(counts, place, np.concatenate([a["counts"], b["counts"]]))
        return {"kinds": _united(a["kinds"], b["kinds"]), "hashes": hashes, "counts": counts}

    def verdict(
        self, state: State, column: str | None, there: dict[str, Any] | None, at_least: float, rows: Frames
    ) -> Verdict:
        """How many rows have a counterpart; `rows` are read again only to name a few values that have none."""
        pairs = self.pairs(column)
        own, other = ", ".join(f"'{c}'" for c in pairs), ", ".join(f"'{self.table}.{c}'" for c in pairs.values())
        if there is None:
            raise ConfigurationError(
                f"{own} refers to table '{self.table}', which is not at hand here.",
                fix="References are judged in a plan: `tillage run`.",
            )
        for (name, named), a, b in zip(pairs.items(), state["kinds"], there["kinds"], strict=True):
            if a and b and a != b:
                raise ConfigurationError(
                    f"'{name}' is {' and '.join(a)}, and '{self.table}.{named}', to which it refers, is "
                    f"{' and '.join(b)}.",
                    fix="Read both as the same: `cast` changes the type of a column.",
                )
        looked = int(state["counts"].sum())
        missing = ~np.isin(state["hashes"], there["hashes"], assume_unique=True)
        bad = int(state["counts"][missing].sum())
        share = (looked - bad) / looked if looked else None
        what = "value" if len(pairs) == 1 else "combination"
        if not looked:
            why = f"{own} has no value to look at." if len(pairs) == 1 else f"No row has a value in all of {own}."
        elif not bad:
            why = f"All {looked:,} {what}s of {own} stand in {other}."
        else:
            n = int(missing.sum())
            such = _named(rows, tuple(pairs), state["hashes"][missing][:SHOWN])
            why = (
                f"{bad:,} of {looked:,} rows with {own} {'has' if bad == 1 else 'have'} no counterpart in {other}; "
                f"{n:,} different {what}{'' if n == 1 else 's'}{such}."
            )
        name = f"{', '.join(pairs)} references"
        return Verdict(name=name, passed=share is None or share >= at_least, measured=share, limit=at_least, why=why)


class ReferencedValues(Fold):
    """The different values of some columns together, as sorted 64-bit hashes: what other tables refer to.

    >>> step = ReferencedValues(table="customers", columns=("id",))
    >>> found = step.finish(step.update(step.start(), pl.DataFrame({"id": [3, 3, None, 5]})))
    >>> found["kinds"], len(found["hashes"])
    ([['numbers']], 2)
    """

    table: str = Field(description="table that holds them")
    columns: Columns = Field(min_length=1, description="columns that hold them")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(table="rows", columns=("city", "n"))

    def needs(self) -> tuple[str, ...]:
        """The columns that hold the values."""
        return self.columns

    def start(self) -> State:
        """No value."""
        nothing = _nothing(len(self.columns))
        return {name: nothing[name] for name in ("kinds", "hashes")}

    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state with the values of these rows."""
        known = user_columns(rows)
        missing = [c for c in self.columns if c not in known]
        if missing:
            raise ConfigurationError(
                Problem(f"'references' to table '{self.table}': {unknown_name('column', c, known)}") for c in missing
            )
        return self.merge(state, _counted(rows, self.columns))

    def merge(self, a: State, b: State) -> State:
        """The values of both."""
        return {"kinds": _united(a["kinds"], b["kinds"]), "hashes": np.union1d(a["hashes"], b["hashes"])}

    def finish(self, state: State) -> dict[str, Any]:
        """The hashes, and the kinds of the columns."""
        return dict(state)


def _nothing(columns: int) -> dict[str, Any]:
    return {"kinds": [[] for _ in range(columns)], "hashes": np.empty(0, np.uint64), "counts": np.empty(0, np.int64)}


def _united(a: list[list[str]], b: list[list[str]]) -> list[list[str]]:
    return [sorted({*x, *y}) for x, y in zip(a, b, strict=True)]


def _counted(rows: pl.DataFrame, columns: tuple[str, ...]) -> dict[str, Any]:
    hashes, counts = np.unique(_keys(rows, columns)["hash"].to_numpy(), return_counts=True)
    kinds = [[kind] if (kind := _kind(rows[c].dtype)) and rows[c].count() else [] for c in columns]
    return {"kinds": kinds, "hashes": hashes.astype(np.uint64), "counts": counts.astype(np.int64)}


def _keys(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """The rows without null in any of the columns: `hash`, and each value as text (`0`, `1`, ...)."""
    texts = pl.DataFrame({str(n): _text(rows[c]) for n, c in enumerate(columns)}).drop_nulls()
    parted = [piece for c in texts.columns for piece in (pl.col(c).str.len_bytes().cast(pl.String), pl.lit(":"), c)]
    return texts.with_columns(pl.concat_str(parted).alias("hash")).with_columns(plh.col("hash").nchash.xxh3_64())


def _kind(dtype: pl.DataType) -> str:
    """What a value can be equal to; a whole number equals itself whether it is read as 5 or as 5.0."""
    if dtype.is_numeric():
        return "numbers"
    names = {pl.String: "texts", pl.Categorical: "texts", pl.Enum: "texts", pl.Boolean: "true or false"}
    names |= {pl.Date: "days", pl.Datetime: "times", pl.Null: ""}
    if dtype.base_type() not in names:
        raise ConfigurationError(
            f"'references' compares numbers, texts, days and times, and not {dtype}.",
            fix="Name another column, or leave the check out.",
        )
    return names[dtype.base_type()]


def _text(values: pl.Series) -> pl.Series:
    """Texts that are equal where the values are."""
    if isinstance(values.dtype, pl.Decimal):
        values = values.cast(pl.Int128) if values.dtype.scale == 0 else values.cast(pl.Float64)
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.epoch("us").cast(pl.String)
    if values.dtype.is_float():
        frame = values.cast(pl.Float64).rename("v").to_frame()
        whole = (pl.col("v") == pl.col("v").floor()) & (pl.col("v").abs() < 2**63)
        text = pl.when(whole).then(pl.col("v").cast(pl.Int64, strict=False).cast(pl.String))
        return frame.select(text.otherwise(pl.col("v").cast(pl.String)))["v"]
    return values.cast(pl.String)


def _named(rows: Frames, columns: tuple[str, ...], wanted: np.ndarray[Any, np.dtype[np.uint64]]) -> str:
    """Up to SHOWN of the values, as texts; read until all are found."""
    found: dict[int, str] = {}
    for frame in rows():
        held = _keys(frame, columns).filter(pl.col("hash").is_in(wanted.tolist()))
        for hashed, *values in held.select("hash", *(str(n) for n in range(len(columns)))).unique().rows():
            text = " / ".join(values)
            found[hashed] = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
        if len(found) == len(wanted):
            break
    shown = [repr(found[h]) for h in sorted(found)]
    return f", such as {' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)}" if shown else ""
