"""A valid file, damaged: never another error than ours, every record counts once, what was not touched is unchanged."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.collect import Files, content, records
from tillage.core import BadRecord, ConfigurationError, TillageError

NAMES = ["id", "text", "x"]
WORD = st.text("abcxyz é中文'.5-", min_size=1, max_size=8).map(lambda t: "w" + t + "w")
TEXTS = st.one_of(
    WORD,
    st.just(""),
    st.tuples(WORD, st.sampled_from([",", '"', "\n", "\r\n", ",,", '","', ";"]), WORD).map("".join),
)
ROW = st.tuples(st.integers(-5, 10**12), TEXTS, st.floats(-1e6, 1e6).map(repr))
BYTES = st.one_of(st.sampled_from(b'",\n\r\0;\xff\xe9\\{}[]:'), st.integers(0, 255))


@dataclass(frozen=True)
class Damage:
    """`where`: a share of the file; `how`: flip, insert or remove; `byte`: the new one."""

    where: float
    how: str
    byte: int


DAMAGE = st.builds(Damage, st.floats(0, 1), st.sampled_from(["flip", "insert", "remove"]), BYTES)


def spoil(data: bytes, start: int, damages: list[Damage]) -> tuple[bytes, list[int]]:
    """The damaged bytes, and where (in the undamaged ones) they were; nothing before `start` is touched."""
    places = sorted({min(len(data) - 1, start + int(d.where * (len(data) - start))): d for d in damages}.items())
    for at, d in reversed(places):
        new = b"" if d.how == "remove" else bytes([d.byte])
        data = data[:at] + new + data[at + (d.how != "insert") :]
    return data, [at for at, _ in places]


def read(
    data: bytes, name: str, schema: dict[str, str], block: int, **options: Any
) -> tuple[pl.DataFrame, list[int], list[BadRecord], int]:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(content, "BLOCK", block):
        root = Path(folder)
        (root / name).write_bytes(data)
        files = Files(path=name, **options)
        state = files.observe(root, name)
        if not schema:
            schema = files.column_types([state])
        read = list(files.read(root, name, schema))
    numbers = [n for b in read for n in b.records.to_list()]
    return pl.concat([b.rows for b in read]), numbers, [r for b in read for r in b.bad], state["records"]


def csv_file(rows: list[tuple[int, str, str]], eol: str) -> tuple[bytes, list[tuple[int, int]]]:
    """The file as Python's csv module writes it, and the span of each row, its end of line included."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=eol)
    writer.writerow(NAMES)
    spans = []
    for row in rows:
        start = len(out.getvalue().encode())
        writer.writerow(row)
        spans.append((start, len(out.getvalue().encode())))
    return out.getvalue().encode(), spans


def untouched(spans: list[tuple[int, int]], places: list[int], eol: int) -> list[int]:
    """Rows with no damage in or next to them: a damaged end of line is one to the row that follows, too."""
    return [
        i
        for i, (lo, hi) in enumerate(spans)
        if not any(lo - eol <= at < hi for at in places) and not any(at == hi for at in places)
    ]


def conserved(numbers: list[int], bad: list[BadRecord], total: int, data: bytes) -> None:
    if [r.record for r in bad] == [-1]:
        assert (numbers, total) == ([], 0)
        return
    assert sorted(numbers + [r.record for r in bad]) == list(range(total))
    for r in bad:
        assert data[r.byte_start : r.byte_end] == r.raw
    spans = sorted((r.byte_start, r.byte_end) for r in bad)
    assert all(a[1] <= b[0] for a, b in pairwise(spans)), "no byte is in two bad records"


@settings(max_examples=100)
@given(st.lists(ROW, min_size=1, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([64, 4 << 20]))
def test_a_clean_csv_is_what_the_csv_module_reads(rows: list[tuple[int, str, str]], eol: str, block: int) -> None:
    if eol == "\r":  # the csv module quotes no LF then, though it ends a record when it reads
        rows = [(i, text.replace("\n", " "), x) for i, text, x in rows]
    data, _ = csv_file(rows, eol)
    frame, numbers, bad, _ = read(data, "a.csv", {}, block, encoding="utf-8")
    expected = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert (len(bad), numbers) == (0, list(range(len(expected))))
    for column in NAMES:
        for was, is_ in zip((e[column] for e in expected), frame[column].to_list(), strict=True):
            assert is_ is None if was == "" else is_ == (float(was) if isinstance(is_, float) else type(is_)(was))


@settings(max_examples=200)
@given(st.lists(ROW, min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]), DAMAGE, st.sampled_from([64, 4 << 20]))
def test_damage_to_a_csv_stays_where_it_is(
    rows: list[tuple[int, str, str]], eol: str, damage: Damage, block: int
) -> None:
    clean, spans = csv_file(rows, eol)
    data, places = spoil(clean, spans[0][0], [damage])
    frame, numbers, bad, total = read(data, "a.csv", dict.fromkeys(NAMES, "text"), block)
    conserved(numbers, bad, total, data)
    got = frame.rows()
    for i in untouched(spans, places, len(eol)):
        number, text, x = rows[i]
        assert (str(number), text or None, x) in got, f"row {i} of {data!r}: {[r.reason for r in bad]}"


@settings(max_examples=200)
@given(st.lists(ROW, max_size=12), st.lists(DAMAGE, min_size=2, max_size=8), st.sampled_from([64, 257, 4 << 20]))
def test_much_damage_to_a_csv_loses_no_record(
    rows: list[tuple[int, str, str]], damages: list[Damage], block: int
) -> None:
    clean, _ = csv_file(rows, "\n")
    data, _ = spoil(clean, 0, damages)
    try:
        frame, numbers, bad, total = read(data, "a.csv", {}, block)
    except TillageError:
        return
    conserved(numbers, bad, total, data)
    assert frame.height == len(numbers)


