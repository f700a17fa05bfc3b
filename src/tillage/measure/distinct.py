"""How many different values: HyperLogLog, 4,096 registers of one byte, each the maximum of what it saw.

The standard error is 1.04 / sqrt(4096) = 1.6 %; small counts are nearly exact. About 0.05 CPU seconds a million
values. Sources: Flajolet, Fusy, Gandouet and Meunier, HyperLogLog, AofA 2007; Ertl, New cardinality estimation
algorithms for HyperLogLog sketches, arXiv:1702.01284 (the estimator, algorithm 6: no correction tables).
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import polars_hash as plh

from tillage.core.state import State
from tillage.measure.statistic import Statistic

REGISTERS = 1 << 12
STANDARD_ERROR = 1.04 / math.sqrt(REGISTERS)

_REST = 52
"""Bits of the hash that follow the register's number."""


class Distinct(Statistic):
    """The number of different values, to within a few per cent; nulls do not count.

    >>> d = Distinct()
    >>> round(d.finish(d.update(d.start(), pl.Series(["a", "b", "a", None]))))
    2
    """

    def start(self) -> State:
        return {"registers": np.zeros(REGISTERS, np.uint8)}

    def update(self, state: State, values: pl.Series, ids: pl.Series | None = None) -> State:
        rows = values.drop_nulls().rename("v").to_frame().select(plh.hash_rows(pl.col("v")).alias("v"))
        hashes = rows.select(plh.col("v").nchash.xxh3_64().alias("v"))["v"].to_numpy()
        register = (hashes >> np.uint64(_REST)).astype(np.int64)
        rest = (hashes & np.uint64((1 << _REST) - 1)).astype(np.float64)  # exact: 52 bits
        zeros = _REST + 1022 - (rest.view(np.int64) >> 52)  # leading zeros, from the exponent
        rank = np.where(rest == 0, _REST, zeros) + 1
        seen = np.zeros((REGISTERS, 64), np.bool_)
        seen.reshape(-1)[register * 64 + rank] = True
        largest = np.where(seen.any(axis=1), 63 - seen[:, ::-1].argmax(axis=1), 0)
        return self.merge(state, {"registers": largest.astype(np.uint8)})

    def merge(self, a: State, b: State) -> State:
        return {"registers": np.maximum(a["registers"], b["registers"])}

    def finish(self, state: State) -> float:
        counts = np.bincount(state["registers"], minlength=_REST + 2).tolist()
        z = REGISTERS * _tau(1 - counts[_REST + 1] / REGISTERS)
        for count in reversed(counts[1 : _REST + 1]):
            z = (z + count) / 2
        z += REGISTERS * _sigma(counts[0] / REGISTERS)
        return REGISTERS**2 / (2 * math.log(2) * z) if math.isfinite(z) else 0.0


def _sigma(x: float) -> float:
    """Ertl, equation 28: x + the sum of x**(2**k) * 2**(k - 1)."""
    if x == 1:
        return math.inf
    total, factor = x, 1.0
    while True:
        x *= x
        before = total
        total += x * factor
        factor += factor
        if total == before:
            return total


def _tau(x: float) -> float:
    """Ertl, equation 29."""
    if x in {0.0, 1.0}:
        return 0.0
    factor, total = 1.0, 1 - x
    while True:
        x = math.sqrt(x)
        before = total
        factor /= 2
        total -= (1 - x) ** 2 * factor
        if total == before:
            return total / 3
