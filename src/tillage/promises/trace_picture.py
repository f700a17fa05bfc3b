"""A thread as a picture: a box a row, record, table or model, an arrow from what was first to what was made of it.

The nodes nearest to the one asked about are drawn, 60 boxes at most; how many are left out is written on top.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tillage.draw import Chart, Edge, Node, flow_graph
from tillage.promises.trace_graph import INFLUENCED, Item, Thread
from tillage.promises.trace_graph import Node as Start

BOXES = 60
_TOLD = ("reason", "step", "state", "side", "record", "why", "rows", "saw")


def picture(start: Start, title: str = "", boxes: int = BOXES) -> Chart:
    """The thread of a node as a chart; an influenced edge bears `~`."""
    thread = start.thread
    shown = _nearest(thread, boxes)
    names = _names([thread.items[i] for i in shown])
    nodes = [_box(thread.items[i], names[i], asked=i == thread.root) for i in shown]
    edges: dict[tuple[str, str], Edge] = {}
    for side in ("back", "forward"):
        for edge in thread.every(side):
            if edge.start in names and edge.end in names:
                ends = (edge.end, edge.start) if side == "back" else (edge.start, edge.end)
                said = f"~ {edge.how}" if edge.kind == INFLUENCED else edge.how
                edges.setdefault(ends, Edge(names[ends[0]], names[ends[1]], said))
    left_out = len(thread.items) - len(shown)
    said = title or f"The thread of {thread.items[thread.root].label}"
    return flow_graph(said + (f" ({left_out:,} more not drawn)" if left_out else ""), nodes, list(edges.values()))


def _nearest(thread: Thread, boxes: int) -> list[str]:
    """The ids of the nodes nearest to the start, on both sides in turn."""
    found = {thread.root: None}
    waiting: deque[tuple[str, Any]] = deque((thread.root, side) for side in ("back", "forward"))
    while waiting and len(found) < boxes:
        node, side = waiting.popleft()
        for edge in thread.of(side, node):
            if edge.end not in found and len(found) < boxes:
                found[edge.end] = None
                waiting.append((edge.end, side))
    return list(found)


def _names(items: list[Item]) -> dict[str, str]:
    """A name for each box: short where that tells it from all others."""
    short = {item.id: _short(item) for item in items}
    often = [name for name in short.values() if list(short.values()).count(name) > 1]
    return {item.id: item.id if short[item.id] in often else short[item.id] for item in items}


def _short(item: Item) -> str:
    stage, _, row = item.label.rpartition(" ")
    return f"{stage} {row[:8]}…" if item.kind == "row" else item.label


def _box(item: Item, name: str, *, asked: bool) -> Node:
    facts = [f"{key}: {item.facts[key]}" for key in _TOLD if item.facts.get(key) not in (None, "kept", "")]
    first = f"{item.kind}, asked about" if asked else item.kind
    kind = "model" if asked or item.kind == "model" else "table"
    return Node(name, kind=kind, notes=(first, *facts[:3]))
