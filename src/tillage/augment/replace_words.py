"""Texts said in other words: some words give way to synonyms, or one to its antonym, and the label with it.

2 to 3 microseconds a word. Inflected forms are left alone ("films", "better"), as are names and words of many senses:
what is replaced reads well, and half of a text's words cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field, field_validator, model_validator

from tillage.augment.chance import Chance
from tillage.augment.dictionary import Language, Relation, dictionary
from tillage.augment.picked import picked, places
from tillage.augment.synthetic import AugmentText, differ
from tillage.core.columns import remedy, require
from tillage.core.errors import ConfigurationError
from tillage.text.pieces import Chinese, joined, pieces

_ARTICLES = ("a", "an")


class ReplaceWords(AugmentText):
    """What replacing by synonyms and by antonyms have in common."""

    version: ClassVar[int] = 2
    relation: ClassVar[Relation]

    languages: tuple[Language, ...] = Field(
        ("en", "zh"), description="dictionaries that are used; empty: `words` alone"
    )
    words: dict[str, tuple[str, ...]] = Field(
        {}, description="replacements of one's own: word to others, instead of what a dictionary says of it"
    )
    chinese: Chinese = Field("words", description="units of Chinese: words (needs rjieba), or single characters")

    @field_validator("words")
    @classmethod
    def _has_replacements(cls, words: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if empty := [word for word, others in words.items() if not word or not others or "" in others]:
            raise ValueError(f"each word needs other words to give way to, and {empty[0]!r} has none")
        return words

    @model_validator(mode="after")
    def _knows_words(self) -> Self:
        if not self.languages and not self.words:
            raise ValueError("without languages, say in 'words' what can be replaced by what")
        return self

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The texts with some words replaced."""
        return {c: self._replaced(rows[c].cast(pl.String), chance, n) for n, c in enumerate(self.columns)}

    def _replaced(self, texts: pl.Series, chance: Chance, what: int) -> pl.Series:
        cut = pieces(texts, self.chinese)
        own = tuple((word.lower(), others) for word, others in sorted(self.words.items()))
        known = dictionary(self.relation, self.languages, own)
        at = places(cut)
        lower = cut["piece"].str.to_lowercase()
        before = pl.DataFrame({"word": lower}).select(pl.col("word").shift(2)).to_series()
        article = before.is_in(list(_ARTICLES)).fill_null(value=False) & pl.Series(at >= 2)
        opened = pl.DataFrame({"at": at, "word": cut["is_word"]}).select(~pl.col("word").shift(1, fill_value=True))
        first = pl.Series(at == 0) | (pl.Series(at == 1) & opened.to_series())
        # A capital in mid-sentence is a name.
        plain = (lower == cut["piece"]) | (first & cut["piece"].str.contains(r"^\p{Lu}\P{Lu}*$"))
        numbers = known.find(lower, article)
        fit = (numbers >= 0) & plain.to_numpy() & cut["is_word"].to_numpy()
        chosen = picked(cut, fit, self.share, chance, 2 * what)
        rows = cut["row"].to_numpy().astype(np.int64)[chosen]
        draws = chance.uniform(rows, at[chosen], 2 * what + 1)
        new = known.choose(numbers[chosen], article.gather(chosen), draws)
        upper = cut["piece"].gather(chosen).str.contains(r"^\p{Lu}")
        new = new.zip_with(~upper, new.str.slice(0, 1).str.to_uppercase() + new.str.slice(1))
        return joined(cut.with_columns(cut["piece"].scatter(chosen, new)), texts)


