"""Texts that read like prose stay; those too short, too long, made of symbols or said over and over leave.

One reading of the code points counts everything (`text.measures`); what costs more (stop words, repeated lines,
n-grams) is asked of the texts that are still in. The compiled functions read the texts where they lie, some 2
nanoseconds a character in all, 6 with the n-grams; without them texts are judged in blocks, at 5 to 8 times the cost.
Sources: Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1), whose limits are the defaults; C4
(Raffel et al. 2020, JMLR 21:140, section 2.2); FineWeb (Penedo et al. 2024, arXiv:2406.17557, section 3.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from tillage.core.rows import REASON
from tillage.core.step import Map
from tillage.prepare.columns import require_type
from tillage.text.measures import count, counts, distinct_words, tokens
from tillage.text.native import compiled
from tillage.text.repetition import LINES, ngram_limits, ngrams_over, repeated_lines
from tillage.text.unicode import LINE_FEED, Bits, blocks, is_ascii, properties

Share = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=0)]
Words = Annotated[int, Field(ge=2, le=64)]
Which = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]
Ngrams = Callable[[Mapping[int, float], Mapping[int, float], Which], tuple[Which, Which]]

GOPHER_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""English, as Gopher has them."""
CHINESE_STOP_WORDS = ("的", "是", "在", "了", "和", "不", "有", "我", "也", "就", "这", "這", "为", "為", "与", "與")
"""Chinese function words that most prose has two of, in simplified and traditional script."""

_PLAIN = re.compile(r"[a-z]+\Z")
"""A stop word that is looked for in the code points; others are looked for by regular expression."""

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+\\Z")


