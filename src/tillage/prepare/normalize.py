"""Text in one form: Unicode normalised, invisible characters out, white space single, markup stripped if asked.

Most rows of most tables are plain ASCII with single spaces and need nothing, and of the others most hold nothing that
depends on its neighbours: the compiled function sees the ones, 0.1 nanoseconds a byte, and rewrites the others, 1.5, by
a table (`rewriting`). Without it a gate (one regular expression, 0.09 microseconds a row) picks the others. What is
left goes through Polars' regular expressions, which take linear time, and, where a text is not in normal form already,
through `unicodedata`.
Sources: Unicode Standard Annex 15 (normalisation forms), Unicode property White_Space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Self

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.columns import Columns
from tillage.core.rows import user_columns
from tillage.core.step import Map
from tillage.prepare.columns import require_type
from tillage.prepare.rewriting import CONTROL, INVISIBLE, WIDE, WIDE_SIGNS, Form, actions
from tillage.text.markup import strip_markup
from tillage.text.native import compiled, handed
from tillage.text.unicode import JOINERS, Bits, drop_joiners

_BREAK = r"\r\n|[\r\x0b\x0c\x1c-\x1e\u0085\u2028\u2029]"
"""What `str.splitlines` breaks at, besides the line feed."""

_SPACE = r"[\s\x1c-\x1f]+"
"""White_Space, and the four ASCII separators which Python counts as space too."""

_SPACE_IN_LINE = r"[\s\x1f--\n]+"
_AROUND_BREAK = r" ?\n ?"

_NEEDS_WORK = r"[^ -~]|  |^ | $"
"""Anything but printable ASCII; a double space; a space at either end."""

_needs_work = re.compile(_NEEDS_WORK).search
_FEW = 64
"""Texts up to which that is asked of each: a query costs more, and a request has a row."""

_MOST = 1 << 30
"""Bytes of texts that the compiled function is given at once."""

_FIRST = 256
"""Texts looked at to see whether a column repeats itself."""


class Normalize(Map):
    """Bring text columns to one Unicode form; null stays null.

    In this order: markup out if asked, invisible and control characters out, normal form (NFKC turns full width into
    half width and ligatures into letters), lower case if asked (and the form again, which lowering can undo), white
    space to single spaces, ends trimmed. Without `html`, doing it twice changes nothing; with it, the second time would
    decode what the first time laid bare (`&amp;lt;`).

    Joiners (U+200C, U+200D) go with the characters that take no room, unless they are spelling: between two letters of
    a script that joins (Persian), after a letter or sign of a script with conjuncts (Hindi, Malayalam), and in a
    picture made of two (a family of emoji).

    NFKC turns Chinese full-width punctuation (，！？) into ASCII. To keep it, take NFC with `full_width`.

    >>> rows = pl.DataFrame({"text": ["ＡＢＣ　１２３", " ﬁne \\u200b print", None]})
    >>> Normalize().apply(rows)["text"].to_list()
    ['ABC 123', 'fine print', None]
    >>> Normalize(form="NFC", full_width=True).apply(pl.DataFrame({"text": ["ＡＢＣ，好！"]})).item()
    'ABC，好！'
    >>> page = pl.DataFrame({"text": ["<h1>Fish &amp; chips</h1><p>Fresh<br>daily</p>"]})
    >>> Normalize(html=True, lines=True).apply(page).item()
    'Fish & chips\\n\\nFresh\\ndaily'
    """

    columns: Columns = Field((), description="text columns to normalise; none named: all text columns")
    form: Form = Field("NFKC", description="Unicode normal form")
    html: bool = Field(False, description="strip tags and comments, drop scripts and styles, decode entities")
    full_width: bool = Field(
        False, description="with NFC, turn full-width letters and digits into half width; NFKC always does"
    )
    zero_width: bool = Field(True, description="remove characters that take no room; joiners only where no spelling")
    control: bool = Field(True, description="remove control characters that are no white space")
    spaces: bool = Field(True, description="turn each run of white space into one space, and trim the ends")
    lines: bool = Field(
        False, description="keep line breaks, each as a line feed, at most two together where `spaces` is on"
    )
    lower: bool = Field(False, description="turn to lower case")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text", "city"))

    def needs(self) -> tuple[str, ...]:
        """The columns named."""
        return self.columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with these columns rewritten; raises ConfigurationError for a column that is not text."""
        require_type(rows, self.columns, "text")
        columns = self.columns or [c for c in user_columns(rows) if rows.schema[c] == pl.String]
        texts = [c for c in columns if rows.schema[c] == pl.String]
        return rows.with_columns(
            normalize_text(
                rows[c],
                self.form,
                html=self.html,
                full_width=self.full_width,
                zero_width=self.zero_width,
                control=self.control,
                spaces=self.spaces,
                lines=self.lines,
                lower=self.lower,
            )
            for c in texts
        )


def normalize_text(
    text: pl.Series,
    form: Form = "NFKC",
    *,
    html: bool = False,
    full_width: bool = False,
    zero_width: bool = True,
    control: bool = True,
    spaces: bool = True,
    lines: bool = False,
    lower: bool = False,
) -> pl.Series:
    """A text series in one form, as `Normalize` describes it; same length, nulls where they were.

    >>> normalize_text(pl.Series(["Ｆｅｖｅｒ  ", "ok"]), lower=True).to_list()
    ['fever', 'ok']
    """
    rules = (form, html, full_width, zero_width, control, spaces, lines, lower)
    if not _repeats(text):
        return _normalized(text, *rules)
    names = text.unique().drop_nulls().sort()
    made = _names(tuple(names.to_list()), rules) if len(names) <= _FIRST else _normalized(names, *rules)
    return text.replace(names, made)


