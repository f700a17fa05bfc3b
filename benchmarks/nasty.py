"""Twenty CSV files as they come from the world, each with what is in it, cell by cell, as text.

Usage: python benchmarks/nasty.py FOLDER
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

ROWS = 100
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Nasty:
    """One file: its bytes, its column names, and the records that it holds.

    `rows`: those that can be read; `unreadable`: how many others there are. No `names`: nobody can say which column is
    which, so it must be refused.
    """

    data: bytes
    names: Cells
    rows: tuple[Cells, ...]
    unreadable: int = 0


def plain(i: int) -> Cells:
    """Row `i` of a file without anything unusual."""
    return str(i), f"n{i}", f"{i}.5"


def file(
    changed: dict[int, str] | None = None,
    cells: dict[int, Cells | None] | None = None,
    *,
    names: Cells = ("id", "name", "x"),
    eol: str = "\n",
    encode: Callable[[str], bytes] = str.encode,
    row: Callable[[int], Cells] = plain,
) -> Nasty:
    """A file of many rows, some written otherwise (`changed`), which hold `cells`: None for what cannot be read."""
    changed, cells = changed or {}, cells or {}
    written = [",".join(names), *(changed.get(i, ",".join(row(i))) for i in range(ROWS))]
    held = [cells.get(i, row(i)) for i in range(ROWS)]
    good = tuple(h for h in held if h is not None)
    return Nasty(encode(eol.join(written) + eol), names, good, sum(h is None for h in held))


def commas() -> Nasty:
    """Semicolons between fields, and commas in the numbers."""
    rows = tuple((str(i), f"{i},5", f"{i},25") for i in range(ROWS))
    return Nasty("\n".join(["id;a;b", *map(";".join, rows), ""]).encode(), ("id", "a", "b"), rows)


def twins() -> Nasty:
    """Two columns of one name."""
    return Nasty(b"id,value,value\n" + b"1,2,3\n" * ROWS, (), ())


def files() -> dict[str, Nasty]:
    """Name to file."""
    gap = {i: (str(i), "", "1") for i in (3,)}
    return {
        "codes with leading zeros": file(row=lambda i: (f"{i:05}", f"n{i}", "1")),
        "phone numbers": file(row=lambda i: (f"+4930{i:05}", f"n{i}", "1")),
        "integers of 2^70": file(row=lambda i: (str(2**70 + i), f"n{i}", "1")),
        "2^53 + 1 beside a gap": file(
            cells=gap, changed={3: "3,,1"}, row=lambda i: (str(i), str(2**53 + 1 + 2 * i), "1")
        ),
        "decimals of 19 digits": file(row=lambda i: (str(i), f"0.{1234567890123456789 + i}", "1")),
        "country codes with NA": file(row=lambda i: (str(i), ("NA", "DE", "null")[i % 3], "1")),
        "days and months": file(row=lambda i: (str(i), f"{i % 12 + 1:02}/{i % 12 + 1:02}/2024", "1")),
        "codes that begin with #": file(row=lambda i: (f"#{i}" if i % 10 == 0 else str(i), f"n{i}", "1")),
        "codes T and F": file(row=lambda i: (str(i), "TF"[i % 2], "1")),
        "short row": file({50: "50,n50"}, {50: None}),
        "long row": file({50: "50,n50,1,2"}, {50: None}),
        "unclosed quote": file({50: '50,"n50,1'}, {50: None}),
        "text after a closing quote": file({50: '50,"n"50,1'}, {50: None}),
        "UTF-16": file({50: "50,\u4e2d,1"}, {50: ("50", "\u4e2d", "1")}, encode=lambda t: t.encode("utf-16")),
        "GBK": file({50: "50,\u540d\u5b57,1"}, {50: ("50", "\u540d\u5b57", "1")}, encode=lambda t: t.encode("gbk")),
        "one byte that is no UTF-8": file(
            {50: "50,caf\udce9 au,1", 51: "51,\u4e2d,1"},
            {50: None, 51: ("51", "\u4e2d", "1")},
            encode=lambda t: t.encode(errors="surrogateescape"),
        ),
        "CR alone": file(eol="\r"),
        "last line cut": Nasty(file().data[:-6], ("id", "name", "x"), tuple(map(plain, range(ROWS - 1))), 1),
        "semicolons and decimal commas": commas(),
        "two columns of one name": twins(),
    }


def verdict(one: Nasty, names: Sequence[str], rows: Sequence[Sequence[str | None]], told: int) -> str:
    """`as it is`, `told` (all good rows as they are, the others reported), or what was changed without a word.

    `told`: records that the reader reported as bad. Numbers may be written otherwise while they are the same number.
    """
    if tuple(names) != one.names:
        return f"columns {len(names)} for {len(one.names) or 3}" if len(names) != len(one.names or "abc") else "names"
    lost = len(one.rows) - len(rows)
    if lost and lost == -one.unreadable:
        return "an unreadable row as a row"
    if lost > 0:
        return f"{lost:,} rows lost"
    if lost < 0:
        return f"{-lost:,} rows invented"
    for row, right in zip(rows, one.rows, strict=True):
        for cell, text in zip(row, right, strict=True):
            if not same(cell, text):
                return f"{text[:24]!r} is {(cell or '')[:24]!r}" if cell is not None else f"{text[:24]!r} is gone"
    if one.unreadable > told:
        return f"{one.unreadable} rows gone without a word"
    return "told" if one.unreadable else "as it is"


def same(cell: str | None, text: str) -> bool:
    """Whether a cell holds a text, or the number that the text is.

    >>> same("1.50", "1.5"), same("7", "007"), same(None, "")
    (True, False, True)
    """
    if cell is None or cell == text:
        return text in (cell, "")
    try:
        return _NUMBER.fullmatch(text) is not None and Decimal(cell) == Decimal(text)
    except InvalidOperation:
        return False


def write(folder: Path) -> list[str]:
    """The files, numbered; their names in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, one in enumerate(files().values()):
        (folder / f"{i:02}.csv").write_bytes(one.data)
    return list(files())


if __name__ == "__main__":
    print("\n".join(write(Path(sys.argv[1]))))
