"""A stream of text cut into records: each with its number and its place in the original bytes; none is lost.

A format brings a cutter (where records begin and end, and which are broken); this file feeds it blocks, keeps what a
block leaves unfinished, sets aside records that are not text, and steps over one that exceeds 16 MB without holding it:
memory stays below about 100 MB whatever the file. Numbering: every record counts, good or bad, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tillage.collect.content import Content
from tillage.collect.encoding import Encoding, decoded, is_utf8, original
from tillage.core.step import BadRecord
from tillage.text.native import compiled

LONGEST = 16 << 20
"""Bytes of a record that are looked at, and kept, at most."""

_LINE = 100
"""Bytes of a line, at a guess."""

Places = npt.NDArray[np.int64]
_EMPTY: Places = np.empty(0, dtype=np.int64)


@dataclass
class Cut:
    """What a cutter found in a buffer: record i is `buffer[starts[i]:ends[i]]`, its line break not included."""

    starts: Places
    ends: Places
    broken: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Index of a record to the reason and message for which it cannot be read."""
    consumed: int = 0
    """Bytes that need not be seen again; the rest waits for the next block."""


class Cutter(Protocol):
    """How a format finds its records."""

    def __call__(self, buffer: bytes, final: bool, force: bool) -> Cut:
        """`final`: nothing follows the buffer; `force`: it is as long as a record may be, so something must give."""
        ...


@dataclass
class Block:
    """Good records of one stretch of a file (`data[starts[i]:ends[i]]`, valid UTF-8 without NUL) and the bad ones."""

    data: bytes
    starts: Places
    ends: Places
    numbers: Places
    bad: list[BadRecord]
    codec: str = "utf-8"
    offset: int = 0
    """Where `data` begins in the original bytes."""

    def fail(self, i: int, stage: str, reason: str, message: str, column: str = "") -> BadRecord:
        """The bad record that good record `i` turned out to be."""
        lo, hi = int(self.starts[i]), int(self.ends[i])
        start = self.offset + len(original(self.data[:lo], self.codec))
        raw = original(self.data[lo:hi], self.codec)
        return bad_record(
            int(self.numbers[i]),
            start,
            start + len(raw),
            stage=stage,
            reason=reason,
            message=message,
            raw=raw,
            column=column,
        )

    def without(self, gone: list[int]) -> Block:
        """The block less the good records at these indices."""
        keep = np.ones(len(self.starts), dtype=bool)
        keep[gone] = False
        return Block(
            self.data, self.starts[keep], self.ends[keep], self.numbers[keep], self.bad, self.codec, self.offset
        )


def bad_record(
    number: int, start: int, end: int, *, stage: str, reason: str, message: str, raw: bytes, column: str = ""
) -> BadRecord:
    """A BadRecord whose raw bytes are cut at 16 MB, and say so."""
    if end - start > LONGEST:
        message = f"{message} Only the first {LONGEST:,} bytes of it are kept."
    return BadRecord(
        record=number,
        byte_start=start,
        byte_end=end,
        stage=stage,
        reason=reason,
        column=column,
        message=message,
        raw=raw[:LONGEST],
    )


def blocks(content: Content, encoding: Encoding, cutter: Cutter, skip: int = 0) -> Iterator[Block]:
    """All records of the file; `skip`: bytes of the decoded text (a header) that come before the first."""
    rest, number, offset = b"", 0, encoding.mark
    stream = decoded(content, encoding)
    ahead = next(stream, b"")
    final = False
    while not final:
        following = next(stream, None)
        final = following is None
        data = rest + ahead if rest else ahead
        ahead = following or b""
        if skip:
            offset += len(original(data[:skip], encoding.codec))
            data, skip = data[skip:], 0
        cut = cutter(data, final, False)
        if not final and len(data) - cut.consumed >= LONGEST:
            if len(cut.starts):
                yield block_of(data, cut, number, offset, encoding)
                number += len(cut.starts)
                offset += len(original(data[: cut.consumed], encoding.codec))
                data = data[cut.consumed :]
            cut = cutter(data, final, True)
        if len(cut.starts):
            yield block_of(data, cut, number, offset, encoding)
            number += len(cut.starts)
        rest = data[cut.consumed :]
        if encoding.codec != "utf-8" and cut.consumed:
            offset += len(original(data[: cut.consumed], encoding.codec))
        else:
            offset += cut.consumed
        if not final and len(rest) >= LONGEST:
            bad, rest, ahead, final, offset = _step_over(rest, ahead, stream, (number, offset), encoding.codec)
            yield Block(b"", _EMPTY, _EMPTY, _EMPTY, [bad])
            number += 1


