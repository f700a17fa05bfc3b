"""Records read together against the careful parser, record by record: the same rows, types and bad records."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.text.json_cases import ODD_LINES

from tillage.collect import json_columns, jsonl, plain_json
from tillage.collect.content import Content
from tillage.collect.encoding import detect
from tillage.collect.jsonl import JsonReader
from tillage.collect.piece import Limits
from tillage.text import native

LIMITS = Limits(max_field=60, max_columns=20)


def read(place: Path, data: bytes) -> list[Any]:
    place.write_bytes(data)
    content = Content.open(place)
    reader = JsonReader(content, "x.jsonl", detect(content), LIMITS, False)
    return [
        (p.frame.schema, p.frame.rows(), p.raw, p.numbers.tolist(), [b.model_dump() for b in p.bad])
        for p in reader.pieces()
    ]


values = st.one_of(
    st.text(st.sampled_from([*'aé发"\\\n\t\r/\x00\x7f🙂']), max_size=8),
    st.integers(-(1 << 64), 1 << 64),
    st.sampled_from([True, False, None, 0, 1.5, "x" * 70, [1], {"y": 1}]),
)
texts = st.text(st.sampled_from([*'ab"\\\n 发']), max_size=8)
plain = st.fixed_dictionaries({"id": st.integers(-(1 << 63), (1 << 63) - 1), "text": texts, "good": st.booleans()})
anything = st.dictionaries(st.sampled_from(["id", "text", "good", 'n"o']), values, max_size=4)
odd = st.sampled_from(
    [
        '{"id":1,"id":2,"text":"a","good":true}', '{"id":01,"text":"a","good":true}', "{}", "[1]", "not json", "",
        '{"id":1e2,"text":"a","good":true}', '{"id":-0,"text":"a","good":true}', '{"id":1,"text":"\\ud800"}',
        '{"id":1,"text":"\\u0041\\/","good":true}', '{"id":NaN,"text":"a","good":true}', ' {"id":1,"text":"a"} ',
        ' {"id":1,"text":"a","good":true} ', '{"id":1,"text":"\\ud800","good":true}',
        '{"id":1,"text":null,"good":true}', '{"id":null,"text":"a","good":null}', '{"text":"a","id":1,"good":true}',
        '{"id":18446744073709551616,"text":"a","good":true}', '{"id":1,"text":"a","good":true}{}',
        '{"id":1,"text":"a","good":true,"more":1}', '{"id":1,"good":true}', '{"id":"1","text":"a","good":true}',
    ]
)  # fmt: skip
lines = st.one_of(
    plain.map(lambda r: json.dumps(r, ensure_ascii=False, separators=(",", ":"))),
    plain.map(lambda r: json.dumps(r, ensure_ascii=False)),
    plain.map(json.dumps),
    anything.map(json.dumps),
    odd,
)
few_odd = st.tuples(st.lists(plain, min_size=9, max_size=12), odd | anything.map(json.dumps), st.booleans()).map(
    lambda t: [
        json.dumps(t[0][0], ensure_ascii=False, separators=(",", ":") if t[2] else (", ", ": ")),
        t[1],
        *(json.dumps(r, ensure_ascii=False, separators=(",", ":") if t[2] else (", ", ": ")) for r in t[0][1:]),
    ]
)


@settings(max_examples=400, deadline=None)
@given(records=st.lists(lines, min_size=1, max_size=6) | few_odd, end=st.sampled_from(["\n", "", "\r\n"]))
@example(records=['{"id":1}'] * 3, end="\r\n")
@example(records=['{"id":1}', '{"id":9223372036854775808}', *['{"id":1}'] * 9], end="\n")
def test_as_the_careful_parser_reads(tmp_path_factory: pytest.TempPathFactory, records: list[str], end: str) -> None:
    place = tmp_path_factory.getbasetemp() / "x.jsonl"
    data = ((end or "\n").join(records) + end).encode()
    if not data.strip():
        return
    fast = read(place, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_columns, "compiled", None)
        together = read(place, data)
        patch.setattr(jsonl, "plain_rows", lambda *_: None)
        slow = read(place, data)
    assert fast == together == slow


def carefully(place: Path, data: bytes) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_columns, "compiled", None)
        patch.setattr(jsonl, "plain_rows", lambda *_: None)
        return read(place, data)


@pytest.mark.parametrize("odd", ODD_LINES)
def test_an_odd_line_among_plain_ones(tmp_path: Path, odd: str) -> None:
    for plain in ('{"a":1}', '{"a":"x"}', '{"a":1.50}', '{"a":true}', '{"a":null}', '{"b":1,"a":2}'):
        data = "\n".join([plain, plain, odd, plain]).encode()
        assert read(tmp_path / "x.jsonl", data) == carefully(tmp_path / "x.jsonl", data)


@pytest.mark.parametrize("sign", ["\x01", "\x0b", "\x1f", "\x7f", '"', "\\", "\\n", "\\u53d1", "\\udc00", "发"])
def test_every_sign_at_every_place_of_a_text(tmp_path: Path, sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMITS", Limits(max_field=1000, max_columns=20))
    odd = [f'{{"a":"{"x" * at}{sign}{"y" * (70 - at)}"}}' for at in range(71)]
    data = "\n".join([*odd, *(f'{{"a":"{"x" * size}"}}' for size in range(80))]).encode()
    assert read(tmp_path / "x.jsonl", data) == carefully(tmp_path / "x.jsonl", data)


def test_keys_that_come_late_and_in_any_order(tmp_path: Path) -> None:
    rows = [{f"k{n % 7}": n, f"k{(n * 3) % 11}": "x", **({"late": None} if n > 30 else {})} for n in range(60)]
    data = "\n".join(json.dumps(row) for row in rows).encode()
    assert read(tmp_path / "x.jsonl", data) == carefully(tmp_path / "x.jsonl", data)


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("compiled", [native.compiled, None])
def test_plain_records_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spacing: tuple[str, str], compiled: ModuleType | None
) -> None:
    monkeypatch.setattr(json_columns, "compiled", compiled)
    asked: list[bytes] = []
    careful = jsonl.parse_object

    def counted(record: bytes, max_field: int) -> dict[str, Any]:
        asked.append(record)
        return careful(record, max_field)

    monkeypatch.setattr(jsonl, "parse_object", counted)
    rows = [{"id": n, "text": f'say "{n}"\n发', "good": n % 2 == 0} for n in range(100)]
    data = "".join(json.dumps(r, ensure_ascii=False, separators=spacing) + "\n" for r in rows)
    ((schema, found, *_),) = read(tmp_path / "x.jsonl", data.encode())
    assert found == [tuple(r.values()) for r in rows]
    assert list(schema.values()) == [pl.Int64, pl.String, pl.Boolean]
    assert len(asked) == 1


def test_what_is_read_again_is_not_proven_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    careful = plain_json._others

    def counted(*given: Any) -> list[int]:
        found = careful(*given)
        looked.append(len(found))
        return found

    monkeypatch.setattr(json_columns, "compiled", None)
    monkeypatch.setattr(plain_json, "_others", counted)
    rows = [json.dumps({"id": n, "text": f'say "{n}"\n发'}, ensure_ascii=False) for n in range(40)]
    rows[7] = '{"id": 7, "text": "\\u0041"}'
    place = tmp_path / "x.jsonl"
    place.write_text("\n".join(rows), encoding="utf-8")
    content = Content.open(place)
    first, second = ([p.frame.rows() for p in _reader(content).pieces()] for _ in range(2))
    assert first == second == [[(n, "A" if n == 7 else f'say "{n}"\n发') for n in range(40)]]
    assert looked == [1]


def test_a_block_that_changed_under_the_same_stamp_is_proven_anew() -> None:
    rows = [json.dumps({"id": n, "text": "abcdefghi"}) for n in range(40)]
    whole = Content.of("\n".join(rows).encode())
    rows[9] = '{"id": 9, "id": 9, "text": ""}'
    assert len(rows[9]) == len(rows[8])
    changed = Content.of("\n".join(rows).encode())
    before, now = (list(_reader(replace(content, identity=("x", 1))).pieces()) for content in (whole, changed))
    assert [len(p.bad) for p in before] == [0]
    assert [b.reason for p in now for b in p.bad] == ["duplicate_key"]


@pytest.mark.parametrize("places", [[], [0], [5, 6, 199], list(range(0, 200, 2))])
def test_bytes_are_taken_out_few_or_many(places: list[int]) -> None:
    signs = np.arange(200, dtype=np.uint8)
    wanted = bytes(n for n in range(200) if n not in places)
    assert plain_json._without(signs, np.array(places, dtype=np.intp)) == wanted


def _reader(content: Content) -> JsonReader:
    return JsonReader(content, "x.jsonl", detect(content), LIMITS, False)
