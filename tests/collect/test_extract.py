"""The main text of pages: what it holds, how its bytes are decoded, and what a hostile page can do: nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.collect.site import article

from tillage.collect import extract
from tillage.collect.content import Unreadable
from tillage.collect.extract import decoded_page, main_text
from tillage.core.errors import Unavailable

HAN = "绿茶是不发酵的茶，红茶是全发酵的茶。茶叶采摘之后要立即加工。"
TRADITIONAL = "綠茶是不發酵的茶，紅茶是全發酵的茶。茶葉採摘之後要立即加工。"


def outcome(what: Callable[[], object]) -> str:
    """The kind of result, or the reason for which there is none."""
    try:
        return type(what()).__name__
    except Unreadable as failure:
        return failure.reason


def test_the_text_is_there_and_what_stands_around_it_is_not() -> None:
    page = article("Tea is a drink.", "/imprint", title="On tea", around="<aside>Buy now</aside>")
    found = main_text(page.encode())
    assert (found.title, found.language) == ("On tea", "en")
    assert "Tea is a drink." in found.text
    assert not any(word in found.text for word in ("imprint", "Buy now", "All rights"))


@pytest.mark.parametrize(
    ("codec", "header", "meta"),
    [
        ("utf-8", "", ""),
        ("utf-8", "iso-8859-1", ""),
        ("utf-8-sig", "gbk", ""),
        ("utf-16", "", ""),
        ("gbk", "gb2312", ""),
        ("gbk", "", "gb2312"),
        ("gb18030", "", ""),
        ("big5", "Big5", ""),
        ("gbk", "nonsense", ""),
    ],
)
def test_chinese_pages_are_decoded(codec: str, header: str, meta: str) -> None:
    text = TRADITIONAL if codec == "big5" else HAN
    said = f"<meta charset={meta}>" if meta else ""
    data = f"<html><head>{said}</head><body><article><p>{text}</p></article></body></html>".encode(codec)
    assert text in decoded_page(data, header)
    assert text[:10] in main_text(data, charset=header).text


def test_latin_pages_are_decoded() -> None:
    assert decoded_page("“naïve” – 5 €".encode("cp1252"), "ISO-8859-1") == "“naïve” – 5 €"
    assert decoded_page(b"caf\xe9 \x81", "latin-1") == "café \x81"


def test_what_fits_no_encoding_is_refused() -> None:
    with pytest.raises(Unreadable) as told:
        decoded_page(b"<p>\xff\xff\x80</p>")
    assert told.value.reason == "bad_encoding"


@given(st.binary(max_size=300), st.sampled_from(["", "utf-8", "gbk", "utf-16", "x-unknown", "utf-7"]))
def test_any_bytes_are_a_text_or_refused(data: bytes, charset: str) -> None:
    assert outcome(lambda: decoded_page(data, charset)) in ("str", "bad_encoding")


@pytest.mark.parametrize(
    "page",
    [
        b"<div>" * 100_000,
        b"<b><i>" * 50_000 + b"x",
        b"<table><tr><td>" * 30_000,
        b"<a href='" + b"x" * 1_000_000,
        b"<p>" + b"&amp;" * 300_000,
        b"",
        b"\0" * 10_000,
        b"<!--" * 100_000,
    ],
    ids=lambda page: repr(page[:12]),
)
def test_a_hostile_page_costs_its_two_seconds_at_most(page: bytes) -> None:
    main_text(b"<p>warm</p>")
    start = time.monotonic()
    assert outcome(lambda: main_text(page)) in ("Article", "page_too_slow", "page_unreadable")
    assert time.monotonic() - start < 5


def test_a_page_that_is_too_slow_or_kills_leaves_the_next_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    main_text(b"<p>warm</p>")
    process = extract._extractor._process
    assert process is not None
    os.kill(process.pid, 19)  # stopped: it will never answer
    monkeypatch.setattr(extract, "SECONDS", 0.3)
    with pytest.raises(Unreadable) as told:
        main_text(b"<p>never</p>")
    assert told.value.reason == "page_too_slow"
    monkeypatch.setattr(extract, "SECONDS", 10.0)
    good = article("Here again.").encode()
    assert "Here again." in main_text(good).text
    process = extract._extractor._process
    assert process is not None
    with mock.patch.object(extract._Extractor, "_ready", return_value=process):
        process.kill()
        process.wait()
        with pytest.raises(Unreadable) as told:
            main_text(good)
    assert told.value.reason == "page_unreadable"
    assert "Here again." in main_text(good).text


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "_extractor", extract._Extractor())
    monkeypatch.setattr(extract, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'tillage\[web\]'"):
        main_text(b"<p>x</p>")


def test_the_process_knows_its_limit_of_memory() -> None:
    """A page that wants more than it may have is refused; the process of the next one is a new one."""
    main_text(b"<p>warm</p>")
    process = extract._extractor._process
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert str(extract.MEMORY) in line
