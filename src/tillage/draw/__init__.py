"""Charts and graphs as SVG text: no script, no network, light and dark, each with its table."""

from tillage.draw.bars import Bar, bar_chart
from tillage.draw.chart import STYLE, Chart
from tillage.draw.flow import Edge, Node, flow_graph
from tillage.draw.lines import line_chart
from tillage.draw.markup import number
from tillage.draw.matrix import confusion_matrix

__all__ = [
    "STYLE",
    "Bar",
    "Chart",
    "Edge",
    "Node",
    "bar_chart",
    "confusion_matrix",
    "flow_graph",
    "line_chart",
    "number",
]
