"""Parts of texts that another column says are personal: what a model marked, or people did.

Nothing is found here: spans are read (`text.spans`), those of the wanted labels are kept, and where they overlap what
the recogniser found, what is left of them is kept, too. Cost: 3 microseconds a span.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tillage.privacy.recognise import Span
from tillage.text.spans import spans_of

TypeName = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
"""What a user may call a type of their own: letters, so that its replacement is never taken for data of a person."""


class Marks(BaseModel):
    """Where the spans of a text column stand, and which of them are personal data.

    >>> marks = Marks(column="prediction", labels={"PERSON": "name"})
    >>> rows = pl.DataFrame({"t": ["Ann is 30"], "prediction": ['[[0, 3, "PERSON"], [7, 9, "AGE"]]']})
    >>> marks.of(rows, "t")
    {0: (Span(start=0, end=3, type='name'),)}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1, description="column of spans, such as a model's `prediction`")
    labels: dict[str, TypeName] = Field(min_length=1, description="label to the type that it is; others are left alone")
    confidence: float = Field(
        0.0, ge=0, le=1, description="least confidence of a span that is taken, where it tells any"
    )

    def of(self, rows: pl.DataFrame, text: str) -> dict[int, tuple[Span, ...]]:
        """Row number to the spans of the column `text`; raises BadData where the column holds no spans."""
        values = rows[self.column]
        texts = rows[text].cast(pl.String).to_list()
        found = {}
        for at, (some, value) in enumerate(zip(spans_of(values), texts, strict=True)):
            if some and value:
                unsure = self._unsure(values[at]) if self.confidence else set()
                kept = tuple(
                    Span(max(0, start), min(end, len(value)), self.labels[label])
                    for start, end, label in some
                    if label in self.labels and (start, end) not in unsure and max(0, start) < min(end, len(value))
                )
                if kept:
                    found[at] = kept
        return found

    def _unsure(self, value: str | pl.Series) -> set[tuple[int, int]]:
        spans = json.loads(value) if isinstance(value, str) else value.to_list()
        told = [one for one in spans if isinstance(one, dict) and one.get("confidence") is not None]
        return {(one["start"], one["end"]) for one in told if one["confidence"] < self.confidence}


def with_marks(text: str, found: tuple[Span, ...], marks: Iterable[Span]) -> tuple[Span, ...]:
    """What was found in a text, and all that the marks say beyond it; none overlap.

    >>> with_marks("Ann +1 202 555 0143", (Span(4, 19, "phone"),), [Span(0, 19, "name")])
    (Span(start=0, end=3, type='name'), Span(start=4, end=19, type='phone'))
    """
    kept = list(found)
    for mark in sorted(marks, key=lambda s: (s.start - s.end, s.start, s.type)):
        kept += list(_beyond(text, mark, sorted(kept)))
    return tuple(sorted(kept))


def _beyond(text: str, mark: Span, kept: list[Span]) -> Iterator[Span]:
    """The parts of a mark that no span covers, without blanks at their ends; without a letter or digit it is none."""
    at = mark.start
    for start, end in [(s.start, s.end) for s in kept if s.start < mark.end and mark.start < s.end] + [(mark.end,) * 2]:
        part = text[at : max(at, start)]
        first = at + len(part) - len(part.lstrip())
        if any(c.isalnum() for c in part):
            yield Span(first, first + len(part.strip()), mark.type)
        at = end
