"""Rows with a few words left out of a text. 1 to 2 microseconds a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.picked import picked, places
from tillage.augment.synthetic import AugmentText
from tillage.text.pieces import Chinese, joined, pieces


class DeleteWords(AugmentText):
    """Make rows in which some words of a text are left out, with the blank before them; one word at least stays.

    >>> rows = pl.DataFrame({"text": ["one two three", "one"]}).with_columns(_id=pl.int_range(2).cast(pl.UInt128))
    >>> DeleteWords(columns=("text",), share=0.5).apply(rows)["text"].to_list()
    ['one two three', 'one', 'three']

    Source: Wei and Zou, EDA: Easy data augmentation, EMNLP 2019.
    """

    chinese: Chinese = Field("words", description="units of Chinese: words (needs rjieba), or single characters")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text",), share=0.4, chinese="characters", copies=2)

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The texts with words left out."""
        return {c: self._shortened(rows[c].cast(pl.String), chance, n) for n, c in enumerate(self.columns)}

    def _shortened(self, texts: pl.Series, chance: Chance, what: int) -> pl.Series:
        cut = pieces(texts, self.chinese)
        is_word = cut["is_word"].to_numpy()
        gone = np.zeros(cut.height, dtype=np.bool_)
        gone[picked(cut, is_word, self.share, chance, what, spare=1)] = True
        blank = cut["piece"].str.contains(r"^\s+$").to_numpy()
        rows = cut["row"].to_numpy()
        before_gone = np.r_[gone[1:] & (rows[1:] == rows[:-1]), False] if cut.height else gone
        opening = (_so_far(cut, ~blank & ~gone) == 0) & (_so_far(cut, gone) > 0)
        return joined(cut.filter(~(gone | (blank & (before_gone | opening)))), texts)


def _so_far(cut: pl.DataFrame, these: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of these pieces there are in a text up to each."""
    total = np.cumsum(these)
    first = np.arange(cut.height) - places(cut)
    return total - (total - these)[first]
