"""Where the records of CSV text begin and end (RFC 4180), and which of them are broken.

A quote counts where a field begins; elsewhere in a bare field it is a character. Whole blocks are cut with numpy
(quotes by parity, checked to stand only where RFC 4180 wants them); from the first one that does not, a regular
expression goes on record by record. A quote that is never closed, or closed in the middle of a field, costs the lines
up to the next one that parses with the right number of fields. Blank lines are no records.
Cost: about 5 ns a byte; 3 us a record in the careful part.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tillage.collect.records import Cut, Places, content_ends, line_breaks

_QUOTE = 34
_LINE = re.compile(rb"\r\n|\r|\n")
_UNCLOSED = ("unclosed_quote", "A quote is not closed, or text follows the closing quote.")
_CAREFUL = 64
"""Records taken one by one before the rest is tried at full speed again; more, when that was soon in vain."""


class Grammar(NamedTuple):
    """The regular expressions of one delimiter."""

    delimiter: bytes
    field: re.Pattern[bytes]
    record: re.Pattern[bytes]
    open: re.Pattern[bytes]
    """A record whose last quote is still open at the end of the buffer."""


@lru_cache(maxsize=64)
def grammar(delimiter: str) -> Grammar:
    """The grammar of records with this delimiter.

    >>> grammar(";").record.match(b'1;"a;""b"\\n2').group()
    b'1;"a;""b"\\n'
    """
    d = re.escape(delimiter.encode())
    inner = rb'(?:[^"]++|"")*+'
    one = rb'(?:"' + inner + rb'"|[^"\r\n' + d + rb"][^\r\n" + d + rb"]*+|)"
    record = rb"(" + one + rb"(?:" + d + one + rb")*+)(?:\r\n|\r|\n|\Z)"
    left_open = rb"(?:" + one + d + rb')*+"' + inner + rb"\Z"
    return Grammar(delimiter.encode(), re.compile(one), re.compile(record), re.compile(left_open))


def fields(record: bytes, rules: Grammar) -> list[bytes]:
    """The fields of a well-formed record as they are written, with their quotes.

    >>> fields(b'1,"a,b",', grammar(","))
    [b'1', b'"a,b"', b'']
    """
    out: list[bytes] = []
    at = 0
    while True:
        match = rules.field.match(record, at)
        end = match.end() if match else len(record)
        out.append(record[at:end])
        if end >= len(record):
            return out
        at = end + 1


class Splitter:
    """The cutter of CSV: `width` fields a record, none longer than `max_field` bytes."""

    def __init__(self, delimiter: str, width: int, max_field: int) -> None:
        self.rules = grammar(delimiter)
        self.width, self.max_field = width, max_field
        self._byte = delimiter.encode()[0]
        self._before = np.zeros(256, dtype=bool)  # what may stand before an opening quote
        self._before[[self._byte, 10, 13, _QUOTE]] = True

    def __call__(self, buffer: bytes, final: bool, force: bool) -> Cut:
        """See `records.Cutter`."""
        starts: list[Places] = []
        ends: list[Places] = []
        broken: dict[int, tuple[str, str]] = {}
        at, count, patience = 0, 0, _CAREFUL
        while at < len(buffer):
            lo, hi, wrong, following, blocked = self._clean(buffer, at, final)
            starts.append(lo)
            ends.append(hi)
            broken |= {count + i: reason for i, reason in wrong.items()}
            count += len(lo)
            at = following
            if not blocked and not (force and at < len(buffer)):
                break
            patience = patience * 4 if len(lo) < patience else _CAREFUL
            for _ in range(patience):
                step = self._next(buffer, at, final, force)
                if step is None:
                    return self._cut(buffer, starts, ends, broken, at)
                end, following, reason = step
                if end > at:
                    starts.append(np.array([at]))
                    ends.append(np.array([end]))
                    if reason:
                        broken[count] = reason
                    count += 1
                at, force = following, False
                if at >= len(buffer):
                    break
        return self._cut(buffer, starts, ends, broken, at)

    def _cut(
        self,
        buffer: bytes,
        starts: list[Places],
        ends: list[Places],
        broken: dict[int, tuple[str, str]],
        consumed: int,
    ) -> Cut:
        none = np.empty(0, dtype=np.int64)
        lo, hi = (np.concatenate(starts), np.concatenate(ends)) if starts else (none, none)
        for i in np.flatnonzero(hi - lo > self.max_field).tolist():
            if i not in broken or broken[i][0] in ("short_row", "long_row"):
                longest = max(len(f) for f in fields(buffer[lo[i] : hi[i]], self.rules))
                if longest > self.max_field:
                    limit = f"A field of {longest:,} bytes is longer than max_field ({self.max_field:,})."
                    broken[i] = ("field_too_long", limit)
        return Cut(lo, hi, broken, consumed)

    def _clean(
        self, buffer: bytes, at: int, final: bool
    ) -> tuple[Places, Places, dict[int, tuple[str, str]], int, bool]:
        """(starts, ends, broken, where to go on, whether a quote stands in the way) of the records from `at`."""
        data = buffer[at:] if at else buffer
        view = np.frombuffer(data, dtype=np.uint8)
        size = len(data)
        breaks = line_breaks(view, data, final)
        separators = np.flatnonzero(view == self._byte)
        stop, blocked = size, False
        if b'"' in data:
            quotes = np.flatnonzero(view == _QUOTE)
            stop = self._first_misplaced(view, quotes, final)
            blocked = stop < size
            breaks = _outside(quotes, breaks)
            separators = _outside(quotes, separators)
            if blocked:
                breaks = breaks[: np.searchsorted(breaks, stop)]
        following = breaks + 1
        starts = np.concatenate((np.zeros(1, dtype=np.int64), following))
        ends = content_ends(view, breaks, data)
        go_on = int(starts[-1])
        if final and not blocked and go_on < size:
            ends = np.append(ends, size)
            go_on = size
        starts = starts[: len(ends)]
        filled = ends > starts
        if not filled.all():
            starts, ends = starts[filled], ends[filled]
        return starts + at, ends + at, self._miscounted(starts, ends, separators), go_on + at, blocked

    def _first_misplaced(self, view: npt.NDArray[np.uint8], quotes: Places, final: bool) -> int:
        """The first quote that opens or closes where RFC 4180 has none; the size of the buffer when all are well."""
        size = len(view)
        opening, closing = quotes[0::2], quotes[1::2]
        well = self._before[view[np.maximum(opening - 1, 0)]]  # at 0 it meets itself, and a quote may stand there
        misplaced = [opening[~well][:1]]
        after = closing + 1
        well = (after >= size) | self._before[view[np.minimum(after, size - 1)]]
        misplaced.append(closing[~well][:1])
        if final and len(quotes) % 2:
            misplaced.append(opening[-1:])
        return int(min((m[0] for m in misplaced if len(m)), default=size))

    def _miscounted(self, starts: Places, ends: Places, separators: Places) -> dict[int, tuple[str, str]]:
        rows, per_row = len(starts), self.width - 1
        if rows and len(separators) >= rows * per_row:
            # The common case in one comparison: the k-th group of separators lies within the k-th record.
            mine = separators[: rows * per_row].reshape(rows, per_row)
            beyond = len(separators) > rows * per_row and separators[rows * per_row] < ends[-1]
            if not beyond and (not per_row or ((mine[:, 0] >= starts) & (mine[:, -1] < ends)).all()):
                return {}
        counts = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
        return {i: self._miscount(int(counts[i])) for i in np.flatnonzero(counts != self.width).tolist()}

    def _miscount(self, count: int) -> tuple[str, str]:
        reason = "short_row" if count < self.width else "long_row"
        return reason, f"The record has {count} field{'s' * (count != 1)}, the header {self.width}."

    def _next(self, buffer: bytes, at: int, final: bool, force: bool) -> tuple[int, int, tuple[str, str] | None] | None:
        """(end, start of the next, reason) of the record at `at`; None when it may go on beyond the buffer."""
        match = self.rules.record.match(buffer, at)
        if match and (match.end() < len(buffer) or final):
            count = len(fields(match[1], self.rules)) if match[1] else self.width
            return match.end(1), match.end(), None if count == self.width else self._miscount(count)
        if not final and not force and (match or self.rules.open.match(buffer, at)):
            return None
        line = _LINE.search(buffer, at)
        if line is None:
            return (len(buffer), len(buffer), _UNCLOSED) if final else None
        following = self._resync(buffer, line.end(), final)
        if following is None:
            if not final and not force:
                return None
            following = len(buffer) if final else max(buffer.rfind(b"\n"), buffer.rfind(b"\r")) + 1
        return at + len(buffer[at:following].rstrip(b"\r\n")), following, _UNCLOSED

    def _resync(self, buffer: bytes, at: int, final: bool) -> int | None:
        """The next line that is a record by itself with the right number of fields."""
        while at < len(buffer):
            match = self.rules.record.match(buffer, at)
            if match and (match.end() < len(buffer) or final) and len(fields(match[1], self.rules)) == self.width:
                return at
            line = _LINE.search(buffer, at)
            if line is None:
                return None
            at = line.end()
        return None


def _outside(quotes: Places, positions: Places) -> Places:
    """The positions that do not lie within quotes."""
    outside: Places = positions[np.searchsorted(quotes, positions) % 2 == 0]
    return outside
