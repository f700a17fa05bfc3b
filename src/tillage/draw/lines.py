"""Lines over a common axis: learning curves, drift, anything measured again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tillage.draw.chart import SERIES, Chart, drawing, line, text
from tillage.draw.markup import Markup, Value, clip, element, number, table, width
from tillage.draw.scale import Scale, finite, ticks

_LEFT, _TOP, _WIDE, _HIGH = 62, 34, 460, 240
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


def line_chart(
    title: str, series: Mapping[str, Sequence[tuple[float, float | None]]], *, x_label: str = "", y_label: str = ""
) -> Chart:
    """Name of the series to its (x, y) points in order of x; a y that is None or NaN breaks the line.

    Lines differ by dash as well as colour and are named at their end. Raises ValueError when no point can be drawn.

    >>> chart = line_chart("Learning", {"train": [(1, 0.5), (2, 0.7)]}, x_label="rows", y_label="accuracy")
    >>> chart.svg.count("<polyline")
    1
    """
    xs = finite(x for points in series.values() for x, y in points if finite([y]))
    ys = finite(y for points in series.values() for _, y in points)
    if not xs or not ys:
        raise ValueError(f"the chart {title!r} has no points")
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    across = Scale(x_ticks[0], x_ticks[-1], _LEFT, _LEFT + _WIDE)
    up = Scale(y_ticks[0], y_ticks[-1], _TOP + _HIGH, _TOP)
    body: list[str] = [text(_LEFT, 18, clip(title, _WIDE, 13), "strong")]
    for y in y_ticks:
        body += [
            line(_LEFT, up(y), _LEFT + _WIDE, up(y), "grid"),
            text(_LEFT - 6, up(y) + 4, number(y), "muted small", "end"),
        ]
    for x in x_ticks:
        body.append(text(across(x), _TOP + _HIGH + 16, number(x), "muted small", "middle"))
    body.append(line(_LEFT, _TOP + _HIGH, _LEFT + _WIDE, _TOP + _HIGH, "axis"))
    body.append(text(_LEFT + _WIDE / 2, _TOP + _HIGH + 34, clip(x_label, _WIDE, 12), "muted", "middle"))
    turned = f"rotate(-90 14 {_TOP + _HIGH / 2})"
    shown: dict[str, Value] = {
        "x": 14,
        "y": _TOP + _HIGH / 2,
        "transform": turned,
        "text_anchor": "middle",
        "class_": "muted",
    }
    body.append(element("text", shown, clip(y_label, _HIGH, 12)))
    body += _lines(series, across, up)
    margin = min(170.0, 20 + max(width(name, 11) for name in series))
    words = f"{len(series)} lines over {x_label or 'x'} from {number(min(xs))} to {number(max(xs))}."
    return drawing(title, words, (_LEFT + _WIDE + margin, _TOP + _HIGH + 44), "".join(body), _table(series, x_label))


def _lines(series: Mapping[str, Sequence[tuple[float, float | None]]], across: Scale, up: Scale) -> list[str]:
    parts: list[str] = []
    ends: list[tuple[float, str, int]] = []
    for at, (name, points) in enumerate(series.items()):
        colour, dash = at % SERIES, _DASHES[at % len(_DASHES)]
        runs = _runs(points)
        for run in runs:
            places = " ".join(f"{across(x):.5g},{up(y):.5g}" for x, y in run)
            drawn: dict[str, Value] = {
                "points": places,
                "class_": f"s{colour}",
                "stroke_width": 2,
                "stroke_dasharray": dash or None,
            }
            parts.append(element("polyline", drawn))
            parts += [
                element("circle", {"cx": across(x), "cy": up(y), "r": 2.5, "class_": f"f{colour}"})
                for x, y in run
                if len(run) <= 40
            ]
        if runs:
            ends.append((up(runs[-1][-1][1]), name, colour))
    below = 0.0
    for y, name, colour in sorted(ends):  # names that would cover one another move down
        below = max(y, below + 13)
        parts.append(
            element("rect", {"x": _LEFT + _WIDE + 5, "y": below - 4, "width": 6, "height": 6, "class_": f"f{colour}"})
        )
        parts.append(text(_LEFT + _WIDE + 15, below + 3, clip(name, 150, 11), "small"))
    return parts


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The points between gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None and finite([x, y]) == [x, y]:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _table(series: Mapping[str, Sequence[tuple[float, float | None]]], x_label: str) -> Markup:
    values = {name: dict(points) for name, points in series.items()}
    xs = sorted({x for points in values.values() for x in points})
    rows: list[list[Value]] = [[x, *(points.get(x) for points in values.values())] for x in xs]
    return table([x_label or "x", *series], rows)
