"""What learners share that train a network: how its weights go down the gradient, and the rows held back to judge by.

A learner brings its network, its batches and its loss; the trainer (`learn/deep/trainer.py`) does the rest. Whatever
their defaults, these parameters mean the same in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from tillage.core.errors import BadData
from tillage.core.keys import fraction
from tillage.core.rows import ID
from tillage.learn.deep.trainer import Training
from tillage.learn.ensemble import ShardedLearner
from tillage.learn.learner import Numbers


class GradientLearner(ShardedLearner):
    """A learner that trains a network step by step (`pip install 'tillage[deep]'`).

    With `validation` a share of the rows is held back, by their ids: training ends when it does no better there, and
    the best epoch stands.
    """

    tells_steps: ClassVar[bool] = True

    batch: int = Field(32, ge=1, le=4096, description="rows that are learnt from together")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(0.01, ge=0, le=1, description="how much matrices shrink, times the rate, at each step")
    clip: float = Field(1.0, gt=0, description="greatest length of all gradients together")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of hidden values left out at each step of training")
    validation: float = Field(0.0, ge=0, le=0.5, description="share of the rows held back to judge by; 0: none")
    patience: int = Field(1, ge=1, description="epochs without a better score on them, after which training ends")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the products in training; auto: bfloat16 where the processor has it"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="of the order of rows, new weights, and what is left out")

    def training(self, epochs: int, learning_rate: float, rates_of: Mapping[str, float] | None = None) -> Training:
        """How the network is trained; `rates_of`: beginnings of parameters' names to how much faster they learn."""
        return Training(
            epochs=epochs,
            learning_rate=learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            clip=self.clip,
            precision=self.precision,
            patience=self.patience,
            seed=self.seed,
            rates_of=rates_of or {},
        )

    def held(self, rows: pl.DataFrame, *, judged: bool = False) -> Numbers:
        """Which rows are held back: by their ids, so that the same ones are whatever else changes.

        Raises BadData when nothing is left to learn from, or nothing is held back and the model must be `judged`.
        """
        ids = rows[ID] if ID in rows.columns else pl.Series(range(rows.height), dtype=pl.Int64)
        held = (fraction(ids, "validation") < self.validation).to_numpy()
        if held.all() or (judged and not held.any()):
            raise BadData(
                f"Of {rows.height} rows {int(held.sum())} are held back, so nothing can be learnt and judged.",
                fix="Add rows, or change 'validation'.",
            )
        return np.asarray(held)
