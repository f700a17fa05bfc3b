"""Marked parts of texts (names, places, sums): read from a column, written to one, laid out on words.

A span is where it begins, where it ends and what it is: `{"start": 0, "end": 5, "label": "PERSON"}`, in characters
(code points) from 0, the end not included. A table holds the spans of a text as JSON text, as it holds all nested
values; a column of lists of structs is read alike, and so are triples `[0, 5, "PERSON"]`. Cost: 3 microseconds a span.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import polars as pl

from tillage.core.errors import BadData

FORM = '[{"start": 0, "end": 5, "label": "PERSON"}]'


class Span(NamedTuple):
    """Characters `start` to `end` (not included) of a text are of this label.

    >>> Span(0, 5, "PERSON").label
    'PERSON'
    """

    start: int
    end: int
    label: str


def spans_of(values: pl.Series) -> list[list[Span] | None]:
    """The spans of each row, in order of place; None where the row has none to say (null), not where it has no span.

    Raises BadData, with how many rows and the first, where a value is no list of spans.

    >>> spans_of(pl.Series(['[{"end": 5, "label": "NAME", "start": 0}]', "[]", None]))
    [[Span(start=0, end=5, label='NAME')], [], None]
    """
    dtype = values.dtype
    if not (dtype in (pl.String, pl.Null) or isinstance(dtype, pl.List | pl.Array)):
        raise BadData(f"Column '{values.name}' holds {dtype}, which are no spans.", fix=f"A row's spans: {FORM}.")
    found: list[list[Span] | None] = []
    wrong: list[int] = []
    for at, value in enumerate(values.to_list()):
        try:
            found.append(None if value is None else _read(value))
        except (TypeError, ValueError, KeyError, RecursionError):
            wrong.append(at)
    if wrong:
        raise BadData(
            f"Column '{values.name}' holds no list of spans in {len(wrong):,} of {len(values):,} rows, first in row "
            f"{wrong[0] + 1:,} of these.",
            fix=f"Where a text begins and ends, in characters from 0, and what it is: {FORM}; [] for a text with none.",
        )
    return found


def written(spans: Iterable[Span], sure: Sequence[float] | None = None) -> str:
    """Spans as the JSON text of a table; `sure`: the confidence of each, 0 to 1, kept to four decimals.

    >>> written([Span(0, 5, "NAME")], [0.98765])
    '[{"confidence":0.9877,"end":5,"label":"NAME","start":0}]'
    """
    made: list[dict[str, Any]] = [{"end": span.end, "label": span.label, "start": span.start} for span in spans]
    if sure is not None:
        made = [{"confidence": round(float(one), 4), **span} for one, span in zip(sure, made, strict=True)]
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def structured(values: pl.Series) -> pl.Series:
    """Spans with their confidence, as a table holds them, as lists of structs: for who writes them where those are.

    >>> structured(pl.Series(['[{"confidence":0.9,"end":5,"label":"NAME","start":0}]']))[0].to_list()
    [{'start': 0, 'end': 5, 'label': 'NAME', 'confidence': 0.9}]
    """
    fields = {"start": pl.Int64, "end": pl.Int64, "label": pl.String, "confidence": pl.Float64}
    return values.str.json_decode(pl.List(pl.Struct(fields)))


def keys_of(values: pl.Series) -> pl.Series:
    """The spans of each row as texts of which two are equal where place and label are: List(String); null stays null.

    >>> keys_of(pl.Series("y", ['[[0, 5, "NAME"]]', None])).to_list()
    [['0 5 NAME'], None]
    """
    found = [
        None if spans is None else list(dict.fromkeys(f"{s.start} {s.end} {s.label}" for s in spans))
        for spans in spans_of(values)
    ]
    return pl.Series(values.name, found, dtype=pl.List(pl.String))


def touches(text: str, place: int) -> bool:
    """Whether a place is inside a word: letters or digits stand on both sides, of a script that parts words by blanks.

    >>> touches("Anna", 2), touches("Anna's", 4), touches("张三", 1)
    (True, False, False)
    """
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    return before.isalnum() and after.isalnum() and not (_is_unspaced(before) or _is_unspaced(after))


def _is_unspaced(char: str) -> bool:
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U0003ffff"


def _read(value: Any) -> list[Span]:
    """The spans of one row; raises TypeError, ValueError or KeyError where they are none."""
    given = json.loads(value) if isinstance(value, str) else value
    if not isinstance(given, list):
        raise TypeError(type(given).__name__)
    spans = []
    for one in given:
        start, end, label = (one["start"], one["end"], one["label"]) if isinstance(one, dict) else one
        if type(start) is not int or type(end) is not int or not isinstance(label, str) or not label:
            raise TypeError("a place is a whole number, a label a text")
        spans.append(Span(start, end, label))
    return sorted(spans)