@settings(max_examples=100)
@given(st.lists(ROW, min_size=1, max_size=12), st.lists(DAMAGE, max_size=4), st.sampled_from([64, 101, 1000]))
def test_blocks_do_not_show(rows: list[tuple[int, str, str]], damages: list[Damage], block: int) -> None:
    clean, spans = csv_file(rows, "\n")
    data, _ = spoil(clean, spans[0][0], damages)
    small = read(data, "a.csv", dict.fromkeys(NAMES, "text"), block)
    whole = read(data, "a.csv", dict.fromkeys(NAMES, "text"), 4 << 20)
    assert small[0].equals(whole[0])
    assert small[1:] == whole[1:]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=6), st.floats(-1e300, 1e300)
)
OBJECTS = st.fixed_dictionaries({"a": VALUES, "b": st.one_of(VALUES, st.lists(VALUES, max_size=2))})


def as_read(value: Any, kind: str) -> Any:
    """What a JSON value must be in a column of this type, by the json module alone."""
    if value is None or kind in ("bool", "int64"):
        return value
    if kind == "float64":
        return float(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@settings(max_examples=200)
@given(st.lists(OBJECTS, min_size=1, max_size=8), st.booleans(), st.booleans(), st.sampled_from([64, 4 << 20]))
def test_clean_json_is_what_the_json_module_reads(
    rows: list[dict[str, Any]], array: bool, ascii_: bool, block: int
) -> None:
    texts = [json.dumps(row, ensure_ascii=ascii_) for row in rows]
    data = ("[" + ",\n".join(texts) + "]" if array else "\n".join(texts)).encode()
    frame, _, bad, _ = read(data, "a.json", {}, block)
    assert bad == []
    for name in ("a", "b"):
        kind = {pl.Int64: "int64", pl.Float64: "float64", pl.Boolean: "bool"}.get(type(frame[name].dtype), "text")
        assert frame[name].to_list() == [as_read(row[name], kind) for row in rows]


def strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless a key comes twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key twice")
    return made


def finite(text: str) -> float:
    number = float(text)
    if number - number:
        raise ValueError("beyond all numbers")
    return number


def keys(data: bytes) -> set[str]:
    """The names in each line that is an object: by the json module, told to be strict."""
    found: set[str] = set()
    for one in data.replace(b"\r", b"\n").split(b"\n"):
        try:
            value = json.loads(one.decode(), object_pairs_hook=strict, parse_float=finite, parse_constant=finite)
            json.dumps(value, ensure_ascii=False).encode()
        except ValueError:
            continue
        found |= set(value) if isinstance(value, dict) else set()
    return found


@settings(max_examples=200)
@given(
    st.lists(OBJECTS, min_size=1, max_size=8), st.lists(DAMAGE, min_size=1, max_size=4), st.sampled_from([64, 4 << 20])
)
def test_damage_to_json_lines_stays_where_it_is(rows: list[dict[str, Any]], damages: list[Damage], block: int) -> None:
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    ends = [sum(map(len, lines[: i + 1])) for i in range(len(lines))]
    spans = list(zip([0, *ends], ends, strict=False))
    data, places = spoil(b"".join(lines), 0, damages)
    schema = {"a": "text", "b": "text"}
    if any(name in ("", " ") or name.startswith("_") for name in keys(data)):
        with pytest.raises(ConfigurationError, match=r"reserved|no name"):
            read(data, "a.jsonl", schema, block, format="jsonl", encoding="utf-8")
        return
    frame, numbers, bad, total = read(data, "a.jsonl", schema, block, format="jsonl", encoding="utf-8")
    conserved(numbers, bad, total, data)
    if data:
        got = frame.rows()
        for i in untouched(spans, places, 1):
            assert (as_read(rows[i]["a"], "text"), as_read(rows[i]["b"], "text")) in got


@settings(max_examples=100)
@given(st.lists(OBJECTS, max_size=6), st.lists(DAMAGE, min_size=1, max_size=3), st.sampled_from([64, 4 << 20]))
def test_damage_to_a_json_array_loses_no_record(rows: list[dict[str, Any]], damages: list[Damage], block: int) -> None:
    data, _ = spoil(json.dumps(rows).encode(), 0, damages)
    try:
        _, numbers, bad, total = read(data, "a.json", {}, block)
    except TillageError:
        return
    conserved(numbers, bad, total, data)


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "gb18030"])
def test_a_record_beyond_all_bounds_is_stepped_over(eol: str, name: str, encoding: str) -> None:
    good = ['{"a":1}', '{"a":2}'] if name == "a.jsonl" else ["1", "2"]
    lines = [*(["a"] if name == "a.csv" else []), good[0], "中" * 3000, good[1]]
    data = eol.join(lines).encode(encoding)
    with mock.patch.object(records, "LONGEST", 1000):
        frame, numbers, bad, total = read(data, name, {}, 128, encoding=encoding, max_field=500)
    assert frame.rows()[-2:] == ([("1",), ("2",)] if name == "a.txt" else [(1,), (2,)])
    assert (numbers, total) == ([0, 2], 3)
    assert [(r.record, r.reason) for r in bad] == [(1, "field_too_long")]
    assert data[bad[0].byte_start : bad[0].byte_end].decode(encoding) == lines[-2]
    assert lines[-2].startswith(bad[0].raw.decode(encoding, "ignore"))
    assert len(bad[0].raw) <= 1000
