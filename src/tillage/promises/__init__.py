"""What the joined line lets its owner ask: where a row came from, and where it went."""

from tillage.promises.trace import Node, trace

__all__ = ["Node", "trace"]
