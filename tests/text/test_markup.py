"""Markup against the parser of the standard library on what it reads rightly, and by hand on what it does not."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tillage.text.markup import strip_markup


class Reader(HTMLParser):
    """The text outside scripts, styles and templates, entities decoded, all white space as it stands."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "template"):
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        if not self.within:
            self.found.append(data)


def read(page: str) -> str:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return "".join(reader.found)


def bare(text: str) -> str:
    """Without white space, which only our reading adds."""
    return "".join(text.split())


plain = st.sampled_from(
    ["a", "Fish", " ", "发烧", "&amp;", "&lt;", "&#39;", "&nbsp;", "3 < 4", "x > y", "\n", "é", "&co"]
)
attribute = st.sampled_from(
    ["", ' class="a"', " id='b'", ' title="a > b"', " href=x", " checked", ' t = "q\'s"', "\n c=1"]
)


def element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    name = st.sampled_from(["p", "b", "DIV", "td", "a", "h1", "my-part", "li"])
    return st.builds(lambda n, a, i: f"<{n}{a}>{i}</{n}>", name, attribute, st.lists(inner, max_size=4).map("".join))


silent = st.sampled_from(
    ["<!-- a <b> c -->", "<!doctype html>", "<br/>", "<script>if (a < b) x('</p>')</script>", '<img alt="a > b">',
     "<STYLE>p > b {}</STYLE>", "<template><p>no</p></template>", "</p>", "<!---->", "<hr >"]
)  # fmt: skip
pages = st.lists(st.recursive(plain | silent, element, max_leaves=8), max_size=6).map("".join)


@settings(max_examples=400, deadline=None)
@given(pages)
@example("<p>a</p><p>b</p>")
def test_the_text_is_that_of_the_standard_parser(page: str) -> None:
    assert bare(strip_markup(page)) == bare(read(page))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("plain &amp; simple", "plain & simple"),
        ("3 < 4 and 5 > 4, a<3", "3 < 4 and 5 > 4, a<3"),
        ("<p>one</p><p>two</p>", "\none\n\ntwo\n"),
        ("a<b>b</b>c", "abc"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<tr><td>1</td><td>2</td></tr>", "\n 1  2 \n"),
        ("a<!-- <p> -- > -->b<!-->c<!--->d", "abcd"),
        ("<?xml version='1'?><![CDATA[x]]>y", "y"),
        ("a</ >b</3>c", "abc"),
        ("<a title='>' href=\">\">x</a>", "x"),
        ('<p class="a" ">x', "\nx"),
        ("<script>a</scripts></script >b", "b"),
        ("<script>a", ""),
        ("<script src=x></script>b", "b"),
        ("a <b never closed", "a <b never closed"),
        ('a <b>c <i href="never closed> d', 'a c <i href="never closed> d'),
        ("a <!-- never closed <b>", "a <!-- never closed <b>"),
        ("&amp;lt; &notanentity; &#x4f60;", "&lt; ¬anentity; 你"),
        ("", ""),
    ],
)
def test_by_hand(page: str, text: str) -> None:
    assert strip_markup(page) == text


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("<>!-/\"'= ab&;?")), max_size=40))
def test_nothing_stops_it_and_text_without_markup_stays(page: str) -> None:
    assert len(strip_markup(page)) <= len(page)  # a tag of one character becomes one line break at most
    if "<" not in page and "&" not in page:
        assert strip_markup(page) == page


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<a ", '<a ="', "<a b='", "<script>", "<script></script", "</", "<!", "<?", "&", "= "]
)
def test_time_is_linear(piece: str) -> None:
    def seconds(times: int) -> float:
        start = time.process_time()
        strip_markup(f"<p {piece * times}")
        strip_markup(piece * times)
        return time.process_time() - start

    small = min(seconds(20_000) for _ in range(3))
    assert seconds(200_000) < 40 * max(small, 0.002)  # quadratic would be a hundred times
