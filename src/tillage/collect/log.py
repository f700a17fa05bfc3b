"""Logs by a template: `<Date> <Time> <Level> <Component>: <Content>` names what stands between the literal text.

A name in angle brackets is a column; blanks stand for any run of blanks; `(...)?` is a part that may be missing, none
in another; a backslash takes the next character as it is; all else is literal. The first reading counts in which each
column but the last is as short as can be. A line that does not fit is a bad record or, with `continued`, goes on with
the one before (a stack trace). Cost: linear in the line, whatever the template (Rust's regular expressions).
Source: the format strings of logparser (He et al., ICWS 2017), as loghub gives them for its logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from tillage.collect.content import Content
from tillage.collect.encoding import Encoding
from tillage.collect.piece import Limits, Piece, check_names
from tillage.collect.records import Cut, blocks, line_cuts
from tillage.collect.unpack import Unreadable

NO_MATCH = ("no_match", "The line does not fit the template.")
_TOKEN = re.compile(
    r"<(?P<name>[^<>]*)>|\\(?P<escaped>.)|(?P<blank> +)"
    r"|(?P<open>\((?=(?:\\.|[^()\\])*\)\?))|(?P<close>\)\?)|(?P<other>.)"
)


class Template(NamedTuple):
    """`names`: the columns; `pattern`: group 1 is the whole line, each further one a column."""

    names: tuple[str, ...]
    pattern: str


@lru_cache(maxsize=16)
def template(text: str) -> Template:
    """The template that a text describes; ValueError for one that would be read in two ways, or names no column.

    >>> template("<Day> [<Pid>]: <Text>").names
    ('Day', 'Pid', 'Text')
    >>> template("<A><B>")
    Traceback (most recent call last):
    ValueError: nothing stands between <A> and <B> by which they could be told apart
    """
    parts, names, depth, before = [], list[str](), 0, ""
    tokens = list(_TOKEN.finditer(text))
    last = max((i for i, token in enumerate(tokens) if token["name"] is not None), default=-1)
    for i, token in enumerate(tokens):
        name = token["name"]
        if name is not None:
            if not name.strip() or name.startswith("_"):
                raise ValueError(f"<{name}> cannot name a column: give it a name that does not begin with '_'")
            if name in names:
                raise ValueError(f"two columns are called <{name}>")
            if before:
                raise ValueError(f"nothing stands between <{before}> and <{name}> by which they could be told apart")
            names.append(name)
            parts.append("(.*)" if i == last else "(.*?)")
            before = name
        elif token["open"]:
            parts.append("(?:")
            depth += 1
        elif token["close"]:
            if not depth:
                raise ValueError("')?' ends a part that was not begun with '('")
            parts.append(")?")
            depth -= 1
        else:
            parts.append("[ \\t]+" if token["blank"] else re.escape(token["escaped"] or token[0]))
            before = ""
    if not names:
        raise ValueError("it names no column; one is written <Name>")
    return Template(tuple(names), f"^({''.join(parts)})$")


class LogReader:
    """One log; raises Unreadable when it is empty."""

    def __init__(
        self, content: Content, path: str, encoding: Encoding, text: str, continued: bool, limits: Limits
    ) -> None:
        if not content.head:
            raise Unreadable("empty_file", "The file is empty.")
        self._content, self._encoding, self._limits = content, encoding, limits
        self._template, self._continued = template(text), continued
        names = list(self._template.names)
        check_names(names, path, limits)
        self.facts: dict[str, Any] = {
            "format": "log",
            "encoding": encoding.codec,
            "delimiter": "",
            "header": names,
        }

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        names = self._template.names
        for block in blocks(self._content, self._encoding, self._cut):
            records = [block.data[lo:hi].decode() for lo, hi in zip(block.starts, block.ends, strict=True)]
            heads, tails = records, list[str]()
            if self._continued:
                parted = [re.split(r"\r\n|\r|\n", record, maxsplit=1) for record in records]
                heads, tails = [p[0] for p in parted], [p[1] if len(p) > 1 else "" for p in parted]
            found = pl.Series("line", heads, dtype=pl.String).str.extract_groups(self._template.pattern)
            frame = found.struct.unnest() if len(found) else pl.DataFrame(schema=["0", *names])
            frame.columns = ["", *names]
            gone = frame[""].is_null().arg_true().to_list()
            bad = [block.fail(i, "parse", *NO_MATCH) for i in gone]
            kept = block.without(gone) if gone else block
            if any(tails):
                rest = pl.Series([f"\n{tail}" if tail else "" for tail in tails])
                frame = frame.with_columns(pl.col(names[-1]) + rest)
            frame = frame.filter(frame[""].is_not_null()).drop("")
            every = sorted(block.bad + bad, key=lambda b: b.record)
            yield Piece(frame.cast(pl.String), kept.numbers, frozenset(names), kept.fail, every)

    def _cut(self, buffer: bytes, final: bool, force: bool) -> Cut:
        starts, ends, consumed = line_cuts(buffer, final)
        filled = np.ones(len(starts), dtype=bool)
        if self._continued and len(starts):
            lines = [buffer[lo:hi].decode(errors="replace") for lo, hi in zip(starts, ends, strict=True)]
            heads = pl.Series(lines, dtype=pl.String).str.contains(self._template.pattern).to_numpy()
            first = int(np.argmax(heads)) if heads.any() else len(heads)
            begins = np.flatnonzero(heads | (np.arange(len(heads)) < first))
            ends = np.append(ends[begins[1:] - 1], ends[-1:]) if len(begins) else ends[:0]
            starts = starts[begins]
            if not final and not force and heads.any():  # more of the last record may follow
                consumed = int(starts[-1])
                starts, ends = starts[:-1], ends[:-1]
            filled = np.ones(len(starts), dtype=bool)
        filled &= ends > starts
        starts, ends = starts[filled], ends[filled]
        limit = f"The record is longer than max_field ({self._limits.max_field:,} bytes)."
        long = np.flatnonzero(ends - starts > self._limits.max_field).tolist()
        return Cut(starts, ends, dict.fromkeys(long, ("field_too_long", limit)), consumed)
