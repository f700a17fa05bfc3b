"""The recogniser: texts to spans of personal data, by typed patterns with checks, and by dictionaries.

Work is spared twice over. Where the extension was compiled, one pass over all texts tells where a form can begin
(`privacy.shapes`), and patterns are asked there alone. Without it there are three steps: a filter over the whole
column (no digit, no @, no address: nothing to find), then the gate of each form over the rows that are left, and only
then the pattern, row by row. Both find the same. Texts are folded first (`text.folding`) and spans are told in places
of the text that came. Findings that overlap are settled by one rule: what a checksum or its own syntax makes certain
before what stands on context, then the longer, then the type's rank, then the place.
Cost: see `benchmarks/figure_pii.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple, TypeAlias, get_args

import numpy as np
import polars as pl

from tillage.privacy.kinds import SIX_DIGITS, STRUCTURED, Form, PiiType, Starts
from tillage.privacy.shapes import Shape, shapes
from tillage.privacy.telephone import TELEPHONE
from tillage.text.dictionary import Dictionary
from tillage.text.folding import NOT_PLAIN, fold, places
from tillage.text.native import compiled
from tillage.text.unicode import is_ascii

FORMS: tuple[Form, ...] = (*STRUCTURED, *TELEPHONE)
TYPES: tuple[PiiType, ...] = get_args(PiiType)

_SIGN = r"[0-9@]"
_ADDRESS = r"://|[Ww]{3}\.|(?:[A-Fa-f]{2}[:-]){5}[A-Fa-f]{2}|[DLMTA][A-HJ-NP-Za-km-z]{25}"
"""What needs neither a digit nor an @: addresses, those of devices and of coins among them."""
ROW_FILTER = f"{_SIGN}|{_ADDRESS}"
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


Looked: TypeAlias = tuple[str, str, list[Candidate]]
"""A text, the same folded, and what was found in it."""


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
        self._shapes = Shape(0)
        for form in self.forms:
            self._shapes |= form.shape
        self._by_bits: dict[int, tuple[tuple[int, Form], ...]] = {}
        self._ranks = {name: rank for rank, name in enumerate((*(name for name, _ in words), *TYPES))}

    def find(self, text: str) -> tuple[Span, ...]:
        """The spans of one text, by place; none overlap."""
        folded = fold(text)
        found = [c for form in self.forms for c in candidates(form, folded)]
        return self._settled(text, folded, found + self._named(folded))

    def find_all(self, texts: pl.Series) -> dict[int, tuple[Span, ...]]:
        """Row number to spans, for the rows that have any; the same as `find` on each."""
        looked = self._by_gates(texts) if compiled is None else self._by_shapes(compiled, texts)
        out = {}
        for row, (raw, folded, found) in sorted(looked.items()):
            spans = self._settled(raw, folded, found)
            if spans:
                out[row] = spans
        return out

    def _by_shapes(self, compiled: ModuleType, texts: pl.Series) -> dict[int, Looked]:
        """Row number to what is found at the places of shapes, and of words."""
        found, odd = shapes(compiled, texts)
        column = texts
        if len(odd):
            column = pl.Series([fold(text) for text in texts.gather(odd).to_list()], dtype=pl.String)
            again, _ = shapes(compiled, column)
            again[:, 0] = odd[again[:, 0]]
            found = np.concatenate([found[~np.isin(found[:, 0], odd)], again])
            column = texts.clone().scatter(odd, column)
        found = found[(found[:, 2] & int(self._shapes)) != 0]
        named = column.str.contains_any(self.words.entries).arg_true().to_list() if self.words is not None else []
        rows = sorted({*found[:, 0].tolist(), *named})
        out: dict[int, Looked] = {
            row: (text, text, []) for row, text in zip(rows, column.gather(rows).to_list(), strict=True)
        }
        for row in set(odd.tolist()) & out.keys():
            out[row] = (texts[row], *out[row][1:])
        last, past = -1, [0] * len(self.forms)
        for row, start, bits in zip(*found.T.tolist(), strict=True):
            if row != last:
                _, text, told = out[row]
                last, past = row, [0] * len(self.forms)
            for number, form in self._of_shapes(bits):
                if start >= past[number] and (candidate := candidate_at(form, text, start)):
                    past[number] = candidate.end
                    told.append(candidate)
        for row in named:
            out[row][2].extend(self._named(out[row][1]))
        return out

    def _of_shapes(self, bits: int) -> tuple[tuple[int, Form], ...]:
        """The forms of these shapes, each with its number."""
        if bits not in self._by_bits:
            self._by_bits[bits] = tuple((i, form) for i, form in enumerate(self.forms) if form.shape & bits)
        return self._by_bits[bits]

    def _by_gates(self, texts: pl.Series) -> dict[int, Looked]:
        """The twin of `_by_shapes`: row number to what is found where the gates of forms are passed, and by words."""
        odd = _not_plain(texts)
        wanted = odd
        if self.forms:
            wanted = wanted | texts.str.contains(_SIGN).fill_null(value=False)
            rest = (~wanted).arg_true()  # to ask for signs and words in one costs four times as much
            wanted = wanted.scatter(rest, texts.gather(rest).str.contains(_ADDRESS).fill_null(value=False))
        if self.words is not None:
            wanted = wanted | texts.str.contains_any(self.words.entries).fill_null(value=False)
        rows = wanted.arg_true()
        if rows.is_empty():
            return {}
        raw = texts.gather(rows)
        strange = odd.gather(rows).arg_true()
        column = raw
        if len(strange):
            column = raw.clone().scatter(strange, pl.Series([fold(t) for t in raw.gather(strange).to_list()]))
        passed = self._passed(column)
        named = column.str.contains_any(self.words.entries).arg_true().to_list() if self.words is not None else []
        looked_at = sorted({*passed, *named})
        numbers, changed = rows.to_list(), set(strange.to_list())
        out: dict[int, Looked] = {}
        for at, text in zip(looked_at, column.gather(looked_at).to_list(), strict=True):
            found: list[Candidate] = []
            begun: dict[Starts, list[int]] = {}
            for form in passed.get(at, ()):
                if form.starts is None:
                    found += candidates(form, text)
                else:
                    if form.starts not in begun:
                        begun[form.starts] = form.starts(text)
                    found += candidates_at(form, text, begun[form.starts])
            out[numbers[at]] = (raw[at] if at in changed else text, text, found)
        for at in named:
            _, text, found = out[numbers[at]]
            found += self._named(text)
        return out

    def _passed(self, texts: pl.Series) -> dict[int, list[Form]]:
        """Place of a text to the forms whose gates it passes; a gate is asked of those that passed the ones before.

        A gate that several forms begin with is asked once. Words come last: to look for them costs five times as much.
        """
        out: dict[int, list[Form]] = {}
        places = {
            "every": None,
            "han": (~is_ascii(texts)).arg_true() if any(form.han for form in self.forms) else None,
            "six": texts.str.contains(SIX_DIGITS).arg_true() if any(form.six for form in self.forms) else None,
        }
        among = {kind: texts if at is None else texts.gather(at) for kind, at in places.items()}
        first: dict[tuple[str, str], pl.Series] = {}
        for form in self.forms:
            gate, *others = form.gates
            kind = "han" if form.han else "six" if form.six else "every"
            if (gate, kind) not in first:
                found, where = among[kind].str.contains(gate), places[kind]
                first[gate, kind] = found.arg_true() if where is None else where.filter(found)
            at = first[gate, kind]
            for other in others:
                at = at.filter(texts.gather(at).str.contains(other)) if len(at) else at
            if form.words and len(at):
                at = at.filter(texts.gather(at).str.contains_any(_spellings(form.words), ascii_case_insensitive=True))
            for place in at.to_list():
                out.setdefault(place, []).append(form)
        return out

    def _named(self, folded: str) -> list[Candidate]:
        return [Candidate(0, *found) for found in self.words.find(folded)] if self.words is not None else []

    def _settled(self, text: str, folded: str, found: list[Candidate]) -> tuple[Span, ...]:
        if not found:
            return ()
        kept = found if len(found) == 1 else self._apart(found)
        if folded == text:  # no character went and none became two, so that places are the same
            return tuple(Span(c.start, c.end, c.type) for c in kept)
        at = places(text)
        return tuple(Span(at[c.start], _end(at, c.end), c.type) for c in kept)

    def _apart(self, found: list[Candidate]) -> list[Candidate]:
        """Those that are kept of findings that overlap, by place; each is compared with its neighbours alone."""
        kept: list[Candidate] = []
        starts: list[int] = []
        for one in sorted(found, key=lambda c: (c.doubt, c.start - c.end, self._ranks[c.type], c.start)):
            at = bisect_right(starts, one.start)
            if (at == 0 or kept[at - 1].end <= one.start) and (at == len(kept) or one.end <= starts[at]):
                kept.insert(at, one)
                starts.insert(at, one.start)
        return kept


def _not_plain(texts: pl.Series) -> pl.Series:
    """Which texts folding may change: none that is ASCII."""
    wide = (~is_ascii(texts)).arg_true()
    odd = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    return odd.scatter(wide, texts.gather(wide).str.contains(NOT_PLAIN)) if len(wide) else odd


def _spellings(words: tuple[str, ...]) -> list[str]:
    """The words, and the two letters beyond ASCII that Python's patterns take for an i."""
    return [*words, "\u0130", "\u0131"]


def candidate_at(form: Form, folded: str, start: int) -> Candidate | None:
    """What a form finds in a folded text from this place on, if anything."""
    match = form.pattern.match(folded, start)
    settled = form.check(folded, start, match.end()) if match else None
    return Candidate(0 if form.sure else 1, *settled, form.type) if settled else None


def candidates_at(form: Form, folded: str, starts: Iterable[int]) -> Iterator[Candidate]:
    """The same as `candidates` for a form that can begin nowhere but at these places."""
    place = 0
    for start in starts:
        if start >= place and (candidate := candidate_at(form, folded, start)):
            place = candidate.end
            yield candidate


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
