"""CSV: dialect, header, and columns of text. The types come later, from all files together.

The delimiter is the one of , ; tab | that gives the header more than one field and most of the first hundred records
as many. Records are cut by `split`, which knows their places; only whole good ones reach the parser (with everything
declared and nothing detected). An unquoted empty field is null, a quoted one the empty text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from tillage.collect.content import Content
from tillage.collect.encoding import Encoding, decoded
from tillage.collect.piece import Limits, Piece, check_names, too_many_columns
from tillage.collect.records import Block, Places, blocks
from tillage.collect.split import Splitter, fields, grammar
from tillage.collect.unpack import Unreadable

DELIMITERS = ",;\t|"
_SAMPLE = 100
_SAMPLE_BYTES = 65_536


class CsvReader:
    """One CSV file; raises Unreadable or ConfigurationError when it has no usable header."""

    def __init__(self, content: Content, path: str, encoding: Encoding, delimiter: str, limits: Limits) -> None:
        self._content, self._encoding, self._limits = content, encoding, limits
        head = next(decoded(content, encoding), b"")
        lead = len(head) - len(head.lstrip(b"\r\n"))
        if lead == len(head):
            raise Unreadable("empty_file", "The file is empty: it has not even a header.")
        line = 1 + head[:lead].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
        sample = head[lead : lead + _SAMPLE_BYTES]
        whole = content.whole and len(sample) == len(head) - lead
        self.delimiter = delimiter if delimiter != "auto" else sniff(sample, whole)
        names, columns, self._skip = self._header(head, lead, path, line)
        check_names(names, path, limits, line, columns)
        self.names = names
        self.facts: dict[str, Any] = {
            "format": "csv",
            "encoding": encoding.codec,
            "delimiter": self.delimiter if len(names) > 1 else "",
            "header": names,
        }

    def _header(self, head: bytes, at: int, path: str, line: int) -> tuple[list[str], list[int], int]:
        rules = grammar(self.delimiter)
        match = rules.record.match(head, at)
        if match is None or (match.end() == len(head) and not self._content.whole):
            found = head.count(self.delimiter.encode()) + 1
            if found > self._limits.max_columns:
                raise too_many_columns(found, path, self._limits, line)
            raise Unreadable(
                "bad_header", "The first record is no header: a quote in it is not closed, or it has no end."
            )
        written = fields(match[1], rules)
        if len(written) > self._limits.max_columns:
            raise too_many_columns(len(written), path, self._limits, line)
        if b"\0" in match[1]:
            raise Unreadable("bad_header", "The header holds a NUL byte.")
        try:
            names = [unquoted(field).decode() for field in written]
            lengths = [len(field.decode()) + 1 for field in written]
        except UnicodeDecodeError:
            raise Unreadable("bad_header", f"The header is not {self._encoding.codec}; declare the encoding.") from None
        if max(len(name) for name in names) > self._limits.max_field:
            raise Unreadable("bad_header", "A column name is longer than max_field.")
        columns = (np.cumsum([1, *lengths])[:-1]).tolist()
        return names, columns, match.end()

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        splitter = Splitter(self.delimiter, len(self.names), self._limits.max_field)
        for block in blocks(self._content, self._encoding, splitter, self._skip):
            frame = parse(_joined(block), self.names, self.delimiter)
            if frame.height != len(block.starts):
                raise AssertionError(f"{len(block.starts)} records were cut, {frame.height} parsed")
            yield Piece(frame, block.numbers, frozenset(self.names), block.fail, block.bad)


def sniff(sample: bytes, whole: bool) -> str:
    """The delimiter of the text; `whole`: the sample does not end in the middle of a record.

    >>> sniff(b"id;text\\n1;a,b\\n2;c,d\\n", True)
    ';'
    """
    best, most = ",", (0.0, 0)
    header = sample[: min(at for at in (sample.find(b"\n"), sample.find(b"\r"), len(sample)) if at >= 0)]
    candidates = [delimiter for delimiter in DELIMITERS if delimiter.encode() in header]
    if len(candidates) == 1 and b'"' not in header:
        return candidates[0]
    for delimiter in DELIMITERS:
        if delimiter.encode() not in sample:
            continue
        counts = _counts(sample, delimiter, whole)
        if counts and counts[0] > 1:
            score = (counts.count(counts[0]) / len(counts), counts[0])
            if score > most:
                best, most = delimiter, score
    return best


def _counts(sample: bytes, delimiter: str, whole: bool) -> list[int]:
    """The number of fields of each of the first records; 0 for one that is broken."""
    rules = grammar(delimiter)
    counts: list[int] = []
    at = 0
    while at < len(sample) and len(counts) < _SAMPLE:
        match = rules.record.match(sample, at)
        if match is None or (match.end() == len(sample) and not whole and counts):
            line = sample.find(b"\n", at)
            if match is not None or line < 0:
                break
            at = line + 1
            counts.append(0)
            continue
        record = match[1]
        if record:
            counts.append(len(fields(record, rules)) if b'"' in record else record.count(rules.delimiter) + 1)
        if len(counts) == 1 and counts[0] == 1:
            break  # it does not even divide the header
        at = match.end()
    return counts


def unquoted(field: bytes) -> bytes:
    """The value of a field as it is written.

    >>> unquoted(b'"a ""b"" c"')
    b'a "b" c'
    """
    return field[1:-1].replace(b'""', b'"') if field[:1] == b'"' else field


def parse(data: bytes, names: list[str], delimiter: str) -> pl.DataFrame:
    """Columns of text of well-formed records, one after another, each ended by LF or CRLF.

    Where no quote stands, a record is its text cut at each delimiter, and Polars need not look for more; pyarrow, which
    also knows a quote in the middle of a bare field, costs 0.2 s to load and a thread a file.

    >>> parse(b'1,""\\n,x', ["a", "b"], ",").rows()
    [('1', ''), (None, 'x')]
    """
    schema = dict.fromkeys(names, pl.String)
    if not data:
        return pl.DataFrame(schema=schema)
    if b'"' in data:
        return _parse_quoted(data, names, delimiter)
    return pl.read_csv(data, has_header=False, schema=schema, separator=delimiter, quote_char=None)


def _parse_quoted(data: bytes, names: list[str], delimiter: str) -> pl.DataFrame:
    import pyarrow as pa
    import pyarrow.csv as pc

    table = pc.read_csv(
        pa.py_buffer(data),
        read_options=pc.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1024),
        parse_options=pc.ParseOptions(
            delimiter=delimiter,
            quote_char='"',
            double_quote=True,
            escape_char=False,
            newlines_in_values=True,
            ignore_empty_lines=True,
        ),
        convert_options=pc.ConvertOptions(
            check_utf8=False,  # `records` has seen to it
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return pl.DataFrame(
        [pl.Series(name, column, dtype=pl.String) for name, column in zip(names, table.columns, strict=True)]
    )


def _joined(block: Block) -> bytes:
    """The good records, and nothing between them but one line break."""
    data, starts, ends = block.data, block.starts, block.ends
    if not len(starts):
        return b""
    gaps = starts[1:] - ends[:-1]
    if _is_even(data, ends, gaps, b"\n") or _is_even(data, ends, gaps, b"\r\n"):
        return data[starts[0] : ends[-1]]
    return b"\n".join(data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def _is_even(data: bytes, ends: Places, gaps: Places, mark: bytes) -> bool:
    """Whether nothing but `mark` stands between records: no empty line, no bad record, no other line break."""
    if not (gaps == len(mark)).all():
        return False
    view = np.frombuffer(data, dtype=np.uint8)
    return all(bool((view[ends[:-1] + n] == byte).all()) for n, byte in enumerate(mark))
