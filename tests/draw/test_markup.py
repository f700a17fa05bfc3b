"""Nothing that a user can name becomes markup, and every text is one that XML allows."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.draw.markup import Markup, clip, element, escape, number, table, width
from tillage.draw.scale import Scale, ticks

# Every code point, surrogates and controls too.
anything = st.text(st.characters(exclude_categories=()), max_size=20)


@given(anything, anything)
def test_any_text_is_content_and_attribute(content: str, attribute: str) -> None:
    root = ElementTree.fromstring(element("p", {"title": attribute}, content, "x").encode())
    assert len(root) == 0
    assert root.tag == "p"
    assert list(root.attrib) == ["title"]
    if content.isprintable() and content.isascii():
        assert root.text == content + "x"


def test_what_xml_forbids_is_replaced() -> None:
    assert escape("a\x00b\ud800\x0b\ufffe") == "a\ufffdb\ufffd\ufffd\ufffd"
    assert escape("tab\tline\n中") == "tab\tline\n中"


def test_finished_markup_is_not_escaped_again() -> None:
    assert element("b", {}, element("i", {}, "<")) == "<b><i>&lt;</i></b>"
    assert element("b", {}, Markup("<i/>")) == "<b><i/></b>"
    assert element("b", {}, "<i/>") == "<b>&lt;i/&gt;</b>"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-1234567, "-1,234,567"),
        (0.0, "0"),
        (0.0004, "0.0004"),
        (-0.25, "-0.250"),
        (99.96, "100.0"),
        (12345.6, "12,346"),
        (1e20, "1e+20"),
        (float("inf"), "inf"),
        (float("nan"), "–"),
        (True, "True"),
    ],
)
def test_numbers_as_people_read_them(value: float, shown: str) -> None:
    assert number(value) == shown


@given(anything, st.floats(20, 400), st.sampled_from([9.0, 12.0]))
def test_a_clipped_text_fits(content: str, room: float, size: float) -> None:
    shown = clip(content, room, size)
    assert width(shown, size) <= room
    assert shown == content or (shown.endswith("…") and content.startswith(shown[:-1]))


def test_a_table_names_its_rows_and_columns() -> None:
    root = ElementTree.fromstring(table(["class", "n"], [["<a>", 1200], ["b", None]], "Rows"))
    assert [cell.text for cell in root.iter("th")] == ["class", "n", "<a>", "b"]
    assert [cell.text for cell in root.iter("td")] == ["1,200", "–"]
    assert root.findtext("caption") == "Rows"
    assert [cell.get("scope") for cell in root.iter("th")] == ["col", "col", "row", "row"]


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_span_the_values_evenly(low: float, size: float) -> None:
    marks = ticks(low, low + size)
    slack = size * 1e-6 + abs(low) * 1e-9
    assert marks[0] <= low + slack
    assert marks[-1] >= low + size - slack
    assert 2 <= len(marks) <= 12
    steps = [b - a for a, b in pairwise(marks)]
    assert max(steps) - min(steps) <= slack + max(steps) * 1e-6


def test_ticks_of_one_value_and_of_none() -> None:
    assert ticks(3, 3)[0] < 3 < ticks(3, 3)[-1]
    with pytest.raises(ValueError, match="axis"):
        ticks(1, float("nan"))
    with pytest.raises(ValueError, match="axis"):
        ticks(2, 1)


def test_a_scale_is_linear() -> None:
    scale = Scale(-1, 3, 0, 400)
    assert [scale(v) for v in (-1, 0, 3)] == [0, 100, 400]
