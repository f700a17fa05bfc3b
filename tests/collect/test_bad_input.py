"""What a source may be handed: each damaged, odd or hostile file with what must become of it.

Q: the record is quarantined, the other rows are read; F: the file is; E: a located configuration error; OK: accepted.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tillage.collect import Files, read_file
from tillage.core import BadRecord, ConfigurationError

ROWS = 100
HEAD = "id,name,x"


def line(i: int) -> str:
    return f"{i},n{i},{i}.5"


def table(*, head: str = HEAD, eol: str = "\n", final: str = "yes", **changed: str) -> str:
    lines = [changed.get(f"r{i}", line(i)) for i in range(ROWS)]
    return eol.join([head, *lines]) + (eol if final == "yes" else "")


def objects(**changed: str) -> str:
    return "".join(changed.get(f"r{i}", json.dumps({"id": i, "name": f"n{i}"})) + "\n" for i in range(ROWS))


@dataclass
class Case:
    """`bad`: reasons of the quarantined records, by record number; `failed`: the reason for which the file is."""

    name: str
    data: bytes
    file: str = "data.csv"
    rows: int = ROWS
    bad: dict[int, str] = field(default_factory=dict)
    failed: str = ""
    late: bool = False
    """The failure shows when the values are decoded, which `read` does and `observe` does not."""
    error: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    cells: dict[tuple[int, str], Any] = field(default_factory=dict)
    """(row, column) to the value that must be read."""
    columns: dict[str, str] = field(default_factory=dict)


def parquet(frame: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(frame, out, **options)
    return out.getvalue()


PLAIN = pa.table({"id": list(range(ROWS)), "name": [f"n{i}" for i in range(ROWS)]})


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def unknown_extension() -> bytes:
    field_ = pa.field(
        "id", pa.int64(), metadata={"ARROW:extension:name": "some.unknown", "ARROW:extension:metadata": ""}
    )
    return parquet(pa.table([pa.array([1, 2])], schema=pa.schema([field_])))


GBK = table(r7="7,名字甲,7.5", r8="8,中文内容,8.5")
TEXT = [
    Case("empty", b"", failed="empty_file"),
    Case("only blank lines", b"\n\r\n\n", failed="empty_file"),
    Case("header only", b"id,name\n", rows=0, columns={"id": "null", "name": "null"}),
    Case("header only, no end of line", b"id,name", rows=0),
    Case(
        "byte order mark", b"\xef\xbb\xbf" + table().encode(), columns={"id": "int64", "name": "text", "x": "float64"}
    ),
    Case("UTF-16 little", b"\xff\xfe" + table(r3="3,中,1.5").encode("utf-16-le"), cells={(3, "name"): "中"}),
    Case("UTF-16 big", b"\xfe\xff" + table(r3="3,中,1.5").encode("utf-16-be"), cells={(3, "name"): "中"}),
    Case("UTF-16 without mark", table().encode("utf-16-le"), failed="utf16_without_mark"),
    Case("UTF-16 declared", table().encode("utf-16-le"), options={"encoding": "utf-16-le"}),
    Case("GBK detected", GBK.encode("gbk"), cells={(7, "name"): "名字甲", (8, "name"): "中文内容"}),
    Case("GB18030 detected", table(r7="7,𠀀中文,1").encode("gb18030"), cells={(7, "name"): "𠀀中文"}),
    Case("GBK declared", GBK.encode("gbk"), options={"encoding": "gbk"}, cells={(7, "name"): "名字甲"}),
    Case(
        "mixed GBK and UTF-8",
        table(r5="5,名字,1").encode() + "100,中文,2\n".encode("gbk"),
        bad={100: "bad_encoding"},
        cells={(5, "name"): "名字"},
    ),
    Case("Latin-1 is not GB18030", table(r5="5,cafée,1").encode("latin-1"), rows=99, bad={5: "bad_encoding"}),
    Case("Latin-1 between letters", table(r5="5,résumés,1").encode("latin-1"), rows=99, bad={5: "bad_encoding"}),
    Case("Latin-1, one between letters", table(r5="5,naïve x,1").encode("latin-1"), rows=99, bad={5: "bad_encoding"}),
    Case(
        "one Han character after a letter is GBK",
        table(r5="5,T恤,1", r6="6,A股 x,1").encode("gbk"),
        cells={(5, "name"): "T恤"},
    ),
    Case("Latin-1, two between letters", table(r5="5,créée,1").encode("latin-1"), rows=99, bad={5: "bad_encoding"}),
    Case("Latin-1 declared", table(r5="5,cafée,1").encode("latin-1"), options={"encoding": "latin-1"}),
    Case(
        "one invalid byte", table(r5="5,n\udcff5,1").encode(errors="surrogateescape"), rows=99, bad={5: "bad_encoding"}
    ),
    Case("NUL", table(r5="5,n\0,1").encode(), rows=99, bad={5: "nul_byte"}),
    Case("CR only", table(eol="\r").encode(), cells={(99, "name"): "n99"}),
    Case("mixed ends of line", table(r3=line(3) + "\r", r4=line(4) + "\r" + "4,again,1").encode(), rows=101),
    Case("CR LF", table(eol="\r\n").encode(), cells={(99, "x"): 99.5}),
    Case("no final end of line", table(final="no").encode(), cells={(99, "x"): 99.5}),
    Case("short row", table(r9="9,n9").encode(), rows=99, bad={9: "short_row"}),
    Case("long row", table(r9="9,n9,1,2").encode(), rows=99, bad={9: "long_row"}),
    Case("unclosed quote", table(r50='50,"n50,1').encode(), rows=99, bad={50: "unclosed_quote"}),
    Case("unclosed quote, the last", table(r99='99,"n50,1').encode(), rows=99, bad={99: "unclosed_quote"}),
    Case(
        "unclosed quote among closed ones",
        table(**{f"r{i}": f'{i},"n,{i}",1' for i in range(60, 99)}, r50='50,"n50,1').encode(),
        rows=99,
        bad={50: "unclosed_quote"},
        cells={(60 - 1, "name"): "n,60"},
    ),
    Case("text after a closing quote", table(r50='50,"n"50,1').encode(), rows=99, bad={50: "unclosed_quote"}),
    Case("quote inside a bare field", table(r50='50,5" pipe,1').encode(), cells={(50, "name"): '5" pipe'}),
    Case("embedded line break", table(r50='50,"a\nb\r\nc",1').encode(), cells={(50, "name"): "a\nb\r\nc"}),
    Case("quoted empty text", table(r50='50,"",1', r51="51,,1").encode(), cells={(50, "name"): "", (51, "name"): None}),
    Case("10 MB field", table(r50=f"50,{'x' * 10_000_000},1").encode(), rows=99, bad={50: "field_too_long"}),
    Case("40 MB field", table(r50=f"50,{'x' * 40_000_000},1").encode(), rows=99, bad={50: "field_too_long"}),
    Case("quoted 10 MB field", table(r50=f'50,"{"x" * 10_000_000}",1').encode(), rows=99, bad={50: "field_too_long"}),
    Case("duplicate names", b"a,b,a\n1,2,3\n", error=r"data.csv:1:5  Two columns are called 'a'"),
    Case("blank name", b"a,,c\n1,2,3\n", error=r"data.csv:1:3  Column 2 has no name"),
    Case("reserved name", b"\n_id,b\n1,2\n", error=r"data.csv:2:1  The name '_id' begins with '_'"),
    Case("10^6 columns", ",".join(f"c{i}" for i in range(10**6)).encode() + b"\n", error="too_many_columns"),
    Case("20,001 columns", ",".join(f"c{i}" for i in range(20_001)).encode() + b"\n", error="too_many_columns"),
    Case(
        "leading zeros", table(r0="007,a,1").encode(), columns={"id": "text"}, cells={(0, "id"): "007", (1, "id"): "1"}
    ),
    Case(
        "thousands",
        table(head="id;name;x", **{f"r{i}": f"{i};n;1,000" for i in range(ROWS)}).encode(),
        columns={"x": "text"},
    ),
    Case("2^70", table(r0=f"{2**70},a,1").encode(), columns={"id": "text"}, cells={(0, "id"): str(2**70)}),
    Case("late change of type", table(r99="x99,a,1").encode(), columns={"id": "text"}, cells={(0, "id"): "0"}),
    Case("semicolons", table().replace(",", ";").encode(), columns={"id": "int64"}),
    Case("tabs", table().replace(",", "\t").encode(), file="data.tsv", columns={"id": "int64"}),
    Case("bars", table().replace(",", "|").encode(), columns={"id": "int64"}),
    Case("blank lines", table(r5=line(5) + "\n\n", r99=line(99) + "\n\n").encode()),
    Case("open header", b'a,"b\n1,2\n', failed="bad_header"),
    Case(
        "declared type", table(r5="x5,n,1").encode(), rows=99, bad={5: "bad_value"}, options={"types": {"id": "int64"}}
    ),
]
JSON = [
    Case("clean", objects().encode(), columns={"id": "int64", "name": "text"}, cells={(7, "name"): "n7"}),
    Case("bad line", objects(r5="{oops}").encode(), rows=99, bad={5: "bad_json"}),
    Case("cut last line", objects().encode()[:-8], rows=99, bad={99: "bad_json"}),
    Case("NaN", objects(r5='{"id": NaN}').encode(), rows=99, bad={5: "not_a_number"}),
    Case("Infinity", objects(r5='{"id": -Infinity}').encode(), rows=99, bad={5: "not_a_number"}),
    Case("1e400", objects(r5='{"id": 1e400}').encode(), rows=99, bad={5: "number_too_large"}),
    Case("duplicate keys", objects(r5='{"id": 1, "id": 2}').encode(), rows=99, bad={5: "duplicate_key"}),
    Case("2,000 deep", objects(r5='{"id": ' + "[" * 2000 + "]" * 2000 + "}").encode(), rows=99, bad={5: "too_deep"}),
    Case("200,000 deep", objects(r5="[" * 200_000).encode(), rows=99, bad={5: "too_deep"}),
    Case("100 deep", objects(r5='{"deep": ' + "[" * 99 + "]" * 99 + "}").encode()),
    Case("brackets in a text are no depth", objects(r5=json.dumps({"name": "[{" * 200})).encode()),
    Case(
        "2^70",
        objects(r5=f'{{"id": {2**70}}}').encode(),
        columns={"id": "text"},
        cells={(5, "id"): str(2**70), (6, "id"): "6"},
    ),
    Case(
        "5,000 digits",
        objects(r5=f'{{"id": {"9" * 5000}}}').encode(),
        columns={"id": "text"},
        cells={(5, "id"): "9" * 5000},
    ),
    Case(
        "int then text",
        objects(r99='{"id": "x"}').encode(),
        columns={"id": "text"},
        cells={(5, "id"): "5", (99, "id"): "x"},
    ),
    Case("lone surrogate", objects(r5='{"name": "\\ud800"}').encode(), rows=99, bad={5: "lone_surrogate"}),
    Case("surrogate pair", objects(r5='{"name": "\\ud83d\\ude00"}').encode(), cells={(5, "name"): "😀"}),
    Case(
        "array file",
        json.dumps([{"id": i, "name": f'n[{i}]"'} for i in range(ROWS)]).encode(),
        cells={(3, "name"): 'n[3]"'},
    ),
    Case(
        "array file, indented", json.dumps([{"id": i} for i in range(ROWS)], indent=2).encode(), columns={"id": "int64"}
    ),
    Case("array with a bad element", b'[{"id": 1}, {"id": NaN}, {"id": 3}]', rows=2, bad={1: "not_a_number"}),
    Case("array with an open text", b'[{"a": 1},\n{"a": "x},\n{"a": 3}]', rows=1, bad={1: "bad_json"}),
    Case("array with a stray quote", b'[{"a": 1},\n{"a": 2"\n},\n{"a": 3}]', rows=2, bad={1: "bad_json"}),
    Case("cut array", b'[{"id": 1}, {"id": 2}, {"id": 3', rows=2, bad={2: "bad_json"}),
    Case("empty array", b"[]", rows=0),
    Case("lines, and a bracket too many", b"[" + objects().encode(), rows=99, bad={0: "bad_json"}),
    Case("array with commas before its lines", b'[{"id": 1}\n,{"id": 2}\n]', rows=2),
    Case(
        "100 MB line", objects(r5='{"name": "' + "x" * 100_000_000 + '"}').encode(), rows=99, bad={5: "field_too_long"}
    ),
    Case("2 MB text", objects(r5='{"name": "' + "x" * 2_000_000 + '"}').encode(), rows=99, bad={5: "field_too_long"}),
    Case("no object", objects(r5="[1]", r6="7").encode(), rows=98, bad={5: "not_an_object", 6: "not_an_object"}),
    Case("two on a line", objects(r5='{"id": 1} {"id": 2}').encode(), rows=99, bad={5: "bad_json"}),
    Case(
        "nested",
        objects(r5='{"id": 1, "more": {"b": [1.50, null], "a": true}}').encode(),
        cells={(5, "more"): '{"a":true,"b":[1.5,null]}'},
    ),
    Case("bool", b'{"b": true}\n{"b": null}\n', rows=2, columns={"b": "bool"}, cells={(0, "b"): True}),
    Case(
        "bool then int",
        b'{"b": true}\n{"b": 5}\n',
        rows=2,
        columns={"b": "text"},
        cells={(0, "b"): "true", (1, "b"): "5"},
    ),
    Case(
        "long fraction",
        b'{"b": 12345678901234567890.123}\n',
        rows=1,
        columns={"b": "text"},
        cells={(0, "b"): "12345678901234567890.123"},
    ),
    Case("reserved key", b'{"_id": 1}\n', error="'_id' begins with '_'"),
    Case("invalid byte", b'{"a": "\xff"}\n{"a": "b"}\n', rows=1, bad={0: "bad_encoding"}),
    Case("blank lines", objects(r5='{"id": 1}\n\n  \n').encode()),
    Case("empty", b"", failed="empty_file"),
]
for case in JSON:
    case.file = "data.jsonl"
COLUMNAR = [
    Case("clean", parquet(PLAIN), columns={"id": "int64", "name": "text"}),
    Case("cut", parquet(PLAIN)[:-50], failed="unreadable_file"),
    Case("magic only", b"PAR1", failed="unreadable_file"),
    Case("magic twice", b"PAR1PAR1", failed="unreadable_file"),
    Case(
        "bit flip, checksums",
        flipped(parquet(PLAIN, write_page_checksum=True, compression="none", use_dictionary=False), 124),
        failed="unreadable_file",
        late=True,
    ),
    Case(
        "bit flip in compressed data",
        flipped(parquet(PLAIN, compression="zstd"), 40),
        failed="unreadable_file",
        late=True,
    ),
    Case("Parquet named .csv", parquet(PLAIN), file="data.csv"),
    Case("CSV named .parquet", table().encode(), columns={"id": "int64"}),
    Case("CSV named .jsonl", table().encode(), file="data.jsonl", columns={"id": "int64"}),
    Case("JSON lines named .csv", objects().encode(), file="data.csv", columns={"id": "int64"}),
    Case("10^4 row groups", parquet(pa.table({"id": list(range(10_000))}), row_group_size=1), rows=10_000),
    Case(
        "int96",
        parquet(pa.table({"t": pa.array([0, 1], pa.timestamp("us"))}), use_deprecated_int96_timestamps=True),
        rows=2,
        columns={"t": "datetime"},
    ),
    Case(
        "zoned times",
        parquet(pa.table({"t": pa.array([0, 1], pa.timestamp("ns", "Asia/Shanghai"))})),
        rows=2,
        columns={"t": "Datetime(ns, UTC)"},
    ),
    Case("unknown extension", unknown_extension(), error="extension type"),
    Case(
        "nested",
        parquet(pa.table({"v": [[1, 2], None]})),
        rows=2,
        columns={"v": "text"},
        cells={(0, "v"): "[1,2]", (1, "v"): None},
    ),
    Case(
        "dictionary, small numbers",
        parquet(pa.table({"c": pa.array(["a", "b"]).dictionary_encode(), "n": pa.array([1, 2], pa.int8())})),
        rows=2,
        columns={"c": "text", "n": "Int8"},
    ),
    Case(
        "decimal, time, bytes",
        parquet(
            pa.table(
                {
                    "d": pa.array([1, 2]).cast(pa.decimal128(22, 2)),
                    "t": pa.array([1, 2], pa.time64("us")),
                    "b": [b"x", b"y"],
                }
            )
        ),
        rows=2,
        columns={"d": "Decimal(22, 2)", "t": "Time", "b": "Binary"},
    ),
    Case("no rows", parquet(PLAIN.slice(0, 0)), rows=0, columns={"id": "int64"}),
    Case("gzip", gzip.compress(table().encode()), file="data.csv.gz", columns={"id": "int64"}),
    Case("gzip without its extension", gzip.compress(table().encode()), file="data.csv"),
    Case(
        "gzip in two members",
        gzip.compress(table().encode()) + gzip.compress(b"100,a,1\n"),
        file="data.csv.gz",
        rows=101,
    ),
    Case("cut gzip", gzip.compress(table().encode())[:-20], file="data.csv.gz", failed="cut_archive"),
    Case("damaged gzip", flipped(gzip.compress(table().encode()), 100), file="data.csv.gz", failed="bad_archive"),
    Case("gzip bomb", gzip.compress(b"a,b\n" + b"1,2\n" * 20_000_000, 9), file="data.csv.gz", failed="archive_bomb"),
    Case("zip", b"PK\x03\x04" + bytes(100), file="data.csv", failed="unreadable_file"),
    Case("binary", bytes(range(256)) * 4 + bytes(500), file="data.csv", failed="not_text"),
    Case(
        "plain text",
        b'one\n\n"two, three\r\nfour',
        file="data.txt",
        rows=4,
        cells={(1, "text"): "", (2, "text"): '"two, three'},
    ),
    Case(
        "plain text with damage",
        b"one\n\xff\nth\0ree\nfour\n",
        file="data.txt",
        rows=2,
        bad={1: "bad_encoding", 2: "nul_byte"},
    ),
]
for case in COLUMNAR:
    if case.file == "data.csv" and case.name not in (
        "Parquet named .csv", "JSON lines named .csv", "gzip without its extension", "zip", "binary"
    ):  # fmt: skip
        case.file = "data.parquet"
CASES = [*TEXT, *JSON, *COLUMNAR]


def test_all_the_inputs_are_here() -> None:
    assert (len(TEXT), len(JSON), len(COLUMNAR)) == (52, 37, 28)


@pytest.mark.parametrize("case", CASES, ids=[f"{c.file}: {c.name}" for c in CASES])
def test_bad_input(case: Case, tmp_path: Path) -> None:
    (tmp_path / case.file).write_bytes(case.data)
    files = Files(path=case.file, **case.options)
    if case.error:
        with pytest.raises(ConfigurationError, match=case.error):
            files.observe(tmp_path, case.file)
        return
    state = files.observe(tmp_path, case.file)
    schema = files.column_types([state])
    read = list(files.read(tmp_path, case.file, schema))
    frame = pl.concat([b.rows for b in read])
    bad = [r for b in read for r in b.bad]
    if case.failed:
        nothing = {"path": case.file, "columns": {}, "order": [], "records": 0, "failed": case.failed}
        assert (state == nothing) != case.late
        assert [(r.record, r.reason, r.raw) for r in bad] == [(-1, case.failed, b"")]
        assert bad[0].byte_end == len(case.data)
        assert frame.height == 0
        return
    assert {r.record: r.reason for r in bad} == case.bad
    assert frame.height == case.rows
    numbers = pl.concat([b.records for b in read])
    assert sorted(numbers.to_list() + list(case.bad)) == list(range(state["records"])), "each record counts once"
    assert frame.columns == list(schema) == state["order"]
    assert case.columns.items() <= schema.items()
    for (row, column), value in case.cells.items():
        assert frame[column][row] == value
    content = gzip.decompress(case.data) if case.data[:2] == b"\x1f\x8b" else case.data
    for record in bad:
        check_place(record, content)
    again = list(files.read(tmp_path, case.file, schema))  # without what `observe` kept
    assert pl.concat([b.rows for b in again]).equals(frame)
    assert [r for b in again for r in b.bad] == bad


def check_place(record: BadRecord, content: bytes) -> None:
    assert content[record.byte_start : record.byte_end][: 16 << 20] == record.raw
    assert record.raw.strip()
    before = content[: record.byte_start].rstrip(b" \t")
    assert before[-1:] in (b"", b"\n", b"\r", b",", b"["), "it begins where a record begins"
    assert record.message


def test_a_different_delimiter_by_file_stops(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("a;b\n1;2\n")
    files = Files(path="*.csv")
    states = [files.observe(tmp_path, f.path) for f in files.scan(tmp_path)]
    with pytest.raises(ConfigurationError, match=r"a\.csv has ',', b\.csv has ';'"):
        files.column_types(states)


PROBE = """
import resource, sys
from pathlib import Path
import polars, pyarrow.csv, numpy
from tillage.collect import Files
path = Path(sys.argv[1])
files = Files(path=path.name)
small = path.parent / "small.csv"
small.write_text("id,name,x\\n1,a,2\\n")
list(files.read(path.parent, small.name, files.column_types([files.observe(path.parent, small.name)])))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
state = files.observe(path.parent, path.name)
rows = bad = 0
for batch in files.read(path.parent, path.name, files.column_types([state])):
    rows += batch.rows.height
    bad += len(batch.bad)
print(rows, bad, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(("quote", "blocks"), [("", 256), ('"', 32)])
def test_a_line_of_1_gb_takes_less_than_200_mb(tmp_path: Path, quote: str, blocks: int) -> None:
    path = tmp_path / "long.csv"
    with path.open("wb") as out:
        out.write(table().encode() + f"100,{quote}".encode())
        for _ in range(blocks):
            out.write(b"x" * (4 << 20))
        out.write(f"{quote},1\n101,n,1\n".encode())
    done = subprocess.run([sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True)
    rows, bad, megabytes = map(int, done.stdout.split())
    assert (rows, bad) == (101, 1)
    assert megabytes < 200
    path.unlink()


def test_read_file_is_the_same_in_one_call(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table(r9="9"))
    frame, bad = read_file(tmp_path / "a.csv")
    assert frame.height == 99
    assert [r.raw for r in bad] == [b"9"]
