"""A text cut into words and what stands between them, so that the pieces put together are the text again.

A word is a run of letters, marks and digits, with an apostrophe inside; Chinese is cut into words by jieba (extra:
`pip install 'tillage[chinese]'`), or into characters. 0.3 microseconds a piece in Polars; jieba takes about 1 more for
each Chinese word.
Source: jieba, as ported to Rust (github.com/messense/jieba-rs, MIT).
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from tillage.core.errors import Unavailable
from tillage.text.tokens import HAN

Chinese = Literal["words", "characters"]

_LETTER = rf"[\p{{L}}\p{{M}}\p{{N}}--{HAN}]"
_REST = rf"{_LETTER}+(?:['\u2019]{_LETTER}+)*|[^\p{{L}}\p{{M}}\p{{N}}]+"
_CUT = {"words": rf"{HAN}+|{_REST}", "characters": rf"{HAN}|{_REST}"}


def pieces(texts: pl.Series, chinese: Chinese = "words") -> pl.DataFrame:
    """`row` (UInt32, position of the text), `piece`, `is_word`, in order; null and empty texts have none.

    Raises Unavailable where Chinese is to be cut into words and rjieba is not installed.

    >>> pieces(pl.Series(["It's 5, ok", None, "你好"]), "characters").rows()  # doctest: +NORMALIZE_WHITESPACE
    [(0, "It's", True), (0, ' ', False), (0, '5', True), (0, ', ', False), (0, 'ok', True),
     (2, '你', True), (2, '好', True)]
    """
    listed = texts.rename("piece").to_frame().select(pl.col("piece").str.extract_all(_CUT[chinese]))
    listed = listed.with_row_index("row").filter(pl.col("piece").list.len() > 0)
    cut = listed.explode("piece").with_columns(pl.col("row").cast(pl.UInt32))
    if chinese == "words":
        cut = han_in_words(cut)
    return cut.with_columns(is_word=pl.col("piece").str.contains(r"^[\p{L}\p{M}\p{N}]"))


def han_in_words(cut: pl.DataFrame) -> pl.DataFrame:
    """`row` and a column of pieces, of which each run of Han characters is cut into its words; Unavailable without
    rjieba.

    >>> han_in_words(pl.DataFrame({"row": [0, 0], "word": ["go", "酒店很好"]}))["word"].to_list()[:2]
    ['go', '酒店']
    """
    name = cut.columns[1]
    runs = cut[name].str.contains(f"^{HAN}{HAN}")
    if not runs.any():
        return cut
    whole = pl.when(~runs).then(pl.concat_list(name))
    both = cut.with_columns(_han=_segmented(cut[name].filter(runs), runs), _whole=whole)
    return both.select("row", pl.coalesce("_han", "_whole").alias(name)).explode(name)


def joined(cut: pl.DataFrame, texts: pl.Series) -> pl.Series:
    """The pieces of each row put together; a text without pieces stays as it is.

    >>> joined(pieces(pl.Series(["a, b"])).reverse(), pl.Series(["a, b", ""])).to_list()
    ['b, a', '']
    """
    made = cut.group_by("row", maintain_order=True).agg(pl.col("piece").str.join(""))
    rows = texts.rename("text").to_frame().with_row_index("row").with_columns(pl.col("row").cast(pl.UInt32))
    put = rows.join(made, on="row", how="left", maintain_order="left")
    return put.select(pl.coalesce("piece", "text").alias(texts.name)).to_series()


def _segmented(runs: pl.Series, places: pl.Series) -> pl.Series:
    """The words of each run of Han characters, at the places of the runs; null elsewhere."""
    try:
        import rjieba
    except ImportError:
        raise Unavailable(
            "Chinese is cut into words by rjieba, which is not installed.",
            fix="Install it: pip install 'tillage[chinese]'; or set `chinese: characters`.",
        ) from None
    words = iter([rjieba.cut(run) for run in runs.to_list()])
    return pl.Series([next(words) if there else None for there in places.to_list()], dtype=pl.List(pl.String))
