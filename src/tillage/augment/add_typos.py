"""Rows with slips of typing in a text: of the keyboard in English, of the sound in Chinese. 2 microseconds a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.picked import picked, places
from tillage.augment.pinyin import sounds_like
from tillage.augment.synthetic import AugmentText
from tillage.text.pieces import joined, pieces
from tillage.text.tokens import HAN

Slip = Literal["neighbour", "swap", "drop", "double", "pinyin"]

NEIGHBOURS = {
    "q": "wa", "w": "qeas", "e": "wrsd", "r": "etdf", "t": "ryfg", "y": "tugh", "u": "yihj", "i": "uojk", "o": "ipkl",
    "p": "ol", "a": "qwsz", "s": "awedxz", "d": "serfcx", "f": "drtgvc", "g": "ftyhbv", "h": "gyujnb", "j": "huikmn",
    "k": "jiolm", "l": "kop", "z": "asx", "x": "zsdc", "c": "xdfv", "v": "cfgb", "b": "vghn", "n": "bhjm", "m": "njk",
}  # fmt: skip
"""The keys that touch a key, on the keyboard QWERTY."""
_BOTH = NEIGHBOURS | {key.upper(): near.upper() for key, near in NEIGHBOURS.items()}


class AddTypos(AugmentText):
    """Make rows in which some words of a text are mistyped, one slip a word.

    Words of three Latin letters or more: the key beside the right one, two letters swapped, one left out, one typed
    twice; never the first letter. Common Chinese characters: another of the same sound (`pinyin`), tones aside.

    >>> rows = pl.DataFrame({"text": ["hello world", "42"]}).with_columns(_id=pl.int_range(2).cast(pl.UInt128))
    >>> AddTypos(columns=("text",), share=1, slips=("double",)).apply(rows)["text"].to_list()
    ['hello world', '42', 'heello worldd']
    """

    slips: tuple[Slip, ...] = Field(
        ("neighbour", "swap", "drop", "double", "pinyin"), min_length=1, description="slips that happen, equally often"
    )
    near: bool = Field(True, description="slips of pinyin confuse zh and z, n and l, -ang and -an (and so on), too")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text",), share=0.5, slips=("neighbour", "swap", "drop", "double"), copies=2)

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The texts with slips."""
        return {c: self._mistyped(rows[c].cast(pl.String), chance, 10 * n) for n, c in enumerate(self.columns)}

    def _mistyped(self, texts: pl.Series, chance: Chance, what: int) -> pl.Series:
        cut = pieces(texts, "characters")
        piece = cut["piece"]
        typed = piece.str.contains("^[A-Za-z]{3,}$")
        keys = [slip for slip in self.slips if slip != "pinyin"]
        fit = typed.to_numpy() if keys else np.zeros(cut.height, dtype=np.bool_)
        alike: dict[str, str] = {}
        if "pinyin" in self.slips and (spoken := piece.str.contains(f"^{HAN}$")).any():
            alike = sounds_like(near=self.near)
            fit = fit | (spoken & piece.is_in(list(alike))).to_numpy()
        chosen = picked(cut, fit, self.share, chance, what)
        rows, at = cut["row"].to_numpy().astype(np.int64)[chosen], places(cut)[chosen]

        def draw(n: int) -> NDArray[np.float64]:
            return chance.uniform(rows, at, what + n)

        words = piece.gather(chosen)
        new = words
        for n, slip in enumerate(keys):
            hit = pl.Series((draw(1) * len(keys)).astype(np.int64) == n) & typed.gather(chosen)
            new = new.zip_with(~hit, _slip(words, slip, draw(2), draw(3)))
        if alike:
            others = words.replace_strict(alike, default=None, return_dtype=pl.String)
            new = new.zip_with(others.is_null(), _one_of(others, draw(3)))
        return joined(cut.with_columns(piece.scatter(chosen, new)), texts)


def _slip(words: pl.Series, slip: str, where: NDArray[np.float64], which: NDArray[np.float64]) -> pl.Series:
    """Each word with one slip at a letter after the first; a word without such a letter gives nothing of use."""
    sizes = words.str.len_bytes().to_numpy().astype(np.int64)
    room = np.maximum(sizes - (2 if slip == "swap" else 1), 1)
    at = pl.Series("at", 1 + np.minimum((where * room).astype(np.int64), room - 1))
    frame = pl.DataFrame({"word": words, "at": at})
    head, letter = pl.col("word").str.slice(0, "at"), pl.col("word").str.slice("at", 1)
    tail = pl.col("word").str.slice(pl.col("at") + 1)
    if slip == "neighbour":
        near = frame.select(letter.replace_strict(_BOTH, default="", return_dtype=pl.String)).to_series()
        made = pl.concat_str(head, pl.lit(_one_of(near, which)), tail)
    elif slip == "swap":
        made = pl.concat_str(head, tail.str.slice(0, 1), letter, tail.str.slice(1))
    elif slip == "drop":
        made = pl.concat_str(head, tail)
    else:
        made = pl.concat_str(head, letter, letter, tail)
    return frame.select(made).to_series()


def _one_of(letters: pl.Series, draws: NDArray[np.float64]) -> pl.Series:
    """A character of each text, by a draw in [0, 1)."""
    frame = pl.DataFrame({"of": letters, "draw": draws})
    place = (pl.col("draw") * pl.col("of").str.len_chars()).cast(pl.Int64)
    return frame.select(pl.col("of").str.slice(place, 1)).to_series()
