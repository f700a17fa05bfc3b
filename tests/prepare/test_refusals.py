"""What a step says of a column whose type it cannot work with: what to do, and where that is a cast, it mends it."""

from __future__ import annotations

import re

import polars as pl
import pytest
from tests.laws.frames import SCHEMA

from tillage.core.errors import TillageError
from tillage.core.step import Algebraic, Fold, Group, Map, Step, Whole
from tillage.face.rooms import registry
from tillage.govern import Expect
from tillage.prepare import Cast, Dates, FilledMissing, FillMissing, ParseDates, ParseNumbers, Repair, Window

REMEDY = re.compile(r"(?:^|[.?:] )(?:Read|Make|Take|Leave|Name|Give|Rename|Bring|Put|Write|Learn|Use)\b")
CASTING = re.compile(r"cast: \{columns: \{(\w+): (\w+)\}\}")
DTYPES: tuple[pl.DataType, ...] = (
    pl.Boolean(), pl.String(), pl.Float64(), pl.Int64(), pl.Decimal(10, 2), pl.Date(), pl.Datetime("us"),
    pl.Categorical(), pl.Binary(), pl.List(pl.Int64()),
)  # fmt: skip


def _looked_at(step: Step, rows: pl.DataFrame) -> None:
    if isinstance(step, Map):
        step.apply(rows)
    elif isinstance(step, Fold):
        step.update(step.start(), rows)
    elif isinstance(step, Algebraic):
        step.partial(rows.with_columns(pl.lit(1, dtype=pl.UInt64).alias("_key")))
    elif isinstance(step, Group):
        step.apply({port: rows.with_columns(pl.lit(1, dtype=pl.UInt64).alias("_key")) for port in step.ports})
    elif isinstance(step, Whole):
        step.compute(dict.fromkeys(step.ports, rows))


def refusal(step: Step, rows: pl.DataFrame) -> str | None:
    try:
        _looked_at(step, rows)
    except TillageError as error:
        return str(error)
    return None


STEPS: dict[str, Step] = {
    name: cls.example()
    for name in registry().names()
    if (cls := registry().find(name)).__module__.split(".")[1] in {"prepare", "privacy", "augment", "govern"}
    and hasattr(cls, "example")
} | {
    "window": Window(by=("city",), time="id", columns={"a": "sum(x, 3)", "b": "lag(n, 1)"}),
    "dates": Dates(columns=("day",), parts=("hour",)),
    "repair": Repair(dependencies=("city -> text",), weight="n"),
    "numbers": ParseNumbers(columns={"text": "kg"}),
    "days": ParseDates(columns=("day",)),
    "most frequent": FillMissing(columns=("x",), with_="most_frequent"),
    "a text": FilledMissing(state={"with": "constant", "values": {"x": "a"}}),
    "a number": FilledMissing(state={"with": "constant", "values": {"x": 7}}),
    "a mean": FilledMissing(state={"with": "mean", "values": {"x": 2.33}}),
    "matches": Expect.model_validate({"checks": [{"column": "text", "matches": "a"}]}),
    "least": Expect.model_validate({"checks": [{"column": "x", "min": 3}]}),
    "first day": Expect.model_validate({"checks": [{"column": "day", "min": "2024-01-05"}]}),
    "no day": Expect.model_validate({"checks": [{"column": "day", "min": "soon"}]}),
    "fresh": Expect.model_validate({"checks": [{"column": "day", "fresh": {"within": "2d", "of": "city"}}]}),
    "drift": Expect.model_validate({"checks": [{"column": "x", "drift": {"reference": "n > 1", "limit": 0.2}}]}),
}


@pytest.mark.parametrize("name", STEPS)
def test_each_refusal_of_a_type_says_what_to_do(name: str) -> None:
    """An expression's points into its text, at what does not go together."""
    plain = refusal(STEPS[name], pl.DataFrame(schema=SCHEMA).clear(2))
    for column in SCHEMA:
        for dtype in DTYPES:
            if column == "_id":
                continue
            rows = pl.DataFrame(schema={**SCHEMA, column: dtype})
            said = refusal(STEPS[name], rows.clear(2))
            assert said is None or REMEDY.search(said) or "^" in said, (column, dtype, said)
            if said and said != plain and (told := CASTING.search(said)):
                assert told[1] == column
                cast = Cast.model_validate({"columns": {column: told[2]}}).apply(rows.clear(2))
                assert refusal(STEPS[name], cast) is None, (column, dtype, said)
