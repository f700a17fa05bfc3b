"""Horizontal bars in groups, each with its baseline and its interval, so that no score stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tillage.draw.chart import SERIES, Chart, drawing, line, text
from tillage.draw.markup import Markup, Value, clip, element, number, table, width
from tillage.draw.scale import Scale, finite, ticks

_BAR, _GAP, _PLOT, _TOP, _SIZE = 16, 12, 460, 34, 12


@dataclass(frozen=True)
class Bar:
    """A value, the value of the naive baseline, and the interval that the value lies in; all of one unit.

    >>> Bar(0.894, baseline=0.026, interval=(0.883, 0.905)).baseline
    0.026
    """

    value: float | None
    baseline: float | None = None
    interval: tuple[float, float] | None = None

    def numbers(self) -> list[float]:
        """Every number that the axis must hold."""
        return finite([self.value, self.baseline, *(self.interval or ())])


def bar_chart(title: str, groups: Mapping[str, Mapping[str, Bar]], *, description: str = "") -> Chart:
    """Groups of bars: label of the group to name of the series to bar. A missing value leaves its place empty.

    The axis begins at zero (or below, where a value does), so that lengths compare. Raises ValueError without any bar.

    >>> chart = bar_chart("Score", {"accuracy": {"intent": Bar(0.9, baseline=0.1, interval=(0.88, 0.92))}})
    >>> "baseline" in chart.table and "0.900" in chart.svg
    True
    """
    series = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    if not series:
        raise ValueError(f"the chart {title!r} has no bars")
    numbers = [0.0, *(n for bars in groups.values() for bar in bars.values() for n in bar.numbers())]
    marks = ticks(min(numbers), max(numbers) or 1.0)
    left = min(240.0, 16 + max(width(label, _SIZE) for label in groups))
    scale = Scale(marks[0], marks[-1], left, left + _PLOT)
    y = float(_TOP)
    body: list[str] = []
    for label, bars in groups.items():
        tall = _BAR * len(bars)
        body.append(text(left - 8, y + tall / 2 + 4, clip(label, left - 16, _SIZE), anchor="end"))
        for at, (name, bar) in enumerate(bars.items()):
            body.append(_bar(bar, scale, y + at * _BAR, series.index(name) % SERIES))
        y += tall + _GAP
    grid = [
        line(scale(m), _TOP - 6, scale(m), y - 4, "axis" if m == 0 else "grid")
        + text(scale(m), y + 10, number(m), "muted small", "middle")
        for m in marks
    ]
    legend, bottom = _legend(series, left, y + 30, left + _PLOT)
    words = description or f"{len(groups)} groups of bars; a tick marks the baseline, a whisker the interval."
    drawn = "".join([text(left, 18, clip(title, _PLOT, 13), "strong"), *grid, *body, legend])
    return drawing(title, words, (left + _PLOT + 70, bottom), drawn, _table(groups))


def _bar(bar: Bar, scale: Scale, y: float, colour: int) -> str:
    """One bar with its number behind it, or behind the whisker where that reaches further."""
    if not finite([bar.value]):
        return text(scale(0) + 4, y + 12, "–", "muted")
    value = bar.value or 0.0
    a, b = sorted((scale(0), scale(value)))
    middle = y + (_BAR - 3) / 2
    parts = [element("rect", {"x": a, "y": y, "width": b - a, "height": _BAR - 3, "rx": 2, "class_": f"f{colour}"})]
    end = b
    if bar.interval and len(finite(bar.interval)) == 2:
        low, high = (scale(v) for v in bar.interval)
        ends = f"M{low:.5g} {middle - 4:.5g}v8M{high:.5g} {middle - 4:.5g}v8M{low:.5g} {middle:.5g}H{high:.5g}"
        parts.append(element("path", {"d": ends, "class_": "mark"}))
        end = max(end, high)
    if bar.baseline is not None and finite([bar.baseline]):
        at = scale(bar.baseline)
        diamond = f"M{at:.5g} {middle - 6:.5g}l5 6l-5 6l-5 -6z"
        parts.append(element("path", {"d": diamond, "class_": "mark baseline"}))
        end = max(end, at + 5)
    parts.append(text(end + 6, middle + 4, number(value), "small"))
    return "".join(parts)


def _legend(series: Sequence[str], left: float, y: float, right: float) -> tuple[str, float]:
    """The names of the series, the two marks, and the height at which the drawing ends; wraps at `right`."""
    x, parts = left, []
    names = [(name, f"f{i % SERIES}") for i, name in enumerate(series)] if len(series) > 1 else []
    for name, kind in [*names, ("◇ baseline", ""), ("├┤ interval", "")]:
        shown = clip(name, 200, 11)
        need = width(shown, 11) + 34
        if x + need > right and x > left:
            x, y = left, y + 18
        if kind:
            parts.append(element("rect", {"x": x, "y": y - 9, "width": 10, "height": 10, "class_": kind}))
        parts.append(text(x + (14 if kind else 0), y, shown, "muted small"))
        x += need
    return "".join(parts), y + 12


def _table(groups: Mapping[str, Mapping[str, Bar]]) -> Markup:
    rows: list[list[Value]] = [
        [label, name, bar.value, bar.baseline, *(bar.interval or (None, None))]
        for label, bars in groups.items()
        for name, bar in bars.items()
    ]
    return table(["group", "series", "value", "baseline", "interval from", "to"], rows)
