"""A column that says in which language a text is. Cost: that of `text.language`; the model reads 1 to 2 MB/s."""

from __future__ import annotations

from typing import Annotated, Self

import polars as pl
from pydantic import AfterValidator, Field

from tillage.core.errors import unknown_name
from tillage.core.step import Map
from tillage.prepare.columns import NewName, require_type
from tillage.text.language import LANGUAGES, UNKNOWN, detect


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise ValueError(unknown_name("language", language, LANGUAGES))
    return language


Language = Annotated[str, AfterValidator(_known)]

DEFAULT = (
    "en", "zh", "ja", "ko", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr", "vi", "id", "ru", "uk", "ar", "fa",
    "hi", "el", "he", "th",
)  # fmt: skip


class DetectLanguage(Map):
    """Add the language of a text as its ISO 639-1 code, and how sure that is; null stays null.

    The script of most of the letters is looked at first: Chinese, Japanese, Korean, Greek, Hebrew and Thai are told by
    it, also in three characters, and a text of two languages is that of its greater part. Languages that share a script
    are told apart by py3langid (`pip install 'tillage[language]'`); it is not needed where no two of `languages` do.
    "und" is a text without letters, in a script of none of the languages, or less sure than `min_confidence`.

    What it cannot: tell a language that is not among `languages` (it takes the nearest of that script; ask for fewer
    and it is right more often, but never finds the others); tell one or two Latin words for sure ("taxi" is anything);
    tell Mandarin from Cantonese, simplified from traditional script, or kanji alone from Chinese; say where in a text
    the language changes.

    >>> rows = pl.DataFrame({"text": ["The card did not arrive.", "我的卡还没到。", "iPhone 很好用", "12:30", None]})
    >>> DetectLanguage(column="text", languages=("en", "zh")).apply(rows)["language"].to_list()
    ['en', 'zh', 'zh', 'und', None]
    """

    column: str = Field(description="text column whose language is told")
    language: NewName = Field("language", description="column that is added, with ISO 639-1 codes")
    confidence: NewName | None = Field(None, description="column that is added, how sure it is, 0 to 1; null: none")
    languages: tuple[Language, ...] = Field(
        DEFAULT, min_length=1, description="ISO 639-1 codes that come into question"
    )
    min_confidence: float = Field(0, ge=0, le=1, description="least confidence; below it a text is 'und'")
    most: int = Field(400, ge=1, description="characters of a text that are looked at, from its beginning")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame, without py3langid."""
        return cls(column="text", languages=("en", "zh"), confidence="sure")

    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns added.

        Raises ConfigurationError for a column that is not text, Unavailable where py3langid is needed and missing.
        """
        require_type(rows, (self.column,), "text")
        texts = rows[self.column].cast(pl.String).str.slice(0, self.most)
        unsure = pl.col("confidence") < self.min_confidence
        told = detect(texts, self.languages).with_columns(
            language=pl.when(unsure).then(pl.lit(UNKNOWN)).otherwise(pl.col("language"))
        )
        out = rows.with_columns(told["language"].alias(self.language))
        return out.with_columns(told["confidence"].alias(self.confidence)) if self.confidence else out
