"""Text that is safe to put into SVG and HTML, one element at a time; nothing here knows what a chart is.

Every value passes `escape`, so that no name of a user's column, class or table can become markup.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Value: TypeAlias = str | int | float | None

# What XML 1.0 (section 2.2) does not allow, and single surrogates, which no encoder accepts.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Finished markup: `element` and Jinja2 take it as it is and escape every other text.

    >>> element("b", {}, Markup("<i/>"), "<i/>")
    '<b><i/>&lt;i/&gt;</b>'
    """

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def escape(value: object) -> str:
    """The value as text in XML and HTML, also inside a quoted attribute; what XML forbids becomes U+FFFD.

    >>> escape('<a href="x">\\x00')
    '&lt;a href=&quot;x&quot;&gt;\ufffd'
    """
    return html.escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True)


def element(tag: str, attributes: dict[str, Value], *content: str) -> Markup:
    """One element; attributes that are None are left out, `_` in their names stands for `-`, floats get two decimals.

    >>> element("rect", {"x": 1.006, "fill_opacity": None, "class_": "bar"})
    '<rect x="1.01" class="bar"/>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(part if isinstance(part, Markup) else escape(part) for part in content)
    return Markup(f"<{tag}{written}>{inner}</{tag}>" if content else f"<{tag}{written}/>")


def _short(value: Value) -> Value:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def table(head: Sequence[str], rows: Iterable[Sequence[Value]], caption: str = "") -> Markup:
    """An HTML table whose first column names its rows; numbers are aligned to the right.

    >>> table(["class", "n"], [["a", 2]])
    '<table><thead><tr><th scope="col">class</th><th scope="col">n</th></tr></thead><tbody><tr><th
    scope="row">a</th><td class="number">2</td></tr></tbody></table>'
    """
    title = [element("caption", {}, caption)] if caption else []
    top = element("tr", {}, *(element("th", {"scope": "col"}, name) for name in head))
    body = [element("tr", {}, *(_cell(value, first=i == 0) for i, value in enumerate(row)), Markup("")) for row in rows]
    return element("table", {}, *title, element("thead", {}, top), element("tbody", {}, *body, Markup("")))


def _cell(value: Value, *, first: bool) -> Markup:
    if first:
        return element("th", {"scope": "row"}, number(value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return element("td", {"class_": "number" if is_number else None}, number(value))


def number(value: Value) -> str:
    """A number as people read it: whole ones with thousands separated, others with three significant decimals.

    >>> [number(x) for x in (12345, 0.89449, 1234.5, 3.0, None, "a")]
    ['12,345', '0.894', '1,234', '3', '–', 'a']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if not 1e-3 <= abs(value) < 1e15:
        return f"{value:.3g}"
    return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def width(text: str, size: float) -> float:
    """About how wide the text will be, in the unit of `size` (the height of the font): Han characters count double.

    >>> width("中文", 10) > width("ab", 10)
    True
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return size * (wide + 0.56 * (len(text) - wide))


def clip(text: str, room: float, size: float) -> str:
    """The text, shortened with an ellipsis until it fits into `room`.

    >>> clip("card_payment_wrong_exchange_rate", 60, 10)
    'card_paym…'
    """
    if width(text, size) <= room:
        return text
    used, kept = width("…", size), 0
    for char in text:
        used += width(char, size)
        if used > room:
            break
        kept += 1
    return text[:kept] + "…"
