"""What a command writes: results on standard output, for people or as one JSON object; everything else on stderr.

Text of the user is data: control characters are shown as escapes, and no markup of the terminal library is read in it.
A reader that has gone away (`| head`) is no error: the command ends as it would have, in silence.
"""

from __future__ import annotations

import json
import math
import os
import sys
import unicodedata
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

WIDEST = 60
"""Columns that one cell of a table may take on a terminal; elsewhere nothing is folded."""

_KEPT = "\n"
_LETTERS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Screen:
    """The two streams of one command."""

    def __init__(self, as_json: bool = False) -> None:
        """`as_json`: only `result` writes to standard output."""
        self.as_json = as_json
        _lenient()

    def line(self, text: str = "", style: str = "") -> None:
        """One line of the result for people; line breaks in it stay."""
        if not self.as_json:
            _say(sys.stdout, text, style)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> None:
        """A table for people; `right`: the columns that hold numbers; a head without any name is not shown."""
        if self.as_json:
            return
        names = [printable(name) for name in head]
        cells = [[cell(value) for value in row] for row in rows]
        if sys.stdout.isatty():
            _folded(names, cells, right)
        else:
            _write(sys.stdout, "".join(f"{line}\n" for line in aligned(names, cells, right)))

    def result(self, value: dict[str, Any]) -> None:
        """The result for programs: one JSON object."""
        if self.as_json:
            ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
            text = json.dumps(_finite(value), ensure_ascii=ascii_only, allow_nan=False, default=str)
            _write(sys.stdout, text + "\n")

    def say(self, text: str, style: str = "") -> None:
        """A remark beside the result, on stderr."""
        _say(sys.stderr, text, style)


def printable(text: str, keep: str = "") -> str:
    """The text with control characters and changes of direction as escapes, `keep` apart.

    >>> printable("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or not _commands(c) else _LETTERS.get(c, _escape(c)) for c in text)


def _commands(c: str) -> bool:
    """Whether a character would act on the terminal: controls, direction overrides, halves of surrogate pairs."""
    return (
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")
        or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def _escape(c: str) -> str:
    return f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"


def cell(value: Any, longest: int = 200) -> str:
    """A value as a cell of a table shows it.

    >>> [cell(v) for v in (None, 12345, 0.5, True, "a")]
    ['', '12,345', '0.500', 'yes', 'a']
    """
    from tillage.draw import number

    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = number(value) if isinstance(value, int | float) else str(value)
    text = printable(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def many(n: int, what: str) -> str:
    """A number with its noun.

    >>> many(1, "row"), many(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def close() -> None:
    """Send out what is still held, in silence when nobody reads."""
    for stream in (sys.stdout, sys.stderr):
        _guarded(stream, stream.flush)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """The lines of a table of texts, however wide; a Han character takes two columns.

    >>> aligned(["name", "n"], [["中文", "5"], ["b", "12"]], right=(1,))
    ['name   n', '中文   5', 'b     12']
    """
    whole = [list(head), *map(list, rows)] if any(head) else [list(row) for row in rows]
    widths = [max(map(_width, column)) for column in zip(*whole, strict=True)]
    lines = []
    for row in whole:
        blanks = [" " * (width - _width(text)) for text, width in zip(row, widths, strict=True)]
        texts = [
            gap + text if i in right else text + gap for i, (text, gap) in enumerate(zip(row, blanks, strict=True))
        ]
        lines.append("  ".join(texts).rstrip(" "))
    return lines


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def _folded(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    """A table on a terminal, each cell folded so that the whole is as wide as the window."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=any(head), header_style="bold", padding=(0, 2, 0, 0))
    for i, name in enumerate(head):
        table.add_column(Text(name), justify="right" if i in right else "left", overflow="fold", max_width=WIDEST)
    for row in rows:
        table.add_row(*map(Text, row))
    _print(sys.stdout, table)


def _say(stream: TextIO, text: str, style: str) -> None:
    text = printable(text, _KEPT)
    if style and stream.isatty():
        from rich.text import Text

        _print(stream, Text(text, style=style))
    else:
        _write(stream, text + "\n")


def _print(stream: TextIO, what: Text | Table) -> None:
    """By rich, which knows the terminal's width and colours, NO_COLOR and TERM."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    with console.capture() as held:
        console.print(what)
    _write(stream, held.get())


def _write(stream: TextIO, text: str) -> None:
    def write() -> None:
        stream.write(text)
        stream.flush()

    _guarded(stream, write)


def _guarded(stream: TextIO, act: Any) -> None:
    try:
        act()
    except BrokenPipeError:
        # What is still buffered would raise again at exit, so the stream is led to nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except ValueError:
        if not stream.closed:
            raise


def _lenient() -> None:
    """What a terminal's encoding lacks is shown as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
