"""The recogniser: texts to spans of personal data, by typed patterns with checks, and by dictionaries.

Work is spared in three steps: a filter over the whole column (no digit, no @, no address: nothing to find), then the
gate of each form over the rows that are left, and only then the pattern, row by row. Texts are folded first
(`text.folding`) and spans are told in places of the text that came. Findings that overlap are settled by one rule: what
a checksum or its own syntax makes certain before what stands on context, then the longer, then the type's rank, then
the place.
Cost: see `benchmarks/figure_pii.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias, get_args

import polars as pl

from tillage.privacy.kinds import STRUCTURED, Form, PiiType, Starts
from tillage.privacy.telephone import TELEPHONE
from tillage.text.dictionary import Dictionary
from tillage.text.folding import NOT_PLAIN, fold, places
from tillage.text.unicode import is_ascii

FORMS: tuple[Form, ...] = (*STRUCTURED, *TELEPHONE)
TYPES: tuple[PiiType, ...] = get_args(PiiType)

ROW_FILTER = r"[0-9@]|://|[Ww]{3}\."
"""Found in every text that holds structured personal data of any type."""

Words: TypeAlias = "tuple[tuple[str, tuple[str, ...]], ...]"
"""Type to the words of its dictionary."""


class Span(NamedTuple):
    """Characters `start` to `end` (not included) of a text are of this type.

    >>> span = Recogniser().find("mail a@b.cn")[0]
    >>> span.type, span.start, span.end
    ('email', 5, 11)
    """

    start: int
    end: int
    type: str


class Candidate(NamedTuple):
    """A finding before overlaps are settled, in places of the folded text; the first field is the rank of certainty."""

    doubt: int
    start: int
    end: int
    type: str


class Recogniser:
    """Finds personal data of the given types (all structured ones by default) and the words of dictionaries.

    >>> Recogniser().find("手机13812345678，邮箱li.wei@example.cn")
    (Span(start=2, end=13, type='phone'), Span(start=16, end=33, type='email'))
    >>> Recogniser(("iban",)).find("IBAN GB29 NWBK 6016 1331 9268 19, phone +44 20 7946 0018")
    (Span(start=5, end=32, type='iban'),)
    """

    def __init__(self, types: Sequence[PiiType] = TYPES, words: Words = ()) -> None:
        self.forms = tuple(form for form in FORMS if form.type in types)
        self.words = Dictionary(tuple((name, tuple(map(fold, some))) for name, some in words)) if words else None
        self._ranks = {name: rank for rank, name in enumerate((*(name for name, _ in words), *TYPES))}

    def find(self, text: str) -> tuple[Span, ...]:
        """The spans of one text, by place; none overlap."""
        folded = fold(text)
        found = [c for form in self.forms for c in candidates(form, folded)]
        return self._settled(text, folded, found + self._named(folded))

    def find_all(self, texts: pl.Series) -> dict[int, tuple[Span, ...]]:
        """Row number to spans, for the rows that have any; the same as `find` on each."""
        odd = texts.str.contains(NOT_PLAIN).fill_null(value=False)
        wanted = odd | (texts.str.contains(ROW_FILTER) if self.forms else False)
        if self.words is not None:
            wanted = wanted | texts.str.contains_any(self.words.entries)
        rows = wanted.fill_null(value=False).arg_true()
        if rows.is_empty():
            return {}
        raw = texts.gather(rows).to_list()
        strange = odd.gather(rows).to_list()
        folded = [fold(text) if changed else text for text, changed in zip(raw, strange, strict=True)]
        column = pl.Series(folded, dtype=pl.String)
        found: dict[int, list[Candidate]] = {}
        for at, forms in self._passed(column).items():
            begun: dict[Starts, list[int]] = {}
            for form in forms:
                text = folded[at]
                if form.starts is None:
                    told = candidates(form, text)
                else:
                    if form.starts not in begun:
                        begun[form.starts] = form.starts(text)
                    told = candidates_at(form, text, begun[form.starts])
                for candidate in told:
                    found.setdefault(at, []).append(candidate)
        if self.words is not None:
            for at in column.str.contains_any(self.words.entries).arg_true().to_list():
                found.setdefault(at, []).extend(self._named(folded[at]))
        numbers = rows.to_list()
        settled = ((numbers[at], self._settled(raw[at], folded[at], some)) for at, some in sorted(found.items()))
        return {number: spans for number, spans in settled if spans}

    def _passed(self, texts: pl.Series) -> dict[int, list[Form]]:
        """Place of a text to the forms whose gates it passes; a gate is asked of those that passed the ones before.

        A gate that several forms begin with is asked once. Words come after it, since few texts pass it.
        """
        out: dict[int, list[Form]] = {}
        wide = (~is_ascii(texts)).arg_true()
        first: dict[tuple[str, bool], pl.Series] = {}
        for form in self.forms:
            gate, *others = form.gates
            key = gate, form.han
            if key not in first:
                some = texts.gather(wide) if form.han else texts
                found = some.str.contains(gate)
                first[key] = wide.filter(found) if form.han else found.arg_true()
            at = first[key]
            if form.words and len(at):
                at = at.filter(texts.gather(at).str.contains_any(_spellings(form.words), ascii_case_insensitive=True))
            for other in others:
                at = at.filter(texts.gather(at).str.contains(other)) if len(at) else at
            for place in at.to_list():
                out.setdefault(place, []).append(form)
        return out

    def _named(self, folded: str) -> list[Candidate]:
        return [Candidate(0, *found) for found in self.words.find(folded)] if self.words is not None else []

    def _settled(self, text: str, folded: str, found: list[Candidate]) -> tuple[Span, ...]:
        if not found:
            return ()
        kept: list[Candidate] = []
        for one in sorted(found, key=lambda c: (c.doubt, c.start - c.end, self._ranks[c.type], c.start)):
            if all(one.end <= other.start or other.end <= one.start for other in kept):
                kept.append(one)
        kept.sort(key=lambda c: c.start)
        if folded == text:  # no character went and none became two, so that places are the same
            return tuple(Span(c.start, c.end, c.type) for c in kept)
        at = places(text)
        return tuple(Span(at[c.start], _end(at, c.end), c.type) for c in kept)


def _spellings(words: tuple[str, ...]) -> list[str]:
    """The words, and the two letters beyond ASCII that Python's patterns take for an i."""
    return [*words, "\u0130", "\u0131"]


