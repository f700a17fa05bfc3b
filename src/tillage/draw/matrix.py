"""The confusion matrix as a heat map: one path a shade, so that 77 full classes weigh under 150 kB (100: under 250).

A cell is shaded by its share of the true class (its row), which makes rare classes as visible as common ones; the
diagonal and the errors have different colours.
"""

from __future__ import annotations

from collections.abc import Sequence

from tillage.draw.chart import Chart, drawing, text
from tillage.draw.markup import Markup, Value, clip, element, number, table, width

MOST = 100
"""Classes drawn; of more, those with the most errors are."""

_SHADES = {"right": (0.1, 0.2, 0.3, 0.4, 0.5, 0.62), "wrong": (0.25, 0.35, 0.45, 0.55, 0.65, 0.75)}
"""Opacity by sixths of the share. Errors are few and small, so they begin darker; black on any of them is legible."""
_LISTED = 30


def confusion_matrix(title: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Chart:
    """`counts[i][j]` rows of true class i were predicted as class j.

    Up to 20 classes show names on both axes and counts in the cells; more show names on the rows and numbers on the
    columns. The table lists the most frequent confusions. Raises ValueError when the shape is not square or is empty.

    >>> chart = confusion_matrix("Confusion", ["a", "b"], [[8, 2], [1, 9]])
    >>> "20 rows" in chart.svg, "0.850" in chart.svg
    (True, True)
    """
    n = len(classes)
    if not n or len(counts) != n or any(len(row) != n for row in counts):
        raise ValueError(f"the counts of {n} classes must be {n} rows of {n}")
    total, hits = sum(map(sum, counts)), sum(counts[i][i] for i in range(n))
    shown = _worst(counts) if n > MOST else list(range(n))
    few = len(shown) <= 20
    cell, size = (34, 12) if few else (10, 9)
    left = min(230.0, 44 + max(width(classes[i], size) for i in shown))
    top = min(190.0, 52 + max(width(classes[i], size) for i in shown)) if few else 64.0
    body: list[str] = [
        text(8, 18, clip(title, 360, 13), "strong"),
        text(8, 36, "rows: true class; columns: predicted", "muted small"),
    ]
    body += _names([classes[i] for i in shown], left, top, cell, few=few)
    body += _cells(counts, shown, left, top, cell, write=few)
    side = cell * len(shown)
    body.append(element("path", {"d": f"M{left:.5g} {top:.5g}h{side}v{side}h{-side}z", "class_": "grid"}))
    share = number(hits / total if total else None)
    words = f"{number(total)} rows in {number(n)} classes; {share} of them on the diagonal (predicted right)."
    if len(shown) < n:
        words += f" Drawn: the {len(shown)} classes with the most errors."
    body.append(text(left, top + side + 18, words, "muted small"))
    wide = max(left + side + 12, left + width(words, 10) + 12)
    return drawing(title, words, (wide, top + side + 30), "".join(body), _table(classes, counts))


def _worst(counts: Sequence[Sequence[int]]) -> list[int]:
    """The MOST classes that take part in the most errors, in their order."""
    n = range(len(counts))
    errors = [sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i] for i in n]
    return sorted(sorted(n, key=lambda i: (-errors[i], i))[:MOST])


def _names(names: Sequence[str], left: float, top: float, cell: int, *, few: bool) -> list[str]:
    parts: list[str] = []
    for at, name in enumerate(names):
        y, x = top + (at + 0.5) * cell + (4 if few else 3), left + (at + 0.5) * cell + 3
        label = clip(name, left - (16 if few else 34), 12 if few else 9)
        if few:
            parts.append(text(left - 6, y, label, anchor="end"))
            turned = f"rotate(-60 {x:.5g} {top - 8:.5g})"
            short = clip(name, (top - 44) / 0.87, 12)
            parts.append(element("text", {"x": x, "y": top - 8, "transform": turned}, short))
        else:
            attributes: dict[str, Value] = {"x": left - 4, "y": y, "text_anchor": "end", "font_size": 8.5}
            parts.append(element("text", attributes, f"{label} {at + 1}"))
            if (at + 1) % 5 == 0 or at == 0:
                parts.append(
                    element("text", attributes | {"x": x - 3, "y": top - 4, "text_anchor": "middle"}, str(at + 1))
                )
    return parts


def _cells(
    counts: Sequence[Sequence[int]], shown: Sequence[int], left: float, top: float, cell: int, *, write: bool
) -> list[str]:
    """Cells with rows in them, grouped by colour and shade into one path each."""
    paths: dict[tuple[str, float], list[str]] = {}
    numbers: list[str] = []
    for y, i in enumerate(shown):
        of = sum(counts[i]) or 1
        for x, j in enumerate(shown):
            count = counts[i][j]
            if not count:
                continue
            kind = "right" if i == j else "wrong"
            shade = _SHADES[kind][min(5, count * 6 // of)]
            place = f"M{left + x * cell:.5g} {top + y * cell:.5g}h{cell}v{cell}h{-cell}z"
            paths.setdefault((kind, shade), []).append(place)
            if write:
                at = (left + (x + 0.5) * cell, top + (y + 0.5) * cell + 4)
                numbers.append(
                    text(*at, number(count) if count < 10_000 else f"{count / 1000:.0f}k", "small", "middle")
                )
    drawn = [
        element("path", {"d": "".join(places), "class_": kind, "fill_opacity": shade})
        for (kind, shade), places in sorted(paths.items())
    ]
    return [*drawn, *numbers]


def _table(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    n = range(len(classes))
    wrong = sorted((-counts[i][j], i, j) for i in n for j in n if i != j and counts[i][j])
    rows: list[list[Value]] = [
        [classes[i], classes[j], -count, -count / sum(counts[i])] for count, i, j in wrong[:_LISTED]
    ]
    caption = f"The {len(rows)} most frequent of {number(len(wrong))} confusions"
    return table(["true class", "predicted as", "rows", "share of the true class"], rows, caption)
