"""Arrow files and streams: what they hold comes as it is, and what cannot be trusted is refused as a file."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, ipc

from tillage.collect import Files
from tillage.collect.parquet import _texts_from_dictionaries
from tillage.core import BadRecord, ConfigurationError

TABLE = pa.table(
    {
        "n": pa.array([1, None, 3], pa.int32()),
        "big": pa.array([2**60, 1, 2]),
        "text": pa.array(["a", "\u4e2d", None]),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "at": pa.array([0, 1, None], pa.timestamp("us", "Asia/Shanghai")),
        "list": pa.array([[1], [], None]),
        "bytes": pa.array([b"\0\xff", b"", None]),
    }
)


def written(table: pa.Table, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    if form == "feather":
        feather.write_feather(table, out, **options)
        return out.getvalue()
    with (ipc.new_file if form == "file" else ipc.new_stream)(out, table.schema, **options) as writer:
        for batch in table.to_batches(max_chunksize=2):
            writer.write_batch(batch)
    return out.getvalue()


def read(root: Path, name: str, data: bytes, **options: Any) -> tuple[pl.DataFrame, list[BadRecord], dict[str, Any]]:
    (root / name).write_bytes(data)
    files = Files(path=name, **options)
    state = files.observe(root, name)
    batches = list(files.read(root, name, files.column_types([state])))
    return pl.concat([b.rows for b in batches]), [r for b in batches for r in b.bad], state


@pytest.mark.parametrize(
    ("form", "name", "options"),
    [
        ("file", "a.arrow", {}),
        ("file", "a.csv", {}),
        ("stream", "a.arrows", {}),
        ("feather", "a.feather", {"compression": "lz4"}),
        ("feather", "a.feather", {"compression": "zstd"}),
    ],
)
def test_values_come_as_they_are(tmp_path: Path, form: str, name: str, options: dict[str, Any]) -> None:
    frame, bad, state = read(tmp_path, name, written(TABLE, form, **options))
    assert bad == []
    assert frame.to_dict(as_series=False) == {
        "n": [1, None, 3],
        "big": [2**60, 1, 2],
        "text": ["a", "\u4e2d", None],
        "kind": ["x", "y", "x"],
        "at": [datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None],
        "list": ["[1]", "[]", None],
        "bytes": [b"\0\xff", b"", None],
    }
    assert (state["records"], state["wide"], state["format"]) == (3, ["big"], "arrow")
    assert state["notes"] == ["Times of 'at' are of Asia/Shanghai: kept in UTC."]


@pytest.mark.parametrize("index", [pa.int8(), pa.int64(), pa.uint16()], ids=str)
@pytest.mark.parametrize("size", [3, 4000], ids=["few rows", "many rows"])
def test_texts_of_a_dictionary_are_its_texts(tmp_path: Path, index: Any, size: int) -> None:
    texts = ["\u4e2d\u6587", None, "", "a text that is longer than twelve bytes"]
    coded = pa.array([n % 5 if n % 7 else None for n in range(size)], index)
    values = pa.DictionaryArray.from_arrays(coded, pa.array([*texts, "e"]))
    rows, bad, _ = read(tmp_path, "x.arrow", written(pa.table({"t": values}), "file"))
    expected = [[*texts, "e"][n % 5] if n % 7 else None for n in range(size)]
    assert rows["t"].to_list() == expected
    assert not bad


def test_a_parquet_file_of_few_texts_reads_like_one_of_many(tmp_path: Path) -> None:
    """Dictionaries that differ by group, groups without one, nulls: read by their numbers or as texts, the same."""
    few = [None if n % 11 == 0 else f"\u7ea2{n // 1000}-{n % 3}" for n in range(5000)]
    mixed = few[:2000] + [f"own {n}" for n in range(3000)]
    table = pa.table({"few": few, "mixed": mixed, "none": pa.nulls(5000, pa.string()), "n": range(5000)})
    for use in (True, False):
        pq.write_table(table, tmp_path / f"{use}.parquet", use_dictionary=use, row_group_size=1000)
    for name in ("True.parquet", "False.parquet"):
        rows, bad, _ = read(tmp_path, name, (tmp_path / name).read_bytes())
        assert rows.to_dict(as_series=False) == table.to_pydict()
        assert rows.schema["few"] == pl.String
        assert not bad
    assert _texts_from_dictionaries(pq.ParquetFile(tmp_path / "True.parquet")) == ["few", "none"]
    assert _texts_from_dictionaries(pq.ParquetFile(tmp_path / "False.parquet")) == ["none"]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_days_in_milliseconds_are_days(tmp_path: Path, form: str) -> None:
    """Parquet has no other days than whole ones, and the same table must not have times in Arrow."""
    table = pa.table({"day": pa.array([0, 253402214400000, None], pa.int64()).cast(pa.date64())})
    data = written(table, "file")
    if form == "parquet":
        packed = io.BytesIO()
        pq.write_table(table, packed)
        data = packed.getvalue()
    frame, bad, _ = read(tmp_path, f"a.{form}", data)
    assert (frame["day"].to_list(), bad) == ([date(1970, 1, 1), date(9999, 12, 31), None], [])


def test_an_empty_file_has_its_columns(tmp_path: Path) -> None:
    frame, bad, _ = read(tmp_path, "a.arrow", written(TABLE.slice(0, 0), "file"))
    assert (frame.columns, frame.height, bad) == (TABLE.column_names, 0, [])


@pytest.mark.parametrize("damage", ["cut", "magic only", "not utf-8", "offsets", "batch cut", "stream not utf-8"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    form = "stream" if damage.startswith("stream") else "file"
    data = written(pa.table({"t": ["abc", "def"] * 50}), form)
    if damage == "cut":
        data = data[:-20]
    elif damage == "batch cut":
        data = data[: len(data) // 2]
    elif damage == "magic only":
        data = b"ARROW1\0\0"
    elif damage.endswith("not utf-8"):
        data = data.replace(b"abcdef", b"abc\xff\xffx", 1)
    else:
        at = data.index(b"\x00\x00\x00\x00\x03\x00\x00\x00\x06")
        data = data[: at + 4] + b"\xff\xff\xff\x7f" + data[at + 8 :]
    frame, bad, state = read(tmp_path, "a.arrow", data)
    assert (frame.height, [(r.record, r.reason) for r in bad]) == (0, [(-1, "unreadable_file")])
    assert state["failed"] == "unreadable_file"


@pytest.mark.parametrize("form", ["file", "stream"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"n": 1}], pa.struct([pa.field("n", pa.int64(), metadata={"ARROW:extension:name": "some.thing"})])),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16))),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])),
    ],
    ids=["nested and unknown", "uuid", "json"],
)
def test_extension_types_are_refused(tmp_path: Path, column: Any, form: str) -> None:
    data = written(pa.table({"x": column}), form)
    with pytest.raises(ConfigurationError, match="Column 'x' has an extension type"):
        read(tmp_path, "a.arrow" if form == "file" else "a.arrows", data)


def test_a_pickled_extension_is_not_opened(tmp_path: Path) -> None:
    """The type of CVE-2023-47248: its metadata is a pickle."""
    field = pa.field(
        "x",
        pa.int64(),
        metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": b"cos\nsystem\n."},
    )
    data = written(pa.table([pa.array([1])], schema=pa.schema([field])), "file")
    with pytest.raises((ConfigurationError, pa.ArrowException), match="extension"):
        read(tmp_path, "a.arrow", data)