@lru_cache(maxsize=64)
def _names(names: tuple[str, ...], rules: tuple[Form, bool, bool, bool, bool, bool, bool, bool]) -> pl.Series:
    """The names of a category, once for all chunks that have the same: to read the patterns alone takes 1 ms."""
    return _normalized(pl.Series(names, dtype=pl.String), *rules)


def _repeats(text: pl.Series) -> bool:
    """Whether the first texts say that few are different; a look that costs nothing beside the rewriting."""
    first = text.head(_FIRST)
    return len(first) == _FIRST and first.n_unique() * 4 <= _FIRST * 3


def _normalized(
    text: pl.Series,
    form: Form,
    html: bool,
    full_width: bool,
    zero_width: bool,
    control: bool,
    spaces: bool,
    lines: bool,
    lower: bool,
) -> pl.Series:
    if html:
        text = _rewrite(text, text.str.contains("[<&]"), strip_markup)
    rules = (form, full_width, zero_width, control, spaces, lines, lower)
    few = len(text) <= _FEW and not any(t is not None and _needs_work(t) for t in text.to_list())
    if compiled is not None and not few and text.estimated_size() <= _MOST:
        return _by_table(text, *rules)
    plain = text.str.to_lowercase() if lower else text
    if few:
        return plain
    gate = text.str.contains(_NEEDS_WORK)
    if not gate.any():
        return plain
    # scatter writes into the series it is called on; the clone keeps the caller's rows as they were
    return plain.clone().scatter(gate.arg_true(), _by_rules(text.filter(gate), *rules))


def _by_table(
    text: pl.Series,
    form: Form,
    full_width: bool,
    zero_width: bool,
    control: bool,
    spaces: bool,
    lines: bool,
    lower: bool,
) -> pl.Series:
    """The texts rewritten by the compiled function, which there must be, and those that it leaves by the rules."""
    assert compiled is not None
    native, rules = compiled, (form, full_width, zero_width, control, spaces, lines, lower)
    became, made = np.empty(len(text), dtype=np.uint8), [text]

    def work(table: Bits, wanted: Bits) -> None:
        stream = text.__arrow_c_stream__()
        made[0] = handed(text.name, native.rewritten_texts(stream, table, wanted, spaces, lower, became))

    actions(*rules).read_by(work, text)
    rewritten, left = (np.flatnonzero(became == n) for n in (1, 2))
    if not len(rewritten) and not len(left):
        return text
    out = text.clone()
    if len(rewritten):
        out = out.scatter(rewritten, made[0])
    return out.scatter(left, _by_rules(text.gather(left), *rules)) if len(left) else out


def _by_rules(
    odd: pl.Series,
    form: Form,
    full_width: bool,
    zero_width: bool,
    control: bool,
    spaces: bool,
    lines: bool,
    lower: bool,
) -> pl.Series:
    """The texts rewritten by one rule after the other."""
    out = (INVISIBLE if zero_width else "") + (CONTROL if control else "")
    if out:
        odd = odd.str.replace_all(f"[{out}]", "")
    if form == "NFKC":
        odd = _replaced(odd, "[\uff01-\uff5e\u3000\u00a0\u2026]", WIDE_SIGNS)
    elif full_width:
        odd = _replaced(odd, "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]", WIDE)
    odd = _formed(odd, form)
    if lower:
        odd = _formed(odd.str.to_lowercase(), form)
    if zero_width:
        odd = _rewrite(odd, odd.str.contains(f"[{JOINERS}]"), lambda t: _without_joiners(t, form))
    return _spaced(odd, spaces, lines)


def _rewrite(text: pl.Series, gate: pl.Series, how: Callable[[str], str]) -> pl.Series:
    """The texts for which the gate is true, rewritten one by one; the others as they are."""
    if not gate.any():
        return text
    some = pl.Series([how(t) for t in text.filter(gate)], dtype=pl.String)
    return text.clone().scatter(gate.arg_true(), some)


def _replaced(text: pl.Series, gate: str, signs: dict[str, str]) -> pl.Series:
    """The texts with signs replaced, those that the gate finds some in."""
    some = text.str.contains(gate)
    if not some.any():
        return text
    new = text.filter(some).str.replace_many(list(signs), list(signs.values()))
    return text.clone().scatter(some.arg_true(), new)


def _formed(text: pl.Series, form: Form) -> pl.Series:
    """The texts in normal form; ASCII always is, and `is_normalized` tells most of the others at a glance."""
    values = text.to_list()
    odd = [at for at, t in enumerate(values) if not (t.isascii() or unicodedata.is_normalized(form, t))]
    if not odd:
        return text
    return text.clone().scatter(odd, pl.Series([unicodedata.normalize(form, values[at]) for at in odd]))


def _without_joiners(text: str, form: Form) -> str:
    """What a joiner kept apart may come together, which may bring other letters to the joiners that are left."""
    while (shorter := unicodedata.normalize(form, drop_joiners(text))) != text:
        text = shorter
    return text


def _spaced(text: pl.Series, spaces: bool, lines: bool) -> pl.Series:
    """White space as asked for."""
    if lines:
        text = text.str.replace_all(_BREAK, "\n")
    if not spaces:
        return text
    if not lines:
        return text.str.replace_all(_SPACE, " ").str.strip_chars(" ")
    text = text.str.replace_all(_SPACE_IN_LINE, " ").str.replace_all(_AROUND_BREAK, "\n")
    return text.str.replace_all("\n{3,}", "\n\n").str.strip_chars(" \n")
