"""Files as a source: tables, texts, logs, pages, pictures, sounds; what they are is decided by what they hold.

`scan` lists and stamps, `observe` learns the types, `read` gives rows. Nothing is guessed by an engine: encoding,
dialect, records and types are ours, and each record is either a row or a bad record with its place, never neither.
Cost: 1 to 2 us a CSV row of five columns for both passes; the first 64 MB of a run are parsed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from tillage.collect import places
from tillage.collect.cache import Cache, Parsed
from tillage.collect.content import Content
from tillage.collect.encoding import OtherEncodingError, checked_codec
from tillage.collect.formats import Format, opened
from tillage.collect.log import template
from tillage.collect.piece import Limits, Reader, Way
from tillage.collect.records import bad_record
from tillage.collect.remote import Trust, checked, is_address
from tillage.collect.rows import batches, from_parsed, no_rows, observed
from tillage.collect.types import ClashError, Column, union
from tillage.collect.unpack import Unreadable
from tillage.core.errors import BadData, ConfigurationError, InputMissing, UnknownColumns
from tillage.core.state import State
from tillage.core.step import BadRecord, Batch, Found, Source
from tillage.flow.pipeline import reader
from tillage.guard.hosts import networks

TypeName = Literal["int64", "float64", "text", "bool", "date", "datetime"]

_parsed = Cache()


class Files(Source):
    """Rows of the files that match a path, one table for all of them.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "a.csv").write_text("id,zip\\n1,007\\n2,\\n")
    >>> files = Files(path="*.csv")
    >>> types = files.column_types([files.observe(root, found.path) for found in files.scan(root)])
    >>> types
    {'id': 'int64', 'zip': 'text'}
    >>> [batch.rows.rows() for batch in files.read(root, "a.csv", types)]
    [[(1, '007'), (2, None)]]
    """

    sees_deletions: ClassVar[bool] = True

    path: str | tuple[str, ...] = Field(
        description="Paths or globs (*, ?, [..], ** for any folders), relative to the plan or absolute; or addresses."
    )
    format: Format = Field("auto", description="What the files hold; auto decides by content, then by extension.")
    encoding: str = Field("auto", description="Name of a text encoding, for instance gbk; auto detects it.")
    delimiter: str = Field("auto", description="What separates the fields of a CSV: one ASCII character; auto detects.")
    template: str = Field(
        "", description="What the lines of a log look like, such as '<Date> <Time> <Level>: <Content>'; makes it a log."
    )
    continued: bool = Field(
        False, description="Whether a line that does not fit the template continues the one before."
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict, description="Column to type; a record with a cell that does not fit is quarantined."
    )
    max_pixels: int = Field(50_000_000, ge=1, le=500_000_000, description="Most pixels of a picture, by its header.")
    sample_rate: int | None = Field(
        None, ge=1, le=1_000_000, description="Samples a second that sounds are brought to; as they come by default."
    )
    max_field: int = Field(1_000_000, ge=1, le=16_000_000, description="Longest field that is read, in bytes.")
    max_columns: int = Field(20_000, ge=1, description="Most columns that a file may have.")
    allow_private: tuple[str, ...] = Field(
        (), description="Networks inside, as 10.1.0.0/16, that addresses may lead to; all others are refused."
    )
    trust_times: bool = Field(
        False,
        description="Whether a web server's time of change that is a minute old stands for a content without a tag; "
        "else such a file is fetched at each look.",
    )

    @field_validator("allow_private")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        return value if value == "auto" else checked_codec(value)

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if value != "auto" and (len(value) != 1 or not value.isascii() or value in '"\r\n\0'):
            raise ValueError("the delimiter must be one ASCII character, not a quote or a line break; or 'tab'")
        return value

    @field_validator("template")
    @classmethod
    def _readable_template(cls, value: str) -> str:
        if value:
            template(value)
        return value

    @model_validator(mode="after")
    def _template_of_a_log(self) -> Self:
        if self.format == "log" and not self.template:
            raise ValueError("format log needs a 'template', such as '<Date> <Time> <Level>: <Content>'")
        if self.template and self.format not in ("auto", "log"):
            raise ValueError(f"'template' is for logs, and format is {self.format}")
        if self.continued and not self.template:
            raise ValueError("'continued' needs a 'template' that tells where a record begins")
        return self

    @field_validator("path")
    @classmethod
    def _some_path(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value or not all(value):
            raise ValueError("name at least one file or glob")
        for pattern in (value,) if isinstance(value, str) else value:
            if is_address(pattern):
                checked(pattern)
        return value

    def scan(self, root: Path) -> list[Found]:
        """The files that are there now; nothing is opened but the directories of zip archives."""
        return places.find(root, (self.path,) if isinstance(self.path, str) else self.path, self._trust)

    def checksum(self, root: Path, path: str) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return places.checksum(root, path, self._trust)

    def observe(self, root: Path, path: str) -> State:
        """What the file needs: `columns` (name to type), `order`, `records`, and how it is written.

        `wide` and `empty` name the columns of Column's flags. A file that cannot be read has `failed`: the reason.
        Raises ConfigurationError for a header that cannot be one.
        """
        try:
            places.refused(root, path)
            content = places.content(root, path, self._trust)
            try:
                reader = self._reader(content, path, suppose=True)
                seen, records, kept = observed(reader, self.types, _parsed.spare())
            except OtherEncodingError:
                reader = self._reader(content, path)
                seen, records, kept = observed(reader, self.types, _parsed.spare())
        except Unreadable as failure:
            return {"path": path, "columns": {}, "order": [], "records": 0, "failed": failure.reason}
        if kept:
            _parsed.put(content.identity[0], (content.identity, self._settings()), kept)
        return {
            "path": path,
            **reader.facts,
            "columns": {name: column.type for name, column in seen.columns.items()},
            "order": list(seen.columns),
            "records": records,
            "wide": sorted(name for name, column in seen.columns.items() if column.wide),
            "empty": sorted(name for name, column in seen.columns.items() if column.empty),
        }

    def side_by_side(self) -> bool:
        """Files of this machine are observed side by side; who serves others is asked for one at a time."""
        return not any(is_address(path) for path in ((self.path,) if isinstance(self.path, str) else self.path))

    def column_types(self, states: list[State]) -> dict[str, str]:
        """Column to type over all files, those declared where no file names one.

        Raises ConfigurationError naming the files that do not go together.
        """
        readable = [state for state in states if "failed" not in state]
        self._same_delimiter(readable)
        try:
            merged = union((state["path"], _columns(state)) for state in readable)
        except ClashError as clash:
            raise ConfigurationError(
                f"The files do not go together: {clash}.", fix="Declare the column under 'types', or mend one file."
            ) from clash
        if readable and not merged:
            return dict(self.types)  # JSON without a record names no column; what is declared is known all the same
        if readable:
            absent = [name for name in self.types if name not in merged]
            if absent:
                raise UnknownColumns("types", absent, merged, "Mend 'types' of the source.")
        return {name: self.types.get(name, column.final()) for name, column in merged.items()}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """The file's rows in the types of `schema`, at most 65,536 or about 32 MB at once; see `Source.read`.

        A file that cannot be read is one Batch without rows, with one bad record of number -1.
        """
        empty = True
        try:
            places.refused(root, path)
            kept = self._kept(root, path)
            known = from_parsed(kept, schema, self.types) if kept is not None else None
            if known is not None:
                ready = iter(known)
            else:
                reader = self._reader(places.content(root, path, self._trust), path)
                ready = (batch for piece in reader.pieces() for batch in batches(piece, schema, self.types))
            for batch in ready:
                empty = False
                yield batch
        except Unreadable as failure:
            bad = bad_record(-1, 0, 0, stage="open", reason=failure.reason, message=failure.message, raw=b"")
            yield no_rows(schema, [bad.model_copy(update={"byte_end": places.size(root, path, self._trust)})])
        else:
            if empty:
                yield no_rows(schema, [])

    def reparse(
        self,
        raw: bytes,
        header: tuple[str, ...],
        schema: Mapping[str, str],
        *,
        format: Format = "csv",  # noqa: A002 - the field's own name
        encoding: str = "utf-8",
        delimiter: str = ",",
    ) -> pl.DataFrame | BadRecord:
        """The rows of a raw record with the present settings, or the bad record that it still is.

        `header`, `format`, `encoding`, `delimiter`: of its file, as `observe` found them; what this step declares goes
        first. Most records are one row; one that was set aside for an open quote may hold several.
        """
        codec = self.encoding if self.encoding != "auto" else encoding
        between = self.delimiter if self.delimiter != "auto" else delimiter or ","
        kind = self.format if self.format != "auto" else format
        data = raw
        if kind == "csv":
            names = between.join('"' + name.replace('"', '""') + '"' for name in header)
            data = (names + "\n").encode(codec) + raw
        rows: list[pl.DataFrame] = []
        try:
            reader = opened(Content.of(data), "", kind, replace(self._way(), encoding=codec, delimiter=between))
            for piece in reader.pieces():
                for batch in batches(piece, schema, self.types):
                    if batch.bad:
                        return batch.bad[0].model_copy(update={"raw": raw, "byte_start": 0, "byte_end": len(raw)})
                    rows.append(batch.rows)
        except Unreadable as failure:
            return bad_record(0, 0, len(raw), stage="open", reason=failure.reason, message=failure.message, raw=raw)
        if rows:
            return pl.concat(rows)
        return bad_record(0, 0, len(raw), stage="split", reason="empty_record", message="It is blank.", raw=raw)

    @property
    def _trust(self) -> Trust:
        return Trust(self.allow_private, self.trust_times)

    def _way(self) -> Way:
        return Way(
            encoding=self.encoding,
            delimiter=self.delimiter,
            template=self.template,
            continued=self.continued,
            max_pixels=self.max_pixels,
            sample_rate=self.sample_rate,
            limits=Limits(self.max_field, self.max_columns),
        )

    def _kept(self, root: Path, path: str) -> list[Parsed] | None:
        """What `observe` kept of the object, if it is still the same."""
        identity = places.identity(root, path, self._trust)
        return None if identity is None else _parsed.take(identity[0], (identity, self._settings()))

    def _settings(self) -> str:
        return self.model_dump_json(exclude={"path"})

    def _reader(self, content: Content, path: str, *, suppose: bool = False) -> Reader:
        return opened(content, path, self.format, self._way(), suppose=suppose)

    def _same_delimiter(self, states: list[State]) -> None:
        first: dict[str, str] = {}
        for state in states:
            if self.delimiter == "auto" and state.get("delimiter"):
                first.setdefault(state["delimiter"], state["path"])
        if len(first) > 1:
            (one, here), (other, there), *_ = first.items()
            raise ConfigurationError(
                f"The delimiter differs by file: {here} has {one!r}, {there} has {other!r}.",
                fix="Declare 'delimiter', or collect the files as two tables.",
            )


def read_file(path: Path, format: Format = "auto") -> tuple[pl.DataFrame, list[BadRecord]]:  # noqa: A002
    """A whole file with the types that it needs, and the records of it that could not be read.

    Raises InputMissing, ConfigurationError for a header that cannot be one, BadData for a file that is unreadable.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"n": 1}\\n{"n": NaN}\\n')
    >>> frame, bad = read_file(path)
    >>> frame.rows(), bad[0].reason
    ([(1,)], 'not_a_number')
    """
    path = path.resolve()
    if not path.is_file():
        raise InputMissing(f"{path} is not there, or is no file.", fix="Check the path.")
    files = Files(path=path.name, format=format)
    state = files.observe(path.parent, path.name)
    read = list(files.read(path.parent, path.name, files.column_types([state])))
    bad = [record for batch in read for record in batch.bad]
    if "failed" in state:
        raise BadData(f"{path.name}: {bad[0].message if bad else state['failed']}")
    return pl.concat([batch.rows for batch in read]), bad


def _columns(state: State) -> dict[str, Column]:
    wide, empty = set(state["wide"]), set(state["empty"])
    return {name: Column(state["columns"][name], name in wide, name in empty) for name in state["order"]}


files = reader(Files)
"""The function that begins a pipeline with this source."""
