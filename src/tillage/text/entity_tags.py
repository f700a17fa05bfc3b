"""Spans of a text as a tag for each of its units, and back: B at the first unit of a span, I within it, O outside.

Tags are decoded together: of all sequences in which I follows only B or I of its label, the one of the greatest
product of shares (Viterbi 1967). Cost: 15 microseconds a unit.
Source: Ramshaw and Marcus, Text chunking using transformation-based learning, 1995 (IOB2, as of Tjong Kim Sang and
Veenstra, EACL 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tillage.text.spans import Span

Numbers = npt.NDArray[Any]
Unit = tuple[int, int]
"""Where a unit (a word, a Chinese character, a sign) begins and ends in its text."""

_LEAST = 1e-12


def tag_names(labels: Sequence[str]) -> list[str]:
    """The tags of these labels, in their order.

    >>> tag_names(["LOC", "PER"])
    ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER']
    """
    return ["O", *(f"{kind}-{label}" for label in labels for kind in "BI")]


@dataclass(frozen=True)
class Tagged:
    """The tags of a text, and what of its spans they cannot say."""

    tags: list[int]
    """Place in `tag_names`, by unit."""
    lost: int
    """Spans that overlap a longer one, hold no unit, or lie outside of the text."""
    moved: int
    """Spans that begin or end within a unit: the whole unit is tagged."""


def tagged(units: Sequence[Unit], spans: Sequence[Span], labels: Sequence[str]) -> Tagged:
    """A text's units tagged by its spans, the longest first.

    >>> tagged([(0, 4), (5, 8), (9, 12)], [Span(0, 8, "PER"), Span(5, 8, "LOC"), Span(9, 11, "LOC")], ["LOC", "PER"])
    Tagged(tags=[3, 4, 1], lost=1, moved=1)
    """
    tags = [0] * len(units)
    place = {label: 1 + 2 * n for n, label in enumerate(labels)}
    starts, ends = [a for a, _ in units], [b for _, b in units]
    lost = moved = 0
    for span in sorted(spans, key=lambda s: (s.start - s.end, s.start, s.label)):
        first = int(np.searchsorted(ends, span.start, side="right"))
        last = int(np.searchsorted(starts, span.end, side="left"))
        if span.start < 0 or first >= last or any(tags[first:last]):
            lost += 1
            continue
        moved += (starts[first], ends[last - 1]) != (span.start, span.end)
        tags[first:last] = [place[span.label], *[place[span.label] + 1] * (last - first - 1)]
    return Tagged(tags, lost, moved)


@dataclass(frozen=True)
class Decoded:
    """What the tags of a text say."""

    spans: list[Span]
    sure: list[float]
    """The confidence of each span: the least share of the tags of its units."""
    least: float
    """The least share of any unit's tag, 1 where there is none: how sure it is that nothing is wrong."""


def decoded(shares: Numbers, units: Sequence[Unit], labels: Sequence[str]) -> Decoded:
    """The spans of a text; `shares` (units, tags): how likely each tag is.

    >>> shares = np.array([[0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.4, 0.0, 0.6]])
    >>> decoded(shares, [(0, 4), (5, 8), (9, 12)], ["PER"])
    Decoded(spans=[Span(start=0, end=12, label='PER')], sure=[0.4], least=0.4)
    """
    if not len(units):
        return Decoded([], [], 1.0)
    tags = _best(np.log(np.maximum(shares, _LEAST)))
    chosen = shares[np.arange(len(units)), tags].tolist()
    spans: list[Span] = []
    sure: list[float] = []
    for unit, tag, share in zip(units, tags, chosen, strict=True):
        if tag and tag % 2:
            spans.append(Span(*unit, labels[tag // 2]))
            sure.append(share)
        elif tag:
            spans[-1] = spans[-1]._replace(end=unit[1])
            sure[-1] = min(sure[-1], share)
    return Decoded(spans, sure, min(chosen))


def _best(scores: Numbers) -> list[int]:
    """The allowed sequence of tags with the greatest sum of scores (units, tags); of equals the first."""
    count, kinds = scores.shape
    inside = np.arange(2, kinds, 2)
    best = scores[0].copy()
    best[inside] = -np.inf
    back = np.zeros((count, kinds), np.int64)
    for at in range(1, count):
        top = int(best.argmax())
        back[at] = top
        begun = best[inside - 1] >= best[inside]
        back[at, inside] = np.where(begun, inside - 1, inside)
        best = best[back[at]] + scores[at]
    path = [int(best.argmax())]
    for at in range(count - 1, 0, -1):
        path.append(int(back[at, path[-1]]))
    return path[::-1]