def candidates_at(form: Form, folded: str, starts: Iterable[int]) -> Iterator[Candidate]:
    """The same as `candidates` for a form that can begin nowhere but at these places."""
    place = 0
    for start in starts:
        if start >= place and (match := form.pattern.match(folded, start)):
            settled = form.check(folded, start, match.end())
            if settled is not None:
                place = settled[1]
                yield Candidate(0 if form.sure else 1, *settled, form.type)


def candidates(form: Form, folded: str) -> Iterator[Candidate]:
    """What a form finds in a folded text; after a finding that was turned down it looks on one character further.

    The slow twin of `candidates_at`: it asks the pattern at every character.
    """
    place = 0
    while match := form.pattern.search(folded, place):
        settled = form.check(folded, match.start(), match.end())
        if settled is None:
            place = match.start() + 1
        else:
            place = max(settled[1], match.start() + 1)
            yield Candidate(0 if form.sure else 1, *settled, form.type)


def _end(at: list[int], end: int) -> int:
    """The place after the last character of a finding: what folding took out behind it is not of it."""
    return at[end - 1] + 1


@lru_cache(maxsize=64)
def recogniser(types: tuple[PiiType, ...] = TYPES, words: Words = ()) -> Recogniser:
    """The recogniser of these types and words, made once.

    >>> recogniser() is recogniser()
    True
    """
    return Recogniser(types, words)
