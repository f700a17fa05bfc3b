"""Personal data within texts is replaced: by the name of its type, or by a keyed token that tells persons apart.

Cost: that of the recogniser over the column, and over the rows that were changed once more.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import Formatter
from typing import Self

import polars as pl
from pydantic import Field, field_validator

from tillage.core.keyed import KeyedMap
from tillage.core.rows import user_columns
from tillage.privacy.looking import Looking
from tillage.privacy.pseudonyms import letters
from tillage.privacy.recognise import TYPES, Span
from tillage.text.folding import fold

_DANGEROUS = r"[0-9@/.]|www"
"""What may not stand in a replacement: with it, a replacement could be taken for data of a person, for ever."""

_AS_WRITTEN = frozenset({"email", "url", "ip_address", "crypto_address"})


class Redact(Looking, KeyedMap):
    """Replace personal data in text columns.

    `replacement` is the text that stands instead: `{type}` in it becomes the type in capitals, `{token}` 16 letters
    that are the same for the same value and type, keyed by the project's secret (subkey `pseudonym`): so that persons
    can be told apart, and counted, by nobody known. Spelling does not matter to a token: digits with or without
    separators, upper or lower case. What is left is looked at again until nothing is found, so doing it twice changes
    nothing. Numbers are not rewritten: a column of telephone numbers that was read as numbers wants `pseudonymize`, or
    to be declared as text. The text that was there stays in the tables before this step.
    Columns of `spans` are null afterwards, since the places that they tell of are other ones now.

    >>> rows = pl.DataFrame({"note": ["Ring +44 20 7946 0018 or mail li.wei@example.cn", "手机１３８１２３４５６７８"]})
    >>> Redact().apply(rows)["note"].to_list()
    ['Ring [PHONE] or mail [EMAIL]', '手机[PHONE]']
    >>> keyed = Redact(types=("email",), replacement="<{token}>").with_key(bytes(32))
    >>> keyed.apply(pl.DataFrame({"note": ["a@b.cn and A@B.cn"]}))["note"].to_list()
    ['<pbbnlgjjamoadcip> and <pbbnlgjjamoadcip>']
    """

    replacement: str = Field(
        "[{type}]", max_length=200, description="what stands instead; {type} and {token} are filled in"
    )

    @field_validator("replacement")
    @classmethod
    def _is_harmless(cls, text: str) -> str:
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{error}; a brace that stays is written twice") from None
        for written, name, spec, conversion in parts:
            if re.search(_DANGEROUS, fold(written).lower()):
                raise ValueError("digits, @, /, . and www could be taken for personal data; use letters and brackets")
            if name is not None and (name not in ("type", "token") or spec or conversion):
                raise ValueError(f"only {{type}} and {{token}} are filled in, not {{{name}}}")
        fixed = "".join(written for written, *_ in parts)
        if text and (len(fixed) < 2 or any(c.isalnum() or c.isspace() or c in "-+(" for c in (text[0], text[-1]))):
            raise ValueError("it must be empty, or begin and end with a mark such as [ ] < > * #, to be told from text")
        return text

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text",), words={"letter": ("a", "\u53d1\u70e7")}, cells={"city": "town"})

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with these columns rewritten; raises ConfigurationError for a column that is not text."""
        columns = self.looked_at(rows, whole_numbers=False)
        done = [self._redacted(c, rows) for c in columns if rows.schema[c] == pl.String]
        stale = {marks.column: pl.lit(None, rows.schema[marks.column]) for marks in self.spans.values()}
        return rows.with_columns(*done, **stale)

    def may_remark(self) -> bool:
        """Where it chooses the columns itself."""
        return not self.columns

    def remarks(self, rows: pl.DataFrame) -> tuple[str, ...]:
        """The columns of numbers that look like personal data and stay as they are."""
        said = []
        for name in (c for c in user_columns(rows) if rows.schema[c].is_integer() or rows.schema[c].is_float()):
            found = self.found(name, rows[name].cast(pl.Int64, strict=False))
            if kinds := sorted({span.type for spans in found.values() for span in spans}):
                said.append(
                    f"Column '{name}' holds numbers that look like personal data ({', '.join(kinds)}), and redact"
                    " leaves numbers. Declare it as text in 'types' of its source, or give it to `pseudonymize`."
                )
        return tuple(said)

    def _redacted(self, column: str, rows: pl.DataFrame) -> pl.Series:
        texts = rows[column]
        changed = now = self._once(column, texts) | self._marked(column, rows)
        while now:
            now = self._again(column, now)
            changed = {**changed, **now}
        if not changed:
            return texts
        places = sorted(changed)
        return texts.clone().scatter(places, pl.Series([changed[at] for at in places], dtype=pl.String))

    def _marked(self, column: str, rows: pl.DataFrame) -> dict[int, str]:
        """Row number to the new text, where another column marks a part of it."""
        if column not in self.spans or column in self.cells:
            return {}
        places = sorted(self.spans[column].of(rows, column))
        some = rows[places]
        return {
            places[at]: self._replaced(some[column][at], spans) for at, spans in self.found_in(some, column).items()
        }

    def _again(self, column: str, texts: dict[int, str]) -> dict[int, str]:
        """Row number to the new text, where anything is found in texts that hold replacements."""
        if self.replacement and column not in self.cells:
            return self._between(column, texts)
        rows = list(texts)
        again = self._once(column, pl.Series(list(texts.values()), dtype=pl.String))
        return {rows[i]: text for i, text in again.items()}

    def _once(self, column: str, texts: pl.Series) -> dict[int, str]:
        """Row number to the new text, where anything was found; what stands between replacements is looked at apart."""
        if not self.replacement:
            return {at: self._replaced(texts[at], spans) for at, spans in self.found(column, texts).items()}
        marked = texts.str.contains(self._ours()).fill_null(value=False)
        rows = marked.arg_true()
        if column in self.cells:  # a cell that is a replacement already is left, any other is replaced whole
            marked = texts.str.contains(f"^(?:{self._ours()})$").fill_null(value=False)
            rows = rows.clear()
        free = texts.zip_with(~marked, pl.Series([None], dtype=pl.String)) if marked.any() else texts
        first = self.found(column, free)
        said = texts.gather(list(first)).to_list() if first else []
        changed = {at: self._replaced(text, first[at]) for at, text in zip(first, said, strict=True)}
        return {
            **changed,
            **self._between(column, dict(zip(rows.to_list(), texts.gather(rows).to_list(), strict=True))),
        }

    def _between(self, column: str, texts: dict[int, str]) -> dict[int, str]:
        """Row number to the new text, where anything was found between the replacements that these texts hold."""
        parted = re.compile(f"({self._ours()})").split
        cut = {at: parted(text) for at, text in texts.items()}  # what stands between, each with the replacement behind
        owners = [(at, i) for at, parts in cut.items() for i in range(0, len(parts), 2)]
        pieces = pl.Series([part for parts in cut.values() for part in parts[::2]], dtype=pl.String)
        changed = set()
        for number, spans in self.found(column, pieces).items():
            at, i = owners[number]
            cut[at][i] = self._replaced(cut[at][i], spans)
            changed.add(at)
        return {at: "".join(cut[at]) for at in sorted(changed)}

    def _ours(self) -> str:
        """A regular expression of what this step writes, for Polars and for Python; without groups."""
        kinds = sorted(
            {*TYPES, *self.words, *self.cells.values(), *self._of_presidio(), *self._of_marks()}, reverse=True
        )
        filled = {"type": f"(?:{'|'.join(kind.upper() for kind in kinds)})", "token": "[a-p]{16}"}
        parts = Formatter().parse(self.replacement)
        return "".join(re.escape(written) + (filled[name] if name else "") for written, name, *_ in parts)

    def _of_marks(self) -> tuple[str, ...]:
        return tuple(name for marks in self.spans.values() for name in marks.labels.values())

    def _of_presidio(self) -> tuple[str, ...]:
        return tuple(e.lower() for e in self.presidio.entities) if self.presidio is not None else ()

    def _replaced(self, text: str, spans: tuple[Span, ...]) -> str:
        out, place = [], 0
        for span in spans:
            out += [text[place : span.start], self._stand_in(span.type, text[span.start : span.end])]
            place = span.end
        return "".join([*out, text[place:]])

    def _stand_in(self, kind: str, value: str) -> str:
        if "{token}" not in self.replacement:
            return _filled(self.replacement, kind)
        return self.replacement.format(type=kind.upper(), token=letters(self.held_key(), kind, _spelt(kind, value)))


@lru_cache(maxsize=256)
def _filled(replacement: str, kind: str) -> str:
    return replacement.format(type=kind.upper())


def _spelt(kind: str, value: str) -> str:
    """A value as a token sees it: folded, in lower case, without separators where they mean nothing."""
    folded = fold(value).lower()
    return folded if kind in _AS_WRITTEN else "".join(c for c in folded if c.isalnum())
