"""What a trace is made of: nodes, and edges that say what was made from what, each node held once.

A row that reaches a stage by two ways is one node with two edges, so a thread of n nodes is written in O(n), however
many ways run through it. Carried edges come before influenced ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

EdgeKind: TypeAlias = Literal["carried", "influenced"]
Side: TypeAlias = Literal["back", "forward"]

CARRIED: EdgeKind = "carried"
INFLUENCED: EdgeKind = "influenced"


@dataclass(frozen=True)
class Edge:
    """From a node to what it was made from (on the way back), or to what was made of it (on the way forward).

    `carried`: this very row went on; `influenced`: a result saw it among others. `how`: the steps, or what it means.
    """

    start: str
    end: str
    kind: EdgeKind
    how: str = ""


@dataclass(frozen=True)
class Item:
    """What a node is: a row, a source record, rows that are only counted, a version of a table, a result, a model."""

    id: str
    kind: str
    label: str
    facts: dict[str, Any] = field(default_factory=dict)
    stage: str = ""
    """Of a row or a version: the stage in which it stands, and its version."""
    version: int = 0


class Thread:
    """A trace as a graph: items by id, edges back and forward.

    >>> thread = Thread(Item("clean:01", "row", "clean 01"))
    >>> thread.back("clean:01", Item("record:a.csv#0", "record", "a.csv record 0"), "carried", "read")
    True
    >>> thread.back("clean:01", Item("record:a.csv#0", "record", "a.csv record 0"), "carried", "read")
    False
    >>> [node.label for node in thread.node().back]
    ['a.csv record 0']
    """

    def __init__(self, root: Item) -> None:
        self.root = root.id
        self.items: dict[str, Item] = {root.id: root}
        self.edges: dict[Side, dict[str, dict[tuple[str, EdgeKind], Edge]]] = {"back": {}, "forward": {}}

    def back(self, start: str, end: Item, kind: EdgeKind, how: str = "") -> bool:
        """Note what a node was made from; False when that was known."""
        return self._add("back", start, end, kind, how)

    def forward(self, start: str, end: Item, kind: EdgeKind, how: str = "") -> bool:
        """Note what was made of a node; False when that was known."""
        return self._add("forward", start, end, kind, how)

    def _add(self, side: Side, start: str, end: Item, kind: EdgeKind, how: str) -> bool:
        self.items.setdefault(end.id, end)
        own = self.edges[side].setdefault(start, {})
        known = (end.id, kind) in own
        own.setdefault((end.id, kind), Edge(start, end.id, kind, how))
        return not known

    def of(self, side: Side, node: str) -> list[Edge]:
        """The edges of a node on one side, carried ones first."""
        found = self.edges[side].get(node, {}).values()
        return sorted(found, key=lambda e: e.kind != CARRIED)  # the sort is stable: else as they were found

    def every(self, side: Side) -> Iterator[Edge]:
        """All edges of one side, node by node."""
        for node in self.edges[side]:
            yield from self.of(side, node)

    def node(self) -> Node:
        """The node that was asked about."""
        return Node(self, self.root)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: each node once, edges by id."""
        nodes = [{"id": i.id, "kind": i.kind, "label": i.label, "facts": i.facts} for i in self.items.values()]
        sides: dict[str, Any] = {}
        for side in ("back", "forward"):
            sides[side] = [
                {"from": e.start, "to": e.end, "edge": e.kind, **({"how": e.how} if e.how else {})}
                for e in self.every(side)
            ]
        return {"root": self.root, "nodes": nodes, **sides}


@dataclass(frozen=True)
class Node:
    """One node of a thread, with what leads to it.

    The node asked about looks both ways; a node behind it looks further back, and one before it further forward.
    """

    thread: Thread
    id: str
    side: Side | None = None

    @property
    def kind(self) -> str:
        """`row`, `record`, `rows` (counted), `table`, `stage`, `result`, `model`, `object`, `service`."""
        return self.thread.items[self.id].kind

    @property
    def label(self) -> str:
        """Its name; that of anything but a record, an object or a service begins with its stage."""
        return self.thread.items[self.id].label

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of it, as plain JSON values."""
        return self.thread.items[self.id].facts

    @property
    def back(self) -> tuple[Node, ...]:
        """What it was made from."""
        return self._next("back")

    @property
    def forward(self) -> tuple[Node, ...]:
        """What was made of it."""
        return self._next("forward")

    def _next(self, side: Side) -> tuple[Node, ...]:
        if self.side not in (None, side):
            return ()
        ends = dict.fromkeys(e.end for e in self.thread.of(side, self.id))
        return tuple(Node(self.thread, end, side) for end in ends)

    def to_dict(self) -> dict[str, Any]:
        """The whole thread as plain JSON values (`tillage.trace/1`)."""
        return self.thread.to_dict()
