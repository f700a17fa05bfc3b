"""Words and character n-grams of texts, without a language model: one regular expression, and slices.

A word is a lower-case run of letters, marks and digits; a Han character (U+4E00 to U+9FFF) is a word of its own, since
Chinese writes no blanks. Everything else separates. About 0.25 CPU seconds a million words, all of it in Polars.
Source: regular expression syntax of the Rust crate `regex` (linear time, so that no text can stall it).
"""

from __future__ import annotations

import polars as pl

HAN = "[\u4e00-\u9fff]"
"""A character class of one Han character."""

WORD = rf"{HAN}|[\p{{L}}\p{{M}}\p{{N}}--{HAN}]+"
"""The regular expression of one word; the text must be in lower case already."""

LONGEST = 64
"""Characters of a word that character n-grams look at: a run of a megabyte is no word, and slicing it is quadratic."""

RUN = rf"{HAN}{{1,{LONGEST}}}|[\p{{L}}\p{{M}}\p{{N}}--{HAN}]+"
"""As WORD, but Han characters that stand together are one, in pieces of LONGEST."""


def words(texts: pl.Expr) -> pl.Expr:
    """The words of each text, in order, as List(String); a null text has null, a text without words an empty list.

    >>> pl.select(words(pl.lit("It's 5 o'clock: 你好World"))).item().to_list()
    ['it', 's', '5', 'o', 'clock', '你', '好', 'world']
    """
    return texts.str.to_lowercase().str.extract_all(WORD)


def long_words(texts: pl.Series) -> pl.DataFrame:
    """One row a word: `row` (UInt32, position of its text) and `word`, in order of the texts; null texts have none.

    >>> long_words(pl.Series(["a b", None, "c"])).rows()
    [(0, 'a'), (0, 'b'), (2, 'c')]
    """
    return _long(texts, WORD)


def long_runs(texts: pl.Series) -> pl.DataFrame:
    """As `long_words`, with Han characters that stand together as one `word`, in pieces of LONGEST.

    >>> long_runs(pl.Series(["Go 你好"])).rows()
    [(0, 'go'), (0, '你好')]
    """
    return _long(texts, RUN)


def _long(texts: pl.Series, pattern: str) -> pl.DataFrame:
    cut = pl.col("word").str.to_lowercase().str.extract_all(pattern)
    listed = texts.rename("word").to_frame().select(cut).with_row_index("row")
    some = listed.filter(pl.col("word").list.len() > 0)  # nulls compare as null, and go too
    return some.explode("word").select(pl.col("row").cast(pl.UInt32), "word")


def character_ngrams(vocabulary: pl.Series, shortest: int, longest: int) -> pl.DataFrame:
    """The n-grams of each word with a blank on either side: `row` (UInt32, position of the word) and `term`.

    A repeated n-gram is a repeated row. A Han character alone has none: with blanks it would say nothing new. Of a
    word, the first LONGEST characters count. `shortest` and `longest` are in characters, the blanks among them.

    >>> character_ngrams(pl.Series(["hi", "好"]), 3, 4)["term"].to_list()
    [' hi', 'hi ', ' hi ']
    """
    padded = pl.concat_str(pl.lit(" "), pl.col("word").str.slice(0, LONGEST), pl.lit(" "))
    rows = (
        vocabulary.rename("word")
        .to_frame()
        .with_row_index("row")
        .filter(~pl.col("word").str.contains(rf"^{HAN}$"))
        .select(pl.col("row").cast(pl.UInt32), word=padded)
        .with_columns(size=pl.col("word").str.len_chars().cast(pl.Int64))
    )
    parts = [
        rows.filter(pl.col("size") >= n)
        .with_columns(at=pl.int_ranges(0, pl.col("size") - (n - 1)))
        .explode("at")
        .select("row", term=pl.col("word").str.slice(pl.col("at"), n))
        for n in range(shortest, longest + 1)
    ]
    return pl.concat(parts)
