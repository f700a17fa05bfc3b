"""What every chart is: an SVG, the same numbers as a table, and colours that follow the reader's light or dark.

No script, no font file, no address: a chart is text, works offline, and prints. Colours are CSS variables with a
palette that colour-blind readers can tell apart (Okabe and Ito, 2008); nothing is said by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from tillage.draw.markup import Markup, element, escape

FONTS = (
    'system-ui, "Noto Sans", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", '
    '"Source Han Sans SC", sans-serif'
)
"""Latin first, then the Chinese faces of macOS, Windows and Linux."""

_LIGHT = (
    "--paper:#ffffff;--panel:#f5f6f8;--ink:#1b1f24;--muted:#57606a;--line:#d0d7de;--c0:#0a66b0;--c1:#b85400;"
    "--c2:#00795a;--c3:#a3407f;--c4:#6f5b00;--c5:#2f6f9f;--good:#00795a;--warn:#b85400;--bad:#b3261e"
)
_DARK = (
    "--paper:#14171b;--panel:#1d2126;--ink:#e9ecf0;--muted:#a3acb7;--line:#3a424c;--c0:#62b0f5;--c1:#f0a04b;"
    "--c2:#3fcf9f;--c3:#e79ac8;--c4:#e3cf57;--c5:#8fc9f2;--good:#3fcf9f;--warn:#f0a04b;--bad:#ff8a80"
)
SERIES = 6
"""How many series colours there are; later series begin again with another dash or pattern."""

STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    f"svg.chart{{font-family:{FONTS};font-size:12px;background:var(--paper);color:var(--ink);max-width:100%;height:auto}}"
    "svg.chart text{fill:var(--ink);unicode-bidi:isolate}"
    "svg.chart .muted{fill:var(--muted)}svg.chart .small{font-size:10px}svg.chart .strong{font-weight:600}"
    "svg.chart .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px}"  # words on a line stay legible
    "svg.chart .grid{stroke:var(--line);stroke-width:1;fill:none}svg.chart .axis{stroke:var(--muted);stroke-width:1}"
    "svg.chart .mark{stroke:var(--ink);stroke-width:2;fill:none}"
    "svg.chart .box{fill:var(--panel);stroke:var(--muted);stroke-width:1}"
    "svg.chart .model{stroke:var(--c0);stroke-width:2}"
    "svg.chart .edge{stroke:var(--muted);stroke-width:1.5;fill:none}svg.chart .head{fill:var(--muted)}"
    "svg.chart .right{fill:var(--c0)}svg.chart .wrong{fill:var(--c1)}"
    + "".join(
        f"svg.chart .f{i}{{fill:var(--c{i})}}svg.chart .s{i}{{stroke:var(--c{i});fill:none}}" for i in range(SERIES)
    )
)
"""The style of all charts; a page includes it once, a standalone SVG carries it."""


@dataclass(frozen=True)
class Chart:
    """A drawing and its table. In Jinja2 `{{ chart }}` gives the figure with both.

    >>> chart = drawing("Rows", "Rows a table.", (10, 10), Markup("<path/>"), Markup("<table/>"))
    >>> "<title" in chart.svg and "<table/>" in chart.figure()
    True
    """

    title: str
    svg: Markup
    table: Markup

    def figure(self) -> Markup:
        """The SVG with its table folded up below it, for an HTML page that includes `STYLE`."""
        more = element("details", {}, element("summary", {}, f"{self.title}: table"), self.table)
        return element("figure", {}, element("div", {"class_": "scroll", "tabindex": 0}, self.svg), more)

    def __html__(self) -> str:
        return self.figure()

    def standalone(self) -> str:
        """The SVG as a file of its own, with its style."""
        head, _, rest = self.svg.partition(">")
        return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{rest}\n'


def drawing(title: str, description: str, size: tuple[float, float], body: str, table: Markup) -> Chart:
    """A chart of `size` (width, height in CSS pixels); title and description are read to those who do not see it.

    >>> drawing("A < B", "Two bars.", (20, 10), Markup(""), Markup("")).svg.count("A &lt; B")
    1
    """
    width, height = size
    # Ids must differ between the charts of one page and be the same at every run.
    mark = sha256(f"{title}\0{description}\0{body}".encode(errors="replace")).hexdigest()[:10]
    svg = element(
        "svg",
        {
            "class_": "chart",
            "role": "img",
            "aria_labelledby": f"t{mark} d{mark}",
            "viewBox": f"0 0 {width:.0f} {height:.0f}",
            "width": round(width),
            "height": round(height),
        },
        element("title", {"id": f"t{mark}"}, title),
        element("desc", {"id": f"d{mark}"}, description),
        Markup(body),
    )
    return Chart(title, svg, table)


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> Markup:
    """A line of text whose baseline begins (or ends, or is centred) at the point.

    >>> text(1, 2, "a&b")
    '<text x="1" y="2">a&amp;b</text>'
    """
    return element(
        "text",
        {"x": x, "y": y, "class_": kind or None, "text_anchor": None if anchor == "start" else anchor},
        Markup(escape(content)),
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line.

    >>> line(0, 0, 1, 1, "grid")
    '<path d="M0 0L1 1" class="grid"/>'
    """
    return element("path", {"d": f"M{x1:.5g} {y1:.5g}L{x2:.5g} {y2:.5g}", "class_": kind})
