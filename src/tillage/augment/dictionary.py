"""Words and what can stand in their place: the dictionaries of this room, and words of the user's own.

A look-up costs a tenth of a microsecond a word. The dictionaries (see `words/README.md`) are read at the first use,
in a fifth of a second.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Language = Literal["en", "zh"]
Relation = Literal["synonyms", "antonyms"]


class Dictionary:
    """Words, each with its replacements in order; those that an article (a, an) still fits are told apart.

    >>> Dictionary({"film": ("movie", "act")}).words.rows()
    [('film', 0)]
    """

    def __init__(self, entries: Mapping[str, Sequence[str]]) -> None:
        kept = {word: [o for o in others if o != word] for word, others in entries.items()}
        kept = {word: others for word, others in kept.items() if others}
        self.words = pl.DataFrame(
            {"word": list(kept), "number": range(len(kept))}, schema={"word": pl.String, "number": pl.Int64}
        )
        self._all = _Lists(list(kept.values()))
        self._alike = _Lists([[o for o in others if _sounds(o) == _sounds(word)] for word, others in kept.items()])

    def find(self, words: pl.Series, after_article: pl.Series) -> NDArray[np.int64]:
        """The number of each word (in lower case) that can be replaced where it stands; -1: it cannot."""
        asked = words.rename("word").to_frame()
        numbers = (
            asked.join(self.words, on="word", how="left", maintain_order="left")["number"].fill_null(-1).to_numpy()
        )
        some = self._alike.counts[numbers] > 0 if self.words.height else numbers >= 0
        return np.where(after_article.to_numpy() & ~some, -1, numbers)

    def choose(self, numbers: NDArray[np.int64], after_article: pl.Series, draws: NDArray[np.float64]) -> pl.Series:
        """A replacement of each word that `find` gave a number, by a draw in [0, 1)."""
        alike = after_article.to_numpy()
        return self._all.taken(numbers, draws).zip_with(~pl.Series(alike), self._alike.taken(numbers, draws))


class _Lists:
    """Lists of texts, of which one of each is taken by a draw."""

    def __init__(self, lists: Sequence[Sequence[str]]) -> None:
        self.counts = np.array([len(one) for one in lists], dtype=np.int64)
        self.starts = np.cumsum(self.counts) - self.counts
        self.items = pl.Series([item for one in lists for item in one], dtype=pl.String)

    def taken(self, numbers: NDArray[np.int64], draws: NDArray[np.float64]) -> pl.Series:
        """The item of each list that the draw falls on; null where the list is empty."""
        counts = self.counts[numbers]
        place = self.starts[numbers] + np.minimum((draws * counts).astype(np.int64), np.maximum(counts - 1, 0))
        return self.items.gather(pl.Series(np.where(counts > 0, place, -1)).replace(-1, None))


def _sounds(word: str) -> bool:
    return word[:1] in "aeiou"


@lru_cache(maxsize=8)
def dictionary(
    relation: Relation, languages: tuple[Language, ...], own: tuple[tuple[str, tuple[str, ...]], ...]
) -> Dictionary:
    """The dictionary of these languages; `own` entries (in lower case) stand instead of what it says of a word.

    >>> dictionary("antonyms", ("en",), (("card", ("cash",)),)).words.filter(pl.col("word") == "card").height
    1
    """
    entries: dict[str, Sequence[str]] = {}
    for language in languages:
        entries |= read(relation, language)
    return Dictionary(entries | dict(own))


@lru_cache(maxsize=8)
def read(relation: Relation, language: Language) -> dict[str, tuple[str, ...]]:
    """A dictionary of this room: word to what can stand in its place.

    >>> read("antonyms", "en")["optimism"]
    ('pessimism',)
    """
    data = files("tillage.augment").joinpath("words", f"{relation}_{language}.tsv.gz").read_bytes()
    lines = (line.split("\t") for line in gzip.decompress(data).decode().splitlines())
    return {word: tuple(others.split("|")) for word, others in lines}
