"""Rows in which words of a text change places. 1 to 2 microseconds a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import polars as pl
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.picked import picked
from tillage.augment.synthetic import AugmentText
from tillage.text.pieces import Chinese, joined, pieces


class SwapWords(AugmentText):
    """Make rows in which pairs of words of a text, drawn anywhere in it, change places; what stands between them stays.

    >>> rows = pl.DataFrame({"text": ["one, two!", "one"]}).with_columns(_id=pl.int_range(2).cast(pl.UInt128))
    >>> SwapWords(columns=("text",)).apply(rows)["text"].to_list()
    ['one, two!', 'one', 'two, one!']

    Source: Wei and Zou, EDA: Easy data augmentation, EMNLP 2019.
    """

    share: float = Field(0.1, gt=0, le=1, description="share of a text's words that change places, one pair at least")
    chinese: Chinese = Field("words", description="units of Chinese: words (needs rjieba), or single characters")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text",), share=0.5, chinese="characters", copies=2)

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The texts with words swapped."""
        return {c: self._swapped(rows[c].cast(pl.String), chance, n) for n, c in enumerate(self.columns)}

    def _swapped(self, texts: pl.Series, chance: Chance, what: int) -> pl.Series:
        cut = pieces(texts, self.chinese)
        pairs = picked(cut, cut["is_word"].to_numpy(), self.share, chance, what, unit=2).reshape(-1, 2)
        there = cut["piece"].gather(pairs[:, ::-1].reshape(-1))
        return joined(cut.with_columns(cut["piece"].scatter(pairs.reshape(-1), there)), texts)
