"""ARC: what a crawler was answered before there was WARC, in both versions; damage costs the damaged record."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collect.test_pages import SAMPLES, answer, read

from tillage.collect import Files

FIRST = b"1 0 Crawler\nURL IP-address Archive-date Content-type Archive-length\n"
SECOND = FIRST.replace(b"1 0", b"2 0").replace(b"type ", b"type Result-code Checksum Location Offset Filename ")


def head(about: bytes = FIRST) -> bytes:
    return b"filedesc://a.arc 0.0.0.0 20140216050221 text/plain %d\n" % len(about) + about + b"\n"


def test_a_length_that_reaches_into_the_next_record(tmp_path: Path) -> None:
    """And ends where a line ends there: the next record is not taken for a part of it."""
    first, second = record(answer(b"one"), "http://a.example/1"), record(answer(b"two\n\nmore"), "http://a.example/2")
    far = len(answer(b"one")) + 1 + second.index(b"\n\nmore")
    damaged = first.replace(b" %d\n" % len(answer(b"one")), b" %d\n" % far)
    (tmp_path / "a.arc").write_bytes(head() + damaged + second)
    frame, bad = read(tmp_path, "a.arc")
    assert frame["text"].to_list() == ["two\n\nmore"]
    assert [one.reason for one in bad] == ["bad_length"]


def record(body: bytes, url: str = "http://a.example/", kind: str = "text/html", more: str = "") -> bytes:
    return f"{url} 93.184.216.119 20140216050221 {kind} {more}{len(body)}\n".encode() + body + b"\n"


def test_a_sample(tmp_path: Path) -> None:
    frame, bad = read(SAMPLES, "example.arc.gz")
    assert bad == []
    row = frame.row(0, named=True)
    assert (row["url"], row["date"], row["status"]) == ("http://example.com/", "2014-02-16T05:02:21Z", 200)
    assert (row["content_type"], row["title"]) == ("text/html", "Example Domain")
    assert row["text"].startswith("This domain is established")
    plain = gzip.decompress((SAMPLES / "example.arc.gz").read_bytes())
    (tmp_path / "a b").write_bytes(plain.replace(b"\nhttp://example.com/ ", b"\nhttp://example.com/a b ", 1))
    assert read(tmp_path, "a b")[0]["url"].to_list() == ["http://example.com/a%20b"], "known by its first bytes"


def test_what_a_row_holds(tmp_path: Path) -> None:
    records = [
        record(answer("\u4e2d\u6587".encode("gb18030"), "text/plain; charset=gbk")),
        record(b"20140216050221\na.example. 1 IN A 127.0.0.1\n", "dns:a.example", "text/dns"),
        record(answer(b"\x89PNG\0\xff\n\n", "image/png", "404 Not Found"), "http://a.example/x y"),
        record(answer(gzip.compress(b'{"a": 1}'), "application/json", extra="Content-Encoding: gzip\r\n")),
        record(b"", "http://a.example/empty"),
    ]
    (tmp_path / "a.arc").write_bytes(head() + b"".join(records))
    frame, bad = read(tmp_path, "a.arc")
    assert bad == []
    assert frame["url"].to_list()[1:3] == ["dns:a.example", "http://a.example/x%20y"]
    assert frame["status"].to_list() == [200, None, 404, 200, None]
    kinds = ["text/plain; charset=gbk", "text/dns", "image/png", "application/json", "text/html"]
    assert frame["content_type"].to_list() == kinds
    assert frame["text"].to_list()[:4] == [
        "\u4e2d\u6587",
        "20140216050221\na.example. 1 IN A 127.0.0.1\n",
        None,
        '{"a": 1}',
    ]


def test_the_second_version(tmp_path: Path) -> None:
    body = answer(b"hello")
    more = "200 checksum - 151 a.arc "
    (tmp_path / "a.arc").write_bytes(head(SECOND) + record(body, kind="text/plain", more=more) * 2)
    frame, bad = read(tmp_path, "a.arc")
    assert bad == []
    assert frame.select("url", "status", "text").rows() == [("http://a.example/", 200, "hello")] * 2


def test_a_damaged_sample() -> None:
    frame, bad = read(SAMPLES, "bad.arc")
    assert frame["url"].to_list() == ["http://example.com/"]
    assert {one.reason for one in bad} == {"bad_warc"}


MIDDLE = record(answer(b"the one in between"), "http://a.example/middle", "text/plain")
SIZE = b" %d\n" % len(answer(b"the one in between"))


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (MIDDLE.replace(SIZE, b" 9\n"), "bad_length"),
        (MIDDLE.replace(SIZE, b" 9999999\n"), "cut_record"),
        (MIDDLE[:90] + MIDDLE[100:], "bad_length"),
        (MIDDLE.replace(b"20140216050221", b"2014"), "bad_warc"),
    ],
    ids=["a length too short", "a length beyond the end", "bytes that are gone", "no time"],
)
def test_damage_costs_the_damaged_record(damaged: bytes, reason: str, tmp_path: Path) -> None:
    good = [record(answer(b"before"), "http://a.example/1"), record(answer(b"after"), "http://a.example/3")]
    (tmp_path / "a.arc").write_bytes(head() + good[0] + damaged + good[1])
    frame, bad = read(tmp_path, "a.arc")
    assert frame["text"].to_list() == ["before", "after"]
    assert [one.reason for one in bad] == [reason]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_one_row_or_a_bad_record(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes taken out anywhere: `read` looks that each record is a row or a bad record, and never both."""
    parts = [head(), *(record(answer(f"text {n}".encode()), f"http://a.example/{n}") for n in range(4))]
    whole = b"".join(parts)
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 60)))
    root = tmp_path_factory.mktemp("arc")
    (root / "a.arc").write_bytes(whole[:start] + whole[end:])
    files = Files(path="a.arc", format="arc")
    assert files.scan(root)
    state = files.observe(root, "a.arc")
    batches = list(files.read(root, "a.arc", files.column_types([state])))
    numbers = [n for b in batches for n in b.records.to_list()] + [r.record for b in batches for r in b.bad]
    assert sorted(numbers) == list(range(state["records"]))
    texts = [text for b in batches for text in b.rows["text"].to_list()]
    for n in range(4):
        first = sum(map(len, parts[: n + 1]))
        if end <= first or start >= first + len(parts[n + 1]):
            assert f"text {n}" in texts, "a record that was not touched"


def test_a_bad_record_may_be_mended(tmp_path: Path) -> None:
    (tmp_path / "a.arc").write_bytes(head() + record(answer(b"hello"))[:-20])
    files = Files(path="a.arc")
    state = files.observe(tmp_path, "a.arc")
    (batch,) = files.read(tmp_path, "a.arc", schema := files.column_types([state]))
    (bad,) = batch.bad
    assert bad.reason == "cut_record"
    mended = files.reparse(record(answer(b"hello")), tuple(schema), schema, format=state["format"])
    assert mended["text"].to_list() == ["hello"]  # type: ignore[index]