class FilterQuality(Map):
    """Rows whose text breaks a rule leave, with the rule's name as the reason; the first one in order counts.

    Every rule is a limit of its own, and null switches it off. The defaults are Gopher's for web pages: shorter texts
    (reviews, questions, messages) want `min_words` and `min_stop_words` lower or off. A null text is as empty.

    A word is a run between white space that holds more than punctuation; a Han character is a word. A text is Chinese
    when half of its words or more are Han: then `min_han` and `max_han` take the place of `min_words` and `max_words`
    (a Chinese word has about 1.5 characters), the mean word length says nothing and is not asked, and the stop words
    are `chinese_stop_words`. Texts in other languages leave for want of English stop words: give their own, or null.
    Japanese counts as Chinese where its kanji are half of its words. Thai, Khmer and other scripts without blanks are
    not cut into words: switch the rules of words off.

    >>> texts = ["We have a wealth of words, of course.", "Buy now ### ### deal", "再来一次 " * 9]
    >>> rows = pl.DataFrame({"_id": [1, 2, 3], "text": texts})
    >>> step = FilterQuality(column="text", min_words=3, min_han=6)
    >>> step.apply(rows)["_reason"].to_list()
    [None, 'max_hash_ratio', 'min_stop_words']
    """

    column: str = Field(description="text column that is judged")
    min_words: int | None = Field(50, ge=0, description="least number of words; Gopher 50")
    max_words: int | None = Field(100_000, ge=0, description="greatest number of words; Gopher 100,000")
    min_han: int | None = Field(75, ge=0, description="least number of words of a Chinese text, each Han character one")
    max_han: int | None = Field(150_000, ge=0, description="greatest number of words of a Chinese text")
    min_mean_word_length: float | None = Field(
        3, ge=0, description="least mean length of words in characters, punctuation and Han apart; Gopher 3"
    )
    max_mean_word_length: float | None = Field(10, ge=0, description="greatest mean length of words; Gopher 10")
    max_hash_ratio: Ratio | None = Field(0.1, description="greatest number of # by word; Gopher 0.1")
    max_ellipsis_ratio: Ratio | None = Field(0.1, description="greatest number of ellipses by word; Gopher 0.1")
    min_alphabetic_words: Share | None = Field(0.8, description="least share of words with a letter; Gopher 0.8")
    max_bullet_lines: Share | None = Field(
        0.9, description="greatest share of lines that begin with a bullet; Gopher 0.9"
    )
    max_ellipsis_lines: Share | None = Field(
        0.3, description="greatest share of lines that end in an ellipsis; Gopher 0.3"
    )
    min_ended_lines: Share | None = Field(
        None, description="least share of lines that end as a sentence does; FineWeb 0.12, off by default"
    )
    max_short_lines: Share | None = Field(
        None, description="greatest share of lines of 30 characters or fewer; FineWeb 0.67, off by default"
    )
    banned: tuple[str, ...] = Field(
        (), description="phrases of which a text has none, whatever their case; C4 has 'lorem ipsum' and '{'"
    )
    min_stop_words: int | None = Field(2, ge=0, description="least number of different stop words; Gopher 2")
    stop_words: tuple[str, ...] = Field(GOPHER_STOP_WORDS, description="stop words of texts that are not Chinese")
    chinese_stop_words: tuple[str, ...] = Field(CHINESE_STOP_WORDS, description="stop words of Chinese texts")
    max_repeated_lines: Share | None = Field(
        0.3, description="greatest share of lines that came before in the text; Gopher 0.3"
    )
    max_repeated_line_characters: Share | None = Field(0.2, description="the same, of their characters; Gopher 0.2")
    max_repeated_paragraphs: Share | None = Field(
        0.3, description="greatest share of paragraphs that came before in the text; Gopher 0.3"
    )
    max_repeated_paragraph_characters: Share | None = Field(
        0.2, description="the same, of their characters; Gopher 0.2"
    )
    max_top_ngram: dict[Words, Share] | None = Field(
        {2: 0.2, 3: 0.18, 4: 0.16},
        description="greatest share of characters in the most frequent n-gram of words, for each n; Gopher",
    )
    max_repeated_ngram: dict[Words, Share] | None = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
        description="greatest share of characters in n-grams of words that came before, for each n; Gopher",
    )

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(column="text", min_words=1, min_han=2, min_mean_word_length=None, min_stop_words=None)

    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, those that leave marked; raises ConfigurationError for a column that is not text."""
        require_type(rows, (self.column,), "text")
        texts = rows[self.column].cast(pl.String).fill_null("")
        given = rows[REASON] if REASON in rows.columns else pl.Series(REASON, [None] * rows.height, dtype=pl.String)
        if compiled is not None:
            return rows.with_columns(self._read(texts, given))
        ascii_only = is_ascii(texts)
        if ascii_only.all() or not ascii_only.any():
            return rows.with_columns(self._reasons(texts, given))
        found = given.clone()
        for which in (ascii_only, ~ascii_only):  # texts of one kind make better blocks
            at = which.arg_true()
            found = found.scatter(at, self._reasons(texts.gather(at), given.gather(at)))
        return rows.with_columns(found)

    def _read(self, texts: pl.Series, given: pl.Series) -> pl.Series:
        """The reasons, by the compiled functions."""
        marks = _Marks(given)
        self._count(marks, counts(texts), texts)
        self._repetition(marks, texts, lambda *limits: ngrams_over(texts, *limits))
        return marks.reasons()

    def _reasons(self, texts: pl.Series, given: pl.Series) -> pl.Series:
        """The reasons, by their twins."""
        reasons, at = [given.clear()], 0
        for block in blocks(texts):
            until = at + len(block.starts) - 1
            marks, some = _Marks(given[at:until]), texts[at:until]
            runs = tokens(block)
            self._count(marks, count(block, runs), some)
            feeds = np.count_nonzero(block.codes == LINE_FEED)  # each text is closed by one
            self._repetition(marks, some, partial(ngram_limits, block, runs), several=bool(feeds >= len(block.starts)))
            reasons.append(marks.reasons())
            at = until
        return pl.concat(reasons).alias(REASON)

    def _count(self, marks: _Marks, n: dict[str, npt.NDArray[np.int64]], texts: pl.Series) -> None:
        """The rules of size, words and lines."""
        han, words, lines = n["han"], n["words"], n["lines"]
        chinese = (2 * han >= words) & (han > 0)
        marks.below("min_words", words, self.min_words, ~chinese)
        marks.above("max_words", words, self.max_words, ~chinese)
        marks.below("min_han", words, self.min_han, chinese)
        marks.above("max_han", words, self.max_han, chinese)
        length = _ratio(n["word_characters"], words - han)
        marks.below("min_mean_word_length", length, self.min_mean_word_length, ~chinese)
        marks.above("max_mean_word_length", length, self.max_mean_word_length, ~chinese)
        marks.above("max_hash_ratio", _ratio(n["hashes"], words), self.max_hash_ratio)
        marks.above("max_ellipsis_ratio", _ratio(n["ellipses"], words), self.max_ellipsis_ratio)
        marks.below("min_alphabetic_words", _ratio(n["alphabetic_words"], words), self.min_alphabetic_words)
        marks.above("max_bullet_lines", _ratio(n["bullet_lines"], lines), self.max_bullet_lines)
        marks.above("max_ellipsis_lines", _ratio(n["ellipsis_lines"], lines), self.max_ellipsis_lines)
        marks.below("min_ended_lines", _ratio(n["ended_lines"], lines), self.min_ended_lines)
        marks.above("max_short_lines", _ratio(n["short_lines"], lines), self.max_short_lines)
        if self.banned:
            banned = texts.filter(pl.Series(marks.open)).str.contains_any(
                list(self.banned), ascii_case_insensitive=True
            )
            marks.above("banned", _spread(banned, marks.open), 0)
        for listed, which in ((self.stop_words, ~chinese), (self.chinese_stop_words, chinese)):
            asked = marks.open & which
            if self.min_stop_words and asked.any():
                different = _stop_words(texts, asked, listed, self.min_stop_words)
                marks.below("min_stop_words", different, self.min_stop_words, asked)

    def _repetition(self, marks: _Marks, texts: pl.Series, ngrams: Ngrams, *, several: bool = True) -> None:
        """The rules of what is said again; `several` is whether any of the texts has more than one line."""
        limits = {name: getattr(self, f"max_{name}") for name in LINES}
        if several and any(limit is not None for limit in limits.values()):
            asked = marks.open.copy()
            shares = repeated_lines(texts if asked.all() else texts.filter(pl.Series(asked)))
            for name, limit in limits.items():
                marks.above(f"max_{name}", _spread(shares[name], asked), limit)
        if self.max_top_ngram or self.max_repeated_ngram:
            over_top, over_repeated = ngrams(self.max_top_ngram or {}, self.max_repeated_ngram or {}, marks.open)
            marks.above("max_top_ngram", over_top, 0)
            marks.above("max_repeated_ngram", over_repeated, 0)


class _Marks:
    """The reasons of some rows while rules are asked one after the other: the first that a row breaks is its reason."""

    def __init__(self, given: pl.Series) -> None:
        self.given = given
        self.open: Which = given.is_null().to_numpy().copy()
        self.names: list[str] = []
        self.rule = np.zeros(len(given), dtype=np.int64)

    def below(self, name: str, values: Numbers, least: float | None, which: Which | None = None) -> None:
        """Rows whose value is less than `least`, of those that `which` takes in, break this rule."""
        if least is not None:
            self._break(name, values < least, which)

    def above(self, name: str, values: Numbers, most: float | None, which: Which | None = None) -> None:
        """Rows whose value is greater than `most`, of those that `which` takes in, break this rule."""
        if most is not None:
            self._break(name, values > most, which)

    def _break(self, name: str, broken: Which, which: Which | None) -> None:
        fresh = broken & self.open if which is None else broken & self.open & which
        self.names.append(name)
        self.rule[fresh] = len(self.names)
        self.open &= ~fresh

    def reasons(self) -> pl.Series:
        """The reason of each row, null where it stays; those that it came with stay."""
        found = pl.Series([None, *self.names], dtype=pl.String).gather(self.rule)
        return self.given.zip_with(self.given.is_not_null(), found)


def _ratio(part: Numbers, whole: Numbers) -> Numbers:
    """How much of `part` comes on one of `whole`: infinite on none, and not a number (no rule's case) for 0 on none."""
    out = np.where(part > 0, np.inf, np.nan)
    return np.divide(part, whole, out=out, where=whole > 0)


def _spread(values: pl.Series, which: Which) -> Numbers:
    """The values in their rows, 0 in the others."""
    out = np.zeros(len(which))
    out[which] = values.cast(pl.Float64).to_numpy()
    return out


def _stop_words(texts: pl.Series, asked: Which, listed: tuple[str, ...], least: int) -> Numbers:
    """How many different ones of the listed words a text has, whatever their case; Han ones anywhere, others whole.

    A text that has `least` of them may be told as having so many; texts that are not asked about have any number.
    """
    if compiled is not None:
        return _listed_words(texts, asked, listed, least)
    found = np.zeros(len(texts), dtype=np.int64)
    found[asked] = _written_plainly(texts.filter(pl.Series(asked)), listed, least)
    unsure = asked & (found < least)
    if not unsure.any():
        return found
    some = texts.filter(pl.Series(unsure))
    plain = tuple({word for word in listed if _PLAIN.match(word)})
    exact = np.concatenate([distinct_words(block, plain) for block in blocks(some)])
    found[unsure] = exact + _patterns(some, [word for word in dict.fromkeys(listed) if word not in plain])
    return found


def _patterns(texts: pl.Series, listed: Sequence[str]) -> Numbers:
    """How many of the words each text has, by one search a word."""
    found = np.zeros(len(texts), dtype=np.int64)
    for word in listed:
        pattern = word if _HAN.match(word) else rf"(?i)(?:^|\P{{L}}){pl.escape_regex(word)}(?:\P{{L}}|$)"
        found += texts.str.contains(pattern, literal=pattern == word).to_numpy()
    return found


def _listed_words(texts: pl.Series, asked: Which, listed: tuple[str, ...], least: int) -> Numbers:
    """What `_stop_words` says, by the compiled functions, which there must be: words that are plain or Han at once."""
    assert compiled is not None
    native, words = compiled, list(dict.fromkeys(listed))
    whole = [word for word in words if _PLAIN.match(word)]
    anywhere = [word for word in words if _HAN.match(word)]
    signs = [word.encode() for word in (*whole, *anywhere)]
    starts = np.cumsum([0, *map(len, signs)], dtype=np.int64)
    found = np.empty(len(texts), dtype=np.int64)

    def work(table: Bits, wanted: Bits) -> None:
        stream = texts.__arrow_c_stream__()
        native.listed_words(stream, asked, table, wanted, b"".join(signs), starts, len(whole), least, found)

    properties().read_by(work, texts)
    others = [word for word in words if word not in whole and word not in anywhere]
    unsure = asked & (found < least)
    if others and unsure.any():
        found[unsure] += _patterns(texts.filter(pl.Series(unsure)), others)
    return found


def _written_plainly(texts: pl.Series, listed: tuple[str, ...], least: int) -> Numbers:
    """How many different ones of the words a text has between blanks, in small letters; asked no further than `least`.

    Most prose has two of the first few so, which are found at the speed of memory, each within its first lines.
    """
    found = np.zeros(len(texts), dtype=np.int64)
    left = np.arange(len(texts))
    for word in (word for word in dict.fromkeys(listed) if _PLAIN.match(word)):
        if not len(left):
            break
        found[left] += texts.gather(left).str.contains(f" {word} ", literal=True).to_numpy()
        left = left[found[left] < least]
    return found
