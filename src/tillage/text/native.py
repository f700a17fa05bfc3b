"""The compiled functions that read texts byte by byte, where the install built them.

They are written in C (`text/c`), against Python's stable ABI, and are an extra: where there was no compiler, or
TILLAGE_TWINS is set, `compiled` is None and the functions in Python that stand beside each call, its twins, do the same
with the same result, slower. What they cost and give is measured by `benchmarks/figure_text.py`.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType
from typing import Any

import polars as pl

__all__ = ["compiled", "handed"]


def _loaded() -> ModuleType | None:
    if os.environ.get("TILLAGE_TWINS"):
        return None
    try:
        return import_module("tillage.text._native")
    except ImportError:
        return None


compiled = _loaded()


class _Capsules:
    """A column of the Arrow C data interface, once."""

    def __init__(self, capsules: tuple[Any, Any]) -> None:
        self._capsules = capsules

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        return self._capsules


def handed(name: str, capsules: tuple[Any, Any]) -> pl.Series:
    """The column of texts that a compiled function made (its schema and its array), without a copy."""
    return pl.Series(_Capsules(capsules)).alias(name)