def _step_over(
    data: bytes, ahead: bytes, stream: Iterator[bytes], place: tuple[int, int], codec: str
) -> tuple[BadRecord, bytes, bytes, bool, int]:
    """Pass a line longer than a record may be: it, what follows it, whether the file is done, where to go on.

    `place`: its number and where it begins.
    """
    number, offset = place
    raw = original(data[:LONGEST].decode("utf-8", "ignore").encode() if codec != "utf-8" else data[:LONGEST], codec)
    size = len(original(data, codec))
    rest, done = b"", True
    block: bytes | None = ahead
    while block is not None:
        at = _line_end(block)
        if at >= 0:
            size += len(original(block[:at], codec))
            rest, done = block[at:], False
            break
        size += len(original(block, codec))
        block = next(stream, None)
    following = next(stream, b"") if not done else b""
    if rest == b"\r" and following.startswith(b"\n"):
        rest, following = b"\r\n", following[1:]
    ending = rest[: 2 if rest.startswith(b"\r\n") else 1]
    message = f"The record is longer than {LONGEST:,} bytes."
    bad = bad_record(number, offset, offset + size, stage="split", reason="field_too_long", message=message, raw=raw)
    return bad, rest[len(ending) :], following, done, offset + size + len(original(ending, codec))


def _line_end(block: bytes) -> int:
    """Where the first line break lies, or -1."""
    found = [at for at in (block.find(b"\n"), block.find(b"\r")) if at >= 0]
    return min(found, default=-1)


def block_of(data: bytes, cut: Cut, first: int, offset: int, encoding: Encoding) -> Block:
    """The records that were cut, numbered from `first` on; those that are broken, or no text, are set aside."""
    broken = dict(cut.broken)
    if not encoding.clean:
        broken |= dict.fromkeys(_not_text(data, cut), ("bad_encoding", f"The record is not {encoding.codec}."))
    if b"\0" in data:
        at = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 0)
        hit = np.unique(np.searchsorted(cut.starts, at, side="right") - 1)
        for i in hit[hit >= 0].tolist():
            if i not in broken and b"\0" in data[cut.starts[i] : cut.ends[i]]:
                broken[i] = ("nul_byte", "The record holds a NUL byte.")
    numbers = np.arange(first, first + len(cut.starts), dtype=np.int64)
    whole = Block(data, cut.starts, cut.ends, numbers, [], encoding.codec, offset)
    if not broken:
        return whole
    order = sorted(broken)
    bad = _failures(whole, order, broken)
    good = whole.without(order)
    good.bad = bad
    return good


def _failures(block: Block, order: list[int], broken: dict[int, tuple[str, str]]) -> list[BadRecord]:
    """Places are found in one sweep: each piece of the text is measured once, however many records are bad."""
    bad: list[BadRecord] = []
    seen, at = 0, block.offset
    for i in order:
        lo, hi = int(block.starts[i]), int(block.ends[i])
        at += len(original(block.data[seen:lo], block.codec))
        raw = original(block.data[lo:hi], block.codec)
        reason, message = broken[i]
        number = int(block.numbers[i])
        bad.append(bad_record(number, at, at + len(raw), stage="split", reason=reason, message=message, raw=raw))
        seen, at = hi, at + len(raw)
    return bad


def _not_text(data: bytes, cut: Cut) -> list[int]:
    """Indices of the records that are not valid UTF-8."""
    if is_utf8(data):
        return []
    high = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) >= 0x80)
    hit = np.unique(np.searchsorted(cut.starts, high, side="right") - 1)
    bad: list[int] = []
    for i in hit[hit >= 0].tolist():
        try:
            data[cut.starts[i] : cut.ends[i]].decode("utf-8")
        except UnicodeDecodeError:
            bad.append(i)
    return bad


def line_cuts(data: bytes, final: bool) -> tuple[Places, Places, int]:
    """(starts, ends, consumed) of the lines of `data`: LF, CR LF and CR all end one; blank ones are lines too."""
    if compiled is not None:
        lines = len(data) // _LINE + 1
        starts, ends = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        while len(starts) < lines:
            starts, ends = np.empty(lines, dtype=np.int64), np.empty(lines, dtype=np.int64)
            lines, consumed = compiled.line_cuts(data, final, starts, ends)
        return starts[:lines], ends[:lines], consumed
    view = np.frombuffer(data, dtype=np.uint8)
    breaks = line_breaks(view, data, final)
    starts = np.concatenate(([0], breaks + 1)) if len(breaks) else np.zeros(1, dtype=np.int64)
    ends = np.append(content_ends(view, breaks, data), len(data))
    consumed = int(starts[-1])
    if final and consumed < len(data):
        return starts, ends, len(data)
    return starts[:-1], ends[:-1], consumed


def line_breaks(view: npt.NDArray[np.uint8], data: bytes, final: bool) -> Places:
    """Positions of the last byte of each line break; a CR at the very end waits, for an LF may follow."""
    breaks = np.flatnonzero(view == 10)
    if b"\r" not in data:
        return breaks
    returns = np.flatnonzero(view == 13)
    if not final and len(returns) and returns[-1] == len(view) - 1:
        returns = returns[:-1]
    following = view[np.minimum(returns + 1, len(view) - 1)]
    lone = returns[following != 10]
    return np.sort(np.concatenate((breaks, lone))) if len(lone) else breaks


def content_ends(view: npt.NDArray[np.uint8], breaks: Places, data: bytes) -> Places:
    """Where the content before each line break ends: a CR before an LF belongs to the break."""
    if not len(breaks) or b"\r" not in data:
        return breaks
    pair = (view[breaks] == 10) & (breaks > 0) & (view[np.maximum(breaks - 1, 0)] == 13)
    ends: Places = breaks - pair
    return ends
