"""The list of bad inputs, through the whole public path: a plan, a run, then rows, quarantine, exit code and message.

Q: the record is set aside with its reason and the others are read; F: the file is; E: the run stops, and says where;
OK: accepted as it should be. Of the eighty inputs those of files are here: 24 of text and CSV, 11 of JSON, 9 of columns
and archives, 9 of labels and values, 9 of images and sound. The 18 of databases, streams and the web are with those
sources.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from tests.collect.pictures import encoded, picture, png_of, sound, with_exif

from tillage.face.main import ended
from tillage.face.rooms import project

ROWS = 100
KEY = "ab" * 32


@dataclass(frozen=True)
class Input:
    """One line of the list.

    `files`: what lies in `data/`; `rows`: rows of table `t` after the run; `bad`: reason to number of records (Q, F);
    `says`: what the error must say (E); `code`: its exit code; `source`: parameters of the source; `table`: of its
    table; `more`: what else stands in the plan; `check`: asked of the rows; `dropped`: reason to rows that leave in
    steps; `notes`: what the run says beside; `warned`: what the warnings of model `m` hold.
    """

    group: str
    name: str
    outcome: str
    files: dict[str, Callable[[], bytes]]
    rows: int = ROWS
    bad: dict[str, int] = field(default_factory=dict)
    says: str = ""
    code: int = 78
    source: dict[str, Any] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    check: Callable[[pl.DataFrame], bool] = lambda rows: True
    dropped: dict[str, int] = field(default_factory=dict)
    notes: frozenset[str] = frozenset()
    warned: tuple[str, ...] = ()


def given(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def line(i: int) -> str:
    return f"{i},n{i},{i}.5"


def table(head: str = "id,name,x", eol: str = "\n", end: str | None = None, **changed: str) -> str:
    """A CSV of 100 rows, some of them changed."""
    return eol.join([head, *(changed.get(f"r{i}", line(i)) for i in range(ROWS))]) + (eol if end is None else end)


def csv(text: str, encoding: str = "utf-8", mark: bytes = b"") -> dict[str, Callable[[], bytes]]:
    return {"a.csv": given(mark + text.encode(encoding, "surrogateescape"))}


def beside(name: str, data: bytes) -> dict[str, Callable[[], bytes]]:
    """A bad file beside a good one."""
    return {"good.csv": given(table().encode()), name: given(data)}


def lines(**changed: str) -> dict[str, Callable[[], bytes]]:
    made = (changed.get(f"r{i}", json.dumps({"id": i, "name": f"n{i}"})) for i in range(ROWS))
    return {"a.jsonl": given("".join(f"{one}\n" for one in made).encode())}


def wide_lines(size: int) -> bytes:
    """A hundred records, one of them with a text of this many bytes."""
    return lines(r5='{"name": "' + "x" * size + '"}')["a.jsonl"]()


def cell(column: str, row: int, value: object) -> Callable[[pl.DataFrame], bool]:
    return lambda rows: bool(rows[column][row] == value)


def dtype(column: str, kind: pl.DataType | type[pl.DataType]) -> Callable[[pl.DataFrame], bool]:
    return lambda rows: bool(rows.schema[column] == kind)


def parquet(made: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(made, out, **options)
    return out.getvalue()


PLAIN = pa.table({"id": list(range(ROWS)), "name": [f"n{i}" for i in range(ROWS)], "x": [i + 0.5 for i in range(ROWS)]})
TEXT = [
    Input("text", "empty", "F", beside("b.csv", b""), bad={"empty_file": 1}),
    Input("text", "header only", "OK", csv("id,name\n"), rows=0),
    Input("text", "BOM", "OK", csv(table(), mark=b"\xef\xbb\xbf"), check=cell("id", 7, 7)),
    Input("text", "UTF-16", "OK", csv(table(r3="3,中,1"), "utf-16-le", b"\xff\xfe"), check=cell("name", 3, "中")),
    Input(
        "text", "UTF-16 without BOM", "F", beside("b.csv", table().encode("utf-16-le")), bad={"utf16_without_mark": 1}
    ),
    Input("text", "GBK", "OK", csv(table(r7="7,名字甲,7.5"), "gbk"), check=cell("name", 7, "名字甲")),
    Input(
        "text",
        "mixed GBK and UTF-8",
        "Q",
        {"a.csv": given(table(r5="5,名字,1").encode() + "100,中文,2\n".encode("gbk"))},
        bad={"bad_encoding": 1},
        check=cell("name", 5, "名字"),
    ),
    Input("text", "1 invalid byte", "Q", csv(table(r5="5,n\udcff5,1")), rows=99, bad={"bad_encoding": 1}),
    Input("text", "NUL", "Q", csv(table(r5="5,n\0,1")), rows=99, bad={"nul_byte": 1}),
    Input("text", "CR only", "OK", csv(table(eol="\r")), check=cell("name", 99, "n99")),
    Input("text", "mixed EOL", "OK", csv(table(r3=line(3) + "\r", r4=line(4) + "\r" + "4,b,1")), rows=101),
    Input("text", "no final EOL", "OK", csv(table(end="")), check=cell("x", 99, 99.5)),
    Input("text", "short row", "Q", csv(table(r9="9,n9")), rows=99, bad={"short_row": 1}),
    Input("text", "long row", "Q", csv(table(r9="9,n9,1,2")), rows=99, bad={"long_row": 1}),
    Input(
        "text",
        "unclosed quote",
        "Q",
        csv(table(r50='50,"n50,1')),
        rows=99,
        bad={"unclosed_quote": 1},
        check=cell("id", 50, 51),
    ),
    Input("text", "embedded newline", "OK", csv(table(r50='50,"a\nb",1')), check=cell("name", 50, "a\nb")),
    Input("text", "10 MB field", "Q", csv(table(r50=f"50,{'x' * 10_000_000},1")), rows=99, bad={"field_too_long": 1}),
    Input("text", "1 GB line", "Q", {}, bad={"field_too_long": 1}),
    Input("text", "duplicate column names", "E", csv("a,b,a\n1,2,3\n"), says="a.csv:1:5  Two columns are called 'a'"),
    Input("text", "blank name", "E", csv("a,,c\n1,2,3\n"), says="a.csv:1:3  Column 2 has no name"),
    Input("text", "10^6 columns", "E", csv(",".join(f"c{i}" for i in range(10**6)) + "\n"), says="too_many_columns"),
    Input(
        "text",
        "delimiter differs by file",
        "E",
        {"a.csv": given(b"a,b\n1,2\n"), "b.csv": given(b"a;b\n1;2\n")},
        says="delimiter differs by file: data/a.csv has ',', data/b.csv has ';'",
    ),
    Input("text", "leading zeros", "OK", csv(table(r0="007,a,1")), check=cell("id", 0, "007")),
    Input(
        "text",
        "thousands and decimal comma",
        "OK",
        csv("a;b\n" + '"1,000";2,5\n' * ROWS),
        check=lambda rows: rows["a"].to_list() == ["1,000"] * ROWS and rows["b"][0] == "2,5",
    ),
]
JSON = [
    Input("json", "bad line", "Q", lines(r5="{oops}"), rows=99, bad={"bad_json": 1}),
    Input("json", "cut last line", "Q", lines(r99='{"id": 99, "na'), rows=99, bad={"bad_json": 1}),
    Input(
        "json",
        "NaN and Infinity",
        "Q",
        lines(r5='{"id": NaN}', r6='{"id": -Infinity}'),
        rows=98,
        bad={"not_a_number": 2},
    ),
    Input("json", "1e400", "Q", lines(r5='{"id": 1e400}'), rows=99, bad={"number_too_large": 1}),
    Input("json", "duplicate keys", "Q", lines(r5='{"id": 1, "id": 2}'), rows=99, bad={"duplicate_key": 1}),
    Input(
        "json", "depth 2,000", "Q", lines(r5='{"id": ' + "[" * 2000 + "]" * 2000 + "}"), rows=99, bad={"too_deep": 1}
    ),
    Input("json", "2^70", "OK", lines(r5=f'{{"id": {2**70}}}'), check=cell("id", 5, str(2**70))),
    Input(
        "json",
        "int then string",
        "OK",
        lines(r99='{"id": "x"}'),
        check=lambda rows: rows["id"].to_list() == [*map(str, range(99)), "x"],
    ),
    Input("json", "lone surrogate", "Q", lines(r5='{"name": "\\ud800"}'), rows=99, bad={"lone_surrogate": 1}),
    Input(
        "json",
        "array file for JSONL",
        "OK",
        {"a.jsonl": given(json.dumps([{"id": i} for i in range(ROWS)]).encode())},
        check=cell("id", 99, 99),
    ),
    Input(
        "json",
        "100 MB line",
        "Q",
        {"a.jsonl": lambda: wide_lines(100_000_000)},
        rows=99,
        bad={"field_too_long": 1},
    ),
]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


def unknown_extension() -> bytes:
    named = pa.field(
        "id", pa.int64(), metadata={"ARROW:extension:name": "some.unknown", "ARROW:extension:metadata": ""}
    )
    return parquet(pa.table([pa.array([1, 2])], schema=pa.schema([named])))


def times(kind: pa.DataType, name: str, **options: Any) -> bytes:
    return parquet(pa.table({"t": pa.array([0, 10**6], kind), "file": [name] * 2}), **options)


def zipped(*named: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in named:
            archive.writestr(name, data)
    return out.getvalue()


BOMB = b"id,name,x\n" + b"1,2,3\n" * 20_000_000
COLUMNAR = [
    Input("columns", "cut Parquet", "F", beside("b.parquet", parquet(PLAIN)[:-50]), bad={"unreadable_file": 1}),
    Input(
        "columns",
        "bit flip",
        "F",
        beside("b.parquet", flipped(parquet(PLAIN, write_page_checksum=True, compression="none"), 124)),
        bad={"unreadable_file": 1},
    ),
    Input("columns", "magic only", "F", beside("b.parquet", b"PAR1"), bad={"unreadable_file": 1}),
    Input("columns", "wrong extension", "OK", {"a.csv": given(parquet(PLAIN))}, check=cell("x", 99, 99.5)),
    Input(
        "columns",
        "10^5 row groups",
        "OK",
        {
            "a.parquet": lambda: parquet(
                pa.table({"id": pa.array(range(100_000))}), row_group_size=1, compression="none"
            )
        },
        rows=100_000,
        check=lambda rows: rows["id"].sum() == 99_999 * 50_000,
    ),
    Input(
        "columns",
        "int96 and times of several zones",
        "OK",
        {
            "a.parquet": lambda: times(pa.timestamp("us"), "int96", use_deprecated_int96_timestamps=True),
            "b.parquet": lambda: times(pa.timestamp("us", "Asia/Shanghai"), "zoned"),
        },
        rows=4,
        check=lambda rows: (
            rows.schema["t"] == pl.Datetime("us", "UTC") and rows["t"].dt.epoch("us").to_list() == [0, 10**6] * 2
        ),
        notes=frozenset(
            {
                "data/a.parquet: Times of 't' have no zone (int96): taken to be UTC.",
                "data/b.parquet: Times of 't' are of Asia/Shanghai: kept in UTC.",
            }
        ),
    ),
    Input("columns", "unknown extension type", "E", {"a.parquet": unknown_extension}, says="has an extension type"),
    Input(
        "columns",
        "zip bomb and slip",
        "F",
        {
            "good.csv": given(table().encode()),
            "bomb.zip": lambda: zipped(("a.csv", BOMB)),
            "slip.zip": lambda: zipped(("../a.csv", table().encode())),
        },
        bad={"archive_bomb": 1, "unsafe_archive": 1},
    ),
    Input(
        "columns",
        "gzip of two members, and cut",
        "F",
        {
            "a.csv.gz": given(gzip.compress(table().encode()) + gzip.compress(b"100,a,1\n")),
            "cut.csv.gz": given(gzip.compress(table().encode())[:-20]),
        },
        rows=101,
        bad={"cut_archive": 1},
    ),
]


def labelled(*labels: str, x: str = "{i}") -> dict[str, Callable[[], bytes]]:
    """Sixty rows with the labels in turn; `x`: what stands in the column of that name."""
    rows = [f"{i},{labels[i % len(labels)]},{x.format(i=i)},word{i % 7},{i * 7 % 13}.{i}" for i in range(60)]
    return {"a.csv": given("\n".join(["id,label,x,text,y", *rows]).encode() + b"\n")}


def learns(learner: str, **more: Any) -> dict[str, Any]:
    return {"models": {"m": {"learn": learner, "from": "t", "target": "label", **more}}}


ONCE = {"a.csv": given(labelled("a", "b")["a.csv"]() + b"60,once,1,word1,1\n")}
LABELS = [
    Input(
        "labels",
        "NaN and infinite label",
        "Q",
        csv(table(r5="5,n,nan", r6="6,n,inf")),
        rows=98,
        bad={"bad_value": 2},
        source={"types": {"x": "float64"}},
    ),
    Input(
        "labels",
        "single class",
        "E",
        labelled("same"),
        rows=60,
        says="single class",
        code=65,
        more=learns("text_classifier", input="text", split={"leak": False}),
    ),
    Input(
        "labels",
        "a class of one row",
        "OK",
        ONCE,
        rows=61,
        more=learns("text_classifier", input="text", split={"leak": False}),
        warned=("'once'",),
    ),
    Input("labels", "column of nulls", "OK", labelled("a", "b", x=""), rows=60),
    Input("labels", "constant column", "OK", labelled("a", "b", x="7"), rows=60),
    Input(
        "labels",
        "nothing left after a filter",
        "E",
        labelled("a", "b"),
        rows=0,
        says="No row is left to train on",
        code=65,
        table={"steps": [{"filter": "x > 1000"}]},
        more=learns("text_classifier", input="text", split={"leak": False}),
    ),
    Input(
        "labels",
        "dates of 1582, of 9999, to come",
        "Q",
        csv("id,day\n1,2024-02-29\n2,1582-10-10\n3,9999-12-31\n4,2024-02-30\n5,2999-01-01\n"),
        rows=1,
        bad={"bad_value": 3},
        source={"types": {"day": "date"}},
        table={"max_quarantine": 1, "steps": [{"filter": {"where": "day < date('2100-01-01')", "reason": "to_come"}}]},
        dropped={"to_come": 1},
    ),
    Input(
        "labels",
        "hours that clocks leave out or have twice",
        "Q",
        csv("id,t\n1,2024-07-01 12:00\n2,2024-03-31 02:30\n3,2024-10-27 02:30\n"),
        rows=1,
        table={
            "steps": [
                {"parse_dates": {"columns": ["t"], "to": "datetime", "time_zone": "Europe/Berlin", "ambiguous": "fail"}}
            ]
        },
        dropped={"not_a_date": 2},
    ),
    Input(
        "labels",
        "duplicate ids",
        "OK",
        csv(table(r5="4,again,1")),
        rows=99,
        table={"key": "id"},
        dropped={"superseded": 1},
        check=lambda rows: rows.filter(pl.col("id") == 4)["name"].to_list() == ["again"],
    ),
]


def shape(*wanted: tuple[str, int, int]) -> Callable[[pl.DataFrame], bool]:
    return lambda rows: rows.sort("path").select("path", "width", "height").rows() == list(wanted)


def colour(*wanted: int) -> Callable[[pl.DataFrame], bool]:
    return lambda rows: all(
        p[:3] == bytes(wanted) and len(p) == w * h * 3 for p, w, h in rows.select("pixels", "width", "height").rows()
    )


def grown() -> bytes:
    """A picture that moves: red first, then blue."""
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    return encoded(red, "GIF", save_all=True, append_images=[blue])


RED = Image.new("RGB", (8, 8), "red")
GREY = np.full((8, 8), 40_000, np.uint16)
HEADER = sound()
MEDIA = [
    Input("media", "cut JPEG", "Q", {"a.jpg": lambda: picture("JPEG")[:-200]}, rows=0, bad={"bad_picture": 1}),
    Input("media", "50k x 50k PNG", "Q", {"a.png": lambda: png_of(50_000, 50_000)}, rows=0, bad={"image_too_large": 1}),
    Input(
        "media",
        "EXIF rotation",
        "OK",
        {"a.jpg": lambda: with_exif(1), "b.jpg": lambda: with_exif(6)},
        rows=2,
        check=shape(("data/a.jpg", 40, 24), ("data/b.jpg", 24, 40)),
    ),
    Input(
        "media",
        "GPS in EXIF",
        "OK",
        {"a.jpg": lambda: with_exif(1)},
        rows=1,
        check=lambda rows: (
            rows.columns == ["_id", "path", "width", "height", "pixels"] and len(rows["pixels"][0]) == 40 * 24 * 3
        ),
    ),
    Input(
        "media",
        "CMYK, 16 bits, palette",
        "OK",
        {
            "c.tif": lambda: encoded(Image.new("CMYK", (8, 8), (0, 99, 255, 99)), "TIFF"),
            "d.png": lambda: encoded(Image.fromarray(GREY), "PNG"),
            "p.png": lambda: encoded(RED.quantize(4), "PNG"),
        },
        rows=3,
        check=lambda rows: (
            [p[:3] for p in rows.sort("path")["pixels"]]
            == [bytes((156, 95, 0)), bytes([(40_000 * 255 + 32_767) // 65_535] * 3), bytes((255, 0, 0))]
        ),
    ),
    Input("media", "animated GIF", "OK", {"a.gif": grown}, rows=1, check=colour(255, 0, 0)),
    Input("media", "SVG", "Q", {"a.svg": given(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, rows=0, bad={"svg": 1}),
    Input(
        "media",
        "WAV of 7,999 Hz, of 24 bits, without samples, with a lying header",
        "Q",
        {
            "a.wav": lambda: sound(rate=7_999),
            "b.wav": lambda: sound(rate=16_000, kind="PCM_24"),
            "c.wav": lambda: sound(np.zeros(0)),
            "d.wav": lambda: HEADER[:40] + (10**6).to_bytes(4, "little") + HEADER[44:],
        },
        rows=2,
        bad={"no_samples": 1, "lying_header": 1},
        source={"sample_rate": 16_000},
        check=lambda rows: (
            rows.sort("path")["samples"].to_list() == [1_601, 800] and set(rows["sample_rate"]) == {16_000}
        ),
    ),
    Input(
        "media",
        "MP3 named .wav",
        "Q",
        {"a.wav": given(b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 200)},
        rows=0,
        bad={"not_a_sound": 1},
    ),
]
INPUTS = [*TEXT, *JSON, *COLUMNAR, *LABELS, *MEDIA]
LARGE = "1 GB line"


def long_line(path: Path) -> None:
    """100 rows and then one of 1 GB."""
    with path.open("wb") as out:
        out.write(table().encode() + b"100,")
        for _ in range(256):
            out.write(b"x" * (4 << 20))
        out.write(b",1\n")


def lay(one: Input, root: Path) -> None:
    """The files and the plan."""
    (root / "data").mkdir()
    for name, made in one.files.items():
        (root / "data" / name).write_bytes(made())
    if one.name == LARGE:
        long_line(root / "data" / "a.csv")
    source = {"path": "data/*", **one.source}
    plan = {"project": "eighty", "tables": {"t": {"collect": {"files": source}, **one.table}}, **one.more}
    (root / "tillage.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")


def test_all_inputs_of_files_are_here() -> None:
    count = {group: sum(one.group == group for one in INPUTS) for group in dict.fromkeys(one.group for one in INPUTS)}
    assert count == {"text": 24, "json": 11, "columns": 9, "labels": 9, "media": 9}
    assert len(INPUTS) == 62
    assert len({(one.group, one.name) for one in INPUTS}) == len(INPUTS)
    assert {one.outcome for one in INPUTS} == {"Q", "F", "E", "OK"}
    for one in INPUTS:
        assert (one.outcome == "E") == bool(one.says)
        assert (one.outcome in "QF") == bool(one.bad or one.dropped) or one.outcome == "OK"


@pytest.mark.parametrize("one", INPUTS, ids=[f"{one.group}: {one.name}" for one in INPUTS])
def test_input(one: Input, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    lay(one, tmp_path)
    code = ended(["run", "--json"])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    told = json.loads(out)
    if one.outcome == "E":
        assert code == one.code, told
        assert one.says in told["error"]["message"]
        if not one.more:
            return
    else:
        assert code == 0, told
        assert one.notes <= set(told.get("notes", []))
        assert all(any(word in said for said in told["models"]["m"]["warnings"]) for word in one.warned)
        assert told["tables"]["t"]["quarantined"] == one.bad
        assert {k: v for k, v in told["tables"]["t"]["dropped"].items() if v} == one.dropped
        assert told["tables"]["t"]["in"] == one.rows + sum(one.bad.values()) + sum(one.dropped.values())
    with project(tmp_path) as opened:
        rows = opened.read("t")
        assert rows.height == one.rows
        assert one.check(rows)


@pytest.mark.parametrize(
    ("files", "column", "why"),
    [(labelled("a", "b", x=""), "x", "has no value"), (labelled("a", "b", x="7"), "x", "has the single value '7'")],
    ids=["nulls", "constant"],
)
def test_idle_columns_are_told(
    files: dict[str, Callable[[], bytes]],
    column: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A first look leaves out a column that says nothing, and tells why."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_bytes(files["a.csv"]())
    assert ended(["try", "a.csv", "--target", "label", "--json"]) == 0
    assert why in json.loads(capsys.readouterr().out)["dropped"][column]


SPENT = """
import resource, sys
from tillage.face.main import ended
code = ended(["run"])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_line_of_1_gb_takes_at_most_200_mb(tmp_path: Path) -> None:
    """More than a run over the same rows without it."""
    peaks = []
    for large in (False, True):
        root = tmp_path / str(large)
        root.mkdir()
        lay(next(one for one in INPUTS if one.name == (LARGE if large else "no final EOL")), root)
        around = {**os.environ, "TILLAGE_KEY": KEY, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        done = subprocess.run(
            [sys.executable, "-c", SPENT], cwd=root, env=around, capture_output=True, text=True, check=True
        )
        code, peak = map(int, done.stdout.split()[-2:])
        assert code == 0
        peaks.append(peak)
        for path in (root / "data").iterdir():
            path.unlink()
    assert peaks[1] - peaks[0] <= 200
