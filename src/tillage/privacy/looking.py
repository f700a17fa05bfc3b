"""What the steps that look for personal data share: their parameters, the columns, and what is found in a column.

A cell is looked into by the recogniser, by the libraries that were asked for, or is taken whole where its column is
known to hold data of a person (a name, an address). Findings of all of them are settled into spans that do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.rows import user_columns
from tillage.privacy.kinds import PiiType
from tillage.privacy.marks import Marks, TypeName, with_marks
from tillage.privacy.phone_numbers import Region, numbers_in
from tillage.privacy.presidio import Presidio, entities_in
from tillage.privacy.recognise import TYPES, Span, recogniser
from tillage.text.folding import fold


def _none_empty(words: tuple[str, ...]) -> tuple[str, ...]:
    if not all(fold(word).strip() for word in words):
        raise ValueError("an empty word would be found everywhere")
    return words


WordList: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_none_empty)]


class Looking(BaseModel):
    """Where to look, and for what: the parameters of `find_pii`, `redact` and `pii_report`."""

    model_config = ConfigDict(frozen=True)

    columns: Columns = Field((), description="columns to look into; none named: all text columns")
    types: tuple[PiiType, ...] = Field(TYPES, description="structured types to look for; all of them by default")
    words: dict[TypeName, WordList] = Field(
        {}, description="type to a list of words (names, wards) that are found exactly, the longest first"
    )
    cells: dict[str, TypeName] = Field(
        {}, description="column to the type that each of its cells is, whole: for names, addresses and other free text"
    )
    spans: dict[str, Marks] = Field(
        {},
        description="text column to the column of spans that marks parts of it, such as the `prediction` of an "
        "entity_recognizer, and to the type of each label: {note: {column: prediction, labels: {PERSON: name}}}",
    )
    phone_regions: tuple[Region, ...] = Field(
        (), description="countries (CN, US) whose numbers the library phonenumbers looks for as well; none: not asked"
    )
    presidio: Presidio | None = Field(
        None, description="what Microsoft Presidio looks for as well; left out: not asked"
    )

    @field_validator("types")
    @classmethod
    def _in_one_order(cls, types: tuple[PiiType, ...]) -> tuple[PiiType, ...]:
        return tuple(t for t in TYPES if t in types)

    def needs(self) -> tuple[str, ...]:
        """The columns named."""
        return tuple(dict.fromkeys((*self.columns, *self.cells, *self.spans, *self._marking())))

    def _marking(self) -> tuple[str, ...]:
        """The columns of spans, which are places and no text to look into."""
        return tuple(dict.fromkeys(marks.column for marks in self.spans.values()))

    def looked_at(self, rows: pl.DataFrame, *, whole_numbers: bool) -> list[str]:
        """The columns to look into: text, and whole numbers where a number is to be found and not rewritten.

        Raises ConfigurationError for a named column that is missing or of another type.
        """
        known = user_columns(rows)
        problems = [unknown_name("column", c, known) for c in self.needs() if c not in known]
        marking = self._marking()
        named = tuple(c for c in self.needs() if c in known and c not in marking)
        wrong = [c for c in named if not _readable(rows.schema[c], whole_numbers=whole_numbers)]
        problems += [
            f"Column '{c}' holds {rows.schema[c]}, and this step needs text. Put `cast` before this step."
            for c in wrong
        ]
        if problems:
            raise ConfigurationError(Problem(p) for p in problems)
        free = [c for c in known if c not in marking and _readable(rows.schema[c], whole_numbers=whole_numbers)]
        return [c for c in free if c in named] if self.columns else free

    def found_in(self, rows: pl.DataFrame, column: str) -> dict[int, tuple[Span, ...]]:
        """Row number to what was found in the cells of a column, and what another column marks in them."""
        found = self.found(column, rows[column])
        if column not in self.spans or column in self.cells:
            return found
        texts = rows[column]
        marked = self.spans[column].of(rows, column)
        both = {at: with_marks(texts[at], found.get(at, ()), some) for at, some in marked.items()}
        return dict(sorted({**found, **both}.items()))

    def found(self, column: str, values: pl.Series) -> dict[int, tuple[Span, ...]]:
        """Row number to what was found in the cells of a column."""
        texts = values.cast(pl.String)
        if column in self.cells:
            full = (texts.str.len_bytes() > 0).fill_null(value=False)
            lengths = texts.str.len_chars().to_list()
            return {at: (Span(0, lengths[at], self.cells[column]),) for at in full.arg_true().to_list()}
        spans = recogniser(self.types, tuple(self.words.items())).find_all(texts)
        if not self.phone_regions and self.presidio is None:
            return spans
        out = {}
        for at, text in enumerate(texts.to_list()):
            if text:
                merged = _beside(spans.get(at, ()), self._asked(text))
                if merged:
                    out[at] = merged
        return out

    def _asked(self, text: str) -> Iterator[Span]:
        """What the libraries find in a text."""
        if self.phone_regions:
            yield from (Span(a, b, "phone") for a, b in numbers_in(text, self.phone_regions))
        if self.presidio is not None:
            yield from (Span(a, b, name) for a, b, name in entities_in(text, self.presidio))


def _beside(first: tuple[Span, ...], others: Iterator[Span]) -> tuple[Span, ...]:
    """Ours, and of the others the longest that overlap none that is kept."""
    kept = list(first)
    for one in sorted(others, key=lambda s: (s.start - s.end, s.start, s.type)):
        if one.start < one.end and all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return tuple(sorted(kept))


def _readable(dtype: pl.DataType, *, whole_numbers: bool) -> bool:
    return dtype in (pl.String, pl.Null) or (whole_numbers and dtype.is_integer())
