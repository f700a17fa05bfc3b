"""The twenty CSV files of `benchmarks/figure_nasty.py`: none is changed without a word."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tillage.collect import Files
from tillage.core import ConfigurationError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


nasty, reader = load("nasty"), load("nasty_reader")
FILES: dict[str, Any] = nasty.files()
TOLD = {
    "short row",
    "long row",
    "unclosed quote",
    "text after a closing quote",
    "one byte that is no UTF-8",
    "last line cut",
}


def test_there_are_twenty() -> None:
    assert len(FILES) == 20
    assert set(FILES) > TOLD


@pytest.mark.parametrize("name", FILES)
def test_nothing_changes_without_a_word(name: str, tmp_path: Path) -> None:
    one = FILES[name]
    path = tmp_path / "a.csv"
    path.write_bytes(one.data)
    if not one.names:
        with pytest.raises(ConfigurationError, match="Two columns are called"):
            Files(path="a.csv").observe(tmp_path, "a.csv")
        return
    names, rows, told = reader.tillage(path)
    found = nasty.verdict(one, names, [[reader.as_text(cell) for cell in row] for row in rows], told)
    assert found == ("told" if name in TOLD else "as it is")


@pytest.mark.parametrize(
    ("rows", "told", "said"),
    [
        (lambda r: r[1:], 0, "1 rows lost"),
        (lambda r: [*r, r[0]], 0, "1 rows invented"),
        (lambda r: [["7", *r[0][1:]], *r[1:]], 0, "'0' is '7'"),
        (lambda r: [[None, *r[0][1:]], *r[1:]], 0, "'0' is gone"),
        (lambda r: r, 0, "as it is"),
    ],
)
def test_the_verdict_tells(rows: Any, told: int, said: str) -> None:
    one = FILES["CR alone"]
    assert nasty.verdict(one, one.names, rows([list(row) for row in one.rows]), told) == said


def test_a_row_that_is_missing_must_be_told() -> None:
    one = FILES["short row"]
    rows = [list(row) for row in one.rows]
    assert nasty.verdict(one, one.names, rows, 0) == "1 rows gone without a word"
    assert nasty.verdict(one, one.names, rows, 1) == "told"
    assert nasty.verdict(one, one.names, [*rows, ["50", "n50", None]], 0) == "an unreadable row as a row"
