"""What learners share that mark parts of texts: the rows that they learn from, and what their predictions look like."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import polars as pl

from tillage.core.errors import BadData
from tillage.core.rows import ID, column
from tillage.learn.ensemble import LearntModel
from tillage.learn.learner import CONFIDENCE, PREDICTION, joined_text
from tillage.text.entity_tags import Decoded
from tillage.text.spans import Span, spans_of, written


def marked_rows(rows: pl.DataFrame, text: str, target: str) -> tuple[pl.DataFrame, list[str], list[list[Span]]]:
    """The rows that someone has looked at, by ascending `_id`; their texts, and their spans.

    Raises BadData where no row has a span, or no row a text.

    >>> rows = pl.DataFrame({"t": ["Ann", "x"], "y": ['[[0, 3, "NAME"]]', None]})
    >>> marked_rows(rows, "t", "y")[1:]
    (['Ann'], [[Span(start=0, end=3, label='NAME')]])
    """
    known = rows.filter(column(rows, target).is_not_null())
    known = known.sort(ID) if ID in known.columns else known
    spans = [some or [] for some in spans_of(known[target])]
    if not any(spans):
        raise BadData(
            f"No row has a span in the target column '{target}'.",
            fix="Look at the filters before the model, and at the column's name.",
        )
    texts = joined_text(known, (text,)).to_list()
    if not any(one.strip() for one in texts):
        raise BadData(f"No row has a text in {text}.", fix="Look at the column.")
    return known, texts, spans


def lost_warnings(lost: int, moved: int, spans: int) -> list[str]:
    """What could not be learnt as it is marked, of so many spans.

    >>> lost_warnings(0, 0, 9)
    []
    """
    found = []
    if lost:
        found.append(
            f"{lost:,} of {spans:,} spans of the training rows overlap a longer one, lie outside of their text or hold "
            "no word, and were not learnt."
        )
    if moved:
        found.append(
            f"{moved:,} of {spans:,} spans of the training rows begin or end within a word: the whole word was learnt."
        )
    return found


class MarkingModel(LearntModel):
    """Adds `prediction`, the spans as JSON text, and `confidence`, that of the least sure word of the text."""

    @abstractmethod
    def marks(self, texts: Sequence[str]) -> list[Decoded]:
        """The spans of each text, all shards together."""

    def reads(self) -> tuple[str, ...]:
        return tuple(self.state["input"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        texts = joined_text(rows, self.needs()).to_list()
        distinct = list(dict.fromkeys(texts))
        said = dict(zip(distinct, self.marks(distinct), strict=True))
        found = [said[text] for text in texts]
        return rows.with_columns(
            pl.Series(PREDICTION, [written(one.spans, one.sure) for one in found], dtype=pl.String),
            pl.Series(CONFIDENCE, [one.least for one in found], dtype=pl.Float64),
        )
