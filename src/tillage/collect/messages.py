"""Messages of a stream as records: JSON, CSV or text, read by the readers of files; a poison message leaves alone.

Each message is one record, wherever its line breaks stand. What a file may stop a run for, a name that no column can
have, costs here the one message: whoever waits for the others cannot mend it. A message without a value (a tombstone)
is no record: it is counted, or, where the source asks for that, a row without values.
Cost: that of the same records in a file, and a temporary file (without a name) while they are read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import finalize

import numpy as np
import polars as pl

from tillage.collect.csv import parse
from tillage.collect.encoding import Encoding
from tillage.collect.jsonl import Objects
from tillage.collect.piece import Limits, Piece
from tillage.collect.records import Block, Cut, block_of
from tillage.collect.rows import batches
from tillage.collect.split import Splitter
from tillage.collect.text import COLUMN
from tillage.core.errors import ConfigurationError
from tillage.core.step import BadRecord, Batch
from tillage.flow.bad_records import bad_row
from tillage.store.frames import packed, unpacked

VALUE = "value"
"""The column of a stretch of messages that holds what was sent (Binary); the others are facts about the message."""

Format = Literal["json", "csv", "text"]
_UTF8 = Encoding("utf-8", 0, clean=False)
_BLANK = ("empty_record", "The message is empty.")


@dataclass(frozen=True)
class Form:
    """How messages are read: `columns` and `delimiter` are those of CSV."""

    format: Format = "json"
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    limits: Limits = field(default_factory=Limits)
    empty_rows: bool = False
    """Whether a message without a value (of JSON) is a row without values."""


class Messages:
    """Messages in the order of their place (a partition) and, at one place, in which they came; a file without a name.

    >>> held = Messages()
    >>> held.add("b", pl.DataFrame({"value": [b"2"]})), held.add("a", pl.DataFrame({"value": [b"1"]}))
    (None, None)
    >>> [frame["value"].to_list() for frame in held.frames()], held.count
    ([[b'1'], [b'2']], 2)
    """

    def __init__(self) -> None:
        self.count = 0
        self.empty = 0
        """How many have no value."""
        self._file = tempfile.TemporaryFile(prefix="tillage-")  # noqa: SIM115 - it lives as long as the messages
        finalize(self, self._file.close)
        self._stretches: list[tuple[Any, int, int, str]] = []

    def add(self, place: Any, frame: pl.DataFrame) -> None:
        """Take messages in; `place` can be compared with other places."""
        data, suffix = packed(frame)
        at = self._file.seek(0, 2)
        self._file.write(data)
        self._stretches.append((place, at, len(data), f"messages.{suffix}"))
        self.count += frame.height
        self.empty += frame[VALUE].null_count()

    def frames(self) -> Iterator[pl.DataFrame]:
        """All of them."""
        for _, at, size, name in sorted(self._stretches, key=lambda one: one[:2]):
            self._file.seek(at)
            yield unpacked(self._file.read(size), name)

    def close(self) -> None:
        """Give the room back."""
        self._file.close()


class MessageReader:
    """The records of messages, a `piece.Reader`.

    `names`: the facts about a message that its row has, by their names as columns; `told`: says of the facts which
    message it is, for people.
    """

    def __init__(
        self,
        frames: Callable[[], Iterator[pl.DataFrame]],
        form: Form,
        names: Sequence[str],
        told: Callable[[Mapping[str, Any]], str],
    ) -> None:
        self._frames, self._form, self._names, self._told = frames, form, list(names), told
        self.facts: dict[str, Any] = {"format": form.format, "header": list(form.columns)}
        if form.format == "text":
            self.facts["header"] = [COLUMN]

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        number, objects = 0, Objects("a message", self._form.limits)
        for frame in self._frames():
            yield self._piece(frame, number, objects)
            number += frame.height

    def _piece(self, frame: pl.DataFrame, first: int, objects: Objects) -> Piece:
        values = frame[VALUE]
        places = np.arange(frame.height, dtype=np.int64)
        if self._form.empty_rows:
            values = values.fill_null(b"{}")
        elif values.null_count():
            places = np.flatnonzero(values.is_not_null().to_numpy())
            values = values.drop_nulls()
        block = self._block(values.to_list(), places + first)
        found = self._parsed(block, objects)
        facts = frame.select(self._names)[found.numbers - first]

        def named(bad: BadRecord) -> BadRecord:
            which = self._told(frame.drop(VALUE).row(bad.record - first, named=True))
            return bad.model_copy(update={"message": f"{which}: {bad.message}"})

        def fail(row: int, stage: str, reason: str, message: str, column: str) -> BadRecord:
            return named(found.fail(row, stage, reason, message, column))

        rows = pl.concat([found.frame, facts], how="horizontal") if found.frame.width else facts
        return Piece(rows, found.numbers, found.raw, fail, [named(bad) for bad in found.bad])

    def _block(self, values: list[bytes], numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Block:
        """The messages as a stretch of records, a line break between them; those that are no text are set aside."""
        sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        ends = np.cumsum(sizes + 1) - 1
        starts = ends - sizes
        blank = {} if self._form.format == "text" else dict.fromkeys(np.flatnonzero(sizes == 0).tolist(), _BLANK)
        long: dict[int, tuple[str, str]] = {}
        if self._form.format == "text":
            limit = f"It is longer than max_field ({self._form.limits.max_field:,} bytes)."
            over = np.flatnonzero(sizes > self._form.limits.max_field).tolist()
            long = dict.fromkeys(over, ("field_too_long", limit))
        block = block_of(b"\n".join(values), Cut(starts, ends, {**blank, **long}), 0, 0, _UTF8)
        bad = [one.model_copy(update=_alone(one, int(numbers[one.record]))) for one in block.bad]
        return Block(block.data, block.starts, block.ends, numbers[block.numbers], bad)

    def _parsed(self, block: Block, objects: Objects) -> Piece:
        if self._form.format == "text":
            texts = [v.decode() for v in _values(block)]
            frame = pl.DataFrame({COLUMN: pl.Series(texts, dtype=pl.String)})
            return Piece(frame, block.numbers, frozenset(), block.fail, block.bad)
        if self._form.format == "csv":
            return self._csv(block)
        plain = not any(b"\n" in v or b"\r" in v for v in _values(block))
        try:
            return self._json(block, objects, plain)
        except ConfigurationError:  # a name in one message must not stop all that follow it
            gone = self._ill_named(block)
            if not gone:
                raise
        bad = [block.fail(i, "parse", "bad_name", why) for i, why in gone.items()]
        kept = block.without(list(gone))
        kept.bad = sorted(block.bad + bad, key=lambda b: b.record)
        return self._json(kept, objects, plain)

    def _json(self, block: Block, objects: Objects, plain: bool) -> Piece:
        piece = objects.piece(block, plain=plain)
        if taken := sorted(set(self._names) & set(piece.frame.columns)):
            raise ConfigurationError(f"'{taken[0]}' is the name of a fact about messages.")
        return piece

    def _ill_named(self, block: Block) -> dict[int, str]:
        """The messages that have a name which no column can have, and which."""
        found = {}
        for i in range(len(block.starts)):
            one = Block(block.data, block.starts[i : i + 1], block.ends[i : i + 1], block.numbers[i : i + 1], [])
            try:
                self._json(one, Objects("it", self._form.limits), plain=False)
            except ConfigurationError as error:
                found[i] = error.problems[0].message
        return found

    def _csv(self, block: Block) -> Piece:
        names, delimiter = list(self._form.columns), self._form.delimiter
        splitter = Splitter(delimiter, len(names), self._form.limits.max_field)
        broken: dict[int, tuple[str, str]] = {}
        values = _values(block)
        whole = b"\n".join(values)
        if b'"' not in whole and b"\r" not in whole and whole.count(b"\n") == max(0, len(values) - 1):
            broken = dict(splitter(whole, True, False).broken) if values else {}
        else:
            for i, value in enumerate(values):
                cut = splitter(value, True, False)
                if cut.broken:
                    broken[i] = next(iter(cut.broken.values()))
                elif len(cut.starts) != 1:
                    broken[i] = ("several_records", f"The message holds {len(cut.starts)} records.")
        bad = sorted([*block.bad, *(block.fail(i, "split", *why) for i, why in broken.items())], key=_by_number)
        kept = block.without(sorted(broken)) if broken else block
        good = b"\n".join(v.strip(b"\r\n") for v in _values(kept))
        frame = parse(good, names, delimiter)
        if frame.height != len(kept.starts):
            raise AssertionError(f"{len(kept.starts)} records were cut, {frame.height} parsed")
        return Piece(frame, kept.numbers, frozenset(names), kept.fail, bad)


def recast(rows: pl.DataFrame, records: pl.Series, schema: Mapping[str, str]) -> Batch:
    """Rows that were made of messages once, in the types of `schema`: what does not fit is set aside.

    >>> recast(pl.DataFrame({"n": [1, 2]}), pl.Series([0, 1]), {"n": "text", "m": "int64"}).rows.rows()
    [('1', None), ('2', None)]
    """

    def fail(row: int, stage: str, reason: str, message: str, column: str) -> BadRecord:
        return bad_row(int(records[row]), stage, reason, message, column, rows.row(row, named=True))

    found = list(batches(Piece(rows, records.to_numpy(), frozenset(), fail), schema, schema))
    frame = pl.concat([one.rows for one in found])
    return Batch(frame, pl.concat([one.records for one in found]), [bad for one in found for bad in one.bad])


def _values(block: Block) -> list[bytes]:
    return [block.data[lo:hi] for lo, hi in zip(block.starts.tolist(), block.ends.tolist(), strict=True)]


def _alone(bad: BadRecord, number: int) -> dict[str, int]:
    return {"record": number, "byte_start": 0, "byte_end": len(bad.raw)}


def _by_number(bad: BadRecord) -> int:
    return bad.record