class ReplaceSynonyms(ReplaceWords):
    """Make rows in which some words of a text are replaced by synonyms.

    English words come from Princeton WordNet, Chinese ones from the Chinese Open Wordnet; only words that nearly always
    mean one thing are replaced, by words that mostly mean it, too. Inflected forms and names stay. After "a" or "an"
    a word gives way to one that the article still fits. A row in which nothing can be replaced has no child.

    >>> rows = pl.DataFrame({"text": ["A funny movie.", "Ok"]}).with_columns(_id=pl.int_range(2).cast(pl.UInt128))
    >>> made = ReplaceSynonyms(columns=("text",), share=1).apply(rows)
    >>> made.select("text", "_parent").rows()
    [('A funny movie.', None), ('Ok', None), ('A funny film.', 0)]

    Sources: Wei and Zou, EDA: Easy data augmentation, EMNLP 2019; Miller, WordNet, CACM 38 (11), 1995.
    """

    relation = "synonyms"

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("text",), words={"a": ("x", "y"), "头": ("首",)}, chinese="characters", copies=2)


class ReplaceAntonyms(ReplaceWords):
    """Make rows in which one word of a text says the opposite, and the label too, where `labels` says what it becomes.

    By default one word is replaced, since two opposites may cancel out. Rows of a label that
    `labels` does not name have no child. Negation is not looked at ("not good" becomes "not bad"). Without `target` the
    label stays: for labels that do not hang on it, such as a topic.

    >>> rows = pl.DataFrame({"text": ["a good story"], "label": ["pos"], "_id": pl.Series([1], dtype=pl.UInt128)})
    >>> step = ReplaceAntonyms(columns=("text",), target="label", labels={"pos": "neg", "neg": "pos"})
    >>> step.apply(rows).select("text", "label").rows()
    [('a good story', 'pos'), ('a bad story', 'neg')]
    """

    relation = "antonyms"

    share: float = Field(0, ge=0, le=1, description="share of a text's words that are changed; 0: one word")
    target: str | None = Field(None, description="column of labels that change with the meaning; none: labels stay")
    labels: dict[str, str] = Field({}, description="label to what it becomes when one word says the opposite")

    @model_validator(mode="after")
    def _labels_have_a_target(self) -> Self:
        if (self.target is None) != (not self.labels):
            raise ValueError("'target' and 'labels' go together: which column changes, and what each label becomes")
        return self

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(
            columns=("text",), words={"a": ("z",)}, target="city", labels={"Ulm": "Rome", "": "x"}, chinese="characters"
        )

    def needs(self) -> tuple[str, ...]:
        """The columns varied, those of the condition, and the labels."""
        return tuple(dict.fromkeys([*super().needs(), *((self.target,) if self.target else ())]))

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The texts with words replaced, and the labels of those that changed."""
        found = dict(super().vary(rows, chance))
        if self.target is None:
            return found
        require(rows, (self.target,))
        old = rows[self.target]
        if old.dtype == pl.Null:
            return {}
        before, after = (_values(self.target, texts, old.dtype) for texts in (self.labels, self.labels.values()))
        becomes = dict(zip(before, after, strict=True))
        new = old.replace_strict(becomes, default=None, return_dtype=old.dtype)
        turned = new.is_not_null() & differ(rows, rows.with_columns(found.values()), self.columns)
        found = {c: series.zip_with(turned, rows[c].cast(pl.String)) for c, series in found.items()}
        return {**found, self.target: new.zip_with(turned, old)}


def _values(target: str, texts: Iterable[str], dtype: pl.DataType) -> pl.Series:
    """What labels are in a column of this type; raises ConfigurationError for one that it cannot hold."""
    written = pl.Series(list(texts), dtype=pl.String)
    if dtype == pl.Boolean:
        values = written.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    elif dtype.is_numeric() or dtype in (pl.String, pl.Categorical, pl.Enum):
        values = written.cast(dtype, strict=False)
    else:
        raise ConfigurationError(
            f"Column '{target}' holds {dtype}, and labels are texts, numbers or truth values.",
            fix=remedy(target, dtype, "text"),
        )
    if values.null_count():
        lost = written.filter(values.is_null())[0]
        raise ConfigurationError(
            f"Column '{target}' holds {dtype}, and '{lost}' of 'labels' is no value of it.",
            fix='Write labels as the column has them (of truth values: "true" and "false").',
        )
    return values
