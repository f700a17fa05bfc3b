"""Charts: well-formed, escaped, drawn to scale, described, and with the same numbers in a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillage.draw import STYLE, Bar, Chart, Edge, Node, bar_chart, confusion_matrix, flow_graph, line_chart

HOSTILE = '</text></svg><script>alert(1)</script>" onload="x\x00&amp;中文'
SVG = "{http://www.w3.org/2000/svg}"


def bars(name: str) -> Chart:
    return bar_chart(name, {name: {name: Bar(0.9, 0.1, (0.8, 0.95)), "b": Bar(None)}})


def matrix(name: str) -> Chart:
    return confusion_matrix(name, [name, "b"], [[8, 2], [1, 9]])


def lines(name: str) -> Chart:
    return line_chart(name, {name: [(1, 0.5), (2, 0.7)]}, x_label=name, y_label=name)


def graph(name: str) -> Chart:
    return flow_graph(name, [Node(name, rows=1, notes=(name,), ways={name: 1}), Node("b")], [Edge(name, "b", name)])


ALL: list[Callable[[str], Chart]] = [bars, matrix, lines, graph]


@pytest.mark.parametrize("make", ALL)
def test_a_chart_is_well_formed_and_described(make: Callable[[str], Chart]) -> None:
    root = ElementTree.fromstring(make("Name 中文").standalone())
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "Name 中文"
    assert description is not None
    assert description.text
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "<table>" in make("x").figure()


@pytest.mark.parametrize("make", ALL)
def test_hostile_names_stay_text(make: Callable[[str], Chart]) -> None:
    figure = ElementTree.fromstring(make(HOSTILE).figure().encode())
    tags = {node.tag for node in figure.iter()}
    allowed = {"figure", "div", "details", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert tags - allowed <= {"svg", "title", "desc", "text", "path", "rect", "circle", "polyline"}
    assert not {name for node in figure.iter() for name in node.attrib if name.startswith("on")}
    assert "<script" not in make(HOSTILE).standalone()


@pytest.mark.parametrize("make", ALL)
def test_a_chart_asks_for_nothing_outside(make: Callable[[str], Chart]) -> None:
    drawn = make("x").standalone().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"://|href|url\(|@import|@font-face|<script|<image|<foreignObject", drawn)


@pytest.mark.parametrize("make", ALL)
def test_the_same_numbers_make_the_same_text(make: Callable[[str], Chart]) -> None:
    assert make("x") == make("x")
    assert make("x").svg != make("y").svg


@pytest.mark.parametrize("make", ALL)
def test_every_class_has_a_style(make: Callable[[str], Chart]) -> None:
    used = {kind for names in re.findall(r'class="([^"]+)"', make("x").svg) for kind in names.split()}
    styled = set(re.findall(r"\.([a-z]+\d?)\b", STYLE))
    assert used - {"baseline"} <= styled


def test_light_and_dark_name_the_same_colours() -> None:
    light, dark = (set(re.findall(r"--([a-z0-9]+):", part)) for part in STYLE.split("@media", 1))
    assert dark <= light
    assert dark >= {"paper", "ink", "c0", "c5"}
    assert set(re.findall(r"var\(--([a-z0-9]+)\)", STYLE)) <= light


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("part", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out(part: int) -> None:
    colours = dict(re.findall(r"--([a-z0-9]+):(#[0-9a-f]{6})", STYLE.split("@media", 1)[part]))
    for ground in ("paper", "panel"):
        assert contrast(colours["ink"], colours[ground]) >= 7
        assert contrast(colours["muted"], colours[ground]) >= 4.5
        assert all(contrast(colours[f"c{i}"], colours[ground]) >= 3 for i in range(6))


# ---- bars


def rectangles(chart: Chart) -> list[dict[str, str]]:
    return [dict(node.attrib) for node in ElementTree.fromstring(chart.svg).iter("rect")]


def test_bars_are_drawn_to_scale() -> None:
    chart = bar_chart("t", {"a": {"s": Bar(0.25)}, "b": {"s": Bar(0.5)}, "c": {"s": Bar(-0.5)}})
    short, long, below = rectangles(chart)
    assert float(long["width"]) == pytest.approx(2 * float(short["width"]), abs=0.05)
    assert float(below["width"]) == pytest.approx(float(long["width"]), abs=0.05)
    assert float(below["x"]) + float(below["width"]) == pytest.approx(float(long["x"]), abs=0.05)


def test_the_baseline_and_the_interval_are_where_they_belong() -> None:
    chart = bar_chart("t", {"a": {"s": Bar(0.5, 0.25, (0.25, 1.0))}})
    (bar,) = rectangles(chart)
    start, half = float(bar["x"]), float(bar["width"])
    paths = [node.attrib for node in ElementTree.fromstring(chart.svg).iter("path")]
    (whisker,) = [p["d"] for p in paths if p["class"] == "mark"]
    (diamond,) = [p["d"] for p in paths if p["class"] == "mark baseline"]
    low, high = (float(x) for x in re.findall(r"M([\d.]+) [\d.]+v8", whisker))
    assert low == pytest.approx(start + half / 2, abs=0.1)
    assert high == pytest.approx(start + half * 2, abs=0.1)
    assert float(diamond[1:].split()[0]) == pytest.approx(low, abs=0.1)
    assert "baseline" in chart.table


def test_the_axis_begins_at_zero() -> None:
    chart = bar_chart("t", {"a": {"s": Bar(0.8)}, "b": {"s": Bar(0.9)}})
    low, high = rectangles(chart)
    (axis,) = [n.attrib["d"] for n in ElementTree.fromstring(chart.svg).iter("path") if n.attrib["class"] == "axis"]
    assert float(axis[1:].split()[0]) == pytest.approx(float(low["x"]), abs=0.1)
    assert float(high["width"]) / float(low["width"]) == pytest.approx(0.9 / 0.8, rel=1e-3)


def test_a_bar_without_value_leaves_its_place_empty() -> None:
    chart = bar_chart("t", {"a": {"x": Bar(None), "y": Bar(float("nan")), "z": Bar(1.0)}})
    assert len([r for r in rectangles(chart) if r.get("rx")]) == 1
    with pytest.raises(ValueError, match="no bars"):
        bar_chart("t", {"a": {}})


def test_bars_that_are_all_zero_are_drawn() -> None:
    assert "0" in bar_chart("t", {"a": {"s": Bar(0.0, 0.0)}}).svg


# ---- confusion matrix


def cells(chart: Chart, kind: str) -> int:
    nodes = ElementTree.fromstring(chart.svg).iter("path")
    return sum(node.attrib["d"].count("M") for node in nodes if node.attrib["class"] == kind)


@given(
    st.integers(1, 25).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 9), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_every_cell_with_rows_is_drawn_once(counts: list[list[int]]) -> None:
    chart = confusion_matrix("t", [f"class {i}" for i in range(len(counts))], counts)
    right = sum(counts[i][i] > 0 for i in range(len(counts)))
    assert cells(chart, "right") == right
    assert cells(chart, "wrong") == sum(c > 0 for row in counts for c in row) - right


def test_77_full_classes_stay_small() -> None:
    counts = [[(i * 31 + j * 7) % 90 + 1 for j in range(77)] for i in range(77)]
    chart = confusion_matrix("t", [f"a_rather_long_intent_name_{i}" for i in range(77)], counts)
    assert cells(chart, "right") + cells(chart, "wrong") == 77 * 77
    assert len(chart.figure().encode()) < 150_000
    assert "a_rather_long_intent_name_76" in chart.svg


def test_100_full_classes_fit_a_page() -> None:
    counts = [[(i * 31 + j * 7) % 90 + 1 for j in range(100)] for i in range(100)]
    assert len(confusion_matrix("t", [f"class {i}" for i in range(100)], counts).figure().encode()) < 250_000


def test_of_very_many_classes_the_worst_are_drawn() -> None:
    counts = [[0] * 150 for _ in range(150)]
    for i in range(150):
        counts[i][i] = 5 if i == 149 else 500  # many right rows do not make a class one of the worst
    counts[149][120] = 3
    chart = confusion_matrix("t", [f"c{i}" for i in range(150)], counts)
    assert cells(chart, "right") == 100
    assert cells(chart, "wrong") == 1
    assert ">c149 " in chart.svg
    assert ">c120 " in chart.svg
    assert "100 classes with the most errors" in chart.svg


def test_the_most_frequent_confusions_come_first() -> None:
    root = ElementTree.fromstring(confusion_matrix("t", ["a", "b", "c"], [[6, 1, 3], [0, 5, 0], [5, 0, 5]]).table)
    rows = [[cell.text for cell in row] for row in root.iter("tr")][1:]
    assert rows == [["c", "a", "5", "0.500"], ["a", "c", "3", "0.300"], ["a", "b", "1", "0.100"]]


@pytest.mark.parametrize("counts", [[], [[1]], [[1, 2], [3]]])
def test_counts_of_another_shape_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="rows of"):
        confusion_matrix("t", ["a", "b"] if counts else [], counts)


# ---- lines


def test_lines_pass_through_their_points() -> None:
    chart = line_chart("t", {"a": [(0, 0.0), (5, 0.5), (10, 1.0)]})
    (drawn,) = ElementTree.fromstring(chart.svg).iter("polyline")
    points = [tuple(map(float, p.split(","))) for p in drawn.attrib["points"].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert (x0 + x2) / 2 == pytest.approx(x1, abs=0.1)
    assert (y0 + y2) / 2 == pytest.approx(y1, abs=0.1)
    assert x0 < x1
    assert y0 > y1  # up is more


def test_a_gap_breaks_the_line_and_stays_in_the_table() -> None:
    chart = line_chart("t", {"a": [(0, 1.0), (1, None), (2, 3.0), (3, 1.0)], "b": [(0, float("nan"))]})
    assert chart.svg.count("<polyline") == 2
    assert "–" in chart.table
    with pytest.raises(ValueError, match="no points"):
        line_chart("t", {"a": [(0, None)]})


# ---- the graph


def boxes(chart: Chart) -> list[tuple[float, float, float, float]]:
    found = [r for r in rectangles(chart) if r["class"].startswith("box")]
    return [(float(r["x"]), float(r["y"]), float(r["width"]), float(r["height"])) for r in found]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda e: e[0] < e[1]), max_size=14, unique=True)
)
def test_boxes_do_not_overlap_and_arrows_point_right(pairs: list[tuple[int, int]]) -> None:
    nodes = [Node(str(i), rows=i, ways={"kept": i, "dropped": 1}) for i in range(9)]
    chart = flow_graph("t", nodes, [Edge(str(a), str(b)) for a, b in pairs])
    placed = boxes(chart)
    assert len(placed) == 9
    for i, (x, y, w, h) in enumerate(placed):
        assert all(x + w < x2 or x2 + w2 < x or y + h + 20 <= y2 or y2 + h2 + 20 <= y for x2, y2, w2, h2 in placed[:i])
    assert all(placed[a][0] + placed[a][2] < placed[b][0] for a, b in pairs)
    assert chart.svg.count('class="edge"') == len(pairs)
    left, top, wide, high = map(float, str(ElementTree.fromstring(chart.svg).get("viewBox")).split())
    assert all(x >= left and y >= top and x + w <= wide and y + h <= high for x, y, w, h in placed)


def test_an_arrow_over_a_layer_goes_round_the_box_there() -> None:
    chart = flow_graph("t", [Node("a"), Node("b"), Node("c")], [Edge("a", "b"), Edge("b", "c"), Edge("a", "c")])
    x, y, w, h = boxes(chart)[1]
    edges = [n.attrib["d"] for n in ElementTree.fromstring(chart.svg).iter("path") if n.attrib["class"] == "edge"]
    (far,) = [d for d in edges if "H" in d]
    height = float(re.findall(r"([\d.]+)H", far)[0])
    assert not y <= height <= y + h
    assert float(re.findall(r"H([\d.]+)", far)[0]) == pytest.approx(x + w)


def test_every_way_that_took_rows_is_written() -> None:
    ways = {"kept": 90, "merged": 7, "dropped: too short": 0, "quarantined: bad_utf8": 3}
    chart = flow_graph("t", [Node("clean", rows=90, ways=ways)], [])
    for shown in ("90 kept", "7 merged", "3 quarantined: bad_utf8"):
        assert shown in chart.svg
        assert shown in chart.table
    assert "too short" not in chart.svg


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=8))
def test_the_bar_of_ways_fills_its_box_and_shows_each(rows: list[int]) -> None:
    node = Node("t", ways={f"way {i}": count for i, count in enumerate(rows)})
    parts = [(float(r["x"]), float(r["width"])) for r in rectangles(flow_graph("t", [node], [])) if "rx" not in r]
    assert len(parts) == sum(count > 0 for count in rows)
    assert all(width >= 1.5 for _, width in parts)
    assert sum(width for _, width in parts) == pytest.approx(170 if parts else 0, abs=0.1)


@pytest.mark.parametrize(
    ("nodes", "edges", "why"),
    [
        ([], [], "boxes"),
        (["a"], [("a", "b")], "boxes"),
        (["a", "a"], [], "boxes"),
        (["a", "b"], [("a", "b"), ("b", "a")], "circle"),
    ],
)
def test_what_is_no_pipeline_is_refused(nodes: list[str], edges: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        flow_graph("t", [Node(n) for n in nodes], [Edge(*e) for e in edges])
