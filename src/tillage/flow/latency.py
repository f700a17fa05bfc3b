"""How long a model that was made small takes to answer, beside itself as it was learnt.

Rows of the test part are asked for one at a time, the two models by turns, after some that are not counted; what is
told is the median. Times are of the machine that made the model, and say nothing of another: they are in the report
alone, in no digest.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import polars as pl

from tillage.flow.explanation import drawn
from tillage.flow.judged import Judged, told

_ROWS, _WARM = 50, 5


def latency(judged: Judged, exam: pl.DataFrame) -> dict[str, Any]:
    """`rows`, and `milliseconds` an answer, as it was learnt and made small; empty for a model that is no smaller."""
    before = getattr(judged.fitted, "uncompressed", None)
    if before is None:
        return {}
    rows = drawn(exam, _ROWS)
    for row in rows.head(_WARM).iter_slices(1):
        for model in (before, judged.fitted):
            told(model, row, judged.task)
    times: tuple[list[float], list[float]] = ([], [])
    for row in rows.iter_slices(1):
        for model, taken in zip((before, judged.fitted), times, strict=True):
            began = time.perf_counter()
            told(model, row, judged.task)
            taken.append(time.perf_counter() - began)
    return {"rows": rows.height, "milliseconds": [1000 * median(taken) for taken in times]}
