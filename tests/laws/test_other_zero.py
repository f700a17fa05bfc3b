"""Minus zero equals zero: rows that differ in that alone are one to the store, so no step may tell them apart.

An edit of 0.0 to -0.0 is no change of a table, and nothing that stands on it is made again; a rebuild must not make
something else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from tests.laws.frames import reference
from tests.laws.test_kinds import CASES, MODELS
from tillage.core import Fit, Fitted, Fold, Group, Map, Step, Whole
from tillage.core.keys import hash_text
from tillage.core.rows import ID
from tillage.core.state import digest
from tillage.store.digests import content_hashes

KEY = "_key"
STEPS = {name: case for name, case in CASES.items() if name not in MODELS and isinstance(case.step, Map | Fold | Group)}
STEPS |= {name: case for name, case in CASES.items() if isinstance(case.step, Whole) and case.step.incremental}


def with_zeros(rows: pl.DataFrame, zero: float) -> pl.DataFrame:
    """Every third number, and every zero, is this one; a few columns stay, which a step asks of a range."""
    floats = [c for c, dtype in rows.schema.items() if dtype.is_float() and c != "confidence"]
    third = pl.int_range(pl.len()) % 3 == 0
    return rows.with_columns(
        pl.when(third | (pl.col(c) == 0)).then(pl.lit(zero, dtype=rows.schema[c])).otherwise(c).alias(c) for c in floats
    )


def made(step: Step, given: Mapping[str, pl.DataFrame]) -> Any:
    """What a step makes of rows, as the store would know it."""
    if isinstance(step, Map):
        return hashed(step.apply(given["rows"]))
    if isinstance(step, Group):
        keys = {port: hash_text(rows, step.key(rows, port)) for port, rows in given.items()}
        out = step.apply({port: rows.with_columns(keys[port].alias(KEY)) for port, rows in given.items()})
        return sorted(zip(hashed(out), out[KEY].to_list(), strict=True))
    if isinstance(step, Fold | Fit):
        return digest(step.update(step.start(), given["rows"]))
    assert isinstance(step, Whole)
    out = step.compute(given)
    return digest(out.state) if isinstance(out, Fitted) else hashed(out)


def hashed(out: pl.DataFrame) -> list[int]:
    """The hashes of the rows' values."""
    own = out.select(c for c in out.columns if not c.startswith("_"))
    return content_hashes(own).to_list()


def test_there_are_steps_to_ask() -> None:
    assert len(STEPS) > 90
    rows = [with_zeros(reference(), zero) for zero in (0.0, -0.0)]
    assert hashed(rows[0]) == hashed(rows[1])
    assert ID in rows[0].columns


@pytest.mark.parametrize("name", STEPS)
def test_no_step_tells_the_zeros_apart(name: str) -> None:
    case = STEPS[name]
    found = []
    for zero in (0.0, -0.0):
        rows = case.bring(with_zeros(reference(), zero))
        given = rows if isinstance(rows, Mapping) else dict.fromkeys(case.step.ports, rows)
        found.append(made(case.step, given))
    assert found[0] == found[1]
