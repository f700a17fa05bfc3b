"""The pipeline as a graph, left to right: a box a table or model, an arrow an input, and where the rows went.

Layers by the longest path from a source; within a layer, boxes stand near their inputs (one barycentre sweep, after
Sugiyama, Tagawa and Toda, 1981). An arrow over several layers gets a lane of its own, so it crosses no box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from tillage.draw.chart import Chart, drawing, text
from tillage.draw.markup import Markup, Value, clip, element, number, table

_WIDE, _GAP, _LINE, _ROOM, _TOP = 190.0, 96.0, 15.0, 26.0, 48.0
_SHADES = ("c0", "c1", "c3", "c4", "c5", "c2")


@dataclass(frozen=True)
class Node:
    """A box: `rows` that came out, `notes` in words, and `ways` that the rows that came in went (way to rows).

    The ways are drawn as a bar in their order, and each way that took rows is written below it.

    >>> Node("clean", rows=98, ways={"kept": 98, "dropped: duplicate": 2}).kind
    'table'
    """

    name: str
    kind: str = "table"
    rows: int | None = None
    notes: tuple[str, ...] = ()
    ways: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What is written below the name."""
        first = [] if self.rows is None else [f"{number(self.rows)} rows"]
        return [*first, *self.notes, *(f"{number(count)} {way}" for way, count in self.ways.items() if count)]

    def height(self) -> float:
        """Of its box."""
        return 30 + _LINE * len(self.lines()) + (12 if any(self.ways.values()) else 0)


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes and the words on it.

    >>> Edge("notes", "clean", "100 in").label
    '100 in'
    """

    source: str
    target: str
    label: str = ""


def flow_graph(title: str, nodes: Sequence[Node], edges: Sequence[Edge]) -> Chart:
    """The graph of tables and models. Raises ValueError on a cycle, an unknown end of an arrow, or no box at all.

    >>> chart = flow_graph("Pipeline", [Node("raw", rows=3), Node("clean", rows=2, ways={"kept": 2, "merged": 1})],
    ...     [Edge("raw", "clean", "3 in")])
    >>> chart.svg.count('class="edge"'), "1 merged" in chart.svg
    (1, True)
    """
    by_name = {node.name: node for node in nodes}
    strangers = sorted({end for e in edges for end in (e.source, e.target)} - set(by_name))
    if not nodes or strangers or len(by_name) < len(nodes):
        raise ValueError(f"the graph {title!r} needs boxes of different names for all its arrows {strangers}")
    depth = _depths(by_name, edges)
    lanes = _lanes(by_name, edges, depth)
    places, wide, high = _places(by_name, lanes, depth)
    body: list[str] = [text(8, 18, clip(title, wide - 16, 13), "strong")]
    body += [_arrow(edge, by_name, places, depth) for edge in edges]
    body += [_box(node, *places[node.name]) for node in nodes]
    words = f"{len(nodes)} boxes, {len(edges)} arrows: " + "; ".join(f"{e.source} to {e.target}" for e in edges[:40])
    return drawing(title, words, (wide, high), "".join(body), _table(nodes, edges))


def _depths(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> dict[str, int]:
    """The longest way from a source to each box."""
    inputs: dict[str, list[str]] = {name: [] for name in nodes}
    for edge in edges:
        inputs[edge.target].append(edge.source)
    try:
        order = list(TopologicalSorter(inputs).static_order())
    except CycleError as error:
        raise ValueError(f"the boxes go round in a circle: {' -> '.join(error.args[1])}") from error
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[source] for source in inputs[name]), default=-1)
    return depth


def _lanes(nodes: Mapping[str, Node], edges: Sequence[Edge], depth: Mapping[str, int]) -> list[list[str]]:
    """What stands in each layer from top to bottom: boxes, and `source>target` for each arrow that passes through."""
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in nodes:
        layers[depth[name]].append(name)
    before: dict[str, list[str]] = {}
    for edge in edges:
        last = edge.source
        for layer in range(depth[edge.source] + 1, depth[edge.target]):
            lane = f"{edge.source}>{edge.target}"
            if lane not in layers[layer]:
                layers[layer].append(lane)
            before.setdefault(f"{layer}:{lane}", []).append(last)
            last = lane
        before.setdefault(f"{depth[edge.target]}:{edge.target}", []).append(last)
    for at in range(1, len(layers)):
        rank = {name: i for i, name in enumerate(layers[at - 1])}

        def middle(name: str, at: int = at, rank: Mapping[str, int] = rank) -> float:
            found = [rank[n] for n in before.get(f"{at}:{name}", []) if n in rank]
            return sum(found) / len(found) if found else float(len(rank))

        layers[at].sort(key=middle)
    return layers


def _places(
    nodes: Mapping[str, Node], layers: Sequence[Sequence[str]], depth: Mapping[str, int]
) -> tuple[dict[str, tuple[float, float]], float, float]:
    """The upper left corner of each box (and `layer:lane` of each passing arrow), and the size of the whole."""
    heights = [[nodes[n].height() if n in nodes else 10.0 for n in layer] for layer in layers]
    tall = [sum(column) + _ROOM * (len(column) - 1) for column in heights]
    places: dict[str, tuple[float, float]] = {}
    for at, layer in enumerate(layers):
        y = _TOP + (max(tall) - tall[at]) / 2
        for name, height in zip(layer, heights[at], strict=True):
            places[name if name in nodes else f"{at}:{name}"] = (12 + at * (_WIDE + _GAP), y)
            y += height + _ROOM
    return places, 24 + len(layers) * (_WIDE + _GAP) - _GAP, _TOP + max(tall) + 14


def _box(node: Node, x: float, y: float) -> str:
    kind = "box model" if node.kind == "model" else "box"
    shape: dict[str, Value] = {"x": x, "y": y, "width": _WIDE, "height": node.height(), "rx": 6, "class_": kind}
    parts = [element("rect", shape), text(x + 10, y + 19, clip(node.name, _WIDE - 20, 12), "strong")]
    below = y + 19
    lines = node.lines()
    for content in lines:
        below += _LINE
        parts.append(text(x + 10, below, clip(content, _WIDE - 20, 10), "muted small"))
    total, at = sum(node.ways.values()), x + 10
    seen = [max(count / total, 0.012) if count else 0.0 for count in node.ways.values()]  # one row in a million shows
    for i, weight in enumerate(seen):
        if weight:
            share = weight / sum(seen) * (_WIDE - 20)
            bar: dict[str, Value] = {"x": at, "y": below + 8, "width": share, "height": 5}
            parts.append(element("rect", bar | {"class_": f"f{_SHADES[i % len(_SHADES)][1:]}"}))
            at += share
    return "".join(parts)


def _arrow(
    edge: Edge, nodes: Mapping[str, Node], places: Mapping[str, tuple[float, float]], depth: Mapping[str, int]
) -> str:
    x, y = places[edge.source]
    x, y = x + _WIDE, y + min(nodes[edge.source].height() / 2, 40)
    path = [f"M{x:.5g} {y:.5g}"]
    for layer in range(depth[edge.source] + 1, depth[edge.target]):
        lane_x, lane_y = places[f"{layer}:{edge.source}>{edge.target}"]
        path += [_bend(x, y, lane_x, lane_y + 5), f"H{lane_x + _WIDE:.5g}"]
        x, y = lane_x + _WIDE, lane_y + 5
    to_x, to_y = places[edge.target]
    to_y += min(nodes[edge.target].height() / 2, 40)
    path.append(_bend(x, y, to_x - 7, to_y))
    head = f"M{to_x:.5g} {to_y:.5g}l-8 -4v8z"
    label = text((x + to_x) / 2, (y + to_y) / 2 - 6, clip(edge.label, _GAP - 8, 10), "muted small halo", "middle")
    return (
        element("path", {"d": "".join(path), "class_": "edge"}) + element("path", {"d": head, "class_": "head"}) + label
    )


def _bend(x1: float, y1: float, x2: float, y2: float) -> str:
    half = (x1 + x2) / 2
    return f"C{half:.5g} {y1:.5g} {half:.5g} {y2:.5g} {x2:.5g} {y2:.5g}"


def _table(nodes: Sequence[Node], edges: Sequence[Edge]) -> Markup:
    rows: list[list[Value]] = []
    for node in nodes:
        inputs = ", ".join(edge.source for edge in edges if edge.target == node.name)
        rows.append([node.name, node.kind, inputs or None, node.rows, "; ".join(node.lines()[node.rows is not None :])])
    return table(["name", "kind", "made from", "rows", "details"], rows)
