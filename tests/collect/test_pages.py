"""HTML files and WARC: what a page says, what a crawler was answered, and that damage costs the damaged record."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from base64 import b32encode
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.collect import Files, html, warc
from tillage.core import BadRecord, Unavailable

SAMPLES = Path(__file__).parent / "warc"
PROSE = "Green tea is not fermented, so that the leaves keep their colour and much of their taste. " * 3
PAGE = f"""<!doctype html><html lang="en"><head><title>Tea</title></head><body><nav>Home | About | Shop</nav>
<article><h1>Tea</h1><p>{PROSE}</p></article><footer>All rights reserved</footer></body></html>"""


def read(root: Path, pattern: str) -> tuple[pl.DataFrame, list[BadRecord]]:
    files = Files(path=pattern)
    found = [f.path for f in files.scan(root)]
    states = [files.observe(root, path) for path in found]
    batches = [b for path in found for b in files.read(root, path, files.column_types(states))]
    for state, path in zip(states, found, strict=True):
        mine = list(files.read(root, path, files.column_types(states)))
        numbers = [n for b in mine for n in b.records.to_list()] + [r.record for b in mine for r in b.bad]
        assert sorted(numbers) == ([-1] if "failed" in state else list(range(state["records"])))
    return pl.concat([b.rows for b in batches]), [r for b in batches for r in b.bad]


@pytest.mark.parametrize("name", ["a.html", "a.htm", "page"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_a_page_is_a_row(tmp_path: Path, name: str, encoding: str) -> None:
    page = PAGE.replace("Tea", "\u7eff\u8336 tea").replace("<head>", f'<head><meta charset="{encoding}">')
    (tmp_path / name).write_bytes(page.encode(encoding))
    if encoding == "utf-16" and name == "page":
        pytest.skip("a page in UTF-16 shows itself by its name alone")
    frame, bad = read(tmp_path, name)
    assert bad == []
    assert frame.select("path", "title", "language").rows() == [(name, "\u7eff\u8336 tea", "en")]
    assert "Green tea is not fermented" in frame["text"][0]
    assert "Shop" not in frame["text"][0]


def test_a_page_under_the_name_of_a_table_is_refused(tmp_path: Path) -> None:
    """What a failed download leaves: an error page called data.csv."""
    (tmp_path / "data.csv").write_text(PAGE)
    _, bad = read(tmp_path, "data.csv")
    assert [(r.record, r.reason) for r in bad] == [(-1, "unreadable_file")]
    assert "web page" in bad[0].message


def test_a_page_too_large_or_too_deep_is_one_bad_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "LARGEST", 100_000)
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "large.html").write_text(PAGE + " " * 100_000)
    frame, bad = read(tmp_path, "*.html")
    assert frame["path"].to_list() == ["a.html"]
    assert [(r.record, r.byte_start, r.stage, r.reason) for r in bad] == [(0, 0, "decode", "field_too_long")]


@pytest.mark.parametrize(
    ("name", "urls", "statuses", "bad"),
    [
        ("example.warc.gz", ["http://example.com/"], [200], []),
        ("example-resource.warc.gz", ["http://example.com/"], [None], []),
        ("example-bad-non-chunked.warc.gz", ["http://example.com/"], [200], []),
        ("example-iana.org-chunked.warc", ["http://www.iana.org/"], [200], []),
        ("post-test.warc.gz", ["http://httpbin.org/post"] * 2 + ["http://httpbin.org/post?foo=bar"], [200] * 3, []),
        ("whirlwind.warc.gz", ["https://an.wikipedia.org/wiki/Escopete"], [200], []),
        ("whirlwind.warc.wet.gz", ["https://an.wikipedia.org/wiki/Escopete"], [None], []),
        ("example-trunc.warc", [], [], ["bad_length"]),
        ("example-wrong-chunks.warc.gz", [], [], ["bad_digest"]),
    ],
)
def test_samples(name: str, urls: list[str], statuses: list[int | None], bad: list[str]) -> None:
    frame, refused = read(SAMPLES, name)
    assert (frame["url"].to_list(), frame["status"].to_list()) == (urls, statuses)
    assert [r.reason for r in refused] == bad
    assert frame["text"].null_count() == 0
    data = (SAMPLES / name).read_bytes()
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    for record in refused:
        assert plain[record.byte_start : record.byte_end].startswith(record.raw[:-20])


def record(body: bytes, kind: str = "response", url: str = "http://a.example/", **more: str) -> bytes:
    """One record, its block digest with it."""
    digest = b32encode(hashlib.sha1(body).digest()).decode()
    named = {"WARC-Type": kind, "WARC-Target-URI": url, "WARC-Date": "2024-05-18T01:58:10Z"}
    named |= {"WARC-Record-ID": "<urn:uuid:e9a0cecc-0221-11e7-adb1-0242ac120008>"}
    named |= {"Content-Type": "application/http; msgtype=response", "WARC-Block-Digest": f"sha1:{digest}"}
    named |= {"Content-Length": str(len(body)), **more}
    head = "".join(f"{k}: {v}\r\n" for k, v in named.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + body + b"\r\n\r\n"


def answer(body: bytes, kind: str = "text/plain; charset=utf-8", status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{extra}\r\n".encode() + body


def test_what_a_row_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [
        record(b"software: x\r\n", "warcinfo"),
        record(
            answer(
                "\u4e2d\u6587".encode("gb18030"), "text/plain; charset=gbk", extra="Set-Cookie: a\r\nSet-Cookie: b\r\n"
            )
        ),
        record(b"GET / HTTP/1.1\r\n\r\n", "request"),
        record(answer(b"\x89PNG\0\xff", "image/png", "404 Not Found"), url="http://a.example/x y"),
        record(answer(gzip.compress(b'{"a": 1}'), "application/json", extra="Content-Encoding: gzip\r\n")),
        record(answer(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", extra="Transfer-Encoding: chunked\r\n")),
        record(answer(PAGE.encode(), "text/html")),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    frame, bad = read(tmp_path, "a.warc")
    assert bad == []
    assert frame["url"][1] == "http://a.example/x%20y"
    assert caplog.messages == []
    assert frame["text"].to_list()[:4] == ["\u4e2d\u6587", None, '{"a": 1}', "hello world"]
    assert frame["text"][4].startswith("Green tea") or "Green tea" in frame["text"][4]
    assert frame["title"].to_list() == [None] * 4 + ["Tea"]
    assert frame["status"].to_list() == [200, 404, 200, 200, 200]
    assert frame["content_type"].to_list()[1] == "image/png"
    assert json.loads(frame["headers"][0])[1:] == [["Set-Cookie", "a"], ["Set-Cookie", "b"]]
    assert frame["date"].unique().to_list() == ["2024-05-18T01:58:10Z"]


def test_a_body_that_grows_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "LONGEST", 100_000)
    bomb = record(answer(gzip.compress(bytes(1_000_000)), extra="Content-Encoding: gzip\r\n"))
    (tmp_path / "a.warc").write_bytes(bomb + record(answer(b"x" * 200_000)) + record(answer(b"good")))
    frame, bad = read(tmp_path, "a.warc")
    assert frame["text"].to_list() == ["good"]
    assert [r.reason for r in bad] == ["field_too_long"] * 2


def test_damage_costs_the_damaged_record(tmp_path: Path) -> None:
    good = [record(answer(b"good %d" % i)) for i in range(9)]
    good[2] = good[2].replace(b"Content-Length", b"Content-Lenght")
    good[4] = good[4].replace(b"good 4", b"evil 4")
    good[6] = b"rubbish\r\nmore of it\r\n" + good[6]
    good[7] = good[7].replace(b"Content-Length: ", b"Content-Length: 1")
    data = b"".join(good)[:-12]
    (tmp_path / "a.warc").write_bytes(data)
    frame, bad = read(tmp_path, "a.warc")
    assert frame["text"].to_list() == [f"good {i}" for i in (0, 1, 3, 5, 6)]
    assert [(r.record, r.reason) for r in bad] == [
        (2, "bad_warc"),
        (4, "bad_digest"),
        (6, "bad_warc"),
        (8, "bad_length"),
        (9, "cut_record"),
    ]
    for r in bad:
        assert data[r.byte_start : r.byte_end] == r.raw
    assert bad[2].raw == b"rubbish\r\nmore of it"


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
)
def test_damage_loses_no_record(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], damages: list[tuple[float, int]]
) -> None:
    data = bytearray(b"".join(record(answer(body)) for body in bodies))
    for where, byte in damages:
        data[int(where * (len(data) - 1))] = byte
    root = tmp_path_factory.mktemp("warc")
    (root / "a.warc").write_bytes(data)
    files = Files(path="a.warc", format="warc")
    state = files.observe(root, "a.warc")
    batches = list(files.read(root, "a.warc", files.column_types([state])))
    bad = [r for b in batches for r in b.bad]
    numbers = [n for b in batches for n in b.records.to_list()]
    assert sorted(numbers + [r.record for r in bad]) == list(range(state["records"]))
    assert all(data[r.byte_start : r.byte_end] == r.raw for r in bad)
    if not damages:
        assert [t.encode() for t in batches[0].rows["text"]] == [
            b.decode(errors="replace").encode() for b in bodies
        ] or bad


def test_records_before_a_cut_count_and_the_rest_is_told(tmp_path: Path) -> None:
    """At each place where a download may have broken off, packed record by record or all in one."""
    bodies = [f"page {i} {hashlib.sha256(bytes([i])).hexdigest()}" for i in range(4)]
    records = [record(answer(body.encode())) for body in bodies]
    for packed in ([gzip.compress(r, mtime=0) for r in records], [gzip.compress(b"".join(records), mtime=0)]):
        data = b"".join(packed)
        ends = {sum(map(len, packed[:n])) for n in range(len(packed) + 1)}
        before = 0
        for size in range(40, len(data) + 1, 7 if len(packed) == 1 else 3):
            (tmp_path / "a.warc.gz").write_bytes(data[:size])
            frame, bad = read(tmp_path, "a.warc.gz")
            known = zlib.decompressobj(31).decompress(data[:size]).startswith(b"WARC/1.")
            texts = frame["text"].to_list() if known else []
            assert texts == bodies[: len(texts)]
            assert before <= len(texts), "a longer part holds what a shorter one held"
            before = len(texts)
            assert len(texts) >= sum(size >= end for end in sorted(ends)[1:] if len(packed) > 1)
            assert [one.reason for one in bad] == ([] if size in ends else ["cut_archive"]), size
        assert before == 4


def test_a_cut_file_of_many_blocks_and_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tillage.collect.content.BLOCK", 1000)
    data = b"".join(gzip.compress(record(answer(b"page %d" % i)), mtime=0) for i in range(30))
    (tmp_path / "a.warc.gz").write_bytes(data[:-9])
    frame, bad = read(tmp_path, "a.warc.gz")
    assert frame["text"].to_list()[:29] == [f"page {i}" for i in range(29)]
    assert [one.reason for one in bad] == ["cut_archive"]
    (tmp_path / "a.warc.gz").write_bytes(data[:2000] + bytes(40) + data[2040:])
    frame, bad = read(tmp_path, "a.warc.gz")
    assert (frame.height, [one.reason for one in bad]) == (0, ["bad_archive"])


@pytest.mark.parametrize(("library", "name"), [("warcio", "a.warc"), ("trafilatura", "a.html")])
def test_a_missing_library_is_named(tmp_path: Path, library: str, name: str) -> None:
    (tmp_path / "a.warc").write_bytes(record(answer(b"x")))
    (tmp_path / "a.html").write_text(PAGE)
    module = "tillage.collect.warc" if library == "warcio" else "tillage.collect.extract"
    if library == "trafilatura":
        from tillage.collect.extract import _extractor

        _extractor.close()
    with mock.patch(f"{module}.find_spec", return_value=None), pytest.raises(Unavailable, match=r"tillage\[web\]"):
        Files(path=name).observe(tmp_path, name)
