"""Spellings of one category become its most frequent one: case, width, punctuation, spaces, and single typing errors.

Two values are one category when nothing but signs and case tells them apart, or when they are few edits apart and one
is much rarer. What becomes what is learnt once, exactly, and pinned, so that a request is spelled as the training was.
The state of the Fold holds every distinct value; that of the Map those that change. Cost: a comparison of each two
different values (10,000 of them: some 10 CPU seconds, once).
Sources: OpenRefine, key collision methods (fingerprint); Damerau (1964), see `text/edits.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.step import Fitted
from tillage.measure import ValueCounts
from tillage.prepare.column_fold import ColumnFold
from tillage.prepare.columns import require_type
from tillage.text.edits import near_pairs

Ignored = Literal["case", "signs", "accents", "order"]


class SpellingsMerged(Fitted):
    """Writes values as its state says: `{"forms": {column: {value: form}}}`; other values and nulls stay.

    >>> merged = SpellingsMerged(state={"forms": {"city": {"ulm": "Ulm"}}})
    >>> merged.apply(pl.DataFrame({"city": ["ulm", "Rome", None]}))["city"].to_list()
    ['Ulm', 'Rome', None]
    """

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(state={"forms": {"city": {"Rome": "Ulm", "test": ""}, "text": {"A ": "a"}}})

    def needs(self) -> tuple[str, ...]:
        """The columns that it writes."""
        return tuple(self.state["forms"])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows rewritten; raises ConfigurationError for a column that is missing or holds no text."""
        require_type(rows, self.needs(), "text")
        return rows.with_columns(
            pl.col(c).replace(forms)
            for c, forms in self.state["forms"].items()
            if forms and rows.schema[c] == pl.String
        )


class MergeSpellings(ColumnFold):
    """Learn which spellings of the values of some columns are one; the result is a `SpellingsMerged`.

    First, values that differ only in what `ignore` names are one: `case` (and full or half width), `signs`
    (punctuation, symbols and spaces), `accents`, `order` (of the words). Then a value that is at most `edits` edits
    (letters left out, put in, changed, or two swapped) from another one is taken for a typing error, if the other is at
    least `ratio` times as frequent, if there is no more than one edit for every `letters_per_edit` letters, and if
    both have the same digits in the same order ("Room 12" is not "Room 13"). Of several, the nearest counts, then the
    most frequent, then the first by text. Each group takes its most frequent spelling, of equally frequent ones the
    first by text.

    What it cannot: know words. Two names that are one letter apart are two, unless one is rare; three Chinese
    characters that differ in one are too short to tell; "NY" is not "New York": write such into `forms`.

    >>> step = MergeSpellings(columns=("city",), ratio=2)
    >>> seen = pl.DataFrame({"city": ["Boston"] * 4 + ["boston ", "Bostn", "Austin", "ＡＵＳＴＩＮ", "Austin"]})
    >>> step.finish(step.update(step.start(), seen)).apply(seen)["city"].to_list()
    ['Boston', 'Boston', 'Boston', 'Boston', 'Boston', 'Boston', 'Austin', 'Austin', 'Austin']
    """

    wants: ClassVar[str] = "text"

    ignore: tuple[Ignored, ...] = Field(
        ("case", "signs"), description="what makes no difference: case (and width), signs, accents, order of words"
    )
    edits: int = Field(1, ge=0, le=3, description="most edits of a typing error; 0: none is looked for")
    letters_per_edit: int = Field(5, ge=1, le=100, description="letters that a value needs for each edit")
    ratio: float = Field(5.0, ge=1, description="how many times as frequent the right spelling is, at least")
    digits: bool = Field(False, description="whether a digit may be a typing error, too")
    forms: dict[str, dict[str, str]] = Field(
        {}, description="column to {value: form} known to be one; what is spelled like the value goes with it"
    )
    limit: int = Field(20_000, ge=1, description="most different values of a column; beyond them it is no category")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("city", "text"), ratio=1, letters_per_edit=2, forms={"city": {"test": "Ulm"}})

    def statistic(self) -> ValueCounts:
        """How often each value occurs."""
        return ValueCounts()

    def suits(self, dtype: pl.DataType) -> bool:
        """Texts."""
        return dtype in {pl.String, pl.Null}

    def finish(self, state: Mapping[str, Mapping[str, int]]) -> SpellingsMerged:
        """The Map that writes; raises BadData for a column of more than `limit` different values."""
        return SpellingsMerged(state={"forms": {c: self._forms(c, state[c]) for c in self.columns}})

    def _forms(self, column: str, counts: Mapping[str, int]) -> dict[str, str]:
        if len(counts) > self.limit:
            raise BadData(
                f"Column '{column}' has {len(counts):,} different values, and merge_spellings compares at most "
                f"{self.limit:,}.",
                fix="Merge the spellings of a column of categories; or raise 'limit', at the cost of its square.",
            )
        known = self.forms.get(column, {})
        groups: dict[str, list[str]] = {}
        for value in sorted(counts):
            groups.setdefault(self._key(value), []).append(value)
        groups.pop("", None)  # values of signs alone: nothing is left by which to compare them
        into = self._typing_errors({key: sum(counts[v] for v in values) for key, values in groups.items()})
        merged: dict[str, list[str]] = {}
        for key, values in groups.items():
            merged.setdefault(into.get(key, key), []).extend(values)
        forms: dict[str, str] = {}
        for key, values in merged.items():
            form = min(groups[key], key=lambda v: (v not in known, -counts[v], v))
            forms |= dict.fromkeys(values, known.get(form, form))
        forms |= known
        return {value: forms[value] for value in sorted(forms) if forms[value] != value}

    def _key(self, value: str) -> str:
        """What is left of a value without what makes no difference."""
        key = unicodedata.normalize("NFKC", value)
        if "case" in self.ignore:
            key = unicodedata.normalize("NFKC", key.casefold())
        if "accents" in self.ignore:
            parts = unicodedata.normalize("NFD", key)
            key = unicodedata.normalize("NFC", "".join(c for c in parts if unicodedata.category(c) != "Mn"))
        if "order" in self.ignore:
            key = " ".join(sorted(key.split()))
        if "signs" in self.ignore:
            key = "".join(c for c in key if unicodedata.category(c)[0] in "LNM")
        return key

    def _typing_errors(self, weight: Mapping[str, int]) -> dict[str, str]:
        """Key to the key that it is a typing error of; the latter is one of none."""
        if not self.edits:
            return {}
        ranked = sorted(weight, key=lambda k: (-weight[k], k))
        near: dict[int, list[tuple[int, int]]] = {}
        for right, wrong, edits in near_pairs(ranked, self.edits):
            near.setdefault(wrong, []).append((edits, right))
        into: dict[str, str] = {}
        for wrong in sorted(near):
            value = ranked[wrong]
            rights = [
                (edits, right)
                for edits, right in near[wrong]
                if ranked[right] not in into and self._is_error(value, ranked[right], edits, weight)
            ]
            if rights:
                into[value] = ranked[min(rights)[1]]
        return into

    def _is_error(self, wrong: str, right: str, edits: int, weight: Mapping[str, int]) -> bool:
        enough = weight[right] >= self.ratio * weight[wrong] and weight[right] > weight[wrong]
        long = len(right) >= self.letters_per_edit * edits
        return enough and long and (self.digits or _digits(wrong) == _digits(right))


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())
